//! Carrying out a plan.

use std::fs::File;
use std::io::{self, Read};

use guest::Guest;

use crate::error::Error;
use crate::plan::{Change, Content, Plan};

/// From this size in bytes on, a source may be kept in place of its bytes.
const KEPT_SOURCE_BYTES: u64 = 1 << 20;

impl Plan {
    /// Carries this out in `guest`, which must be the one that it was made for, and flushes it.
    /// `progress` gets the bytes of content that are done and that there are.
    ///
    /// # Errors
    ///
    /// [`Error::SourceChanged`] for a source that is not what it was; [`Error::Put`] where the
    /// guest's file system says no, [`Error::Source`] where the host does. A part may be done then:
    /// the disk behind the guest is not to be used.
    pub fn apply(&self, guest: &mut Guest, progress: &dyn Fn(u64, u64)) -> Result<(), Error> {
        let mut done_bytes = 0;
        progress(0, self.content_bytes());
        for change in &self.changes {
            let result = change.apply(guest, &mut |bytes| {
                done_bytes += bytes;
                progress(done_bytes, self.content_bytes());
            });
            result?;
        }
        Ok(guest.flush()?)
    }

    /// Refuses sources that are no longer what they were. To be called when everything has been
    /// read from the disk behind the guest, which may read large sources only then.
    ///
    /// # Errors
    ///
    /// [`Error::SourceChanged`], [`Error::Source`].
    pub fn check_sources(&self) -> Result<(), Error> {
        for change in &self.changes {
            if let Content::File { source, size_bytes } = &change.content
                && *size_bytes >= KEPT_SOURCE_BYTES
            {
                source.open()?;
            }
        }
        Ok(())
    }
}

impl Change {
    fn apply(&self, guest: &mut Guest, progress: &mut dyn FnMut(u64)) -> Result<(), Error> {
        let Self { path, attributes, replaces, content } = self;
        match content {
            Content::File { source, size_bytes } => {
                let mut file = source.open()?;
                if *replaces {
                    guest.remove_file(path)?;
                }
                let result = if *size_bytes >= KEPT_SOURCE_BYTES {
                    let storage = source.storage(file.try_clone().map_err(|error| source.unreadable(error))?)?;
                    progress(*size_bytes);
                    guest.create_file_from(path, attributes, &storage)
                } else {
                    let mut reader = Counted { file: &mut file, progress };
                    guest.create_file(path, attributes, *size_bytes, &mut reader)
                };
                // First, because it is why the length may be another.
                source.check_unchanged(&file)?;
                result.map_err(|error| Error::Put {
                    source: source.path.clone(),
                    destination: path.clone(),
                    error: Box::new(error),
                })
            }
            Content::Directory => Ok(guest.create_directory(path, attributes)?),
            Content::Symlink { target } => {
                if *replaces {
                    guest.remove_file(path)?;
                }
                Ok(guest.create_symlink(path, target, attributes)?)
            }
        }
    }
}

/// A reader that says how much was read.
struct Counted<'a> {
    file: &'a mut File,
    progress: &'a mut dyn FnMut(u64),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        (self.progress)(read as u64);
        Ok(read)
    }
}
