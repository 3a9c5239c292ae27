//! XFS that our engine does not edit, read through the crate `rust-fs-xfs` behind a [`Fence`]; and its check, for all.
//!
//! What the crate does: the superblock, inodes, directories, extended attributes and block maps of versions 4 and 5,
//! their checksums, and a log that was left dirty, which it replays in memory. What is done here: the content of
//! files, in runs of whole extents, and the words.

use std::sync::{Arc, Mutex, PoisonError};

use fs_xfs::inode::{FileType, Inode};
use fs_xfs::superblock::Superblock;
use storage::{Finding, ReadAt};

use super::super::fence::{CALL_BYTES, Fence, OPEN_BYTES, damaged};
use super::super::{
    Bytes, Checked, Child, ContentExtent, Extras, FileSystem, FileSystemError, FileSystemProblem, Node, Result,
};
use super::{KIND, features, shown_flags};
use crate::metadata::{FileKind, FreeSpace, Metadata, Time};

/// The most blocks of a file system that is checked: the check keeps a few bytes for each.
const CHECKED_BLOCKS: u64 = 16 << 20;
/// How many bytes of metadata a check may read.
const CHECK_BYTES: u64 = 256 << 20;

/// An XFS as the crate reads it.
struct Xfs {
    fence: Arc<Fence>,
    library: fs_xfs::Filesystem,
    /// Why it is not edited.
    reason: String,
    /// The extents of the file that was read last: a file is read in many pieces.
    extents: Mutex<Option<(u64, Arc<[ContentExtent]>)>>,
}

/// Opens an XFS that is not edited for this reason.
pub(super) fn open(bytes: Bytes, reason: String) -> Result<Box<dyn FileSystem>> {
    Ok(Box::new(Xfs::open(bytes, reason)?))
}

/// What a check of the XFS on these bytes finds.
pub(super) fn check(bytes: Bytes) -> Result<Checked> {
    Xfs::open(bytes, String::new())?.check_all()
}

impl Xfs {
    fn open(bytes: Bytes, reason: String) -> Result<Self> {
        let fence = Fence::new(bytes);
        // Without the crate's cache: the fence counts what is read.
        let library = fence.call(OPEN_BYTES, || fs_xfs::Filesystem::mount_with_cache(Arc::clone(&fence) as _, 0))?;
        let size_bytes = library.superblock().dblocks.checked_mul(u64::from(library.superblock().blocksize));
        let there = fence.bytes().size_bytes();
        if size_bytes.is_none_or(|size_bytes| size_bytes > there) {
            let blocks = library.superblock().dblocks;
            return Err(damaged("superblock", format!("{blocks} blocks do not fit into a partition of {there} bytes")));
        }
        Ok(Self { fence, library, reason, extents: Mutex::default() })
    }

    fn check_all(&self) -> Result<Checked> {
        let blocks = self.superblock().dblocks;
        if blocks > CHECKED_BLOCKS {
            let reason = format!("its {blocks} blocks: more than {CHECKED_BLOCKS} are not looked through");
            return Ok(Checked { findings: Vec::new(), not_checked: vec![reason] });
        }
        let report = self.fence.call(CHECK_BYTES, || Ok::<_, FileSystemError>(fs_xfs::check::check(&self.library)))?;
        let findings = report.findings.into_iter().map(|finding| Finding::new(place(&finding.location), finding.what));
        let mut not_checked = Vec::new();
        if report.suppressed > 0 {
            not_checked.push(format!("{} more findings of the same kinds, which are not listed", report.suppressed));
        }
        Ok(Checked { findings: findings.collect(), not_checked })
    }

    fn superblock(&self) -> &Superblock {
        self.library.superblock()
    }

    /// The inode of a node, and its bytes.
    fn inode(&self, node: &Node) -> Result<(Inode, Vec<u8>)> {
        let (inode, raw) = self.fence.call(CALL_BYTES, || self.library.read_inode_raw(node.number()))?;
        if i64::try_from(inode.size).is_err() {
            return Err(damaged(format!("inode {}", inode.ino), format!("invalid size {}", inode.size)));
        }
        Ok((inode, raw))
    }

