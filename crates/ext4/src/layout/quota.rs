//! Quota files: a header, a tree of block numbers, and blocks of entries, of 1 KiB each.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Size in bytes of a block of a quota file, whatever the file system's is.
pub(crate) const QUOTA_BLOCK_BYTES: usize = 1024;
/// `dqh_version`: entries with 64-bit numbers (`vfsv1`).
pub(crate) const QUOTA_VERSION: u32 = 1;

/// `struct v2_disk_dqheader` and, right after it, `struct v2_disk_dqinfo`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawQuotaHeader {
    /// 0x00: magic, by what is counted
    pub(crate) dqh_magic: U32,
    /// 0x04: version
    pub(crate) dqh_version: U32,
    /// 0x08: seconds for which the soft limit of space may be passed
    pub(crate) dqi_bgrace: U32,
    /// 0x0C: likewise, of inodes
    pub(crate) dqi_igrace: U32,
    /// 0x10: flags
    pub(crate) dqi_flags: U32,
    /// 0x14: blocks of the file
    pub(crate) dqi_blocks: U32,
    /// 0x18: first free block
    pub(crate) dqi_free_blk: U32,
    /// 0x1C: first block with room for entries
    pub(crate) dqi_free_entry: U32,
}

/// `struct qt_disk_dqdbheader` at the start of a block of entries.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawQuotaBlockHeader {
    /// 0x0: next block with room for entries
    pub(crate) dqdh_next_free: U32,
    /// 0x4: previous one
    pub(crate) dqdh_prev_free: U32,
    /// 0x8: entries in use
    pub(crate) dqdh_entries: U16,
    /// 0xA: padding
    pub(crate) dqdh_pad1: U16,
    /// 0xC: padding
    pub(crate) dqdh_pad2: U32,
}

/// `struct v2r1_disk_dqblk`: what one user, group or project may use and does use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawQuotaEntry {
    /// 0x00: whose it is
    pub(crate) dqb_id: U32,
    /// 0x04: padding
    pub(crate) dqb_pad: U32,
    /// 0x08: most inodes
    pub(crate) dqb_ihardlimit: U64,
    /// 0x10: inodes that are too many after a while
    pub(crate) dqb_isoftlimit: U64,
    /// 0x18: inodes in use
    pub(crate) dqb_curinodes: U64,
    /// 0x20: most space, in KiB
    pub(crate) dqb_bhardlimit: U64,
    /// 0x28: space that is too much after a while, in KiB
    pub(crate) dqb_bsoftlimit: U64,
    /// 0x30: space in use, in bytes
    pub(crate) dqb_curspace: U64,
    /// 0x38: when the soft limit of space becomes a hard one
    pub(crate) dqb_btime: U64,
    /// 0x40: likewise, of inodes
    pub(crate) dqb_itime: U64,
}

const _: () = assert!(size_of::<RawQuotaHeader>() == 32);
const _: () = assert!(size_of::<RawQuotaBlockHeader>() == 16);
const _: () = assert!(size_of::<RawQuotaEntry>() == 72);
