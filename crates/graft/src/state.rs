//! Digests of files that differ.

use std::collections::BTreeMap;
use std::io::{self, Write};

use guest::Printable;
use guest::diff::{ImageFile, PathChange, View};
use sha1::Digest as _;
use sha2::Digest as _;

/// How many times a disk's size may be read: more than once, as files with holes are larger than what is in them.
const MOST_TIMES: u64 = 2;

/// What a file is, beside the facts of a comparison. Digests are hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileState {
    /// The SHA-256 of a regular file's content.
    pub sha256: Option<String>,
    /// Its SHA-1, which SPDX wants.
    pub sha1: Option<String>,
    /// The SHA-256 of each extended attribute's value, by name.
    pub xattrs: BTreeMap<String, String>,
    /// The flags that `lsattr` shows.
    pub flags: u32,
}

/// Gives what is read to both digests.
#[derive(Default)]
struct Digests {
    sha256: sha2::Sha256,
    sha1: sha1::Sha1,
}

impl Write for Digests {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sha256.update(bytes);
        self.sha1.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What each of `paths` is in `image`, in their order; `None` for one that is not there. A file with several names is read
/// once.
///
/// # Errors
///
/// If a file cannot be read; and, with its path, if the files are much larger than the disk that they are on.
pub fn file_states(image: &View, paths: &[PathChange], disk_bytes: u64) -> Result<Vec<Option<FileState>>, StateError> {
    let mut left_bytes = disk_bytes.saturating_mul(MOST_TIMES);
    let mut known: BTreeMap<&ImageFile, FileState> = BTreeMap::new();
    let mut states = Vec::with_capacity(paths.len());
    for change in paths {
        let (Some(file), Some(facts)) = (&change.file, &change.image) else {
            states.push(None);
            continue;
        };
        if let Some(state) = known.get(file) {
            states.push(Some(state.clone()));
            continue;
        }
        let size_bytes = facts.size_bytes.unwrap_or(0);
        let Some(left) = left_bytes.checked_sub(size_bytes) else {
            return Err(StateError::TooMuch { path: change.path.clone(), disk_bytes });
        };
        left_bytes = left;
        let mut digests = Digests::default();
        let (xattrs, flags) = image.contents(file, &mut digests)?;
        let xattrs =
            xattrs.iter().map(|(name, value)| (Printable(name).to_string(), hex(&sha2::Sha256::digest(value))));
        let is_regular = facts.kind == guest::FileKind::Regular;
        let state = FileState {
            sha256: is_regular.then(|| hex(&digests.sha256.finalize())),
            sha1: is_regular.then(|| hex(&digests.sha1.finalize())),
            xattrs: xattrs.collect(),
            flags,
        };
        known.insert(file, state.clone());
        states.push(Some(state));
    }
    Ok(states)
}

/// Why files have no digests.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// They are much larger than the disk: reading their holes could take for ever.
    #[error(
        "the files that differ are more than {MOST_TIMES} times as large as the disk of {disk_bytes} bytes, up to `{path}`: \
         they consist of holes"
    )]
    TooMuch {
        /// The file with which they become too large.
        path: String,
        /// The disk's size.
        disk_bytes: u64,
    },
    /// One of them cannot be read.
    #[error(transparent)]
    Guest(#[from] guest::Error),
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
