use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hadris_fat::raw::DirEntryAttrFlags;
use hadris_fat::{FatDir, FatVolume, FileEntry};
use storage::{Printable, WriteAt};

use crate::boot_sector::{Geometry, Root};
use crate::device::{Device, Failure};
use crate::read::Place;
use crate::time::GivenTime;
use crate::{Error, FatType, Time, name, table};

/// A FAT file system on a storage.
///
/// Paths are given as the names on the way, from the root on; an empty path is the root itself.
/// Names are compared as FAT does, without regard to case.
pub struct FileSystem<S: WriteAt> {
    pub(crate) storage: Arc<S>,
    pub(crate) geometry: Geometry,
    pub(crate) volume: FatVolume<Device<S>>,
    pub(crate) failure: Failure,
    /// Where the last read of a file ended, so that the next need not begin at the front.
    pub(crate) place: Mutex<Option<Place>>,
    /// The first clusters of directories that have a cluster of another directory's, once they were looked for.
    shared: OnceLock<BTreeSet<u32>>,
}

/// The type of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file.
    Regular,
    /// A directory.
    Directory,
}

/// What a directory says of something in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// A file or a directory.
    pub kind: FileKind,
    /// Size in bytes; 0 for a directory.
    pub size_bytes: u64,
    /// When it was last modified, in steps of two seconds. FAT's first second for the root, which
    /// has no time, and for dates that do not exist.
    pub modified: Time,
    /// Whether it is marked as read-only.
    pub read_only: bool,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The long name if there is one, else the short one.
    pub name: String,
    /// What the directory says of it.
    pub metadata: Metadata,
}

/// A directory has at most 65,536 slots of 32 bytes.
pub(crate) const MAX_DIRECTORY_BYTES: u64 = 2 << 20;

/// How a directory's clusters end.
#[derive(PartialEq, Eq)]
enum Chain {
    Ends,
    /// In itself.
    IsLoop,
    /// In one of another directory's.
    IsShared,
}

/// Where a path leads.
pub(crate) enum Node {
    Root,
    Entry(Box<FileEntry>),
}

impl<S: WriteAt> FileSystem<S> {
    /// Opens the file system on `storage`.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the boot sector or the FSInfo sector is invalid;
    /// [`Error::Unsupported`] as the crate's first page says; [`Error::Storage`].
    pub fn open(storage: S) -> Result<Self, Error> {
        let geometry = Geometry::read(&storage)?;
        let storage = Arc::new(storage);
        let (device, failure) = Device::new(Arc::clone(&storage));
        let volume = FatVolume::builder(device)
            .time_provider(&GivenTime)
            .open()
            .map_err(|error| explain(error, &failure, &|| "boot sector".to_owned()))?;
        Ok(Self { storage, geometry, volume, failure, place: Mutex::default(), shared: OnceLock::new() })
    }

    /// FAT12, FAT16 or FAT32.
    pub fn fat_type(&self) -> FatType {
        self.geometry.fat_type
    }

    /// The volume's label: that of the root directory, else that of the boot sector; empty where
    /// there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] of the root directory; [`Error::Storage`].
    pub fn label(&self) -> Result<Vec<u8>, Error> {
        self.check_directory(&Node::Root, &[])?;
        let label = self.volume.read_root_label().map_err(|error| self.explain(error, &[]))?;
        let label = match label {
            Some(bytes) => bytes.trim_ascii_end().to_vec(),
            None => self.volume.volume_info().volume_label().as_bytes().to_vec(),
        };
        Ok(if label == b"NO NAME" { Vec::new() } else { label })
    }

    /// The size of a cluster, the unit of allocation, in bytes.
    pub fn cluster_size_bytes(&self) -> u32 {
        self.geometry.cluster_size_bytes
    }

    /// The size of all clusters, in bytes.
    pub fn size_bytes(&self) -> u64 {
        u64::from(self.geometry.clusters) * u64::from(self.geometry.cluster_size_bytes)
    }

