//! Which file system is mounted where. The root is known by its files, the others by the root's fstab.

use crate::by_type;
use crate::error::Error;
use crate::file_system::{FileSystem, FileSystemError, Node};
use crate::fstab::{self, Device, Entry};
use crate::metadata::FileKind;
use crate::path::GuestPath;
use crate::volume::{Content, Volume};

/// A mount point, and what is mounted there.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    pub(crate) point: GuestPath,
    pub(crate) what: Mounted,
}

/// What is mounted at a mount point.
#[derive(Clone, Debug)]
pub(crate) enum Mounted {
    /// A directory, mostly the root, of the file system of the volume with this index.
    Volume { index: usize, root: Node },
    /// One that cannot be used, by its name.
    Unusable(String),
    /// One that is not on this disk.
    Absent(Device),
    /// One, by its name, that the guest may or may not mount: only its start decides.
    Undecided(String),
}

impl Mounted {
    /// What a line of fstab mounts, of the file systems on `volumes`.
    pub(crate) fn find(volumes: &[Volume], entry: &Entry) -> Result<Self, Error> {
        let matching = || volumes.iter().enumerate().filter(|(_, volume)| volume.is(&entry.device));
        let opened = matching().find_map(|(index, volume)| Some((index, volume, volume.file_system()?)));
        if let Some((index, volume, file_system)) = opened {
            let root = file_system.mount_root(&entry.options).map_err(|error| volume.failed(error))?;
            return Ok(root.map_or_else(|| Self::Unusable(volume.to_string()), |root| Self::Volume { index, root }));
        }
        Ok(match matching().next() {
            Some((_, volume)) => Self::Unusable(volume.to_string()),
            None => Self::Absent(entry.device.clone()),
        })
    }

    /// The whole file system of a volume.
    pub(crate) fn whole(volumes: &[Volume], index: usize) -> Self {
        match volumes[index].file_system() {
            Some(file_system) => Self::Volume { index, root: file_system.root() },
            None => Self::Unusable(volumes[index].to_string()),
        }
    }
}

/// A directory that is the root of a system.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    /// The index of its volume.
    pub(crate) volume: usize,
    /// The directory, mostly the root of the volume.
    pub(crate) directory: Node,
}

/// The roots on the volumes; there is at least one.
pub(crate) fn find_roots(volumes: &mut Vec<Volume>) -> Result<Vec<Root>, Error> {
    let mut roots = Vec::new();
    for (index, volume) in volumes.iter().enumerate() {
        if let Some(file_system) = volume.file_system()
            && let Some(directory) = find_root(file_system).map_err(|error| volume.failed(error))?
        {
            roots.push(Root { volume: index, directory });
        }
    }
    if let (true, Some(usr)) = (roots.is_empty(), by_type::usr(volumes)) {
        // The `os-release` that a root is known by is on that partition.
        let others = volumes.iter().enumerate().filter(|&(index, volume)| index != usr && volume.has_empty_usr());
        let directory = |(volume, of): (usize, &Volume)| Some(Root { volume, directory: of.file_system()?.root() });
        roots.extend(others.filter_map(directory));
    }
    if roots.is_empty() { Err(no_root(volumes)) } else { Ok(roots) }
}

/// The root of a system on this file system. If several subvolumes look like one, it is the default, or the first one
/// that its own fstab names: snapshots of a root look like it, too.
fn find_root(file_system: &dyn FileSystem) -> Result<Option<Node>, FileSystemError> {
    if !file_system.is_unix() {
        return Ok(None);
    }
    let mut found = Vec::new();
    for directory in file_system.roots() {
        if looks_like_root(file_system, &directory)? {
            if directory == file_system.root() {
                return Ok(Some(directory));
            }
            found.push(directory);
        }
    }
    for directory in &found {
        if mounts_itself(file_system, directory)? {
            return Ok(Some(directory.clone()));
        }
    }
    Ok(found.into_iter().next())
}

/// Whether there is an `/etc`, and an `os-release` in one of its two places.
fn looks_like_root(file_system: &dyn FileSystem, directory: &Node) -> Result<bool, FileSystemError> {
    let has = |names: &[&[u8]], kind: Option<FileKind>| -> Result<bool, FileSystemError> {
        let found = file_system.walk(directory, names)?;
        Ok(found.is_some_and(|(_, found)| kind.is_none_or(|kind| kind == found)))
    };
    Ok(has(&[b"etc"], Some(FileKind::Directory))?
        && (has(&[b"etc", b"os-release"], None)? || has(&[b"usr", b"lib", b"os-release"], None)?))
}

/// Whether the fstab below `directory` mounts that directory as the root.
fn mounts_itself(file_system: &dyn FileSystem, directory: &Node) -> Result<bool, FileSystemError> {
    let Some((file, FileKind::Regular)) = file_system.walk(directory, &[b"etc", b"fstab"])? else { return Ok(false) };
    let size_bytes = file_system.metadata(&file)?.size_bytes;
    if size_bytes > fstab::LIMIT_BYTES {
        return Ok(false);
    }
    let mut text = Vec::new();
    // A write to a vector cannot fail.
    let _ = file_system.read_to(&file, size_bytes, &mut text)?;
    for entry in fstab::parse(&String::from_utf8_lossy(&text)) {
        if entry.mount_point.is_root() && file_system.mount_root(&entry.options)?.as_ref() == Some(directory) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The error if no root was found. If there is a file system that could not be opened, the error is the one of the
/// largest of these, as it is probably the root.
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
