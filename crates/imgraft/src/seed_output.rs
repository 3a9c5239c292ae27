//! A seed's medium on its way to a file, a device or standard output.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use guest::Time;
use storage::{ExtentKind, ReadAt, Reader};

use crate::failure::Failure;
use crate::message;
use crate::output::{Folder, OutputFile};

/// The mode of a new file, less what the umask takes.
const NEW_FILE_MODE: u32 = 0o666;
/// 1980-01-01, the first time that every medium can have.
const FIRST_TIME_SECONDS: u32 = 315_532_800;

/// How the bytes of a medium are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskFormat {
    /// As they are.
    Raw,
}

impl DiskFormat {
    /// The format that `name` stands for, if it is one that can be written.
    pub(crate) fn from_name(name: &OsStr) -> Option<Self> {
        match name.to_str()? {
            "raw" => Some(Self::Raw),
            _ => None,
        }
    }
}

/// The time of everything on a medium: not the clock's, nor that of any file, so that the same content
/// gives the same bytes.
pub(crate) fn seconds(epoch: Option<Time>) -> u32 {
    epoch.map_or(FIRST_TIME_SECONDS, |time| u32::try_from(time.seconds).unwrap_or(u32::MAX))
}

/// Writes `medium` to standard output.
pub(crate) fn print(medium: &dyn ReadAt, format: DiskFormat) -> Result<(), Failure> {
    match format {
        DiskFormat::Raw => stream(medium, &mut io::stdout().lock()).map_err(message::stdout_failure),
    }
}

/// Writes `medium` to the file at `path`, which is there whole or not at all; a device or a pipe there is
/// written to.
pub(crate) fn write(medium: &dyn ReadAt, format: DiskFormat, path: &Path) -> Result<(), Failure> {
    let unwritable = |error: &io::Error| Failure::because(format!("`{}` cannot be written", path.display()), error);
    // A symlink stands for what it points to.
    let target = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => std::fs::canonicalize(path).map_err(|error| unwritable(&error))?,
        _ => path.to_owned(),
    };
    let existing = std::fs::metadata(&target).ok();
    if let Some(existing) = existing.as_ref().filter(|existing| !existing.is_file() && !existing.is_dir()) {
        return write_to_special(medium, format, &target, existing)
            .map_err(|failure| failure.within(format!("`{}` cannot be written", path.display())));
    }
    let Some(name) = target.file_name().filter(|_| existing.as_ref().is_none_or(Metadata::is_file)) else {
        return Err(unwritable(&io::ErrorKind::IsADirectory.into()));
    };
    let folder = Folder::open(target.parent().unwrap_or(Path::new(""))).map_err(|error| unwritable(&error))?;
    let output = OutputFile::create(folder, name, NEW_FILE_MODE).map_err(|error| unwritable(&error))?;
    fill(medium, format, output.file()).map_err(|error| unwritable(&error))?;
    if let Some(existing) = existing {
        // Who is not root keeps no other owner; the mode follows, as a change of owner takes bits of it.
        let _ = output.set_owner(existing.uid(), existing.gid());
        output.set_mode(existing.permissions().mode() & 0o7777).map_err(|error| unwritable(&error))?;
    }
    output.publish().map_err(|error| unwritable(&error))
}

/// Writes to a device or a pipe.
fn write_to_special(medium: &dyn ReadAt, format: DiskFormat, path: &Path, _: &Metadata) -> Result<(), Failure> {
    let DiskFormat::Raw = format;
    let mut file = OpenOptions::new().write(true).open(path).map_err(|error| Failure::of(&error))?;
    stream(medium, &mut file).map_err(|error| Failure::of(&error))
}

fn stream(medium: &dyn ReadAt, target: &mut dyn io::Write) -> io::Result<()> {
    io::copy(&mut Reader::new(medium), target)?;
    target.flush()
}

/// Fills an empty file, with holes where there is nothing.
fn fill(medium: &dyn ReadAt, format: DiskFormat, file: &File) -> io::Result<()> {
    let DiskFormat::Raw = format;
    file.set_len(medium.size_bytes())?;
    let mut at = 0;
    while at < medium.size_bytes() {
        let extent = medium.extent_at(at).map_err(io::Error::other)?;
        if extent.kind == ExtentKind::Data {
            storage::copy(medium, at, file, at, extent.length_bytes).map_err(io::Error::other)?;
        }
        at += extent.length_bytes;
    }
    Ok(())
}
