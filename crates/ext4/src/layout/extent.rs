//! Extent trees: nodes of 12-byte records, in the inode or in blocks.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `eh_magic`.
pub(crate) const EXT4_EXT_MAGIC: u16 = 0xF30A;
/// An `ee_len` above this is an unwritten extent of `ee_len - 32768` blocks.
pub(crate) const EXT_INIT_MAX_LEN: u16 = 32768;
/// Size in bytes of each of the three records.
pub(crate) const RECORD_BYTES: usize = 12;

/// `struct ext4_extent_header`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawExtentHeader {
    /// 0x0: magic, 0xF30A
    pub(crate) eh_magic: U16,
    /// 0x2: records that follow
    pub(crate) eh_entries: U16,
    /// 0x4: records that could follow
    pub(crate) eh_max: U16,
    /// 0x6: levels below; 0 is a leaf
    pub(crate) eh_depth: U16,
    /// 0x8: generation, used by Lustre
    pub(crate) eh_generation: U32,
}

/// `struct ext4_extent_idx`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawExtentIndex {
    /// 0x0: first logical block below
    pub(crate) ei_block: U32,
    /// 0x4: block of the node below, low 32 bits
    pub(crate) ei_leaf_lo: U32,
    /// 0x8: likewise, high 16 bits
    pub(crate) ei_leaf_hi: U16,
    /// 0xA: padding
    pub(crate) ei_unused: U16,
}

/// `struct ext4_extent`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawExtent {
    /// 0x0: first logical block
    pub(crate) ee_block: U32,
    /// 0x4: blocks
    pub(crate) ee_len: U16,
    /// 0x6: first physical block, high 16 bits
    pub(crate) ee_start_hi: U16,
    /// 0x8: likewise, low 32 bits
    pub(crate) ee_start_lo: U32,
}

const _: () = assert!(size_of::<RawExtentHeader>() == RECORD_BYTES);
const _: () = assert!(size_of::<RawExtentIndex>() == RECORD_BYTES);
const _: () = assert!(size_of::<RawExtent>() == RECORD_BYTES);
