use thiserror::Error;

/// Why a partition table could not be read or changed.
#[derive(Debug, Error)]
pub enum Error {
    /// The disk could not be read.
    #[error("{} the partition table", if .0.operation == storage::Operation::Write { "writing" } else { "reading" })]
    Storage(#[from] storage::Error),
    /// The bytes break the format's rules.
    #[error("{object}: {problem}")]
    Corrupt {
        /// Which object: `GPT header`, `backup GPT header`, `partition 15`.
        object: String,
        /// What was found, and what was expected.
        problem: String,
    },
    /// The table is valid, as far as it was looked at, but of a kind that is not read here.
    #[error("{feature} is not supported")]
    Unsupported {
        /// What it is.
        feature: String,
    },
    /// The partition cannot grow: another one lies after it on the disk.
    #[error("partition {number} cannot grow: partition {next} lies after it on the disk")]
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
