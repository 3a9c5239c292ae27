use std::fmt;

use crate::InodeNumber;

/// The result of a file system operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation on the file system did not happen.
#[derive(Debug)]
pub enum Error {
    /// The storage could not give or take bytes.
    Storage(storage::Error),
    /// There is no ext2, ext3 or ext4 file system here.
    NotExt4 {
        /// What stands where the magic 0xEF53 was expected.
        found: u16,
    },
    /// The bytes break the format's rules.
    Corrupt {
        /// Which structure.
        object: Object,
        /// What was found, and what was expected.
        problem: String,
    },
    /// Valid, but not imgraft's to read or to write yet.
    Unsupported {
        /// Which structure.
        object: Object,
        /// The feature by its name, and what about it.
        feature: String,
    },
    /// Errors were noted in the file system, which is not written to unless it is asked for:
    /// [`allow_errors`](crate::FileSystem::allow_errors).
    HasErrors {
        /// `s_state`.
        state: u16,
        /// `s_error_count`.
        count: u32,
    },
    /// The file system is too full.
    NoSpace {
        /// What there is too little of.
        resource: Resource,
        /// How many are needed.
        needed: u64,
        /// How many there are.
        available: u64,
        /// Size in bytes of one of them.
        unit_bytes: u32,
    },
    /// The name is taken.
    Exists {
        /// The inode that has the name.
        inode: InodeNumber,
    },
    /// There is no such name in the directory.
    NotFound,
    /// A directory was expected.
    NotADirectory(InodeNumber),
    /// Something else than a directory was expected.
    IsADirectory(InodeNumber),
    /// A directory that has names, where an empty one was expected.
    NotEmpty(InodeNumber),
    /// A directory was to be moved to a place below itself.
    IntoItself(InodeNumber),
    /// A name that no directory entry can have: empty, longer than 255 bytes, `.`, `..`, or with
    /// a `/` or a NUL in it.
    BadName,
    /// A file, link or directory too large for the format.
    TooLarge {
        /// What is too large, and what the limit is.
        what: String,
    },
    /// The content to be written could not be read.
    Content(std::io::Error),
    /// The content to be written ended early or went on past the size that was announced.
    ContentLength {
        /// Announced size in bytes.
        expected_bytes: u64,
        /// Bytes there were, or one more than announced where it went on.
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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(_) => write!(f, "the file system's storage"),
            Self::NotExt4 { found } => {
                write!(f, "not an ext4 file system: s_magic={found:#06x}, expected 0xef53")
            }
            Self::Corrupt { object, problem } => write!(f, "corrupt ext4 file system: {object}: {problem}"),
            Self::Unsupported { object, feature } => write!(f, "unsupported ext4 feature: {object}: {feature}"),
            Self::HasErrors { state, count } => write!(
                f,
                "errors were noted in the ext4 file system: s_state={state:#x} s_error_count={count}; e2fsck repairs it"
            ),
            Self::NoSpace { resource: Resource::Blocks, needed, available, unit_bytes } => {
                let bytes = |blocks: &u64| blocks * u64::from(*unit_bytes);
                write!(
                    f,
                    "no space left in the file system: {needed} blocks ({} bytes) are needed, {available} ({} bytes) are free",
                    bytes(needed),
                    bytes(available)
                )
            }
            Self::NoSpace { resource: Resource::Inodes, needed, available, .. } => {
                write!(f, "no inodes left in the file system: {needed} are needed, {available} are free")
            }
            Self::Exists { inode } => write!(f, "the name is taken by inode {inode}"),
            Self::NotFound => write!(f, "no such file or directory"),
            Self::NotADirectory(inode) => write!(f, "inode {inode} is not a directory"),
            Self::IsADirectory(inode) => write!(f, "inode {inode} is a directory"),
            Self::NotEmpty(inode) => write!(f, "directory inode {inode} is not empty"),
            Self::IntoItself(inode) => write!(f, "directory inode {inode} cannot be moved to a place below itself"),
            Self::BadName => write!(f, "not a name that a directory entry can have"),
            Self::TooLarge { what } => write!(f, "{what}"),
            Self::Content(_) => write!(f, "reading the content to be written"),
            Self::ContentLength { expected_bytes, found_bytes } => {
                write!(
                    f,
                    "the content's size changed while it was read: {found_bytes} bytes, expected {expected_bytes}"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Storage(error) => Some(error),
            Self::Content(error) => Some(error),
            _ => None,
        }
    }
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        Self::Storage(error)
    }
}
