use std::fmt;

/// Why a FAT could not be read or edited.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage could not be read or written.
    #[error("reading or writing the FAT file system")]
    Storage(#[from] storage::Error),
    /// The bytes break the format's rules.
    #[error("{object}: {problem}")]
    Corrupt {
        /// Which object: `boot sector`, `file EFI/ubuntu/grub.cfg`.
        object: String,
        /// What was found, and what was expected.
        problem: String,
    },
    /// Valid, but not supported here.
    #[error("{feature} is not supported")]
    Unsupported {
        /// What it is.
        feature: String,
    },
    /// There is too little room; nothing was written.
    #[error("no space on the FAT file system: needed={needed} available={available} {what}")]
    NoSpace {
        /// How much of `what` the operation takes.
        needed: u64,
        /// How much of it is free.
        available: u64,
        /// What is too little.
        what: Resource,
    },
    /// The path does not exist.
    #[error("`{path}` does not exist")]
    NotFound {
        /// The path, as far as it was followed.
        path: String,
    },
    /// A component of the path that is not the last, or the path of a directory operation,
    /// is a file.
    #[error("`{path}` is not a directory")]
    NotADirectory {
        /// The path of the file.
        path: String,
    },
    /// The path of a file operation is a directory.
    #[error("`{path}` is a directory")]
    IsADirectory {
        /// The path.
        path: String,
    },
    /// The name, or the same short alias, exists already.
    #[error("`{path}` exists already")]
    Exists {
        /// The path.
        path: String,
    },
    /// A directory that should be removed is not empty.
    #[error("the directory `{path}` is not empty")]
    NotEmpty {
        /// The path.
        path: String,
    },
    /// A name that FAT cannot have.
    #[error("the name `{name}` {problem}")]
    InvalidName {
        /// The name, as text that can be shown.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file cannot be that large on a FAT.
    #[error("a file of {size_bytes} bytes is too large for FAT: the limit is {}", u32::MAX)]
    TooLarge {
        /// The size asked for.
        size_bytes: u64,
    },
    /// The content of a file could not be read, or ended before its size.
    #[error("reading the file's content")]
    Content(#[source] std::io::Error),
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

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clusters => "clusters",
            Self::DirectorySlots => "directory slots in a row",
        })
    }
}
