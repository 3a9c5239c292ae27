//! Deltas: a file as what differs from another one, and that file again.

use std::path::{Path, PathBuf};

use ::delta::{Info, Summary};
use serde::Serialize;

use crate::commit::{NEW_IMAGE_MODE, check_layer, publish};
use crate::error::{Error, TargetProblem, is_full};
use crate::output::{Folder, OutputFile};
use crate::source::OpenedFile;
use crate::target;
use crate::watch::{Stage, Watcher};

/// What was made, or what a delta says about itself. Sizes are in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct DeltaReport {
    /// The delta.
    pub delta: String,
    /// The size of its file.
    pub delta_bytes: u64,
    /// The version of its format.
    pub version: u32,
    /// The size of the base.
    pub base_bytes: u64,
    /// The base's SHA-256.
    pub base_sha256: String,
    /// The size of the file that it makes.
    pub image_bytes: u64,
    /// That file's SHA-256.
    pub image_sha256: String,
    /// How many instructions it has.
    pub instructions: u64,
    /// How much of the file is copied from the base.
    pub copied_bytes: u64,
    /// How much of it is in the delta, compressed.
    pub literal_bytes: u64,
    /// How much of it is zeros.
    pub zero_bytes: u64,
    /// How much of it is tables that are in the delta as differences.
    pub table_bytes: u64,
}

impl DeltaReport {
    fn new(path: &Path, delta_bytes: u64, info: &Info) -> Self {
        let Summary { instructions, copied_bytes, literal_bytes, zero_bytes, table_bytes } = info.summary;
        Self {
            delta: path.display().to_string(),
            delta_bytes,
            version: info.version,
            base_bytes: info.base_bytes,
            base_sha256: info.base_sha256.to_string(),
            image_bytes: info.image_bytes,
            image_sha256: info.image_sha256.to_string(),
            instructions,
            copied_bytes,
            literal_bytes,
            zero_bytes,
            table_bytes,
        }
    }
}

/// Makes at `target` the delta that makes the file `image` out of the file `base`: whole, or not at all.
///
/// # Errors
///
/// Files that cannot be read or written, or change meanwhile.
pub fn make_delta(base: &Path, image: &Path, target: &Path, watcher: &Watcher) -> Result<DeltaReport, Error> {
    let (base, image) = (OpenedFile::open(base)?, OpenedFile::open(image)?);
    let failed = |error| Error::MakeDelta { image: image.path().to_owned(), error };
    let info = new_file(target, [&base, &image], watcher, |output| {
        let made = ::delta::make(&base.storage()?, &image.storage()?, output.file());
        made.map_err(|error| full(error, output.folder(), failed))
    })?;
    let delta_bytes = std::fs::metadata(target).map_err(Error::unreadable(target))?.len();
    Ok(DeltaReport::new(target, delta_bytes, &info))
}

/// Makes at `target` the file that `delta` was made of, of at most `limit_bytes`: the identical bytes, or nothing.
///
/// # Errors
///
/// A delta that breaks the rules or is for another base, files that cannot be read or written, or change meanwhile.
pub fn apply_delta(
    base: &Path,
    delta: &Path,
    target: &Path,
    limit_bytes: u64,
    watcher: &Watcher,
) -> Result<DeltaReport, Error> {
    let (base, delta) = (OpenedFile::open(base)?, OpenedFile::open(delta)?);
    let failed = |error| Error::ApplyDelta { delta: delta.path().to_owned(), base: base.path().to_owned(), error };
    let info = new_file(target, [&base, &delta], watcher, |output| {
        let made = ::delta::apply(&base.storage()?, &delta.storage()?, output.file(), limit_bytes);
        made.map_err(|error| full(error, output.folder(), failed))
    })?;
    Ok(DeltaReport::new(delta.path(), delta.metadata().len(), &info))
}

/// Reads all of `delta` and says what is in it.
///
/// # Errors
///
/// A delta that cannot be read or breaks the rules.
pub fn delta_info(delta: &Path, limit_bytes: u64) -> Result<DeltaReport, Error> {
    let delta = OpenedFile::open(delta)?;
    let info = ::delta::info(&delta.storage()?, limit_bytes);
    let info = info.map_err(|error| Error::ReadDelta { delta: delta.path().to_owned(), error })?;
    Ok(DeltaReport::new(delta.path(), delta.metadata().len(), &info))
}

/// A new file that is made out of `sources`, which do not change meanwhile.
fn new_file<T>(
    target_name: &Path,
    sources: [&OpenedFile; 2],
    watcher: &Watcher,
    make: impl FnOnce(&OutputFile) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut target = PathBuf::new();
    for source in sources {
        target = target::resolve(target_name, source)?;
    }
    let (Some(folder_path), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(Error::Target { path: target, problem: TargetProblem::NoName });
    };
    let folder = Folder::open(folder_path).map_err(Error::folder(folder_path))?;
    let output = OutputFile::create(folder, name, NEW_IMAGE_MODE)
        .map_err(|error| Error::NoFile { folder: folder_path.to_owned(), error })?;
    let stage = watcher.stage(Stage::Write);
    let made = make(&output);
    drop(stage);
    // First, because it may be why the other failed.
    sources.into_iter().try_for_each(|source| check_layer(&source.layer()))?;
    let made = made?;
    publish(output, target_name, watcher)?;
    Ok(made)
}

/// What the host says where it is full, and else what `failed` makes of it.
fn full(error: ::delta::Error, folder: &Folder, failed: impl FnOnce(::delta::Error) -> Error) -> Error {
    match error {
        ::delta::Error::Write(error) if is_full(&error) => Error::no_space(folder, None, error),
        error => failed(error),
    }
}
