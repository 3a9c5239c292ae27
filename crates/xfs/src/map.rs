//! Block maps: which blocks have the content of a file, a directory or the attributes of either.
//!
//! A map is one list of extents: read whole, changed, and stored whole, in the inode if it fits there or else in a
//! tree.
//!
//! Worked example: an inode of 512 bytes has 336 for its two forks. Without attributes, 21 extents of 16 bytes fit in
//! it. With 100, the inode has a root with one pointer, to a leaf that has them all: a block of 4 KiB takes 251.

use std::collections::BTreeSet;
use std::ops::Range;

use storage::WriteAt;

use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::{Fork, Inode};
use crate::layout::inode::{XFS_DINODE_FMT_BTREE, XFS_DINODE_FMT_EXTENTS};
use crate::layout::tree::{LONG_BYTES, LONG_CRC_AT, RawLong, XFS_BMAP_CRC_MAGIC};
use crate::layout::{be16, be64, has_checksum, header, header_mut, set_checksum};
use crate::tree::{XFS_RMAP_OFF_ATTR_FORK, XFS_RMAP_OFF_BMBT_BLOCK, XFS_RMAP_OFF_UNWRITTEN};

/// Length in bytes of an extent on the disk.
const EXTENT_BYTES: usize = 16;
/// The most blocks that one can have: its field has 21 bits.
const MAX_EXTENT_BLOCKS: u64 = (1 << 21) - 1;
/// Blocks of a file are numbered with 54 bits.
const MAX_OFFSET: u64 = 1 << 54;
/// The most levels of a tree.
const MAX_LEVELS: u16 = 9;
/// In front of the keys of a root in an inode: its level and how many there are.
const ROOT_BYTES: usize = 4;
/// The most extents that a file may have which is read: more do not fit into memory.
const MAX_EXTENTS: usize = 1 << 21;

/// Blocks of a file that follow each other in it and on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The first one's number in the file.
    pub(crate) offset: u64,
    /// The block.
    pub(crate) start: u64,
    pub(crate) blocks: u64,
    /// Whether it reads as zeros.
    pub(crate) is_unwritten: bool,
}

impl Extent {
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.blocks
    }

    fn read(bytes: &[u8]) -> Self {
        let (high, low) = (be64(bytes, 0), be64(bytes, 8));
        Self {
            offset: high >> 9 & (MAX_OFFSET - 1),
            start: (high & 0x1ff) << 43 | low >> 21,
            blocks: low & MAX_EXTENT_BLOCKS,
            is_unwritten: high >> 63 == 1,
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let high = u64::from(self.is_unwritten) << 63 | self.offset << 9 | self.start >> 43;
        bytes.extend(high.to_be_bytes());
        bytes.extend((self.start << 21 | self.blocks).to_be_bytes());
    }

    /// The part of it that is in a range of the file.
    fn part(&self, range: &Range<u64>) -> Option<Self> {
        let (from, to) = (self.offset.max(range.start), self.end().min(range.end));
        (from < to).then(|| Self { offset: from, start: self.start + (from - self.offset), blocks: to - from, ..*self })
    }

    /// What it says in the tree of owners.
    fn owned_offset(&self, fork: Fork) -> u64 {
        let unwritten = if self.is_unwritten { XFS_RMAP_OFF_UNWRITTEN } else { 0 };
        self.offset | unwritten | fork_flag(fork)
    }
}

fn fork_flag(fork: Fork) -> u64 {
    if fork == Fork::Attributes { XFS_RMAP_OFF_ATTR_FORK } else { 0 }
}

/// A block map.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    /// In order, without overlaps.
    pub(crate) extents: Vec<Extent>,
    /// The blocks of the tree that stores them.
    pub(crate) tree: Vec<u64>,
    /// How many blocks of `di_nblocks` it is.
    counted: u64,
}

impl Map {
    /// The block that has block `offset` of the file, if it has one.
    pub(crate) fn block(&self, offset: u64) -> Option<u64> {
        let extent = self.extents.get(self.extents.partition_point(|extent| extent.end() <= offset))?;
        (extent.offset <= offset).then(|| extent.start + (offset - extent.offset))
    }

    /// The parts of a range that have no blocks.
    pub(crate) fn holes(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let (mut holes, mut at) = (Vec::new(), range.start);
        for part in self.extents.iter().filter_map(|extent| extent.part(&range)) {
            if at < part.offset {
                holes.push(at..part.offset);
            }
            at = part.end();
        }
        if at < range.end {
            holes.push(at..range.end);
        }
        holes
    }

