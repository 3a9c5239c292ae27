//! btrfs, which is read and not written, through the crate `rust-fs-btrfs` behind a [`Fence`].
//!
//! A btrfs has several trees of files, the subvolumes: the first one has the number 5, others from 256 on, and the root
//! directory of each is inode 256. A [`Node`] therefore has the number of its tree. In a directory, a subvolume is an
//! entry that names a tree instead of an inode; a lookup goes on in the root of that tree, as the kernel does it. So the
//! whole of the disk is seen from its first tree, and the guest's root is the default subvolume or one that its fstab
//! names: Fedora's is `subvol=root`.

mod content;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use fs_btrfs::Filesystem as Library;
use fs_btrfs::csum::CSUM_TREE_OBJECTID;
use fs_btrfs::dir::{self, DirEntry};
use fs_btrfs::fs::ROOT_ITEM_KEY;
use fs_btrfs::inode::{self, FileType, Inode};
use fs_btrfs::subvol::{EMPTY_SUBVOL_DIR_OBJECTID, Subvolume};
use fs_btrfs::write::{INODE_NODATACOW, INODE_NODATASUM};

use content::{Disk, Extent};

use super::fence::{CALL_BYTES, Fence, OPEN_BYTES, damaged};
use super::{Bytes, Child, ContentExtent, FileSystem, FileSystemError, FileSystemProblem, Kind, Node, Result, Support};
use crate::metadata::{FileKind, FreeSpace, Metadata, Time};

/// `magic` of the superblock, which is at 64 KiB.
pub(super) const KIND: Kind =
    Kind { name: "btrfs", signatures: &[&[(0x10040, b"_BHRfS_M")]], support: Support::Opens { open, name: |_| None } };

/// `BTRFS_FS_TREE_OBJECTID`: the tree that is there from the beginning.
const FIRST_TREE: u64 = 5;
/// `BTRFS_FIRST_FREE_OBJECTID`: the inode of a tree's root directory.
const ROOT_DIRECTORY: u64 = 256;
/// `BTRFS_ROOT_TREE_DIR_OBJECTID`: the directory with the name `default`.
const ROOT_TREE_DIRECTORY: u64 = 6;
/// `bytenr` of `struct btrfs_root_item`: where the root of the tree is.
const ROOT_ITEM_ADDRESS: usize = 176;
/// How many subvolumes are kept open, each with its cache of 16 MiB.
const OPEN_TREES: usize = 4;
/// `incompat_flags`, by the names that `btrfs inspect-internal dump-super` prints.
const INCOMPATIBLE: [(u32, &str); 16] = [
    (0, "mixed_backref"),
    (1, "default_subvol"),
    (2, "mixed_groups"),
    (3, "compress_lzo"),
    (4, "compress_zstd"),
    (5, "big_metadata"),
    (6, "extended_iref"),
    (7, "raid56"),
    (8, "skinny_metadata"),
    (9, "no_holes"),
    (10, "metadata_uuid"),
    (11, "raid1c34"),
    (12, "zoned"),
    (13, "extent_tree_v2"),
    (14, "raid_stripe_tree"),
    (16, "simple_quota"),
];

/// An item of the tree of roots: the three parts of its key, and its data.
type RootItem = (u64, u8, u64, Vec<u8>);

/// A btrfs.
struct Btrfs {
    fence: Arc<Fence>,
    /// The first tree, and what all trees have in common.
    library: Library,
    subvolumes: Vec<Subvolume>,
    /// The number of the tree that is mounted if none is named.
    default: u64,
    /// The root of the tree of checksums.
    checksums: Option<u64>,
    /// The extents of the file that was read last: a file is read in many pieces.
    last: Mutex<Option<(Node, Arc<Vec<Extent>>)>>,
    /// Other trees that were used.
    trees: Mutex<BTreeMap<u64, Arc<Library>>>,
}

