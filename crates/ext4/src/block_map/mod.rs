//! A file's block map as one list, whichever way it is stored: read whole, changed, stored whole.

pub(crate) mod extent;
mod extent_store;
mod indirect;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use storage::{ReadAt, WriteAt};

use crate::allocate::BlockRun;
use crate::block_map::extent::{Extent, Mapped};
use crate::error::{Error, Object, Resource, Result};
use crate::features::{incompat, ro_compat};
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::EXT4_EXTENTS_FL;

/// Where a file's content is. Extents here may be longer than one record on disk can say.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockMap {
    /// In logical order. None is empty, no two overlap, and no two could be one.
    pub(crate) extents: Vec<Extent>,
    /// The blocks that the map itself takes where it is stored now.
    pub(crate) map_blocks: Vec<u64>,
}

impl BlockMap {
    /// The parts of `range` that no extent covers.
    pub(crate) fn holes(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut holes = Vec::new();
        let mut at = range.start;
        for extent in self.within(&range) {
            if at < extent.range().start {
                holes.push(at..extent.range().start);
            }
            at = extent.range().end;
        }
        if at < range.end {
            holes.push(at..range.end);
        }
        holes
    }

    /// The extents that have blocks in `range`.
    pub(crate) fn within(&self, range: &Range<u64>) -> &[Extent] {
        let from = self.extents.partition_point(|extent| extent.range().end <= range.start);
        let to = self.extents.partition_point(|extent| extent.range().start < range.end);
        &self.extents[from..to.max(from)]
    }

    /// The extent that covers block `logical`.
    pub(crate) fn find(&self, logical: u64) -> Option<Extent> {
        self.within(&(logical..logical + 1)).first().copied()
    }

    /// Appends an extent past all others, merged into the last where it goes on there.
    pub(crate) fn push(&mut self, extent: Extent) {
        if let Some(last) = self.extents.last_mut()
            && last.unwritten == extent.unwritten
            && last.range().end == u64::from(extent.logical)
            && last.physical + u64::from(last.blocks) == extent.physical
        {
            last.blocks += extent.blocks;
        } else {
            self.extents.push(extent);
        }
    }

    /// Puts `runs` into `holes`, which have as many blocks together.
    pub(crate) fn fill(&mut self, holes: &[Range<u64>], runs: &[BlockRun], unwritten: bool) {
        let mut added = Self::default();
        let mut runs = runs.iter().copied();
        let mut run = BlockRun { first: 0, blocks: 0 };
        for hole in holes {
            let mut at = hole.start;
            while at < hole.end {
                if run.blocks == 0 {
                    let Some(next) = runs.next() else { break };
                    run = next;
                    continue;
                }
                let blocks = run.blocks.min(hole.end - at);
                added.push(Extent { logical: at as u32, physical: run.first, blocks: blocks as u32, unwritten });
                run = BlockRun { first: run.first + blocks, blocks: run.blocks - blocks };
                at += blocks;
            }
        }
        let mut all = std::mem::take(&mut self.extents);
        all.extend(added.extents);
        all.sort_by_key(|extent| extent.logical);
        all.into_iter().for_each(|extent| self.push(extent));
    }

    /// Takes the blocks of `range` out of the map and returns them.
    pub(crate) fn remove(&mut self, range: &Range<u64>) -> Vec<BlockRun> {
        let mut removed = Vec::new();
        self.replace(range, |part| {
            removed.push(BlockRun { first: part.physical, blocks: u64::from(part.blocks) });
            None
        });
        removed
    }

    /// Makes written extents of the unwritten ones in `range`, and returns the parts that were unwritten.
    pub(crate) fn mark_written(&mut self, range: &Range<u64>) -> Vec<Range<u64>> {
        if self.within(range).iter().all(|extent| !extent.unwritten) {
            return Vec::new();
        }
        let mut marked = Vec::new();
        self.replace(range, |part| {
            if part.unwritten {
                marked.push(part.range());
            }
            Some(Extent { unwritten: false, ..part })
        });
        marked
    }

    /// Replaces the part of each extent that is in `range` with what `change` makes of it.
    fn replace(&mut self, range: &Range<u64>, mut change: impl FnMut(Extent) -> Option<Extent>) {
        for extent in std::mem::take(&mut self.extents) {
            let (before, rest) = extent.split_at(range.start);
            let (inside, after) = rest.map_or((None, None), |rest| rest.split_at(range.end));
            before.into_iter().for_each(|part| self.push(part));
            inside.and_then(&mut change).into_iter().for_each(|part| self.push(part));
            after.into_iter().for_each(|part| self.push(part));
        }
    }
}