    /// Where the content of a file is.
    fn extents_of(&self, file: &Node) -> Result<Arc<[ContentExtent]>> {
        let mut last = self.extents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((number, extents)) = &*last
            && *number == file.number()
        {
            return Ok(Arc::clone(extents));
        }
        let (inode, raw) = self.inode(file)?;
        let block = u64::from(self.superblock().blocksize);
        let found = self.fence.call(CALL_BYTES, || self.library.data_extents(&inode, &raw))?;
        let written = found.iter().filter(|extent| !extent.unwritten);
        let extents: Arc<[ContentExtent]> = written
            .map(|extent| ContentExtent {
                // The crate has checked that an extent is inside one allocation group of the file system, which was
                // checked to be inside the partition; an offset in the file has 54 bits.
                offset: extent.startoff.saturating_mul(block),
                length_bytes: extent.blockcount.saturating_mul(block),
                storage_offset: self.block_offset(extent.startblock),
            })
            .collect();
        if !extents.is_sorted_by(|one, next| one.offset.saturating_add(one.length_bytes) <= next.offset) {
            return Err(damaged(format!("inode {}", file.number()), "its extents overlap, or are out of order"));
        }
        *last = Some((file.number(), Arc::clone(&extents)));
        Ok(extents)
    }

    /// Where a block is in the partition, in bytes. Its number has the allocation group in the upper bits.
    fn block_offset(&self, block: u64) -> u64 {
        let superblock = self.superblock();
        let group = block >> superblock.agblklog;
        let within = block & ((1 << superblock.agblklog) - 1);
        (group * u64::from(superblock.agblocks) + within).saturating_mul(u64::from(superblock.blocksize))
    }
}

fn node(number: u64) -> Node {
    Node::Inode { tree: 0, number }
}

fn time(time: fs_xfs::inode::Timestamp) -> Time {
    Time { seconds: time.sec, nanoseconds: time.nsec }
}

/// The kind of file that an inode is.
fn kind(inode: &Inode) -> Result<FileKind> {
    let kind = inode.file_type().map(of_type);
    kind.ok_or_else(|| damaged(format!("inode {}", inode.ino), format!("invalid mode {:o}", inode.mode)))
}

/// The major and the minor number of a device, which has them in four bytes in place of extents: 14 and 18 bits.
fn device(inode: &Inode, raw: &[u8], inode_bytes: u16) -> Option<(u32, u32)> {
    if !matches!(inode.file_type(), Some(FileType::CharDevice | FileType::BlockDevice)) {
        return None;
    }
    let (start, _) = inode.data_fork_range(usize::from(inode_bytes));
    let number = u32::from_be_bytes(raw.get(start..start + 4)?.try_into().ok()?);
    Some((number >> 18 & 0x1ff, number & 0x3_ffff))
}

/// Where a finding is, in the words that `xfs_db` takes.
fn place(location: &fs_xfs::check::Location) -> String {
    match (location.ino, location.ag, location.agbno) {
        (Some(inode), ..) => format!("inode {inode}"),
        (None, Some(group), Some(block)) => format!("agno {group}, agbno {block}"),
        (None, Some(group), None) => format!("agno {group}"),
        (None, None, _) => "superblock".to_owned(),
    }
}

impl FileSystem for Xfs {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn label(&self) -> &[u8] {
        self.superblock().fname.as_bytes()
    }

    fn uuid(&self) -> String {
        partition::Uuid::from_bytes(self.superblock().uuid).to_string()
    }

    fn features(&self) -> Vec<String> {
        let superblock = self.superblock();
        match superblock.is_v5() {
            true => features(superblock.features_ro_compat, superblock.features_incompat),
            false => vec!["v4".to_owned()],
        }
    }

    fn block_size_bytes(&self) -> u32 {
        self.superblock().blocksize
    }

    fn free_space(&self) -> Result<FreeSpace> {
        let superblock = self.superblock();
        Ok(FreeSpace {
            block_size_bytes: superblock.blocksize,
            free_blocks: superblock.fdblocks.min(superblock.dblocks),
            blocks: superblock.dblocks,
            free_inodes: None,
        })
    }

    fn is_unix(&self) -> bool {
        true
    }

    fn root(&self) -> Node {
        node(self.superblock().rootino)
    }

