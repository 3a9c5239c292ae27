//! Directory blocks: linear entries, their checksum tail, and the hash tree over them.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `struct ext4_dir_entry_2` without its name.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawEntryHeader {
    /// 0x0: inode; 0 is an unused entry
    pub(crate) inode: U32,
    /// 0x4: distance to the next entry
    pub(crate) rec_len: U16,
    /// 0x6: length of the name
    pub(crate) name_len: u8,
    /// 0x7: file type; with the filetype feature off, high bits of the length
    pub(crate) file_type: u8,
}

/// `struct ext4_dir_entry_tail`: the last 12 bytes of a checksummed linear block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawTail {
    /// 0x0: pretends to be an unused inode
    pub(crate) det_reserved_zero1: U32,
    /// 0x4: 12
    pub(crate) det_rec_len: U16,
    /// 0x6: pretends to be a name length of 0
    pub(crate) det_reserved_zero2: u8,
    /// 0x7: 0xDE, a file type that does not exist
    pub(crate) det_reserved_ft: u8,
    /// 0x8: checksum of the block up to here
    pub(crate) det_checksum: U32,
}

/// `det_reserved_ft`.
pub(crate) const EXT4_FT_DIR_CSUM: u8 = 0xDE;

/// The information record of `struct dx_root`, 24 bytes into block 0 of an indexed directory.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawDxRootInfo {
    /// 0x0: zero
    pub(crate) reserved_zero: U32,
    /// 0x4: hash of this directory
    pub(crate) hash_version: u8,
    /// 0x5: 8
    pub(crate) info_length: u8,
    /// 0x6: levels of index blocks below the root
    pub(crate) indirect_levels: u8,
    /// 0x7: unused
    pub(crate) unused_flags: u8,
}

/// `struct dx_entry`; in the first of a node, `hash` is `limit` and `count` (`struct dx_countlimit`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawDxEntry {
    /// 0x0: lowest hash below
    pub(crate) hash: U32,
    /// 0x4: logical block below
    pub(crate) block: U32,
}

/// `struct dx_tail`: the last 8 bytes of a checksummed index block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawDxTail {
    /// 0x0: zero
    pub(crate) dt_reserved: U32,
    /// 0x4: checksum
    pub(crate) dt_checksum: U32,
}

const _: () = assert!(size_of::<RawEntryHeader>() == 8);
const _: () = assert!(size_of::<RawTail>() == 12);
const _: () = assert!(size_of::<RawDxRootInfo>() == 8);
const _: () = assert!(size_of::<RawDxEntry>() == 8);
const _: () = assert!(size_of::<RawDxTail>() == 8);
