//! Block group descriptors: 32 bytes, or 64 with the 64bit feature.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `bg_flags`: the inode table and bitmap are not initialised.
pub(crate) const EXT4_BG_INODE_UNINIT: u16 = 0x1;
/// `bg_flags`: the block bitmap is not initialised.
pub(crate) const EXT4_BG_BLOCK_UNINIT: u16 = 0x2;
/// `bg_flags`: the inode table is all zeros where no inode was ever used.
pub(crate) const EXT4_BG_INODE_ZEROED: u16 = 0x4;

/// `struct ext4_group_desc`; the part from 0x20 on counts only where descriptors are 64 bytes.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawGroupDescriptor {
    /// 0x00: block of the block bitmap, low 32 bits
    pub(crate) bg_block_bitmap_lo: U32,
    /// 0x04: block of the inode bitmap, low 32 bits
    pub(crate) bg_inode_bitmap_lo: U32,
    /// 0x08: first block of the inode table, low 32 bits
    pub(crate) bg_inode_table_lo: U32,
    /// 0x0C: free blocks, low 16 bits
    pub(crate) bg_free_blocks_count_lo: U16,
    /// 0x0E: free inodes, low 16 bits
    pub(crate) bg_free_inodes_count_lo: U16,
    /// 0x10: directories, low 16 bits
    pub(crate) bg_used_dirs_count_lo: U16,
    /// 0x12: flags
    pub(crate) bg_flags: U16,
    /// 0x14: snapshot exclusion bitmap, low 32 bits
    pub(crate) bg_exclude_bitmap_lo: U32,
    /// 0x18: checksum of the block bitmap, low 16 bits
    pub(crate) bg_block_bitmap_csum_lo: U16,
    /// 0x1A: checksum of the inode bitmap, low 16 bits
    pub(crate) bg_inode_bitmap_csum_lo: U16,
    /// 0x1C: inodes at the table's end that were never used, low 16 bits
    pub(crate) bg_itable_unused_lo: U16,
    /// 0x1E: checksum of this descriptor
    pub(crate) bg_checksum: U16,
    /// 0x20: block of the block bitmap, high 32 bits
    pub(crate) bg_block_bitmap_hi: U32,
    /// 0x24: block of the inode bitmap, high 32 bits
    pub(crate) bg_inode_bitmap_hi: U32,
    /// 0x28: first block of the inode table, high 32 bits
    pub(crate) bg_inode_table_hi: U32,
    /// 0x2C: free blocks, high 16 bits
    pub(crate) bg_free_blocks_count_hi: U16,
    /// 0x2E: free inodes, high 16 bits
    pub(crate) bg_free_inodes_count_hi: U16,
    /// 0x30: directories, high 16 bits
    pub(crate) bg_used_dirs_count_hi: U16,
    /// 0x32: never used inodes, high 16 bits
    pub(crate) bg_itable_unused_hi: U16,
    /// 0x34: snapshot exclusion bitmap, high 32 bits
    pub(crate) bg_exclude_bitmap_hi: U32,
    /// 0x38: checksum of the block bitmap, high 16 bits
    pub(crate) bg_block_bitmap_csum_hi: U16,
    /// 0x3A: checksum of the inode bitmap, high 16 bits
    pub(crate) bg_inode_bitmap_csum_hi: U16,
    /// 0x3C: padding
    pub(crate) bg_reserved: U32,
}

const _: () = assert!(size_of::<RawGroupDescriptor>() == 64);
const _: () = assert!(core::mem::offset_of!(RawGroupDescriptor, bg_checksum) == 0x1E);
const _: () = assert!(core::mem::offset_of!(RawGroupDescriptor, bg_block_bitmap_csum_hi) == 0x38);
