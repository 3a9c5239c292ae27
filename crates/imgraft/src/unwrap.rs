//! Compressed images: what is in them, in a file without a name.

use std::path::{Path, PathBuf};

use image::{UnwrapLimits, Wrapping};
use storage::FileStorage;

use crate::commit::{folder_failure, is_full, no_space};
use crate::disk::OpenedFile;
use crate::failure::Failure;
use crate::message::Messages;
use crate::output::Folder;
use crate::progress::Progress;

/// The largest disk that comes out of a compressed file, in bytes. What a few kilobytes of zeros become takes
/// no room, but time.
const SIZE_MAX_BYTES: u64 = 256 << 30;
/// The room that is left to others on the host, in bytes.
const SPARE_BYTES: u64 = 64 << 20;

/// An image's bytes.
pub(crate) struct Unwrapped {
    pub(crate) storage: FileStorage,
    /// What they were wrapped in.
    pub(crate) wrapping: Option<Wrapping>,
}

/// The image in `opened`: the file itself, or, where that is compressed, one without a name in `folder`.
pub(crate) fn unwrap(opened: &OpenedFile, folder: &Path, messages: &Messages) -> Result<Unwrapped, Failure> {
    let path = opened.path.display();
    let unusable = |error: &image::Error| Failure::because(format!("`{path}` cannot be used"), error);
    let storage = opened.storage()?;
    let Some(compression) = image::compression_of(&storage).map_err(|error| unusable(&error))? else {
        return Ok(Unwrapped { storage, wrapping: None });
    };
    let failure = |error: std::io::Error| folder_failure(folder, &error);
    let folder = Folder::open(folder).map_err(failure)?;
    let target = folder.unnamed_file().map_err(failure)?;
    let room_bytes = folder.free_bytes().map_err(failure)?.saturating_sub(SPARE_BYTES);
    let limits = UnwrapLimits { size_bytes: SIZE_MAX_BYTES, data_bytes: room_bytes };
    let progress = Progress::new(messages, "unpacking");
    let set_progress = |done, total| progress.set(done, total);
    let unwrapped = image::unwrap(&storage, compression, &target, limits, &set_progress);
    let wrapping = unwrapped.map_err(|error| match error.host_error() {
        Some(host) if is_full(host) => no_space(&folder, None, host).within(format!("`{path}` cannot be unpacked")),
        _ => unusable(&error),
    })?;
    drop(progress);
    let storage = FileStorage::new(target).map_err(failure)?;
    Ok(Unwrapped { storage, wrapping: Some(wrapping) })
}

/// Where an image is unpacked that is only looked at.
pub(crate) fn scratch_folder() -> PathBuf {
    std::env::temp_dir()
}

/// Refuses to change a compressed image in its place.
pub(crate) fn refuse_change(opened: &OpenedFile) -> Result<(), Failure> {
    let path = opened.path.display();
    let compression = image::compression_of(&opened.storage()?)
        .map_err(|error| Failure::because(format!("`{path}` cannot be used"), &error))?;
    match compression {
        None => Ok(()),
        Some(compression) => Err(Failure::new(format!("`{path}` is compressed with {compression}")).hint(format!(
            "`imgraft build --base {path}` makes a new image of it, `imgraft convert {path}` unpacks it"
        ))),
    }
}
