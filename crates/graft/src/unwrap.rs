//! Compressed images: what is in them, in a file without a name.

use std::path::Path;

use image::{UnwrapLimits, Wrapping};
use storage::FileStorage;

use crate::error::{Error, full};
use crate::output::Folder;
use crate::source::OpenedFile;
use crate::watch::{Stage, Watcher};

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
pub(crate) fn unwrap(opened: &OpenedFile, folder: &Path, watcher: &Watcher) -> Result<Unwrapped, Error> {
    let unusable = Error::image(opened.path());
    let storage = opened.storage()?;
    let Some(compression) = image::compression_of(&storage).map_err(&unusable)? else {
        return Ok(Unwrapped { storage, wrapping: None });
    };
    let folder_error = Error::folder(folder);
    let folder = Folder::open(folder).map_err(&folder_error)?;
    let target = folder.unnamed_file().map_err(&folder_error)?;
    let room_bytes = folder.free_bytes().map_err(&folder_error)?.saturating_sub(SPARE_BYTES);
    let limits = UnwrapLimits { size_bytes: SIZE_MAX_BYTES, data_bytes: room_bytes };
    let stage = watcher.stage(Stage::Unpack);
    let unwrapped = image::unwrap(&storage, compression, &target, limits, &|done, total| stage.set(done, total));
    let wrapping = unwrapped.map_err(|error| match full(&error) {
        Some(host) => {
            let error = Box::new(Error::no_space(&folder, None, host));
            Error::Unpack { path: opened.path().to_owned(), error }
        }
        None => unusable(error),
    })?;
    let storage = FileStorage::new(target).map_err(&folder_error)?;
    Ok(Unwrapped { storage, wrapping: Some(wrapping) })
}

/// Refuses to change a compressed image in its place.
pub(crate) fn refuse_change(opened: &OpenedFile) -> Result<(), Error> {
    let path = opened.path();
    match image::compression_of(&opened.storage()?).map_err(Error::image(path))? {
        None => Ok(()),
        Some(compression) => Err(Error::Compressed { path: path.to_owned(), compression }),
    }
}
