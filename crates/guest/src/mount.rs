//! Which file system is mounted where: the root by what is in it, the others by its fstab.

use crate::by_type;
use crate::error::{Error, FileSystemError};
use crate::file_system::FileSystem;
use crate::fstab::Device;
use crate::metadata::FileKind;
use crate::path::GuestPath;
use crate::volume::{Content, Volume};

/// A mount point and what is mounted there.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    pub(crate) point: GuestPath,
    pub(crate) what: Mounted,
}

/// What is mounted at a mount point.
#[derive(Clone, Debug)]
pub(crate) enum Mounted {
    /// The file system of the volume with this index.
    Volume(usize),
    /// One that cannot be used, by its name.
    Unusable(String),
    /// One that is not on this disk.
    Absent(Device),
    /// One, by its name, that the guest mounts or does not: that is not known before it starts.
    Undecided(String),
}

impl Mounted {
    /// What `device` is among `volumes`.
    pub(crate) fn find(volumes: &[Volume], device: &Device) -> Self {
        let matching = || volumes.iter().enumerate().filter(|(_, volume)| volume.is(device));
        if let Some((index, _)) = matching().find(|(_, volume)| volume.file_system().is_some()) {
            return Self::Volume(index);
        }
        match matching().next() {
            Some((_, volume)) => Self::Unusable(volume.to_string()),
            None => Self::Absent(device.clone()),
        }
    }
}

/// The indexes of the volumes that are roots; there is at least one.
pub(crate) fn find_roots(volumes: &mut Vec<Volume>) -> Result<Vec<usize>, Error> {
    let mut roots = Vec::new();
    for (index, volume) in volumes.iter().enumerate() {
        if let Some(file_system) = volume.file_system()
            && looks_like_root(file_system).map_err(|error| Error::FileSystem {
                volume: volume.to_string(),
                path: None,
                error,
            })?
        {
            roots.push(index);
        }
    }
    if let (true, Some(usr)) = (roots.is_empty(), by_type::usr(volumes)) {
        // What says that it is a root is on that partition.
        let others = volumes.iter().enumerate().filter(|&(index, _)| index != usr);
        roots.extend(others.filter(|(_, volume)| volume.has_empty_usr()).map(|(index, _)| index));
    }
    if roots.is_empty() { Err(no_root(volumes)) } else { Ok(roots) }
}

/// Whether there is an `/etc` and an `os-release` in one of its two places.
fn looks_like_root(file_system: &FileSystem) -> Result<bool, FileSystemError> {
    if !file_system.is_unix() {
        return Ok(false);
    }
    let has = |names: &[&[u8]], kind: Option<FileKind>| -> Result<bool, FileSystemError> {
        let mut found = (file_system.root(), FileKind::Directory);
        for name in names {
            match file_system.lookup(&found.0, name)? {
                Some(child) if found.1 == FileKind::Directory => found = child,
                _ => return Ok(false),
            }
        }
        Ok(kind.is_none_or(|kind| kind == found.1))
    };
    Ok(has(&[b"etc"], Some(FileKind::Directory))?
        && (has(&[b"etc", b"os-release"], None)? || has(&[b"usr", b"lib", b"os-release"], None)?))
}

/// Why there is no root: an ext4 that could not be opened may well be it.
fn no_root(volumes: &mut Vec<Volume>) -> Error {
    let broken = volumes.iter().enumerate().filter(|(_, volume)| matches!(volume.content, Content::Broken { .. }));
    if let Some(index) = broken.max_by_key(|(_, volume)| volume.size_bytes()).map(|(index, _)| index) {
        let volume = volumes.swap_remove(index);
        let name = volume.to_string();
        if let Content::Broken { error, .. } = volume.content {
            return Error::FileSystem { volume: name, path: None, error };
        }
    }
    let name = |volume: &Volume| volume.to_string();
    let unsupported = volumes.iter().filter(|volume| volume.is_unsupported()).map(name).collect();
    let found = volumes.iter().filter(|volume| volume.kind().is_some()).map(name).collect();
    Error::NoRoot { found, unsupported }
}
