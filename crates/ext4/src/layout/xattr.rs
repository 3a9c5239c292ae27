//! Extended attributes: entries after the inode's extra part, or in a block of their own.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `h_magic` of both kinds.
pub(crate) const EXT4_XATTR_MAGIC: u32 = 0xEA02_0000;

/// `e_name_index` of names that begin with `user.`.
pub(crate) const EXT4_XATTR_INDEX_USER: u8 = 1;
/// `e_name_index` of an access ACL.
pub(crate) const EXT4_XATTR_INDEX_POSIX_ACL_ACCESS: u8 = 2;
/// `e_name_index` of a default ACL.
pub(crate) const EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT: u8 = 3;
/// `e_name_index` of names that begin with `system.`.
pub(crate) const EXT4_XATTR_INDEX_SYSTEM: u8 = 7;

/// `e_name_index` of how a file is encrypted.
pub(crate) const EXT4_XATTR_INDEX_ENCRYPTION: u8 = 9;

/// `struct ext4_xattr_header` at the start of an attribute block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawXattrHeader {
    /// 0x00: magic
    pub(crate) h_magic: U32,
    /// 0x04: inodes that share this block
    pub(crate) h_refcount: U32,
    /// 0x08: blocks, always 1
    pub(crate) h_blocks: U32,
    /// 0x0C: hash of all attributes
    pub(crate) h_hash: U32,
    /// 0x10: checksum
    pub(crate) h_checksum: U32,
    /// 0x14: zero
    pub(crate) h_reserved: [U32; 3],
}

/// `struct ext4_xattr_entry` without its name.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawXattrEntry {
    /// 0x0: length of the name
    pub(crate) e_name_len: u8,
    /// 0x1: prefix of the name
    pub(crate) e_name_index: u8,
    /// 0x2: where the value is
    pub(crate) e_value_offs: U16,
    /// 0x4: inode that holds the value, with ea_inode
    pub(crate) e_value_inum: U32,
    /// 0x8: size of the value
    pub(crate) e_value_size: U32,
    /// 0xC: hash of name and value
    pub(crate) e_hash: U32,
}

const _: () = assert!(size_of::<RawXattrHeader>() == 32);
const _: () = assert!(size_of::<RawXattrEntry>() == 16);
