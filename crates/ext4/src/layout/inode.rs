//! Inodes: 128 bytes, followed by `i_extra_isize` bytes and the in-inode extended attributes.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `i_flags`: hashed-tree directory.
pub(crate) const EXT4_INDEX_FL: u32 = 0x1000;
/// `i_flags`: `i_blocks` counts file system blocks.
pub(crate) const EXT4_HUGE_FILE_FL: u32 = 0x4_0000;
/// `i_flags`: the block map is an extent tree.
pub(crate) const EXT4_EXTENTS_FL: u32 = 0x8_0000;
/// `i_flags`: the inode holds an extended attribute's value.
pub(crate) const EXT4_EA_INODE_FL: u32 = 0x20_0000;
/// `i_flags`: the content is in the inode.
pub(crate) const EXT4_INLINE_DATA_FL: u32 = 0x1000_0000;
/// `i_flags`: the content is encrypted.
pub(crate) const EXT4_ENCRYPT_FL: u32 = 0x800;
/// `i_flags`: what is made in the directory gets its project id.
pub(crate) const EXT4_PROJINHERIT_FL: u32 = 0x2000_0000;
/// `i_flags`: names in the directory are looked up, and hashed, without regard to case.
pub(crate) const EXT4_CASEFOLD_FL: u32 = 0x4000_0000;
/// `i_flags`: what follows the content is a tree of its hashes.
pub(crate) const EXT4_VERITY_FL: u32 = 0x10_0000;
/// What `chattr` may change of a file as it is stored here: `s`, `u`, `S`, `i`, `a`, `d`, `A`, `j`, `t`, `D`, `T`.
pub(crate) const EXT4_CHANGEABLE_FL: u32 = 0x3_c0fb;
/// `i_flags`: the file cannot be changed.
pub(crate) const EXT4_IMMUTABLE_FL: u32 = 0x10;

/// `struct ext4_inode` up to the 128 bytes that every file system has.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawInode {
    /// 0x00: file type and permissions
    pub(crate) i_mode: U16,
    /// 0x02: owner's uid, low 16 bits
    pub(crate) i_uid: U16,
    /// 0x04: size in bytes, low 32 bits
    pub(crate) i_size_lo: U32,
    /// 0x08: access time
    pub(crate) i_atime: U32,
    /// 0x0C: inode change time
    pub(crate) i_ctime: U32,
    /// 0x10: modification time
    pub(crate) i_mtime: U32,
    /// 0x14: deletion time, or next orphan
    pub(crate) i_dtime: U32,
    /// 0x18: gid, low 16 bits
    pub(crate) i_gid: U16,
    /// 0x1A: hard links
    pub(crate) i_links_count: U16,
    /// 0x1C: 512-byte sectors used, low 32 bits
    pub(crate) i_blocks_lo: U32,
    /// 0x20: flags
    pub(crate) i_flags: U32,
    /// 0x24: version, low 32 bits
    pub(crate) i_version: U32,
    /// 0x28: block map, extent tree root, short symlink or device number
    pub(crate) i_block: [u8; 60],
    /// 0x64: generation
    pub(crate) i_generation: U32,
    /// 0x68: extended attribute block, low 32 bits
    pub(crate) i_file_acl_lo: U32,
    /// 0x6C: size in bytes, high 32 bits
    pub(crate) i_size_high: U32,
    /// 0x70: fragment address, obsolete
    pub(crate) i_obso_faddr: U32,
    /// 0x74: sectors used, high 16 bits
    pub(crate) i_blocks_high: U16,
    /// 0x76: extended attribute block, high 16 bits
    pub(crate) i_file_acl_high: U16,
    /// 0x78: uid, high 16 bits
    pub(crate) i_uid_high: U16,
    /// 0x7A: gid, high 16 bits
    pub(crate) i_gid_high: U16,
    /// 0x7C: checksum, low 16 bits
    pub(crate) i_checksum_lo: U16,
    /// 0x7E: padding
    pub(crate) i_reserved: U16,
}

/// What follows the first 128 bytes; only the first `i_extra_isize` bytes of it are there.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawInodeExtra {
    /// 0x80: size in bytes of this part
    pub(crate) i_extra_isize: U16,
    /// 0x82: checksum, high 16 bits
    pub(crate) i_checksum_hi: U16,
    /// 0x84: change time, 2 epoch bits and nanoseconds
    pub(crate) i_ctime_extra: U32,
    /// 0x88: modification time, likewise
    pub(crate) i_mtime_extra: U32,
    /// 0x8C: access time, likewise
    pub(crate) i_atime_extra: U32,
    /// 0x90: creation time
    pub(crate) i_crtime: U32,
    /// 0x94: creation time, likewise
    pub(crate) i_crtime_extra: U32,
    /// 0x98: version, high 32 bits
    pub(crate) i_version_hi: U32,
    /// 0x9C: project id
    pub(crate) i_projid: U32,
}

const _: () = assert!(size_of::<RawInode>() == 128);
const _: () = assert!(core::mem::offset_of!(RawInode, i_block) == 0x28);
const _: () = assert!(core::mem::offset_of!(RawInode, i_checksum_lo) == 0x7C);
const _: () = assert!(size_of::<RawInodeExtra>() == 32);
