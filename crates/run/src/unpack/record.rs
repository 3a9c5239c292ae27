//! What was unpacked: which file of the host is which file of the guest, and how it was then.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use customize::RunError;
use guest::{FileKind, Time};
use scratch::{InodeNumber, Xattrs};

use crate::unpack::host_file::{Identity, State, flags, look, xattrs};
use crate::unpack::{failed, make_directory};

/// How often the clock of the folder's file system is looked at, and how long there is between.
const CLOCK_LOOKS: usize = 100;
const CLOCK_INTERVAL: Duration = Duration::from_millis(2);

/// A file that was unpacked.
#[derive(Debug)]
pub(super) struct Original {
    /// The index of its tree in the view.
    pub(super) tree: usize,
    pub(super) inode: InodeNumber,
    /// The file of the host when all was unpacked.
    pub(super) state: State,
    /// The guest's time, which a file system of the host may have rounded.
    pub(super) modified: Time,
    /// What the folder does not hold of it.
    pub(super) beside: Beside,
}

/// What the folder does not hold of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    pub(super) xattrs: Xattrs,
    /// The device that an empty file stands for.
    pub(super) device: Option<(FileKind, Option<(u32, u32)>)>,
}

/// What new files in the folder have from its file system.
#[derive(Debug, Default)]
pub(super) struct Native {
    /// Attributes, such as the label of a security module.
    pub(super) xattrs: BTreeSet<Vec<u8>>,
    pub(super) file_flags: Option<u32>,
    pub(super) directory_flags: Option<u32>,
}

/// What was unpacked.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) files: HashMap<Identity, Original>,
    /// Directories that something else was on top of: they are not looked at.
    pub(super) covered: HashSet<PathBuf>,
    pub(super) native: Native,
    /// The latest change in the folder.
    pub(super) latest: Time,
}

impl Native {
    /// Looks at new files in `folder`.
    pub(super) fn of(folder: &Path) -> Result<Self, RunError> {
        let (file, directory) = (folder.join("file"), folder.join("directory"));
        fs::write(&file, b"").map_err(|error| failed(&file, error))?;
        make_directory(&directory).map_err(|error| failed(&directory, error))?;
        let mut native = Self { file_flags: flags(&file), directory_flags: flags(&directory), ..Self::default() };
        for path in [&file, &directory] {
            native.xattrs.extend(xattrs(path).map_err(|error| failed(path, error))?.into_keys());
        }
        Ok(native)
    }
}

impl Record {
    /// Waits until what is written in `folder` gets a later time than all that was unpacked, and returns that time: the
    /// kernel's clock for files stands still for some milliseconds at a time.
    pub(super) fn wait_for_the_clock(&self, folder: &Path) -> Result<Time, RunError> {
        let path = folder.join("clock");
        let mut now = self.latest;
        for _ in 0..CLOCK_LOOKS {
            fs::write(&path, b"x").map_err(|error| failed(&path, error))?;
            now = look(&path).map_err(|error| failed(&path, error))?.state.modified;
            if now > self.latest {
                return Ok(now);
            }
            std::thread::sleep(CLOCK_INTERVAL);
        }
        Ok(now)
    }
}
