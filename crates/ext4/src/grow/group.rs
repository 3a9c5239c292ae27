//! Groups added after the last one: where their bitmaps and inode tables go.

use std::ops::{ControlFlow, Range};

use storage::{ExtentKind, ReadAt, WriteAt};

use crate::allocate::BlockRun;
use crate::bitmap::{Bitmap, BitmapKind};
use crate::error::{Error, Object, Resource, Result};
use crate::features::incompat;
use crate::filesystem::FileSystem;
use crate::group::Group;
use crate::layout::group_descriptor::{EXT4_BG_BLOCK_UNINIT, EXT4_BG_INODE_UNINIT, EXT4_BG_INODE_ZEROED};

/// The most groups whose bitmaps are in memory at a time; a flexible group may have more.
const MAX_BATCH_GROUPS: u32 = 1024;
/// The most zeros that are written at a time, in bytes.
const ZERO_STEP_BYTES: u64 = 1 << 20;

/// What each group has somewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    BlockBitmap,
    InodeBitmap,
    InodeTable,
}

impl<S: WriteAt> FileSystem<S> {
    /// Adds the groups that the super block counts and that are not there yet. Their bitmaps and inode
    /// tables are written; their descriptors and the backups at their start are not yet.
    pub(crate) fn add_groups(&mut self) -> Result<()> {
        let flex = self.groups_per_flex()?;
        while (self.groups.len() as u32) < self.superblock.groups() {
            let first = self.groups.len() as u32;
            let flex_first = if flex > MAX_BATCH_GROUPS { first } else { first / flex * flex };
            let end = flex_first.saturating_add(flex.min(MAX_BATCH_GROUPS)).min(self.superblock.groups());
            self.add_batch(flex_first, first..end)?;
        }
        Ok(())
    }

    /// How many groups keep their bitmaps and inode tables together.
    fn groups_per_flex(&self) -> Result<u32> {
        if !self.superblock.has_incompat(incompat::FLEX_BG) {
            return Ok(1);
        }
        let log = self.superblock.raw.s_log_groups_per_flex;
        1u32.checked_shl(log.into()).ok_or_else(|| {
            Error::corrupt(Object::Superblock, format!("s_log_groups_per_flex={log}, expected at most 31"))
        })
    }

    /// Adds groups whose bitmaps and inode tables are in the groups from `host` on.
    fn add_batch(&mut self, host: u32, numbers: Range<u32>) -> Result<()> {
        for number in numbers.clone() {
            self.add_empty_group(number)?;
        }
        for part in [Part::BlockBitmap, Part::InodeBitmap, Part::InodeTable] {
            self.place(part, host, numbers.clone())?;
        }
        for number in numbers.clone() {
            self.finish_group(number)?;
        }
        self.write_bitmaps()?;
        self.block_bitmaps.split_off(&numbers.start);
        self.inode_bitmaps.split_off(&numbers.start);
        Ok(())
    }

    /// A group in which only super block and descriptors are taken.
    fn add_empty_group(&mut self, number: u32) -> Result<()> {
        let superblock = &mut self.superblock;
        let (blocks, base) = (superblock.group_blocks(number), superblock.base_metadata_blocks(number));
        let Some(free) = blocks.checked_sub(base) else {
            let problem = format!("{base} blocks for super block and descriptors, but it has {blocks}");
            return Err(Error::corrupt(Object::Group(number), problem));
        };
        let mut bitmap = Bitmap::from_bytes(vec![0; superblock.block_size_bytes() as usize]);
        bitmap.set_range(0, base, true);
        bitmap.set_range(blocks, superblock.block_size_bytes() * 8 - blocks, true);
        self.block_bitmaps.insert(number, bitmap);
        let mut group = Group::new(superblock);
        group.set_free_blocks(free);
        group.set_free_inodes(superblock.inodes_per_group());
        self.groups.push(group);
        superblock.set_free_blocks(superblock.free_blocks().saturating_add(free.into()));
        let inodes = superblock.free_inodes().saturating_add(superblock.inodes_per_group());
        superblock.raw.s_free_inodes_count.set(inodes);
        self.superblock_changed = true;
        Ok(())
    }

