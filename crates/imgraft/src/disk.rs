//! Opening an image: its file, the disk in it, and the guest on that.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use guest::Guest;
use image::Image;
use rustix::fs::{Mode, OFlags};
use storage::{Extended, FileStorage, Overlay, SpillFile, WriteAt};

use crate::failure::Failure;
use crate::output::Folder;

/// How much of what changes is kept in memory, in bytes.
const OVERLAY_MEMORY_BYTES: u64 = 16 << 20;

/// The disk of an image, with changes that stay apart.
pub(crate) type Disk = Overlay<Extended<Arc<Image>>>;

/// An image's file, open for reading and nothing else.
pub(crate) struct OpenedFile {
    pub(crate) path: PathBuf,
    pub(crate) metadata: Metadata,
    file: File,
}

impl OpenedFile {
    /// Opens the file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let unreadable =
            |error: &std::io::Error| Failure::because(format!("`{}` cannot be read", path.display()), error);
        // Without waiting, should it be a FIFO.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unreadable(&error.into()))?;
        let file = File::from(file);
        let metadata = file.metadata().map_err(|error| unreadable(&error))?;
        let file_type = metadata.file_type();
        if !file_type.is_file() {
            let kind = if file_type.is_dir() {
                "a directory"
            } else if file_type.is_block_device() {
                "a block device"
            } else {
                "not a file"
            };
            return Err(Failure::new(format!("`{}` is {kind}: an image is a regular file", path.display())));
        }
        Ok(Self { path: path.to_owned(), metadata, file })
    }

    /// Whether this is the file that `other` is about.
    pub(crate) fn is(&self, other: &Metadata) -> bool {
        (self.metadata.dev(), self.metadata.ino()) == (other.dev(), other.ino())
    }

    /// The file as storage.
    pub(crate) fn storage(&self) -> Result<FileStorage, Failure> {
        self.file
            .try_clone()
            .and_then(FileStorage::new)
            .map_err(|error| Failure::because(format!("`{}` cannot be read", self.path.display()), &error))
    }

    /// The image in the file.
    pub(crate) fn image(&self) -> Result<Image, Failure> {
        Image::open(self.storage()?, None)
            .map_err(|error| Failure::because(format!("`{}` cannot be used", self.path.display()), &error))
    }
}

/// The disk of `image`, with zeros behind it up to `size_bytes`; what does not fit memory is kept in a
/// file without a name in `folder`.
pub(crate) fn disk(image: Arc<Image>, size_bytes: u64, folder: Folder) -> Arc<Disk> {
    let spill_file: SpillFile = Box::new(move || folder.unnamed_file());
    Arc::new(Overlay::new(Extended::new(image, size_bytes), OVERLAY_MEMORY_BYTES, spill_file))
}

/// The disk of `image`, for looking at it: a journal that was left dirty is replayed, a large one
/// into a file.
pub(crate) fn scratch_disk(image: &Arc<Image>) -> Arc<dyn WriteAt> {
    let spill_file: SpillFile = Box::new(|| Folder::open(&std::env::temp_dir())?.unnamed_file());
    Arc::new(Overlay::new(Arc::clone(image), OVERLAY_MEMORY_BYTES, spill_file))
}

/// An image that is looked at only.
pub(crate) struct Looked {
    pub(crate) image: Arc<Image>,
    pub(crate) disk: Arc<dyn WriteAt>,
}

impl Looked {
    /// Opens the image at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let image = Arc::new(OpenedFile::open(path)?.image()?);
        let disk = scratch_disk(&image);
        Ok(Self { image, disk })
    }

    /// The guest on the disk of the image at `path`.
    pub(crate) fn guest(path: &Path) -> Result<Guest, Failure> {
        guest(path, Self::open(path)?.disk)
    }
}

/// The guest on `disk`, which is that of the image at `path`.
pub(crate) fn guest(path: &Path, disk: Arc<dyn WriteAt>) -> Result<Guest, Failure> {
    Guest::open(disk).map_err(|error| Failure::because(format!("`{}` cannot be used", path.display()), &error))
}
