//! Unfinished downloads.

use std::fs::{self, File, Permissions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock, fstatvfs};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::entry::{MODE, hash, is_at};
use super::note::{self, EntryNote, Stamp};
use super::{Cache, Digest, Entry, Error, Found, Hasher, PART, PART_NOTE};

/// How often a waiting process looks again.
const WAIT: Duration = Duration::from_millis(100);

/// The mode of a part.
const PART_MODE: u32 = 0o600;

/// What a process gets that wants a file.
#[derive(Debug)]
pub enum Claim {
    /// The file: another process has fetched it meanwhile.
    Entry(Entry),
    /// The right to fetch it.
    Part(Part),
}

/// Where the bytes of a part come from, and which version of the file they belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The address, after redirects.
    pub url: String,
    /// The server's `ETag` of that version, if it is a strong one.
    pub etag: Option<String>,
    /// The `Last-Modified` of that version.
    pub last_modified: Option<String>,
    /// The size of the whole file.
    pub total_bytes: Option<u64>,
}

/// An unfinished file, and the right to continue it.
#[derive(Debug)]
pub struct Part {
    cache: Cache,
    digest: Digest,
    path: PathBuf,
    file: File,
    have_bytes: u64,
    origin: Option<Origin>,
    /// Whether it has its final name.
    is_done: bool,
}

impl Cache {
    /// The right to fetch the file of `digest`, or the file. While another process has that right, `waiting` is called
    /// repeatedly with the number of bytes so far and in all.
    ///
    /// # Errors
    ///
    /// Errors of the folder.
    pub fn claim(&self, digest: &Digest, waiting: &mut dyn FnMut(u64, Option<u64>)) -> Result<Claim, Error> {
        let path = self.beside(digest, PART);
        let folder = self.folder.join(digest.algorithm().name());
        fs::create_dir_all(&folder).map_err(Error::of("making", &folder))?;
        loop {
            if let Found::Entry(entry) = self.find(digest)? {
                return Ok(Claim::Entry(entry));
            }
            let file = open_part(&path).map_err(Error::of("opening", &path))?;
            if !lock(&file, &path, || {
                let have_bytes = file.metadata().map_or(0, |metadata| metadata.len());
                let origin: Option<Origin> = note::read(&self.beside(digest, PART_NOTE));
                waiting(have_bytes, origin.and_then(|origin| origin.total_bytes));
            })? {
                // The process that had it has finished or removed it.
                continue;
            }
            match self.find(digest)? {
                Found::Entry(entry) => {
                    // The entry appeared between our check and our lock; the part is our own empty one.
                    let _ = fs::remove_file(&path);
                    return Ok(Claim::Entry(entry));
                }
                Found::Damaged { file, .. } => {
                    self.remove(digest, &file).map_err(Error::of("removing", &self.path_of(digest)))?;
                }
                Found::Nothing => {}
            }
            let have_bytes = file.metadata().map_err(Error::of("looking at", &path))?.len();
            let origin = note::read(&self.beside(digest, PART_NOTE)).filter(|_| have_bytes > 0);
            let cache = self.clone();
            return Ok(Claim::Part(Part { cache, digest: *digest, path, file, have_bytes, origin, is_done: false }));
        }
    }
}

fn open_part(path: &Path) -> io::Result<File> {
    let open = || File::options().read(true).write(true).create(true).truncate(false).mode(PART_MODE).open(path);
    match open() {
        // A process ended between making it read-only and renaming it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::set_permissions(path, Permissions::from_mode(PART_MODE))?;
            open()
        }
        result => result,
    }
}

/// Locks `file` and returns whether it is still the one at `path`.
fn lock(file: &File, path: &Path, mut waiting: impl FnMut()) -> Result<bool, Error> {
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return is_at(file, path).map_err(Error::of("looking at", path)),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => {
                waiting();
                thread::sleep(WAIT);
                if !is_at(file, path).map_err(Error::of("looking at", path))? {
                    return Ok(false);
                }
            }
            Err(error) => return Err(Error::of("locking", path)(error.into())),
        }
    }
}

