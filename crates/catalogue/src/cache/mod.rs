//! Files by their digests, in a folder that processes share.
//!
//! An entry is `<folder>/sha256/<hex>` (or `sha512/`): its name is what its bytes have to come to. It is written
//! under another name, gets its own when it is whole and right, and is never written again.

mod digest;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use self::digest::{Algorithm, Digest, Hasher, ParseDigestError};

/// A folder of files that were fetched.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache in `folder`, which is made when the first entry is. Nothing is read yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// A file of the cache, open and right when it was opened. It is not pruned by this crate while this lives.
#[derive(Debug)]
pub struct Entry {
    path: PathBuf,
    digest: Digest,
    size_bytes: u64,
    file: File,
}

impl Entry {
    /// Where it is. Others may prune it once this value is dropped.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its bytes come to.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How many bytes there are.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The file, open for reading.
    pub fn file(&self) -> &File {
        &self.file
    }
}
