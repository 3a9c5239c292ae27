//! The B+trees of an allocation group, as they are edited: a list of leaves, each with its records.
//!
//! A tree is read whole, and its leaves are changed in memory, split and joined as they fill and empty. The levels
//! above them hold nothing of their own, so they are made anew when the tree is stored. Blocks that come out the same
//! are not written.
//!
//! Worked example: a group of 4 KiB blocks with 1,200 free extents. A record has 8 bytes and a block a header of 56,
//! so a leaf takes 505 records, and three leaves take them all. Above them is one node with three keys of 8 bytes,
//! and three pointers of 4. The tree has four blocks and `agf_bno_level` is 2.

mod record;

pub(crate) use record::{
    Chunk, Free, FreeBySize, Owned, Record, Shared, XFS_RMAP_OFF_ATTR_FORK, XFS_RMAP_OFF_BMBT_BLOCK,
    XFS_RMAP_OFF_UNWRITTEN,
};

use std::collections::BTreeSet;

use crate::error::{Error, Object, Result};
use crate::layout::group::NULL32;
use crate::layout::tree::{RawShort, SHORT_BYTES, SHORT_CRC_AT};
use crate::layout::{be32, has_checksum, header, header_mut, set_checksum};

/// The most levels a tree of a group can have: the smallest blocks and the largest group need fewer.
const MAX_LEVELS: u32 = 16;

/// What all blocks of a tree have in common.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) group: u32,
    /// Number of blocks in the group.
    pub(crate) blocks: u32,
    pub(crate) block_bytes: usize,
    pub(crate) uuid: [u8; 16],
    /// The first block of the group in sectors of 512 bytes, which `bb_blkno` counts.
    pub(crate) first_sector: u64,
}

struct Leaf<R> {
    block: Option<u32>,
    records: Vec<R>,
}

/// A tree of a group.
pub(crate) struct Tree<R> {
    magic: u32,
    place: Place,
    leaves: Vec<Leaf<R>>,
    /// The blocks above the leaves, in no order that matters.
    nodes: Vec<u32>,
    pub(crate) changed: bool,
}

impl<R: Record> Tree<R> {
    /// A tree without records, whose only block is `root`.
    pub(crate) fn empty(magic: u32, place: Place, root: u32) -> Self {
        let leaves = vec![Leaf { block: Some(root), records: Vec::new() }];
        Self { magic, place, leaves, nodes: Vec::new(), changed: true }
    }

    /// Reads the tree whose root is `root`. `read` gives a block of the group.
    pub(crate) fn read(
        magic: u32,
        place: Place,
        root: u32,
        levels: u32,
        read: &dyn Fn(u32) -> Result<Vec<u8>>,
    ) -> Result<Self> {
        let corrupt =
            |block, problem: String| Err(Error::corrupt(Object::GroupBlock { group: place.group, block }, problem));
        if !(1..=MAX_LEVELS).contains(&levels) {
            return corrupt(root, format!("a tree of {levels} levels"));
        }
        let mut tree = Self { magic, place, leaves: Vec::new(), nodes: Vec::new(), changed: false };
        let (mut level_blocks, mut seen) = (vec![root], BTreeSet::new());
        for level in (0..levels).rev() {
            let mut below = Vec::new();
            for &block in &level_blocks {
                // A tree whose blocks are shared would be read without end.
                if block >= place.blocks || !seen.insert(block) {
                    return corrupt(
                        block,
                        format!("the tree {magic:#x} has this block twice, or it is past the group"),
                    );
                }
                let bytes = read(block)?;
                let raw: &RawShort = header(&bytes);
                let count = usize::from(raw.bb_numrecs.get());
                let most = if level == 0 { tree.leaf_room() } else { tree.node_room() };
                if raw.bb_magic.get() != magic || !has_checksum(&bytes, SHORT_CRC_AT) {
                    return corrupt(block, format!("no block of the tree {magic:#x}, or a wrong bb_crc"));
                }
                if u32::from(raw.bb_level.get()) != level || count > most || (count == 0 && levels > 1) {
                    return corrupt(block, format!("bb_level={} bb_numrecs={count}", raw.bb_level.get()));
                }
                if level == 0 {
                    let record = |index: usize| R::read(&bytes[SHORT_BYTES + index * R::BYTES..][..R::BYTES]);
                    tree.leaves.push(Leaf { block: Some(block), records: (0..count).map(record).collect() });
                } else {
                    let pointers = SHORT_BYTES + most * R::node_key_bytes();
                    below.extend((0..count).map(|index| be32(&bytes, pointers + index * 4)));
                    tree.nodes.push(block);
                }
            }
            level_blocks = below;
        }
        let mut records = tree.iter();
        let mut before = records.next();
        for record in records {
            if before.is_some_and(|before| before.key() >= record.key()) {
                return corrupt(root, format!("the records of the tree {magic:#x} are out of order"));
            }
            before = Some(record);
        }
        Ok(tree)
    }

