//! Block groups: their descriptors, and what is where in a group.
//!
//! A descriptor of 32 or 64 bytes for each group follows the super block, from the next block on. In the example
//! (see [`superblock`](crate::superblock)) both are in block 2. The one of group 0 begins:
//!
//! ```text
//! 0x00  8200 0000  bg_block_bitmap = 130         0x0c  061b       bg_free_blocks_count = 6918
//! 0x04  8400 0000  bg_inode_bitmap = 132         0x0e  b607       bg_free_inodes_count = 1974
//! 0x08  8600 0000  bg_inode_table = 134          0x10  0300       bg_used_dirs_count = 3
//! ```
//!
//! The inode table has 2,048 inodes of 256 bytes: 512 blocks, 134 to 645. Inode 12 is the twelfth of group 0, and
//! begins 11 * 256 bytes into the table: in block 136, at byte 768. A group's bitmaps and table need not be in the
//! group (`flex_bg`): those of group 1 are in blocks 131, 133 and 646, which are in group 0.
//!
//! `bg_flags` of group 1 is 1, [`EXT4_BG_INODE_UNINIT`]: none of its inodes was ever used, and nobody reads its inode
//! bitmap and table. `bg_checksum` is of the group's number and the descriptor.

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use storage::{ReadAt, WriteAt};

use crate::checksum::{crc16, crc32c};
use crate::error::{Error, Object, Result};
use crate::features::{incompat, ro_compat};
use crate::layout::group_descriptor::{EXT4_BG_BLOCK_UNINIT, EXT4_BG_INODE_UNINIT, RawGroupDescriptor};
use crate::superblock::Superblock;

const RAW_BYTES: usize = size_of::<RawGroupDescriptor>();

/// A group descriptor as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) raw: RawGroupDescriptor,
    /// What follows the first 64 bytes of a larger descriptor.
    tail: Vec<u8>,
    /// Whether it has to be written back.
    pub(crate) changed: bool,
}

impl Group {
    /// An empty descriptor.
    pub(crate) fn new(superblock: &Superblock) -> Self {
        let tail = vec![0; superblock.descriptor_size_bytes().saturating_sub(RAW_BYTES)];
        Self { raw: RawGroupDescriptor::new_zeroed(), tail, changed: true }
    }

    pub(crate) fn block_bitmap(&self, superblock: &Superblock) -> u64 {
        superblock.join(self.raw.bg_block_bitmap_lo.get(), self.raw.bg_block_bitmap_hi.get())
    }

    pub(crate) fn inode_bitmap(&self, superblock: &Superblock) -> u64 {
        superblock.join(self.raw.bg_inode_bitmap_lo.get(), self.raw.bg_inode_bitmap_hi.get())
    }

    pub(crate) fn inode_table(&self, superblock: &Superblock) -> u64 {
        superblock.join(self.raw.bg_inode_table_lo.get(), self.raw.bg_inode_table_hi.get())
    }

    pub(crate) fn set_block_bitmap(&mut self, block: u64) {
        self.raw.bg_block_bitmap_lo.set(block as u32);
        self.raw.bg_block_bitmap_hi.set((block >> 32) as u32);
        self.changed = true;
    }

    pub(crate) fn set_inode_bitmap(&mut self, block: u64) {
        self.raw.bg_inode_bitmap_lo.set(block as u32);
        self.raw.bg_inode_bitmap_hi.set((block >> 32) as u32);
        self.changed = true;
    }

    pub(crate) fn set_inode_table(&mut self, first: u64) {
        self.raw.bg_inode_table_lo.set(first as u32);
        self.raw.bg_inode_table_hi.set((first >> 32) as u32);
        self.changed = true;
    }

    pub(crate) fn free_blocks(&self) -> u32 {
        u32::from(self.raw.bg_free_blocks_count_hi.get()) << 16 | u32::from(self.raw.bg_free_blocks_count_lo.get())
    }

    pub(crate) fn free_inodes(&self) -> u32 {
        u32::from(self.raw.bg_free_inodes_count_hi.get()) << 16 | u32::from(self.raw.bg_free_inodes_count_lo.get())
    }

    pub(crate) fn directories(&self) -> u32 {
        u32::from(self.raw.bg_used_dirs_count_hi.get()) << 16 | u32::from(self.raw.bg_used_dirs_count_lo.get())
    }

    /// Inodes at the end of the table that were never used.
    pub(crate) fn unused_inodes(&self) -> u32 {
        u32::from(self.raw.bg_itable_unused_hi.get()) << 16 | u32::from(self.raw.bg_itable_unused_lo.get())
    }

    pub(crate) fn set_free_blocks(&mut self, count: u32) {
        self.raw.bg_free_blocks_count_lo.set(count as u16);
        self.raw.bg_free_blocks_count_hi.set((count >> 16) as u16);
        self.changed = true;
    }

    pub(crate) fn set_free_inodes(&mut self, count: u32) {
        self.raw.bg_free_inodes_count_lo.set(count as u16);
        self.raw.bg_free_inodes_count_hi.set((count >> 16) as u16);
        self.changed = true;
    }

    pub(crate) fn set_directories(&mut self, count: u32) {
        self.raw.bg_used_dirs_count_lo.set(count as u16);
        self.raw.bg_used_dirs_count_hi.set((count >> 16) as u16);
        self.changed = true;
    }

    pub(crate) fn set_unused_inodes(&mut self, count: u32) {
        self.raw.bg_itable_unused_lo.set(count as u16);
        self.raw.bg_itable_unused_hi.set((count >> 16) as u16);
        self.changed = true;
    }

    pub(crate) fn blocks_uninitialised(&self) -> bool {
        self.raw.bg_flags.get() & EXT4_BG_BLOCK_UNINIT != 0
    }