    /// The size of all free clusters, in bytes, counted.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn free_bytes(&self) -> Result<u64, Error> {
        Ok(u64::from(table::count_free(&self.storage, &self.geometry)?) * u64::from(self.geometry.cluster_size_bytes))
    }

    /// What is at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotADirectory`], [`Error::InvalidName`], [`Error::Corrupt`],
    /// [`Error::Storage`].
    pub fn metadata<N: AsRef<[u8]>>(&self, path: &[N]) -> Result<Metadata, Error> {
        let path = &components(path);
        Ok(match self.resolve(path)? {
            Node::Root => {
                Metadata { kind: FileKind::Directory, size_bytes: 0, modified: Time::from_fat(0, 0), read_only: false }
            }
            Node::Entry(entry) => metadata_of(&entry),
        })
    }

    /// What is in the directory at `path`, in its own order, without `.` and `..`.
    ///
    /// A directory that is in itself or in two places is refused, so that walking down ends.
    ///
    /// # Errors
    ///
    /// Like [`metadata`](Self::metadata).
    pub fn read_directory<N: AsRef<[u8]>>(&self, path: &[N]) -> Result<Vec<DirectoryEntry>, Error> {
        let path = &components(path);
        let mut entries = Vec::new();
        for entry in self.directory(path)?.entries() {
            let hadris_fat::DirectoryEntry::Entry(entry) = entry.map_err(|error| self.explain(error, path))?;
            let name = entry.name().into_owned();
            if !matches!(name.as_str(), "." | "..") {
                entries.push(DirectoryEntry { name, metadata: metadata_of(&entry) });
            }
        }
        Ok(entries)
    }

    /// Writes whatever is cached to the storage.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.volume.sync().map_err(|error| self.explain(error, &[]))
    }

    /// Follows `path`.
    pub(crate) fn resolve(&self, path: &[&[u8]]) -> Result<Node, Error> {
        let mut node = Node::Root;
        for (depth, component) in path.iter().enumerate() {
            let wanted = name::to_look_for(component)?;
            let above = &path[..depth];
            let found = self.open_directory(&node, above)?.find(wanted);
            match found.map_err(|error| self.explain(error, above))? {
                Some(entry) => node = Node::Entry(Box::new(entry)),
                None => return Err(Error::NotFound { path: display(&path[..=depth]) }),
            }
        }
        Ok(node)
    }

    /// The directory at `path`.
    pub(crate) fn directory(&self, path: &[&[u8]]) -> Result<FatDir<'_, Device<S>>, Error> {
        let node = self.resolve(path)?;
        self.open_directory(&node, path)
    }

    pub(crate) fn open_directory(&self, node: &Node, path: &[&[u8]]) -> Result<FatDir<'_, Device<S>>, Error> {
        self.check_directory(node, path)?;
        match node {
            Node::Root => Ok(self.volume.root_dir()),
            Node::Entry(entry) => self.volume.open_dir_entry(entry).map_err(|error| self.explain(error, path)),
        }
    }

    /// Refuses what is not a directory, and one whose clusters do not end in time.
    fn check_directory(&self, node: &Node, path: &[&[u8]]) -> Result<(), Error> {
        if let Node::Entry(entry) = node
            && !entry.is_directory()
        {
            return Err(Error::NotADirectory { path: display(path) });
        }
        if let Node::Entry(entry) = node {
            let first = entry.cluster().0 as u32;
            if self.shared_directories()?.contains(&first) {
                let problem =
                    format!("the directory at cluster {first} shares clusters with another one, or contains itself");
                return Err(Error::corrupt(describe("directory", path), problem));
            }
        }
        self.directory_clusters(node, path).map(drop)
    }

    /// The first clusters of directories that have a cluster of another directory's. Each cluster is passed once,
    /// however directories refer to each other.
    fn shared_directories(&self) -> Result<&BTreeSet<u32>, Error> {
        if let Some(shared) = self.shared.get() {
            return Ok(shared);
        }
        let (mut passed, mut shared) = (BTreeMap::new(), BTreeSet::new());
        let is_sound = match self.geometry.root {
            Root::Cluster(root) => self.pass(root, 0, &mut passed)? == Chain::Ends,
            Root::Fixed { .. } => true,
        };
        let mut left = if is_sound { vec![self.volume.root_dir()] } else { Vec::new() };
        let mut number = 0;
        while let Some(directory) = left.pop() {
            for entry in directory.entries() {
                let entry = match entry {
                    Ok(hadris_fat::DirectoryEntry::Entry(entry)) => entry,
                    // Whoever reads the directory is told.
                    Err(error) => match self.explain(error, &[]) {
                        error @ Error::Storage(_) => return Err(error),
                        _ => break,
                    },
                };
                let first = entry.cluster().0 as u32;
                if !entry.is_directory() || matches!(&*entry.name(), "." | "..") || !self.geometry.has(first) {
                    continue;
                }
                number += 1;
                match self.pass(first, number, &mut passed)? {
                    Chain::Ends => left.extend(self.volume.open_dir_entry(&entry)),
                    Chain::IsShared => drop(shared.insert(first)),
                    Chain::IsLoop => {}
                }
            }
        }
        Ok(self.shared.get_or_init(|| shared))
    }

    /// Passes the chain from `first` on, which is the `number`-th, up to a cluster that was passed before.
    fn pass(&self, first: u32, number: u64, passed: &mut BTreeMap<u32, u64>) -> Result<Chain, Error> {
        let mut next = Some(first);
        while let Some(cluster) = next {
            match passed.insert(cluster, number) {
                None => {}
                Some(other) if other == number => return Ok(Chain::IsLoop),
                Some(_) => return Ok(Chain::IsShared),
            }
            next = match table::next(&self.storage, &self.geometry, cluster, &String::new) {
                Ok(next) => next,
                Err(error @ Error::Storage(_)) => return Err(error),
                Err(_) => None,
            };
        }
        Ok(Chain::Ends)
    }

    /// The clusters of a directory; none of a fixed root.
    pub(crate) fn directory_clusters(&self, node: &Node, path: &[&[u8]]) -> Result<Vec<u32>, Error> {
        let object = || describe("directory", path);
        let first = match (node, self.geometry.root) {
            (Node::Root, Root::Fixed { .. }) => return Ok(Vec::new()),
            (Node::Root, Root::Cluster(cluster)) => cluster,
            (Node::Entry(entry), _) => entry.cluster().0 as u32,
        };
        if !self.geometry.has(first) {
            return Err(Error::corrupt(object(), format!("its first cluster is {first}, which does not exist")));
        }
        let limit = (MAX_DIRECTORY_BYTES / u64::from(self.geometry.cluster_size_bytes)) as usize;
        let mut clusters = vec![first];
        let mut last = first;
        while let Some(next) = table::next(&self.storage, &self.geometry, last, &object)? {
            if clusters.len() == limit {
                return Err(Error::corrupt(object(), format!("it has more than {limit} clusters, or a loop of them")));
            }
            clusters.push(next);
            last = next;
        }
        Ok(clusters)
    }

    pub(crate) fn explain(&self, error: hadris_fat::Error, path: &[&[u8]]) -> Error {
        explain(error, &self.failure, &|| describe("path", path))
    }

    /// Forgets where the last read ended: an edit can have moved it.
    pub(crate) fn forget_place(&mut self) {
        *self.place.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The crate's error as one of ours.
fn explain(error: hadris_fat::Error, failure: &Failure, object: &dyn Fn() -> String) -> Error {
    match (failure.take(), error) {
        (Some(storage), _) => Error::Storage(storage),
        (None, error) => Error::corrupt(object(), error.to_string()),
    }
}

pub(crate) fn components<N: AsRef<[u8]>>(path: &[N]) -> Vec<&[u8]> {
    path.iter().map(AsRef::as_ref).collect()
}

/// The path in one piece.
pub(crate) fn display(path: &[&[u8]]) -> String {
    Printable(&path.join(&b'/')).to_string()
}

/// The object of a finding at `path`.
pub(crate) fn describe(what: &str, path: &[&[u8]]) -> String {
    if path.is_empty() { "root directory".to_owned() } else { format!("{what} {}", display(path)) }
}

fn metadata_of(entry: &FileEntry) -> Metadata {
    let modified = entry.modified();
    let is_directory = entry.is_directory();
    Metadata {
        kind: if is_directory { FileKind::Directory } else { FileKind::Regular },
        size_bytes: if is_directory { 0 } else { entry.len() },
        modified: Time::from_fat(modified.date, modified.time),
        read_only: entry.attributes().contains(DirEntryAttrFlags::READ_ONLY),
    }
}