/// What is known of the directory that was used last: a directory is seldom used once, and each use looks for some of
/// its blocks.
#[derive(Debug, Default)]
pub(crate) struct LastDirectory(Mutex<KnownDirectory>);

#[derive(Debug, Default)]
struct KnownDirectory {
    /// 0 is no directory yet.
    number: u32,
    /// Its block map, until that changes.
    map: Option<DirectoryMap>,
    /// Blocks in the file system whose checksum was checked or written.
    sound: HashSet<u64>,
}

/// A directory's block map as far as the directory has blocks: others can share the same map, which may be as large as
/// the file system.
#[derive(Clone, Debug)]
struct DirectoryMap {
    /// How many blocks the directory had.
    blocks: u32,
    /// `None` where the map is broken somewhere: the rest can be read block by block.
    map: Option<Arc<BlockMap>>,
}

/// The most blocks that a directory can have for its map to be kept.
const KEPT_MAP_BLOCKS: u32 = 1 << 17;

impl LastDirectory {
    /// What is known, if it is of directory `number`.
    fn known(&self, number: InodeNumber) -> Option<MutexGuard<'_, KnownDirectory>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (known.number == number.0).then_some(known)
    }

    fn map(&self, number: InodeNumber) -> Option<DirectoryMap> {
        self.known(number)?.map.clone()
    }

    fn keep_map(&self, number: InodeNumber, map: &DirectoryMap) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.number != number.0 {
            *known = KnownDirectory { number: number.0, ..KnownDirectory::default() };
        }
        known.map = Some(map.clone());
    }

    /// Whether the checksum of a block of a directory is known to be right.
    pub(crate) fn is_sound(&self, number: InodeNumber, block: u64) -> bool {
        self.known(number).is_some_and(|known| known.sound.contains(&block))
    }

    /// Notes that the checksum of a block of a directory is right.
    pub(crate) fn note_sound(&self, number: InodeNumber, block: u64) {
        if let Some(mut known) = self.known(number)
            && known.sound.len() < KEPT_MAP_BLOCKS as usize
        {
            known.sound.insert(block);
        }
    }

    /// Forgets the map of an inode whose stored one changes.
    pub(crate) fn forget_map(&self, number: InodeNumber) {
        if let Some(mut known) = self.known(number) {
            known.map = None;
        }
    }

    /// Forgets an inode, whose number will be another file's.
    pub(crate) fn forget(&self, number: InodeNumber) {
        if let Some(mut known) = self.known(number) {
            *known = KnownDirectory::default();
        }
    }
}

impl Extent {
    /// The blocks in the file.
    pub(crate) fn range(&self) -> Range<u64> {
        u64::from(self.logical)..u64::from(self.logical) + u64::from(self.blocks)
    }

    /// What comes before block `logical` of the file, and what from there on.
    fn split_at(self, logical: u64) -> (Option<Self>, Option<Self>) {
        let range = self.range();
        if logical <= range.start {
            return (None, Some(self));
        }
        if logical >= range.end {
            return (Some(self), None);
        }
        let before = (logical - range.start) as u32;
        let rest = Self {
            logical: logical as u32,
            physical: self.physical + u64::from(before),
            blocks: self.blocks - before,
            ..self
        };
        (Some(Self { blocks: before, ..self }), Some(rest))
    }
}

impl<S: ReadAt> FileSystem<S> {
    /// The whole block map of a file.
    pub(crate) fn read_map(&self, inode: &Inode) -> Result<BlockMap> {
        self.read_map_before(inode, u64::MAX)
    }

    /// What begins before block `stop` in the block map of a file.
    pub(crate) fn read_map_before(&self, inode: &Inode, stop: u64) -> Result<BlockMap> {
        let mut map = BlockMap::default();
        self.walk_blocks_before(inode, stop, &mut |part| {
            match part {
                Mapped::MapBlock(block) => map.map_blocks.push(block),
                Mapped::Content(extent) => map.push(extent),
            }
            Ok(())
        })?;
        Ok(map)
    }

