//! `xfs_dinode` of version 3, which version 5 of the file system has.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `XFS_DINODE_MAGIC`: `IN`.
pub(crate) const XFS_DINODE_MAGIC: u16 = 0x494e;
/// Where the checksum is.
pub(crate) const CRC_AT: usize = 100;
/// Where the data fork begins: the length of the fields in front of it.
pub(crate) const LITERAL_AT: usize = size_of::<RawInode>();

/// `di_format` and `di_aformat`.
pub(crate) const XFS_DINODE_FMT_DEV: u8 = 0;
pub(crate) const XFS_DINODE_FMT_LOCAL: u8 = 1;
pub(crate) const XFS_DINODE_FMT_EXTENTS: u8 = 2;
pub(crate) const XFS_DINODE_FMT_BTREE: u8 = 3;

/// `di_flags`.
pub(crate) const XFS_DIFLAG_REALTIME: u16 = 1 << 0;
pub(crate) const XFS_DIFLAG_PREALLOC: u16 = 1 << 1;
pub(crate) const XFS_DIFLAG_PROJINHERIT: u16 = 1 << 9;
/// `di_flags2`.
pub(crate) const XFS_DIFLAG2_REFLINK: u64 = 1 << 1;
pub(crate) const XFS_DIFLAG2_BIGTIME: u64 = 1 << 3;
pub(crate) const XFS_DIFLAG2_NREXT64: u64 = 1 << 4;
/// All that are known.
pub(crate) const XFS_DIFLAG2_KNOWN: u64 = 0b11111;

/// `xfs_dinode`.
#[derive(Clone, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawInode {
    pub(crate) di_magic: U16,
    pub(crate) di_mode: U16,
    pub(crate) di_version: u8,
    pub(crate) di_format: u8,
    pub(crate) di_onlink: U16,
    pub(crate) di_uid: U32,
    pub(crate) di_gid: U32,
    pub(crate) di_nlink: U32,
    pub(crate) di_projid_lo: U16,
    pub(crate) di_projid_hi: U16,
    pub(crate) di_big_nextents: U64,
    pub(crate) di_atime: U64,
    pub(crate) di_mtime: U64,
    pub(crate) di_ctime: U64,
    pub(crate) di_size: U64,
    pub(crate) di_nblocks: U64,
    pub(crate) di_extsize: U32,
    pub(crate) di_nextents: U32,
    pub(crate) di_anextents: U16,
    pub(crate) di_forkoff: u8,
    pub(crate) di_aformat: u8,
    pub(crate) di_dmevmask: U32,
    pub(crate) di_dmstate: U16,
    pub(crate) di_flags: U16,
    pub(crate) di_gen: U32,
    pub(crate) di_next_unlinked: U32,
    pub(crate) di_crc: [u8; 4],
    pub(crate) di_changecount: U64,
    pub(crate) di_lsn: U64,
    pub(crate) di_flags2: U64,
    pub(crate) di_cowextsize: U32,
    pub(crate) di_pad2: [u8; 12],
    pub(crate) di_crtime: U64,
    pub(crate) di_ino: U64,
    pub(crate) di_uuid: [u8; 16],
}
const _: () = assert!(size_of::<RawInode>() == 176);