    /// The parts of extents that are in a range.
    pub(crate) fn parts(&self, range: &Range<u64>) -> Vec<Extent> {
        let from = self.extents.partition_point(|extent| extent.end() <= range.start);
        let inside = self.extents[from..].iter().take_while(|extent| extent.offset < range.end);
        inside.filter_map(|extent| extent.part(range)).collect()
    }

    fn blocks(&self) -> u64 {
        self.extents.iter().map(|extent| extent.blocks).sum::<u64>() + self.tree.len() as u64
    }

    /// Adds an extent where there is a hole, and joins it with its neighbours.
    fn insert(&mut self, mut new: Extent) {
        let mut at = self.extents.partition_point(|extent| extent.offset < new.offset);
        let joins = |left: &Extent, right: &Extent| {
            left.end() == right.offset
                && left.start + left.blocks == right.start
                && left.is_unwritten == right.is_unwritten
                && left.blocks + right.blocks <= MAX_EXTENT_BLOCKS
        };
        if at > 0 && joins(&self.extents[at - 1], &new) {
            let before = self.extents.remove(at - 1);
            new = Extent { blocks: before.blocks + new.blocks, ..before };
            at -= 1;
        }
        if self.extents.get(at).is_some_and(|after| joins(&new, after)) {
            new.blocks += self.extents.remove(at).blocks;
        }
        self.extents.insert(at, new);
    }

    /// Takes a range out, and returns what had it.
    fn remove(&mut self, range: &Range<u64>) -> Vec<Extent> {
        let removed = self.parts(range);
        let mut left = Vec::with_capacity(self.extents.len());
        for extent in &self.extents {
            left.extend(extent.part(&(0..range.start)));
            left.extend(extent.part(&(range.end..u64::MAX)));
        }
        self.extents = left;
        removed
    }
}

impl<S: WriteAt> FileSystem<S> {
    /// Reads the map of a fork. A fork whose content is in the inode has none.
    pub(crate) fn read_map(&self, inode: &Inode, fork: Fork) -> Result<Map> {
        let bytes = inode.fork(fork);
        let mut map = Map::default();
        let count = inode.extents(fork);
        if count > MAX_EXTENTS as u64 {
            return Err(inode.corrupt(format!("{count} extents, more than {MAX_EXTENTS}")));
        }
        match inode.format(fork) {
            XFS_DINODE_FMT_EXTENTS => {
                let room = bytes.len() / EXTENT_BYTES;
                if count as usize > room {
                    return Err(inode.corrupt(format!("{count} extents in an inode with room for {room}")));
                }
                map.extents = bytes.chunks_exact(EXTENT_BYTES).take(count as usize).map(Extent::read).collect();
            }
            XFS_DINODE_FMT_BTREE => self.read_tree(inode, bytes, &mut map)?,
            _ => return Ok(map),
        }
        if map.extents.len() as u64 != count {
            return Err(inode.corrupt(format!("{} extents in its map, but the inode says {count}", map.extents.len())));
        }
        // A file ends where 63 bits of bytes end, if its blocks do not end before that.
        let last = MAX_OFFSET.min(i64::MAX as u64 / self.block_bytes());
        let mut end = 0;
        for extent in &map.extents {
            let is_there = self.superblock.run_offset(extent.start, extent.blocks).is_some();
            if extent.blocks == 0 || extent.offset < end || extent.end() > last || !is_there {
                return Err(inode.corrupt(format!("invalid extent {extent:?}")));
            }
            end = extent.end();
        }
        map.counted = map.blocks();
        Ok(map)
    }

