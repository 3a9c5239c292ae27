//! What differs between the tree and the guest, path by path.
//!
//! The result depends on how the guest was and on how the tree is, and not on what happened between: a file that was
//! written to, and one that another file with the same content was renamed over, are the same difference. So two runs
//! of a command that end in the same tree are grafted as the same bytes.
//!
//! 1. Directories in which nothing differs are not looked into. From the others come the names that are gone, those
//!    that are new, and those whose file may differ.
//! 2. Names of the same file belong together. A file of the guest stays if it has the same content in the end, whatever
//!    happened to it; otherwise it is made anew, under the smallest of its names, and the others are linked to that.
//! 3. What stays gets the mode, owner, times and attributes that it has in the tree.
//!
//! A directory that has the same names as before keeps its time: that something was made and removed again in it says
//! nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use guest::file_system::Node;
use guest::{Attributes, FileKind, FileSystemError, GuestPath, Metadata, Printable, Special, Time};
use rustix::io::Errno;
use storage::ReadAt;

use crate::content::{Content, Source};
use crate::inode::{Data, InodeNumber, Xattrs};
use crate::tree::{Tree, read_full};

/// How much of two files is compared at a time, in bytes.
const COMPARED_BYTES: usize = 1 << 18;

/// The attribute that a kernel in a user namespace may have given another form.
const CAPABILITY: &[u8] = b"security.capability";

/// Why a difference could not be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The guest could not be read.
    #[error("the guest's files could not be compared")]
    FileSystem(#[from] FileSystemError),
    /// The host's own file failed.
    #[error("the file that keeps what was changed could not be read or written")]
    Host(#[source] std::io::Error),
    /// A path is longer than a guest can have.
    #[error("a path below `{path}` is too long to be kept: the longest has 4095 bytes")]
    TooLong {
        /// The directory.
        path: GuestPath,
    },
    /// A name in a damaged directory.
    #[error("the directory `{path}` has a name in it that no file can have: `{}`", Printable(name))]
    BadName {
        /// The directory.
        path: GuestPath,
        /// The name.
        name: Vec<u8>,
    },
    /// A capability that only counts in a user namespace of the host.
    #[error("`{path}` got capabilities that belong to another user namespace (root id {root})")]
    Capability {
        /// The file.
        path: GuestPath,
        /// The user id that is root there.
        root: u32,
    },
}

impl From<Errno> for Error {
    fn from(error: Errno) -> Self {
        Self::Host(error.into())
    }
}

type Result<T> = std::result::Result<T, Error>;

/// Which times are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When programs began to change the tree. What has a time from then on was written by them.
    pub began: Time,
    /// The time that it gets.
    pub modified: Time,
    /// No time is after this one: `SOURCE_DATE_EPOCH`.
    pub latest: Option<Time>,
}

impl Times {
    /// All times stay as programs set them.
    pub const AS_THEY_ARE: Self = Self {
        began: Time { seconds: i64::MAX, nanoseconds: 0 },
        modified: Time { seconds: 0, nanoseconds: 0 },
        latest: None,
    };

    fn of(&self, time: Time) -> Time {
        let time = if time >= self.began { self.modified } else { time };
        self.latest.map_or(time, |latest| time.min(latest))
    }
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Made,
    /// It is another, or has another mode, owner, time or attribute.
    Changed,
    /// It is gone, with all that was below it.
    Removed,
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// What happened to it.
    pub change: ChangeKind,
    /// Where it is.
    pub path: GuestPath,
    /// Its kind.
    pub kind: FileKind,
    /// Size in bytes of a regular file.
    pub size_bytes: Option<u64>,
}

/// What a file has besides its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Properties {
    pub(crate) attributes: Attributes,
    pub(crate) xattrs: Xattrs,
    pub(crate) flags: u32,
}

/// A file that is made.
pub(crate) enum Made {
    Directory,
    File(Arc<dyn ReadAt>),
    Symlink(Vec<u8>),
    Special(Special),
    /// Another name of the file that has this one.
    Link(GuestPath),
}

