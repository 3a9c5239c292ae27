//! What can go wrong.

use std::io;

use thiserror::Error;

use crate::digest::Digest;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a delta was not made or not applied.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is something else.
    #[error("it is not a delta: it does not begin with `IMGDELTA`")]
    NotADelta,
    /// The delta is of a version that is not known here.
    #[error("it is a delta of version {found}, and only version 1 is known here")]
    Version {
        /// Its version.
        found: u32,
    },
    /// The delta breaks the rules of the format.
    #[error("the delta is corrupt: {problem}")]
    Corrupt {
        /// Which one, and where.
        problem: String,
    },
    /// The delta makes a file that is larger than allowed.
    #[error("the delta makes a file of {image_bytes} bytes, and at most {limit_bytes} are allowed")]
    TooLarge {
        /// The size that its header says.
        image_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The base has another size.
    #[error("the base has {found} bytes, and the delta is for one of {expected} bytes")]
    BaseSize {
        /// The size in the header.
        expected: u64,
        /// The base's own.
        found: u64,
    },
    /// The base has other bytes.
    #[error("the base's SHA-256 is {found}, and the delta is for {expected}")]
    BaseDigest {
        /// The digest in the header.
        expected: Digest,
        /// The base's own.
        found: Digest,
    },
    /// What was made is not what the delta was made of.
    #[error("the result's SHA-256 is {found}, and the delta says {expected}")]
    ImageDigest {
        /// The digest in the header.
        expected: Digest,
        /// That of the bytes that the instructions make.
        found: Digest,
    },
    /// The base cannot be read.
    #[error("the base cannot be read")]
    Base(#[source] storage::Error),
    /// The image that a delta is made of cannot be read.
    #[error("the image cannot be read")]
    Image(#[source] storage::Error),
    /// The delta cannot be read.
    #[error("the delta cannot be read")]
    Delta(#[source] storage::Error),
    /// The new file cannot be written.
    #[error("the new file cannot be written")]
    Write(#[source] io::Error),
}

impl Error {
    pub(crate) fn corrupt(problem: impl Into<String>) -> Self {
        Self::Corrupt { problem: problem.into() }
    }
}