    fn read_tree(&self, inode: &Inode, root: &[u8], map: &mut Map) -> Result<()> {
        let room = root.len().saturating_sub(ROOT_BYTES) / 16;
        if root.len() < ROOT_BYTES {
            return Err(inode.corrupt("no room for the root of its map"));
        }
        let (levels, count) = (be16(root, 0), usize::from(be16(root, 2)));
        if !(1..=MAX_LEVELS).contains(&levels) || count == 0 || count > room {
            return Err(inode.corrupt(format!("bb_level={levels} bb_numrecs={count} in the root of its map")));
        }
        let pointer = |index: usize| be64(root, ROOT_BYTES + room * 8 + index * 8);
        let mut blocks: Vec<u64> = (0..count).map(pointer).collect();
        let mut seen = BTreeSet::new();
        let (leaf_room, node_room) = self.map_rooms();
        for level in (0..levels).rev() {
            let mut below = Vec::new();
            for &block in &blocks {
                // Shared blocks would be read again and again.
                if !seen.insert(block) {
                    return Err(inode.corrupt(format!("its map has block {block} twice")));
                }
                map.tree.push(block);
                let bytes = self.read_block(block)?;
                let raw: &RawLong = header(&bytes);
                let count = usize::from(raw.bb_numrecs.get());
                let most = if level == 0 { leaf_room } else { node_room };
                if raw.bb_magic.get() != XFS_BMAP_CRC_MAGIC
                    || raw.bb_owner.get() != inode.number
                    || raw.bb_level.get() != level
                    || count == 0
                    || count > most
                    || !has_checksum(&bytes, LONG_CRC_AT)
                {
                    return Err(Error::corrupt(
                        Object::Block(block),
                        format!("no block of the map of inode {}", inode.number),
                    ));
                }
                if level == 0 {
                    let extents = bytes[LONG_BYTES..].chunks_exact(EXTENT_BYTES).take(count).map(Extent::read);
                    map.extents.extend(extents);
                    if map.extents.len() > MAX_EXTENTS {
                        return Err(inode.corrupt(format!("more than {MAX_EXTENTS} extents")));
                    }
                } else {
                    below.extend((0..count).map(|index| be64(&bytes, LONG_BYTES + node_room * 8 + index * 8)));
                }
            }
            blocks = below;
        }
        Ok(())
    }

    /// How many extents a leaf of a map's tree takes, and how many keys and pointers a node.
    fn map_rooms(&self) -> (usize, usize) {
        let room = (self.block_bytes() as usize - LONG_BYTES) / EXTENT_BYTES;
        (room, room)
    }

    /// The group in which blocks for an inode are looked for first.
    fn goal(&self, inode: &Inode, map: &Map) -> u32 {
        let near = map.extents.last().and_then(|extent| self.superblock.split(extent.start));
        near.or(self.superblock.split_inode(inode.number)).unwrap_or_default().0
    }

    /// Gives a hole blocks. Returns the new extents.
    pub(crate) fn fill(&mut self, inode: &Inode, map: &mut Map, fork: Fork, hole: Range<u64>) -> Result<Vec<Extent>> {
        let goal = self.goal(inode, map);
        let offset = hole.start | fork_flag(fork);
        let mut at = hole.start;
        let mut added = Vec::new();
        for (start, blocks) in self.take_blocks(goal, hole.end - hole.start, inode.number, offset)? {
            let mut done = 0;
            while done < blocks {
                let step = (blocks - done).min(MAX_EXTENT_BLOCKS);
                let extent = Extent { offset: at, start: start + done, blocks: step, is_unwritten: false };
                map.insert(extent);
                added.push(extent);
                done += step;
                at += step;
            }
        }
        Ok(added)
    }

    /// Gives the blocks of a range back.
    pub(crate) fn unmap(&mut self, inode: &Inode, map: &mut Map, fork: Fork, range: &Range<u64>) -> Result<()> {
        for extent in map.remove(range) {
            self.give_blocks(extent.start, extent.blocks, inode.number, extent.owned_offset(fork))?;
        }
        Ok(())
    }

    /// Stores a map in its inode, which the caller writes.
    pub(crate) fn store_map(&mut self, inode: &mut Inode, fork: Fork, map: &mut Map) -> Result<()> {
        inode.set_extents(fork, map.extents.len() as u64)?;
        let room = inode.fork(fork).len();
        if map.extents.len() * EXTENT_BYTES <= room {
            self.size_tree(inode, fork, map, 0)?;
            let mut bytes = Vec::new();
            map.extents.iter().for_each(|extent| extent.write(&mut bytes));
            inode.set_format(fork, XFS_DINODE_FMT_EXTENTS);
            inode.set_fork(fork, &bytes);
        } else {
            let root = self.store_tree(inode, fork, map, room)?;
            inode.set_format(fork, XFS_DINODE_FMT_BTREE);
            inode.set_fork(fork, &root);
        }
        let (before, now) = (map.counted, map.blocks());
        map.counted = now;
        let raw = inode.raw_mut();
        raw.di_nblocks.set((raw.di_nblocks.get() + now).saturating_sub(before));
        Ok(())
    }

