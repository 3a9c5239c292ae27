//! Extended attributes in blocks, and the header of what is stored in blocks of its own: long values and long symlinks.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) const XFS_ATTR3_LEAF_MAGIC: u16 = 0x3bee;
/// `XARM`, `XSLM`.
pub(crate) const XFS_ATTR3_RMT_MAGIC: u32 = 0x5841_524d;
pub(crate) const XFS_SYMLINK_MAGIC: u32 = 0x5853_4c4d;
/// Where the checksum of a [`RawRemote`] is; a leaf has its own where the index has it.
pub(crate) const REMOTE_CRC_AT: usize = 12;

/// Flags of an attribute.
pub(crate) const XFS_ATTR_LOCAL: u8 = 1;
pub(crate) const XFS_ATTR_ROOT: u8 = 2;
pub(crate) const XFS_ATTR_SECURE: u8 = 4;
pub(crate) const XFS_ATTR_PARENT: u8 = 8;
pub(crate) const XFS_ATTR_INCOMPLETE: u8 = 0x80;

/// `xfs_attr3_leaf_hdr`.
#[derive(Clone, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawLeafHeader {
    pub(crate) forw: U32,
    pub(crate) back: U32,
    pub(crate) magic: U16,
    pub(crate) pad: U16,
    pub(crate) crc: [u8; 4],
    pub(crate) blkno: U64,
    pub(crate) lsn: U64,
    pub(crate) uuid: [u8; 16],
    pub(crate) owner: U64,
    pub(crate) count: U16,
    pub(crate) usedbytes: U16,
    pub(crate) firstused: U16,
    pub(crate) holes: u8,
    pub(crate) pad1: u8,
    /// Start and length of free bytes.
    pub(crate) freemap: [[U16; 2]; 3],
    pub(crate) pad2: U32,
}
/// Length of the header in bytes.
pub(crate) const LEAF_HEADER_BYTES: usize = 80;
const _: () = assert!(size_of::<RawLeafHeader>() == LEAF_HEADER_BYTES);

/// `xfs_attr3_rmt_hdr` and `xfs_dsymlink_hdr`, which are the same.
#[derive(Clone, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawRemote {
    pub(crate) magic: U32,
    pub(crate) offset: U32,
    pub(crate) bytes: U32,
    pub(crate) crc: [u8; 4],
    pub(crate) uuid: [u8; 16],
    pub(crate) owner: U64,
    pub(crate) blkno: U64,
    pub(crate) lsn: U64,
}
/// Length of the header in bytes.
pub(crate) const REMOTE_BYTES: usize = 56;
const _: () = assert!(size_of::<RawRemote>() == REMOTE_BYTES);
