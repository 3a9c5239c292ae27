//! Opening an image: its file, the disk in it, and the guest on that.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use guest::Guest;
use image::{Gate, Image, OpenOptions, Wrapping};
use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use storage::{Extended, FileStorage, Overlay, SpillFile, WriteAt};

use crate::backing::{HostGate, Layer};
use crate::cli::Backing;
use crate::failure::Failure;
use crate::lock::{Purpose, lock};
use crate::message::Messages;
use crate::output::Folder;
use crate::unwrap::{Unwrapped, refuse_change, scratch_folder, unwrap};

/// How much of what changes is kept in memory, in bytes.
const OVERLAY_MEMORY_BYTES: u64 = 16 << 20;

/// The disk of an image, with changes that stay apart.
pub(crate) type Disk = Overlay<Extended<Arc<Image>>>;

/// An image's file, locked for what it is opened for.
pub(crate) struct OpenedFile {
    pub(crate) path: PathBuf,
    pub(crate) metadata: Metadata,
    file: File,
    /// Who is told that it is in use, where it is only looked at.
    looker: Option<Messages>,
}

impl OpenedFile {
    /// Opens the file at `path` for reading, and nothing else. Nobody is to change it meanwhile.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let opened = Self::open_unlocked(path)?;
        opened.lock(Purpose::Read)?;
        Ok(opened)
    }

    /// Opens the file at `path` for a look: if somebody writes to it, that is a warning.
    pub(crate) fn look(path: &Path, messages: &Messages) -> Result<Self, Failure> {
        let opened = Self { looker: Some(*messages), ..Self::open_unlocked(path)? };
        if let Err(in_use) = lock(&opened.file, Purpose::Read) {
            let path = path.display();
            messages.warning(format_args!("`{path}` is in use, and what is read of it may not fit together: {in_use}"));
        }
        Ok(opened)
    }

    /// Opens the file at `path` to change it, or for reading where it is only said what would change.
    pub(crate) fn open_in_place(path: &Path, dry_run: bool) -> Result<Self, Failure> {
        let opened = if dry_run { Self::open(path)? } else { Self::open_to_change(path)? };
        refuse_change(&opened)?;
        Ok(opened)
    }

    /// Opens the file at `path` to change it or to put another in its place. Nobody else is to use it meanwhile.
    fn open_to_change(path: &Path) -> Result<Self, Failure> {
        let readable = Self::open_unlocked(path)?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unwritable(&readable, error))?;
        let file = File::from(file);
        let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
        if !readable.is(&metadata) {
            return Err(Failure::new(format!("`{}` became another file while it was opened", path.display())));
        }
        // What it was at first: what changed since then is another's.
        let opened = Self { file, ..readable };
        opened.lock(Purpose::Change)?;
        Ok(opened)
    }

    fn lock(&self, purpose: Purpose) -> Result<(), Failure> {
        lock(&self.file, purpose).map_err(|in_use| {
            let path = self.path.display();
            Failure::new(format!("`{path}` is in use"))
                .causes(vec![in_use.to_string()])
                .hint(format!("wait for it or stop it (`fuser -v {path}` names it), or work on a copy"))
        })
    }

    fn open_unlocked(path: &Path) -> Result<Self, Failure> {
        // Without waiting, should it be a FIFO.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unreadable(path, &error.into()))?;
        let file = File::from(file);
        let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
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
        Ok(Self { path: path.to_owned(), metadata, file, looker: None })
    }

    /// Whether this is the file that `other` is about.
    pub(crate) fn is(&self, other: &Metadata) -> bool {
        (self.metadata.dev(), self.metadata.ino()) == (other.dev(), other.ino())
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
    pub(crate) fn storage(&self) -> Result<FileStorage, Failure> {
        self.file.try_clone().and_then(FileStorage::new).map_err(|error| unreadable(&self.path, &error))
    }

    /// The image in the file; where that is compressed, it is unpacked into `folder`.
    pub(crate) fn image(&self, backing: Backing, folder: &Path, messages: &Messages) -> Result<OpenedImage, Failure> {
        self.try_image(backing, folder, messages)?.map_err(|error| unusable(&self.path, &error))
    }

    /// As [`image`](Self::image), with what is wrong with the image as it is.
    pub(crate) fn try_image(
        &self,
        backing: Backing,
        folder: &Path,
        messages: &Messages,
    ) -> Result<Result<OpenedImage, image::Error>, Failure> {
        let Unwrapped { storage, wrapping } = unwrap(self, folder, messages)?;
        let layers = Arc::new(Mutex::new(vec![self.layer()]));
        let gate = HostGate::new(&self.path, Arc::clone(&layers), self.looker);
        let gate: Option<&dyn Gate> = if backing.allow_backing { Some(&gate) } else { None };
        let opened = Image::open_with(storage, &OpenOptions { format: None, gate });
        Ok(opened.map(|image| {
            let layers = std::mem::take(&mut *layers.lock().unwrap_or_else(PoisonError::into_inner));
            OpenedImage { image: Arc::new(image), layers, wrapping }
        }))
    }

    /// The file as one of those that an image is read from.
    pub(crate) fn layer(&self) -> Layer {
        Layer { path: self.path.clone(), metadata: self.metadata.clone() }
    }
}

