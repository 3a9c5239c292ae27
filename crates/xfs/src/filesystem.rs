//! The file system as a whole: opened, and its changes written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use metadata::ContentExtent;
use storage::{Cache, ReadAt, WriteAt};

use crate::directory::Directory;
use crate::error::{Error, Object, Result};
use crate::group::{Blocks, Group, RESERVED_BLOCKS, Run};
use crate::log;
use crate::superblock::Superblock;
use crate::tree::XFS_RMAP_OFF_BMBT_BLOCK;

/// How much of the storage is kept in memory, in bytes.
const CACHE_BYTES: u64 = 16 << 20;
/// How many blocks a single new directory entry or block map may need beside its own.
const SLACK_BLOCKS: u64 = 8;

/// An XFS of version 5 on a storage.
///
/// Edits reach the storage at the latest when [`flush`](Self::flush) writes them. A storage that is dropped before is
/// not consistent: edit an [`Overlay`](storage::Overlay), and commit it only after `flush`.
pub struct FileSystem<S> {
    pub(crate) storage: Cache<S>,
    pub(crate) superblock: Superblock,
    pub(crate) groups: BTreeMap<u32, Group>,
    /// Directories that changed, or were looked into last.
    pub(crate) directories: Mutex<BTreeMap<u64, Directory>>,
    /// Where the content of the file is that was read last.
    pub(crate) extents: Mutex<Option<(u64, Arc<[ContentExtent]>)>>,
    /// Why this file system cannot be written, if so.
    write_refusal: Option<String>,
    superblock_changed: bool,
}

impl<S: ReadAt> Blocks for Cache<S>
where
    Cache<S>: WriteAt,
{
    fn read(&self, offset: u64, length_bytes: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length_bytes];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.write_at(offset, bytes)?)
    }
}

impl<S: WriteAt> FileSystem<S> {
    /// Opens the file system on `storage`. It can be edited if [`write_refusal`](Self::write_refusal) has no reason.
    ///
    /// # Errors
    ///
    /// [`Error::NotXfs`], [`Error::Unsupported`] for version 4, [`Error::Corrupt`] if the super block breaks a rule.
    pub fn open(storage: S) -> Result<Self> {
        let superblock = Superblock::read(&storage)?;
        let write_refusal = match superblock.write_refusal() {
            None => log::refusal(&storage, &superblock)?,
            refusal => refusal,
        };
        Ok(Self {
            storage: Cache::new(storage, CACHE_BYTES),
            superblock,
            groups: BTreeMap::new(),
            directories: Mutex::default(),
            extents: Mutex::default(),
            write_refusal,
            superblock_changed: false,
        })
    }

    /// Why this file system cannot be edited, if so.
    pub fn write_refusal(&self) -> Option<&str> {
        self.write_refusal.as_deref()
    }

    /// The super block. Its counts are those of the last [`flush`](Self::flush).
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The storage, which has all edits after [`flush`](Self::flush) only.
    pub fn storage(&self) -> &S {
        self.storage.base()
    }

    /// How many blocks are free.
    pub fn free_blocks(&self) -> u64 {
        let before = self.superblock.raw.sb_fdblocks.get();
        let taken: i64 = self.groups.values().map(Group::difference).sum();
        before.saturating_add_signed(taken).min(self.superblock.blocks())
    }

    /// Fails if the file system must not be edited.
    pub(crate) fn prepare_to_write(&mut self) -> Result<()> {
        *self.extents.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(reason) = &self.write_refusal {
            return Err(Error::unsupported(Object::Superblock, reason));
        }
        if !self.superblock_changed {
            self.superblock.forget_quotas();
            self.superblock_changed = true;
        }
        Ok(())
    }

    /// Writes every change that is not in the storage yet.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`]; [`Error::NoSpace`] if the blocks of an index or a tree do not fit.
    pub fn flush(&mut self) -> Result<()> {
        self.store_directories(0)?;
        for group in self.groups.values_mut() {
            group.prepare()?;
        }
        let mut counts = [0_i64; 3];
        for group in self.groups.values_mut() {
            for (sum, difference) in counts.iter_mut().zip(group.take_differences()) {
                *sum += difference;
            }
            group.store(&self.superblock, &self.storage)?;
        }
        if self.superblock_changed {
            let raw = &mut self.superblock.raw;
            for (field, difference) in
                [&mut raw.sb_fdblocks, &mut raw.sb_icount, &mut raw.sb_ifree].into_iter().zip(counts)
            {
                field.set(field.get().saturating_add_signed(difference));
            }
            self.superblock.write(&self.storage)?;
            self.superblock_changed = false;
        }
        Ok(self.storage.flush()?)
    }

    /// A group, read if it was not yet.
    pub(crate) fn group(&mut self, number: u32) -> Result<&mut Group> {
        if !self.groups.contains_key(&number) {
            let group = Group::read(&self.superblock, number, &self.storage)?;
            self.groups.insert(number, group);
        }
        self.groups.get_mut(&number).ok_or_else(|| Error::corrupt(Object::Group(number), "no such group"))
    }