fn open(bytes: Bytes) -> Result<Box<dyn FileSystem>> {
    let fence = Fence::new(bytes);
    let library = fence.call(OPEN_BYTES, || Library::mount_with_cache(Arc::clone(&fence) as _, 0))?;
    let subvolumes = fence.call(CALL_BYTES, || library.subvolumes())?;
    let roots = fence.call(CALL_BYTES, || library.root_tree_items())?;
    let default = default_tree(&fence, &roots)?;
    let is_checksums = |(object, kind, ..): &&RootItem| (*object, *kind) == (CSUM_TREE_OBJECTID, ROOT_ITEM_KEY);
    let checksums = roots.iter().find(is_checksums).and_then(|(.., data)| {
        let address = data.get(ROOT_ITEM_ADDRESS..ROOT_ITEM_ADDRESS + 8)?;
        Some(u64::from_le_bytes(address.try_into().ok()?))
    });
    let (last, trees) = (Mutex::default(), Mutex::default());
    Ok(Box::new(Btrfs { fence, library, subvolumes, default, checksums, last, trees }))
}

/// The tree that the entry `default` in the tree of roots names; it is missing on old file systems.
fn default_tree(fence: &Fence, roots: &[RootItem]) -> Result<u64> {
    let key = (ROOT_TREE_DIRECTORY, dir::DIR_ITEM_KEY, dir::name_hash(b"default"));
    let Some((.., data)) = roots.iter().find(|(object, kind, offset, _)| (*object, *kind, *offset) == key) else {
        return Ok(FIRST_TREE);
    };
    let entries = fence.call(0, || dir::parse_dir_items(data))?;
    Ok(entries.iter().find(|entry| entry.name == b"default").map_or(FIRST_TREE, |entry| entry.ino))
}

/// The tree and the number of an inode.
fn parts(node: &Node) -> (u64, u64) {
    match node {
        Node::Inode { tree, number } => (*tree, *number),
        Node::Names(_) => (FIRST_TREE, 0),
    }
}

fn time(time: inode::Timestamp) -> Time {
    Time { seconds: time.sec, nanoseconds: time.nsec }
}

/// The kind of file that an inode is.
fn kind(inode: &Inode) -> Result<FileKind> {
    let kind = inode.file_type().map(of_type);
    kind.ok_or_else(|| damaged(format!("inode {}", inode.ino), format!("invalid mode {:o}", inode.mode)))
}

impl Btrfs {
    /// Lets the crate do something with the tree of this number.
    fn with<T>(&self, tree: u64, work: impl FnOnce(&Library) -> fs_btrfs::Result<T>) -> Result<T> {
        if tree == FIRST_TREE {
            return self.fence.call(CALL_BYTES, || work(&self.library));
        }
        let known = self.trees.lock().unwrap_or_else(PoisonError::into_inner).get(&tree).cloned();
        let library = match known {
            Some(library) => library,
            None => {
                let library = Arc::new(self.fence.call(CALL_BYTES, || self.library.open_subvolume(tree))?);
                let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
                if trees.len() == OPEN_TREES {
                    trees.pop_first();
                }
                trees.insert(tree, Arc::clone(&library));
                library
            }
        };
        self.fence.call(CALL_BYTES, || work(&library))
    }

    /// The inode of a node.
    fn inode(&self, node: &Node) -> Result<Inode> {
        let (tree, number) = parts(node);
        let inode = self.with(tree, |library| library.read_inode(number))?;
        if i64::try_from(inode.size).is_err() {
            return Err(damaged(format!("inode {number}"), format!("invalid size {}", inode.size)));
        }
        Ok(inode)
    }

