//! Changes of a raw image, written to a copy of its file.

use std::fs::File;
use std::ops::Range;

use storage::{ExtentKind, ReadAt};

use super::Raw;
use super::write::write_but_holes;
use crate::Written;
use crate::error::{Error, Result};
use crate::write::Progress;

/// The most that one step reads, in bytes.
const STEP_BYTES: u64 = 4 << 20;

/// Writes the ranges of bytes `changed` of `disk`, which are sorted, to `target`, which already has the bytes of `base`.
pub(crate) fn write_to_copy(
    base: &Raw,
    disk: &dyn ReadAt,
    changed: &[Range<u64>],
    target: &File,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Written> {
    let size_bytes = disk.size_bytes();
    let progress = Progress::new(progress, changed.iter().map(|range| range.end - range.start).sum());
    target.set_len(size_bytes).map_err(|error| Error::writing(size_bytes, 0, error))?;
    let is_hole = |unit: &Range<u64>| is_hole(base.file(), unit);
    let mut buffer = Vec::new();
    for range in changed {
        let mut at = range.start;
        while at < range.end {
            // Steps end at multiples of the step's size, so that no unit that may be a hole is split.
            let end = range.end.min((at / STEP_BYTES + 1) * STEP_BYTES);
            buffer.resize((end - at) as usize, 0);
            disk.read_at(at, &mut buffer)?;
            write_but_holes(target, at, &buffer, &is_hole)?;
            progress.advance(end - at);
            at = end;
        }
    }
    Ok(Written { file_size_bytes: size_bytes, ..Written::default() })
}

/// Whether `file` has a hole in all of `unit`.
fn is_hole(file: &dyn ReadAt, unit: &Range<u64>) -> Result<bool> {
    let end = unit.end.min(file.size_bytes());
    if unit.start >= end {
        return Ok(true);
    }
    let extent = file.extent_at(unit.start)?;
    Ok(extent.kind == ExtentKind::Zero && extent.length_bytes >= end - unit.start)
}
