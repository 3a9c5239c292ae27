//! Directories stored, in the smallest form that takes their names.

use storage::WriteAt;

use super::edit::FIRST_NAME;
use super::{DataBlock, Directory, entry_bytes};
use crate::error::{Error, Result};
use crate::filesystem::FileSystem;
use crate::inode::{Fork, Inode};
use crate::layout::directory::{
    DATA_CRC_AT, HEADER_BYTES, INDEX_CRC_AT, NULLDATAOFF, RawDataHeader, RawFreeHeader, RawIndexHeader,
    XFS_DA3_NODE_MAGIC, XFS_DIR2_DATA_FREE_TAG, XFS_DIR2_FREE_OFFSET, XFS_DIR2_LEAF_OFFSET, XFS_DIR3_BLOCK_MAGIC,
    XFS_DIR3_DATA_MAGIC, XFS_DIR3_FREE_MAGIC, XFS_DIR3_LEAF1_MAGIC, XFS_DIR3_LEAFN_MAGIC,
};
use crate::layout::inode::{XFS_DINODE_FMT_EXTENTS, XFS_DINODE_FMT_LOCAL};
use crate::layout::{be32, header_mut, set_checksum};
use crate::map::Map;

/// Length in bytes of an entry of the index, and of a key and pointer above it.
const ENTRY_BYTES: usize = 8;
/// At the end of a directory of one block: how many entries its index has, and how many are unused.
const TAIL_BYTES: usize = 8;

impl<S: WriteAt> FileSystem<S> {
    /// Stores changed directories until all together take at most `memory_bytes`.
    pub(crate) fn store_directories(&mut self, memory_bytes: usize) -> Result<()> {
        let kept = |directories: &std::collections::BTreeMap<u64, Directory>| {
            directories.values().map(Directory::memory_bytes).sum::<usize>()
        };
        let Ok(directories) = self.directories.get_mut() else { return Ok(()) };
        if memory_bytes > 0 && kept(directories) <= memory_bytes {
            return Ok(());
        }
        for (number, mut directory) in std::mem::take(directories) {
            if directory.changed {
                self.store_directory(number, &mut directory)?;
            }
        }
        Ok(())
    }

    /// Stores one directory, which is read again when it is needed.
    pub(crate) fn store_one_directory(&mut self, number: u64) -> Result<()> {
        let taken = self.directories.get_mut().ok().and_then(|kept| kept.remove(&number));
        match taken {
            Some(mut directory) if directory.changed => self.store_directory(number, &mut directory),
            _ => Ok(()),
        }
    }

    fn store_directory(&mut self, number: u64, directory: &mut Directory) -> Result<()> {
        let mut inode = self.inode(number)?;
        let mut map = self.read_map(&inode, Fork::Data)?;
        if let Some(bytes) = short_form(directory, inode.fork(Fork::Data).len()) {
            self.unmap(&inode, &mut map, Fork::Data, &(0..u64::MAX))?;
            self.store_map(&mut inode, Fork::Data, &mut map)?;
            inode.set_format(Fork::Data, XFS_DINODE_FMT_LOCAL);
            inode.set_fork(Fork::Data, &bytes);
            inode.raw_mut().di_size.set(bytes.len() as u64);
            return self.write_inode(&mut inode);
        }
        if inode.format(Fork::Data) == XFS_DINODE_FMT_LOCAL {
            inode.set_format(Fork::Data, XFS_DINODE_FMT_EXTENTS);
            inode.set_fork(Fork::Data, &[]);
        }
        let last = directory.blocks.last_key_value().map_or(0, |(number, _)| *number);
        let is_single = directory.blocks.len() == 1 && {
            let end = directory.blocks.get(&0).map_or(usize::MAX, |block| block.end() as usize);
            end.saturating_add(directory.index.len() * ENTRY_BYTES + TAIL_BYTES) <= directory.block_bytes
        };
        let index = if is_single { Index::default() } else { Index::of(directory, last) };
        // The blocks that the directory has: those of names, of the index, and of free space.
        let unit = directory.unit_blocks;
        let (index_at, free_at) = self.index_places();
        let mut wanted: Vec<u64> = directory.blocks.keys().map(|number| u64::from(*number) * unit).collect();
        wanted.extend((0..index.blocks() as u64).map(|number| index_at + number * unit));
        wanted.extend((0..index.free_blocks as u64).map(|number| free_at + number * unit));
        let mut at = 0;
        for &first in &wanted {
            if at < first {
                self.unmap(&inode, &mut map, Fork::Data, &(at..first))?;
            }
            at = first + unit;
        }
        self.unmap(&inode, &mut map, Fork::Data, &(at..u64::MAX))?;
        for &first in &wanted {
            for hole in map.holes(first..first + unit) {
                self.fill(&inode, &mut map, Fork::Data, hole)?;
            }
        }
        for (&number, block) in &mut directory.blocks {
            let at = u64::from(number) * unit;
            if is_single {
                let bytes = single_block(block, &directory.index);
                self.write_names(&inode, &map, at, bytes, XFS_DIR3_BLOCK_MAGIC)?;
            } else if block.changed || be32(&block.bytes, 0) != XFS_DIR3_DATA_MAGIC {
                let end = directory.block_bytes as u32;
                let bytes = with_free_runs(block, end);
                self.write_names(&inode, &map, at, bytes, XFS_DIR3_DATA_MAGIC)?;
            }
        }
        if !is_single {
            self.write_index(&inode, &map, directory, &index)?;
            self.write_free(&inode, &map, directory, &index)?;
        }
        self.store_map(&mut inode, Fork::Data, &mut map)?;
        inode.raw_mut().di_size.set((u64::from(last) + 1) * directory.block_bytes as u64);
        self.write_inode(&mut inode)
    }

