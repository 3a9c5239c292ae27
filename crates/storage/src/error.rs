use std::fmt;

/// The result of a storage operation.
pub type Result<T> = std::result::Result<T, Error>;

/// A read or a write that failed, and its place.
#[derive(Debug)]
pub struct Error {
    /// Whether it was a read or a write.
    pub operation: Operation,
    /// Offset in bytes from the storage's start.
    pub offset: u64,
    /// Length in bytes of the range.
    pub length_bytes: u64,
    /// Why it failed.
    pub reason: Reason,
}

/// An operation of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
}

/// Why an operation of a storage failed.
#[derive(Debug)]
pub enum Reason {
    /// The range ends past the storage.
    PastEnd {
        /// The storage's size in bytes.
        size_bytes: u64,
    },
    /// The host refused it.
    Io(std::io::Error),
    /// A format below, such as a qcow2 image, could not read or write the bytes.
    Layer(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// An error of a read of `length_bytes` bytes at `offset`.
    pub fn reading(offset: u64, length_bytes: u64, reason: Reason) -> Self {
        Self { operation: Operation::Read, offset, length_bytes, reason }
    }

    /// An error of a write of `length_bytes` bytes at `offset`.
    pub fn writing(offset: u64, length_bytes: u64, reason: Reason) -> Self {
        Self { operation: Operation::Write, offset, length_bytes, reason }
    }

    /// The host's own error that caused this one, if there is one: "no space left on device", for example.
    pub fn host_error(&self) -> Option<&std::io::Error> {
        match &self.reason {
            Reason::Io(error) => Some(error),
            Reason::Layer(error) => error.downcast_ref::<Error>().and_then(Error::host_error),
            Reason::PastEnd { .. } => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.operation {
            Operation::Read => "reading",
            Operation::Write => "writing",
        };
        write!(f, "{verb} {} bytes at offset {:#x}", self.length_bytes, self.offset)?;
        if let Reason::PastEnd { size_bytes } = self.reason {
            write!(f, ": the end is at {size_bytes:#x}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.reason {
            Reason::PastEnd { .. } => None,
            Reason::Io(error) => Some(error),
            Reason::Layer(error) => Some(&**error),
        }
    }
}
