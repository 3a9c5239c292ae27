//! The records of the trees of a group.

use crate::layout::{be16, be32, be64};

/// A record: how it is stored, and what it is sorted by.
pub(crate) trait Record: Copy {
    /// Length in bytes of a record, and of a key in the blocks above.
    const BYTES: usize;
    const KEY_BYTES: usize;
    /// Whether records may overlap, so that the blocks above have the highest key, too.
    const HAS_HIGH_KEYS: bool = false;
    type Key: Ord + Copy;

    fn read(bytes: &[u8]) -> Self;
    fn write(&self, bytes: &mut [u8]);
    fn key(&self) -> Self::Key;
    fn write_key(key: Self::Key, bytes: &mut [u8]);

    /// The key of the last thing that the record covers.
    fn high_key(&self) -> Self::Key {
        self.key()
    }

    /// Length in bytes of what a node has for each child, but for the pointer.
    fn node_key_bytes() -> usize {
        if Self::HAS_HIGH_KEYS { Self::KEY_BYTES * 2 } else { Self::KEY_BYTES }
    }
}

fn put(bytes: &mut [u8], numbers: &[u32]) {
    for (place, number) in bytes.chunks_exact_mut(4).zip(numbers) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}

/// `xfs_alloc_rec`: free blocks, by block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Free {
    pub(crate) start: u32,
    pub(crate) blocks: u32,
}

impl Record for Free {
    const BYTES: usize = 8;
    const KEY_BYTES: usize = 8;
    // The blocks above have both fields; the first decides.
    type Key = (u32, u32);

    fn read(bytes: &[u8]) -> Self {
        Self { start: be32(bytes, 0), blocks: be32(bytes, 4) }
    }
    fn write(&self, bytes: &mut [u8]) {
        put(bytes, &[self.start, self.blocks]);
    }
    fn key(&self) -> (u32, u32) {
        (self.start, self.blocks)
    }
    fn write_key(key: (u32, u32), bytes: &mut [u8]) {
        put(bytes, &[key.0, key.1]);
    }
}

/// The same, by size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FreeBySize(pub(crate) Free);

impl Record for FreeBySize {
    const BYTES: usize = 8;
    const KEY_BYTES: usize = 8;
    type Key = (u32, u32);

    fn read(bytes: &[u8]) -> Self {
        Self(Free::read(bytes))
    }
    fn write(&self, bytes: &mut [u8]) {
        self.0.write(bytes);
    }
    fn key(&self) -> (u32, u32) {
        (self.0.blocks, self.0.start)
    }
    fn write_key(key: (u32, u32), bytes: &mut [u8]) {
        put(bytes, &[key.1, key.0]);
    }
}

/// `xfs_inobt_rec`: 64 inodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The first one's number within the group.
    pub(crate) start: u32,
    /// With sparse inodes, a bit for each four that are not there.
    pub(crate) holes: u16,
    /// How many there are; 0 without the feature, where there are 64.
    pub(crate) count: u8,
    /// How many are free. Without sparse inodes, the field has 32 bits.
    pub(crate) free_count: u8,
    /// A bit for each that is free, and for each that is not there.
    pub(crate) free: u64,
}

impl Record for Chunk {
    const BYTES: usize = 16;
    const KEY_BYTES: usize = 4;
    type Key = u32;

    fn read(bytes: &[u8]) -> Self {
        Self {
            start: be32(bytes, 0),
            holes: be16(bytes, 4),
            count: bytes[6],
            free_count: bytes[7],
            free: be64(bytes, 8),
        }
    }
    fn write(&self, bytes: &mut [u8]) {
        let word = u32::from(self.holes) << 16 | u32::from(self.count) << 8 | u32::from(self.free_count);
        put(bytes, &[self.start, word, (self.free >> 32) as u32, self.free as u32]);
    }
    fn key(&self) -> u32 {
        self.start
    }
    fn write_key(key: u32, bytes: &mut [u8]) {
        put(bytes, &[key]);
    }
}

impl Chunk {
    /// The inodes that are not there, a bit each.
    pub(crate) fn missing(&self) -> u64 {
        (0..16).filter(|bit| self.holes >> bit & 1 == 1).fold(0, |mask, bit| mask | 0xf << (bit * 4))
    }
}

/// `xfs_rmap_rec`: who has blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) start: u32,
    pub(crate) blocks: u32,
    pub(crate) owner: u64,
    /// Where they are in the owner's file, in blocks, and flags.
    pub(crate) offset: u64,
}

/// Flags in [`Owned::offset`].
pub(crate) const XFS_RMAP_OFF_ATTR_FORK: u64 = 1 << 63;
pub(crate) const XFS_RMAP_OFF_BMBT_BLOCK: u64 = 1 << 62;
pub(crate) const XFS_RMAP_OFF_UNWRITTEN: u64 = 1 << 61;
/// Owners that are no inodes, from this number on.
pub(crate) const XFS_RMAP_OWN_MIN: u64 = -10_i64 as u64;

impl Owned {
    /// Whether the blocks have places in a file that follow one another.
    pub(crate) fn has_offsets(&self) -> bool {
        self.owner < XFS_RMAP_OWN_MIN && self.offset & XFS_RMAP_OFF_BMBT_BLOCK == 0
    }
}

impl Record for Owned {
    const BYTES: usize = 24;
    const KEY_BYTES: usize = 20;
    const HAS_HIGH_KEYS: bool = true;
    type Key = (u32, u64, u64);

    fn read(bytes: &[u8]) -> Self {
        Self { start: be32(bytes, 0), blocks: be32(bytes, 4), owner: be64(bytes, 8), offset: be64(bytes, 16) }
    }
    fn write(&self, bytes: &mut [u8]) {
        put(bytes, &[self.start, self.blocks]);
        bytes[8..16].copy_from_slice(&self.owner.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_be_bytes());
    }
    fn key(&self) -> (u32, u64, u64) {
        (self.start, self.owner, self.offset & !XFS_RMAP_OFF_UNWRITTEN)
    }
    fn write_key(key: (u32, u64, u64), bytes: &mut [u8]) {
        put(bytes, &[key.0]);
        bytes[4..12].copy_from_slice(&key.1.to_be_bytes());
        bytes[12..20].copy_from_slice(&key.2.to_be_bytes());
    }
    fn high_key(&self) -> (u32, u64, u64) {
        let last = self.blocks.saturating_sub(1);
        let (start, owner, offset) = self.key();
        let offset = if self.has_offsets() { offset.wrapping_add(last.into()) } else { offset };
        (start.saturating_add(last), owner, offset)
    }
}

/// `xfs_refcount_rec`: blocks that several files share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    /// The first one. The highest bit says that they are kept for a copy on write.
    pub(crate) start: u32,
    pub(crate) blocks: u32,
    /// How many have them, at least 2.
    pub(crate) count: u32,
}

impl Record for Shared {
    const BYTES: usize = 12;
    const KEY_BYTES: usize = 4;
    type Key = u32;

    fn read(bytes: &[u8]) -> Self {
        Self { start: be32(bytes, 0), blocks: be32(bytes, 4), count: be32(bytes, 8) }
    }
    fn write(&self, bytes: &mut [u8]) {
        put(bytes, &[self.start, self.blocks, self.count]);
    }
    fn key(&self) -> u32 {
        self.start
    }
    fn write_key(key: u32, bytes: &mut [u8]) {
        put(bytes, &[key]);
    }
}
