//! From changes that are kept apart to a file that has them.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use customize::ByteSize;
use image::{Format, Image, NewClusters, Source, WriteOptions, Written};
use storage::ReadAt;

use crate::backing::Layer;
use crate::disk;
use crate::environment;
use crate::failure::Failure;
use crate::graft::{Graft, Job, plan_failure};
use crate::message::Messages;
use crate::output::{Folder, OutputFile};
use crate::progress::{Progress, Spinner, WRITING_TO_DISK};
use crate::report::{Clusters, InPlace};
use crate::{in_place, reproducible};

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
    NewFile { folder: Folder, name: OsString },
    /// Into the image's own one. What does not fit memory until then goes to files in `spill`.
    InPlace { spill: Folder },
}

/// What was committed.
pub(crate) struct Committed {
    pub(crate) file_size_bytes: u64,
    pub(crate) clusters: Option<Clusters>,
    /// What became of a file that was changed in place.
    pub(crate) in_place: Option<InPlace>,
    /// What had to be copied for it of an image that is to change in its place, in bytes.
    pub(crate) copied_bytes: Option<u64>,
    /// The new file's SHA-256, where it was built twice.
    pub(crate) sha256: Option<String>,
}

impl Way {
    /// The way for an image of this format.
    ///
    /// # Errors
    ///
    /// Early, what could not be committed in the end.
    pub(crate) fn of(job: &Job, format: Format) -> Result<Self, Failure> {
        let (path, name) = match (job.target.parent(), job.target.file_name()) {
            (Some(folder), Some(name)) => (folder, name.to_owned()),
            _ => return Err(Failure::new(format!("`{}` is not the name of a file", job.target.display()))),
        };
        let folder = Folder::open(path).map_err(|error| folder_failure(path, &error));
        if job.in_place && format == Format::Qcow2 {
            let own = folder.ok().filter(|folder| folder.is_writable().is_ok());
            return Ok(Self::InPlace { spill: own.map_or_else(temporary_folder, Ok)? });
        }
        let folder = folder?;
        if job.in_place {
            check_replaced(job, format, &folder)?;
        }
        Ok(Self::NewFile { folder, name })
    }

    /// Where what does not fit memory is kept.
    pub(crate) fn spill(&self) -> &Folder {
        match self {
            Self::NewFile { folder, .. } => folder,
            Self::InPlace { spill } => spill,
        }
    }

    /// Brings the changes into the file.
    pub(crate) fn commit(self, graft: &Graft, job: &Job, messages: &Messages) -> Result<Committed, Failure> {
        match self {
            Self::NewFile { folder, name } => to_new_file(graft, job, folder, &name, messages),
            Self::InPlace { spill } => {
                let edited = in_place::commit(graft, job, &spill, messages)?;
                Ok(Committed {
                    file_size_bytes: edited.file_size_bytes,
                    clusters: Some(Clusters::of_edit(&edited)),
                    in_place: Some(InPlace::of(&edited)),
                    copied_bytes: None,
                    sha256: None,
                })
            }
        }
    }
}

fn temporary_folder() -> Result<Folder, Failure> {
    let path = std::env::temp_dir();
    Folder::open(&path).map_err(|error| folder_failure(&path, &error))
}

/// Refuses an image in whose place a new file could not come as a careful user expects it.
fn check_replaced(job: &Job, format: Format, folder: &Folder) -> Result<(), Failure> {
    let name = job.target_name.display();
    let links = job.base.metadata.nlink();
    if links > 1 {
        return Err(Failure::new(format!(
            "`{name}` is a {format} image with {links} names (hard links), of which only this one would change"
        ))
        .hint(format!("change a copy, `cp --reflink=auto {name} OTHER`, or remove the other names first")));
    }
    folder.is_writable().map_err(|error| {
        Failure::because(
            format!("no file can be made in `{}`, as a {format} image needs it", folder.path().display()),
            &error,
        )
        .hint("a qcow2 image changes in its own file and does not need another")
    })
}

/// Makes the new image, which will be `name` in `folder`.
fn to_new_file(
    graft: &Graft,
    job: &Job,
    folder: Folder,
    name: &OsStr,
    messages: &Messages,
) -> Result<Committed, Failure> {
    let path = folder.path().to_owned();
    let output = OutputFile::create(folder, name, NEW_IMAGE_MODE)
        .map_err(|error| Failure::because(format!("no file can be made in `{}`", path.display()), &error))?;
    let is_raw = graft.container.is_none() && graft.image.info().format == Format::Raw;
    let has_all = is_raw && shares_blocks(&output, &graft.image);
    let written = match has_all {
        true => write_to_copy(graft, job, &output, messages),
        false => write(graft, job, output.file(), output.folder(), environment::threads(), messages),
    };
    let twice = written.is_ok() && job.verify_reproducible;
    let sha256 = twice.then(|| reproducible::verify(job, output.file(), output.folder(), messages)).transpose();
    // First, because it may be why the others failed.
    graft.done.check_sources().map_err(|error| plan_failure(&error, output.folder()))?;
    graft.layers.iter().try_for_each(check_layer)?;
    let written = written?;
    let sha256 = sha256?;
    if job.in_place {
        keep_attributes(&output, &job.base.metadata, messages)?;
    }
    publish(output, &job.target_name, messages)?;
    Ok(Committed {
        file_size_bytes: written.file_size_bytes,
        clusters: (graft.format() == "qcow2").then(|| Clusters::of(&written)),
        in_place: None,
        copied_bytes: (job.in_place && is_raw && !has_all).then(|| job.base.metadata.blocks() * STAT_BLOCK_BYTES),
        sha256,
    })
}

