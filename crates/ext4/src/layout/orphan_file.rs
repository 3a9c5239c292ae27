//! The orphan file: blocks of inode numbers, each with a tail.

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `ob_magic`.
pub(crate) const EXT4_ORPHAN_BLOCK_MAGIC: u32 = 0x0B10_CA04;

/// `struct ext4_orphan_block_tail`: the last 8 bytes of a block of the orphan file. Before it are
/// numbers of inodes, of 4 bytes each; 0 is a free place.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawOrphanTail {
    /// 0x0: magic, 0x0B10CA04
    pub(crate) ob_magic: U32,
    /// 0x4: checksum
    pub(crate) ob_checksum: U32,
}

const _: () = assert!(size_of::<RawOrphanTail>() == 8);
