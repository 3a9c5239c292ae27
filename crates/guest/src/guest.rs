//! The guest: its file systems as one tree.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use partition::Table;
use storage::WriteAt;

use crate::diff::touched::Files;
use crate::error::{Error, FileSystemError, PathProblem};
use crate::file_system::{FileSystem, Node};
use crate::fstab;
use crate::metadata::{DirectoryEntry, FileKind, Metadata};
use crate::mount::{Mount, Mounted, find_root};
use crate::path::GuestPath;
use crate::resolve::{Found, LastLink, Lookup, Tree, lookup};
use crate::volume::{Content, Volume};

/// The largest `/etc/fstab` that is read, in bytes.
const FSTAB_LIMIT_BYTES: u64 = 1 << 20;

/// A disk as the tree of files that the guest would see.
pub struct Guest {
    pub(crate) volumes: Vec<Volume>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) root: usize,
    /// Volume → what edits were about since it was opened.
    pub(crate) edited: BTreeMap<usize, Files>,
}

/// A file of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub(crate) volume: usize,
    pub(crate) node: Node,
    kind: FileKind,
    /// The index of the mount that cannot be mounted here.
    unmounted: Option<usize>,
}

impl Location {
    /// What kind of file it is.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// The index in [`Guest::volumes`] of the file system that it is on.
    pub fn volume(&self) -> usize {
        self.volume
    }
}

impl Guest {
    /// Opens the guest on `disk`: finds its file systems and mounts them as its fstab says.
    ///
    /// Dirty journals are replayed into `disk`; nothing else is written to it before
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// [`Error::Storage`], [`Error::Partition`], [`Error::NoRoot`], [`Error::SeveralRoots`], and
    /// [`Error::FileSystem`] where the only file system that could be the root cannot be opened.
    pub fn open(disk: Arc<dyn WriteAt>) -> Result<Self, Error> {
        let mut volumes = open_volumes(&disk)?;
        let root = find_root(&mut volumes)?;
        let mut guest = Self { volumes, mounts: Vec::new(), root, edited: BTreeMap::new() };
        guest.mount_all()?;
        Ok(guest)
    }

    /// The partitions with what is on them, in the order of their numbers; the whole disk where it
    /// has no partition table.
    pub fn volumes(&self) -> &[Volume] {
        &self.volumes
    }

    /// The volume that has the guest's root.
    pub fn root_volume(&self) -> &Volume {
        &self.volumes[self.root]
    }

    /// Where the file system of the volume with this index is mounted, first mount point first.
    pub fn mount_points(&self, volume: usize) -> Vec<GuestPath> {
        let root = (volume == self.root).then(GuestPath::root);
        let others = self.mounts.iter().filter(|mount| matches!(mount.what, Mounted::Volume(index) if index == volume));
        root.into_iter().chain(others.map(|mount| mount.point.clone())).collect()
    }

    /// Mounts what fstab lists, outer mount points first, and then what is mounted by its type.
    fn mount_all(&mut self) -> Result<(), Error> {
        let path = GuestPath::new("/etc/fstab").map_err(|error| Error::bad_path(&GuestPath::root(), error))?;
        let text = match self.read_text(&path, FSTAB_LIMIT_BYTES) {
            Ok(text) => text,
            Err(Error::Path { .. }) => String::new(),
            Err(error) => return Err(error),
        };
        let mut entries = fstab::parse(&text);
        entries.retain(|entry| !entry.mount_point.is_root());
        entries.sort_by_key(|entry| entry.mount_point.components().count());
        for entry in entries {
            // A mount point that is not there, or is no directory, fails at boot as well.
            let Ok(Lookup::Found(found)) = lookup(self, &entry.mount_point, LastLink::Follow) else { continue };
            if found.node.kind == FileKind::Directory && found.node.unmounted.is_none() {
                let what = Mounted::find(&self.volumes, &entry.device);
                self.mounts.push(Mount { point: found.path, what });
            }
        }
        self.mount_by_type(&text)
    }

    /// What is at `path`.
    ///
    /// # Errors
    ///
    /// As [`lookup`].
    pub fn lookup(&self, path: &GuestPath, last: LastLink) -> Result<Lookup<Location>, Error> {
        lookup(self, path, last)
    }

