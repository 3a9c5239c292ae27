//! The headers of B+tree blocks: short ones with pointers inside an allocation group, long ones for block maps.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Free space by block, and by size: `AB3B`, `AB3C`.
pub(crate) const XFS_ABTB_CRC_MAGIC: u32 = 0x4142_3342;
pub(crate) const XFS_ABTC_CRC_MAGIC: u32 = 0x4142_3343;
/// Inodes, and chunks with free ones: `IAB3`, `FIB3`.
pub(crate) const XFS_IBT_CRC_MAGIC: u32 = 0x4941_4233;
pub(crate) const XFS_FIBT_CRC_MAGIC: u32 = 0x4649_4233;
/// Owners of blocks, and counts of shared ones: `RMB3`, `R3FC`.
pub(crate) const XFS_RMAP_CRC_MAGIC: u32 = 0x524d_4233;
pub(crate) const XFS_REFC_CRC_MAGIC: u32 = 0x5233_4643;
/// Block maps: `BMA3`.
pub(crate) const XFS_BMAP_CRC_MAGIC: u32 = 0x424d_4133;

/// Where the checksums are.
pub(crate) const SHORT_CRC_AT: usize = 52;
pub(crate) const LONG_CRC_AT: usize = 64;
/// Lengths of the headers in bytes.
pub(crate) const SHORT_BYTES: usize = size_of::<RawShort>();
pub(crate) const LONG_BYTES: usize = size_of::<RawLong>();

/// `xfs_btree_block` with `xfs_btree_block_shdr`.
#[derive(Clone, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawShort {
    pub(crate) bb_magic: U32,
    pub(crate) bb_level: U16,
    pub(crate) bb_numrecs: U16,
    pub(crate) bb_leftsib: U32,
    pub(crate) bb_rightsib: U32,
    pub(crate) bb_blkno: U64,
    pub(crate) bb_lsn: U64,
    pub(crate) bb_uuid: [u8; 16],
    pub(crate) bb_owner: U32,
    pub(crate) bb_crc: [u8; 4],
}
const _: () = assert!(size_of::<RawShort>() == 56);

/// `xfs_btree_block` with `xfs_btree_block_lhdr`.
#[derive(Clone, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawLong {
    pub(crate) bb_magic: U32,
    pub(crate) bb_level: U16,
    pub(crate) bb_numrecs: U16,
    pub(crate) bb_leftsib: U64,
    pub(crate) bb_rightsib: U64,
    pub(crate) bb_blkno: U64,
    pub(crate) bb_lsn: U64,
    pub(crate) bb_uuid: [u8; 16],
    pub(crate) bb_owner: U64,
    pub(crate) bb_crc: [u8; 4],
    pub(crate) bb_pad: U32,
}
const _: () = assert!(size_of::<RawLong>() == 72);
