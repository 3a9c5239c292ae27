//! Growing: the last group made longer, groups added after it, and descriptors for them.
//!
//! The example has 16,384 blocks in two groups. Grown to 32 MiB, 32,768 blocks, this is done:
//!
//! ```text
//! group 1  had blocks 8193 to 16383, one less than it could: block 16384 is added, and free
//! group 2  blocks 16385 to 24576: bitmaps, an inode table of 512 blocks, a descriptor, the rest is free
//! group 3  the same; as 3 is a power of 3 it begins with a backup of the super block and the descriptors
//! s_inodes_count   4096 + 2 * 2048 = 8192: inodes come with groups
//! ```
//!
//! A block has 16 descriptors of 64 bytes, so that those of four groups stay in block 2. The 17th group needs a second
//! block, which must be the one after it: `mke2fs` keeps blocks 3 to 129 free for this, and an inode of its own owns
//! them ([`resize_inode`]). A rest at the end that has no room for a group's metadata and 50 blocks more is left off.
//!
//! What comes out is what `resize2fs` makes of a file system that is not mounted, with one difference: where the blocks
//! kept free do not suffice, nothing is moved out of the way. Further descriptors go into the groups that they describe
//! (`meta_bg`), as when the kernel grows a mounted file system.

mod group;
pub(crate) mod resize_inode;

use storage::{ReadAt, WriteAt};

use crate::allocate::BlockRun;
use crate::bitmap::BitmapKind;
use crate::error::{Error, Object, Result};
use crate::features::{compat, incompat};
use crate::filesystem::FileSystem;
use crate::layout::group_descriptor::EXT4_BG_BLOCK_UNINIT;
use crate::superblock::{MAX_GROUPS, Superblock};

/// Blocks that a short last group must have apart from its metadata; one with fewer is left off.
const LEAST_CONTENT_BLOCKS: u64 = 50;

impl<S: WriteAt> FileSystem<S> {
    /// Grows the file system to `blocks` blocks, which the storage must have, and writes all of it,
    /// backups included. A rest at the end that is too small for a group of its own is left off.
    ///
    /// After an error do not flush the file system in memory.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for fewer blocks than there are and where the file system cannot be
    /// written, [`Error::TooLarge`] past what the format or the storage can hold,
    /// [`Error::Corrupt`], [`Error::Storage`].
    pub fn grow(&mut self, blocks: u64) -> Result<()> {
        self.prepare_to_write()?;
        self.flush()?;
        let old = self.superblock.clone();
        let storage_blocks = self.storage.size_bytes() / self.block_size();
        if blocks > storage_blocks {
            let what = format!(
                "file system of {blocks} blocks of {} bytes: there is room for {storage_blocks}",
                self.block_size()
            );
            return Err(Error::TooLarge { what });
        }
        let grown = grown(&old, blocks)?;
        if grown.blocks() == old.blocks() {
            return Ok(());
        }
        let last = old.groups() - 1;
        let moved = moved_backups(&old, &grown);
        // Bitmaps that were never written are computed from the super block: from the old one here.
        for &number in moved.iter().chain([&last]) {
            self.bitmap(BitmapKind::Blocks, number)?;
        }
        self.superblock = grown;
        self.superblock_changed = true;
        self.lengthen_group(last, old.group_blocks(last))?;
        for number in moved {
            self.free_base_metadata(number, &old)?;
        }
        self.add_groups()?;
        if self.superblock.has_compat(compat::RESIZE_INODE) {
            self.store_resize_inode()?;
        } else if old.has_compat(compat::RESIZE_INODE) {
            self.drop_resize_inode()?;
        }
        self.write_bitmaps()?;
        self.write_descriptors_and_backups()?;
        self.flush()
    }

    /// Frees the blocks that were added to a group of `old_blocks` blocks.
    fn lengthen_group(&mut self, number: u32, old_blocks: u32) -> Result<()> {
        let more = self.superblock.group_blocks(number) - old_blocks;
        if more == 0 {
            return Ok(());
        }
        self.bitmap(BitmapKind::Blocks, number)?.set_range(old_blocks, more, false);
        let group = &mut self.groups[number as usize];
        group.set_free_blocks(group.free_blocks() + more);
        group.mark_initialised(EXT4_BG_BLOCK_UNINIT);
        self.superblock.set_free_blocks(self.superblock.free_blocks().saturating_add(more.into()));
        Ok(())
    }

    /// Frees the backups at the start of a group that has fewer of them than under `old`.
    fn free_base_metadata(&mut self, number: u32, old: &Superblock) -> Result<()> {
        let kept = self.superblock.base_metadata_blocks(number);
        let surplus = old.base_metadata_blocks(number) - kept;
        let first = self.superblock.group_first_block(number) + u64::from(kept);
        self.free_blocks(BlockRun { first, blocks: u64::from(surplus) })
    }

