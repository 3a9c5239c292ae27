//! From changes that are kept apart to a file that has them.

mod in_place;

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use image::{Format, Image, NewClusters, Source, WriteOptions, Written};
use storage::ReadAt;

use crate::backing::Layer;
use crate::checksum::{self, Beside};
use crate::disk::temporary_folder;
use crate::error::{Error, TargetProblem, full, is_full};
use crate::job::{Job, Planned, operation_error};
use crate::output::{Folder, OutputFile};
use crate::report::{Clusters, InPlace, Report};
use crate::reproducible;
use crate::watch::{Stage, Watcher};

/// How hard new clusters are compressed. On executables, 6 makes the whole image a fifth of a percent
/// smaller and takes a third longer.
const DEFAULT_LEVEL: u32 = 3;
/// The mode of a new image, less what the umask takes.
pub(crate) const NEW_IMAGE_MODE: u32 = 0o644;
/// The unit of `st_blocks`.
const STAT_BLOCK_BYTES: u64 = 512;

/// How the changes get into a file.
pub(crate) enum Way {
    /// Into a new one, which will be `name` in `folder`.
    NewFile { folder: Folder, name: OsString, about: About },
    /// Into the image's own one. What does not fit memory until then goes to files in `spill`.
    InPlace { spill: Folder },
}

/// The files about a new image.
pub(crate) struct About {
    /// The one that says its digest.
    checksum: Option<Beside>,
    documents: Vec<Beside>,
}

/// What was committed.
pub(crate) struct Committed {
    pub(crate) file_size_bytes: u64,
    pub(crate) clusters: Option<Clusters>,
    /// What became of a file that was changed in place.
    pub(crate) in_place: Option<InPlace>,
    /// What had to be copied for it of an image that is to change in its place, in bytes.
    pub(crate) copied_bytes: Option<u64>,
    /// The new file's SHA-256, where somebody wants to know it.
    pub(crate) sha256: Option<String>,
    /// The file beside it that says it.
    pub(crate) checksum_file: Option<PathBuf>,
    /// The documents about it.
    pub(crate) documents: Vec<PathBuf>,
}

impl Way {
    /// The way for an image of this format.
    ///
    /// # Errors
    ///
    /// Early, what could not be committed in the end.
    pub(crate) fn of(job: &Job, format: Format) -> Result<Self, Error> {
        let (path, name) = match (job.target.parent(), job.target.file_name()) {
            (Some(folder), Some(name)) => (folder, name.to_owned()),
            _ => return Err(Error::Target { path: job.target.clone(), problem: TargetProblem::NoName }),
        };
        let folder = Folder::open(path).map_err(Error::folder(path));
        if job.in_place && format == Format::Qcow2 {
            let own = folder.ok().filter(|folder| folder.is_writable().is_ok());
            return Ok(Self::InPlace { spill: own.map_or_else(spill_elsewhere, Ok)? });
        }
        let folder = folder?;
        if job.in_place {
            check_replaced(job, format, &folder)?;
        }
        let documents = job.author.iter().flat_map(|author| author.paths());
        let documents = documents.map(|path| Beside::at(path, job)).collect::<Result<_, _>>()?;
        let about = About { checksum: Beside::of(job)?, documents };
        about.refuse_twice(&job.target)?;
        Ok(Self::NewFile { folder, name, about })
    }

    /// Where what does not fit memory is kept.
    pub(crate) fn spill(&self) -> &Folder {
        match self {
            Self::NewFile { folder, .. } => folder,
            Self::InPlace { spill } => spill,
        }
    }

    /// Brings the changes into the file.
    pub(crate) fn commit(self, planned: &Planned, job: &Job, watcher: &Watcher) -> Result<Committed, Error> {
        match self {
            Self::NewFile { folder, name, about } => {
                let output = new_file(folder, &name)?;
                to_new_file(planned, job, output, about, watcher)
            }
            Self::InPlace { spill } => {
                let edited = in_place::commit(planned, job, &spill, watcher)?;
                Ok(Committed {
                    file_size_bytes: edited.file_size_bytes,
                    clusters: Some(Clusters::of_edit(&edited)),
                    in_place: Some(InPlace::of(&edited)),
                    copied_bytes: None,
                    sha256: None,
                    checksum_file: None,
                    documents: Vec::new(),
                })
            }
        }
    }
}