    /// Finds a place for one part of each group: all in a row, or else each by itself.
    fn place(&mut self, part: Part, host: u32, numbers: Range<u32>) -> Result<()> {
        let each = if part == Part::InodeTable { self.superblock.inode_table_blocks() } else { 1 };
        let all = each * u64::from(numbers.end - numbers.start);
        let row = self.find_free_run(host..numbers.end, all)?;
        for (index, number) in numbers.clone().enumerate() {
            let first = match row {
                Some(first) => first + index as u64 * each,
                None => self.place_alone(each, host..numbers.end)?,
            };
            self.mark_blocks(BlockRun { first, blocks: each }, true)?;
            let group = &mut self.groups[number as usize];
            match part {
                Part::BlockBitmap => group.set_block_bitmap(first),
                Part::InodeBitmap => group.set_inode_bitmap(first),
                Part::InodeTable => group.set_inode_table(first),
            }
        }
        Ok(())
    }

    fn place_alone(&mut self, blocks: u64, groups: Range<u32>) -> Result<u64> {
        // Without flexible groups the parts of each are in the group itself.
        let anywhere = if self.superblock.has_incompat(incompat::FLEX_BG) { 0..groups.end } else { groups.clone() };
        for range in [groups, anywhere] {
            if let Some(first) = self.find_free_run(range, blocks)? {
                return Ok(first);
            }
        }
        let (available, unit_bytes) = (self.superblock.free_blocks(), self.superblock.block_size_bytes());
        Err(Error::NoSpace { resource: Resource::Blocks, needed: blocks, available, unit_bytes })
    }

    /// The first run of `blocks` free blocks in `groups`.
    fn find_free_run(&mut self, groups: Range<u32>, blocks: u64) -> Result<Option<u64>> {
        let mut open: Option<BlockRun> = None;
        let mut found = None;
        for number in groups {
            let visited = self.scan_group(number, blocks, &mut open, &mut |run| {
                if run.blocks < blocks {
                    return ControlFlow::Continue(());
                }
                found = Some(run.first);
                ControlFlow::Break(())
            })?;
            if visited.is_break() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Flags, inode bitmap and inode table of a group whose parts have their places.
    fn finish_group(&mut self, number: u32) -> Result<()> {
        let has_checksum = self.groups[number as usize].computed_checksum(number, &self.superblock).is_some();
        let is_last = number + 1 == self.superblock.groups();
        let unused = self.uninitialised_bitmap(BitmapKind::Blocks, number);
        let bitmap = self.bitmap(BitmapKind::Blocks, number)?;
        // A bitmap that follows from the descriptor need not be on disk; the last group may be short.
        let follows = has_checksum && !is_last && bitmap.bytes() == unused.bytes();
        bitmap.changed = !follows;
        let inodes_per_group = self.superblock.inodes_per_group();
        let group = &mut self.groups[number as usize];
        if follows {
            group.set_flags(EXT4_BG_BLOCK_UNINIT);
        }
        if has_checksum {
            group.set_flags(EXT4_BG_INODE_UNINIT | EXT4_BG_INODE_ZEROED);
            group.set_unused_inodes(inodes_per_group);
        } else {
            let mut bitmap = self.uninitialised_bitmap(BitmapKind::Inodes, number);
            bitmap.changed = true;
            self.inode_bitmaps.insert(number, bitmap);
        }
        let table = self.groups[number as usize].inode_table(&self.superblock);
        self.zero_blocks(table, self.superblock.inode_table_blocks())
    }

    /// Writes zeros, except where the storage is known to have zeros.
    pub(crate) fn zero_blocks(&self, first: u64, blocks: u64) -> Result<()> {
        let mut at = first * self.block_size();
        let end = at + blocks * self.block_size();
        let mut zeros = Vec::new();
        while at < end {
            let extent = self.storage.extent_at(at)?;
            let mut length = extent.length_bytes.min(end - at);
            if extent.kind == ExtentKind::Data {
                length = length.min(ZERO_STEP_BYTES);
                zeros.resize(length as usize, 0);
                self.storage.write_at(at, &zeros)?;
            }
            at += length;
        }
        Ok(())
    }
}
