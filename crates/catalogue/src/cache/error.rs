//! Errors of the cache's folder.

use std::io;
use std::path::{Path, PathBuf};

/// Why an operation on the cache's folder failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused something.
    #[error("{doing} `{path}`")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The operation, such as `writing`.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file system has no room.
    #[error("{}", no_space(.folder, *.needed_bytes, *.available_bytes))]
    NoSpace {
        /// The folder.
        folder: PathBuf,
        /// How many bytes were still to be written, if known.
        needed_bytes: Option<u64>,
        /// The free bytes.
        available_bytes: u64,
    },
}

impl Error {
    /// The operation `doing` failed for `path`.
    pub(crate) fn of(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, doing, source }
    }
}

fn no_space(folder: &Path, needed_bytes: Option<u64>, available_bytes: u64) -> String {
    let folder = folder.display();
    match needed_bytes {
        Some(needed) => format!("`{folder}` needs {needed} bytes, but only {available_bytes} are free"),
        None => format!("the file system of `{folder}` is full"),
    }
}
