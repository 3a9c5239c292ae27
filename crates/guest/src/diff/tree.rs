//! Two file systems compared, path by path.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ext4::{InodeNumber, InodeSet};
use serde::Serialize;
use storage::Printable;

use super::{content, ranges};
use crate::error::FileSystemError;
use crate::file_system::FileSystem;
pub(crate) use crate::file_system::Node;
use crate::metadata::{FileKind, Metadata, Time};
use crate::path::GuestPath;
use crate::volume::Volume;

/// The most files that are compared on a FAT: a damaged directory can be inside itself.
const MAX_FAT_FILES: u64 = 1 << 20;

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathChangeKind {
    /// It is in the image only.
    Added,
    /// It is in the base only.
    Removed,
    /// It is in both.
    Changed,
    /// It could not be compared.
    Unknown,
}

/// A path whose file differs.
#[derive(Clone, Debug, Serialize)]
pub struct PathChange {
    /// What became of it.
    pub change: PathChangeKind,
    /// The path in the guest; in its file system where nothing mounts that. Never a byte that steers a
    /// terminal.
    pub path: String,
    /// The file system that it is on.
    pub volume: String,
    /// What differs; empty for what is in one only.
    pub what: Vec<&'static str>,
    /// What it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Facts>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Facts>,
    /// Why it could not be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What is told of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, as octal digits.
    pub mode: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes; none of a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// When it was modified, in seconds from 1970 on, and nanoseconds.
    pub modified: (i64, u32),
    /// How many names it has; none of a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<u32>,
    /// A symlink's target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Major and minor number, of a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<(u32, u32)>,
}

/// A change, and the files behind it.
pub(super) struct Seen {
    pub(super) change: PathChange,
    pub(super) base: Option<Node>,
    pub(super) image: Option<Node>,
    /// The directories, where an entry of theirs differs.
    pub(super) base_parent: Option<Node>,
    pub(super) image_parent: Option<Node>,
}

/// A path that is still to be looked at.
struct Pending {
    path: Vec<u8>,
    base: Option<Node>,
    image: Option<Node>,
    /// Their kinds, as the directories say them.
    kinds: [Option<FileKind>; 2],
    base_parent: Option<Node>,
    image_parent: Option<Node>,
}

/// Everything that is compared of a file but its content.
#[derive(Clone, Debug)]
struct File {
    metadata: Metadata,
    flags: u32,
    project: u32,
    target: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The comparison of two file systems.
pub(super) struct Comparison<'a> {
    base: &'a FileSystem,
    image: &'a FileSystem,
    /// Where the storages differ, where both file systems begin in the same place and have the same blocks.
    differing: Option<&'a [Range<u64>]>,
    /// Inodes that have something in these ranges, of either; `None` where that says nothing.
    touched: Option<InodeSet>,
    seen: [InodeSet; 2],
    files: u64,
    /// Files of several names that are another inode in the image, or were: base → image.
    moved: BTreeSet<(InodeNumber, InodeNumber)>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(
        base: &'a FileSystem,
        image: &'a FileSystem,
        within: Option<&'a [Range<u64>]>,
    ) -> Result<Self, FileSystemError> {
        let mut differing = None;
        let mut touched = None;
        if let (FileSystem::Ext4(one), FileSystem::Ext4(two), Some(within)) = (base, image, within) {
            differing = Some(within);
            if one.has_tables_of(two) {
                let block_bytes = u64::from(two.superblock().block_size_bytes());
                let blocks = |blocks: u64| ranges::in_blocks(within, block_bytes, blocks);
                let of_base = one.inodes_in(&blocks(one.superblock().blocks()));
                let of_image = two.inodes_in(&blocks(two.superblock().blocks()));
                touched = match (of_base, of_image) {
                    (Ok(mut one), Ok(two)) => {
                        one.extend(&two);
                        Some(one)
                    }
                    // Then every file is looked at.
                    (Err(ext4::Error::Unsupported { .. }), _) | (_, Err(ext4::Error::Unsupported { .. })) => None,
                    (Err(error), _) | (_, Err(error)) => return Err(error.into()),
                };
            }
        }
        let seen = [InodeSet::default(), InodeSet::default()];
        Ok(Self { base, image, differing, touched, seen, files: 0, moved: BTreeSet::new() })
    }

