//! An image that changes in its own file: what has to be right before the one write that decides.

use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use image::{Edited, WriteOptions};
use storage::{Error, FileStorage, Operation, ReadAt, Reason, Result, Target, WriteAt};

use crate::commit::{self, check_layer};
use crate::disk::OpenedFile;
use crate::environment;
use crate::failure::Failure;
use crate::graft::{Graft, Job, plan_failure};
use crate::message::Messages;
use crate::output::Folder;
use crate::progress::{Progress, WRITING_TO_DISK};

/// Makes what was grafted the image, in its own file. `folder` is what is said to have no room, if that is so.
pub(crate) fn commit(
    graft: &Graft,
    job: &Job,
    folder: &Folder,
    messages: &Messages,
) -> std::result::Result<Edited, Failure> {
    // Later it is we who write to it, and our locks keep those out who look for them.
    graft.layers.iter().try_for_each(check_layer)?;
    let last_look = || {
        graft.done.check_sources().map_err(|error| plan_failure(&error, folder))?;
        check_name(&job.base)
    };
    let progress = Progress::new(messages, "writing");
    let begins_to_sync = || progress.end_with(WRITING_TO_DISK);
    let target = Decided::new(job.base.storage()?, &last_look, &begins_to_sync);
    let changed = graft.disk.changed();
    let options = WriteOptions { new_clusters: commit::new_clusters(job), threads: environment::threads() };
    let set_progress = |done, total| progress.set(done, total);
    let edited = image::edit(&graft.image, &graft.disk, &changed, &target, &options, &set_progress);
    match (target.into_failure(), edited) {
        (Some(failure), Err(_)) => Err(failure),
        (_, Ok(edited)) => Ok(edited),
        (None, Err(image::Error::Undecided(error))) => {
            let path = job.target_name.display();
            Err(Failure::because(
                format!("`{path}` is the old image or the new one: the last write may not be there"),
                &error,
            )
            .hint(format!("`imgraft ls {path}` and `imgraft check {path}` tell; see also the host's own log of errors"))
            .final_word())
        }
        (None, Err(error)) => {
            Err(commit::write_failure(&error, Some(commit::changed_bytes(&changed)), &job.base.path, folder))
        }
    }
}

/// Refuses an image whose name somebody gave to another file.
fn check_name(image: &OpenedFile) -> std::result::Result<(), Failure> {
    let identity = (image.metadata.dev(), image.metadata.ino());
    match std::fs::metadata(&image.path) {
        Ok(now) if (now.dev(), now.ino()) == identity => Ok(()),
        _ => Err(Failure::new(format!("`{}` is another file now", image.path.display()))),
    }
}

/// A file whose first sync, which comes before the write that decides, is the time for a last look.
struct Decided<'a> {
    file: FileStorage,
    last_look: Mutex<Option<LastLook<'a>>>,
    /// Who is told that everything is written but for what the host still has in memory.
    begins_to_sync: &'a (dyn Fn() + Sync),
    failure: Mutex<Option<Failure>>,
}

type LastLook<'a> = &'a (dyn Fn() -> std::result::Result<(), Failure> + Sync);

impl<'a> Decided<'a> {
    fn new(file: FileStorage, last_look: LastLook<'a>, begins_to_sync: &'a (dyn Fn() + Sync)) -> Self {
        Self { file, last_look: Mutex::new(Some(last_look)), begins_to_sync, failure: Mutex::default() }
    }

    /// What the last look found to be wrong.
    fn into_failure(self) -> Option<Failure> {
        self.failure.into_inner().unwrap_or_else(PoisonError::into_inner)
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
            Err(failure) => {
                let reason = Reason::Layer(failure.message.clone().into());
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                Err(Error { operation: Operation::Write, offset: 0, length_bytes: 0, reason })
            }
        }
    }

    fn copy_from(&self, offset: u64, source: &dyn ReadAt, source_offset: u64, length_bytes: u64) -> Result<()> {
        self.file.copy_from(offset, source, source_offset, length_bytes)
    }
}
