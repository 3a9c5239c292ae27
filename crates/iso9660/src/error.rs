/// Why an ISO 9660 could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage could not be read.
    #[error("reading the ISO 9660 file system")]
    Storage(#[from] storage::Error),
    /// There is no volume descriptor where ISO 9660 has one.
    #[error("it is not ISO 9660: there is no `CD001` at offset 0x8001")]
    NotAnIso,
    /// The bytes break the format's rules.
    #[error("{object}: {problem}")]
    Corrupt {
        /// Which object: `primary volume descriptor`, `directory in block 28`.
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
    /// The path does not exist.
    #[error("`{path}` does not exist")]
    NotFound {
        /// The path, as far as it was followed.
        path: String,
    },
    /// A name that not all of the image's name spaces can have.
    #[error("the name `{name}` {problem}")]
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file or a volume cannot be that large.
    #[error("{object} is too large for ISO 9660: {size_bytes} bytes")]
    TooLarge {
        /// Which one.
        object: String,
        /// Its size.
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
