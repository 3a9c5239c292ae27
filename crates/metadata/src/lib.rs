//! What all file systems know of a file: its kind, owner, mode, times, and where its content is. And what a change of a
//! file system may have done to a file, for the accounts of what differs.

mod acl;

use serde::Serialize;

pub use acl::{Acl, AclEntry};

/// Bits of a mode that say the kind of file: `S_IFMT`.
pub const S_IFMT: u16 = 0xf000;

/// The kinds of files.
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
    #[serde(rename = "character-device")]
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
}

impl FileKind {
    /// Each kind with its bits of a mode, and its number in a directory entry, which ext4 and XFS have in common.
    const ALL: [(Self, u16, u8); 7] = [
        (Self::Regular, 0x8000, 1),
        (Self::Directory, 0x4000, 2),
        (Self::CharDevice, 0x2000, 3),
        (Self::BlockDevice, 0x6000, 4),
        (Self::Fifo, 0x1000, 5),
        (Self::Socket, 0xC000, 6),
        (Self::Symlink, 0xA000, 7),
    ];

    /// From a mode; `None` if its bits are those of no kind.
    pub fn from_mode(mode: u16) -> Option<Self> {
        Self::ALL.iter().find(|(_, bits, _)| *bits == mode & S_IFMT).map(|(kind, ..)| *kind)
    }

    /// The bits of a mode.
    pub fn mode_bits(self) -> u16 {
        self.row().1
    }

    /// From the number in a directory entry; `None` for 0, which is not known, and for numbers that no kind has.
    pub fn from_entry_type(number: u8) -> Option<Self> {
        Self::ALL.iter().find(|(.., other)| *other == number).map(|(kind, ..)| *kind)
    }

    /// The number in a directory entry.
    pub fn entry_type(self) -> u8 {
        self.row().2
    }

    fn row(self) -> (Self, u16, u8) {
        Self::ALL[Self::ALL.iter().position(|(kind, ..)| *kind == self).unwrap_or(0)]
    }
}

/// A point in time, from 1970 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds. A file system has a range: ext4 1901 to 2446, or to 2038 with inodes of 128 bytes; XFS 1901 to
    /// 2486, or to 2038 without `bigtime`.
    pub seconds: i64,
    /// Nanoseconds past the second, below 1,000,000,000. An ext4 with inodes of 128 bytes has none.
    pub nanoseconds: u32,
}

/// What a file is given apart from its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, up to 0o7777.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time; access, change and, for new files, creation time are set to the same.
    pub modified: Time,
}

/// The times of a file to set; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Of the last access.
    pub accessed: Option<Time>,
    /// Of the last change of content.
    pub modified: Option<Time>,
    /// Of the last change of content or attributes.
    pub changed: Option<Time>,
}

/// A file that is neither regular nor a directory nor a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// A character device.
    CharDevice {
        /// The driver: below 4096 in an ext4, below 512 in an XFS.
        major: u32,
        /// The device: below 1,048,576 in an ext4, below 262,144 in an XFS.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// As above.
        major: u32,
        /// As above.
        minor: u32,
    },
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
}

impl Special {
    /// The kind of file.
    pub fn kind(self) -> FileKind {
        match self {
            Self::CharDevice { .. } => FileKind::CharDevice,
            Self::BlockDevice { .. } => FileKind::BlockDevice,
            Self::Fifo => FileKind::Fifo,
            Self::Socket => FileKind::Socket,
        }
    }

    /// Major and minor number; both are 0 if it is no device.
    pub fn device(self) -> (u32, u32) {
        match self {
            Self::CharDevice { major, minor } | Self::BlockDevice { major, minor } => (major, minor),
            Self::Fifo | Self::Socket => (0, 0),
        }
    }
}

/// A part of a file's content that lies on the disk as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentExtent {
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// Its length in bytes, which may reach past the end of the file.
    pub length_bytes: u64,
    /// Where it is in the storage of the file system, in bytes.
    pub storage_offset: u64,
}

/// Which of two states of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before.
    Old,
    /// After.
    New,
}

/// In what a file may differ between two states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expected {
    /// In nothing.
    Nothing,
    /// In what no path shows: times of access and change, where its blocks are, how they are mapped.
    Unseen,
    /// A directory: in its entries and what they bring with them, not in its times.
    Entries,
    /// In anything: it is new, gone, or was changed.
    Anything,
}

/// An extended attribute's whole name has at most so many bytes.
const MAX_XATTR_NAME_BYTES: usize = 255;

/// Why Linux does not let a file of this kind have an extended attribute with this name, if so. The reason follows the
/// name in a sentence: "is for directories".
pub fn xattr_problem(kind: FileKind, name: &[u8]) -> Option<&'static str> {
    const BEGINNINGS: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    match name {
        b"system.posix_acl_default" => return (kind != FileKind::Directory).then_some("is for directories"),
        b"system.posix_acl_access" => return (kind == FileKind::Symlink).then_some("is not for symbolic links"),
        _ if name.starts_with(b"system.") => return Some("is the file system's own"),
        _ => {}
    }
    let Some(beginning) = BEGINNINGS.iter().find(|beginning| name.starts_with(beginning)) else {
        return Some(
            "does not begin with user., trusted. or security., and is not system.posix_acl_access or _default",
        );
    };
    if name.len() == beginning.len() || name.len() > MAX_XATTR_NAME_BYTES || name.contains(&0) {
        return Some("has an invalid name: it is empty, longer than 255 bytes, or has a NUL in it");
    }
    let is_for_users = matches!(kind, FileKind::Regular | FileKind::Directory);
    (name.starts_with(b"user.") && !is_for_users).then_some("is for regular files and directories")
}
