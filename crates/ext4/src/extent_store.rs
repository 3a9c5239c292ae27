//! Extent trees written: from a list of extents to the inode and as few blocks as hold them.

use zerocopy::IntoBytes;

use storage::WriteAt;

use crate::allocate::BlockRun;
use crate::checksum::crc32c;
use crate::error::{Error, Object, Result};
use crate::extent::{Extent, Mapped};
use crate::filesystem::FileSystem;
use crate::inode::Inode;
use crate::layout::extent::{
    EXT_INIT_MAX_LEN, EXT4_EXT_MAGIC, RECORD_BYTES, RawExtent, RawExtentHeader, RawExtentIndex,
};
use crate::layout::inode::EXT4_EXTENTS_FL;

/// Records that the inode itself holds.
const ROOT_RECORDS: usize = 4;
/// Most blocks in an unwritten extent.
const UNWRITTEN_MAX_LEN: u64 = EXT_INIT_MAX_LEN as u64 - 1;

/// A record of a node: where it begins, and its bytes.
type Record = (u32, [u8; RECORD_BYTES]);

/// The extents of a file whose content lies in `runs`, from its first block on.
pub(crate) fn extents_of_runs(runs: &[BlockRun]) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    let mut logical = 0;
    for run in runs {
        append_run(&mut extents, logical, *run);
        logical += run.blocks as u32;
    }
    extents
}

/// Appends a run of content, merged into the last extent where it goes on there.
pub(crate) fn append_run(extents: &mut Vec<Extent>, logical: u32, run: BlockRun) {
    let mut left = run;
    let mut at = logical;
    if let Some(last) = extents.last_mut()
        && !last.unwritten
        && last.physical + u64::from(last.blocks) == run.first
        && u64::from(last.logical) + u64::from(last.blocks) == u64::from(logical)
    {
        let more = (u64::from(EXT_INIT_MAX_LEN) - u64::from(last.blocks)).min(run.blocks);
        last.blocks += more as u32;
        at += more as u32;
        left = BlockRun { first: run.first + more, blocks: run.blocks - more };
    }
    while left.blocks > 0 {
        let blocks = left.blocks.min(u64::from(EXT_INIT_MAX_LEN));
        extents.push(Extent { logical: at, physical: left.first, blocks: blocks as u32, unwritten: false });
        at += blocks as u32;
        left = BlockRun { first: left.first + blocks, blocks: left.blocks - blocks };
    }
}

fn extent_record(extent: &Extent) -> Record {
    debug_assert!(!extent.unwritten || u64::from(extent.blocks) <= UNWRITTEN_MAX_LEN, "split by the caller");
    let length = extent.blocks as u16 + if extent.unwritten { EXT_INIT_MAX_LEN } else { 0 };
    let raw = RawExtent {
        ee_block: extent.logical.into(),
        ee_len: length.into(),
        ee_start_hi: ((extent.physical >> 32) as u16).into(),
        ee_start_lo: (extent.physical as u32).into(),
    };
    (extent.logical, copied(raw.as_bytes()))
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

impl<S: WriteAt> FileSystem<S> {
    fn records_per_block(&self) -> usize {
        (self.block_size() as usize - RECORD_BYTES) / RECORD_BYTES
    }

    /// Blocks that a tree of `extents` extents takes besides the inode.
    pub(crate) fn extent_tree_blocks(&self, extents: usize) -> u64 {
        let (mut records, mut blocks) = (extents, 0);
        while records > ROOT_RECORDS {
            records = records.div_ceil(self.records_per_block());
            blocks += records as u64;
        }
        blocks
    }

    /// All extents of a file and the blocks of its tree.
    pub(crate) fn read_extents(&self, inode: &Inode) -> Result<(Vec<Extent>, Vec<u64>)> {
        if !inode.has_flag(EXT4_EXTENTS_FL) {
            return Err(Error::unsupported(Object::Inode(inode.number()), "growing a file with indirect blocks"));
        }
        let (mut extents, mut blocks) = (Vec::new(), Vec::new());
        self.walk_extents(inode, &mut |part| {
            match part {
                Mapped::MapBlock(block) => blocks.push(block),
                Mapped::Content(extent) => extents.push(extent),
            }
            Ok(())
        })?;
        Ok((extents, blocks))
    }

    /// Writes `extents`, which are in order, as the inode's tree. Blocks of the tree come from
    /// `reusable` first; the ones of it that are not needed are freed. The inode itself is changed
    /// in memory only, its block count included.
    pub(crate) fn store_extents(&mut self, inode: &mut Inode, extents: &[Extent], reusable: Vec<u64>) -> Result<()> {
        let goal = extents.first().map_or(0, |extent| extent.physical);
        let needed = self.extent_tree_blocks(extents.len());
        let missing = needed.saturating_sub(reusable.len() as u64);
        let mut blocks = reusable;
        if missing > 0 {
            for run in self.allocate_blocks(goal, missing)? {
                blocks.extend(run.first..run.first + run.blocks);
            }
        }
        for surplus in blocks.split_off(needed as usize) {
            self.free_blocks(BlockRun { first: surplus, blocks: 1 })?;
        }
        let mut free = blocks.into_iter();

        let mut records: Vec<Record> = extents.iter().map(extent_record).collect();
        let mut depth = 0;
        let (size, max) = (self.block_size() as usize, self.records_per_block());
        while records.len() > ROOT_RECORDS {
            let mut above = Vec::with_capacity(records.len().div_ceil(max));
            for chunk in records.chunks(max) {
                let Some(block) = free.next() else {
                    return Err(Error::corrupt(Object::Inode(inode.number()), "extent tree larger than computed"));
                };
                let mut bytes = node_bytes(chunk, max, depth, size);
                if self.superblock.has_metadata_checksums() {
                    let tail = RECORD_BYTES * (max + 1);
                    let checksum = crc32c(inode.checksum_seed(&self.superblock), &bytes[..tail]);
                    bytes[tail..tail + 4].copy_from_slice(&checksum.to_le_bytes());
                }
                self.write_block(block, &bytes)?;
                above.push(index_record(chunk[0].0, block));
            }
            records = above;
            depth += 1;
        }
        let root = node_bytes(&records, ROOT_RECORDS, depth, inode.raw.i_block.len());
        inode.raw.i_block.copy_from_slice(&root);
        inode.set_flag(EXT4_EXTENTS_FL);
        let content: u64 = extents.iter().map(|extent| u64::from(extent.blocks)).sum();
        inode.set_used_blocks(content + needed + u64::from(inode.xattr_block().is_some()), &self.superblock);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_touch_become_one_extent_up_to_its_limit() {
        let runs = [
            BlockRun { first: 100, blocks: 10 },
            BlockRun { first: 110, blocks: 40_000 },
            BlockRun { first: 9, blocks: 1 },
        ];
        let extents = extents_of_runs(&runs);
        let shape: Vec<_> = extents.iter().map(|extent| (extent.logical, extent.physical, extent.blocks)).collect();
        assert_eq!(shape, [(0, 100, 32768), (32768, 32868, 7242), (40_010, 9, 1)]);
    }
}
