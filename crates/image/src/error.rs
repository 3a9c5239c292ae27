/// The result of an operation on an image.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why an image could not be opened, read, checked or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is not a disk image that this crate knows.
    #[error("not a disk image: found {found}, expected {expected}")]
    NotAnImage {
        /// What the file begins with, or that it is empty.
        found: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// The image is valid and needs a feature that this crate lacks.
    #[error("{feature} is not supported")]
    Unsupported {
        /// The feature, by the name or the number that its format gives it.
        feature: String,
    },
    /// The image is valid and needs another file, which is not opened.
    #[error("the image needs backing_file={name:?}, which is not opened")]
    BackingFile {
        /// The other file, as the image names it.
        name: String,
    },
    /// A file under the image is damaged or not supported, or the gate does not open it.
    #[error("backing_file={name:?} cannot be used")]
    InBackingFile {
        /// The file, as the image above it names it.
        name: String,
        /// The problem.
        #[source]
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bytes break the format's rules.
    #[error("corrupt {object}: {problem}")]
    Corrupt {
        /// Which object, with the number that other tools take.
        object: String,
        /// What was found, and what was expected.
        problem: String,
    },
    /// The file ends before something that should be in it.
    #[error(
        "the file ends at {file_size_bytes} of {} bytes: it was cut off, or a place is wrong ({object}: \
         offset={offset:#x} length={length_bytes:#x})",
        .offset.saturating_add(*.length_bytes)
    )]
    Truncated {
        /// Which object, with the number that other tools take.
        object: String,
        /// Where the object is in the file, in bytes.
        offset: u64,
        /// The object's length in bytes.
        length_bytes: u64,
        /// The file's size in bytes.
        file_size_bytes: u64,
    },
    /// The file holds more than the caller allows.
    #[error("{object} holds more than {limit_bytes} bytes, the limit")]
    TooLarge {
        /// Which object.
        object: String,
        /// How many bytes are allowed.
        limit_bytes: u64,
    },
    /// A read from the image's file or from the edited disk, or a write to the new file, failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The header of an image that is changed in its own file could not be written or synced: the image is the
    /// old one or the new one.
    #[error("the image has its old header or its new one: writing the header failed")]
    Undecided(#[source] storage::Error),
}

impl Error {
    pub(crate) fn corrupt(object: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Corrupt { object: object.into(), problem: problem.into() }
    }

    pub(crate) fn unsupported(feature: impl Into<String>) -> Self {
        Self::Unsupported { feature: feature.into() }
    }

    /// An error of a write of `length_bytes` bytes at `offset` of the new file.
    pub(crate) fn writing(offset: u64, length_bytes: u64, error: std::io::Error) -> Self {
        Self::Storage(storage::Error::writing(offset, length_bytes, storage::Reason::Io(error)))
    }

    /// The host's own error that caused this one, if there is one: "no space left on device", for example.
    pub fn host_error(&self) -> Option<&std::io::Error> {
        match self {
            Self::Storage(error) | Self::Undecided(error) => error.host_error(),
            Self::InBackingFile { error, .. } => {
                let first: &(dyn std::error::Error + 'static) = &**error;
                std::iter::successors(Some(first), |error| error.source())
                    .find_map(<dyn std::error::Error>::downcast_ref)
            }
            _ => None,
        }
    }

    /// This error as one of a read of `length_bytes` bytes at `offset` of the guest's disk.
    pub(crate) fn into_read_error(self, offset: u64, length_bytes: u64) -> storage::Error {
        let layer: Box<dyn std::error::Error + Send + Sync> = match self {
            // Without our own wrapper in between, `host_error` finds its way down.
            Self::Storage(error) | Self::Undecided(error) => Box::new(error),
            other => Box::new(other),
        };
        storage::Error::reading(offset, length_bytes, storage::Reason::Layer(layer))
    }
}