    /// Gives `report` every path that differs, in the order of paths. `mount_point` is where the guest has
    /// the file system.
    pub(super) fn run(&mut self, volume: &Volume, mount_point: Option<&GuestPath>, report: &mut dyn FnMut(Seen)) {
        let volume = volume.to_string();
        let prefix = match mount_point {
            Some(point) if point.is_root() => Vec::new(),
            Some(point) => point.as_bytes().to_vec(),
            None => format!("{volume}:").into_bytes(),
        };
        let name = |path: &[u8]| match [&prefix, path].concat() {
            whole if whole.is_empty() => "/".to_owned(),
            whole => Printable(&whole).to_string(),
        };
        let mut regrouped = Vec::new();
        self.walk(&mut |this, pending, problem| {
            let mut change = PathChange {
                change: PathChangeKind::Changed,
                path: name(&pending.path),
                volume: volume.clone(),
                what: Vec::new(),
                base: None,
                image: None,
                problem: None,
            };
            match problem.map_or_else(|| this.compare(&pending, &mut change), Err) {
                Ok(true) => report(pending.seen(change)),
                Ok(false) => {}
                Err(error) => {
                    change.change = PathChangeKind::Unknown;
                    change.problem = Some(error.to_string());
                    report(pending.seen(change));
                }
            }
        });
        if !self.moved.is_empty() {
            self.regrouped(&mut |pending| regrouped.push(pending));
        }
        for pending in regrouped {
            let facts = |file_system: &FileSystem, node: &Option<Node>| {
                node.as_ref().and_then(|node| file(file_system, node).ok()).map(|file| file.facts())
            };
            let change = PathChange {
                change: PathChangeKind::Changed,
                path: name(&pending.path),
                volume: volume.clone(),
                what: vec!["hard links"],
                base: facts(self.base, &pending.base),
                image: facts(self.image, &pending.image),
                problem: None,
            };
            report(pending.seen(change));
        }
    }

    /// Visits every path of both but those that are certain to be the same, in the order of paths; with what
    /// is wrong with a directory that cannot be read.
    fn walk(&mut self, visit: &mut dyn FnMut(&mut Self, Pending, Option<FileSystemError>)) {
        self.seen = [InodeSet::default(), InodeSet::default()];
        self.files = 0;
        let root = Pending {
            path: Vec::new(),
            base: Some(self.base.root()),
            image: Some(self.image.root()),
            kinds: [Some(FileKind::Directory); 2],
            base_parent: None,
            image_parent: None,
        };
        let mut left = vec![root];
        while let Some(pending) = left.pop() {
            match self.children(&pending) {
                Ok(children) => {
                    left.extend(children.into_iter().rev());
                    if !self.is_untouched(&pending) {
                        visit(self, pending, None);
                    }
                }
                Err(problem) => visit(self, pending, Some(problem)),
            }
        }
    }

    /// Whether a path has the same inode in both, which is in blocks that are the same.
    fn is_untouched(&self, pending: &Pending) -> bool {
        match (&self.touched, &pending.base, &pending.image) {
            (Some(touched), Some(Node::Inode(base)), Some(Node::Inode(image))) => {
                base == image && !touched.contains(*base)
            }
            _ => false,
        }
    }