    fn disk(&self) -> Disk<'_> {
        Disk {
            fence: &self.fence,
            superblock: self.library.superblock(),
            map: self.library.chunk_map(),
            checksums: self.checksums,
        }
    }

    /// The extents of a file.
    fn extents_of(&self, file: &Node) -> Result<Arc<Vec<Extent>>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((node, extents)) = &*last
            && node == file
        {
            return Ok(Arc::clone(extents));
        }
        let (tree, number) = parts(file);
        let root = self.subvolumes.iter().find(|subvolume| subvolume.id == tree).map(|subvolume| subvolume.bytenr);
        let root = root.ok_or_else(|| damaged(format!("subvolume {tree}"), "it is missing"))?;
        let extents = Arc::new(self.fence.call(CALL_BYTES, || self.disk().extents(root, number))?);
        *last = Some((file.clone(), Arc::clone(&extents)));
        Ok(extents)
    }

    /// The root directory of a tree.
    fn root_of(tree: u64) -> Node {
        Node::Inode { tree, number: ROOT_DIRECTORY }
    }

    /// The directory that an entry of the tree `tree` means if it names the tree `inner`. A snapshot has the names of the
    /// subvolumes that were in its source, and not the subvolumes: an empty directory is in their place.
    fn subvolume(&self, tree: u64, inner: u64) -> Node {
        let is_there = self.subvolumes.iter().any(|subvolume| subvolume.id == inner && subvolume.parent == tree);
        match is_there {
            true => Self::root_of(inner),
            false => Node::Inode { tree, number: EMPTY_SUBVOL_DIR_OBJECTID },
        }
    }

    /// Whether this is the empty directory that is in the place of a subvolume.
    fn is_placeholder(node: &Node) -> bool {
        parts(node).1 == EMPTY_SUBVOL_DIR_OBJECTID
    }

    fn child(&self, tree: u64, entry: DirEntry) -> Result<Child> {
        if !entry.is_inode() {
            let node = self.subvolume(tree, entry.ino);
            return Ok(Child { name: entry.name, node, kind: FileKind::Directory });
        }
        let node = Node::Inode { tree, number: entry.ino };
        let kind = match entry.ftype {
            Some(kind) => of_type(kind),
            None => kind(&self.inode(&node)?)?,
        };
        Ok(Child { name: entry.name, node, kind })
    }

    /// The subvolume at `path`, as `subvol=` of fstab names it: from the first tree on.
    fn find(&self, path: &str) -> Result<Option<Node>> {
        let mut found = Self::root_of(FIRST_TREE);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match self.lookup(&found, name.as_bytes())? {
                Some((node, FileKind::Directory)) => found = node,
                _ => return Ok(None),
            }
        }
        let is_root = parts(&found).1 == ROOT_DIRECTORY;
        Ok(is_root.then_some(found))
    }
}

impl FileSystem for Btrfs {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn label(&self) -> &[u8] {
        self.library.superblock().label.as_bytes()
    }

    fn uuid(&self) -> String {
        partition::Uuid::from_bytes(self.library.superblock().fsid).to_string()
    }

