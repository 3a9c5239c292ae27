//! What the cache's folder can say.

use std::error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be done in the cache's folder.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The system refused something.
    File {
        /// The file or folder.
        path: PathBuf,
        /// What was done with it: `writing`, say.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file system has no room.
    NoSpace {
        /// The folder.
        folder: PathBuf,
        /// What is still to be written, where that is known.
        needed_bytes: Option<u64>,
        /// What is free.
        available_bytes: u64,
    },
}

impl Error {
    /// Something that was done with `path` went wrong.
    pub(crate) fn of(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, doing, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, doing, .. } => write!(f, "{doing} `{}`", path.display()),
            Self::NoSpace { folder, needed_bytes: Some(needed), available_bytes } => {
                write!(f, "{needed} bytes are needed below `{}`, and {available_bytes} are free", folder.display())
            }
            Self::NoSpace { folder, needed_bytes: None, .. } => {
                write!(f, "the file system of `{}` is full", folder.display())
            }
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::NoSpace { .. } => None,
        }
    }
}
