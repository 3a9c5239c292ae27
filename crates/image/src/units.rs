//! The parts of a disk that are not known to be zeros.

use std::ops::Range;

use storage::{ExtentKind, ReadAt};

use crate::error::Result;

/// The units of `unit_bytes` bytes of a disk that are not known to be zeros, in batches, in order.
///
/// How much is known depends on where the disk comes from, and a unit that is listed may still be all zeros. A caller
/// whose output must not depend on that looks at the bytes.
#[derive(Clone)]
pub(crate) struct DataUnits<'a> {
    disk: &'a dyn ReadAt,
    unit_bytes: u64,
    /// The most units in a batch.
    batch_units: u64,
    next_unit: u64,
    /// The units up to here are not known to be zeros.
    data_end: u64,
}

impl<'a> DataUnits<'a> {
    /// The units of `disk`, as many at a time as there are in `batch_bytes` bytes.
    pub(crate) fn new(disk: &'a dyn ReadAt, unit_bytes: u64, batch_bytes: u64) -> Self {
        Self { disk, unit_bytes, batch_units: (batch_bytes / unit_bytes).max(1), next_unit: 0, data_end: 0 }
    }

    /// Finds the next units that are not known to be zeros; `false` at the disk's end.
    fn find(&mut self) -> Result<bool> {
        let size_bytes = self.disk.size_bytes();
        // Each step goes on by one unit at least.
        loop {
            let offset = self.next_unit * self.unit_bytes;
            if offset >= size_bytes {
                return Ok(false);
            }
            let extent = self.disk.extent_at(offset)?;
            let end = offset + extent.length_bytes;
            let whole = end / self.unit_bytes;
            if extent.kind == ExtentKind::Data {
                self.data_end = end.div_ceil(self.unit_bytes);
                return Ok(true);
            }
            if end >= size_bytes {
                self.next_unit = end.div_ceil(self.unit_bytes);
            } else if whole > self.next_unit {
                self.next_unit = whole;
            } else {
                self.data_end = self.next_unit + 1;
                return Ok(true);
            }
        }
    }
}

impl Iterator for DataUnits<'_> {
    type Item = Result<Range<u64>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next_unit >= self.data_end {
            match self.find() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        let first = self.next_unit;
        self.next_unit = (first + self.batch_units).min(self.data_end);
        Some(Ok(first..self.next_unit))
    }
}

/// The bytes of `units`, the last of them padded with zeros where the disk ends inside it.
pub(crate) fn read_units(disk: &dyn ReadAt, unit_bytes: u64, units: Range<u64>) -> Result<Vec<u8>> {
    let start = units.start * unit_bytes;
    let mut bytes = vec![0; ((units.end - units.start) * unit_bytes) as usize];
    let there = disk.size_bytes().saturating_sub(start).min(bytes.len() as u64);
    disk.read_at(start, &mut bytes[..there as usize])?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::{Extent, Memory, check_range};

    /// A disk whose bytes are known to be zeros but for those in some ranges.
    struct Sparse(u64, Vec<Range<u64>>);

    impl ReadAt for Sparse {
        fn size_bytes(&self) -> u64 {
            self.0
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> storage::Result<()> {
            check_range(storage::Operation::Read, offset, buffer.len() as u64, self.0)
        }
        fn extent_at(&self, offset: u64) -> storage::Result<Extent> {
            let data = self.1.iter().find(|range| range.contains(&offset));
            let next = self.1.iter().map(|range| range.start).find(|&start| start > offset).unwrap_or(self.0);
            let (kind, end) = data.map_or((ExtentKind::Zero, next), |range| (ExtentKind::Data, range.end));
            Ok(Extent { kind, length_bytes: end - offset })
        }
    }

    fn units(disk: &dyn ReadAt) -> Vec<Range<u64>> {
        DataUnits::new(disk, 100, 300).map(|units| units.unwrap()).collect()
    }

    #[test]
    fn units_with_a_byte_that_may_not_be_zero_come_once() {
        assert_eq!(units(&Sparse(1000, vec![])), Vec::<Range<u64>>::new());
        assert_eq!(units(&Sparse(950, vec![130..140, 150..160, 560..810, 949..950])), vec![1..2, 5..6, 6..9, 9..10]);
        assert_eq!(units(&Sparse(950, vec![0..100, 200..301])), vec![0..1, 2..4]);
        assert_eq!(units(&Memory::from(vec![0; 450])), vec![0..3, 3..5]);
        assert_eq!(units(&Memory::from(vec![])), Vec::<Range<u64>>::new());
    }

    #[test]
    fn the_last_unit_is_padded() {
        let bytes = read_units(&Memory::from(vec![7; 150]), 100, 1..2).unwrap();
        assert!(bytes[..50] == [7; 50] && bytes[50..] == [0; 50]);
    }
}
