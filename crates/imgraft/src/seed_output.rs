//! A seed's medium on its way to a file, a device or standard output.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use guest::Time;
use image::{Container, NewClusters, Qcow2Options, Source, WriteOptions};
use storage::{ReadAt, Reader};

use crate::failure::Failure;
use crate::output::{Folder, OutputFile};
use crate::{environment, message};

/// The mode of a new file, less what the umask takes.
const NEW_FILE_MODE: u32 = 0o666;
/// 1980-01-01, the first time that every medium can have.
const FIRST_TIME_SECONDS: u32 = 315_532_800;

/// The format that `name` stands for, as `qemu-img` calls it, if it is one that can be written.
pub(crate) fn container(name: &OsStr, seconds: u32) -> Option<Container> {
    match name.to_str()? {
        "raw" => Some(Container::Raw),
        "qcow2" => Some(Container::Qcow2(Qcow2Options::default())),
        "vmdk" => Some(Container::Vmdk),
        "vpc" | "vhd" => Some(Container::Vhd { time: seconds.into() }),
        _ => None,
    }
}

/// The time of everything on a medium: not the clock's, nor that of any file, so that the same content
/// gives the same bytes.
pub(crate) fn seconds(epoch: Option<Time>) -> u32 {
    epoch.map_or(FIRST_TIME_SECONDS, |time| u32::try_from(time.seconds).unwrap_or(u32::MAX))
}

/// Writes `medium` to standard output.
pub(crate) fn print(medium: &dyn ReadAt, container: &Container) -> Result<(), Failure> {
    stream(medium, container, &mut io::stdout().lock())
}

/// Writes `medium` to the file at `path`, which is there whole or not at all; a device or a pipe there is
/// written to.
pub(crate) fn write(medium: &dyn ReadAt, container: &Container, path: &Path) -> Result<(), Failure> {
    let unwritable = |error: &io::Error| Failure::because(format!("`{}` cannot be written", path.display()), error);
    // A symlink stands for what it points to.
    let target = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => std::fs::canonicalize(path).map_err(|error| unwritable(&error))?,
        _ => path.to_owned(),
    };
    let existing = std::fs::metadata(&target).ok();
    if existing.as_ref().is_some_and(|existing| !existing.is_file() && !existing.is_dir()) {
        let mut file = OpenOptions::new().write(true).open(&target).map_err(|error| unwritable(&error))?;
        return stream(medium, container, &mut file);
    }
    let Some(name) = target.file_name().filter(|_| existing.as_ref().is_none_or(Metadata::is_file)) else {
        return Err(unwritable(&io::ErrorKind::IsADirectory.into()));
    };
    let folder = Folder::open(target.parent().unwrap_or(Path::new(""))).map_err(|error| unwritable(&error))?;
    let output = OutputFile::create(folder, name, NEW_FILE_MODE).map_err(|error| unwritable(&error))?;
    fill(medium, container, output.file())?;
    if let Some(existing) = existing {
        // Who is not root keeps no other owner; the mode follows, as a change of owner takes bits of it.
        let _ = output.set_owner(existing.uid(), existing.gid());
        output.set_mode(existing.permissions().mode() & 0o7777).map_err(|error| unwritable(&error))?;
    }
    output.publish().map_err(|error| unwritable(&error))
}

/// Writes where nothing but bytes one behind the other goes.
fn stream(medium: &dyn ReadAt, container: &Container, target: &mut dyn io::Write) -> Result<(), Failure> {
    let mut copy = |source: &mut dyn io::Read| {
        io::copy(source, target).and_then(|_| target.flush()).map_err(message::stdout_failure)
    };
    if *container == Container::Raw {
        return copy(&mut Reader::new(medium));
    }
    let unwritable = |error: io::Error| Failure::because("a temporary file cannot be written", &error);
    let folder = Folder::open(&std::env::temp_dir()).map_err(unwritable)?;
    let mut file = folder.unnamed_file().map_err(unwritable)?;
    fill(medium, container, &file)?;
    file.rewind().map_err(unwritable)?;
    copy(&mut file)
}

/// Fills an empty file.
fn fill(medium: &dyn ReadAt, container: &Container, file: &File) -> Result<(), Failure> {
    // Seeds are small, and go to places where nobody looks for what qcow2 can do.
    let options = WriteOptions { new_clusters: NewClusters::Plain, threads: environment::threads() };
    image::convert(&Source::disk(medium), file, container, &options, &|_, _| {})
        .map(drop)
        .map_err(|error| Failure::of(&error))
}