    /// The first block of the file system in a directory's index, and in its list of free space.
    fn index_places(&self) -> (u64, u64) {
        (XFS_DIR2_LEAF_OFFSET / self.block_bytes(), XFS_DIR2_FREE_OFFSET / self.block_bytes())
    }

    fn write_names(&mut self, inode: &Inode, map: &Map, at: u64, mut bytes: Vec<u8>, magic: u32) -> Result<()> {
        let sector = self.first_sector(inode, map, at)?;
        let uuid = self.superblock.metadata_uuid();
        let raw: &mut RawDataHeader = header_mut(&mut bytes);
        raw.magic.set(magic);
        raw.blkno.set(sector);
        raw.uuid = uuid;
        raw.owner.set(inode.number);
        raw.pad.set(0);
        set_checksum(&mut bytes, DATA_CRC_AT);
        self.write_parts(inode, map, at, &bytes)
    }

    fn first_sector(&self, inode: &Inode, map: &Map, at: u64) -> Result<u64> {
        let block = map.block(at).ok_or_else(|| inode.corrupt("a block of its directory is missing"))?;
        Ok(self.offset(block)? / 512)
    }

    /// Writes a block of a directory, whose parts may be anywhere.
    fn write_parts(&mut self, inode: &Inode, map: &Map, at: u64, bytes: &[u8]) -> Result<()> {
        for (index, part) in bytes.chunks(self.block_bytes() as usize).enumerate() {
            let block =
                map.block(at + index as u64).ok_or_else(|| inode.corrupt("a block of its directory is missing"))?;
            self.write_block(block, part)?;
        }
        Ok(())
    }