    /// Where block `logical` of a directory is; `None` for a hole.
    pub(crate) fn map_directory_block(&self, directory: &Inode, logical: u32) -> Result<Option<u64>> {
        let blocks = self.directory_blocks(directory);
        if blocks > KEPT_MAP_BLOCKS || logical >= blocks {
            return Ok(self.map_block(directory, u64::from(logical))?.physical);
        }
        let known = match self.last_directory.map(directory.number()) {
            Some(known) if logical < known.blocks => known,
            _ => {
                let map = match self.read_map_before(directory, u64::from(blocks)) {
                    Ok(map) => Some(Arc::new(map)),
                    Err(Error::Corrupt { .. }) => None,
                    Err(error) => return Err(error),
                };
                let known = DirectoryMap { blocks, map };
                self.last_directory.keep_map(directory.number(), &known);
                known
            }
        };
        let Some(map) = known.map else { return Ok(self.map_block(directory, u64::from(logical))?.physical) };
        let extent = map.find(u64::from(logical)).filter(|extent| !extent.unwritten);
        Ok(extent.map(|extent| extent.physical + u64::from(logical - extent.logical)))
    }

    /// Blocks that `extents` take where they are stored, apart from the inode.
    pub(crate) fn map_blocks_needed(&self, inode: &Inode, extents: &[Extent]) -> u64 {
        if inode.has_flag(EXT4_EXTENTS_FL) { self.extent_tree_blocks(extents) } else { self.indirect_blocks(extents) }
    }

    /// The most blocks that a file of `inode`'s kind can have, by its map and by how its blocks are
    /// counted: without `huge_file` in 32 bits, in units of 512 bytes, and pointer blocks are counted, too.
    /// Linux refuses to look at an inode that is larger, full of holes or not.
    pub(crate) fn max_file_blocks(&self, inode: &Inode) -> u64 {
        let has_extents = inode.has_flag(EXT4_EXTENTS_FL);
        let mapped = if has_extents { u64::from(u32::MAX) } else { self.max_indirect_blocks() };
        if self.superblock.has_ro_compat(ro_compat::HUGE_FILE) {
            return mapped;
        }
        let counted = u64::from(u32::MAX) / (self.block_size() / 512);
        match has_extents {
            true => mapped.min(counted),
            false if mapped + self.pointer_blocks(mapped) <= counted => mapped,
            false => counted - self.pointer_blocks(counted),
        }
    }
}

impl<S: WriteAt> FileSystem<S> {
    /// Gives a new inode, which will have blocks, an empty map of the kind that the file system makes.
    pub(crate) fn start_map(&mut self, inode: &mut Inode) -> Result<()> {
        if self.superblock.has_incompat(incompat::EXTENTS) {
            inode.set_flag(EXT4_EXTENTS_FL);
            self.store_map(inode, BlockMap::default())?;
        }
        Ok(())
    }

    /// Stores a changed map in place of the one that it was made from. The inode is changed in
    /// memory only, its block count included.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] where the map itself needs more blocks than are free; nothing was changed then.
    pub(crate) fn store_map(&mut self, inode: &mut Inode, map: BlockMap) -> Result<()> {
        self.last_directory.forget_map(inode.number());
        let needed = self.map_blocks_needed(inode, &map.extents);
        let mut blocks = map.map_blocks;
        let missing = needed.saturating_sub(blocks.len() as u64);
        if missing > 0 {
            let goal = map.extents.first().map_or(0, |extent| extent.physical);
            for run in self.allocate_blocks(goal, missing)? {
                blocks.extend(run.first..run.first + run.blocks);
            }
        }
        for surplus in blocks.split_off(needed as usize) {
            self.free_blocks(BlockRun { first: surplus, blocks: 1 })?;
        }
        if inode.has_flag(EXT4_EXTENTS_FL) {
            self.store_extent_tree(inode, &map.extents, blocks)?;
        } else {
            self.store_indirect(inode, &map.extents, blocks)?;
        }
        let content = map.extents.iter().map(|extent| u64::from(extent.blocks)).sum::<u64>();
        inode.set_used_blocks(content + needed + self.attribute_blocks(inode)?, &self.superblock);
        Ok(())
    }

    /// Fails where `changed`, a map made from a stored one, needs more blocks than are free, counting `returned`
    /// blocks that become free before it is stored.
    pub(crate) fn check_map_fits(&self, inode: &Inode, changed: &BlockMap, returned: u64) -> Result<()> {
        let needed = self.map_blocks_needed(inode, &changed.extents).saturating_sub(changed.map_blocks.len() as u64);
        let available = self.superblock.free_blocks() + returned;
        if needed <= available {
            return Ok(());
        }
        let unit_bytes = self.superblock.block_size_bytes();
        Err(Error::NoSpace { resource: Resource::Blocks, needed, available, unit_bytes })
    }