/// Whether the new file has the blocks of a raw base now, as copies that are made only where one of them changes.
fn shares_blocks(output: &OutputFile, base: &Image) -> bool {
    // Whatever the reason is why it cannot be: the bytes are copied then, and meet what is really wrong.
    // The file is the one that was unpacked, where the base is compressed.
    base.host_file().is_some_and(|(file, offset)| offset == 0 && rustix::fs::ioctl_ficlone(output.file(), file).is_ok())
}

/// Writes the changes to `output`, which has the base's bytes already.
fn write_to_copy(graft: &Graft, job: &Job, output: &OutputFile, messages: &Messages) -> Result<Written, Failure> {
    let progress = Progress::new(messages, "writing");
    let changed = graft.disk.changed();
    image::write_to_copy(&graft.image, &graft.disk, &changed, output.file(), &|done, total| progress.set(done, total))
        .map_err(|error| write_failure(&error, Some(changed_bytes(&changed)), &job.base.path, output.folder()))
}

/// Writes the new image to `file`, which is in `folder`.
pub(crate) fn write(
    graft: &Graft,
    job: &Job,
    file: &File,
    folder: &Folder,
    threads: NonZeroUsize,
    messages: &Messages,
) -> Result<Written, Failure> {
    let progress = Progress::new(messages, "writing");
    let changed = graft.disk.changed();
    let options = WriteOptions { new_clusters: new_clusters(job), threads };
    let set_progress = |done, total| progress.set(done, total);
    let Graft { image, disk, container, .. } = graft;
    let written = match container {
        None => image::write(image, disk, &changed, file, &options, &set_progress),
        Some(container) => {
            image::convert(&Source::edited(image, disk, &changed), file, container, &options, &set_progress)
        }
    };
    written.map_err(|error| {
        let needed_bytes = image.info().file_size_bytes.saturating_add(changed_bytes(&changed));
        write_failure(&error, container.is_none().then_some(needed_bytes), &job.base.path, folder)
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
pub(crate) fn write_failure(
    error: &image::Error,
    needed_bytes: Option<u64>,
    base_path: &Path,
    folder: &Folder,
) -> Failure {
    match error.host_error() {
        Some(host) if is_full(host) => no_space(folder, needed_bytes, host),
        Some(_) => Failure::because("the new image cannot be written", error),
        None => base_failure(base_path, error),
    }
}

/// The base is not one that can be used.
fn base_failure(path: &Path, error: &image::Error) -> Failure {
    let failure = disk::unusable(path, error);
    match error {
        image::Error::Corrupt { .. } | image::Error::Truncated { .. } => {
            failure.hint(format!("`imgraft check {}` says more", path.display()))
        }
        _ => failure,
    }
}

/// Gives the finished image its name.
pub(crate) fn publish(output: OutputFile, target_name: &Path, messages: &Messages) -> Result<(), Failure> {
    let folder = output.folder().try_clone();
    let _spinner = Spinner::new(messages, WRITING_TO_DISK);
    output.publish().map_err(|error| match folder {
        // Some file systems look for room only when they sync.
        Ok(folder) if is_full(&error) => no_space(&folder, None, &error),
        _ => Failure::because(format!("`{}` cannot be written", target_name.display()), &error),
    })
}

/// Refuses a file that somebody wrote to, or put another one in the place of, since it was opened.
pub(crate) fn check_layer(layer: &Layer) -> Result<(), Failure> {
    let identity =
        |metadata: &Metadata| (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    let path = layer.path.display();
    match std::fs::metadata(&layer.path) {
        Ok(now) if identity(&now) == identity(&layer.metadata) => Ok(()),
        Ok(_) => Err(Failure::new(format!("`{path}` changed while it was read"))
            .hint("see whether a virtual machine or another program uses it")),
        Err(error) => Err(Failure::because(format!("`{path}` cannot be read"), &error)),
    }
}

/// Gives the new file the owner and the mode of the one that it replaces.
fn keep_attributes(output: &OutputFile, original: &Metadata, messages: &Messages) -> Result<(), Failure> {
    let unwritable = |error: io::Error| Failure::because("the new image cannot be written", &error);
    let own = output.file().metadata().map_err(unwritable)?;
    let owner = (original.uid(), original.gid());
    if (own.uid(), own.gid()) != owner && output.set_owner(owner.0, owner.1).is_err() {
        messages.warning(format_args!("the image's owner {}:{} cannot be kept: it is yours now", owner.0, owner.1));
    }
    output.set_mode(original.mode() & 0o7777).map_err(unwritable)
}

pub(crate) fn folder_failure(folder: &Path, error: &io::Error) -> Failure {
    Failure::because(format!("the folder `{}` cannot be written to", folder.display()), error)
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// The host has too little room in `folder`.
pub(crate) fn no_space(folder: &Folder, needed_bytes: Option<u64>, error: &io::Error) -> Failure {
    let mut message = format!("no space left on the host in `{}`", folder.path().display());
    if let Some(needed_bytes) = needed_bytes {
        message.push_str(&format!(": up to {} are needed", ByteSize(needed_bytes)));
        if let Ok(free_bytes) = folder.free_bytes() {
            // What was written until then has no name, but is still there.
            message.push_str(&format!(" and {} are left", ByteSize(free_bytes)));
        }
    }
    Failure::because(message, error).hint("make room there, or work in another folder")
}