    fn write_index(&mut self, inode: &Inode, map: &Map, directory: &Directory, index: &Index) -> Result<()> {
        let (first, _) = self.index_places();
        let unit = directory.unit_blocks;
        let entries: Vec<(u32, u32)> = directory.index.iter().copied().collect();
        let mut below: Vec<(u32, u32)> = Vec::new();
        // The root comes first; the others follow, the leaves in front.
        let mut next = if index.levels.len() > 1 { 1 } else { 0 };
        for (level, &count) in index.levels.iter().enumerate() {
            let is_root = level + 1 == index.levels.len();
            let numbers: Vec<u32> = (0..count)
                .map(|number| {
                    let number = if is_root { 0 } else { next + number };
                    (first + number as u64 * unit) as u32
                })
                .collect();
            next += if is_root { 0 } else { count };
            let source = if level == 0 { &entries } else { &below };
            let mut rest = &source[..];
            let mut above = Vec::new();
            for (position, &number) in numbers.iter().enumerate() {
                let (these, later) = rest.split_at(rest.len().div_ceil(count - position));
                rest = later;
                let mut bytes = vec![0; directory.block_bytes];
                for (place, (hash, pointer)) in bytes[HEADER_BYTES..].chunks_exact_mut(ENTRY_BYTES).zip(these) {
                    place[..4].copy_from_slice(&hash.to_be_bytes());
                    place[4..].copy_from_slice(&pointer.to_be_bytes());
                }
                let sector = self.first_sector(inode, map, number.into())?;
                let uuid = self.superblock.metadata_uuid();
                let sibling = |at: Option<usize>| at.and_then(|at| numbers.get(at)).copied().unwrap_or(0);
                let raw: &mut RawIndexHeader = header_mut(&mut bytes);
                raw.forw.set(sibling(Some(position + 1)));
                raw.back.set(sibling(position.checked_sub(1)));
                raw.magic.set(match level {
                    0 if index.is_leaf => XFS_DIR3_LEAF1_MAGIC,
                    0 => XFS_DIR3_LEAFN_MAGIC,
                    _ => XFS_DA3_NODE_MAGIC,
                });
                raw.blkno.set(sector);
                raw.uuid = uuid;
                raw.owner.set(inode.number);
                raw.count.set(these.len() as u16);
                raw.stale_or_level.set(level as u16);
                if index.is_leaf {
                    let end = bytes.len() - 4;
                    bytes[end..].copy_from_slice(&(index.best.len() as u32).to_be_bytes());
                    write_best(&mut bytes[end - index.best.len() * 2..end], &index.best);
                }
                set_checksum(&mut bytes, INDEX_CRC_AT);
                self.write_parts(inode, map, number.into(), &bytes)?;
                above.push((these.last().map_or(0, |entry| entry.0), number));
            }
            below = above;
        }
        Ok(())
    }

    fn write_free(&mut self, inode: &Inode, map: &Map, directory: &Directory, index: &Index) -> Result<()> {
        let (_, first) = self.index_places();
        let room = (directory.block_bytes - HEADER_BYTES) / 2;
        for (number, best) in index.best.chunks(room).take(index.free_blocks).enumerate() {
            let at = first + number as u64 * directory.unit_blocks;
            let mut bytes = vec![0; directory.block_bytes];
            write_best(&mut bytes[HEADER_BYTES..], best);
            let sector = self.first_sector(inode, map, at)?;
            let uuid = self.superblock.metadata_uuid();
            let raw: &mut RawFreeHeader = header_mut(&mut bytes);
            raw.magic.set(XFS_DIR3_FREE_MAGIC);
            raw.blkno.set(sector);
            raw.uuid = uuid;
            raw.owner.set(inode.number);
            raw.firstdb.set((number * room) as u32);
            raw.nvalid.set(best.len() as u32);
            raw.nused.set(best.iter().filter(|best| **best != NULLDATAOFF).count() as u32);
            set_checksum(&mut bytes, DATA_CRC_AT);
            self.write_parts(inode, map, at, &bytes)?;
        }
        Ok(())
    }
}

fn write_best(bytes: &mut [u8], best: &[u16]) {
    for (place, best) in bytes.chunks_exact_mut(2).zip(best) {
        place.copy_from_slice(&best.to_be_bytes());
    }
}

/// The index of a directory of several blocks.
#[derive(Default)]
struct Index {
    /// Whether one block has all of it, and the list of free space, too.
    is_leaf: bool,
    /// How many blocks there are on each level, from below.
    levels: Vec<usize>,
    /// How many blocks the list of free space has.
    free_blocks: usize,
    /// The longest free run of each block of names.
    best: Vec<u16>,
}

impl Index {
    fn of(directory: &Directory, last: u32) -> Self {
        let best: Vec<u16> = (0..=last)
            .map(|number| directory.blocks.get(&number).map_or(NULLDATAOFF, |block| block.longest as u16))
            .collect();
        let room = (directory.block_bytes - HEADER_BYTES) / ENTRY_BYTES;
        let names = directory.index.len();
        if names * ENTRY_BYTES + best.len() * 2 + 4 <= directory.block_bytes - HEADER_BYTES {
            return Self { is_leaf: true, levels: vec![1], free_blocks: 0, best };
        }
        let mut levels = vec![names.div_ceil(room)];
        while levels.last().is_some_and(|count| *count > 1) {
            levels.extend(levels.last().map(|count| count.div_ceil(room)));
        }
        let free_blocks = best.len().div_ceil((directory.block_bytes - HEADER_BYTES) / 2);
        Self { is_leaf: false, levels, free_blocks, best }
    }