    pub(crate) fn block_bytes(&self) -> u64 {
        self.superblock.block_size_bytes().into()
    }

    /// Reads one block.
    pub(crate) fn read_block(&self, block: u64) -> Result<Vec<u8>> {
        let offset = self.offset(block)?;
        Blocks::read(&self.storage, offset, self.block_bytes() as usize)
    }

    /// The sector of a super block or of a copy, which begins at a block that is counted from the start.
    pub(crate) fn superblock_at(&self, block: u64) -> Result<Vec<u8>> {
        Blocks::read(&self.storage, block * self.block_bytes(), self.superblock.sector_bytes())
    }

    pub(crate) fn write_block(&self, block: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.storage.write_at(self.offset(block)?, bytes)?)
    }

    pub(crate) fn offset(&self, block: u64) -> Result<u64> {
        self.superblock.offset(block).ok_or_else(|| Error::corrupt(Object::Block(block), "no such block"))
    }

    pub(crate) fn no_space(&self, needed: u64) -> Error {
        let block_size_bytes = self.superblock.block_size_bytes();
        Error::NoSpace { needed, available: self.usable_blocks(), block_size_bytes }
    }

    /// How many blocks content may still take.
    fn usable_blocks(&self) -> u64 {
        let kept = u64::from(RESERVED_BLOCKS) * u64::from(self.superblock.groups());
        self.free_blocks().saturating_sub(kept)
    }

    /// Fails if `blocks` more blocks, and what comes with them, are not free: new inodes, a block map, what
    /// directories that changed will take when they are stored.
    pub(crate) fn check_room(&mut self, blocks: u64) -> Result<()> {
        let directories = self.directories.get_mut().unwrap_or_else(PoisonError::into_inner);
        let waiting: u64 = directories.values().map(Directory::blocks_to_come).sum();
        let needed = blocks + waiting + SLACK_BLOCKS + u64::from(self.superblock.chunk_blocks());
        // If each block is an extent of its own; a leaf of a map is at least half full.
        let extents_of_leaf = self.block_bytes() / 40;
        if needed.saturating_add(blocks / extents_of_leaf) <= self.usable_blocks() {
            return Ok(());
        }
        let mut runs = 0;
        for group in 0..self.superblock.groups() {
            runs += self.group(group)?.free_runs().count() as u64;
        }
        let needed = needed + blocks.min(runs) / extents_of_leaf;
        if needed <= self.usable_blocks() { Ok(()) } else { Err(self.no_space(needed)) }
    }

    /// Takes `blocks` blocks for `owner`, from the group `goal` on: the first free run that is long enough, or else the
    /// longest ones. The first of them is block `offset` of the owner's file, with the flags of a tree of owners.
    pub(crate) fn take_blocks(
        &mut self,
        goal: u32,
        blocks: u64,
        owner: u64,
        mut offset: u64,
    ) -> Result<Vec<(u64, u64)>> {
        let mut taken = Vec::new();
        let mut left = blocks;
        while left > 0 {
            let (group, run) = self.find_run(goal, left)?.ok_or_else(|| self.no_space(left))?;
            self.group(group)?.take(run, owner, offset)?;
            taken.push((self.superblock.block(group, run.start), u64::from(run.blocks)));
            left -= u64::from(run.blocks);
            if offset & XFS_RMAP_OFF_BMBT_BLOCK == 0 {
                offset += u64::from(run.blocks);
            }
        }
        Ok(taken)
    }

    /// A free run of at most `blocks` blocks.
    fn find_run(&mut self, goal: u32, blocks: u64) -> Result<Option<(u32, Run)>> {
        let groups = self.superblock.groups();
        let mut longest: Option<(u32, Run)> = None;
        for number in (0..groups).map(|index| (goal % groups + index) % groups) {
            let group = self.group(number)?;
            let usable = group.usable_blocks();
            let wanted = u32::try_from(blocks).unwrap_or(u32::MAX);
            if wanted <= usable
                && let Some(run) = group.find(wanted, 1)
            {
                return Ok(Some((number, run)));
            }
            if let Some(run) = group.longest() {
                let run = Run { blocks: run.blocks.min(usable).min(wanted), ..run };
                if run.blocks > longest.map_or(0, |(_, run)| run.blocks) {
                    longest = Some((number, run));
                }
            }
        }
        Ok(longest)
    }

    /// Gives blocks back.
    pub(crate) fn give_blocks(&mut self, start: u64, blocks: u64, owner: u64, offset: u64) -> Result<()> {
        let (group, within) =
            self.superblock.split(start).ok_or_else(|| Error::corrupt(Object::Block(start), "no such block"))?;
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        self.group(group)?.give(Run { start: within, blocks }, owner, offset)
    }
}