/// What has to be done to the guest for it to be as the tree is.
#[derive(Default)]
pub struct Difference {
    /// The files that differ, by path.
    pub changes: Vec<FileChange>,
    pub(crate) removed: Vec<(GuestPath, FileKind)>,
    pub(crate) made: BTreeMap<GuestPath, (Made, Option<Properties>)>,
    /// What stays: as it was, and as it is.
    pub(crate) set: Vec<(GuestPath, Properties, Properties)>,
    pub(crate) changed: Time,
}

impl std::fmt::Debug for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Difference").field("changes", &self.changes).finish_non_exhaustive()
    }
}

/// A path that may differ.
struct Pair {
    path: GuestPath,
    base: Option<Node>,
    inode: InodeNumber,
    /// Whether a directory has other names in it than before.
    has_other_names: bool,
}

/// The paths that may differ.
#[derive(Default)]
struct Pairs {
    removed: Vec<(GuestPath, FileKind)>,
    directories: Vec<Pair>,
    files: Vec<Pair>,
}

impl Tree {
    /// What differs from the guest, whose tree has this one at `point`, but for the paths that `is_left_out` names and
    /// what is below them. What programs wrote is in the result from now on.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn into_difference(
        mut self,
        point: &GuestPath,
        times: &Times,
        is_left_out: &dyn Fn(&GuestPath) -> bool,
    ) -> Result<Difference> {
        self.withdraw_phantoms()?;
        let pairs = self.pairs(point, is_left_out)?;
        let changed = times.latest.map_or(times.modified, |latest| latest.min(times.modified));
        let mut work = Work {
            point,
            times,
            visited: pairs.files.iter().map(|pair| pair.path.clone()).collect(),
            kept: HashSet::new(),
            difference: Difference { changed, ..Difference::default() },
            tree: &mut self,
        };
        for (path, kind) in pairs.removed {
            work.remove(path, kind)?;
        }
        for pair in pairs.directories {
            work.directory(pair)?;
        }
        let mut groups: BTreeMap<InodeNumber, Vec<Pair>> = BTreeMap::new();
        for pair in pairs.files {
            groups.entry(pair.inode).or_default().push(pair);
        }
        let mut groups: Vec<Vec<Pair>> = groups.into_values().collect();
        for group in &mut groups {
            group.sort_by(|one, other| one.path.cmp(&other.path));
        }
        // In the order of paths, so that it does not depend on numbers which group may keep what.
        groups.sort_by(|one, other| one[0].path.cmp(&other[0].path));
        for group in groups {
            work.file(group)?;
        }
        let mut difference = work.difference;
        difference.changes.sort_by(|one, other| one.path.cmp(&other.path));
        difference.removed.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(difference)
    }

    /// The paths that may differ.
    fn pairs(&mut self, point: &GuestPath, is_left_out: &dyn Fn(&GuestPath) -> bool) -> Result<Pairs> {
        let mut pairs = Pairs::default();
        if is_left_out(point) {
            return Ok(pairs);
        }
        let root = self.root();
        let origin = self.inode(root)?.origin.clone();
        let mut left = vec![(point.clone(), origin, root)];
        while let Some((path, base, number)) = left.pop() {
            let before = self.base_children(&path, base.as_ref())?;
            self.list(number)?;
            let mut now = BTreeMap::new();
            for (_, entry) in self.children(number)?.after(0) {
                now.insert(entry.name.clone(), entry.clone());
            }
            let now: BTreeMap<Vec<u8>, _> = now.into_iter().map(|(name, entry)| (self.folded(&name), entry)).collect();
            let mut has_other_names = false;
            for (folded, (name, _, kind)) in &before {
                let child = join(&path, name)?;
                if !now.contains_key(folded) && !is_left_out(&child) {
                    has_other_names = true;
                    pairs.removed.push((child, *kind));
                }
            }
            for (folded, entry) in now {
                let child = join(&path, &entry.name)?;
                if is_left_out(&child) {
                    continue;
                }
                let was = before.get(&folded).map(|(_, node, kind)| (node.clone(), *kind));
                has_other_names |= was.is_none();
                if let Some((node, _)) = &was
                    && self.is_untouched(entry.inode, node)
                {
                    continue;
                }
                self.lookup(number, &entry.name)?;
                let base = match was {
                    Some((node, kind)) if kind == entry.kind => Some(node),
                    Some((_, kind)) => {
                        pairs.removed.push((child.clone(), kind));
                        None
                    }
                    None => None,
                };
                if entry.kind == FileKind::Directory {
                    left.push((child, base, entry.inode));
                } else {
                    pairs.files.push(Pair { path: child, base, inode: entry.inode, has_other_names: false });
                }
            }
            pairs.directories.push(Pair { path, base, inode: number, has_other_names });
        }
        Ok(pairs)
    }

    /// The names that a directory of the guest had: folded, as it is, the file, its kind.
    #[allow(clippy::type_complexity, reason = "a table that is used once")]
    fn base_children(
        &self,
        path: &GuestPath,
        base: Option<&Node>,
    ) -> Result<BTreeMap<Vec<u8>, (Vec<u8>, Node, FileKind)>> {
        let Some(base) = base else { return Ok(BTreeMap::new()) };
        let children = self.base.read(|file_system| file_system.children(base))?;
        if let Some(bad) = children.iter().find(|child| !is_name(&child.name)) {
            return Err(Error::BadName { path: path.clone(), name: bad.name.clone() });
        }
        Ok(children.into_iter().map(|child| (self.folded(&child.name), (child.name, child.node, child.kind))).collect())
    }

    /// Whether the file with this number is that of the guest, and nothing of it or below it was changed.
    fn is_untouched(&mut self, number: InodeNumber, node: &Node) -> bool {
        match self.inodes.get(&number) {
            Some(inode) => inode.origin.as_ref() == Some(node) && !inode.is_changed && !inode.has_changes,
            None => self.number_of(node) == number,
        }
    }
}