    fn blocks(&self) -> usize {
        self.levels.iter().sum()
    }
}

/// The directory as it is in an inode, if it fits into `room` bytes.
fn short_form(directory: &Directory, room: usize) -> Option<Vec<u8>> {
    let mut places: Vec<u32> = directory.index.iter().map(|(_, place)| *place).collect();
    places.sort_unstable();
    let mut entries = Vec::new();
    for place in places {
        let entry = directory.entry(place)?;
        if !matches!(entry.name, b"." | b"..") {
            entries.push((place, entry));
        }
        if entries.len() > usize::from(u8::MAX) || entries.len() * 8 > room {
            return None;
        }
    }
    let is_large = |number: u64| u32::try_from(number).is_err();
    let large =
        entries.iter().filter(|(_, entry)| is_large(entry.inode)).count() + usize::from(is_large(directory.parent));
    let number = |number: u64| match large {
        0 => (number as u32).to_be_bytes().to_vec(),
        _ => number.to_be_bytes().to_vec(),
    };
    // Each name says where it would be in a block, which must have room for the index behind it.
    let end = entries.last().map_or(0, |(place, entry)| *place as usize * 8 + entry_bytes(entry.name.len()));
    let keeps_places = end + (entries.len() + 2) * ENTRY_BYTES + TAIL_BYTES <= directory.block_bytes;
    let mut next = FIRST_NAME;
    let mut bytes = vec![entries.len() as u8, large as u8];
    bytes.extend(number(directory.parent));
    for (place, entry) in entries {
        let offset = if keeps_places { place as usize * 8 } else { next };
        next += entry_bytes(entry.name.len());
        bytes.push(entry.name.len() as u8);
        bytes.extend((offset as u16).to_be_bytes());
        bytes.extend(entry.name);
        bytes.push(entry.kind);
        bytes.extend(number(entry.inode));
    }
    (bytes.len() <= room).then_some(bytes)
}

/// A block of names with its free runs written into it, as far as `end`.
fn with_free_runs(block: &DataBlock, end: u32) -> Vec<u8> {
    let mut bytes = block.bytes.clone();
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for (&start, &length) in &block.free {
        bytes[start as usize..(start + length) as usize].fill(0);
        let length = (start + length).min(end).saturating_sub(start);
        if length > 0 {
            let at = start as usize;
            bytes[at..at + 2].copy_from_slice(&XFS_DIR2_DATA_FREE_TAG.to_be_bytes());
            bytes[at + 2..at + 4].copy_from_slice(&(length as u16).to_be_bytes());
            let tag = at + length as usize - 2;
            bytes[tag..tag + 2].copy_from_slice(&(start as u16).to_be_bytes());
            runs.push((start, length));
        }
    }
    runs.sort_by_key(|(start, length)| (std::cmp::Reverse(*length), *start));
    let raw: &mut RawDataHeader = header_mut(&mut bytes);
    for (index, best) in raw.best_free.iter_mut().enumerate() {
        let (start, length) = runs.get(index).copied().unwrap_or_default();
        best[0].set(start as u16);
        best[1].set(length as u16);
    }
    bytes
}

/// A directory of one block: its names, and the index behind them.
fn single_block(block: &DataBlock, index: &std::collections::BTreeSet<(u32, u32)>) -> Vec<u8> {
    let tail = block.bytes.len() - TAIL_BYTES;
    let first = tail - index.len() * ENTRY_BYTES;
    let mut bytes = with_free_runs(block, first as u32);
    bytes[first..].fill(0);
    for (place, (hash, pointer)) in bytes[first..tail].chunks_exact_mut(ENTRY_BYTES).zip(index) {
        place[..4].copy_from_slice(&hash.to_be_bytes());
        place[4..].copy_from_slice(&pointer.to_be_bytes());
    }
    bytes[tail..tail + 4].copy_from_slice(&(index.len() as u32).to_be_bytes());
    bytes
}

impl Directory {
    /// An error if the directory is not empty.
    pub(crate) fn require_empty(&self, number: u64) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(Error::NotEmpty(number)) }
    }
}