impl About {
    /// Refuses two files of one name.
    fn refuse_twice(&self, target: &Path) -> Result<(), Error> {
        let mut real = vec![std::path::absolute(target).unwrap_or_else(|_| target.to_owned())];
        for file in self.checksum.iter().chain(&self.documents) {
            let path = std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone());
            if real.contains(&path) {
                return Err(Error::Target { path: file.path.clone(), problem: TargetProblem::Twice });
            }
            real.push(path);
        }
        Ok(())
    }

    /// The files, which have no names yet.
    fn write(
        self,
        planned: &Planned,
        job: &Job,
        file_size_bytes: u64,
        sha256: Option<&str>,
    ) -> Result<Vec<OutputFile>, Error> {
        let mut files = Vec::new();
        if let Some(author) = &job.author {
            let report = Report {
                file_size_bytes: Some(file_size_bytes),
                sha256: sha256.map(str::to_owned),
                ..planned.report(job)
            };
            let contents = author.write(&report).map_err(Error::Document)?;
            for (document, content) in self.documents.into_iter().zip(contents) {
                files.push(document.write_bytes(&content)?);
            }
        }
        if let (Some(checksum), Some(sha256)) = (self.checksum, sha256) {
            files.push(checksum.write(&job.target_name, sha256)?);
        }
        Ok(files)
    }
}

fn spill_elsewhere() -> Result<Folder, Error> {
    let path = temporary_folder();
    Folder::open(&path).map_err(Error::folder(&path))
}

/// Refuses an image in whose place a new file could not come as a careful user expects it.
fn check_replaced(job: &Job, format: Format, folder: &Folder) -> Result<(), Error> {
    let links = job.base.metadata().nlink();
    if links > 1 {
        return Err(Error::HardLinks { path: job.target_name.clone(), format, links });
    }
    let needed = |error| Error::NeedsFolder { folder: folder.path().to_owned(), format, error };
    folder.is_writable().map_err(needed)
}

/// A file that will be `name` in `folder`.
fn new_file(folder: Folder, name: &OsStr) -> Result<OutputFile, Error> {
    let path = folder.path().to_owned();
    OutputFile::create(folder, name, NEW_IMAGE_MODE).map_err(|error| Error::NoFile { folder: path, error })
}

/// Makes the new image, which will be `output`, and the file that says its digest.
fn to_new_file(
    planned: &Planned,
    job: &Job,
    output: OutputFile,
    about: About,
    watcher: &Watcher,
) -> Result<Committed, Error> {
    let is_raw = planned.container.is_none() && planned.image.info().format == Format::Raw;
    let has_all = is_raw && shares_blocks(&output, &planned.image);
    let written = match has_all {
        true => write_to_copy(planned, job, &output, watcher),
        false => write(planned, job, output.file(), output.folder(), job.threads, watcher),
    };
    let twice = written.is_ok() && job.verify_reproducible;
    let sha256 = twice.then(|| reproducible::verify(job, output.file(), output.folder(), watcher)).transpose();
    // First, because it may be why the others failed.
    planned.done.check_sources().map_err(|error| operation_error(error, output.folder()))?;
    planned.layers.iter().try_for_each(check_layer)?;
    let written = written?;
    let sha256 = sha256?;
    if job.in_place {
        keep_attributes(&output, job.base.metadata(), watcher)?;
    }
    let checksum_file = about.checksum.as_ref().map(|checksum| checksum.path.clone());
    let documents = about.documents.iter().map(|document| document.path.clone()).collect();
    let sha256 = match sha256 {
        None if about.checksum.is_some() || job.author.is_some() => {
            Some(checksum::sha256(output.file()).map_err(|error| Error::Write(Box::new(error)))?)
        }
        sha256 => sha256,
    };
    let about = about.write(planned, job, written.file_size_bytes, sha256.as_deref())?;
    publish_with(output, about, &job.target_name, watcher)?;
    Ok(Committed {
        file_size_bytes: written.file_size_bytes,
        clusters: (planned.format() == "qcow2").then(|| Clusters::of(&written)),
        in_place: None,
        copied_bytes: (job.in_place && is_raw && !has_all).then(|| job.base.metadata().blocks() * STAT_BLOCK_BYTES),
        sha256,
        checksum_file,
        documents,
    })
}

/// Whether the new file has the blocks of a raw base now, as copies that are made only where one of them changes.
fn shares_blocks(output: &OutputFile, base: &Image) -> bool {
    // Whatever the reason is why it cannot be: the bytes are copied then, and meet what is really wrong.
    // The file is the one that was unpacked, where the base is compressed.
    base.host_file().is_some_and(|(file, offset)| offset == 0 && rustix::fs::ioctl_ficlone(output.file(), file).is_ok())
}

