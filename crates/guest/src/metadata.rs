//! The facts about a file: kind, owner, mode, size, times.

use serde::Serialize;

pub use ::metadata::{Attributes, FileKind, Special, Time, Times};

/// The facts about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The kind.
    pub kind: FileKind,
    /// Permission bits, up to 0o7777.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes; of a symlink, the length of its target.
    pub size_bytes: u64,
    /// How many names it has.
    pub links: u32,
    /// Access time.
    pub accessed: Time,
    /// Modification time.
    pub modified: Time,
    /// Change time.
    pub changed: Time,
    /// Major and minor number, if it is a device.
    pub device: Option<(u32, u32)>,
}

/// A name in a directory, and the kind of the file that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name, without any `/`; neither `.` nor `..`.
    pub name: Vec<u8>,
    /// The kind of file.
    pub kind: FileKind,
}

/// How much of a file system is free, and how much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FreeSpace {
    /// Size of a block (FAT: a cluster) in bytes.
    pub block_size_bytes: u32,
    /// Free blocks.
    pub free_blocks: u64,
    /// All blocks.
    pub blocks: u64,
    /// Free inodes; `None` if it has no inodes, or makes them as needed.
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