    /// Takes or gives blocks of a map's tree until there are `count`.
    fn size_tree(&mut self, inode: &Inode, fork: Fork, map: &mut Map, count: usize) -> Result<()> {
        let offset = XFS_RMAP_OFF_BMBT_BLOCK | fork_flag(fork);
        while map.tree.len() > count {
            if let Some(block) = map.tree.pop() {
                self.give_blocks(block, 1, inode.number, offset)?;
            }
        }
        while map.tree.len() < count {
            let goal = self.goal(inode, map);
            let taken = self.take_blocks(goal, 1, inode.number, offset)?;
            map.tree.extend(taken.iter().map(|(block, _)| *block));
        }
        Ok(())
    }

    /// Writes a map's tree, and returns its root.
    fn store_tree(&mut self, inode: &Inode, fork: Fork, map: &mut Map, room_bytes: usize) -> Result<Vec<u8>> {
        let (leaf_room, node_room) = self.map_rooms();
        let root_room = room_bytes.saturating_sub(ROOT_BYTES) / 16;
        if root_room == 0 {
            return Err(inode.corrupt("no room for the root of its map"));
        }
        let mut levels = vec![map.extents.len().div_ceil(leaf_room)];
        while levels.last().is_some_and(|count| *count > root_room) {
            levels.extend(levels.last().map(|count| count.div_ceil(node_room)));
        }
        self.size_tree(inode, fork, map, levels.iter().sum())?;
        let mut unused = map.tree.iter().copied();
        // Key and block of each block of the level below.
        let mut below: Vec<(u64, u64)> = Vec::new();
        for (level, &count) in levels.iter().enumerate() {
            let blocks: Vec<u64> = unused.by_ref().take(count).collect();
            let mut above = Vec::new();
            let (mut extents, mut children) = (&map.extents[..], &below[..]);
            for (index, &block) in blocks.iter().enumerate() {
                let left = count - index;
                let mut bytes = vec![0; self.block_bytes() as usize];
                let (filled, key) = if level == 0 {
                    let (these, rest) = extents.split_at(extents.len().div_ceil(left));
                    extents = rest;
                    let mut records = Vec::new();
                    these.iter().for_each(|extent| extent.write(&mut records));
                    bytes[LONG_BYTES..][..records.len()].copy_from_slice(&records);
                    (these.len(), these.first().map(|extent| extent.offset))
                } else {
                    let (these, rest) = children.split_at(children.len().div_ceil(left));
                    children = rest;
                    write_pointers(&mut bytes[LONG_BYTES..], node_room, these);
                    (these.len(), these.first().map(|child| child.0))
                };
                let sibling =
                    |index: Option<usize>| index.and_then(|index| blocks.get(index)).copied().unwrap_or(u64::MAX);
                let sector = self.offset(block)? / 512;
                let uuid = self.superblock.metadata_uuid();
                let raw: &mut RawLong = header_mut(&mut bytes);
                raw.bb_magic.set(XFS_BMAP_CRC_MAGIC);
                raw.bb_level.set(level as u16);
                raw.bb_numrecs.set(filled as u16);
                raw.bb_leftsib.set(sibling(index.checked_sub(1)));
                raw.bb_rightsib.set(sibling(Some(index + 1)));
                raw.bb_blkno.set(sector);
                raw.bb_uuid = uuid;
                raw.bb_owner.set(inode.number);
                set_checksum(&mut bytes, LONG_CRC_AT);
                self.write_block(block, &bytes)?;
                above.push((key.unwrap_or(0), block));
            }
            below = above;
        }
        let mut root = vec![0; ROOT_BYTES + root_room * 16];
        root[..2].copy_from_slice(&(levels.len() as u16).to_be_bytes());
        root[2..4].copy_from_slice(&(below.len() as u16).to_be_bytes());
        write_pointers(&mut root[ROOT_BYTES..], root_room, &below);
        Ok(root)
    }

    /// Gives all blocks of a fork back.
    pub(crate) fn clear_map(&mut self, inode: &mut Inode, fork: Fork) -> Result<()> {
        let mut map = self.read_map(inode, fork)?;
        self.unmap(inode, &mut map, fork, &(0..u64::MAX))?;
        if matches!(inode.format(fork), XFS_DINODE_FMT_EXTENTS | XFS_DINODE_FMT_BTREE) {
            self.store_map(inode, fork, &mut map)?;
        }
        Ok(())
    }
}

/// Writes keys and, behind the room for all of them, pointers.
fn write_pointers(bytes: &mut [u8], room: usize, children: &[(u64, u64)]) {
    for (index, (key, block)) in children.iter().enumerate() {
        bytes[index * 8..][..8].copy_from_slice(&key.to_be_bytes());
        bytes[(room + index) * 8..][..8].copy_from_slice(&block.to_be_bytes());
    }
}