    fn lookup(&self, directory: &Node, name: &[u8]) -> Result<Option<(Node, FileKind)>> {
        let (inode, raw) = self.inode(directory)?;
        let found = self.fence.call(CALL_BYTES, || match self.library.lookup(&inode, &raw, name) {
            Err(fs_xfs::Error::NotFound) => Ok(None),
            found => found.map(Some),
        })?;
        found.map(|inode| Ok((node(inode.ino), kind(&inode)?))).transpose()
    }

    fn metadata(&self, node: &Node) -> Result<Metadata> {
        let (inode, raw) = self.inode(node)?;
        Ok(Metadata {
            kind: kind(&inode)?,
            permissions: inode.mode & 0o7777,
            uid: inode.uid,
            gid: inode.gid,
            size_bytes: inode.size,
            links: inode.nlink,
            accessed: time(inode.atime),
            modified: time(inode.mtime),
            changed: time(inode.ctime),
            device: device(&inode, &raw, self.superblock().inodesize),
        })
    }

    fn children(&self, directory: &Node) -> Result<Vec<Child>> {
        let (inode, raw) = self.inode(directory)?;
        let entries = self.fence.call(CALL_BYTES, || self.library.read_dir(&inode, &raw))?;
        let child = |entry: fs_xfs::dir::DirEntry| {
            let kind = match entry.ftype {
                Some(kind) => of_type(kind),
                None => kind(&self.inode(&node(entry.ino))?.0)?,
            };
            Ok(Child { name: entry.name, node: node(entry.ino), kind })
        };
        entries.into_iter().map(child).collect()
    }

    fn read_at(&self, file: &Node, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let size_bytes = self.inode(file)?.0.size;
        let length = size_bytes.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let (buffer, end) = (&mut buffer[..length], offset + length as u64);
        buffer.fill(0);
        let extents = self.extents_of(file)?;
        let first = extents.partition_point(|extent| extent.offset + extent.length_bytes <= offset);
        for extent in extents[first..].iter().take_while(|extent| extent.offset < end) {
            let from = extent.offset.max(offset);
            let to = (extent.offset + extent.length_bytes).min(end);
            let part = &mut buffer[(from - offset) as usize..(to - offset) as usize];
            self.fence.bytes().read_at(extent.storage_offset + (from - extent.offset), part)?;
        }
        Ok(length)
    }

    fn read_link(&self, link: &Node) -> Result<Vec<u8>> {
        let (inode, raw) = self.inode(link)?;
        self.fence.call(CALL_BYTES, || self.library.read_link(&inode, &raw))
    }

    fn xattrs(&self, node: &Node) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let (inode, raw) = self.inode(node)?;
        let found = self.fence.call(CALL_BYTES, || self.library.list_xattrs(&inode, &raw))?;
        // ACLs, which it gives a second time by the name that they have on the disk.
        let is_known = |name: &[u8]| !name.starts_with(b"trusted.SGI_ACL_");
        Ok(found.into_iter().map(|xattr| (xattr.name, xattr.value)).filter(|(name, _)| is_known(name)).collect())
    }

    fn extras(&self, node: &Node) -> Result<Extras> {
        let (inode, _) = self.inode(node)?;
        Ok(Extras { flags: shown_flags(inode.flags), project: 0 })
    }

    fn journal_replayed(&self) -> bool {
        self.library.was_replayed()
    }

    fn read_only(&self) -> Option<String> {
        Some(self.reason.clone())
    }

    fn examine(&self, _progress: &dyn Fn(u64, u64)) -> Result<Option<Checked>> {
        Ok(Some(self.check_all()?))
    }

    fn content_extents(&self, file: &Node) -> Result<Option<Vec<ContentExtent>>> {
        Ok(Some(self.extents_of(file)?.to_vec()))
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

impl From<fs_xfs::Error> for FileSystemError {
    fn from(error: fs_xfs::Error) -> Self {
        use fs_xfs::Error;
        let problem = match &error {
            Error::UnsupportedFeature(feature) => FileSystemProblem::Unsupported { feature: feature.clone() },
            Error::RealtimeDeviceAbsent { .. } => {
                FileSystemProblem::Unsupported { feature: "a file on a realtime device".into() }
            }
            Error::NotFound => FileSystemProblem::NotFound,
            Error::NotADirectory => FileSystemProblem::NotADirectory,
            _ => return damaged("file system", error.to_string()),
        };
        Self::new(problem, error)
    }
}
