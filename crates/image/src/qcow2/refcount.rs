//! "Host cluster management": refcount blocks and the refcount table.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;

use crate::append::Appender;
use crate::error::{Error, Result};

/// Binary logarithm of the width in bits of the refcounts that are written.
pub(crate) const NEW_ORDER: u32 = 4;
/// The largest refcount table in bytes, as in QEMU.
pub(crate) const TABLE_MAX_BYTES: u64 = 8 << 20;

/// The places of the refcount structures of a new file: first the blocks, then the table, at the file's end.
pub(crate) struct RefcountPlaces {
    start: u64,
    blocks: u64,
    table_clusters: u64,
    cluster_bits: u32,
}

impl RefcountPlaces {
    /// The places after the first `data_end` bytes, which are whole clusters.
    pub(crate) fn new(data_end: u64, cluster_bits: u32) -> Result<Self> {
        let cluster_size = 1u64 << cluster_bits;
        let counts_a_block = (cluster_size * 8) >> NEW_ORDER;
        let (mut blocks, mut table_clusters) = (0, 0);
        // The blocks also have counts of themselves and of the table. Each turn adds at least one block.
        loop {
            let clusters = (data_end >> cluster_bits) + blocks + table_clusters;
            let needed = clusters.div_ceil(counts_a_block);
            if needed <= blocks {
                break;
            }
            blocks = needed;
            table_clusters = (blocks * 8).div_ceil(cluster_size);
        }
        if table_clusters << cluster_bits > TABLE_MAX_BYTES.max(cluster_size) {
            return Err(Error::unsupported(format!(
                "a qcow2 file of {data_end:#x} bytes in clusters of {cluster_size}"
            )));
        }
        Ok(Self { start: data_end, blocks, table_clusters, cluster_bits })
    }

    pub(crate) fn table_offset(&self) -> u64 {
        self.start + (self.blocks << self.cluster_bits)
    }

    /// Length of the table in clusters.
    pub(crate) fn table_clusters(&self) -> u32 {
        self.table_clusters as u32
    }

    pub(crate) fn file_size_bytes(&self) -> u64 {
        self.table_offset() + (self.table_clusters << self.cluster_bits)
    }
}

/// Writes the refcounts of all clusters of a new file, from the first to the last.
pub(crate) struct Writer<'a> {
    out: Appender<'a>,
    places: &'a RefcountPlaces,
    /// The clusters whose counts are appended.
    done: u64,
    /// The counts of the clusters from `done` on that streams touch.
    streams: VecDeque<u32>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(target: &'a File, places: &'a RefcountPlaces) -> Self {
        Self { out: Appender::new(target, places.start), places, done: 0, streams: VecDeque::new() }
    }

    /// The next `clusters` clusters are used once.
    pub(crate) fn add_ones(&mut self, clusters: u64) -> Result<()> {
        (0..clusters).try_for_each(|_| self.add(1))
    }

    /// A stream has the bytes `range`, which begin after the streams before it.
    pub(crate) fn add_stream(&mut self, range: Range<u64>) -> Result<()> {
        let first = range.start >> self.places.cluster_bits;
        let last = (range.end - 1) >> self.places.cluster_bits;
        self.add_streams_until(first)?;
        for cluster in first..=last {
            // A stream is at most two clusters long, so there are at most three turns.
            let at = (cluster - self.done) as usize;
            if at >= self.streams.len() {
                self.streams.resize(at + 1, 0);
            }
            self.streams[at] += 1;
        }
        Ok(())
    }

    /// No stream begins from the byte `end` on.
    pub(crate) fn end_streams(&mut self, end: u64) -> Result<()> {
        self.add_streams_until(end >> self.places.cluster_bits)
    }

    fn add_streams_until(&mut self, cluster: u64) -> Result<()> {
        while self.done < cluster {
            let count = self.streams.pop_front().unwrap_or(0);
            self.add(count)?;
        }
        Ok(())
    }

    fn add(&mut self, count: u32) -> Result<()> {
        let Ok(count) = u16::try_from(count) else {
            return Err(Error::unsupported(format!("a qcow2 cluster with {count} compressed clusters in it")));
        };
        self.done += 1;
        self.out.append(&count.to_be_bytes())
    }

    /// Ends the blocks and writes the table.
    pub(crate) fn finish(mut self) -> Result<()> {
        let places = self.places;
        self.out.pad_to(places.table_offset())?;
        for block in 0..places.blocks {
            self.out.append(&(places.start + (block << places.cluster_bits)).to_be_bytes())?;
        }
        self.out.pad_to(places.file_size_bytes())?;
        self.out.flush()
    }
}

/// The refcount number `at` of a block. Refcounts narrower than a byte start at its least significant bit.
pub(crate) fn refcount(block: &[u8], at: u64, order: u32) -> u64 {
    let at = at as usize;
    if order < 3 {
        let in_byte = 8 >> order;
        let shift = (at % in_byte) << order;
        return u64::from(block[at / in_byte] >> shift) & ((1 << (1 << order)) - 1);
    }
    let width = 1 << (order - 3);
    block[at * width..][..width].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Sets the refcount number `at` of a block, which is still zero, to `count`, which fits its width.
pub(crate) fn set_refcount(block: &mut [u8], at: u64, order: u32, count: u64) {
    let at = at as usize;
    if order < 3 {
        let in_byte = 8 >> order;
        block[at / in_byte] |= (count << ((at % in_byte) << order)) as u8;
        return;
    }
    let width = 1 << (order - 3);
    block[at * width..][..width].copy_from_slice(&count.to_be_bytes()[8 - width..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refcounts_of_every_width_are_read() {
        let block = [0b1101_0010, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0];
        assert_eq!((0..8).map(|at| refcount(&block, at, 0)).collect::<Vec<_>>(), [0, 1, 0, 0, 1, 0, 1, 1]);
        assert_eq!((0..4).map(|at| refcount(&block, at, 1)).collect::<Vec<_>>(), [2, 0, 1, 3]);
        assert_eq!([refcount(&block, 0, 2), refcount(&block, 1, 2)], [2, 13]);
        assert_eq!(refcount(&block, 1, 3), 0x34);
        assert_eq!(refcount(&block, 1, 4), 0x5678);
        assert_eq!(refcount(&block, 1, 5), 0x9abc_def0);
        assert_eq!(refcount(&block, 0, 6), 0xd234_5678_9abc_def0);
    }

    #[test]
    fn refcounts_of_every_width_are_written() {
        for order in 0..=6 {
            let mut block = [0; 64];
            let counts = 512 >> order;
            let count = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - (1 << order));
            (0..counts).for_each(|at| set_refcount(&mut block, at, order, count(at)));
            (0..counts).for_each(|at| assert_eq!(refcount(&block, at, order), count(at), "{order} {at}"));
        }
    }
}
