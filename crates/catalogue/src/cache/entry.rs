//! Complete files of the cache.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::note::{self, EntryNote, Stamp};
use super::{Cache, Digest, Error, Hasher};

/// The mode of an entry: it is never written again.
pub(super) const MODE: u32 = 0o444;

/// An open file of the cache, whose digest was right when it was opened. It is not pruned while this lives.
#[derive(Debug)]
pub struct Entry {
    path: PathBuf,
    digest: Digest,
    size_bytes: u64,
    file: File,
}

impl Entry {
    /// Where it is. It may be pruned once this value is dropped.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The digest of its bytes.
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

/// What the cache has for a digest.
#[derive(Debug)]
#[non_exhaustive]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A file with other bytes.
    Damaged {
        /// Their digest.
        found: Box<Digest>,
        /// The file, to distinguish it from a later one with the same name.
        file: File,
    },
    /// The digest that it should have.
    Entry(Entry),
}

/// How many bytes are read at once to compute a digest.
const READ_BYTES: usize = 1 << 20;

impl Cache {
    /// What the cache has for `digest`. A file is read completely only if it has changed since the last time.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if a file cannot be opened or read.
    pub fn find(&self, digest: &Digest) -> Result<Found, Error> {
        self.look(digest, false)
    }

    /// Like [`find`](Self::find), but always reads the whole file. It does not count as use.
    ///
    /// # Errors
    ///
    /// Like [`find`](Self::find).
    pub fn verify(&self, digest: &Digest) -> Result<Found, Error> {
        self.look(digest, true)
    }

    fn look(&self, digest: &Digest, read_all: bool) -> Result<Found, Error> {
        let path = self.path_of(digest);
        let Some(file) = open_shared(&path).map_err(Error::of("opening", &path))? else { return Ok(Found::Nothing) };
        let looked = |file: &File| file.metadata().map_err(Error::of("looking at", &path));
        let mut metadata = looked(&file)?;
        let note_path = self.note_path(digest);
        let note: Option<EntryNote> = note::read(&note_path);
        if read_all || note.as_ref().is_none_or(|note| note.stamp != Stamp::of(&metadata)) {
            if metadata.mode() & 0o7777 != MODE {
                // If that is not allowed, the folder is read-only.
                let _ = file.set_permissions(Permissions::from_mode(MODE));
                // Its state is recorded before it is read: it may change meanwhile.
                metadata = looked(&file)?;
            }
            let found = digest_of(&file, digest).map_err(Error::of("reading", &path))?;
            if found != *digest {
                return Ok(Found::Damaged { found: Box::new(found), file });
            }
            let (name, url) = note.map_or((None, None), |note| (note.name, note.url));
            self.write_note(digest, EntryNote { name, url, stamp: Stamp::of(&metadata) }, read_all);
        } else {
            // In a read-only folder its age stays wrong.
            let _ = note::touch(&note_path);
        }
        Ok(Found::Entry(Entry { path, digest: *digest, size_bytes: metadata.len(), file }))
    }

    /// Records that all bytes of an entry were read and are right. If that cannot be recorded, they are read again
    /// next time. With `keep_time` the time of its last use does not change.
    pub(super) fn write_note(&self, digest: &Digest, note: EntryNote, keep_time: bool) {
        let path = self.note_path(digest);
        let used = note::time(&path).filter(|_| keep_time);
        if note::write(&path, &note).is_ok()
            && let Some(used) = used
        {
            let _ = File::options().append(true).open(&path).and_then(|file| file.set_modified(used));
        }
    }

    /// Removes the file of `digest` if it is `known`: another one may have its name by now.
    pub(super) fn remove(&self, digest: &Digest, known: &File) -> io::Result<bool> {
        let path = self.path_of(digest);
        if !is_at(known, &path)? {
            return Ok(false);
        }
        fs::remove_file(&path)?;
        let _ = fs::remove_file(self.note_path(digest));
        Ok(true)
    }
}

/// Opens a regular file for reading, with a shared lock; `None` if it does not exist.
pub(super) fn open_shared(path: &Path) -> io::Result<Option<File>> {
    loop {
        let Some(file) = open(path)? else { return Ok(None) };
        // A process that removes it holds an exclusive lock for a moment. Without locks, a file that
        // is pruned while it is open stays readable anyway.
        let _ = flock(&file, FlockOperation::LockShared);
        if is_at(&file, path)? {
            return Ok(Some(file));
        }
    }
}

/// Opens a regular file for reading; `None` if it does not exist.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    // `NONBLOCK`: opening a pipe must not wait.
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits() as i32;
    match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => Err(io::Error::other("it is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether `file` is the file at `path` now.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The digest of all bytes of `file`, by the algorithm of `like`.
fn digest_of(mut file: &File, like: &Digest) -> io::Result<Digest> {
    let mut hasher = Hasher::new(like.algorithm());
    hash(&mut file, &mut hasher, u64::MAX)?;
    Ok(hasher.finish())
}

/// Adds up to `limit_bytes` bytes of `file` to `hasher` and returns how many there were.
pub(super) fn hash(file: &mut impl Read, hasher: &mut Hasher, limit_bytes: u64) -> io::Result<u64> {
    let mut buffer = vec![0; READ_BYTES];
    let mut total = 0;
    while total < limit_bytes {
        let wanted = buffer.len().min(usize::try_from(limit_bytes - total).unwrap_or(usize::MAX));
        match file.read(&mut buffer[..wanted]) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(&buffer[..count]);
                total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}
