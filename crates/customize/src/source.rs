//! Files of the host, which must not change between the first look and the reading.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use guest::Time;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};
use storage::{FileStorage, ReadAt};

use crate::carry_out::{ReadFile, Work};
use crate::error::Error;

/// How much is read at a time for a digest, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// A file, a directory or a symlink of the host.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) kind: SourceKind,
    /// Permission bits, up to 0o7777.
    pub(crate) permissions: u16,
    /// User and group, by number.
    pub(crate) owner: (u32, u32),
    pub(crate) modified: Time,
    identity: Identity,
}

#[derive(Clone, Debug)]
pub(crate) enum SourceKind {
    File { size_bytes: u64 },
    Directory,
    Symlink { target: Vec<u8> },
}

/// The attributes of a file that change when somebody writes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Source {
    /// Looks at `path`; a symlink is followed.
    pub(crate) fn follow(path: &Path) -> Result<Self, Error> {
        Self::new(path, std::fs::metadata(path))
    }

    /// Looks at `path`; a symlink is not followed.
    pub(crate) fn keep(path: &Path) -> Result<Self, Error> {
        Self::new(path, std::fs::symlink_metadata(path))
    }

    fn new(path: &Path, metadata: std::io::Result<Metadata>) -> Result<Self, Error> {
        let unreadable = |error| Error::Source { path: path.to_owned(), error };
        let metadata = metadata.map_err(unreadable)?;
        let file_type = metadata.file_type();
        let kind = if file_type.is_file() {
            SourceKind::File { size_bytes: metadata.len() }
        } else if file_type.is_dir() {
            SourceKind::Directory
        } else if file_type.is_symlink() {
            let target = std::fs::read_link(path).map_err(unreadable)?;
            SourceKind::Symlink { target: target.into_os_string().into_vec() }
        } else {
            let kind = if file_type.is_socket() {
                "a socket"
            } else if file_type.is_fifo() {
                "a FIFO"
            } else {
                "a device"
            };
            return Err(Error::SourceKind { path: path.to_owned(), kind });
        };
        Ok(Self {
            path: path.to_owned(),
            kind,
            permissions: (metadata.mode() & 0o7777) as u16,
            owner: (metadata.uid(), metadata.gid()),
            modified: Time { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() as u32 },
            identity: Identity::of(&metadata),
        })
    }

    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.kind, SourceKind::Directory)
    }

    /// The names in the directory, sorted by their bytes.
    pub(crate) fn children(&self) -> Result<Vec<OsString>, Error> {
        let unreadable = |error| Error::Source { path: self.path.clone(), error };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(unreadable)? {
            names.push(entry.map_err(unreadable)?.file_name());
        }
        names.sort();
        Ok(names)
    }

    /// Opens the file, which must not have changed since the first look.
    pub(crate) fn open(&self) -> Result<File, Error> {
        // NONBLOCK, because a FIFO may have taken its place.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::open(&self.path, flags, Mode::empty());
        let file = File::from(file.map_err(|error| Error::Source { path: self.path.clone(), error: error.into() })?);
        self.check_unchanged(&file)?;
        Ok(file)
    }

    /// The opened file as a storage.
    pub(crate) fn storage(&self, file: File) -> Result<Arc<dyn ReadAt>, Error> {
        Ok(Arc::new(FileStorage::new(file).map_err(|error| self.unreadable(error))?))
    }

    pub(crate) fn unreadable(&self, error: std::io::Error) -> Error {
        Error::Source { path: self.path.clone(), error }
    }

    /// Refuses a file that changed since the first look.
    pub(crate) fn check_unchanged(&self, file: &File) -> Result<(), Error> {
        let metadata = file.metadata().map_err(|error| self.unreadable(error))?;
        if Identity::of(&metadata) == self.identity {
            Ok(())
        } else {
            Err(Error::SourceChanged { path: self.path.clone() })
        }
    }
}

/// A digest that is made while something is read.
#[derive(Default)]
pub(crate) struct Digest {
    hasher: Sha256,
    size_bytes: u64,
}

impl Digest {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size_bytes += bytes.len() as u64;
    }

    /// That of a file that is read here, besides being kept to be read later: it must not change until then.
    pub(crate) fn of(source: &Source) -> Result<Self, Error> {
        let (mut file, mut digest, mut piece) = (source.open()?, Self::default(), vec![0; PIECE_BYTES]);
        loop {
            match file.read(&mut piece).map_err(|error| source.unreadable(error))? {
                0 => break,
                length => digest.update(&piece[..length]),
            }
        }
        source.check_unchanged(&file)?;
        Ok(digest)
    }

    /// That of `content`.
    pub(crate) fn of_bytes(content: &[u8]) -> Self {
        let mut digest = Self::default();
        digest.update(content);
        digest
    }

    /// What was read for the operation that names `source`.
    pub(crate) fn read(self, source: &Path, path: &Path) -> ReadFile {
        let sha256 = self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        ReadFile { source: source.to_owned(), path: path.to_owned(), sha256, size_bytes: self.size_bytes }
    }
}

impl Work<'_> {
    /// Remembers the digest of what was read of a file of the host, where that is asked for. What is a secret is not
    /// noted: whoever has the digest of a password can try passwords.
    pub(crate) fn note_read(&mut self, path: &Path, content: &[u8]) {
        if self.options.digests {
            self.read.push(Digest::of_bytes(content).read(path, path));
        }
    }
}

/// Reads a whole file of the host, which may have at most `limit_bytes` bytes.
pub(crate) fn read_small(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, Error> {
    let source = Source::follow(path)?;
    match source.kind {
        SourceKind::File { size_bytes } if size_bytes > limit_bytes => {
            return Err(Error::refused(format!("`{}` has more than {limit_bytes} bytes", path.display())));
        }
        SourceKind::File { .. } => {}
        _ => return Err(Error::SourceKind { path: path.to_owned(), kind: "a directory" }),
    }
    let mut file = source.open()?;
    let mut content = Vec::new();
    Read::take(&mut file, limit_bytes).read_to_end(&mut content).map_err(|error| source.unreadable(error))?;
    source.check_unchanged(&file)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_symlink_is_one_or_is_what_it_points_to() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "text").unwrap();
        let link = folder.path().join("link");
        symlink("file", &link).unwrap();
        assert!(matches!(Source::follow(&link).unwrap().kind, SourceKind::File { size_bytes: 4 }));
        assert!(matches!(Source::keep(&link).unwrap().kind, SourceKind::Symlink { target } if target == b"file"));
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = Source::keep(&socket).unwrap_err();
        assert!(error.to_string().ends_with("socket` is a socket: only files, directories and symlinks can be put"));
        assert!(matches!(Source::follow(Path::new("/dev/null")), Err(Error::SourceKind { kind: "a device", .. })));
        assert!(matches!(Source::follow(&folder.path().join("none")), Err(Error::Source { .. })));
    }

    #[test]
    fn a_file_that_was_written_since_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "text").unwrap();
        let source = Source::follow(&path).unwrap();
        source.open().unwrap();
        std::fs::write(&path, "longer text").unwrap();
        assert!(matches!(source.open(), Err(Error::SourceChanged { .. })));
    }
}
