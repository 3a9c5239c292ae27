//! Notes beside the files of the cache. They are not trusted: a missing or invalid note costs
//! only time.

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process;
use std::time::SystemTime;

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The largest note that is read.
const MAX_NOTE_BYTES: u64 = 64 << 10;

/// A note about an entry. The note's own modification time is the time of the entry's last use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EntryNote {
    /// Its name when it was fetched.
    pub(super) name: Option<String>,
    /// Where it came from.
    pub(super) url: Option<String>,
    /// The state of its file when its digest was last verified.
    pub(super) stamp: Stamp,
}

/// The metadata that change when somebody writes to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    size_bytes: u64,
    modified: (i64, i64),
    /// The time of the last change of any kind, which no program can set.
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            size_bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The note at `path`, if there is one.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.len() > MAX_NOTE_BYTES {
        return None;
    }
    serde_json::from_reader(io::BufReader::new(file)).ok()
}

/// Writes `note` to `path`, completely or not at all.
pub(super) fn write(path: &Path, note: &impl Serialize) -> io::Result<()> {
    // Another process with the same number, on another host, writes the same content.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", process::id()));
    let temporary = Path::new(&temporary);
    let bytes = serde_json::to_vec(note).map_err(io::Error::other)?;
    let result =
        File::create(temporary).and_then(|mut file| file.write_all(&bytes)).and_then(|()| fs::rename(temporary, path));
    if result.is_err() {
        let _ = fs::remove_file(temporary);
    }
    result
}

/// Records that the entry of the note at `path` is used now.
pub(super) fn touch(path: &Path) -> io::Result<()> {
    let file = File::options().append(true).open(path)?;
    let time = |nanoseconds| Timespec { tv_sec: 0, tv_nsec: nanoseconds };
    Ok(futimens(&file, &Timestamps { last_access: time(UTIME_OMIT), last_modification: time(UTIME_NOW) })?)
}

/// When the note at `path` was last written or touched.
pub(super) fn time(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
