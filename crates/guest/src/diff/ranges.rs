//! The byte ranges in which two disks differ, and arithmetic with ranges.

use std::ops::Range;

use storage::{ExtentKind, ReadAt};

use super::read_padded;

/// The unit in which differences are reported, in bytes: the smallest unit of anything on a disk.
const UNIT_BYTES: usize = 512;
/// How much of each disk is read at a time, in bytes.
const STEP_BYTES: u64 = 1 << 20;

/// The parts of `ranges` in which `base` and `image` differ, in whole units of 512 bytes. They are sorted and do not
/// touch each other. Bytes after the end of a disk count as zeros.
///
/// # Errors
///
/// If a disk cannot be read.
pub fn differing(base: &dyn ReadAt, image: &dyn ReadAt, ranges: &[Range<u64>]) -> storage::Result<Vec<Range<u64>>> {
    let mut found = Vec::new();
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            let (is_zero, length) = both_zero(base, image, at)?;
            let end = range.end.min(at.saturating_add(length));
            if !is_zero {
                compare(base, image, at..end, &mut found)?;
            }
            at = end;
        }
    }
    Ok(found)
}

/// Whether both disks are known to be zeros from `at` on, and for how many bytes the answer holds.
fn both_zero(base: &dyn ReadAt, image: &dyn ReadAt, at: u64) -> storage::Result<(bool, u64)> {
    let extent = |disk: &dyn ReadAt| -> storage::Result<(bool, u64)> {
        if at >= disk.size_bytes() {
            return Ok((true, u64::MAX));
        }
        let extent = disk.extent_at(at)?;
        Ok((extent.kind == ExtentKind::Zero, extent.length_bytes))
    };
    let (one, two) = (extent(base)?, extent(image)?);
    Ok((one.0 && two.0, one.1.min(two.1)))
}

fn compare(
    base: &dyn ReadAt,
    image: &dyn ReadAt,
    range: Range<u64>,
    found: &mut Vec<Range<u64>>,
) -> storage::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let length = (range.end - at).min(STEP_BYTES) as usize;
        let (mut one, mut two) = (vec![0; length], vec![0; length]);
        // Each may have to be decompressed, which takes a processor.
        let (first, second) = std::thread::scope(|scope| {
            let other = scope.spawn(|| read_padded(base, at, &mut one));
            let second = read_padded(image, at, &mut two);
            (other.join(), second)
        });
        match first {
            Ok(first) => first?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        second?;
        if one != two {
            units(at, &one, &two, found);
        }
        at += length as u64;
    }
    Ok(())
}

/// Adds the units in which `one` and `two`, read from byte `start` on, differ.
fn units(start: u64, one: &[u8], two: &[u8], found: &mut Vec<Range<u64>>) {
    let unit = UNIT_BYTES as u64;
    let mut at = 0;
    while at < one.len() {
        let end = (at + UNIT_BYTES - (start as usize + at) % UNIT_BYTES).min(one.len());
        if one[at..end] != two[at..end] {
            let from = (start + at as u64) / unit * unit;
            add(found, from..from + unit);
        }
        at = end;
    }
}

/// Adds a range, which must not begin before the last one.
pub(crate) fn add(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
        _ => ranges.push(range),
    }
}

/// The ranges that are in either of two sorted lists.
pub fn union(one: &[Range<u64>], other: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut all: Vec<&Range<u64>> = one.iter().chain(other).collect();
    all.sort_by_key(|range| range.start);
    let mut union = Vec::new();
    all.into_iter().for_each(|range| add(&mut union, range.clone()));
    union
}

/// The parts of sorted `ranges` that are in `place`, counted from its beginning.
pub(crate) fn relative(ranges: &[Range<u64>], place: &Range<u64>) -> Vec<Range<u64>> {
    let mut within = clipped(ranges, place);
    within.iter_mut().for_each(|range| *range = range.start - place.start..range.end - place.start);
    within
}

/// The parts of `ranges` that are not in `taken`. Both are sorted.
pub fn without(ranges: &[Range<u64>], taken: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    for range in ranges {
        let mut at = range.start;
        let from = taken.partition_point(|taken| taken.end <= range.start);
        for taken in taken[from..].iter().take_while(|taken| taken.start < range.end) {
            if at < taken.start {
                left.push(at..taken.start);
            }
            at = taken.end;
        }
        if at < range.end {
            left.push(at..range.end);
        }
    }
    left
}

/// The parts of sorted `ranges` that are in `bounds`.
pub(crate) fn clipped(ranges: &[Range<u64>], bounds: &Range<u64>) -> Vec<Range<u64>> {
    let from = ranges.partition_point(|range| range.end <= bounds.start);
    let inside = ranges[from..].iter().take_while(|range| range.start < bounds.end);
    inside.map(|range| range.start.max(bounds.start)..range.end.min(bounds.end)).collect()
}

/// Whether any of the sorted `ranges` shares a byte with `range`.
pub(crate) fn meets(ranges: &[Range<u64>], range: &Range<u64>) -> bool {
    let from = ranges.partition_point(|other| other.end <= range.start);
    ranges.get(from).is_some_and(|other| other.start < range.end)
}

/// How many bytes there are in `ranges`.
pub(crate) fn length(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

/// The blocks that share bytes with the sorted `ranges`, as ranges of block numbers below `blocks`.
pub(crate) fn in_blocks(ranges: &[Range<u64>], block_bytes: u64, blocks: u64) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    for range in ranges {
        let part = blocks_of(range, block_bytes);
        let part = part.start..part.end.min(blocks);
        if !part.is_empty() {
            add(&mut found, part);
        }
    }
    found
}

/// The blocks that share bytes with a range.
pub(crate) fn blocks_of(range: &Range<u64>, block_bytes: u64) -> Range<u64> {
    range.start / block_bytes..range.end.div_ceil(block_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::Memory;

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "a list of ranges is meant")]
    fn differences_are_told_in_sectors_and_past_the_end_are_zeros() {
        let base = Memory::from(vec![0; 4096]);
        let mut bytes = vec![0; 8192];
        bytes[700] = 1;
        bytes[1030] = 1;
        bytes[6000] = 1;
        let image = Memory::from(bytes);
        assert_eq!(differing(&base, &image, &[0..8192]).unwrap(), [512..1536, 5632..6144]);
        assert_eq!(differing(&base, &image, &[600..1000]).unwrap(), [512..1024]);
        assert_eq!(differing(&base, &base, &[0..4096]).unwrap(), []);
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "a list of ranges is meant")]
    fn ranges_are_joined_and_taken_apart() {
        assert_eq!(union(&[0..5, 20..30], &[5..8, 25..40]), [0..8, 20..40]);
        assert_eq!(without(&[0..10, 20..30], &[2..4, 8..22]), [0..2, 4..8, 22..30]);
        assert_eq!(clipped(&[0..10, 20..30], &(5..25)), [5..10, 20..25]);
        assert!(meets(&[0..10, 20..30], &(9..12)) && !meets(&[0..10, 20..30], &(10..20)));
        assert_eq!(in_blocks(&[0..512, 1024..1536, 9000..9001], 1024, 8), [0..2]);
    }
}
