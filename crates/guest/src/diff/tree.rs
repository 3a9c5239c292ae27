//! Comparing two file systems, path by path.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::Serialize;
use storage::{Finding, Printable};

use super::content;
use crate::file_system::{Child, Extras, FileSystem, FileSystemError, FileSystemProblem, MayDiffer, Node, NodeSet};
use crate::metadata::{FileKind, Metadata, Time};
use crate::path::GuestPath;
use crate::volume::Volume;

/// The most files that are compared if they have no numbers. A damaged directory can be inside itself, and would never
/// end.
const MAX_FILES_BY_NAME: u64 = 1 << 20;

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathChangeKind {
    /// Only the image has it.
    Added,
    /// Only the base has it.
    Removed,
    /// Both have it.
    Changed,
    /// It could not be compared.
    Unknown,
}

/// A path whose file differs.
#[derive(Clone, Debug, Serialize)]
pub struct PathChange {
    /// What happened to it.
    pub change: PathChangeKind,
    /// The path in the guest, or in its file system if that is not mounted. It is [`Printable`].
    pub path: String,
    /// The file system that it is on.
    pub volume: String,
    /// What differs; empty if only one has it.
    pub what: Vec<&'static str>,
    /// The file as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Facts>,
    /// The file as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Facts>,
    /// Why it could not be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The file as it is, for [`View::contents`](super::View::contents).
    #[serde(skip)]
    pub file: Option<ImageFile>,
}

/// A file of the image that was compared: the index of its volume, and which file of that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageFile {
    pub(super) volume: usize,
    pub(super) node: Node,
}

/// The facts about a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The kind.
    pub kind: FileKind,
    /// Permission bits, as octal digits.
    pub mode: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes; `None` for a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// When it was modified: seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
    /// How many names it has; `None` for a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<u32>,
    /// The target, if it is a symlink.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Major and minor number, if it is a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<(u32, u32)>,
}

/// A change, and the files that it is about.
pub(super) struct Seen {
    pub(super) change: PathChange,
    pub(super) base: Option<Node>,
    pub(super) image: Option<Node>,
    /// The directories, if their entry for the file differs.
    pub(super) base_parent: Option<Node>,
    pub(super) image_parent: Option<Node>,
}

/// A path that is still to be looked at.
struct Pending {
    path: Vec<u8>,
    base: Option<Node>,
    image: Option<Node>,
    /// Their kinds, according to the directories.
    kinds: [Option<FileKind>; 2],
    base_parent: Option<Node>,
    image_parent: Option<Node>,
}

/// Everything that is compared, but for the content.
#[derive(Clone, Debug)]
struct File {
    metadata: Metadata,
    extras: Extras,
    target: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The comparison of two file systems.
pub(super) struct Comparison<'a> {
    base: &'a dyn FileSystem,
    image: &'a dyn FileSystem,
    /// The ranges in which the partitions differ, if they begin in the same place.
    differing: Option<&'a [Range<u64>]>,
    /// Tells of files that have the same number in both whether they may differ; `None` if all may.
    may_differ: Option<MayDiffer<'a>>,
    seen: [NodeSet; 2],
    files: u64,
    /// Files with several names whose inode is another one in the image: base and image.
    moved: BTreeSet<(Node, Node)>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(
        base: &'a dyn FileSystem,
        image: &'a dyn FileSystem,
        differing: Option<&'a [Range<u64>]>,
    ) -> Result<Self, FileSystemError> {
        let may_differ = differing.map(|differing| base.may_differ(image, differing)).transpose()?.flatten();
        Ok(Self { base, image, differing, may_differ, seen: Default::default(), files: 0, moved: BTreeSet::new() })
    }

