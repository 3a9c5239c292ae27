//! A seed's medium on its way to a file, a device or a stream.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use ::seed::{Medium, Seed};
use guest::Time;
use image::{Container, NewClusters, Qcow2Options, Source, WriteOptions};
use storage::{ReadAt, Reader};

use crate::disk::temporary_folder;
use crate::output::{Folder, OutputFile};
use crate::seed::SeedError;

/// The mode of a new file, less what the umask takes.
const NEW_FILE_MODE: u32 = 0o666;
/// 1980-01-01, the first time that every medium can have.
const FIRST_TIME_SECONDS: u32 = 315_532_800;

/// The format that `name` stands for, as `qemu-img` calls it, if it is one that can be written.
pub fn seed_container(name: &OsStr, modified: Option<Time>) -> Option<Container> {
    match name.to_str()? {
        "raw" => Some(Container::Raw),
        "qcow2" => Some(Container::Qcow2(Qcow2Options::default())),
        "vmdk" => Some(Container::Vmdk),
        "vpc" | "vhd" => Some(Container::Vhd { time: seconds(modified).into() }),
        _ => None,
    }
}

/// The time of everything on a medium, in seconds since 1970: not the clock's, nor that of any file, so that the same
/// content gives the same bytes.
fn seconds(modified: Option<Time>) -> u32 {
    modified.map_or(FIRST_TIME_SECONDS, |time| u32::try_from(time.seconds).unwrap_or(u32::MAX))
}

/// Writes `seed` to the file at `path`, which is there whole or not at all; a device or a pipe there is written to.
/// All times are `modified`, or 1980-01-01.
///
/// # Errors
///
/// A medium that cannot be made, or not be written.
pub fn write_seed(seed: &Seed, medium: Medium, modified: Option<Time>, path: &Path) -> Result<(), SeedError> {
    write_seed_in(seed, medium, modified, &Container::Raw, path)
}

/// As [`write_seed`], with the medium in an image's format.
///
/// # Errors
///
/// As there.
pub fn write_seed_in(
    seed: &Seed,
    medium: Medium,
    modified: Option<Time>,
    container: &Container,
    path: &Path,
) -> Result<(), SeedError> {
    write(&*::seed::medium(seed, medium, seconds(modified))?, container, path)
}

/// As [`write_seed_in`], to where nothing but bytes one after the other goes.
///
/// # Errors
///
/// As there; [`SeedError::Stream`] is `target`'s.
pub fn stream_seed(
    seed: &Seed,
    medium: Medium,
    modified: Option<Time>,
    container: &Container,
    target: &mut dyn io::Write,
) -> Result<(), SeedError> {
    stream(&*::seed::medium(seed, medium, seconds(modified))?, container, target)
}

fn write(medium: &dyn ReadAt, container: &Container, path: &Path) -> Result<(), SeedError> {
    let unwritable = |error: io::Error| SeedError::Unwritable { path: path.to_owned(), error };
    // A symlink stands for what it points to.
    let target = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => std::fs::canonicalize(path).map_err(unwritable)?,
        _ => path.to_owned(),
    };
    let existing = std::fs::metadata(&target).ok();
    if existing.as_ref().is_some_and(|existing| !existing.is_file() && !existing.is_dir()) {
        let mut file = OpenOptions::new().write(true).open(&target).map_err(unwritable)?;
        return stream(medium, container, &mut file);
    }
    let Some(name) = target.file_name().filter(|_| existing.as_ref().is_none_or(Metadata::is_file)) else {
        return Err(unwritable(io::ErrorKind::IsADirectory.into()));
    };
    let folder = Folder::open(target.parent().unwrap_or(Path::new(""))).map_err(unwritable)?;
    let output = OutputFile::create(folder, name, NEW_FILE_MODE).map_err(unwritable)?;
    fill(medium, container, output.file())?;
    if let Some(existing) = existing {
        // Only root can keep another owner; the mode follows, as a change of owner takes bits of it.
        let _ = output.set_owner(existing.uid(), existing.gid());
        output.set_mode(existing.permissions().mode() & 0o7777).map_err(unwritable)?;
    }
    output.publish().map_err(unwritable)
}

/// Writes where nothing but bytes one behind the other goes.
fn stream(medium: &dyn ReadAt, container: &Container, target: &mut dyn io::Write) -> Result<(), SeedError> {
    let mut copy =
        |source: &mut dyn io::Read| io::copy(source, target).and_then(|_| target.flush()).map_err(SeedError::Stream);
    if *container == Container::Raw {
        return copy(&mut Reader::new(medium));
    }
    let folder = Folder::open(&temporary_folder()).map_err(SeedError::Temporary)?;
    let mut file = folder.unnamed_file().map_err(SeedError::Temporary)?;
    fill(medium, container, &file)?;
    file.rewind().map_err(SeedError::Temporary)?;
    copy(&mut file)
}

/// Fills an empty file.
fn fill(medium: &dyn ReadAt, container: &Container, file: &File) -> Result<(), SeedError> {
    // Seeds are small, and go to places where nobody looks for what qcow2 can do.
    let options = WriteOptions { new_clusters: NewClusters::Plain, threads: crate::threads() };
    image::convert(&Source::disk(medium), file, container, &options, &|_, _| {})?;
    Ok(())
}
