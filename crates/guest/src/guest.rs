//! The guest: all of its file systems, mounted as one tree.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use storage::WriteAt;

use crate::diff::touched::Files;
use crate::error::{Error, PathProblem};
use crate::file_system::{FileSystem, FileSystemError, KINDS, Kind, Node};
use crate::fstab;
use crate::metadata::{DirectoryEntry, FileKind, Metadata};
use crate::mount::{Mount, Mounted, Root, find_roots};
use crate::path::GuestPath;
use crate::place::Place;
use crate::resolve::{Found, LastLink, Lookup, Tree, lookup};
use crate::volume::{Content, Volume};

/// A disk as the tree of files that the guest sees when it runs.
pub struct Guest {
    pub(crate) volumes: Vec<Volume>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) root: Root,
    /// The roots of all systems, of which `root` is one.
    roots: Vec<Root>,
    /// The kinds of file systems that are looked for.
    pub(crate) kinds: &'static [Kind],
    /// The files of each volume that were edited since the guest was opened.
    pub(crate) edited: BTreeMap<usize, Files>,
    /// The real paths at which names were made, if somebody wants to know them.
    pub(crate) new_names: Option<BTreeSet<GuestPath>>,
}

/// A file of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub(crate) volume: usize,
    pub(crate) node: Node,
    kind: FileKind,
    /// The index of the mount at this directory, if its file system is not available.
    unmounted: Option<usize>,
}

/// A directory of a volume, mostly its root, and where it is in the guest's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountedVolume {
    /// The mount point.
    pub point: GuestPath,
    /// The index in [`Guest::volumes`].
    pub volume: usize,
    /// The directory of the volume.
    pub root: Node,
}

impl Location {
    /// A directory on which nothing is mounted.
    fn of_directory(volume: usize, node: Node) -> Self {
        Self { volume, node, kind: FileKind::Directory, unmounted: None }
    }

    /// Which kind of file it is.
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
    /// A journal that was left dirty is replayed, which writes to `disk`. Nothing else is written before
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// [`Error::Storage`], [`Error::Partition`], [`Error::NoRoot`], [`Error::SeveralRoots`], and
    /// [`Error::FileSystem`] if the only file system that could be the root cannot be opened.
    pub fn open(disk: Arc<dyn WriteAt>) -> Result<Self, Error> {
        Self::open_first(disk)?.refuse_several()
    }

