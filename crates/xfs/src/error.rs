use std::fmt;

use thiserror::Error;

/// The result of a file system operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation on the file system did not happen.
#[derive(Debug, Error)]
pub enum Error {
    /// The storage could not give or take bytes.
    #[error("the file system's storage")]
    Storage(#[from] storage::Error),
    /// There is no XFS here.
    #[error("not an XFS: sb_magicnum={found:#010x}, expected 0x58465342")]
    NotXfs {
        /// What stands where the magic was expected.
        found: u32,
    },
    /// The bytes break the format's rules.
    #[error("corrupt XFS: {object}: {problem}")]
    Corrupt {
        /// Which structure.
        object: Object,
        /// What was found, and what was expected.
        problem: String,
    },
    /// Valid, but imgraft cannot edit it.
    #[error("unsupported XFS feature: {object}: {feature}")]
    Unsupported {
        /// Which structure.
        object: Object,
        /// The feature by its name, and what about it.
        feature: String,
    },
    /// The file system is too full.
    #[error(
        "no space left in the file system: {needed} blocks of {block_size_bytes} bytes are needed, {available} are free"
    )]
    NoSpace {
        /// How many blocks are needed.
        needed: u64,
        /// How many are free.
        available: u64,
        /// Size of a block in bytes.
        block_size_bytes: u32,
    },
    /// The name is taken.
    #[error("the name is taken by inode {inode}")]
    Exists {
        /// The inode that has the name.
        inode: u64,
    },
    /// There is no such name in the directory.
    #[error("no such file or directory")]
    NotFound,
    /// A directory was expected.
    #[error("inode {0} is not a directory")]
    NotADirectory(u64),
    /// A directory, where something else was expected.
    #[error("inode {0} is a directory")]
    IsADirectory(u64),
    /// A directory that has names, where an empty one was expected.
    #[error("directory inode {0} is not empty")]
    NotEmpty(u64),
    /// A directory was to be moved to a place below itself.
    #[error("directory inode {0} cannot be moved to a place below itself")]
    IntoItself(u64),
    /// A name that no directory entry can have.
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

/// A structure of the file system, with the numbers that `xfs_db` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// The super block.
    Superblock,
    /// An allocation group.
    Group(u32),
    /// A block of an allocation group.
    GroupBlock {
        /// The group.
        group: u32,
        /// The block's number within it.
        block: u32,
    },
    /// An inode.
    Inode(u64),
    /// A file system block, its group in the upper bits.
    Block(u64),
    /// The log.
    Log,
    /// What belongs to nobody.
    Nobody,
}

impl Error {
    pub(crate) fn corrupt(object: Object, problem: impl Into<String>) -> Self {
        Self::Corrupt { object, problem: problem.into() }
    }

    pub(crate) fn unsupported(object: Object, feature: impl Into<String>) -> Self {
        Self::Unsupported { object, feature: feature.into() }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock => f.write_str("superblock"),
            Self::Group(group) => write!(f, "agno {group}"),
            Self::GroupBlock { group, block } => write!(f, "agno {group}, agbno {block}"),
            Self::Inode(number) => write!(f, "inode {number}"),
            Self::Block(block) => write!(f, "fsblock {block}"),
            Self::Log => f.write_str("log"),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}