    /// The file at `path`.
    ///
    /// # Errors
    ///
    /// As [`lookup`], and [`PathProblem::NotFound`].
    pub fn find(&self, path: &GuestPath, last: LastLink) -> Result<Found<Location>, Error> {
        match self.lookup(path, last)? {
            Lookup::Found(found) => Ok(found),
            Lookup::Missing { .. } => Err(Error::path(path, PathProblem::NotFound)),
        }
    }

    /// What is known of the file at `location` besides its content.
    ///
    /// # Errors
    ///
    /// [`Error::FileSystem`].
    pub fn metadata(&self, location: &Location) -> Result<Metadata, Error> {
        let file_system = self.file_system(location)?;
        file_system.metadata(&location.node).map_err(|error| self.error(location, None, error))
    }

    /// The names in the directory at `path`, sorted by their bytes.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find), and [`PathProblem::NotADirectory`].
    pub fn read_directory(&self, path: &GuestPath) -> Result<Vec<DirectoryEntry>, Error> {
        let found = self.find(path, LastLink::Follow)?;
        if found.node.kind != FileKind::Directory {
            return Err(Error::path(path, PathProblem::NotADirectory { at: found.path }));
        }
        self.check_mounted(path, &found.node)?;
        let entries = self.file_system(&found.node)?.read_directory(&found.node.node);
        let mut entries = entries.map_err(|error| self.error(&found.node, Some(path), error))?;
        if let Some(bad) = entries.iter().find(|entry| !is_name(&entry.name)) {
            return Err(Error::path(path, PathProblem::BadName { name: bad.name.clone() }));
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// The target of the symlink at `path`.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find), and [`PathProblem::NotASymlink`].
    pub fn read_link(&self, path: &GuestPath) -> Result<Vec<u8>, Error> {
        let found = self.find(path, LastLink::Keep)?;
        if found.node.kind != FileKind::Symlink {
            return Err(Error::path(path, PathProblem::NotASymlink));
        }
        self.link_target(&found.node)
    }

    /// Gives the content of the regular file at `path` to `out`; symlinks are followed.
    ///
    /// The inner result is what `out` says.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find), [`PathProblem::IsADirectory`], [`PathProblem::NotARegularFile`].
    pub fn read_to(&self, path: &GuestPath, out: &mut dyn Write) -> Result<std::io::Result<()>, Error> {
        let (location, size_bytes) = self.find_regular(path)?;
        let read = self.file_system(&location)?.read_to(&location.node, size_bytes, out);
        read.map_err(|error| self.error(&location, Some(path), error))
    }

    /// Gives the parts of the regular file at `path` that are not holes to `visit`, in order, each with its offset, and
    /// returns the file's size in bytes; symlinks are followed.
    ///
    /// The inner result is what `visit` says.
    ///
    /// # Errors
    ///
    /// As [`read_to`](Self::read_to).
    pub fn read_data(
        &self,
        path: &GuestPath,
        visit: &mut dyn FnMut(u64, &[u8]) -> std::io::Result<()>,
    ) -> Result<std::io::Result<u64>, Error> {
        let (location, size_bytes) = self.find_regular(path)?;
        let read = self.file_system(&location)?.read_data(&location.node, size_bytes, visit);
        let visited = read.map_err(|error| self.error(&location, Some(path), error))?;
        Ok(visited.map(|()| size_bytes))
    }

    /// The regular file at `path`, and its size in bytes.
    fn find_regular(&self, path: &GuestPath) -> Result<(Location, u64), Error> {
        let found = self.find(path, LastLink::Follow)?;
        match found.node.kind {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Error::path(path, PathProblem::IsADirectory)),
            _ => return Err(Error::path(path, PathProblem::NotARegularFile)),
        }
        let size_bytes = self.metadata(&found.node)?.size_bytes;
        Ok((found.node, size_bytes))
    }

    /// The text file at `path`, which may have `limit_bytes` bytes; what is not UTF-8 is replaced.
    pub(crate) fn read_text(&self, path: &GuestPath, limit_bytes: u64) -> Result<String, Error> {
        let found = self.find(path, LastLink::Follow)?;
        if self.metadata(&found.node)?.size_bytes > limit_bytes {
            return Err(Error::path(path, PathProblem::TooLarge { limit_bytes }));
        }
        let mut bytes = Vec::new();
        // A vector takes everything.
        let _ = self.read_to(path, &mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) fn file_system(&self, location: &Location) -> Result<&FileSystem, Error> {
        match &self.volumes[location.volume].content {
            Content::FileSystem(file_system) => Ok(file_system),
            _ => unreachable!("only a file system has locations"),
        }
    }

    pub(crate) fn error(&self, location: &Location, path: Option<&GuestPath>, error: FileSystemError) -> Error {
        Error::FileSystem { volume: self.volumes[location.volume].to_string(), path: path.cloned(), error }
    }

    /// Refuses what is below a mount point whose file system is not there.
    pub(crate) fn check_mounted(&self, path: &GuestPath, location: &Location) -> Result<(), Error> {
        let Some(mount) = location.unmounted.map(|index| &self.mounts[index]) else { return Ok(()) };
        let mount_point = mount.point.clone();
        let problem = match &mount.what {
            Mounted::Absent(device) => PathProblem::NotOnThisDisk { mount_point, device: device.clone() },
            Mounted::Unusable(volume) => PathProblem::NotUsable { mount_point, volume: volume.clone() },
            Mounted::Undecided(volume) => PathProblem::Undecided { mount_point, volume: volume.clone() },
            Mounted::Volume(_) => return Ok(()),
        };
        Err(Error::path(path, problem))
    }

    /// What is seen at `path`, where the file system below has `location`.
    fn cross_mounts(&self, path: &GuestPath, location: Location) -> Location {
        // The last one hides the others.
        let Some(index) = self.mounts.iter().rposition(|mount| mount.point == *path) else { return location };
        match self.mounts[index].what {
            Mounted::Volume(volume) => self.root_of(volume),
            _ => Location { unmounted: Some(index), ..location },
        }
    }

    fn root_of(&self, volume: usize) -> Location {
        let node = self.volumes[volume].file_system().map(FileSystem::root);
        let node = node.unwrap_or_else(|| unreachable!("only file systems are mounted"));
        Location { volume, node, kind: FileKind::Directory, unmounted: None }
    }
}

impl Tree for Guest {
    type Node = Location;

    fn root(&self) -> Location {
        self.root_of(self.root)
    }

    fn child(&self, parent: &Location, path: &GuestPath) -> Result<Option<Location>, Error> {
        self.check_mounted(path, parent)?;
        let name = path.name().unwrap_or_default();
        let file_system = self.file_system(parent)?;
        let found = file_system.lookup(&parent.node, name);
        let found = found.map_err(|error| self.error(parent, Some(path), error))?;
        let missing = || {
            // systemd makes the directory that it mounts at.
            let is_mounted = self.mounts.iter().any(|mount| mount.point == *path);
            is_mounted.then(|| self.cross_mounts(path, Location { unmounted: None, ..parent.clone() }))
        };
        let there = found.map(|(node, kind)| {
            self.cross_mounts(path, Location { volume: parent.volume, node, kind, unmounted: None })
        });
        Ok(there.or_else(missing))
    }

    fn kind(&self, location: &Location) -> FileKind {
        location.kind
    }

    fn link_target(&self, location: &Location) -> Result<Vec<u8>, Error> {
        let file_system = self.file_system(location)?;
        file_system.read_link(&location.node).map_err(|error| self.error(location, None, error))
    }
}

/// Whether a directory may have this name in it: whoever joins it to a path must stay below.
fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// Looks at the partitions of `disk`, or at all of it where it has no partition table, without
/// asking whether there is a guest.
///
/// # Errors
///
/// [`Error::Storage`] and [`Error::Partition`].
pub fn open_volumes(disk: &Arc<dyn WriteAt>) -> Result<Vec<Volume>, Error> {
    match partition::read(disk)? {
        Table::None => Ok(vec![Volume::open(disk, None)?]),
        table => table.partitions().iter().map(|partition| Volume::open(disk, Some(partition.clone()))).collect(),
    }
}
