use thiserror::Error;

/// The result of reading LVM2.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something of LVM2 could not be read.
#[derive(Debug, Error)]
pub enum Error {
    /// The storage could not be read.
    #[error("the physical volume's storage")]
    Storage(#[from] storage::Error),
    /// The bytes break the format's rules.
    #[error("corrupt LVM2: {object}: {problem}")]
    Corrupt {
        /// Which structure: `label`, `metadata area`, `volume group vg0`.
        object: String,
        /// What was found, and what was expected.
        problem: String,
    },
    /// Valid, but not to be had as a storage here.
    #[error("{what} is not supported")]
    Unsupported {
        /// What it is, by its name.
        what: String,
    },
}

impl Error {
    pub(crate) fn corrupt(object: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Corrupt { object: object.into(), problem: problem.into() }
    }
}
