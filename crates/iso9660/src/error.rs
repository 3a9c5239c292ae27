use std::fmt;

/// Why an ISO 9660 could not be read or made.
#[derive(Debug)]
pub enum Error {
    /// The bytes behind could not be read.
    Storage(storage::Error),
    /// There is no volume descriptor where ISO 9660 has one.
    NotAnIso,
    /// The bytes break the format's rules.
    Corrupt {
        /// Which object: `primary volume descriptor`, `directory in block 28`.
        object: String,
        /// What was found, and what was expected.
        problem: String,
    },
    /// Valid, but not done here.
    Unsupported {
        /// What it is.
        feature: String,
    },
    /// There is nothing of this path.
    NotFound {
        /// The path, as far as it was followed.
        path: String,
    },
    /// A name that not all of the image's name spaces can have.
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file or a volume cannot be that large.
    TooLarge {
        /// Which one.
        object: String,
        /// What it takes.
        size_bytes: u64,
    },
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
            Self::Storage(_) => write!(f, "reading the ISO 9660 file system"),
            Self::NotAnIso => write!(f, "it is no ISO 9660: there is no `CD001` at offset 0x8001"),
            Self::Corrupt { object, problem } => write!(f, "{object}: {problem}"),
            Self::Unsupported { feature } => write!(f, "{feature} is not supported"),
            Self::NotFound { path } => write!(f, "`{path}` does not exist"),
            Self::InvalidName { name, problem } => write!(f, "the name `{name}` {problem}"),
            Self::TooLarge { object, size_bytes } => {
                write!(f, "{object} is too large for ISO 9660: {size_bytes} bytes")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Storage(error) => Some(error),
            _ => None,
        }
    }
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        Self::Storage(error)
    }
}