    pub(crate) fn inodes_uninitialised(&self) -> bool {
        self.raw.bg_flags.get() & EXT4_BG_INODE_UNINIT != 0
    }

    pub(crate) fn set_flags(&mut self, flags: u16) {
        self.raw.bg_flags.set(self.raw.bg_flags.get() | flags);
        self.changed = true;
    }

    pub(crate) fn mark_initialised(&mut self, flag: u16) {
        self.raw.bg_flags.set(self.raw.bg_flags.get() & !flag);
        self.changed = true;
    }

    /// The checksum as it should be; `None` where descriptors have none.
    pub(crate) fn computed_checksum(&self, group: u32, superblock: &Superblock) -> Option<u16> {
        let size = superblock.descriptor_size_bytes();
        let bytes = self.bytes(size);
        let (before, after) = (&bytes[..0x1E], &bytes[0x20..]);
        if superblock.has_metadata_checksums() {
            let crc = crc32c(superblock.checksum_seed(), &group.to_le_bytes());
            let crc = crc32c(crc32c(crc, before), &[0, 0]);
            return Some(crc32c(crc, after) as u16);
        }
        if superblock.has_ro_compat(ro_compat::GDT_CSUM) {
            let crc = crc16(crc16(!0, &superblock.raw.s_uuid), &group.to_le_bytes());
            let crc = crc16(crc, before);
            return Some(if superblock.has_incompat(incompat::BIT64) { crc16(crc, after) } else { crc });
        }
        None
    }

    /// The descriptor's bytes with a new checksum; the caller writes them.
    pub(crate) fn seal(&mut self, group: u32, superblock: &Superblock) -> Vec<u8> {
        if let Some(checksum) = self.computed_checksum(group, superblock) {
            self.raw.bg_checksum.set(checksum);
        }
        self.changed = false;
        self.bytes(superblock.descriptor_size_bytes())
    }

    fn bytes(&self, size: usize) -> Vec<u8> {
        let mut bytes = self.raw.as_bytes().to_vec();
        bytes.extend_from_slice(&self.tail);
        bytes.truncate(size);
        bytes
    }
}

/// Reads all descriptors and validates where they say things are.
pub(crate) fn read_groups(storage: &dyn ReadAt, superblock: &Superblock) -> Result<Vec<Group>> {
    let size = superblock.descriptor_size_bytes();
    let block_size = superblock.block_size_bytes() as usize;
    let mut groups = Vec::with_capacity(superblock.groups() as usize);
    let mut block = vec![0; block_size];
    for index in 0..superblock.descriptor_blocks() {
        let number = superblock.descriptor_block(index);
        if !superblock.is_data_block(number) {
            return Err(Error::corrupt(Object::Block(number), "group descriptors past the end of the file system"));
        }
        storage.read_at(number * block_size as u64, &mut block)?;
        for bytes in block.chunks_exact(size) {
            let group = groups.len() as u32;
            if group == superblock.groups() {
                break;
            }
            groups.push(parse(bytes, group, superblock)?);
        }
    }
    Ok(groups)
}

fn parse(bytes: &[u8], number: u32, superblock: &Superblock) -> Result<Group> {
    let mut padded = [0; RAW_BYTES];
    let known = bytes.len().min(RAW_BYTES);
    padded[..known].copy_from_slice(&bytes[..known]);
    let raw = RawGroupDescriptor::read_from_bytes(&padded)
        .map_err(|_| Error::corrupt(Object::Group(number), "64 bytes expected"))?;
    let group = Group { raw, tail: bytes[known..].to_vec(), changed: false };
    let corrupt = |problem: String| Err(Error::corrupt(Object::Group(number), problem));
    if let Some(computed) = group.computed_checksum(number, superblock)
        && computed != group.raw.bg_checksum.get()
    {
        return corrupt(format!("bg_checksum={:#06x}, computed {computed:#06x}", group.raw.bg_checksum.get()));
    }
    let table = group.inode_table(superblock);
    for (field, first, blocks) in [
        ("bg_block_bitmap", group.block_bitmap(superblock), 1),
        ("bg_inode_bitmap", group.inode_bitmap(superblock), 1),
        ("bg_inode_table", table, superblock.inode_table_blocks()),
    ] {
        if !superblock.is_data_block(first) || first.checked_add(blocks).is_none_or(|end| end > superblock.blocks()) {
            return corrupt(format!(
                "{field}={first} is outside the {} blocks of the file system",
                superblock.blocks()
            ));
        }
    }
    if group.free_blocks() > superblock.group_blocks(number) {
        return corrupt(format!(
            "bg_free_blocks_count={}, the group has {}",
            group.free_blocks(),
            superblock.group_blocks(number)
        ));
    }
    if group.free_inodes() > superblock.inodes_per_group() || group.unused_inodes() > superblock.inodes_per_group() {
        return corrupt(format!(
            "bg_free_inodes_count={} bg_itable_unused={}, the group has {}",
            group.free_inodes(),
            group.unused_inodes(),
            superblock.inodes_per_group()
        ));
    }
    Ok(group)
}

/// Writes the descriptors that changed, with new checksums.
pub(crate) fn write_groups(storage: &dyn WriteAt, superblock: &Superblock, groups: &mut [Group]) -> Result<()> {
    let size = superblock.descriptor_size_bytes();
    let per_block = superblock.descriptors_per_block();
    for (number, group) in groups.iter_mut().enumerate().filter(|(_, group)| group.changed) {
        let number = number as u32;
        let block = superblock.descriptor_block(number / per_block);
        let offset = block * u64::from(superblock.block_size_bytes()) + u64::from(number % per_block) * size as u64;
        storage.write_at(offset, &group.seal(number, superblock))?;
    }
    Ok(())
}