/// Writes the changes to `output`, which has the base's bytes already.
fn write_to_copy(planned: &Planned, job: &Job, output: &OutputFile, watcher: &Watcher) -> Result<Written, Error> {
    let stage = watcher.stage(Stage::Write);
    let changed = planned.disk.changed();
    let set = |done, total| stage.set(done, total);
    image::write_to_copy(&planned.image, &planned.disk, &changed, output.file(), &set)
        .map_err(|error| write_error(error, Some(changed_bytes(&changed)), job.base.path(), output.folder()))
}

/// Writes the new image to `file`, which is in `folder`.
pub(crate) fn write(
    planned: &Planned,
    job: &Job,
    file: &File,
    folder: &Folder,
    threads: NonZeroUsize,
    watcher: &Watcher,
) -> Result<Written, Error> {
    let stage = watcher.stage(Stage::Write);
    let changed = planned.disk.changed();
    let options = WriteOptions { new_clusters: new_clusters(job), threads };
    let set_progress = |done, total| stage.set(done, total);
    let Planned { image, disk, container, .. } = planned;
    let written = match container {
        None => image::write(image, disk, &changed, file, &options, &set_progress),
        Some(container) => {
            image::convert(&Source::edited(image, disk, &changed), file, container, &options, &set_progress)
        }
    };
    written.map_err(|error| {
        let needed_bytes = image.info().file_size_bytes.saturating_add(changed_bytes(&changed));
        write_error(error, container.is_none().then_some(needed_bytes), job.base.path(), folder)
    })
}

/// What becomes of new clusters.
pub(crate) fn new_clusters(job: &Job) -> NewClusters {
    job.new_clusters.unwrap_or(NewClusters::Compressed { level: DEFAULT_LEVEL })
}

pub(crate) fn changed_bytes(changed: &[Range<u64>]) -> u64 {
    changed.iter().map(|range| range.end - range.start).sum()
}

/// Why a new image of the one at `base_path` could not be written in `folder`.
pub(crate) fn write_error(error: image::Error, needed_bytes: Option<u64>, base_path: &Path, folder: &Folder) -> Error {
    match (full(&error), error.host_error()) {
        (Some(host), _) => Error::no_space(folder, needed_bytes, host),
        (None, Some(_)) => Error::Write(Box::new(error)),
        (None, None) => Error::Image { path: base_path.to_owned(), error },
    }
}

/// Gives the finished image its name.
pub(crate) fn publish(output: OutputFile, target_name: &Path, watcher: &Watcher) -> Result<(), Error> {
    publish_with(output, Vec::new(), target_name, watcher)
}

/// Gives the finished image its name, and before that the files about it.
fn publish_with(
    output: OutputFile,
    about: Vec<OutputFile>,
    target_name: &Path,
    watcher: &Watcher,
) -> Result<(), Error> {
    let _stage = watcher.stage(Stage::Sync);
    let folder = output.folder().try_clone();
    output.publish_with(about).map_err(|error| match folder {
        // Some file systems look for room only when they sync.
        Ok(folder) if is_full(&error) => Error::no_space(&folder, None, error),
        _ => Error::unwritable(target_name)(error),
    })
}

/// Refuses a file that was written to, or replaced by another one, since it was opened.
pub(crate) fn check_layer(layer: &Layer) -> Result<(), Error> {
    let identity =
        |metadata: &Metadata| (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    let now = std::fs::metadata(&layer.path).map_err(Error::unreadable(&layer.path))?;
    if identity(&now) != identity(&layer.metadata) {
        return Err(Error::Changed { path: layer.path.clone() });
    }
    Ok(())
}

/// Gives the new file the owner and the mode of the one that it replaces.
fn keep_attributes(output: &OutputFile, original: &Metadata, watcher: &Watcher) -> Result<(), Error> {
    let unwritable = |error: io::Error| Error::Write(Box::new(error));
    let own = output.file().metadata().map_err(unwritable)?;
    let owner = (original.uid(), original.gid());
    if (own.uid(), own.gid()) != owner && output.set_owner(owner.0, owner.1).is_err() {
        watcher.warning(format_args!("the image's owner {}:{} cannot be kept: it is yours now", owner.0, owner.1));
    }
    output.set_mode(original.mode() & 0o7777).map_err(unwritable)
}