    /// Gives `report` every path that differs, in the order of paths. `mount_point` is where the guest mounts the file
    /// system.
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
                file: None,
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
            let facts = |file_system: &dyn FileSystem, node: &Option<Node>| {
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
                file: None,
            };
            report(pending.seen(change));
        }
    }

    /// Visits every path of both, in the order of paths, but for those that are certain to be the same. If a directory
    /// cannot be read, `visit` is told why.
    fn walk(&mut self, visit: &mut dyn FnMut(&mut Self, Pending, Option<FileSystemError>)) {
        self.seen = Default::default();
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

    /// Whether a path has the same inode in both, and none of the inode's blocks differs.
    fn is_untouched(&self, pending: &Pending) -> bool {
        match (&self.may_differ, &pending.base) {
            (Some(may_differ), Some(base @ Node::Inode { .. })) => {
                pending.image.as_ref() == Some(base) && !may_differ(base)
            }
            _ => false,
        }
    }

    /// The files in the directories at a path, in the order of names.
    fn children(&mut self, pending: &Pending) -> Result<Vec<Pending>, FileSystemError> {
        let mut names: BTreeMap<Vec<u8>, [Option<(Node, FileKind)>; 2]> = BTreeMap::new();
        let is_untouched = self.is_untouched(pending);
        let mut has_numbers = true;
        // An untouched directory has the same entries in both.
        let sides = [(1, &pending.image, self.image), (0, &pending.base, self.base)];
        for (side, node, file_system) in sides.into_iter().take(if is_untouched { 1 } else { 2 }) {
            let Some(node) = node.as_ref().filter(|_| pending.kinds[side] == Some(FileKind::Directory)) else {
                continue;
            };
            if let Node::Inode { number, .. } = node
                && !self.seen[side].insert(node)
            {
                let (object, problem) = (format!("inode {number}"), "a directory with two names");
                return Err(FileSystemProblem::Damaged(Finding::new(object, problem)).into());
            }
            has_numbers &= matches!(node, Node::Inode { .. });
            for Child { name, node, kind } in file_system.children(node)? {
                let entry = names.entry(name).or_default();
                entry[side] = Some((node, kind));
                if is_untouched {
                    entry[0] = entry[1].clone();
                }
            }
        }
        self.files += names.len() as u64;
        if !has_numbers && self.files > MAX_FILES_BY_NAME {
            let feature = format!("comparing more than {MAX_FILES_BY_NAME} files on {}", self.image.kind());
            return Err(FileSystemProblem::Unsupported { feature }.into());
        }
        let child = |(name, [base, image]): (Vec<u8>, [Option<(Node, FileKind)>; 2])| {
            let is_same_entry = base == image && matches!(base, Some((Node::Inode { .. }, _)));
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

    /// Compares the files at a path; returns whether they differ.
    fn compare(&mut self, pending: &Pending, change: &mut PathChange) -> Result<bool, FileSystemError> {
        let read = |file_system: &dyn FileSystem, node: &Option<Node>| -> Result<Option<File>, FileSystemError> {
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

    /// Notes a file with several names that has another inode now.
    fn note_names(&mut self, one: &Node, old: &File, two: &Node, new: &File) {
        if let (Node::Inode { .. }, Node::Inode { .. }) = (one, two)
            && one != two
            && old.metadata.kind != FileKind::Directory
            && (old.metadata.links > 1 || new.metadata.links > 1)
        {
            self.moved.insert((one.clone(), two.clone()));
        }
    }

    /// Finds the paths that share their file with other paths than before, although the file has as many names as
    /// before: one inode has become several, or several have become one.
    fn regrouped(&mut self, report: &mut dyn FnMut(Pending)) {
        let moved = std::mem::take(&mut self.moved);
        let (mut bases, mut images): (BTreeMap<_, BTreeSet<_>>, BTreeMap<_, BTreeSet<_>>) = Default::default();
        let (old, new): (BTreeSet<Node>, BTreeSet<Node>) = moved.into_iter().unzip();
        self.may_differ = None;
        let mut paths = Vec::new();
        self.walk(&mut |_, pending, _| {
            if let (Some(base), Some(image)) = (&pending.base, &pending.image)
                && (old.contains(base) || new.contains(image))
            {
                bases.entry(base.clone()).or_default().insert(image.clone());
                images.entry(image.clone()).or_default().insert(base.clone());
                paths.push((base.clone(), image.clone(), pending));
            }
        });
        for (base, image, pending) in paths {
            let links = |file_system: &dyn FileSystem, node: &Option<Node>| {
                node.as_ref().and_then(|node| file_system.metadata(node).ok()).map(|metadata| metadata.links)
            };
            // If the number of names differs, that has been reported.
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

/// Reads everything that is compared, but for the content.
fn file(file_system: &dyn FileSystem, node: &Node) -> Result<File, FileSystemError> {
    let metadata = file_system.metadata(node)?;
    let target = match metadata.kind {
        FileKind::Symlink => file_system.read_link(node)?,
        _ => Vec::new(),
    };
    let xattrs = file_system.xattrs(node)?.into_iter().collect();
    Ok(File { metadata, extras: file_system.extras(node)?, target, xattrs })
}

impl File {
    /// The names of what differs, but for the content.
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
            ("flags", self.extras.flags == new.extras.flags),
            ("project", self.extras.project == new.extras.project),
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