/// An image that is not one that can be used.
pub(crate) fn unusable(path: &Path, error: &image::Error) -> Failure {
    let failure = Failure::because(format!("`{}` cannot be used", path.display()), error);
    match error {
        image::Error::BackingFile { .. } => failure.hint(
            "with `--allow-backing` that file is opened, too: only for an image that you trust not to name any \
             file of yours",
        ),
        _ => failure,
    }
}

/// An image, and the files that it is read from: its own and then those under it.
pub(crate) struct OpenedImage {
    pub(crate) image: Arc<Image>,
    pub(crate) layers: Vec<Layer>,
    /// What the image is wrapped in.
    pub(crate) wrapping: Option<Wrapping>,
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::because(format!("`{}` cannot be read", path.display()), error)
}

/// Why a file that can be read cannot be opened for writing.
fn unwritable(readable: &OpenedFile, error: Errno) -> Failure {
    let path = readable.path.display();
    let failure = Failure::because(format!("`{path}` cannot be written"), &io::Error::from(error));
    match error {
        // Only its owner may change its mode.
        Errno::ACCESS if readable.metadata.uid() != rustix::process::geteuid().as_raw() => failure.hint(format!(
            "it belongs to {}: work on a copy, or make a new image with `imgraft build --base {path}`",
            match readable.metadata.uid() {
                0 => "root".to_owned(),
                uid => format!("the user {uid}"),
            }
        )),
        Errno::ACCESS => failure.hint(format!("`chmod u+w {path}` lets its owner write to it")),
        Errno::PERM => match readable.attribute() {
            Some(attribute) => failure.hint(format!("it has the attribute {attribute}; see chattr(1)")),
            None => failure,
        },
        _ => failure,
    }
}

/// The disk of `image`, with zeros behind it up to `size_bytes`; what does not fit memory is kept in a
/// file without a name in `folder`.
pub(crate) fn disk(image: Arc<Image>, size_bytes: u64, folder: Folder) -> Arc<Disk> {
    let spill_file: SpillFile = Box::new(move || folder.unnamed_file());
    Arc::new(Overlay::new(Extended::new(image, size_bytes), OVERLAY_MEMORY_BYTES, spill_file))
}

/// The disk of an image that is looked at only.
pub(crate) type Scratch = Overlay<Arc<Image>>;

/// The disk of `image`, for looking at it: a journal that was left dirty is replayed, a large one
/// into a file.
pub(crate) fn scratch_overlay(image: &Arc<Image>) -> Arc<Scratch> {
    let spill_file: SpillFile = Box::new(|| Folder::open(&scratch_folder())?.unnamed_file());
    Arc::new(Overlay::new(Arc::clone(image), OVERLAY_MEMORY_BYTES, spill_file))
}

/// As [`scratch_overlay`], of which nobody asks what was replayed.
pub(crate) fn scratch_disk(image: &Arc<Image>) -> Arc<dyn WriteAt> {
    scratch_overlay(image)
}

/// An image that is looked at only.
pub(crate) struct Looked {
    pub(crate) image: Arc<Image>,
    pub(crate) disk: Arc<dyn WriteAt>,
    /// What the image is wrapped in.
    pub(crate) wrapping: Option<Wrapping>,
}

impl Looked {
    /// Opens the image at `path`.
    pub(crate) fn open(path: &Path, backing: Backing, messages: &Messages) -> Result<Self, Failure> {
        let opened = OpenedFile::look(path, messages)?;
        let OpenedImage { image, wrapping, .. } = opened.image(backing, &scratch_folder(), messages)?;
        let disk = scratch_disk(&image);
        Ok(Self { image, disk, wrapping })
    }

    /// The guest on the disk of the image at `path`.
    pub(crate) fn guest(path: &Path, backing: Backing, messages: &Messages) -> Result<Guest, Failure> {
        guest(path, Self::open(path, backing, messages)?.disk)
    }
}

/// The guest on `disk`, which is that of the image at `path`.
pub(crate) fn guest(path: &Path, disk: Arc<dyn WriteAt>) -> Result<Guest, Failure> {
    usable(path, Guest::open(disk))
}

/// `opened`, which is the guest in the image at `path`, or why it cannot be used.
pub(crate) fn usable(path: &Path, opened: Result<Guest, guest::Error>) -> Result<Guest, Failure> {
    opened.map_err(|error| {
        let failure = Failure::because(format!("`{}` cannot be used", path.display()), &error);
        match error {
            guest::Error::NoRoot { unsupported, .. } if !unsupported.is_empty() => failure.hint(
                "imgraft works in guests whose root is ext2, ext3 or ext4 on a partition: take an image that has one, \
                 or the libguestfs tools, which start a virtual machine to read the others",
            ),
            _ => failure,
        }
    })
}