struct Work<'a> {
    tree: &'a mut Tree,
    point: &'a GuestPath,
    times: &'a Times,
    /// The paths of files that may differ.
    visited: BTreeSet<GuestPath>,
    /// Files of the guest that stay under a name that was looked at.
    kept: HashSet<Node>,
    difference: Difference,
}

impl Work<'_> {
    fn report(&mut self, change: ChangeKind, path: &GuestPath, metadata: &Metadata) {
        let size_bytes = (metadata.kind == FileKind::Regular).then_some(metadata.size_bytes);
        self.difference.changes.push(FileChange { change, path: path.clone(), kind: metadata.kind, size_bytes });
    }

    fn remove(&mut self, path: GuestPath, kind: FileKind) -> Result<()> {
        let change = FileChange { change: ChangeKind::Removed, path: path.clone(), kind, size_bytes: None };
        self.difference.changes.push(change);
        self.difference.removed.push((path, kind));
        Ok(())
    }

    /// The properties of a file in the end.
    fn properties(&mut self, path: &GuestPath, number: InodeNumber) -> Result<Properties> {
        let metadata = &self.tree.inode(number)?.metadata;
        let attributes = Attributes {
            permissions: metadata.permissions,
            uid: metadata.uid,
            gid: metadata.gid,
            modified: self.times.of(metadata.modified),
        };
        let flags = self.tree.flags(number)?;
        let mut xattrs = self.tree.xattrs(number)?.clone();
        if let Some(value) = xattrs.get_mut(CAPABILITY) {
            unwrap_capability(path, value)?;
        }
        Ok(Properties { attributes, xattrs, flags })
    }

    /// The properties that a file of the guest had.
    fn properties_of_base(&self, node: &Node) -> Result<Properties> {
        Ok(self.tree.base.read(|file_system| {
            let metadata = file_system.metadata(node)?;
            let attributes = Attributes {
                permissions: metadata.permissions,
                uid: metadata.uid,
                gid: metadata.gid,
                modified: metadata.modified,
            };
            let xattrs = file_system.xattrs(node)?.into_iter().collect();
            Ok(Properties { attributes, xattrs, flags: file_system.extras(node)?.flags })
        })?)
    }

    fn directory(&mut self, pair: Pair) -> Result<()> {
        let Pair { path, base, inode, has_other_names } = pair;
        let mut now = self.properties(&path, inode)?;
        let metadata = self.tree.inode(inode)?.metadata.clone();
        match base {
            None => {
                self.report(ChangeKind::Made, &path, &metadata);
                self.difference.made.insert(path, (Made::Directory, Some(now)));
            }
            Some(node) => {
                let before = self.properties_of_base(&node)?;
                if !has_other_names && metadata.modified >= self.times.began {
                    now.attributes.modified = before.attributes.modified;
                }
                self.set(path, before, now, &metadata);
            }
        }
        Ok(())
    }

    /// Has a file that stays be as it is now.
    fn set(&mut self, path: GuestPath, before: Properties, now: Properties, metadata: &Metadata) {
        if self.tree.is_unix && before != now {
            self.report(ChangeKind::Changed, &path, metadata);
            self.difference.set.push((path, before, now));
        }
    }

    /// The names of one file, sorted, of which at least one may differ.
    fn file(&mut self, group: Vec<Pair>) -> Result<()> {
        let number = group[0].inode;
        let inode = self.tree.inode(number)?;
        let (metadata, origin) = (inode.metadata.clone(), inode.origin.clone());
        // Names that nobody changed were not looked at.
        let others = match &origin {
            Some(origin) if u64::from(metadata.links) > group.len() as u64 => self.other_names(origin)?,
            _ => Vec::new(),
        };
        let kept = self.kept_node(&group, origin.as_ref(), !others.is_empty())?;
        let Some(node) = kept else {
            // All of its names get a new file.
            let mut names: Vec<(GuestPath, bool)> =
                group.into_iter().map(|pair| (pair.path, pair.base.is_some())).collect();
            names.extend(others.into_iter().map(|path| (path, true)));
            names.sort();
            let now = self.properties(&names[0].0, number)?;
            let made = self.made(number, &metadata)?;
            self.make(&names, made, Some(now), &metadata)?;
            return Ok(());
        };
        self.kept.insert(node.clone());
        let own = group.iter().find(|pair| pair.base.as_ref() == Some(&node)).map(|pair| pair.path.clone());
        let first = own.or_else(|| others.first().cloned()).unwrap_or_else(|| group[0].path.clone());
        let before = self.properties_of_base(&node)?;
        let now = self.properties(&first, number)?;
        self.set(first.clone(), before, now, &metadata);
        for pair in group.into_iter().filter(|pair| pair.base.as_ref() != Some(&node)) {
            self.make(&[(pair.path, pair.base.is_some())], Made::Link(first.clone()), None, &metadata)?;
        }
        Ok(())
    }

    /// Makes a file under the first of `names`, and links the others to it. Each says whether it is taken.
    fn make(
        &mut self,
        names: &[(GuestPath, bool)],
        made: Made,
        properties: Option<Properties>,
        metadata: &Metadata,
    ) -> Result<()> {
        let mut made = Some((made, properties));
        for (path, is_taken) in names {
            let change = if *is_taken { ChangeKind::Changed } else { ChangeKind::Made };
            self.report(change, path, metadata);
            if *is_taken {
                self.difference.removed.push((path.clone(), metadata.kind));
            }
            let made = made.take().unwrap_or_else(|| (Made::Link(names[0].0.clone()), None));
            self.difference.made.insert(path.clone(), made);
        }
        Ok(())
    }

    /// What a file is made of.
    fn made(&mut self, number: InodeNumber, metadata: &Metadata) -> Result<Made> {
        Ok(match metadata.kind {
            FileKind::Regular => {
                self.tree.content(number, u64::MAX)?;
                let empty = Data::Content(Content::new(&self.tree.spill));
                match std::mem::replace(&mut self.tree.inode_mut(number)?.data, empty) {
                    Data::Content(content) => Made::File(Arc::new(Source(content))),
                    _ => return Err(Errno::IO.into()),
                }
            }
            FileKind::Symlink => Made::Symlink(self.tree.read_link(number)?),
            kind => {
                let (major, minor) = metadata.device.unwrap_or_default();
                Made::Special(match kind {
                    FileKind::CharDevice => Special::CharDevice { major, minor },
                    FileKind::BlockDevice => Special::BlockDevice { major, minor },
                    FileKind::Fifo => Special::Fifo,
                    _ => Special::Socket,
                })
            }
        })
    }

    /// The file of the guest that stays, if one has the content that the names of `group` have now.
    fn kept_node(&mut self, group: &[Pair], origin: Option<&Node>, has_others: bool) -> Result<Option<Node>> {
        let number = group[0].inode;
        if let Some(origin) = origin
            && (has_others || group.iter().any(|pair| pair.base.as_ref() == Some(origin)))
        {
            return Ok(self.is_same_content(number, origin)?.then(|| origin.clone()));
        }
        for pair in group {
            if let Some(base) = &pair.base
                && self.tree.gone.contains(base)
                && !self.kept.contains(base)
                && self.is_same_content(number, base)?
            {
                return Ok(Some(base.clone()));
            }
        }
        Ok(None)
    }

    /// Whether a file has the content that a file of the guest had.
    fn is_same_content(&mut self, number: InodeNumber, node: &Node) -> Result<bool> {
        let inode = self.tree.inode(number)?;
        if inode.origin.as_ref() == Some(node) && matches!(inode.data, Data::Origin | Data::Nothing) {
            return Ok(true);
        }
        let metadata = inode.metadata.clone();
        let before = self.tree.base.read(|file_system| file_system.metadata(node))?;
        if before.kind != metadata.kind || before.size_bytes != metadata.size_bytes {
            return Ok(false);
        }
        match metadata.kind {
            FileKind::Regular => {
                let (mut one, mut other) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
                let mut at = 0;
                while at < metadata.size_bytes {
                    let read = self.tree.read(number, at, &mut one)?;
                    let other = &mut other[..read];
                    let same = self.tree.base.read(|file_system| read_full(file_system, node, at, other))?;
                    if read == 0 || same != read || one[..read] != *other {
                        return Ok(false);
                    }
                    at += read as u64;
                }
                Ok(true)
            }
            FileKind::Symlink => {
                let target = self.tree.base.read(|file_system| file_system.read_link(node))?;
                Ok(self.tree.read_link(number)? == target)
            }
            _ => Ok(before.device == metadata.device),
        }
    }

    /// The names of a file of the guest that were not looked at, which are those that it had and nobody changed.
    fn other_names(&mut self, node: &Node) -> Result<Vec<GuestPath>> {
        let removed: BTreeSet<GuestPath> = self.difference.removed.iter().map(|(path, _)| path.clone()).collect();
        let origin = self.tree.inode(self.tree.root())?.origin.clone();
        let (mut names, mut seen) = (Vec::new(), HashSet::new());
        let mut left: Vec<(GuestPath, Node)> = origin.map(|root| (self.point.clone(), root)).into_iter().collect();
        while let Some((path, directory)) = left.pop() {
            if removed.contains(&path) || !seen.insert(directory.clone()) {
                continue;
            }
            for (name, child, kind) in self.tree.base_children(&path, Some(&directory))?.into_values() {
                let path = join(&path, &name)?;
                if kind == FileKind::Directory {
                    left.push((path, child));
                } else if child == *node && !removed.contains(&path) && !self.visited.contains(&path) {
                    names.push(path);
                }
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Has capabilities that a kernel stored for the root of a user namespace (version 3) count for root (version 2).
fn unwrap_capability(path: &GuestPath, value: &mut Vec<u8>) -> Result<()> {
    const VERSION_MASK: u32 = 0xff00_0000;
    const V2: u32 = 0x0200_0000;
    const V3: u32 = 0x0300_0000;
    let Some(magic) = value.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)) else { return Ok(()) };
    if magic & VERSION_MASK != V3 {
        return Ok(());
    }
    let root = value.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    if root != 0 || value.len() != 24 {
        return Err(Error::Capability { path: path.clone(), root });
    }
    value.truncate(20);
    value[..4].copy_from_slice(&(V2 | magic & !VERSION_MASK).to_le_bytes());
    Ok(())
}

fn join(path: &GuestPath, name: &[u8]) -> Result<GuestPath> {
    if !is_name(name) {
        return Err(Error::BadName { path: path.clone(), name: name.to_vec() });
    }
    path.join(name).map_err(|_| Error::TooLong { path: path.clone() })
}

/// Whether a file can have this name.
fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}
