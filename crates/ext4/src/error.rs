use std::fmt;

use thiserror::Error;

use crate::InodeNumber;

/// The result of a file system operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation on the file system did not happen.
#[derive(Debug, Error)]
pub enum Error {
    /// The storage could not give or take bytes.
    #[error("the file system's storage")]
    Storage(#[from] storage::Error),
    /// There is no ext2, ext3 or ext4 file system here.
    #[error("not an ext4 file system: s_magic={found:#06x}, expected 0xef53")]
    NotExt4 {
        /// What stands where the magic 0xEF53 was expected.
        found: u16,
    },
    /// The bytes break the format's rules.
    #[error("corrupt ext4 file system: {object}: {problem}")]
    Corrupt {
        /// Which structure.
        object: Object,
        /// What was found, and what was expected.
        problem: String,
    },
    /// Valid, but imgraft cannot read or write it yet.
    #[error("unsupported ext4 feature: {object}: {feature}")]
    Unsupported {
        /// Which structure.
        object: Object,
        /// The feature by its name, and what about it.
        feature: String,
    },
    /// Errors were noted in the file system. It can be written after
    /// [`allow_errors`](crate::FileSystem::allow_errors).
    #[error("errors were noted in the ext4 file system: s_state={state:#x} s_error_count={count}; e2fsck repairs it")]
    HasErrors {
        /// `s_state`.
        state: u16,
        /// `s_error_count`.
        count: u32,
    },
    /// The file system is too full.
    #[error("{}", no_space(*resource, *needed, *available, *unit_bytes))]
    NoSpace {
        /// What ran out.
        resource: Resource,
        /// How many are needed.
        needed: u64,
        /// How many there are.
        available: u64,
        /// Size of one of them in bytes.
        unit_bytes: u32,
    },
    /// The name is taken.
    #[error("the name is taken by inode {inode}")]
    Exists {
        /// The inode that has the name.
        inode: InodeNumber,
    },
    /// There is no such name in the directory.
    #[error("no such file or directory")]
    NotFound,
    /// A directory was expected.
    #[error("inode {0} is not a directory")]
    NotADirectory(InodeNumber),
    /// A directory, where something else was expected.
    #[error("inode {0} is a directory")]
    IsADirectory(InodeNumber),
    /// A directory that has names, where an empty one was expected.
    #[error("directory inode {0} is not empty")]
    NotEmpty(InodeNumber),
    /// A directory was to be moved to a place below itself.
    #[error("directory inode {0} cannot be moved to a place below itself")]
    IntoItself(InodeNumber),
    /// A name that no directory entry can have: empty, longer than 255 bytes, `.`, `..`, or with
    /// a `/` or a NUL in it.
    #[error("invalid name: it is empty, longer than 255 bytes, `.` or `..`, or has a `/` or a NUL in it")]
    BadName,
    /// A file, link or directory too large for the format.
    #[error("{what}")]
    TooLarge {
        /// What is too large, and what the limit is.
        what: String,
    },
    /// The content to be written could not be read.
    #[error("reading the content to be written")]
    Content(#[source] std::io::Error),
    /// The content to be written is shorter or longer than announced.
    #[error("the content's size changed while it was read: {found_bytes} bytes, expected {expected_bytes}")]
    ContentLength {
        /// Announced size in bytes.
        expected_bytes: u64,
        /// How many bytes it had; one more than announced where it is longer.
        found_bytes: u64,
    },
}

/// A structure of the file system, with the number that `debugfs` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// The super block.
    Superblock,
    /// A block group.
    Group(u32),
    /// An inode.
    Inode(InodeNumber),
    /// A block.
    Block(u64),
    /// A block of a directory.
    DirectoryBlock {
        /// The directory.
        inode: InodeNumber,
        /// The block's number within the directory.
        logical: u32,
    },
    /// The journal.
    Journal,
}

/// What a file system can run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Blocks for content and metadata.
    Blocks,
    /// Inodes.
    Inodes,
}

impl Error {
    pub(crate) fn corrupt(object: Object, problem: impl Into<String>) -> Self {
        Self::Corrupt { object, problem: problem.into() }
    }

    pub(crate) fn unsupported(object: Object, feature: impl Into<String>) -> Self {
        Self::Unsupported { object, feature: feature.into() }
    }
}

/// What is missing, and how much of it.
fn no_space(resource: Resource, needed: u64, available: u64, unit_bytes: u32) -> String {
    let bytes = |blocks: u64| blocks.saturating_mul(u64::from(unit_bytes));
    match resource {
        Resource::Blocks => format!(
            "no space left in the file system: {needed} blocks ({} bytes) are needed, {available} ({} bytes) are free",
            bytes(needed),
            bytes(available)
        ),
        Resource::Inodes => {
            format!("no inodes left in the file system: {needed} are needed, {available} are free")
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock => write!(f, "super block"),
            Self::Group(group) => write!(f, "group {group}"),
            Self::Inode(inode) => write!(f, "inode {inode}"),
            Self::Block(block) => write!(f, "block {block}"),
            Self::DirectoryBlock { inode, logical } => write!(f, "directory inode {inode}, block {logical}"),
            Self::Journal => write!(f, "journal"),
        }
    }
}