    /// How many records a leaf takes.
    fn leaf_room(&self) -> usize {
        (self.place.block_bytes - SHORT_BYTES) / R::BYTES
    }

    /// How many keys and pointers a node takes.
    fn node_room(&self) -> usize {
        (self.place.block_bytes - SHORT_BYTES) / (R::node_key_bytes() + 4)
    }

    /// The records in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &R> {
        self.leaves.iter().flat_map(|leaf| &leaf.records)
    }

    /// The last record.
    pub(crate) fn last(&self) -> Option<&R> {
        self.leaves.last().and_then(|leaf| leaf.records.last())
    }

    /// The leaf that has or would have the key.
    fn leaf_of(&self, key: R::Key) -> usize {
        let after = self.leaves.partition_point(|leaf| leaf.records.first().is_some_and(|first| first.key() <= key));
        after.saturating_sub(1)
    }

    /// The last record whose key is at most `key`.
    pub(crate) fn at_or_before(&self, key: R::Key) -> Option<&R> {
        let leaf = self.leaves.get(self.leaf_of(key))?;
        let after = leaf.records.partition_point(|record| record.key() <= key);
        leaf.records.get(after.checked_sub(1)?)
    }

    /// The records from `key` on.
    pub(crate) fn from(&self, key: R::Key) -> impl Iterator<Item = &R> {
        let leaf = self.leaf_of(key);
        let skip = self.leaves.get(leaf).map_or(0, |leaf| leaf.records.partition_point(|record| record.key() < key));
        self.leaves[leaf..].iter().flat_map(|leaf| &leaf.records).skip(skip)
    }

    /// Adds a record. There must be none with its key.
    pub(crate) fn insert(&mut self, record: R) {
        self.changed = true;
        let (room, at) = (self.leaf_room(), self.leaf_of(record.key()));
        let leaf = &mut self.leaves[at];
        let index = leaf.records.partition_point(|other| other.key() < record.key());
        leaf.records.insert(index, record);
        if leaf.records.len() > room {
            let records = leaf.records.split_off(room / 2);
            self.leaves.insert(at + 1, Leaf { block: None, records });
        }
    }

    /// Takes the record with this key out; says whether it was there. The blocks that are not needed any more go to
    /// `released`.
    pub(crate) fn remove(&mut self, key: R::Key, released: &mut Vec<u32>) -> bool {
        let at = self.leaf_of(key);
        let room = self.leaf_room();
        let Some(leaf) = self.leaves.get_mut(at) else { return false };
        let Ok(index) = leaf.records.binary_search_by(|record| record.key().cmp(&key)) else { return false };
        leaf.records.remove(index);
        self.changed = true;
        // Every leaf but an only one is at least half full.
        if leaf.records.len() < room / 2 && self.leaves.len() > 1 {
            let first = at.min(self.leaves.len() - 2);
            let right = self.leaves.remove(first + 1);
            let left = &mut self.leaves[first];
            left.records.extend(right.records);
            if left.records.len() > room {
                let records = left.records.split_off(left.records.len() / 2);
                self.leaves.insert(first + 1, Leaf { block: right.block, records });
            } else {
                released.extend(right.block);
            }
        }
        true
    }

    /// How many nodes there are on each level above `children` blocks, from below.
    fn levels_above(&self, mut children: usize) -> Vec<usize> {
        let mut levels = Vec::new();
        while children > 1 {
            children = children.div_ceil(self.node_room());
            levels.push(children);
        }
        levels
    }

    /// How many blocks the tree lacks; those that it has too many of go to `released`.
    pub(crate) fn balance(&mut self, released: &mut Vec<u32>) -> usize {
        let nodes: usize = self.levels_above(self.leaves.len()).iter().sum();
        while self.nodes.len() > nodes {
            released.extend(self.nodes.pop());
        }
        self.leaves.iter().filter(|leaf| leaf.block.is_none()).count() + nodes - self.nodes.len()
    }

    /// Gives the tree a block that it lacks.
    fn take(&mut self, block: u32) {
        match self.leaves.iter_mut().find(|leaf| leaf.block.is_none()) {
            Some(leaf) => leaf.block = Some(block),
            None => self.nodes.push(block),
        }
    }

    /// The same, if it lacks one.
    pub(crate) fn take_if_lacking(&mut self, block: u32, released: &mut Vec<u32>) -> bool {
        let lacks = self.balance(released) > 0;
        if lacks {
            self.take(block);
        }
        lacks
    }

    pub(crate) fn block_bytes(&self) -> u32 {
        self.place.block_bytes as u32
    }

    /// The blocks that it has.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = u32> {
        self.leaves.iter().filter_map(|leaf| leaf.block).chain(self.nodes.iter().copied())
    }

    /// How many blocks it has.
    pub(crate) fn block_count(&self) -> u32 {
        (self.leaves.len() + self.nodes.len()) as u32
    }

    /// Writes the tree through `write`, and returns its root and the number of its levels. It has to have all its
    /// blocks.
    pub(crate) fn store(&self, write: &mut dyn FnMut(u32, Vec<u8>) -> Result<()>) -> Result<(u32, u32)> {
        let mut level: Vec<(u32, R::Key, R::Key)> = Vec::new();
        let blocks: Vec<u32> = self.leaves.iter().filter_map(|leaf| leaf.block).collect();
        for (index, leaf) in self.leaves.iter().enumerate() {
            let mut bytes = self.start(&blocks, index, 0, leaf.records.len());
            for (index, record) in leaf.records.iter().enumerate() {
                record.write(&mut bytes[SHORT_BYTES + index * R::BYTES..][..R::BYTES]);
            }
            if let (Some(first), Some(high)) = (leaf.records.first(), leaf.records.iter().map(Record::high_key).max()) {
                level.push((blocks[index], first.key(), high));
            }
            set_checksum(&mut bytes, SHORT_CRC_AT);
            write(blocks[index], bytes)?;
        }
        let mut unused = self.nodes.iter().copied();
        let mut levels = 1;
        let room = self.node_room();
        for count in self.levels_above(self.leaves.len()) {
            let blocks: Vec<u32> = unused.by_ref().take(count).collect();
            let mut above = Vec::new();
            let mut rest = &level[..];
            for (index, &block) in blocks.iter().enumerate() {
                // As evenly as can be, so that none is less than half full.
                let (children, later) = rest.split_at(rest.len().div_ceil(count - index));
                rest = later;
                let mut bytes = self.start(&blocks, index, levels, children.len());
                let key_bytes = R::node_key_bytes();
                for (index, (child, low, high)) in children.iter().enumerate() {
                    let at = SHORT_BYTES + index * key_bytes;
                    R::write_key(*low, &mut bytes[at..][..R::KEY_BYTES]);
                    if R::HAS_HIGH_KEYS {
                        R::write_key(*high, &mut bytes[at + R::KEY_BYTES..][..R::KEY_BYTES]);
                    }
                    let at = SHORT_BYTES + room * key_bytes + index * 4;
                    bytes[at..at + 4].copy_from_slice(&child.to_be_bytes());
                }
                set_checksum(&mut bytes, SHORT_CRC_AT);
                write(block, bytes)?;
                if let (Some(first), Some(high)) = (children.first(), children.iter().map(|child| child.2).max()) {
                    above.push((block, first.1, high));
                }
            }
            level = above;
            levels += 1;
        }
        let root = level.first().map(|(block, ..)| *block).or(blocks.first().copied()).unwrap_or(NULL32);
        Ok((root, levels))
    }

    /// A block with its header, the `index`-th of `blocks`, which are those of a level.
    fn start(&self, blocks: &[u32], index: usize, level: u32, count: usize) -> Vec<u8> {
        let sibling = |index: Option<usize>| index.and_then(|index| blocks.get(index)).copied().unwrap_or(NULL32);
        let mut bytes = vec![0; self.place.block_bytes];
        let raw: &mut RawShort = header_mut(&mut bytes);
        raw.bb_magic.set(self.magic);
        raw.bb_level.set(level as u16);
        raw.bb_numrecs.set(count as u16);
        raw.bb_leftsib.set(sibling(index.checked_sub(1)));
        raw.bb_rightsib.set(sibling(Some(index + 1)));
        raw.bb_blkno.set(self.place.first_sector + u64::from(blocks[index]) * (self.place.block_bytes as u64 / 512));
        raw.bb_uuid = self.place.uuid;
        raw.bb_owner.set(self.place.group);
        bytes
    }
}
