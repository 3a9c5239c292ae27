//! An image that changes in its own file: what has to be right before the one write that decides.

use std::sync::{Mutex, PoisonError};

use image::{Edited, WriteOptions};
use storage::{FileStorage, Operation, ReadAt, Reason, Result, Target, WriteAt};

use super::check_layer;
use crate::error::Error;
use crate::job::{Job, Planned, operation_error};
use crate::output::Folder;
use crate::source::OpenedFile;
use crate::watch::{Stage, Watcher};

/// Makes what was planned the image, in its own file. `folder` is what is said to have no room, if that is so.
pub(super) fn commit(
    planned: &Planned,
    job: &Job,
    folder: &Folder,
    watcher: &Watcher,
) -> std::result::Result<Edited, Error> {
    // Later it is we who write to it, and our locks keep those out who look for them.
    planned.layers.iter().try_for_each(check_layer)?;
    let last_look = || {
        planned.done.check_sources().map_err(|error| operation_error(error, folder))?;
        check_name(&job.base)
    };
    let stage = Mutex::new(Some(watcher.stage(Stage::Write)));
    let lasting = || stage.lock().unwrap_or_else(PoisonError::into_inner);
    let begins_to_sync = || {
        // The one ends before the other begins.
        *lasting() = None;
        *lasting() = Some(watcher.stage(Stage::Sync));
    };
    let target = Decided::new(job.base.storage()?, &last_look, &begins_to_sync);
    let changed = planned.disk.changed();
    let options = WriteOptions { new_clusters: super::new_clusters(job), threads: job.threads };
    let set = |done, total| lasting().iter().for_each(|stage| stage.set(done, total));
    let edited = image::edit(&planned.image, &planned.disk, &changed, &target, &options, &set);
    match (target.into_error(), edited) {
        (Some(error), Err(_)) => Err(error),
        (_, Ok(edited)) => Ok(edited),
        (None, Err(image::Error::Undecided(error))) => Err(Error::Undecided { path: job.target_name.clone(), error }),
        (None, Err(error)) => {
            Err(super::write_error(error, Some(super::changed_bytes(&changed)), job.base.path(), folder))
        }
    }
}

/// Refuses an image whose name was given to another file.
fn check_name(image: &OpenedFile) -> std::result::Result<(), Error> {
    match std::fs::metadata(image.path()) {
        Ok(now) if image.is(&now) => Ok(()),
        _ => Err(Error::Replaced { path: image.path().to_owned() }),
    }
}

/// A file whose first sync, which comes before the write that decides, is the time for a last look.
struct Decided<'a> {
    file: FileStorage,
    last_look: Mutex<Option<LastLook<'a>>>,
    /// Is told that the host has everything, and not all of it on its disk.
    begins_to_sync: &'a (dyn Fn() + Sync),
    error: Mutex<Option<Error>>,
}

type LastLook<'a> = &'a (dyn Fn() -> std::result::Result<(), Error> + Sync);

impl<'a> Decided<'a> {
    fn new(file: FileStorage, last_look: LastLook<'a>, begins_to_sync: &'a (dyn Fn() + Sync)) -> Self {
        Self { file, last_look: Mutex::new(Some(last_look)), begins_to_sync, error: Mutex::default() }
    }

    /// What the last look found to be wrong.
    fn into_error(self) -> Option<Error> {
        self.error.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadAt for Decided<'_> {
    fn size_bytes(&self) -> u64 {
        self.file.size_bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file.read_at(offset, buffer)
    }
}

impl WriteAt for Decided<'_> {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.file.write_at(offset, data)
    }
}

impl Target for Decided<'_> {
    fn set_size(&self, size_bytes: u64) -> Result<()> {
        self.file.set_size(size_bytes)
    }

    fn sync(&self) -> Result<()> {
        (self.begins_to_sync)();
        self.file.sync()?;
        let last_look = self.last_look.lock().unwrap_or_else(PoisonError::into_inner).take();
        match last_look.map_or(Ok(()), |look| look()) {
            Ok(()) => Ok(()),
            Err(error) => {
                let reason = Reason::Layer(error.to_string().into());
                *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(storage::Error { operation: Operation::Write, offset: 0, length_bytes: 0, reason })
            }
        }
    }

    fn copy_from(&self, offset: u64, source: &dyn ReadAt, source_offset: u64, length_bytes: u64) -> Result<()> {
        self.file.copy_from(offset, source, source_offset, length_bytes)
    }
}
