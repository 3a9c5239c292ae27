//! What is known of a file besides its content.

use serde::Serialize;

pub use ext4::{Attributes, Special, Time, Times};

/// What kind of file a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
}

/// What is known of a file besides its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, up to 0o7777.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes; a symlink's is its target's.
    pub size_bytes: u64,
    /// Number of names.
    pub links: u32,
    /// Access time.
    pub accessed: Time,
    /// Modification time.
    pub modified: Time,
    /// Change time.
    pub changed: Time,
    /// Major and minor number, of a device.
    pub device: Option<(u32, u32)>,
}

/// A name in a directory, and what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name: no `/` in it, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// The kind of file.
    pub kind: FileKind,
}

/// What is free in a file system, and what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FreeSpace {
    /// Size of a block (FAT: a cluster) in bytes.
    pub block_size_bytes: u32,
    /// Free blocks.
    pub free_blocks: u64,
    /// All blocks.
    pub blocks: u64,
    /// Free inodes; FAT has none.
    pub free_inodes: Option<u32>,
}

impl FreeSpace {
    /// Free bytes.
    pub fn free_bytes(&self) -> u64 {
        self.free_blocks.saturating_mul(u64::from(self.block_size_bytes))
    }

    /// All bytes.
    pub fn size_bytes(&self) -> u64 {
        self.blocks.saturating_mul(u64::from(self.block_size_bytes))
    }
}

impl Metadata {
    pub(crate) fn of_inode(inode: &ext4::Inode) -> ext4::Result<Self> {
        Ok(Self {
            kind: inode.kind()?.into(),
            permissions: inode.permissions(),
            uid: inode.uid(),
            gid: inode.gid(),
            size_bytes: inode.size_bytes(),
            links: u32::from(inode.links()),
            accessed: inode.accessed(),
            modified: inode.modified(),
            changed: inode.changed(),
            device: inode.device(),
        })
    }
}

impl Metadata {
    /// What the guest would show of a file on a FAT: root's, with the mode that mount gives.
    pub(crate) fn of_fat(metadata: &fat::Metadata) -> Self {
        let modified = Time { seconds: metadata.modified.seconds, nanoseconds: metadata.modified.nanoseconds };
        Self {
            kind: metadata.kind.into(),
            permissions: if metadata.read_only { 0o555 } else { 0o755 },
            uid: 0,
            gid: 0,
            size_bytes: metadata.size_bytes,
            links: 1,
            accessed: modified,
            modified,
            changed: modified,
            device: None,
        }
    }
}

impl From<fat::FileKind> for FileKind {
    fn from(kind: fat::FileKind) -> Self {
        match kind {
            fat::FileKind::Regular => Self::Regular,
            fat::FileKind::Directory => Self::Directory,
        }
    }
}

impl From<ext4::FileKind> for FileKind {
    fn from(kind: ext4::FileKind) -> Self {
        match kind {
            ext4::FileKind::Regular => Self::Regular,
            ext4::FileKind::Directory => Self::Directory,
            ext4::FileKind::Symlink => Self::Symlink,
            ext4::FileKind::CharDevice => Self::CharacterDevice,
            ext4::FileKind::BlockDevice => Self::BlockDevice,
            ext4::FileKind::Fifo => Self::Fifo,
            ext4::FileKind::Socket => Self::Socket,
        }
    }
}
