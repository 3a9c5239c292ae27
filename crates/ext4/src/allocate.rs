//! Blocks and inodes taken and given back.
//!
//! Everything is chosen from the bitmaps alone, lowest first, so that the same edits of the same
//! file system give the same bytes.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use storage::WriteAt;

use crate::bitmap::BitmapKind;
use crate::error::{Error, Object, Resource, Result};
use crate::filesystem::FileSystem;
use crate::inode::InodeNumber;
use crate::layout::group_descriptor::{EXT4_BG_BLOCK_UNINIT, EXT4_BG_INODE_UNINIT};

/// How many of the longest free runs are remembered, in case no single one is long enough.
const REMEMBERED_RUNS: usize = 4096;

/// Blocks that lie next to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BlockRun {
    pub(crate) first: u64,
    pub(crate) blocks: u64,
}

impl<S: WriteAt> FileSystem<S> {
    /// Fails where fewer than `needed` blocks are free.
    pub(crate) fn check_free_blocks(&self, needed: u64) -> Result<()> {
        let available = self.superblock.free_blocks();
        if needed <= available {
            return Ok(());
        }
        let unit_bytes = self.superblock.block_size_bytes();
        Err(Error::NoSpace { resource: Resource::Blocks, needed, available, unit_bytes })
    }

    /// Takes `count` blocks, from the group of `goal` on: the first free run that is long enough,
    /// or the longest runs if no single one is.
    pub(crate) fn allocate_blocks(&mut self, goal: u64, count: u64) -> Result<Vec<BlockRun>> {
        self.check_free_blocks(count)?;
        let mut left = count;
        let mut taken = Vec::new();
        while left > 0 {
            let mut longest: BTreeSet<(u64, Reverse<u64>)> = BTreeSet::new();
            let mut fitting = None;
            self.scan_free_runs(goal, left, &mut |run| {
                if run.blocks >= left {
                    fitting = Some(BlockRun { blocks: left, ..run });
                    return ControlFlow::Break(());
                }
                longest.insert((run.blocks, Reverse(run.first)));
                if longest.len() > REMEMBERED_RUNS {
                    longest.pop_first();
                }
                ControlFlow::Continue(())
            })?;
            let runs: Vec<BlockRun> = match fitting {
                Some(run) => vec![run],
                None => longest.into_iter().rev().map(|(blocks, Reverse(first))| BlockRun { first, blocks }).collect(),
            };
            if runs.is_empty() {
                return Err(Error::corrupt(
                    Object::Superblock,
                    format!("free blocks={}, but the bitmaps have fewer", self.superblock.free_blocks()),
                ));
            }
            for run in runs {
                let run = BlockRun { blocks: run.blocks.min(left), ..run };
                self.mark_blocks(run, true)?;
                taken.push(run);
                left -= run.blocks;
                if left == 0 {
                    break;
                }
            }
        }
        // A file reads from front to back.
        taken.sort_unstable();
        Ok(taken)
    }

