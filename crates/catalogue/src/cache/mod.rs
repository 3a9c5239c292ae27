//! Files by their digests, in a folder that processes share.
//!
//! An entry is `<folder>/sha256/<hex>` (or `sha512/`): its name is the digest of its bytes. It is written as
//! `<hex>.part`, gets its name when it is complete and its digest is right, and is never written again. A file that
//! somebody else puts there under its digest is as good as a fetched one.
//!
//! - The fetching process locks the part (`flock`). The lock ends with the process, the part stays, and the next
//!   process that wants the file continues it.
//! - An entry is known to be right by its size and times, which `<hex>.json` recorded when all of its bytes
//!   were last read; if these differ, all bytes are read again.
//! - A process that has an entry open holds a shared lock on it, so it is not pruned.

mod digest;
mod entry;
mod error;
mod list;
mod note;
mod part;
mod prune;

use std::path::{Path, PathBuf};

pub use self::digest::{Algorithm, Digest, Hasher, ParseDigestError};
pub use self::entry::{Entry, Found};
pub use self::error::Error;
pub use self::list::{Listed, ListedPart, Listing, Verdict};
pub use self::part::{Claim, Origin, Part};
pub use self::prune::{Pruned, Rule};

/// A folder of fetched files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache in `folder`, which is created with the first entry. Nothing is read yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of the entry of `digest`, existing or not.
    pub fn path_of(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.algorithm().name()).join(digest.hex())
    }

    /// The path of a file beside it.
    fn beside(&self, digest: &Digest, ending: &str) -> PathBuf {
        self.folder.join(digest.algorithm().name()).join(format!("{}{ending}", digest.hex()))
    }

    fn note_path(&self, digest: &Digest) -> PathBuf {
        self.beside(digest, NOTE)
    }
}

/// The ending of a note about an entry.
const NOTE: &str = ".json";
/// The ending of an unfinished entry.
const PART: &str = ".part";
/// The ending of a note about a part's origin.
const PART_NOTE: &str = ".part.json";
