//! `xfs_dsb`, in the first sector of each allocation group.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `XFS_SB_MAGIC`: `XFSB`.
pub(crate) const XFS_SB_MAGIC: u32 = 0x5846_5342;
/// Where the checksum is.
pub(crate) const CRC_AT: usize = 224;

/// Bits of `sb_versionnum`.
pub(crate) const XFS_SB_VERSION_NUMBITS: u16 = 0x000f;
pub(crate) const XFS_SB_VERSION_BORGBIT: u16 = 0x4000;
/// Bits of `sb_qflags` that say that the counts are right: `XFS_UQUOTA_CHKD`, `XFS_GQUOTA_CHKD` and `XFS_PQUOTA_CHKD`.
pub(crate) const XFS_QUOTA_CHKD: u16 = 0x0004 | 0x0100 | 0x0400;

/// `sb_features_ro_compat`.
pub(crate) mod ro_compat {
    pub(crate) const FINOBT: u32 = 1;
    pub(crate) const RMAPBT: u32 = 2;
    pub(crate) const REFLINK: u32 = 4;
    pub(crate) const INOBTCNT: u32 = 8;
}

/// `sb_features_incompat`.
pub(crate) mod incompat {
    pub(crate) const FTYPE: u32 = 1;
    pub(crate) const SPINODES: u32 = 2;
    pub(crate) const META_UUID: u32 = 4;
    pub(crate) const BIGTIME: u32 = 8;
    pub(crate) const NREXT64: u32 = 32;
    pub(crate) const EXCHRANGE: u32 = 64;
}

/// `xfs_dsb` as version 5 has it.
#[derive(Clone, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawSuperblock {
    pub(crate) sb_magicnum: U32,
    pub(crate) sb_blocksize: U32,
    pub(crate) sb_dblocks: U64,
    pub(crate) sb_rblocks: U64,
    pub(crate) sb_rextents: U64,
    pub(crate) sb_uuid: [u8; 16],
    pub(crate) sb_logstart: U64,
    pub(crate) sb_rootino: U64,
    pub(crate) sb_rbmino: U64,
    pub(crate) sb_rsumino: U64,
    pub(crate) sb_rextsize: U32,
    pub(crate) sb_agblocks: U32,
    pub(crate) sb_agcount: U32,
    pub(crate) sb_rbmblocks: U32,
    pub(crate) sb_logblocks: U32,
    pub(crate) sb_versionnum: U16,
    pub(crate) sb_sectsize: U16,
    pub(crate) sb_inodesize: U16,
    pub(crate) sb_inopblock: U16,
    pub(crate) sb_fname: [u8; 12],
    pub(crate) sb_blocklog: u8,
    pub(crate) sb_sectlog: u8,
    pub(crate) sb_inodelog: u8,
    pub(crate) sb_inopblog: u8,
    pub(crate) sb_agblklog: u8,
    pub(crate) sb_rextslog: u8,
    pub(crate) sb_inprogress: u8,
    pub(crate) sb_imax_pct: u8,
    pub(crate) sb_icount: U64,
    pub(crate) sb_ifree: U64,
    pub(crate) sb_fdblocks: U64,
    pub(crate) sb_frextents: U64,
    pub(crate) sb_uquotino: U64,
    pub(crate) sb_gquotino: U64,
    pub(crate) sb_qflags: U16,
    pub(crate) sb_flags: u8,
    pub(crate) sb_shared_vn: u8,
    pub(crate) sb_inoalignmt: U32,
    pub(crate) sb_unit: U32,
    pub(crate) sb_width: U32,
    pub(crate) sb_dirblklog: u8,
    pub(crate) sb_logsectlog: u8,
    pub(crate) sb_logsectsize: U16,
    pub(crate) sb_logsunit: U32,
    pub(crate) sb_features2: U32,
    pub(crate) sb_bad_features2: U32,
    pub(crate) sb_features_compat: U32,
    pub(crate) sb_features_ro_compat: U32,
    pub(crate) sb_features_incompat: U32,
    pub(crate) sb_features_log_incompat: U32,
    pub(crate) sb_crc: [u8; 4],
    pub(crate) sb_spino_align: U32,
    pub(crate) sb_pquotino: U64,
    pub(crate) sb_lsn: U64,
    pub(crate) sb_meta_uuid: [u8; 16],
}
const _: () = assert!(size_of::<RawSuperblock>() == 264);
