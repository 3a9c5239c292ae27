//! Comparing the contents of two files, of which only the parts are read that could differ.

use std::ops::Range;

use super::ranges::meets;
use crate::file_system::{ContentExtent, FileSystem, FileSystemError, Node};

/// How much of each file is read at a time, in bytes.
const STEP_BYTES: u64 = 1 << 18;

/// A file and the file system that it is on.
type File<'a> = (&'a dyn FileSystem, &'a Node);

/// Whether two files of `size_bytes` bytes have the same content. `differing` are the ranges in which the partitions
/// differ, if these begin in the same place.
pub(super) fn is_same(
    base: File<'_>,
    image: File<'_>,
    size_bytes: u64,
    differing: Option<&[Range<u64>]>,
) -> Result<bool, FileSystemError> {
    let whole = 0..size_bytes;
    let to_read = match differing {
        Some(differing) => unknown(base, image, size_bytes, differing)?,
        None => vec![whole],
    };
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for range in to_read {
        let mut at = range.start;
        while at < range.end {
            let length = (range.end - at).min(STEP_BYTES) as usize;
            one.resize(length, 0);
            two.resize(length, 0);
            base.0.read_exact_at(base.1, at, &mut one)?;
            image.0.read_exact_at(image.1, at, &mut two)?;
            if one != two {
                return Ok(false);
            }
            at += length as u64;
        }
    }
    Ok(true)
}

/// The parts that have to be read: all but those that are holes in both, or the same bytes of the partition.
fn unknown(
    (base, old): File<'_>,
    (image, new): File<'_>,
    size_bytes: u64,
    differing: &[Range<u64>],
) -> Result<Vec<Range<u64>>, FileSystemError> {
    let whole = 0..size_bytes;
    let (Some(one), Some(two)) = (base.content_extents(old)?, image.content_extents(new)?) else {
        return Ok(vec![whole]);
    };
    let mut unknown: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    while at < size_bytes {
        let ((first, first_end), (second, second_end)) = (place_at(&one, at), place_at(&two, at));
        let end = first_end.min(second_end).min(size_bytes);
        let is_known = match (first, second) {
            (None, None) => true,
            (Some(first), Some(second)) => first == second && !meets(differing, &(first..first + (end - at))),
            _ => false,
        };
        if !is_known {
            super::ranges::add(&mut unknown, at..end);
        }
        at = end;
    }
    Ok(unknown)
}

/// Where byte `at` of a file is in the partition, if it is not in a hole; and up to which byte of the file this holds.
fn place_at(extents: &[ContentExtent], at: u64) -> (Option<u64>, u64) {
    let index = extents.partition_point(|extent| extent.offset + extent.length_bytes <= at);
    match extents.get(index) {
        Some(extent) if extent.offset <= at => {
            (Some(extent.storage_offset + (at - extent.offset)), extent.offset + extent.length_bytes)
        }
        Some(extent) => (None, extent.offset),
        None => (None, u64::MAX),
    }
}
