//! The disk in an image, and the guest on that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use guest::{Guest, Place};
use image::{Image, Wrapping};
use storage::{Extended, Overlay, SpillFile, WriteAt};

use crate::attentive::Attentive;
use crate::error::Error;
use crate::output::Folder;
use crate::source::{Backing, OpenedFile, OpenedImage};
use crate::watch::Watcher;

/// How much of what changes is kept in memory, in bytes.
const OVERLAY_MEMORY_BYTES: u64 = 16 << 20;

/// The disk of an image, with changes that stay apart.
pub(crate) type Disk = Overlay<Extended<Arc<Image>>>;

/// The disk of `image`, with zeros behind it up to `size_bytes`; what does not fit memory is kept in a
/// file without a name in `folder`.
pub(crate) fn disk(image: Arc<Image>, size_bytes: u64, folder: Folder) -> Arc<Disk> {
    let spill_file: SpillFile = Box::new(move || folder.unnamed_file());
    Arc::new(Overlay::new(Extended::new(image, size_bytes), OVERLAY_MEMORY_BYTES, spill_file))
}

/// The disk of an image that is looked at only.
pub type Scratch = Overlay<Arc<Image>>;

/// The disk of `image`, for looking at it: a journal that was left dirty is replayed, a large one
/// into a file.
pub fn scratch_overlay(image: &Arc<Image>) -> Arc<Scratch> {
    let spill_file: SpillFile = Box::new(|| Folder::open(&temporary_folder())?.unnamed_file());
    Arc::new(Overlay::new(Arc::clone(image), OVERLAY_MEMORY_BYTES, spill_file))
}

/// As [`scratch_overlay`], of which nobody asks what was replayed.
pub fn scratch_disk(image: &Arc<Image>) -> Arc<dyn WriteAt> {
    scratch_overlay(image)
}

/// An image that is looked at only.
pub struct Looked {
    /// The image.
    pub image: Arc<Image>,
    /// Its disk, whose changes are thrown away.
    pub disk: Arc<dyn WriteAt>,
    /// What the image is wrapped in.
    pub wrapping: Option<Wrapping>,
    path: PathBuf,
    attentive: Arc<Attentive>,
}

impl Looked {
    /// Opens the image at `path`. A compressed one is unpacked into a file without a name.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, and what is not an image.
    pub fn open(path: &Path, backing: Backing, watcher: &Watcher) -> Result<Self, Error> {
        let opened = OpenedFile::look(path, watcher)?;
        let OpenedImage { image, wrapping, .. } = opened.image(backing, &temporary_folder(), watcher)?;
        let attentive = Attentive::new(scratch_disk(&image));
        let disk = Arc::clone(&attentive) as Arc<dyn WriteAt>;
        Ok(Self { image, disk, wrapping, path: path.to_owned(), attentive })
    }

    /// For what leaves out what it cannot read, when it has read all.
    ///
    /// # Errors
    ///
    /// [`Error::Guest`], if it was the host that could not read it.
    pub fn host_has_not_failed(&self) -> Result<(), Error> {
        let failed = |error: storage::Error| Error::Guest { path: self.path.clone(), error: error.into() };
        self.attentive.host_has_not_failed().map_err(failed)
    }

    /// The guest on the disk of the image at `path`, or one file system as if it were one: see
    /// [`Job::place`](crate::Job::place).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`Error::Guest`].
    pub fn guest(path: &Path, place: Option<&Place>, backing: Backing, watcher: &Watcher) -> Result<Guest, Error> {
        let disk: Arc<dyn WriteAt> = Self::open(path, backing, watcher)?.disk;
        let opened = match place {
            Some(place) => Guest::open_place(&disk, place),
            None => Guest::open(disk),
        };
        opened.map_err(|error| Error::Guest { path: path.to_owned(), error })
    }
}

/// Where files without names go that belong to no new image.
pub fn temporary_folder() -> PathBuf {
    std::env::temp_dir()
}
