//! Blocks of directories, and the blocks of the index that directories and attributes share (`xfs_da_format.h`).

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A directory of one block with its index in it, one of several, and the list of free space: `XDB3`, `XDD3`, `XDF3`.
pub(crate) const XFS_DIR3_BLOCK_MAGIC: u32 = 0x5844_4233;
pub(crate) const XFS_DIR3_DATA_MAGIC: u32 = 0x5844_4433;
pub(crate) const XFS_DIR3_FREE_MAGIC: u32 = 0x5844_4633;
/// The only index block of a directory, one of several, a block above them.
pub(crate) const XFS_DIR3_LEAF1_MAGIC: u16 = 0x3df1;
pub(crate) const XFS_DIR3_LEAFN_MAGIC: u16 = 0x3dff;
pub(crate) const XFS_DA3_NODE_MAGIC: u16 = 0x3ebe;

/// Where the checksums are, in blocks of data and of the index.
pub(crate) const DATA_CRC_AT: usize = 4;
pub(crate) const INDEX_CRC_AT: usize = 12;
/// Length in bytes of the header of each kind of block.
pub(crate) const HEADER_BYTES: usize = 64;
/// Where a directory's index and its list of free space begin, in bytes.
pub(crate) const XFS_DIR2_LEAF_OFFSET: u64 = 1 << 35;
pub(crate) const XFS_DIR2_FREE_OFFSET: u64 = 1 << 36;
/// What stands in front of free bytes in a block.
pub(crate) const XFS_DIR2_DATA_FREE_TAG: u16 = 0xffff;
/// A block that the directory does not have.
pub(crate) const NULLDATAOFF: u16 = 0xffff;

/// `xfs_dir3_data_hdr`; `xfs_dir3_blk_hdr` is what is in front of `best_free`.
#[derive(Clone, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawDataHeader {
    pub(crate) magic: U32,
    pub(crate) crc: [u8; 4],
    pub(crate) blkno: U64,
    pub(crate) lsn: U64,
    pub(crate) uuid: [u8; 16],
    pub(crate) owner: U64,
    /// Offset and length of each of the longest free runs.
    pub(crate) best_free: [[U16; 2]; 3],
    pub(crate) pad: U32,
}
const _: () = assert!(size_of::<RawDataHeader>() == HEADER_BYTES);

/// `xfs_dir3_free_hdr`.
#[derive(Clone, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawFreeHeader {
    pub(crate) magic: U32,
    pub(crate) crc: [u8; 4],
    pub(crate) blkno: U64,
    pub(crate) lsn: U64,
    pub(crate) uuid: [u8; 16],
    pub(crate) owner: U64,
    pub(crate) firstdb: U32,
    pub(crate) nvalid: U32,
    pub(crate) nused: U32,
    pub(crate) pad: U32,
}
const _: () = assert!(size_of::<RawFreeHeader>() == HEADER_BYTES);

/// `xfs_da3_blkinfo`, and the counts behind it: of `xfs_dir3_leaf_hdr` and, with the level in place of the stale
/// entries, of `xfs_da3_node_hdr`.
#[derive(Clone, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawIndexHeader {
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
    pub(crate) stale_or_level: U16,
    pub(crate) pad2: U32,
}
const _: () = assert!(size_of::<RawIndexHeader>() == HEADER_BYTES);
