use std::fmt;

/// Why a partition table could not be read or changed.
#[derive(Debug)]
pub enum Error {
    /// The disk could not be read.
    Storage(storage::Error),
    /// The bytes break the format's rules.
    Corrupt {
        /// Which object: `GPT header`, `backup GPT header`, `partition 15`.
        object: String,
        /// What was found, and what was expected.
        problem: String,
    },
    /// The table is valid, as far as it was looked at, but of a kind that is not read here.
    Unsupported {
        /// What it is.
        feature: String,
    },
    /// The partition cannot grow: another one lies behind it on the disk.
    NotLast {
        /// The number of its slot.
        number: u32,
        /// The one that lies next.
        next: u32,
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
            Self::Storage(error) if error.operation == storage::Operation::Write => {
                write!(f, "writing the partition table")
            }
            Self::Storage(_) => write!(f, "reading the partition table"),
            Self::Corrupt { object, problem } => write!(f, "{object}: {problem}"),
            Self::Unsupported { feature } => write!(f, "{feature} is not supported"),
            Self::NotLast { number, next } => {
                write!(f, "partition {number} cannot grow: partition {next} lies behind it on the disk")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Storage(error) => Some(error),
            Self::Corrupt { .. } | Self::Unsupported { .. } | Self::NotLast { .. } => None,
        }
    }
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        Self::Storage(error)
    }
}