    /// Writes all group descriptors, and every backup of them and of the super block.
    pub(crate) fn write_descriptors_and_backups(&mut self) -> Result<()> {
        let per_block = self.superblock.descriptors_per_block();
        let block_size = self.block_size() as usize;
        for index in 0..self.superblock.descriptor_blocks() {
            let first = index * per_block;
            let end = (first + per_block).min(self.superblock.groups());
            let mut bytes = Vec::with_capacity(block_size);
            for number in first..end {
                bytes.extend(self.groups[number as usize].seal(number, &self.superblock));
            }
            bytes.resize(block_size, 0);
            self.write_block(self.superblock.descriptor_block(index), &bytes)?;
            for copy in self.superblock.descriptor_copies(index) {
                self.write_block(copy, &bytes)?;
            }
        }
        for group in self.superblock.backup_groups() {
            let mut bytes = self.superblock.backup(group);
            bytes.resize(block_size, 0);
            self.write_block(self.superblock.group_first_block(group), &bytes)?;
        }
        Ok(())
    }
}

/// The super block of `old` grown to `blocks` blocks, or a few less.
fn grown(old: &Superblock, blocks: u64) -> Result<Superblock> {
    if blocks < old.blocks() {
        let feature = format!("shrinking from {} to {blocks} blocks", old.blocks());
        return Err(Error::unsupported(Object::Superblock, feature));
    }
    let (limit, why) = largest(old);
    // A disk of 2^32 blocks is 16 TiB, which people ask for: it loses one block.
    let mut blocks = if blocks == limit + 1 { limit } else { blocks };
    if blocks > limit {
        return Err(Error::TooLarge { what: format!("file system of {blocks} blocks: the limit is {limit}, {why}") });
    }
    loop {
        let mut new = old.clone();
        new.set_blocks(blocks);
        make_room_for_descriptors(&mut new, old);
        move_backups(&mut new, old);
        let last = new.groups() - 1;
        let last_blocks = u64::from(new.group_blocks(last));
        let metadata = u64::from(new.base_metadata_blocks(last)) + 2 + new.inode_table_blocks();
        let is_short = last_blocks < u64::from(new.blocks_per_group());
        if last >= old.groups() && is_short && last_blocks < metadata + LEAST_CONTENT_BLOCKS {
            blocks -= last_blocks;
            continue;
        }
        let reserved = u128::from(old.reserved_blocks()) * u128::from(blocks) / u128::from(old.blocks());
        new.set_reserved_blocks(reserved as u64);
        // The kernel counts it again where it is 0.
        new.raw.s_overhead_blocks.set(0);
        return Ok(new);
    }
}

/// How many blocks the file system can have, and what sets the limit.
fn largest(old: &Superblock) -> (u64, &'static str) {
    let of_groups = |groups: u64| old.first_data_block() + groups * u64::from(old.blocks_per_group());
    let limits = [
        (if old.has_incompat(incompat::BIT64) { u64::MAX } else { u64::from(u32::MAX) }, "without the 64bit feature"),
        (of_groups(u64::from(u32::MAX / old.inodes_per_group())), "as inodes are counted in 32 bits"),
        (of_groups(MAX_GROUPS), "as more groups are not read"),
    ];
    limits.into_iter().min().unwrap_or((u64::from(u32::MAX), ""))
}

/// Finds room for the descriptors that are added to those of `old`: in the blocks kept free for them, or
/// in the groups that they describe.
fn make_room_for_descriptors(new: &mut Superblock, old: &Superblock) {
    let more = new.descriptor_blocks() - old.descriptor_blocks();
    let reserved = u32::from(old.raw.s_reserved_gdt_blocks.get());
    if new.has_incompat(incompat::META_BG) {
        return;
    }
    // The resize inode has no room for block numbers past 32 bits.
    let has_wide_blocks = new.has_compat(compat::RESIZE_INODE) && new.blocks() > u64::from(u32::MAX);
    if more <= reserved && !has_wide_blocks {
        new.raw.s_reserved_gdt_blocks.set((reserved - more) as u16);
        return;
    }
    new.raw.s_feature_incompat.set(new.raw.s_feature_incompat.get() | incompat::META_BG);
    new.raw.s_feature_compat.set(new.raw.s_feature_compat.get() & !compat::RESIZE_INODE);
    new.raw.s_first_meta_bg.set(old.descriptor_blocks() + reserved);
    new.raw.s_reserved_gdt_blocks.set(0);
}

/// With `sparse_super2` the second backup is in the last group, and the first in group 1.
fn move_backups(new: &mut Superblock, old: &Superblock) {
    let last = new.groups() - 1;
    if !new.has_compat(compat::SPARSE_SUPER2) || new.groups() == old.groups() {
        return;
    }
    let [first, second] = &mut new.raw.s_backup_bgs;
    if old.groups() == 1 {
        first.set(1);
        second.set(if last > 1 { last } else { 0 });
    } else if second.get() != 0 {
        second.set(last);
    }
}

/// Groups that had more at their start than they have now.
fn moved_backups(old: &Superblock, new: &Superblock) -> Vec<u32> {
    let moved = |&group: &u32| old.base_metadata_blocks(group) > new.base_metadata_blocks(group);
    old.backup_groups().filter(moved).collect()
}