    /// Calls `visit` with the free runs from the group of `goal` to the last and then from the
    /// first. A run can cross a group's end. Where one has more than `enough` blocks, its end is not
    /// looked for.
    fn scan_free_runs(
        &mut self,
        goal: u64,
        enough: u64,
        visit: &mut dyn FnMut(BlockRun) -> ControlFlow<()>,
    ) -> Result<()> {
        let goal = if self.superblock.is_data_block(goal) { goal } else { self.superblock.first_data_block() };
        let (goal_group, _) = self.superblock.group_of_block(goal);
        for groups in [goal_group..self.superblock.groups(), 0..goal_group] {
            let mut open: Option<BlockRun> = None;
            for number in groups {
                if self.groups[number as usize].free_blocks() > 0
                    && self.scan_group(number, enough, &mut open, visit)?.is_break()
                {
                    return Ok(());
                }
            }
            if let Some(run) = open
                && visit(run).is_break()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The free runs of one group; the last one is left in `open`, as the next group may go on.
    pub(crate) fn scan_group(
        &mut self,
        number: u32,
        enough: u64,
        open: &mut Option<BlockRun>,
        visit: &mut dyn FnMut(BlockRun) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let first = self.superblock.group_first_block(number);
        let blocks = self.superblock.group_blocks(number);
        let bitmap = self.bitmap(BitmapKind::Blocks, number)?;
        let mut from = 0;
        while let Some(start) = bitmap.find(false, from, blocks) {
            let limit = (u64::from(start) + enough).min(u64::from(blocks)) as u32;
            let end = bitmap.find(true, start, limit).unwrap_or(limit);
            let run = BlockRun { first: first + u64::from(start), blocks: u64::from(end - start) };
            *open = match open.take() {
                Some(before) if before.first + before.blocks == run.first => {
                    Some(BlockRun { blocks: before.blocks + run.blocks, ..before })
                }
                Some(before) => {
                    if visit(before).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    Some(run)
                }
                None => Some(run),
            };
            if let Some(long) = open.filter(|run| run.blocks >= enough)
                && visit(long).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
            from = end;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Frees blocks.
    pub(crate) fn free_blocks(&mut self, run: BlockRun) -> Result<()> {
        self.mark_blocks(run, false)
    }

    /// Marks blocks as taken or free, and counts.
    pub(crate) fn mark_blocks(&mut self, run: BlockRun, taken: bool) -> Result<()> {
        let mut left = run;
        while left.blocks > 0 {
            let (number, index) = self.superblock.group_of_block(left.first);
            let count = left.blocks.min(u64::from(self.superblock.group_blocks(number) - index)) as u32;
            let bitmap = self.bitmap(BitmapKind::Blocks, number)?;
            if bitmap.find(taken, index, index + count).is_some() {
                let state = if taken { "in use" } else { "free" };
                return Err(Error::corrupt(
                    Object::Group(number),
                    format!(
                        "some of blocks {} to {} are {state} already",
                        left.first,
                        left.first + u64::from(count) - 1
                    ),
                ));
            }
            bitmap.set_range(index, count, taken);
            let group = &mut self.groups[number as usize];
            let free = group.free_blocks();
            let free = if taken { free.checked_sub(count) } else { free.checked_add(count) };
            let Some(free) = free else {
                return Err(Error::corrupt(
                    Object::Group(number),
                    format!("bg_free_blocks_count={}, but {count} more are free", group.free_blocks()),
                ));
            };
            group.set_free_blocks(free);
            group.mark_initialised(EXT4_BG_BLOCK_UNINIT);
            left = BlockRun { first: left.first + u64::from(count), blocks: left.blocks - u64::from(count) };
        }
        let free = self.superblock.free_blocks();
        self.superblock.set_free_blocks(if taken { free.saturating_sub(run.blocks) } else { free + run.blocks });
        self.superblock_changed = true;
        Ok(())
    }

    /// Where content of an inode is looked for first: its own group.
    pub(crate) fn inode_goal(&self, number: InodeNumber) -> u64 {
        let (group, _) = self.group_of_inode(number);
        self.superblock.group_first_block(group) + 1
    }

    /// Takes an inode, from the parent's group on.
    pub(crate) fn allocate_inode(&mut self, parent: InodeNumber, is_directory: bool) -> Result<InodeNumber> {
        let (parent_group, _) = self.group_of_inode(parent);
        let per_group = self.superblock.inodes_per_group();
        let groups = (parent_group..self.superblock.groups()).chain(0..parent_group);
        for number in groups {
            if self.groups[number as usize].free_inodes() == 0 {
                continue;
            }
            // The reserved inodes are at the start of the first group.
            let from = if number == 0 { self.superblock.first_inode() - 1 } else { 0 };
            let Some(index) = self.bitmap(BitmapKind::Inodes, number)?.find(false, from, per_group) else { continue };
            self.mark_inode(number, index, true, is_directory)?;
            return Ok(InodeNumber(number * per_group + index + 1));
        }
        let unit_bytes = u32::from(self.superblock.inode_size_bytes());
        Err(Error::NoSpace { resource: Resource::Inodes, needed: 1, available: 0, unit_bytes })
    }

    /// Frees an inode.
    pub(crate) fn free_inode(&mut self, inode: InodeNumber, is_directory: bool) -> Result<()> {
        let (number, index) = self.group_of_inode(inode);
        if !self.bitmap(BitmapKind::Inodes, number)?.get(index) {
            return Err(Error::corrupt(Object::Inode(inode), "in use, but free in the bitmap"));
        }
        self.mark_inode(number, index, false, is_directory)
    }

    pub(crate) fn mark_inode(&mut self, number: u32, index: u32, taken: bool, is_directory: bool) -> Result<()> {
        if self.groups[number as usize].inodes_uninitialised() {
            // Computed for the last time: the flag still says that it is not on disk.
            self.bitmap(BitmapKind::Inodes, number)?;
            // As the kernel: a group with inodes in use has both bitmaps on disk.
            self.bitmap(BitmapKind::Blocks, number)?.changed = true;
            self.groups[number as usize].mark_initialised(EXT4_BG_INODE_UNINIT | EXT4_BG_BLOCK_UNINIT);
        }
        self.bitmap(BitmapKind::Inodes, number)?.set_range(index, 1, taken);
        let per_group = self.superblock.inodes_per_group();
        let group = &mut self.groups[number as usize];
        let step = |count: u32, up: bool| if up { count.saturating_add(1) } else { count.saturating_sub(1) };
        group.set_free_inodes(step(group.free_inodes(), !taken));
        if is_directory {
            group.set_directories(step(group.directories(), taken));
        }
        if taken && group.unused_inodes() > per_group - index - 1 {
            group.set_unused_inodes(per_group - index - 1);
        }
        let free = step(self.superblock.free_inodes(), !taken);
        self.superblock.raw.s_free_inodes_count.set(free);
        self.superblock_changed = true;
        Ok(())
    }
}
