//! A new raw file with holes where there is nothing.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use storage::{ExtentKind, ReadAt};

use super::Raw;
use crate::Written;
use crate::error::{Error, Result};
use crate::write::Progress;
use crate::zeros::is_zero;

/// The most that one step reads or copies, in bytes.
const STEP_BYTES: u64 = 4 << 20;
/// The unit in which zeros are left out, in bytes.
const HOLE_BYTES: u64 = 4096;

/// Writes `base` with the ranges of bytes `changed`, sorted, taken from `disk`.
pub(crate) fn write(
    base: &Raw,
    disk: &dyn ReadAt,
    changed: &[Range<u64>],
    target: &File,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Written> {
    let size_bytes = disk.size_bytes();
    let mut progress = Progress::new(progress, size_bytes);
    target.set_len(size_bytes).map_err(|error| Error::writing(size_bytes, 0, error))?;
    let mut at = 0;
    for range in changed {
        copy_unchanged(base.file(), at..range.start, target, &mut progress)?;
        write_changed(disk, range.clone(), target, &mut progress)?;
        at = range.end;
    }
    copy_unchanged(base.file(), at..size_bytes, target, &mut progress)?;
    Ok(Written { file_size_bytes: size_bytes, ..Written::default() })
}

fn copy_unchanged(file: &dyn ReadAt, range: Range<u64>, target: &File, progress: &mut Progress<'_>) -> Result<()> {
    let mut at = range.start;
    // What is behind the base's end is a hole in the new file.
    let end = range.end.min(file.size_bytes()).max(at);
    progress.advance(range.end - end);
    while at < end {
        let extent = file.extent_at(at)?;
        let mut length = extent.length_bytes.min(end - at);
        if extent.kind == ExtentKind::Data {
            length = length.min(STEP_BYTES);
            storage::copy(file, at, target, at, length)?;
        }
        progress.advance(length);
        at += length;
    }
    Ok(())
}

fn write_changed(disk: &dyn ReadAt, range: Range<u64>, target: &File, progress: &mut Progress<'_>) -> Result<()> {
    let mut buffer = vec![0; (range.end - range.start).min(STEP_BYTES) as usize];
    let mut at = range.start;
    while at < range.end {
        // Steps end at whole units, so that a unit is never looked at in halves.
        let end = ((at + STEP_BYTES) / HOLE_BYTES * HOLE_BYTES).min(range.end);
        let bytes = &mut buffer[..(end - at) as usize];
        disk.read_at(at, bytes)?;
        write_but_zeros(target, at, bytes)?;
        progress.advance(end - at);
        at = end;
    }
    Ok(())
}

/// Writes `bytes` at `offset` without its units that are all zeros.
fn write_but_zeros(target: &File, offset: u64, bytes: &[u8]) -> Result<()> {
    let end = offset + bytes.len() as u64;
    let part = |from: u64, to: u64| &bytes[(from - offset) as usize..(to - offset) as usize];
    let write = |from: u64, to: u64| {
        target.write_all_at(part(from, to), from).map_err(|error| Error::writing(from, to - from, error))
    };
    let (mut from, mut at) = (offset, offset);
    while at < end {
        let next = (at / HOLE_BYTES + 1) * HOLE_BYTES;
        let next = next.min(end);
        if is_zero(part(at, next)) {
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
