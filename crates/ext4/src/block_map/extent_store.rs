//! Extent trees written: from a list of extents to the inode and as few blocks as hold them.

#[cfg(test)]
use zerocopy::FromBytes;
use zerocopy::IntoBytes;

use storage::{ReadAt, WriteAt};

use crate::block_map::extent::Extent;
use crate::checksum::crc32c;
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::Inode;
use crate::layout::extent::{
    EXT_INIT_MAX_LEN, EXT4_EXT_MAGIC, RECORD_BYTES, RawExtent, RawExtentHeader, RawExtentIndex,
};

/// Records that the inode itself holds.
const ROOT_RECORDS: usize = 4;
/// Most blocks in a record of written content.
const WRITTEN_MAX_BLOCKS: u32 = EXT_INIT_MAX_LEN as u32;
/// Most blocks in a record of unwritten content.
const UNWRITTEN_MAX_BLOCKS: u32 = WRITTEN_MAX_BLOCKS - 1;

/// A record of a node: where it begins, and its bytes.
type Record = (u32, [u8; RECORD_BYTES]);

/// The most blocks that one record of the extent's kind can have.
fn max_blocks(extent: &Extent) -> u32 {
    if extent.unwritten { UNWRITTEN_MAX_BLOCKS } else { WRITTEN_MAX_BLOCKS }
}

/// The records for an extent: more than one where it is longer than one can say.
fn extent_records(extent: &Extent) -> impl Iterator<Item = Record> {
    let extent = *extent;
    (0..extent.blocks).step_by(max_blocks(&extent) as usize).map(move |skipped| {
        let blocks = (extent.blocks - skipped).min(max_blocks(&extent));
        let physical = extent.physical + u64::from(skipped);
        let logical = extent.logical + skipped;
        let raw = RawExtent {
            ee_block: logical.into(),
            ee_len: (blocks as u16 + if extent.unwritten { EXT_INIT_MAX_LEN } else { 0 }).into(),
            ee_start_hi: ((physical >> 32) as u16).into(),
            ee_start_lo: (physical as u32).into(),
        };
        (logical, copied(raw.as_bytes()))
    })
}

fn index_record(first: u32, node: u64) -> Record {
    let raw = RawExtentIndex {
        ei_block: first.into(),
        ei_leaf_lo: (node as u32).into(),
        ei_leaf_hi: ((node >> 32) as u16).into(),
        ei_unused: 0.into(),
    };
    (first, copied(raw.as_bytes()))
}

fn copied(bytes: &[u8]) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record.copy_from_slice(bytes);
    record
}

/// A node's bytes, `size` of them.
fn node_bytes(records: &[Record], max: usize, depth: u16, size: usize) -> Vec<u8> {
    let header = RawExtentHeader {
        eh_magic: EXT4_EXT_MAGIC.into(),
        eh_entries: (records.len() as u16).into(),
        eh_max: (max as u16).into(),
        eh_depth: depth.into(),
        eh_generation: 0.into(),
    };
    let mut bytes = header.as_bytes().to_vec();
    records.iter().for_each(|(_, record)| bytes.extend_from_slice(record));
    bytes.resize(size, 0);
    bytes
}

impl<S: ReadAt> FileSystem<S> {
    fn records_per_block(&self) -> usize {
        (self.block_size() as usize - RECORD_BYTES) / RECORD_BYTES
    }

    /// Blocks that a tree of `extents` takes apart from the inode.
    pub(crate) fn extent_tree_blocks(&self, extents: &[Extent]) -> u64 {
        let records = extents.iter().map(|extent| extent.blocks.div_ceil(max_blocks(extent)) as usize).sum();
        let (mut records, mut blocks): (usize, u64) = (records, 0);
        while records > ROOT_RECORDS {
            records = records.div_ceil(self.records_per_block());
            blocks += records as u64;
        }
        blocks
    }
}

impl<S: WriteAt> FileSystem<S> {
    /// Writes `extents`, which are in order, as the inode's tree, its nodes into `blocks`: as many as
    /// [`extent_tree_blocks`](Self::extent_tree_blocks) says.
    pub(crate) fn store_extent_tree(&mut self, inode: &mut Inode, extents: &[Extent], blocks: Vec<u64>) -> Result<()> {
        let mut free = blocks.into_iter();
        let mut records: Vec<Record> = extents.iter().flat_map(extent_records).collect();
        let mut depth = 0;
        let (size, max) = (self.block_size() as usize, self.records_per_block());
        while records.len() > ROOT_RECORDS {
            let mut above = Vec::with_capacity(records.len().div_ceil(max));
            for chunk in records.chunks(max) {
                let Some(block) = free.next() else {
                    return Err(Error::corrupt(Object::Inode(inode.number()), "extent tree larger than computed"));
                };
                self.write_extent_block(inode, block, &mut node_bytes(chunk, max, depth, size))?;
                above.push(index_record(chunk[0].0, block));
            }
            records = above;
            depth += 1;
        }
        let root = node_bytes(&records, ROOT_RECORDS, depth, inode.raw.i_block.len());
        inode.raw.i_block.copy_from_slice(&root);
        Ok(())
    }

    /// Writes a node with a new checksum.
    fn write_extent_block(&self, inode: &Inode, block: u64, bytes: &mut [u8]) -> Result<()> {
        if self.superblock.has_metadata_checksums() {
            // The tail follows the last record that there is room for.
            let tail = RECORD_BYTES * (usize::from(u16::from_le_bytes([bytes[4], bytes[5]])) + 1);
            let checksum = crc32c(inode.checksum_seed(&self.superblock), &bytes[..tail]);
            bytes[tail..tail + 4].copy_from_slice(&checksum.to_le_bytes());
        }
        self.write_block(block, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extent_longer_than_a_record_can_say_is_several() {
        let extent = Extent { logical: 5, physical: 100, blocks: 70_000, unwritten: false };
        let shape = |extent: &Extent| -> Vec<_> {
            let raw = |bytes: &[u8; RECORD_BYTES]| RawExtent::read_from_bytes(bytes).unwrap();
            extent_records(extent)
                .map(|(_, bytes)| raw(&bytes))
                .map(|raw| (raw.ee_block.get(), raw.ee_start_lo.get(), raw.ee_len.get()))
                .collect()
        };
        assert_eq!(shape(&extent), [(5, 100, 32768), (32773, 32868, 32768), (65541, 65636, 4464)]);
        // 32,768 blocks in a record of unwritten content would be read as 0.
        let unwritten = Extent { blocks: 32_768, unwritten: true, ..extent };
        assert_eq!(shape(&unwritten), [(5, 100, 65535), (32772, 32867, 32769)]);
    }
}