impl Part {
    /// The digest that it must have.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How many bytes there are.
    pub fn have_bytes(&self) -> u64 {
        self.have_bytes
    }

    /// Where they come from, if known.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Records where the bytes come from, for a process that continues later.
    pub fn set_origin(&mut self, origin: Origin) {
        if self.origin.as_ref() != Some(&origin) {
            // Without the note, the bytes may turn out to belong to another version in the end.
            let _ = note::write(&self.cache.beside(&self.digest, PART_NOTE), &origin);
            self.origin = Some(origin);
        }
    }

    /// The unfinished digest of all bytes so far.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if the part cannot be read.
    pub fn hasher(&mut self) -> Result<Hasher, Error> {
        let mut hasher = Hasher::new(self.digest.algorithm());
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| hash(&mut file, &mut hasher, self.have_bytes));
        self.have_bytes = read.map_err(Error::of("reading", &self.path))?;
        Ok(hasher)
    }

    /// Removes all bytes so far.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if the part cannot be made shorter.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.file.set_len(0).map_err(Error::of("emptying", &self.path))?;
        let _ = fs::remove_file(self.cache.beside(&self.digest, PART_NOTE));
        self.have_bytes = 0;
        self.origin = None;
        Ok(())
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] if there is no room for them; [`Error::File`]. What there is stays as it was then.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        use std::os::unix::fs::FileExt;

        if let Err(source) = self.file.write_all_at(bytes, self.have_bytes) {
            let _ = self.file.set_len(self.have_bytes);
            return Err(match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => self.no_space(None),
                _ => Error::of("writing", &self.path)(source),
            });
        }
        self.have_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Whether there is room for a file of `total_bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] if there is none.
    pub fn needs_room(&self, total_bytes: u64) -> Result<(), Error> {
        let needed_bytes = total_bytes.saturating_sub(self.have_bytes);
        // If that is unknown, writing will show it.
        if self.available_bytes().is_some_and(|available| available < needed_bytes) {
            return Err(self.no_space(Some(needed_bytes)));
        }
        Ok(())
    }

    fn no_space(&self, needed_bytes: Option<u64>) -> Error {
        let folder = self.cache.folder.clone();
        Error::NoSpace { folder, needed_bytes, available_bytes: self.available_bytes().unwrap_or(0) }
    }

    fn available_bytes(&self) -> Option<u64> {
        let room = fstatvfs(&self.file).ok()?;
        Some(room.f_bavail.saturating_mul(room.f_frsize))
    }

    /// Gives the file its final name. The caller has verified its digest.
    ///
    /// # Errors
    ///
    /// Errors of the system; the part stays then.
    pub fn finish(mut self, name: &str) -> Result<Entry, Error> {
        let Self { cache, digest, path, file, .. } = &self;
        let (cache, digest, target) = (cache.clone(), *digest, cache.path_of(digest));
        file.sync_all().map_err(Error::of("writing", path))?;
        file.set_permissions(Permissions::from_mode(MODE)).map_err(Error::of("setting the mode of", path))?;
        fs::rename(path, &target).map_err(Error::of("renaming", path))?;
        self.is_done = true;
        let folder = cache.folder.join(digest.algorithm().name());
        // It has its name; a power cut may undo that, but nothing else.
        let _ = File::open(&folder).and_then(|folder| folder.sync_all());
        let url = self.origin.take().map(|origin| origin.url);
        if let Ok(metadata) = self.file.metadata() {
            let note = EntryNote { name: Some(name.to_owned()), url, stamp: Stamp::of(&metadata) };
            cache.write_note(&digest, note, false);
        }
        let _ = fs::remove_file(cache.beside(&digest, PART_NOTE));
        // The exclusive lock becomes a shared one, without a moment in which it could be pruned. A process that waits
        // for the part notices that it has moved.
        let _ = flock(&self.file, FlockOperation::LockShared);
        match cache.find(&digest)? {
            Found::Entry(entry) => Ok(entry),
            _ => Err(Error::of("opening", &target)(io::ErrorKind::NotFound.into())),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_done && self.have_bytes == 0 {
            // It has no bytes worth keeping. The lock is still ours.
            let _ = fs::remove_file(&self.path);
        }
    }
}
