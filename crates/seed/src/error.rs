use std::fmt;

/// Why there is no seed.
#[derive(Debug)]
pub enum Error {
    /// Content could not be read.
    Storage(storage::Error),
    /// The ISO 9660 cannot be made.
    Iso(iso9660::Error),
    /// The FAT cannot be made.
    Vfat(fat::Error),
    /// A disk has no seed on it.
    NotASeed {
        /// Why not.
        problem: String,
    },
    /// A medium cannot be read.
    Medium {
        /// What it is.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The medium has no room for a file of this size, however large it is made.
    TooLarge {
        /// The file.
        name: &'static str,
        /// Its size in bytes.
        size_bytes: u64,
        /// What it does not fit, and that one's limit.
        limit: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(_) => write!(f, "reading the seed's content"),
            Self::Iso(_) => write!(f, "making an ISO 9660"),
            Self::Vfat(_) => write!(f, "making a FAT"),
            Self::NotASeed { problem } => write!(f, "it is no seed: {problem}"),
            Self::Medium { what, .. } => write!(f, "reading {what}"),
            Self::TooLarge { name, size_bytes, limit } => {
                write!(f, "`{name}` is too large: size_bytes={size_bytes}, and {limit}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Storage(error) => Some(error),
            Self::Iso(error) => Some(error),
            Self::Vfat(error) => Some(error),
            Self::Medium { source, .. } => Some(source.as_ref()),
            Self::NotASeed { .. } | Self::TooLarge { .. } => None,
        }
    }
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        Self::Storage(error)
    }
}