    fn features(&self) -> Vec<String> {
        let flags = self.library.superblock().incompat_flags;
        INCOMPATIBLE.iter().filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, name)| String::from(*name)).collect()
    }

    fn block_size_bytes(&self) -> u32 {
        self.library.superblock().sectorsize
    }

    fn free_space(&self) -> Result<FreeSpace> {
        let superblock = self.library.superblock();
        let block = u64::from(superblock.sectorsize.max(1));
        let free_bytes = superblock.total_bytes.saturating_sub(superblock.bytes_used);
        Ok(FreeSpace {
            block_size_bytes: superblock.sectorsize,
            free_blocks: free_bytes / block,
            blocks: superblock.total_bytes / block,
            free_inodes: None,
        })
    }

    fn is_unix(&self) -> bool {
        true
    }

    fn root(&self) -> Node {
        Self::root_of(self.default)
    }

    fn roots(&self) -> Vec<Node> {
        let mut trees: Vec<&Subvolume> = self.subvolumes.iter().filter(|one| one.id != self.default).collect();
        // What a snapshot keeps is an older state of a subvolume that is there as well.
        trees.sort_by_key(|subvolume| (subvolume.is_snapshot, subvolume.id));
        std::iter::once(self.default).chain(trees.into_iter().map(|one| one.id)).map(Self::root_of).collect()
    }

    fn lookup(&self, directory: &Node, name: &[u8]) -> Result<Option<(Node, FileKind)>> {
        if Self::is_placeholder(directory) {
            return Ok(None);
        }
        let (tree, number) = parts(directory);
        let found = self.with(tree, |library| match library.lookup(number, name) {
            Err(fs_btrfs::Error::NotFound) => Ok(None),
            // A subvolume has the name.
            Err(fs_btrfs::Error::UnsupportedFeature(_)) => {
                let entries = library.read_dir(number)?;
                Ok(entries.into_iter().find(|entry| entry.name == name && !entry.is_inode()).map(Err))
            }
            found => found.map(|inode| Some(Ok(inode))),
        })?;
        Ok(match found {
            Some(Ok(inode)) => Some((Node::Inode { tree, number: inode.ino }, kind(&inode)?)),
            Some(Err(entry)) => Some((self.subvolume(tree, entry.ino), FileKind::Directory)),
            None => None,
        })
    }

    fn metadata(&self, node: &Node) -> Result<Metadata> {
        if Self::is_placeholder(node) {
            let none = Time { seconds: 0, nanoseconds: 0 };
            return Ok(Metadata {
                kind: FileKind::Directory,
                permissions: 0o755,
                uid: 0,
                gid: 0,
                size_bytes: 0,
                links: 1,
                accessed: none,
                modified: none,
                changed: none,
                device: None,
            });
        }
        let inode = self.inode(node)?;
        let kind = kind(&inode)?;
        let is_device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
        // As the kernel has it in memory: the lower 20 bits are the minor number.
        let (major, minor) = (inode.rdev >> 20, inode.rdev & 0xf_ffff);
        Ok(Metadata {
            kind,
            permissions: (inode.mode & 0o7777) as u16,
            uid: inode.uid,
            gid: inode.gid,
            size_bytes: inode.size,
            links: inode.nlink,
            accessed: time(inode.atime),
            modified: time(inode.mtime),
            changed: time(inode.ctime),
            device: is_device.then_some((major as u32, minor as u32)),
        })
    }

    fn children(&self, directory: &Node) -> Result<Vec<Child>> {
        if Self::is_placeholder(directory) {
            return Ok(Vec::new());
        }
        let (tree, number) = parts(directory);
        let entries = self.with(tree, |library| library.read_dir(number))?;
        entries.into_iter().map(|entry| self.child(tree, entry)).collect()
    }

    fn read_at(&self, file: &Node, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let inode = self.inode(file)?;
        let length = inode.size.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let extents = self.extents_of(file)?;
        let is_verified = inode.flags & (INODE_NODATASUM | INODE_NODATACOW) == 0;
        self.fence
            .call(CALL_BYTES, || self.disk().read(&extents, inode.size, is_verified, offset, &mut buffer[..length]))?;
        Ok(length)
    }

    fn content_extents(&self, file: &Node) -> Result<Option<Vec<ContentExtent>>> {
        let extents = self.extents_of(file)?;
        self.fence.call(CALL_BYTES, || self.disk().on_disk(&extents))
    }

    fn read_link(&self, link: &Node) -> Result<Vec<u8>> {
        let (tree, number) = parts(link);
        self.with(tree, |library| library.read_link(number))
    }

    fn xattrs(&self, node: &Node) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        if Self::is_placeholder(node) {
            return Ok(Vec::new());
        }
        let (tree, number) = parts(node);
        let found = self.with(tree, |library| library.list_xattrs(number))?;
        Ok(found.into_iter().map(|xattr| (xattr.name, xattr.value)).collect())
    }

    fn mount_root(&self, options: &str) -> Result<Option<Node>> {
        let mut root = Some(self.root());
        // The last one counts, as in the kernel.
        for option in options.split(',') {
            if let Some(path) = option.strip_prefix("subvol=") {
                root = self.find(path)?;
            } else if let Some(id) = option.strip_prefix("subvolid=") {
                let id = id.parse().ok().map(|id: u64| if id == 0 { FIRST_TREE } else { id });
                let is_there = |id: &u64| *id == FIRST_TREE || self.subvolumes.iter().any(|one| one.id == *id);
                root = id.filter(is_there).map(Self::root_of);
            }
        }
        Ok(root)
    }
}

fn of_type(kind: FileType) -> FileKind {
    match kind {
        FileType::Regular => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::CharDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
    }
}

impl From<fs_btrfs::Error> for FileSystemError {
    fn from(error: fs_btrfs::Error) -> Self {
        use fs_btrfs::Error;
        let problem = match &error {
            Error::UnsupportedFeature(feature) => FileSystemProblem::Unsupported { feature: feature.clone() },
            Error::NotFound => FileSystemProblem::NotFound,
            Error::NotADirectory => FileSystemProblem::NotADirectory,
            _ => return damaged("file system", error.to_string()),
        };
        Self::new(problem, error)
    }
}
