//! Carries out a put.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use guest::resolve::LastLink;
use recipe::Mode;

use super::Put;
use super::plan::{Change, Content, Plan};
use crate::carry_out::{KEPT_SOURCE_BYTES, Progress, ReadFile, Work};
use crate::error::Error;
use crate::report::Report;
use crate::source::Digest;
use crate::verb::Apply;

impl Apply for Put {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let plan = Plan::new(work.guest, self, work.options)?;
        work.warnings.extend(plan.warnings);
        work.progress.expect(plan.report.size_bytes);
        let mut report = plan.report;
        let is_single = plan.changes.len() == 1;
        for change in plan.changes {
            work.make(&self.source, &change)?;
            if matches!(change.content, Content::File { .. }) {
                work.note_program(&change.path, change.attributes.permissions);
                work.note_placed(&change.path, change.attributes.permissions, is_single);
            }
            if let Some(asked) = change.inherits
                && work.inherit(&change.path, asked)?
            {
                let metadata = work.guest.metadata(&work.guest.find(&change.path, LastLink::Keep)?.node)?;
                report.gid = metadata.gid;
                report.mode = report.mode.map(|_| Mode::from_bits(metadata.permissions).to_string());
            }
            if let Content::File { source, size_bytes } = change.content
                && size_bytes >= KEPT_SOURCE_BYTES
            {
                work.kept.push(source);
            }
        }
        Ok(Report::put(report, plan.parents))
    }

    fn source_mut(&mut self) -> Option<&mut PathBuf> {
        Some(&mut self.source)
    }
}

impl Work<'_> {
    /// Makes one change of a put of `of`.
    fn make(&mut self, of: &Path, change: &Change) -> Result<(), Error> {
        let Change { path, attributes, replaces, content, inherits: _ } = change;
        let (guest, read) = (&mut *self.guest, &mut self.read);
        match content {
            Content::File { source, size_bytes } => {
                let mut file = source.open()?;
                if *replaces {
                    guest.remove_file(path)?;
                }
                let mut digest = self.options.digests.then(Digest::default);
                let result = if *size_bytes >= KEPT_SOURCE_BYTES {
                    digest = digest.map(|_| Digest::of(source)).transpose()?;
                    let storage = source.storage(file.try_clone().map_err(|error| source.unreadable(error))?)?;
                    let made = guest.create_file_from(path, attributes, &storage);
                    self.progress.add(*size_bytes);
                    made
                } else {
                    let mut reader = Counted { file: &mut file, progress: &self.progress, digest: digest.as_mut() };
                    guest.create_file(path, attributes, *size_bytes, &mut reader)
                };
                // First, because a change explains a wrong length.
                source.check_unchanged(&file)?;
                result.map_err(|error| Error::Put {
                    from: source.path.clone(),
                    to: path.clone(),
                    error: Box::new(error),
                })?;
                read.extend(digest.map(|digest| digest.read(of, &source.path)));
                Ok(())
            }
            Content::Directory => Ok(guest.create_directory(path, attributes)?),
            Content::Symlink { from, target } => {
                if self.options.digests {
                    let size_bytes = 0;
                    read.push(ReadFile { size_bytes, ..Digest::of_bytes(target).read(of, from) });
                }
                if *replaces {
                    guest.remove_file(path)?;
                }
                Ok(guest.create_symlink(path, target, attributes)?)
            }
        }
    }
}

/// A reader that reports how much was read, and what.
struct Counted<'a> {
    file: &'a mut File,
    progress: &'a Progress<'a>,
    digest: Option<&'a mut Digest>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.progress.add(read as u64);
        if let Some(digest) = &mut self.digest {
            digest.update(&buffer[..read]);
        }
        Ok(read)
    }
}
