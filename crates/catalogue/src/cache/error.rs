//! What the cache's folder can say.

use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be done in the cache's folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused something.
    #[error("{doing} `{path}`")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What was done with it: `writing`, say.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file system has no room.
    #[error("{}", no_space(.folder, *.needed_bytes, *.available_bytes))]
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

fn no_space(folder: &Path, needed_bytes: Option<u64>, available_bytes: u64) -> String {
    let folder = folder.display();
    match needed_bytes {
        Some(needed) => format!("{needed} bytes are needed below `{folder}`, and {available_bytes} are free"),
        None => format!("the file system of `{folder}` is full"),
    }
}
