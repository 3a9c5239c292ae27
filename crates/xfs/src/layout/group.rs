//! The headers of an allocation group, a sector each: free space (`xfs_agf`), inodes (`xfs_agi`) and the blocks that
//! are kept for the trees of the free space (`xfs_agfl`).

use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) const XFS_AGF_MAGIC: u32 = 0x5841_4746;
pub(crate) const XFS_AGI_MAGIC: u32 = 0x5841_4749;
pub(crate) const XFS_AGFL_MAGIC: u32 = 0x5841_464c;
/// Of both headers.
pub(crate) const AG_VERSION: u32 = 1;
/// Where the checksums are.
pub(crate) const AGF_CRC_AT: usize = 216;
pub(crate) const AGI_CRC_AT: usize = 312;
pub(crate) const AGFL_CRC_AT: usize = 32;
/// Where the block numbers of `xfs_agfl` begin.
pub(crate) const AGFL_BNO_AT: usize = 36;
/// No block, no inode of a group.
pub(crate) const NULL32: u32 = u32::MAX;

/// `xfs_agf`.
#[derive(Clone, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawAgf {
    pub(crate) agf_magicnum: U32,
    pub(crate) agf_versionnum: U32,
    pub(crate) agf_seqno: U32,
    pub(crate) agf_length: U32,
    pub(crate) agf_bno_root: U32,
    pub(crate) agf_cnt_root: U32,
    pub(crate) agf_rmap_root: U32,
    pub(crate) agf_bno_level: U32,
    pub(crate) agf_cnt_level: U32,
    pub(crate) agf_rmap_level: U32,
    pub(crate) agf_flfirst: U32,
    pub(crate) agf_fllast: U32,
    pub(crate) agf_flcount: U32,
    pub(crate) agf_freeblks: U32,
    pub(crate) agf_longest: U32,
    pub(crate) agf_btreeblks: U32,
    pub(crate) agf_uuid: [u8; 16],
    pub(crate) agf_rmap_blocks: U32,
    pub(crate) agf_refcount_blocks: U32,
    pub(crate) agf_refcount_root: U32,
    pub(crate) agf_refcount_level: U32,
    pub(crate) agf_spare64: [U64; 14],
    pub(crate) agf_lsn: U64,
    pub(crate) agf_crc: [u8; 4],
    pub(crate) agf_spare2: U32,
}
const _: () = assert!(size_of::<RawAgf>() == 224);

/// `xfs_agi`.
#[derive(Clone, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawAgi {
    pub(crate) agi_magicnum: U32,
    pub(crate) agi_versionnum: U32,
    pub(crate) agi_seqno: U32,
    pub(crate) agi_length: U32,
    pub(crate) agi_count: U32,
    pub(crate) agi_root: U32,
    pub(crate) agi_level: U32,
    pub(crate) agi_freecount: U32,
    pub(crate) agi_newino: U32,
    pub(crate) agi_dirino: U32,
    pub(crate) agi_unlinked: [U32; 64],
    pub(crate) agi_uuid: [u8; 16],
    pub(crate) agi_crc: [u8; 4],
    pub(crate) agi_pad32: U32,
    pub(crate) agi_lsn: U64,
    pub(crate) agi_free_root: U32,
    pub(crate) agi_free_level: U32,
    pub(crate) agi_iblocks: U32,
    pub(crate) agi_fblocks: U32,
}
const _: () = assert!(size_of::<RawAgi>() == 344);

/// `xfs_agfl`, in front of the block numbers.
#[derive(Clone, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawAgfl {
    pub(crate) agfl_magicnum: U32,
    pub(crate) agfl_seqno: U32,
    pub(crate) agfl_uuid: [u8; 16],
    pub(crate) agfl_lsn: U64,
    pub(crate) agfl_crc: [u8; 4],
}
const _: () = assert!(size_of::<RawAgfl>() == AGFL_BNO_AT);
