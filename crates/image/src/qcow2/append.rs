//! Pieces of the base copied to a new file.

use std::fs::File;

use storage::ReadAt;

use super::table::SECTOR_BYTES;
use crate::append::Appender;
use crate::error::Result;

/// Appends pieces of other files, neighbours in one copy, and other bytes between them.
pub(crate) struct Mover<'a> {
    out: Appender<'a>,
    files: Vec<&'a dyn ReadAt>,
    run: Option<Run>,
}

/// Neighbouring pieces of a file that are copied together.
struct Run {
    /// The number of the file.
    file: usize,
    /// The offset in that file at which the last piece begins.
    last_offset: u64,
    /// The offset in that file at which the run ends.
    end: u64,
    /// The offset in that file up to which the run is copied.
    copied: u64,
}

/// The part of a run in bytes that is copied before its end is known.
const RUN_STEP_BYTES: u64 = 8 << 20;

impl<'a> Mover<'a> {
    pub(crate) fn new(target: &'a File, position: u64, files: Vec<&'a dyn ReadAt>) -> Self {
        Self { out: Appender::new(target, position), files, run: None }
    }

    /// Appends `length_bytes` bytes of the file number `file` from `offset` on, as far as they are in it, and returns
    /// their new place. It has the same offset inside a sector, because an L2 entry counts a compressed cluster's length
    /// in sectors.
    pub(crate) fn keep(&mut self, file: usize, offset: u64, length_bytes: u64) -> Result<u64> {
        let end = offset + length_bytes;
        match &mut self.run {
            Some(run) if file == run.file && offset > run.last_offset && offset <= run.end => {
                run.last_offset = offset;
                run.end = run.end.max(end);
            }
            _ => {
                self.end_run()?;
                let position = self.out.position();
                let gap = (offset % SECTOR_BYTES + SECTOR_BYTES - position % SECTOR_BYTES) % SECTOR_BYTES;
                self.out.pad_to(position + gap)?;
                self.run = Some(Run { file, last_offset: offset, end, copied: offset });
            }
        }
        if let Some(run) = &mut self.run
            && offset - run.copied >= RUN_STEP_BYTES
        {
            self.out.copy(self.files[file], run.copied, offset - run.copied)?;
            run.copied = offset;
        }
        let copied = self.run.as_ref().map_or(offset, |run| run.copied);
        Ok(self.out.position() + (offset - copied))
    }

    /// Appends `bytes` and returns their place.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        self.end_run()?;
        let position = self.out.position();
        self.out.append(bytes)?;
        Ok(position)
    }

    /// Pads to a multiple of `alignment` bytes, writes everything and returns the end.
    pub(crate) fn finish(mut self, alignment: u64) -> Result<u64> {
        self.end_run()?;
        self.out.pad_to(self.out.position().next_multiple_of(alignment))?;
        self.out.flush()?;
        Ok(self.out.position())
    }

    fn end_run(&mut self) -> Result<()> {
        let Some(run) = self.run.take() else {
            return Ok(());
        };
        let end = self.out.position() + (run.end - run.copied);
        // The file may end inside the last sector or the last cluster.
        let there = run.end.min(self.files[run.file].size_bytes()).saturating_sub(run.copied);
        self.out.copy(self.files[run.file], run.copied, there)?;
        self.out.pad_to(end)
    }
}