    /// What is in the directories at a path, in the order of names.
    fn children(&mut self, pending: &Pending) -> Result<Vec<Pending>, FileSystemError> {
        let mut names: BTreeMap<Vec<u8>, [Option<(Node, FileKind)>; 2]> = BTreeMap::new();
        let is_untouched = self.is_untouched(pending);
        // The base's entries of an untouched directory are the image's.
        let sides = [(1, &pending.image, self.image), (0, &pending.base, self.base)];
        for (side, node, file_system) in sides.into_iter().take(if is_untouched { 1 } else { 2 }) {
            let Some(node) = node.as_ref().filter(|_| pending.kinds[side] == Some(FileKind::Directory)) else {
                continue;
            };
            if let Node::Inode(number) = node
                && !self.seen[side].insert(*number)
            {
                return Err(met_again(*number));
            }
            for (name, child, kind) in file_system.children(node)? {
                let entry = names.entry(name).or_default();
                entry[side] = Some((child, kind));
                if is_untouched {
                    entry[0] = entry[1].clone();
                }
            }
        }
        self.files += names.len() as u64;
        if matches!(self.image, FileSystem::Fat(_)) && self.files > MAX_FAT_FILES {
            let feature = format!("comparing a FAT with more than {MAX_FAT_FILES} files");
            return Err(FileSystemError::Fat(fat::Error::Unsupported { feature }));
        }
        let child = |(name, [base, image]): (Vec<u8>, [Option<(Node, FileKind)>; 2])| {
            let is_same_entry = base == image && matches!(base, Some((Node::Inode(_), _)));
            let parent = |node: &Option<Node>| node.clone().filter(|_| !is_same_entry);
            Pending {
                path: [&pending.path[..], b"/", &name].concat(),
                base_parent: parent(&pending.base),
                image_parent: parent(&pending.image),
                kinds: [&base, &image].map(|side| side.as_ref().map(|(_, kind)| *kind)),
                base: base.map(|(node, _)| node),
                image: image.map(|(node, _)| node),
            }
        };
        Ok(names.into_iter().map(child).collect())
    }

    /// Compares what is at a path; says whether it differs.
    fn compare(&mut self, pending: &Pending, change: &mut PathChange) -> Result<bool, FileSystemError> {
        let read = |file_system: &FileSystem, node: &Option<Node>| -> Result<Option<File>, FileSystemError> {
            node.as_ref().map(|node| file(file_system, node)).transpose()
        };
        let (old, new) = (read(self.base, &pending.base)?, read(self.image, &pending.image)?);
        change.base = old.as_ref().map(File::facts);
        change.image = new.as_ref().map(File::facts);
        let (Some(old), Some(new)) = (old, new) else {
            change.change = if change.base.is_none() { PathChangeKind::Added } else { PathChangeKind::Removed };
            return Ok(true);
        };
        change.what = old.differs(&new);
        if let (Some(one), Some(two)) = (&pending.base, &pending.image) {
            self.note_names(one, &old, two, &new);
            let (kind, size_bytes) = (new.metadata.kind, new.metadata.size_bytes);
            if kind == FileKind::Regular && kind == old.metadata.kind {
                let is_same = size_bytes == old.metadata.size_bytes
                    && content::is_same((self.base, one), (self.image, two), size_bytes, self.differing)?;
                if !is_same {
                    change.what.insert(0, "content");
                }
            }
        }
        Ok(!change.what.is_empty())
    }

    /// Notes which file of several names has become which.
    fn note_names(&mut self, one: &Node, old: &File, two: &Node, new: &File) {
        if let (Node::Inode(base), Node::Inode(image)) = (one, two)
            && base != image
            && old.metadata.kind != FileKind::Directory
            && (old.metadata.links > 1 || new.metadata.links > 1)
        {
            self.moved.insert((*base, *image));
        }
    }

