//! The files that a machine needs besides its image.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use guest::{Guest, GuestPath, Printable};
use seed::{Medium, Seed};
use vm::{DirectKernel, GuestKernel};

use crate::environment;
use crate::failure::Failure;
use graft::{Folder, Leftover, is_full, with_temporary_name};

/// The longest path of a folder with sockets in it, in bytes: `sockaddr_un` has 104 on some systems, with the socket's
/// own name.
const SOCKET_FOLDER_MAX_BYTES: usize = 88;

/// A folder for a machine's files.
#[derive(Debug)]
pub(crate) struct MachineFolder {
    path: PathBuf,
    /// It goes with the machine.
    leftover: Option<Leftover>,
    /// Whether there is a file of ours in it.
    is_used: bool,
}

impl MachineFolder {
    /// A folder of mode 0700, removed when this is dropped.
    pub(crate) fn private() -> Result<Self, Failure> {
        let mut parent = graft::temporary_folder();
        if parent.as_os_str().len() > SOCKET_FOLDER_MAX_BYTES - "/.imgraft.imgraft-4194304-999".len() {
            parent = PathBuf::from("/tmp");
        }
        let make = || {
            let name = with_temporary_name("imgraft".as_ref(), |candidate| {
                std::fs::DirBuilder::new().mode(0o700).create(parent.join(candidate))
            })?;
            Ok(((), parent.join(name)))
        };
        let made = Leftover::make(|| make().map(|((), path)| (path.clone(), path)));
        let (path, leftover) = made.map_err(|error| failure(&parent, error))?;
        Ok(Self { path, leftover: Some(leftover), is_used: false })
    }

    /// The folder at `path`, made where it is not there, which stays.
    pub(crate) fn kept(path: &Path) -> Result<Self, Failure> {
        let made = std::fs::create_dir_all(path).and_then(|()| std::path::absolute(path));
        let path = made.map_err(|error| failure(path, error))?;
        Ok(Self { path, leftover: None, is_used: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether something that a machine needs goes with this.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_used && self.leftover.is_some()
    }

    /// It stays when this is gone.
    pub(crate) fn keep(&mut self) {
        if let Some(leftover) = self.leftover.take() {
            leftover.keep();
        }
    }

    /// Whether `path` is in it and goes with it.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        self.leftover.is_some() && path.starts_with(&self.path)
    }

    /// The disk that `seed` is on.
    pub(crate) fn seed_disk(&mut self, seed: &Seed) -> Result<PathBuf, Failure> {
        self.is_used = true;
        let path = self.path.join("seed.iso");
        let unmade = |failure: Failure| failure.within("the seed was not made");
        let modified = environment::source_date_epoch()?;
        graft::write_seed(seed, Medium::Iso, modified, &path).map_err(|error| unmade(error.into()))?;
        Ok(path)
    }

    /// The kernel `found` in `guest`.
    pub(crate) fn kernel(&mut self, guest: &Guest, found: &GuestKernel) -> Result<DirectKernel, Failure> {
        self.is_used = true;
        let initrd = found.initrd.as_ref().map(|initrd| self.copy(guest, initrd, "initrd")).transpose()?;
        let kernel = self.copy(guest, &found.kernel, "vmlinuz")?;
        Ok(DirectKernel { kernel, initrd, command_line: found.command_line.clone() })
    }

    /// Copies the file at `path` out of the guest.
    fn copy(&self, guest: &Guest, path: &GuestPath, name: &str) -> Result<PathBuf, Failure> {
        let target = self.path.join(name);
        let create = || -> io::Result<File> {
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&target)
        };
        let written = create().map(|mut file| guest.read_to(path, &mut file));
        match written {
            Ok(Ok(Ok(()))) => Ok(target),
            Ok(Err(error)) => {
                let path = Printable(path.as_bytes());
                Err(Failure::because(format!("the guest's `{path}` cannot be read"), &error))
            }
            Ok(Ok(Err(error))) | Err(error) => Err(failure(&self.path, error)),
        }
    }
}

/// Why a file cannot be made in `folder`.
fn failure(folder: &Path, error: io::Error) -> Failure {
    match Folder::open(folder) {
        Ok(folder) if is_full(&error) => Failure::from(graft::Error::no_space(&folder, None, error))
            .hint("make room there, or set TMPDIR to another folder"),
        _ => graft::Error::folder(folder)(error).into(),
    }
}
