use std::fmt;

/// Why a FAT could not be read or edited.
#[derive(Debug)]
pub enum Error {
    /// The bytes behind could not be read or written.
    Storage(storage::Error),
    /// The bytes break the format's rules.
    Corrupt {
        /// Which object: `boot sector`, `file EFI/ubuntu/grub.cfg`.
        object: String,
        /// What was found, and what was expected.
        problem: String,
    },
    /// Valid, but not done here.
    Unsupported {
        /// What it is.
        feature: String,
    },
    /// There is too little room; nothing was written.
    NoSpace {
        /// How much of `what` the operation takes.
        needed: u64,
        /// How much of it is free.
        available: u64,
        /// What there is too little of.
        what: Resource,
    },
    /// There is nothing of this path.
    NotFound {
        /// The path, as far as it was followed.
        path: String,
    },
    /// A component of the path that has something below it, or the path of a directory operation,
    /// is a file.
    NotADirectory {
        /// The path of the file.
        path: String,
    },
    /// The path of a file operation is a directory.
    IsADirectory {
        /// The path.
        path: String,
    },
    /// There is something of this name, or with this name as its short alias, already.
    Exists {
        /// The path.
        path: String,
    },
    /// A directory to be removed has something in it.
    NotEmpty {
        /// The path.
        path: String,
    },
    /// A name that FAT cannot have.
    InvalidName {
        /// The name, as text that can be shown.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file cannot be that large on a FAT.
    TooLarge {
        /// The size asked for.
        size_bytes: u64,
    },
    /// The content of a file could not be read, or ended before its size.
    Content(std::io::Error),
}

/// What a file system can run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Allocation units; [`FileSystem::cluster_size_bytes`](crate::FileSystem::cluster_size_bytes)
    /// says how large they are.
    Clusters,
    /// Slots of a directory that cannot grow, in a row: the root of FAT12 and FAT16, or any at
    /// 65,536 slots. A long name takes several.
    DirectorySlots,
}

impl Error {
    pub(crate) fn corrupt(object: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Corrupt { object: object.into(), problem: problem.into() }
    }

    pub(crate) fn unsupported(feature: impl Into<String>) -> Self {
        Self::Unsupported { feature: feature.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(_) => write!(f, "reading or writing the FAT file system"),
            Self::Corrupt { object, problem } => write!(f, "{object}: {problem}"),
            Self::Unsupported { feature } => write!(f, "{feature} is not supported"),
            Self::NoSpace { needed, available, what } => {
                let what = match what {
                    Resource::Clusters => "clusters",
                    Resource::DirectorySlots => "directory slots in a row",
                };
                write!(f, "no space on the FAT file system: needed={needed} available={available} {what}")
            }
            Self::NotFound { path } => write!(f, "`{path}` does not exist"),
            Self::NotADirectory { path } => write!(f, "`{path}` is not a directory"),
            Self::IsADirectory { path } => write!(f, "`{path}` is a directory"),
            Self::Exists { path } => write!(f, "`{path}` exists already"),
            Self::NotEmpty { path } => write!(f, "the directory `{path}` is not empty"),
            Self::InvalidName { name, problem } => write!(f, "the name `{name}` {problem}"),
            Self::TooLarge { size_bytes } => {
                write!(f, "a file of {size_bytes} bytes is too large for FAT, which ends at {}", u32::MAX)
            }
            Self::Content(_) => write!(f, "reading the file's content"),
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
