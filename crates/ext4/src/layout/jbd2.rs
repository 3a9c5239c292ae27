//! The journal: big-endian, in blocks of the file system's size.

use zerocopy::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `h_magic` of every journal block that is not data.
pub(crate) const JBD2_MAGIC_NUMBER: u32 = 0xC03B_3998;
/// `h_blocktype`: tags of the data blocks that follow.
pub(crate) const JBD2_DESCRIPTOR_BLOCK: u32 = 1;
/// `h_blocktype`: the end of a transaction.
pub(crate) const JBD2_COMMIT_BLOCK: u32 = 2;
/// `h_blocktype`: super block, version 1.
pub(crate) const JBD2_SUPERBLOCK_V1: u32 = 3;
/// `h_blocktype`: super block, version 2.
pub(crate) const JBD2_SUPERBLOCK_V2: u32 = 4;
/// `h_blocktype`: blocks that must not be replayed.
pub(crate) const JBD2_REVOKE_BLOCK: u32 = 5;

/// `s_feature_incompat`: revoke blocks.
pub(crate) const JBD2_FEATURE_INCOMPAT_REVOKE: u32 = 0x1;
/// `s_feature_incompat`: 64-bit block numbers.
pub(crate) const JBD2_FEATURE_INCOMPAT_64BIT: u32 = 0x2;
/// `s_feature_incompat`: commit blocks are not waited for.
pub(crate) const JBD2_FEATURE_INCOMPAT_ASYNC_COMMIT: u32 = 0x4;
/// `s_feature_incompat`: checksums, second version.
pub(crate) const JBD2_FEATURE_INCOMPAT_CSUM_V2: u32 = 0x8;
/// `s_feature_incompat`: checksums, third version.
pub(crate) const JBD2_FEATURE_INCOMPAT_CSUM_V3: u32 = 0x10;
/// `s_feature_incompat`: fast commits.
pub(crate) const JBD2_FEATURE_INCOMPAT_FAST_COMMIT: u32 = 0x20;

/// `t_flags`: the data's first four bytes were the magic and are zeroed in the journal.
pub(crate) const JBD2_FLAG_ESCAPE: u32 = 0x1;
/// `t_flags`: no UUID follows the tag.
pub(crate) const JBD2_FLAG_SAME_UUID: u32 = 0x2;
/// `t_flags`: the last tag of its block.
pub(crate) const JBD2_FLAG_LAST_TAG: u32 = 0x8;

/// `journal_header_t`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawJournalHeader {
    /// 0x0: magic
    pub(crate) h_magic: U32,
    /// 0x4: kind of block
    pub(crate) h_blocktype: U32,
    /// 0x8: transaction
    pub(crate) h_sequence: U32,
}

/// `journal_superblock_t`.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawJournalSuperblock {
    /// 0x00: header
    pub(crate) s_header: RawJournalHeader,
    /// 0x0C: block size in bytes
    pub(crate) s_blocksize: U32,
    /// 0x10: blocks of the journal
    pub(crate) s_maxlen: U32,
    /// 0x14: first block of log
    pub(crate) s_first: U32,
    /// 0x18: first transaction expected in the log
    pub(crate) s_sequence: U32,
    /// 0x1C: first block of the log's content; 0 is an empty log
    pub(crate) s_start: U32,
    /// 0x20: error that the journal was aborted with
    pub(crate) s_errno: U32,
    /// 0x24: compatible features
    pub(crate) s_feature_compat: U32,
    /// 0x28: incompatible features
    pub(crate) s_feature_incompat: U32,
    /// 0x2C: read-only-compatible features
    pub(crate) s_feature_ro_compat: U32,
    /// 0x30: UUID
    pub(crate) s_uuid: [u8; 16],
    /// 0x40: file systems that share the journal
    pub(crate) s_nr_users: U32,
    /// 0x44: dynamic super block copy
    pub(crate) s_dynsuper: U32,
    /// 0x48: most blocks in a transaction
    pub(crate) s_max_transaction: U32,
    /// 0x4C: most data blocks in a transaction
    pub(crate) s_max_trans_data: U32,
    /// 0x50: checksum kind: 4 is crc32c
    pub(crate) s_checksum_type: u8,
    /// 0x51: padding
    pub(crate) s_padding2: [u8; 3],
    /// 0x54: blocks of the fast-commit area
    pub(crate) s_num_fc_blks: U32,
    /// 0x58: head of the log, of a clean journal
    pub(crate) s_head: U32,
    /// 0x5C: padding
    pub(crate) s_padding: [U32; 40],
    /// 0xFC: crc32c of these 1024 bytes
    pub(crate) s_checksum: U32,
    /// 0x100: UUIDs of the file systems that share the journal
    pub(crate) s_users: [u8; 768],
}

/// `journal_block_tag_t`; the high half is there with 64-bit block numbers only.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawBlockTag {
    /// 0x0: block, low 32 bits
    pub(crate) t_blocknr: U32,
    /// 0x4: checksum, low 16 bits
    pub(crate) t_checksum: U16,
    /// 0x6: flags
    pub(crate) t_flags: U16,
    /// 0x8: block, high 32 bits
    pub(crate) t_blocknr_high: U32,
}

/// `journal_block_tag3_t`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawBlockTag3 {
    /// 0x0: block, low 32 bits
    pub(crate) t_blocknr: U32,
    /// 0x4: flags
    pub(crate) t_flags: U32,
    /// 0x8: block, high 32 bits
    pub(crate) t_blocknr_high: U32,
    /// 0xC: checksum
    pub(crate) t_checksum: U32,
}

const _: () = assert!(size_of::<RawJournalHeader>() == 12);
const _: () = assert!(size_of::<RawJournalSuperblock>() == 1024);
const _: () = assert!(core::mem::offset_of!(RawJournalSuperblock, s_checksum) == 0xFC);
const _: () = assert!(size_of::<RawBlockTag>() == 12);
const _: () = assert!(size_of::<RawBlockTag3>() == 16);
