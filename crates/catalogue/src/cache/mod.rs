//! Files by their digests, in a folder that processes share.
//!
//! An entry is `<folder>/sha256/<hex>` (or `sha512/`): its name is what its bytes have to come to. It is written as
//! `<hex>.part`, gets its own name when it is whole and right, and is never written again. A file that somebody
//! else puts there under such a name is as good as one that was fetched.
//!
//! - Who fetches has a lock (`flock`) on the part. The lock goes with its process, the part stays, and the next
//!   one who wants the file goes on with it.
//! - Whether an entry is right is known by its size and times, as `<hex>.json` has them from when all of its bytes
//!   were last read; where these differ, all bytes are read again.
//! - Whoever has an entry open has a shared lock on it, and so it is not pruned.

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

/// A folder of files that were fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// Where the entry of `digest` is, if there is one.
    pub fn path_of(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.algorithm().name()).join(digest.hex())
    }

    /// Where a file beside that is.
    fn beside(&self, digest: &Digest, ending: &str) -> PathBuf {
        self.folder.join(digest.algorithm().name()).join(format!("{}{ending}", digest.hex()))
    }

    fn note_path(&self, digest: &Digest) -> PathBuf {
        self.beside(digest, NOTE)
    }
}

/// How the name of an entry's note ends.
const NOTE: &str = ".json";
/// How the name of what there is of an entry ends.
const PART: &str = ".part";
/// How the name of a note ends that says where a part comes from.
const PART_NOTE: &str = ".part.json";
