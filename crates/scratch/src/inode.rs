//! A file of the tree.

use std::collections::{BTreeMap, HashMap};

use guest::file_system::Node;
use guest::{FileKind, Metadata, Time};

use crate::content::Content;

/// The number of a file in its tree. Files that the guest had keep their numbers.
pub type InodeNumber = u64;

/// Extended attributes by their whole names.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// A file.
#[derive(Debug)]
pub(crate) struct Inode {
    /// The file of the guest that this one is, changed or not.
    pub(crate) origin: Option<Node>,
    /// Kind, mode, owner, size, number of names, times. The size of a directory is of no use.
    pub(crate) metadata: Metadata,
    pub(crate) data: Data,
    /// `None`: those of the origin.
    pub(crate) xattrs: Option<Xattrs>,
    /// What `lsattr` shows; `None`: as the origin has it.
    pub(crate) flags: Option<u32>,
    /// A directory that it is in, and its name there. Of several names it is the last that was looked up.
    pub(crate) place: (InodeNumber, Vec<u8>),
    /// How often the kernel has been told of it and has not forgotten it.
    pub(crate) lookups: u64,
    /// Whether it may differ from the origin.
    pub(crate) is_changed: bool,
    /// Whether something below it may differ.
    pub(crate) has_changes: bool,
}

/// What is in a file.
#[derive(Debug)]
pub(crate) enum Data {
    /// What is in the origin.
    Origin,
    /// Content of a regular file that was written to.
    Content(Content),
    /// The target of a new symlink.
    Target(Vec<u8>),
    /// The files of a directory that was listed or changed.
    Children(Children),
    /// Devices, FIFOs and sockets have nothing in them.
    Nothing,
}

/// The files of a directory. Each has a number that only grows, so that a list that is read in pieces misses none and
/// has none twice, whatever is added or removed meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Children {
    /// By name; of file systems that do not tell upper case from lower case, by the folded name.
    names: HashMap<Vec<u8>, u64>,
    entries: BTreeMap<u64, Entry>,
    last: u64,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) inode: InodeNumber,
    pub(crate) kind: FileKind,
}

impl Children {
    pub(crate) fn get(&self, folded: &[u8]) -> Option<&Entry> {
        self.entries.get(self.names.get(folded)?)
    }

    pub(crate) fn insert(&mut self, folded: Vec<u8>, entry: Entry) {
        match self.names.get(&folded) {
            Some(at) => {
                self.entries.insert(*at, entry);
            }
            None => {
                self.last += 1;
                self.names.insert(folded, self.last);
                self.entries.insert(self.last, entry);
            }
        }
    }

    pub(crate) fn remove(&mut self, folded: &[u8]) -> Option<Entry> {
        self.entries.remove(&self.names.remove(folded)?)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries after the one with this number, each with its own.
    pub(crate) fn after(&self, number: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.range(number + 1..).map(|(&number, entry)| (number, entry))
    }
}

impl Inode {
    pub(crate) fn of_origin(origin: Node, metadata: Metadata, place: (InodeNumber, Vec<u8>)) -> Self {
        Self {
            origin: Some(origin),
            metadata,
            data: Data::Origin,
            xattrs: None,
            flags: None,
            place,
            lookups: 0,
            is_changed: false,
            has_changes: false,
        }
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.metadata.kind == FileKind::Directory
    }

    /// Notes a change of content at `now`.
    pub(crate) fn modified(&mut self, now: Time) {
        (self.metadata.modified, self.metadata.changed) = (now, now);
    }
}
