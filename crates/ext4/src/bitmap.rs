//! Block and inode bitmaps: a block of each for every group, a bit for each block or inode, lowest bit first.
//!
//! A bit of 1 is taken. In the example (see [`group`](crate::group)) the block bitmap of group 0 is block 130. Its bit
//! 0 is block 1, where the group begins, and block b is bit (b - 1) % 8 of byte (b - 1) / 8:
//!
//! ```text
//! 0x00  ffff ffff ...            blocks 1 to 32 and those after them: taken
//! 0x98  ffff ffff ffff ff03      byte 0x9f is 0x03: bits 1272 and 1273, blocks 1273 and 1274, are taken,
//! 0xa0  0000 ...                 and from block 1275 on nothing is
//! ```
//!
//! The inode bitmap, block 132, begins `ffff ffff ffff ffff ff03`: inodes 1 to 74 are taken. There are 2,048 inodes in
//! the group and 8,192 bits in the block; the bits past the last are 1. Group 1 has a block less than 8,192, so that
//! the last bit of its block bitmap is 1, too: a block that does not exist is never taken.
//!
//! A group that was never used may have no bitmap at all: the descriptor's flags say so, and it is computed from where
//! the group's own metadata is. Checksums of both are in the descriptor.

use std::collections::BTreeMap;

use storage::{ReadAt, WriteAt};

use crate::checksum::crc32c;
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::group::Group;
use crate::superblock::Superblock;

/// How many bitmaps of a kind are kept: of blocks of 4 KiB, those of 128 GiB.
const KEPT_BITMAPS: usize = 1024;

/// A bitmap in memory.
#[derive(Clone, Debug)]
pub(crate) struct Bitmap {
    bytes: Vec<u8>,
    /// No bit below this one is 0.
    first_zero: u32,
    pub(crate) changed: bool,
}

/// Which of a group's bitmaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BitmapKind {
    Blocks,
    Inodes,
}

impl Bitmap {
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, first_zero: 0, changed: false }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn get(&self, index: u32) -> bool {
        self.bytes.get(index as usize / 8).is_none_or(|byte| byte & (1 << (index % 8)) != 0)
    }

    pub(crate) fn set_range(&mut self, first: u32, count: u32, value: bool) {
        let mut index = first;
        let end = first.saturating_add(count).min(self.bytes.len() as u32 * 8);
        while index < end {
            let byte = &mut self.bytes[index as usize / 8];
            if index.is_multiple_of(8) && end - index >= 8 {
                *byte = if value { 0xFF } else { 0 };
                index += 8;
                continue;
            }
            let mask = 1 << (index % 8);
            *byte = if value { *byte | mask } else { *byte & !mask };
            index += 1;
        }
        if !value {
            self.first_zero = self.first_zero.min(first);
        } else if first <= self.first_zero {
            self.first_zero = self.first_zero.max(end);
        }
        self.changed = true;
    }

    /// The first index in `from..end` whose bit is `value`.
    pub(crate) fn find(&self, value: bool, from: u32, end: u32) -> Option<u32> {
        let mut index = if value { from } else { from.max(self.first_zero) };
        while index < end {
            let word = u64::from_le_bytes(*self.bytes.get(index as usize / 64 * 8..)?.first_chunk()?);
            let wanted = if value { word } else { !word } & (!0 << (index % 64));
            let first = index / 64 * 64;
            if wanted != 0 {
                return Some(first + wanted.trailing_zeros()).filter(|&found| found < end);
            }
            index = first + 64;
        }
        None
    }

    /// How many of the first `bits` bits are 0.
    pub(crate) fn count_zeros(&self, bits: u32) -> u32 {
        let whole = &self.bytes[..bits as usize / 8];
        let rest = (bits / 8 * 8..bits).filter(|&index| !self.get(index)).count() as u32;
        whole.iter().map(|byte| byte.count_zeros()).sum::<u32>() + rest
    }
}

impl<S: ReadAt> FileSystem<S> {
    /// Reads a bitmap, or computes that of a group that was never used.
    pub(crate) fn read_bitmap(&self, kind: BitmapKind, number: u32) -> Result<Bitmap> {
        let group = &self.groups[number as usize];
        let superblock = &self.superblock;
        let uninitialised = match kind {
            BitmapKind::Blocks => group.blocks_uninitialised(),
            BitmapKind::Inodes => group.inodes_uninitialised(),
        };
        // The flags mean something only where descriptors have checksums.
        if uninitialised && group.computed_checksum(number, superblock).is_some() {
            return Ok(self.uninitialised_bitmap(kind, number));
        }
        let block = match kind {
            BitmapKind::Blocks => group.block_bitmap(superblock),
            BitmapKind::Inodes => group.inode_bitmap(superblock),
        };
        let bitmap = Bitmap::from_bytes(self.read_block(block)?);
        if let Some((stored, computed)) = bitmap_checksums(&bitmap, kind, group, superblock)
            && stored != computed
        {
            return Err(Error::corrupt(
                Object::Group(number),
                format!("{kind:?} bitmap checksum={stored:#x}, computed {computed:#x}").to_lowercase(),
            ));
        }
        Ok(bitmap)
    }