    /// Finds the paths whose files share their inode with other paths than before, although they have as
    /// many names: files of which one inode has become several, or several one.
    fn regrouped(&mut self, report: &mut dyn FnMut(Pending)) {
        let moved = std::mem::take(&mut self.moved);
        let (mut bases, mut images): (BTreeMap<_, BTreeSet<_>>, BTreeMap<_, BTreeSet<_>>) = Default::default();
        let suspects: [BTreeSet<InodeNumber>; 2] =
            [moved.iter().map(|pair| pair.0).collect(), moved.iter().map(|pair| pair.1).collect()];
        self.touched = None;
        let mut paths = Vec::new();
        self.walk(&mut |_, pending, _| {
            if let (Some(Node::Inode(base)), Some(Node::Inode(image))) = (&pending.base, &pending.image)
                && (suspects[0].contains(base) || suspects[1].contains(image))
            {
                bases.entry(*base).or_default().insert(*image);
                images.entry(*image).or_default().insert(*base);
                paths.push((*base, *image, pending));
            }
        });
        for (base, image, pending) in paths {
            let links = |file_system: &FileSystem, node: &Option<Node>| {
                node.as_ref().and_then(|node| file_system.metadata(node).ok()).map(|metadata| metadata.links)
            };
            // A number that differs has been told of.
            let is_told = links(self.base, &pending.base) != links(self.image, &pending.image);
            if !is_told && (bases[&base].len() > 1 || images[&image].len() > 1) {
                report(pending);
            }
        }
    }
}

impl Pending {
    fn seen(self, change: PathChange) -> Seen {
        let Self { base, image, base_parent, image_parent, .. } = self;
        Seen { change, base, image, base_parent, image_parent }
    }
}

fn met_again(number: InodeNumber) -> FileSystemError {
    let object = ext4::Object::Inode(number);
    FileSystemError::Ext4(ext4::Error::Corrupt { object, problem: "a directory with two names".to_owned() })
}

/// Reads what is known of a file.
fn file(file_system: &FileSystem, node: &Node) -> Result<File, FileSystemError> {
    let metadata = file_system.metadata(node)?;
    let target = match metadata.kind {
        FileKind::Symlink => file_system.read_link(node)?,
        _ => Vec::new(),
    };
    let (mut flags, mut project, mut xattrs) = (0, 0, BTreeMap::new());
    if let (FileSystem::Ext4(ext4), Node::Inode(number)) = (file_system, node) {
        let inode = ext4.inode(*number)?;
        (flags, project) = (inode.visible_flags(), inode.project());
        xattrs = ext4.xattrs(*number)?.into_iter().collect();
    }
    Ok(File { metadata, flags, project, target, xattrs })
}

impl File {
    /// What differs, but for the content.
    fn differs(&self, new: &Self) -> Vec<&'static str> {
        let (old, now) = (&self.metadata, &new.metadata);
        let is_directory = old.kind == FileKind::Directory && now.kind == FileKind::Directory;
        let time = |metadata: &Metadata| -> Time { metadata.modified };
        let mut what = Vec::new();
        for (name, is_same) in [
            ("kind", old.kind == now.kind),
            (
                "size",
                is_directory
                    || old.kind != now.kind
                    || old.kind == FileKind::Symlink
                    || old.size_bytes == now.size_bytes,
            ),
            ("target", self.target == new.target || old.kind != now.kind),
            ("device", old.device == now.device || old.kind != now.kind),
            ("mode", old.permissions == now.permissions),
            ("owner", (old.uid, old.gid) == (now.uid, now.gid)),
            ("mtime", time(old) == time(now)),
            ("xattrs", self.xattrs == new.xattrs),
            ("flags", self.flags == new.flags),
            ("project", self.project == new.project),
            ("hard links", is_directory || old.kind != now.kind || old.links == now.links),
        ] {
            if !is_same {
                what.push(name);
            }
        }
        what
    }

    fn facts(&self) -> Facts {
        let metadata = &self.metadata;
        let is_directory = metadata.kind == FileKind::Directory;
        Facts {
            kind: metadata.kind,
            mode: format!("{:04o}", metadata.permissions),
            uid: metadata.uid,
            gid: metadata.gid,
            size_bytes: (!is_directory).then_some(metadata.size_bytes),
            modified: (metadata.modified.seconds, metadata.modified.nanoseconds),
            links: (!is_directory).then_some(metadata.links),
            target: (metadata.kind == FileKind::Symlink).then(|| Printable(&self.target).to_string()),
            device: metadata.device,
        }
    }
}