    /// Does the same as [`open`](Self::open) with another list of the kinds of file systems, such as [`KINDS`] and one
    /// more that the caller implements.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(disk: Arc<dyn WriteAt>, kinds: &'static [Kind]) -> Result<Self, Error> {
        Self::open_first_with(disk, kinds)?.refuse_several()
    }

    /// Does the same as [`open`](Self::open). If several systems are on the disk, the first one is the guest.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), except [`Error::SeveralRoots`].
    pub fn open_first(disk: Arc<dyn WriteAt>) -> Result<Self, Error> {
        Self::open_first_with(disk, KINDS)
    }

    fn refuse_several(self) -> Result<Self, Error> {
        if let [_] = self.roots[..] {
            return Ok(self);
        }
        let name = |root: &Root| self.volumes[root.volume].to_string();
        Err(Error::SeveralRoots { volumes: self.roots.iter().map(name).collect() })
    }

    fn open_first_with(disk: Arc<dyn WriteAt>, kinds: &'static [Kind]) -> Result<Self, Error> {
        let mut volumes = open_volumes_with(&disk, kinds)?;
        let roots = find_roots(&mut volumes)?;
        let mut guest = Self {
            volumes,
            mounts: Vec::new(),
            root: roots[0].clone(),
            roots,
            kinds,
            edited: BTreeMap::new(),
            new_names: None,
        };
        guest.mount_all()?;
        Ok(guest)
    }

    /// Opens one file system of `disk`, at `place`, as if it were a guest. It need not be one: nothing else is mounted.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`], [`Error::Partition`], [`Error::FileSystem`], and [`Error::NoFileSystem`] if there is none.
    pub fn open_place(disk: &Arc<dyn WriteAt>, place: &Place) -> Result<Self, Error> {
        let mut volumes = open_volumes_with(disk, KINDS)?;
        let found = volumes.iter().position(|volume| volume.place() == *place);
        let found = found.filter(|&index| volumes[index].file_system().is_some() || volumes[index].problem().is_some());
        let no_file_system = |found: &[Volume]| {
            let found = found.iter().map(ToString::to_string).collect();
            Error::NoFileSystem { place: place.clone(), found }
        };
        let Some(root) = found else { return Err(no_file_system(&volumes)) };
        if volumes[root].problem().is_some() {
            let volume = volumes.swap_remove(root);
            let name = volume.to_string();
            return Err(match volume.content {
                Content::Broken { error, .. } => Error::FileSystem { volume: name, path: None, error },
                _ => no_file_system(&[]),
            });
        }
        let whole = volumes[root].file_system().map(|file_system| Root { volume: root, directory: file_system.root() });
        let root = whole.unwrap_or_else(|| unreachable!("what is not broken was opened"));
        let (mounts, roots, edited) = (Vec::new(), vec![root.clone()], BTreeMap::new());
        Ok(Self { volumes, mounts, root, roots, kinds: KINDS, edited, new_names: None })
    }

    /// How many systems are on the disk.
    pub fn systems(&self) -> usize {
        self.roots.len()
    }

    /// Makes the system with this index the guest; edits of the others are kept. Nothing changes if no system has this
    /// index.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) if its fstab cannot be read.
    pub fn enter_system(&mut self, index: usize) -> Result<(), Error> {
        if let Some(root) = self.roots.get(index) {
            self.root = root.clone();
            self.mounts.clear();
            self.mount_all()?;
        }
        Ok(())
    }

    /// Remembers from now on at which paths files are made.
    pub fn remember_new_names(&mut self) {
        self.new_names.get_or_insert_default();
    }

    /// The real paths at which files were made or got another name since they are remembered, or since this was called
    /// last, sorted. Some may be gone. `None` if they are not remembered.
    pub fn take_new_names(&mut self) -> Option<Vec<GuestPath>> {
        self.new_names.as_mut().map(|names| std::mem::take(names).into_iter().collect())
    }

    /// The partitions and their file systems, in the order of the partitions' numbers, and then the logical volumes, in
    /// the order of their names. A disk without a partition table is one volume.
    pub fn volumes(&self) -> &[Volume] {
        &self.volumes
    }

    /// The volume with the guest's root.
    pub fn root_volume(&self) -> &Volume {
        &self.volumes[self.root.volume]
    }

    /// The mount points of the volume with this index, in the order in which they are mounted.
    pub fn mount_points(&self, volume: usize) -> Vec<GuestPath> {
        let root = (volume == self.root.volume).then(GuestPath::root);
        let others =
            self.mounts.iter().filter(|mount| matches!(mount.what, Mounted::Volume { index, .. } if index == volume));
        root.into_iter().chain(others.map(|mount| mount.point.clone())).collect()
    }

    /// Which directory of which volume is where in the guest's tree: the root first, then the mount points in the order
    /// in which they are mounted. Of a place with several mounts, only the last is told.
    pub fn mounted(&self) -> Vec<MountedVolume> {
        let Root { volume, directory } = self.root.clone();
        let is_there = self.root_volume().file_system().is_some();
        let root = is_there.then_some(MountedVolume { point: GuestPath::root(), volume, root: directory });
        let others = self.mounts.iter().enumerate().filter_map(|(index, mount)| match &mount.what {
            Mounted::Volume { index: volume, root } => {
                let is_hidden = self.mounts[index + 1..].iter().any(|later| later.point == mount.point);
                let mounted = MountedVolume { point: mount.point.clone(), volume: *volume, root: root.clone() };
                (!is_hidden).then_some(mounted)
            }
            _ => None,
        });
        root.into_iter().chain(others).collect()
    }

    /// The guest itself, for somebody who needs to own it for a while. What stays here has no files.
    pub fn lend(&mut self) -> Self {
        let nothing = Self {
            volumes: Vec::new(),
            mounts: Vec::new(),
            root: Root { volume: 0, directory: Node::Names(Vec::new()) },
            roots: Vec::new(),
            kinds: self.kinds,
            edited: BTreeMap::new(),
            new_names: None,
        };
        std::mem::replace(self, nothing)
    }

    /// Mounts the lines of fstab, outer mount points first, and then the partitions that are mounted because of their
    /// type.
    fn mount_all(&mut self) -> Result<(), Error> {
        let path = GuestPath::new("/etc/fstab").map_err(|error| Error::bad_path(&GuestPath::root(), error))?;
        let text = match self.read_text(&path, fstab::LIMIT_BYTES) {
            Ok(text) => text,
            Err(Error::Path { .. }) => String::new(),
            Err(error) => return Err(error),
        };
        let mut entries = fstab::parse(&text);
        entries.retain(|entry| !entry.mount_point.is_root());
        entries.sort_by_key(|entry| entry.mount_point.components().count());
        for entry in entries {
            // If the mount point is missing or is not a directory, the mount fails in the guest as well.
            let Ok(Lookup::Found(found)) = lookup(self, &entry.mount_point, LastLink::Follow) else { continue };
            if found.node.kind == FileKind::Directory && found.node.unmounted.is_none() {
                let what = Mounted::find(&self.volumes, &entry)?;
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

    /// Kind, owner, mode, size and times of the file at `location`.
    ///
    /// # Errors
    ///
    /// [`Error::FileSystem`].
    pub fn metadata(&self, location: &Location) -> Result<Metadata, Error> {
        let file_system = self.file_system(location);
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
        let children = self.file_system(&found.node).children(&found.node.node);
        let children = children.map_err(|error| self.error(&found.node, Some(path), error))?;
        let entries = children.into_iter().map(|child| DirectoryEntry { name: child.name, kind: child.kind });
        let mut entries: Vec<DirectoryEntry> = entries.collect();
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

    /// Writes the content of the regular file at `path` to `out`. Symlinks are followed.
    ///
    /// The inner result is that of `out`.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find), [`PathProblem::IsADirectory`], [`PathProblem::NotARegularFile`].
    pub fn read_to(&self, path: &GuestPath, out: &mut dyn Write) -> Result<std::io::Result<()>, Error> {
        let (location, size_bytes) = self.find_regular(path)?;
        let read = self.file_system(&location).read_to(&location.node, size_bytes, out);
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
        let read = self.file_system(&location).read_data(&location.node, size_bytes, visit);
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

    /// The text of the file at `path`, of at most `limit_bytes` bytes. Bytes that are not UTF-8 are replaced.
    pub(crate) fn read_text(&self, path: &GuestPath, limit_bytes: u64) -> Result<String, Error> {
        let found = self.find(path, LastLink::Follow)?;
        if self.metadata(&found.node)?.size_bytes > limit_bytes {
            return Err(Error::path(path, PathProblem::TooLarge { limit_bytes }));
        }
        let mut bytes = Vec::new();
        // A write to a vector cannot fail.
        let _ = self.read_to(path, &mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) fn file_system(&self, location: &Location) -> &dyn FileSystem {
        let file_system = self.volumes[location.volume].file_system();
        file_system.unwrap_or_else(|| unreachable!("only a file system has locations"))
    }

    pub(crate) fn error(&self, location: &Location, path: Option<&GuestPath>, error: FileSystemError) -> Error {
        Error::FileSystem { volume: self.volumes[location.volume].to_string(), path: path.cloned(), error }
    }

    /// Refuses paths below a mount point whose file system is not available.
    pub(crate) fn check_mounted(&self, path: &GuestPath, location: &Location) -> Result<(), Error> {
        let Some(mount) = location.unmounted.map(|index| &self.mounts[index]) else { return Ok(()) };
        let mount_point = mount.point.clone();
        let problem = match &mount.what {
            Mounted::Absent(device) => PathProblem::NotOnThisDisk { mount_point, device: device.clone() },
            Mounted::Unusable(volume) => PathProblem::NotUsable { mount_point, volume: volume.clone() },
            Mounted::Undecided(volume) => PathProblem::Undecided { mount_point, volume: volume.clone() },
            Mounted::Volume { .. } => return Ok(()),
        };
        Err(Error::path(path, problem))
    }

    /// The file that the guest sees at `path`: `location`, or the root of what is mounted there.
    fn cross_mounts(&self, path: &GuestPath, location: Location) -> Location {
        // Of several mounts at one place, the last one hides the others.
        let Some(index) = self.mounts.iter().rposition(|mount| mount.point == *path) else { return location };
        match &self.mounts[index].what {
            Mounted::Volume { index, root } => Location::of_directory(*index, root.clone()),
            _ => Location { unmounted: Some(index), ..location },
        }
    }
}

impl Tree for Guest {
    type Node = Location;

    fn root(&self) -> Location {
        Location::of_directory(self.root.volume, self.root.directory.clone())
    }

    fn child(&self, parent: &Location, path: &GuestPath) -> Result<Option<Location>, Error> {
        self.check_mounted(path, parent)?;
        let name = path.name().unwrap_or_default();
        let file_system = self.file_system(parent);
        let found = file_system.lookup(&parent.node, name);
        let found = found.map_err(|error| self.error(parent, Some(path), error))?;
        let missing = || {
            // systemd makes a missing mount point.
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
        let file_system = self.file_system(location);
        file_system.read_link(&location.node).map_err(|error| self.error(location, None, error))
    }
}

/// Whether a file can have this name. Callers join it to a path, which must not lead out of the directory.
fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// Opens the file systems on the partitions of `disk` and on the logical volumes in them, or on the whole disk if it has
/// no partition table. There need not be a guest.
///
/// # Errors
///
/// [`Error::Storage`] and [`Error::Partition`].
pub fn open_volumes(disk: &Arc<dyn WriteAt>) -> Result<Vec<Volume>, Error> {
    open_volumes_with(disk, KINDS)
}

/// Does the same as [`open_volumes`] with another list of the kinds of file systems.
///
/// # Errors
///
/// As [`open_volumes`].
pub fn open_volumes_with(disk: &Arc<dyn WriteAt>, kinds: &'static [Kind]) -> Result<Vec<Volume>, Error> {
    let mut volumes = Volume::partitions(disk, kinds)?;
    let logical = Volume::open_logical(&mut volumes, kinds)?;
    volumes.extend(logical);
    Ok(volumes)
}