    /// The bitmap of a group that was never used: its own metadata and what is past its end are
    /// taken, nothing else.
    pub(crate) fn uninitialised_bitmap(&self, kind: BitmapKind, number: u32) -> Bitmap {
        let superblock = &self.superblock;
        let mut bitmap = Bitmap::from_bytes(vec![0; superblock.block_size_bytes() as usize]);
        let bits = superblock.block_size_bytes() * 8;
        let used = match kind {
            BitmapKind::Inodes => superblock.inodes_per_group(),
            BitmapKind::Blocks => {
                bitmap.set_range(0, superblock.base_metadata_blocks(number), true);
                let first = superblock.group_first_block(number);
                let blocks = superblock.group_blocks(number);
                let group = &self.groups[number as usize];
                for (start, length) in [
                    (group.block_bitmap(superblock), 1),
                    (group.inode_bitmap(superblock), 1),
                    (group.inode_table(superblock), superblock.inode_table_blocks()),
                ] {
                    // With flex_bg they may be in another group.
                    let from = start.max(first);
                    let to = (start + length).min(first + u64::from(blocks));
                    if from < to {
                        bitmap.set_range((from - first) as u32, (to - from) as u32, true);
                    }
                }
                blocks
            }
        };
        bitmap.set_range(used, bits - used, true);
        bitmap.changed = false;
        bitmap
    }
}

/// The checksum that the descriptor holds for a bitmap and the one that it should hold.
pub(crate) fn bitmap_checksums(
    bitmap: &Bitmap,
    kind: BitmapKind,
    group: &Group,
    superblock: &Superblock,
) -> Option<(u32, u32)> {
    if !superblock.has_metadata_checksums() {
        return None;
    }
    let (low, high, bits) = match kind {
        BitmapKind::Blocks => {
            (group.raw.bg_block_bitmap_csum_lo, group.raw.bg_block_bitmap_csum_hi, superblock.blocks_per_group())
        }
        BitmapKind::Inodes => {
            (group.raw.bg_inode_bitmap_csum_lo, group.raw.bg_inode_bitmap_csum_hi, superblock.inodes_per_group())
        }
    };
    let computed = crc32c(superblock.checksum_seed(), &bitmap.bytes()[..bits as usize / 8]);
    // The high half begins at 0x38, which a 32-byte descriptor does not have.
    if superblock.descriptor_size_bytes() < 64 {
        return Some((u32::from(low.get()), computed & 0xFFFF));
    }
    Some((u32::from(high.get()) << 16 | u32::from(low.get()), computed))
}

impl<S: WriteAt> FileSystem<S> {
    /// The bitmap, read at its first use and then kept.
    pub(crate) fn bitmap(&mut self, kind: BitmapKind, number: u32) -> Result<&mut Bitmap> {
        if !self.bitmaps(kind).contains_key(&number) {
            if self.bitmaps(kind).len() >= KEPT_BITMAPS {
                self.write_bitmaps()?;
                self.bitmaps(kind).clear();
            }
            let read = self.read_bitmap(kind, number)?;
            self.bitmaps(kind).insert(number, read);
        }
        let missing = || Error::corrupt(Object::Group(number), "its bitmap was just read");
        self.bitmaps(kind).get_mut(&number).ok_or_else(missing)
    }

    fn bitmaps(&mut self, kind: BitmapKind) -> &mut BTreeMap<u32, Bitmap> {
        match kind {
            BitmapKind::Blocks => &mut self.block_bitmaps,
            BitmapKind::Inodes => &mut self.inode_bitmaps,
        }
    }

    /// Writes the bitmaps that changed and puts their checksums into the descriptors.
    pub(crate) fn write_bitmaps(&mut self) -> Result<()> {
        for kind in [BitmapKind::Blocks, BitmapKind::Inodes] {
            let mut bitmaps = std::mem::take(self.bitmaps(kind));
            for (&number, bitmap) in bitmaps.iter_mut().filter(|(_, bitmap)| bitmap.changed) {
                self.write_bitmap(kind, number, bitmap)?;
            }
            *self.bitmaps(kind) = bitmaps;
        }
        Ok(())
    }

    fn write_bitmap(&mut self, kind: BitmapKind, number: u32, bitmap: &mut Bitmap) -> Result<()> {
        let group = &mut self.groups[number as usize];
        let block = match kind {
            BitmapKind::Blocks => group.block_bitmap(&self.superblock),
            BitmapKind::Inodes => group.inode_bitmap(&self.superblock),
        };
        if let Some((_, computed)) = bitmap_checksums(bitmap, kind, group, &self.superblock) {
            let (low, high) = match kind {
                BitmapKind::Blocks => (&mut group.raw.bg_block_bitmap_csum_lo, &mut group.raw.bg_block_bitmap_csum_hi),
                BitmapKind::Inodes => (&mut group.raw.bg_inode_bitmap_csum_lo, &mut group.raw.bg_inode_bitmap_csum_hi),
            };
            low.set(computed as u16);
            high.set((computed >> 16) as u16);
            group.changed = true;
        }
        self.storage.write_at(block * u64::from(self.superblock.block_size_bytes()), bitmap.bytes())?;
        bitmap.changed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_set_found_and_counted() {
        let mut bitmap = Bitmap::from_bytes(vec![0; 8]);
        bitmap.set_range(3, 18, true);
        assert_eq!(bitmap.find(true, 0, 64), Some(3));
        assert_eq!(bitmap.find(false, 3, 64), Some(21));
        assert_eq!(bitmap.find(false, 3, 20), None);
        assert_eq!(bitmap.count_zeros(61), 61 - 18);
        bitmap.set_range(4, 16, false);
        assert_eq!(bitmap.find(true, 4, 64), Some(20));
        assert!(bitmap.get(64), "what is past the end is taken");
    }
}
