//! An image's file, opened and locked for what is done with it.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use image::{Gate, Image, OpenOptions, Wrapping};
use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use storage::FileStorage;

use crate::backing::{HostGate, Layer};
use crate::error::{Error, Obstacle};
use crate::lock::{Purpose, lock};
use crate::unwrap::{Unwrapped, refuse_change, unwrap};
use crate::watch::Watcher;

/// Whether the files that an image names, those under it, are opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backing {
    /// An image that names another file is refused: it could name any file of the host.
    #[default]
    Refuse,
    /// They are opened, as by QEMU: for images that are trusted.
    Open,
}

/// An image's file, locked for what it is opened for.
#[derive(Debug)]
pub struct OpenedFile {
    path: PathBuf,
    metadata: Metadata,
    file: File,
    /// Who is told that it is in use, where it is only looked at.
    looker: Option<Watcher>,
    /// The image that jobs share.
    image: Mutex<Option<(Backing, OpenedImage)>>,
}

impl OpenedFile {
    /// Opens the file at `path` for reading, and nothing else. Nobody is to change it meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`], [`Error::NotAFile`], [`Error::InUse`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let opened = Self::open_unlocked(path)?;
        opened.lock(Purpose::Read)?;
        Ok(opened)
    }

    /// Opens the file at `path` for a look: if another process writes to it, that is a warning.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`], [`Error::NotAFile`].
    pub fn look(path: &Path, watcher: &Watcher) -> Result<Self, Error> {
        let opened = Self { looker: Some(watcher.clone()), ..Self::open_unlocked(path)? };
        if let Err(in_use) = lock(&opened.file, Purpose::Read) {
            let path = path.display();
            watcher.warning(format_args!("`{path}` is in use, and what is read of it may not fit together: {in_use}"));
        }
        Ok(opened)
    }

    /// Opens the file at `path` to change it, or for reading where it is only said what would change.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), [`Error::Unwritable`], and [`Error::Compressed`].
    pub fn open_in_place(path: &Path, dry_run: bool) -> Result<Self, Error> {
        let opened = if dry_run { Self::open(path)? } else { Self::open_to_change(path)? };
        refuse_change(&opened)?;
        Ok(opened)
    }

    /// Opens the file at `path` to change it or to put another in its place. Nobody else is to use it meanwhile.
    fn open_to_change(path: &Path) -> Result<Self, Error> {
        let readable = Self::open_unlocked(path)?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| readable.unwritable(error))?;
        let file = File::from(file);
        let metadata = file.metadata().map_err(Error::unreadable(path))?;
        if !readable.is(&metadata) {
            return Err(Error::Replaced { path: path.to_owned() });
        }
        // What it was at first: what changed since then is another's.
        let opened = Self { file, ..readable };
        opened.lock(Purpose::Change)?;
        Ok(opened)
    }

    fn lock(&self, purpose: Purpose) -> Result<(), Error> {
        lock(&self.file, purpose).map_err(|in_use| Error::InUse { path: self.path.clone(), in_use })
    }

    fn open_unlocked(path: &Path) -> Result<Self, Error> {
        // Without waiting, should it be a FIFO.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::open(path, flags, Mode::empty());
        let file = File::from(file.map_err(|error| Error::unreadable(path)(error.into()))?);
        let metadata = file.metadata().map_err(Error::unreadable(path))?;
        let file_type = metadata.file_type();
        if !file_type.is_file() {
            let kind = match file_type {
                kind if kind.is_dir() => "a directory",
                kind if kind.is_block_device() => "a block device",
                _ => "not a file",
            };
            return Err(Error::NotAFile { path: path.to_owned(), kind });
        }
        Ok(Self { path: path.to_owned(), metadata, file, looker: None, image: Mutex::default() })
    }

    /// The path that the file was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file was when it was opened.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The path of the file itself, where it was opened by a symlink.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`].
    pub fn real_path(&self) -> Result<PathBuf, Error> {
        std::fs::canonicalize(&self.path).map_err(Error::unreadable(&self.path))
    }

    /// Whether this is the file that `other` is about.
    pub fn is(&self, other: &Metadata) -> bool {
        (self.metadata.dev(), self.metadata.ino()) == (other.dev(), other.ino())
    }

    /// Why this file, which can be read, cannot be opened for writing.
    fn unwritable(&self, error: Errno) -> Error {
        let owner = self.metadata.uid();
        let obstacle = match error {
            // Only its owner may change its mode.
            Errno::ACCESS if owner != rustix::process::geteuid().as_raw() => Some(Obstacle::Owner(owner)),
            Errno::ACCESS => Some(Obstacle::Mode),
            Errno::PERM => self.attribute().map(Obstacle::Attribute),
            _ => None,
        };
        Error::Unwritable { path: self.path.clone(), error: error.into(), obstacle }
    }

    /// What keeps even root from changing the file, by the name and letter that chattr has for it.
    fn attribute(&self) -> Option<&'static str> {
        let flags = AtFlags::EMPTY_PATH;
        let attributes = rustix::fs::statx(&self.file, "", flags, StatxFlags::empty()).ok()?.stx_attributes;
        if attributes.contains(StatxAttributes::IMMUTABLE) {
            Some("immutable (`i`)")
        } else if attributes.contains(StatxAttributes::APPEND) {
            Some("append only (`a`)")
        } else {
            None
        }
    }

    /// The file as storage.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`].
    pub fn storage(&self) -> Result<FileStorage, Error> {
        self.file.try_clone().and_then(FileStorage::new).map_err(Error::unreadable(&self.path))
    }

    /// The image in the file; where that is compressed, it is unpacked into a file without a name in `folder`.
    ///
    /// # Errors
    ///
    /// [`Error::Image`], [`Error::Unpack`].
    pub fn image(&self, backing: Backing, folder: &Path, watcher: &Watcher) -> Result<OpenedImage, Error> {
        let Unwrapped { storage, wrapping } = unwrap(self, folder, watcher)?;
        let layers = Arc::new(Mutex::new(vec![self.layer()]));
        let gate = HostGate::new(&self.path, Arc::clone(&layers), self.looker.clone());
        let gate: Option<&dyn Gate> = if backing == Backing::Open { Some(&gate) } else { None };
        let image = Image::open_with(storage, &OpenOptions { format: None, gate }).map_err(Error::image(&self.path))?;
        let layers = std::mem::take(&mut *layers.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(OpenedImage { image: Arc::new(image), layers, wrapping })
    }

    /// The file as one of those that an image is read from.
    pub(crate) fn layer(&self) -> Layer {
        Layer { path: self.path.clone(), metadata: self.metadata.clone() }
    }

    /// As [`image`](Self::image), and the same one each time: what was unpacked and decompressed for one job is there for
    /// the next. Only for a file that nobody changes.
    pub(crate) fn shared_image(
        &self,
        backing: Backing,
        folder: &Path,
        watcher: &Watcher,
    ) -> Result<OpenedImage, Error> {
        let mut opened = self.image.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, image)) = opened.as_ref().filter(|(as_opened, _)| *as_opened == backing) {
            return Ok(image.clone());
        }
        let image = self.image(backing, folder, watcher)?;
        *opened = Some((backing, image.clone()));
        Ok(image)
    }
}

/// An image, and the files that it is read from: its own and then those under it.
#[derive(Clone, Debug)]
pub struct OpenedImage {
    /// The image.
    pub image: Arc<Image>,
    /// Its own file first.
    pub layers: Vec<Layer>,
    /// What the image is wrapped in.
    pub wrapping: Option<Wrapping>,
}
