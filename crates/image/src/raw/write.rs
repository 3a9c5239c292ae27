//! A new raw file, with holes for zeros.

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};
use std::thread;

use storage::{ExtentKind, ReadAt};

use crate::convert::Source;
use crate::error::{Error, Result};
use crate::write::{Progress, merged};
use crate::zeros::is_zero;
use crate::{Kind, Written};

/// The most bytes that one step reads or copies: a multiple of every cluster size of qcow2, so that no cluster is
/// decompressed twice.
const STEP_BYTES: u64 = 2 << 20;
/// The most threads. Each keeps the bytes of a step in memory.
const THREADS_MAX: usize = 8;
/// The unit of holes in bytes.
const HOLE_BYTES: u64 = 4096;

/// Writes the disk of `source`. Each thread takes the next step that no other thread has. Each step knows its place in
/// the file, so the order of steps does not matter.
pub(crate) fn write(
    source: &Source<'_>,
    target: &File,
    threads: NonZeroUsize,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Written> {
    let size_bytes = source.disk.size_bytes();
    let progress = Progress::new(progress, size_bytes);
    target.set_len(size_bytes).map_err(|error| Error::writing(size_bytes, 0, error))?;
    let changed = merged(source.changed, 1);
    let steps = Mutex::new(Steps::new(source, &changed));
    let next = || steps.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<()> {
        let mut buffer = Vec::new();
        while let Some(step) = next() {
            let done = step.and_then(|step| step.carry_out(source.disk, target, &mut buffer, &progress));
            // After an error, the other threads stop, too.
            done.inspect_err(|_| steps.lock().unwrap_or_else(PoisonError::into_inner).end())?;
        }
        Ok(())
    };
    let results: Vec<Result<()>> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.get().min(THREADS_MAX)).map(|_| scope.spawn(work)).collect();
        let own = work();
        let others = others.into_iter().map(|other| other.join().expect("writing a raw file does not panic"));
        [own].into_iter().chain(others).collect()
    });
    results.into_iter().collect::<Result<()>>()?;
    Ok(Written { file_size_bytes: size_bytes, ..Written::default() })
}

/// A range of bytes, and how it is written.
struct Step<'a> {
    range: Range<u64>,
    from: From<'a>,
}

enum From<'a> {
    Hole,
    /// The disk, byte for byte.
    Disk,
    /// The host file of a base: the kernel copies its bytes.
    File(&'a dyn ReadAt),
}

/// The whole disk in steps, in order.
struct Steps<'a> {
    disk: &'a dyn ReadAt,
    /// The base's file, which has the disk's bytes outside the changed ranges.
    file: Option<&'a dyn ReadAt>,
    changed: &'a [Range<u64>],
    at: u64,
    /// The kind of the extent that `at` is in, and where it ends.
    extent: (ExtentKind, u64),
}

impl<'a> Steps<'a> {
    fn new(source: &Source<'a>, changed: &'a [Range<u64>]) -> Self {
        let file = match source.base.map(|base| &base.kind) {
            Some(Kind::Raw(raw)) if raw.file().host_file().is_some() => Some(raw.file()),
            _ => None,
        };
        Self { disk: source.disk, file, changed, at: 0, extent: (ExtentKind::Zero, 0) }
    }

    fn end(&mut self) {
        self.at = self.disk.size_bytes();
    }

    fn step(&mut self) -> Result<Step<'a>> {
        let start = self.at;
        while self.changed.first().is_some_and(|range| range.end <= start) {
            self.changed = &self.changed[1..];
        }
        let next_change = self.changed.first().map_or(u64::MAX, |range| range.start);
        if self.extent.1 <= start {
            let extent = self.disk.extent_at(start)?;
            self.extent = (extent.kind, start + extent.length_bytes);
        }
        let (kind, end) = self.extent;
        if kind == ExtentKind::Zero {
            self.at = end;
            return Ok(Step { range: start..end, from: From::Hole });
        }
        let from = match self.file {
            Some(file) if start < next_change && start < file.size_bytes() => From::File(file),
            _ => From::Disk,
        };
        // Steps end at multiples of the step's size, so that no cluster and no hole is split.
        let end = match from {
            From::File(file) => end.min(next_change).min(file.size_bytes()),
            _ => end,
        };
        self.at = end.min((start / STEP_BYTES + 1) * STEP_BYTES);
        Ok(Step { range: start..self.at, from })
    }
}

impl<'a> Iterator for Steps<'a> {
    type Item = Result<Step<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.at < self.disk.size_bytes()).then(|| self.step().inspect_err(|_| self.end()))
    }
}

impl Step<'_> {
    fn carry_out(self, disk: &dyn ReadAt, target: &File, buffer: &mut Vec<u8>, progress: &Progress<'_>) -> Result<()> {
        let Range { start, end } = self.range;
        match self.from {
            From::Hole => {}
            From::File(file) => storage::copy(file, start, target, start, end - start)?,
            From::Disk => {
                buffer.resize((end - start) as usize, 0);
                disk.read_at(start, buffer)?;
                write_but_zeros(target, start, buffer)?;
            }
        }
        progress.advance(end - start);
        Ok(())
    }
}

/// Writes `bytes` at `offset` to a new file, and leaves out units that are all zeros.
pub(crate) fn write_but_zeros(target: &File, offset: u64, bytes: &[u8]) -> Result<()> {
    write_but_holes(target, offset, bytes, &|_| Ok(true))
}

/// Writes `bytes` at `offset`, and leaves out units that are all zeros if the target has a hole there.
pub(super) fn write_but_holes(
    target: &File,
    offset: u64,
    bytes: &[u8],
    is_hole: &dyn Fn(&Range<u64>) -> Result<bool>,
) -> Result<()> {
    let end = offset + bytes.len() as u64;
    let part = |from: u64, to: u64| &bytes[(from - offset) as usize..(to - offset) as usize];
    let write = |from: u64, to: u64| {
        target.write_all_at(part(from, to), from).map_err(|error| Error::writing(from, to - from, error))
    };
    let (mut from, mut at) = (offset, offset);
    while at < end {
        let next = (at / HOLE_BYTES + 1) * HOLE_BYTES;
        let next = next.min(end);
        if is_zero(part(at, next)) && is_hole(&(at..next))? {
            if from < at {
                write(from, at)?;
            }
            from = next;
        }
        at = next;
    }
    if from < end {
        write(from, end)?;
    }
    Ok(())
}