    /// Takes blocks for `holes` and stores the map with them; where the map then needs more blocks
    /// than there are, they are given back and nothing has changed.
    pub(crate) fn fill_holes(
        &mut self,
        inode: &mut Inode,
        map: &mut BlockMap,
        holes: &[Range<u64>],
        unwritten: bool,
    ) -> Result<()> {
        let count = holes.iter().map(|hole| hole.end - hole.start).sum();
        let Some(first) = holes.first().map(|hole| hole.start) else { return self.check_map_fits(inode, map, 0) };
        let past = holes.last().map_or(0, |hole| hole.end);
        if past > self.max_file_blocks(inode) {
            let limit = self.max_file_blocks(inode);
            return Err(Error::TooLarge { what: format!("file of {past} blocks, the limit is {limit}") });
        }
        // Content goes on where the content before it ends, if it can.
        let before = map.extents[..map.extents.partition_point(|extent| extent.range().end <= first)].last();
        let goal = before.map_or(self.inode_goal(inode.number()), |extent| extent.physical + u64::from(extent.blocks));
        let runs = self.allocate_blocks(goal, count)?;
        let unfilled = map.clone();
        map.fill(holes, &runs, unwritten);
        let reachable = if inode.has_flag(EXT4_EXTENTS_FL) { u64::MAX } else { 1 << 32 };
        let kept = if runs.iter().any(|run| run.first + run.blocks > reachable) {
            let what = "a file with indirect blocks past the first 2^32 blocks";
            Err(Error::unsupported(Object::Inode(inode.number()), what))
        } else {
            self.check_map_fits(inode, map, 0)
        };
        if kept.is_err() {
            *map = unfilled;
            for run in runs {
                self.free_blocks(run)?;
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extent(logical: u32, physical: u64, blocks: u32) -> Extent {
        Extent { logical, physical, blocks, unwritten: false }
    }

    #[test]
    fn runs_that_touch_become_one_extent() {
        let runs = [
            BlockRun { first: 100, blocks: 10 },
            BlockRun { first: 110, blocks: 40_000 },
            BlockRun { first: 9, blocks: 1 },
        ];
        let mut map = BlockMap::default();
        map.fill(std::slice::from_ref(&(0..40_011)), &runs, false);
        assert_eq!(map.extents, [extent(0, 100, 40_010), extent(40_010, 9, 1)]);
    }

    proptest! {
        /// Against a vector with one place a block.
        #[test]
        fn a_map_is_what_was_done_to_each_of_its_blocks(
            edits in prop::collection::vec((0u64..60, 1u64..20, 0u8..4), 1..30),
        ) {
            let mut model: Vec<Option<(u64, bool)>> = vec![None; 80];
            let mut map = BlockMap::default();
            let mut next_physical = 1000;
            for (start, length, kind) in edits {
                let range = start..start + length;
                match kind {
                    0 => {
                        let freed: u64 = map.remove(&range).iter().map(|run| run.blocks).sum();
                        let held = model[start as usize..][..length as usize].iter().flatten().count();
                        prop_assert_eq!(freed, held as u64);
                        model[start as usize..][..length as usize].fill(None);
                    }
                    1 => {
                        map.mark_written(&range);
                        model[start as usize..][..length as usize].iter_mut().flatten().for_each(|block| block.1 = false);
                    }
                    _ => {
                        let holes = map.holes(range);
                        let count: u64 = holes.iter().map(|hole| hole.end - hole.start).sum();
                        map.fill(&holes, &[BlockRun { first: next_physical, blocks: count }], kind == 2);
                        for at in holes.into_iter().flatten() {
                            prop_assert!(model[at as usize].replace((next_physical, kind == 2)).is_none());
                            next_physical += 1;
                        }
                    }
                }
            }
            for (at, block) in model.iter().enumerate() {
                let found = map.find(at as u64).map(|extent| {
                    (extent.physical + at as u64 - u64::from(extent.logical), extent.unwritten)
                });
                prop_assert_eq!(found, *block);
            }
            for pair in map.extents.windows(2) {
                prop_assert!(pair[0].range().end <= pair[1].range().start);
            }
        }
    }
}
