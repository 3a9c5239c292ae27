//! The file allocation table, read: what follows a cluster, and how many are free.
//!
//! `hadris-fat` writes it. It stops at a loop only after as many steps as there are clusters, which
//! a made-up volume can have hundreds of millions of, so chains are walked here first.

use storage::ReadAt;

use crate::Error;
use crate::boot_sector::{FatType, Geometry};

/// What an entry says of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Belongs to nothing.
    Free,
    /// The last of its chain.
    End,
    /// Followed by this one.
    Next(u32),
    /// Not a cluster, or one that must not be used.
    Invalid(u32),
}

/// The most that is read of the table in one go, in bytes: a multiple of 3 and of 4.
const PIECE_BYTES: u64 = 48 << 10;

/// Reads the entry of `cluster`, which must be one of the data clusters.
pub(crate) fn link(storage: &dyn ReadAt, geometry: &Geometry, cluster: u32) -> Result<Link, Error> {
    let mut bytes = [0; 4];
    let (offset, length) = match geometry.fat_type {
        FatType::Fat12 => (u64::from(cluster) * 3 / 2, 2),
        FatType::Fat16 => (u64::from(cluster) * 2, 2),
        FatType::Fat32 => (u64::from(cluster) * 4, 4),
    };
    storage.read_at(geometry.fat_offset + offset, &mut bytes[..length])?;
    let raw = u32::from_le_bytes(bytes);
    let (entry, reserved_from) = match geometry.fat_type {
        FatType::Fat12 => (if cluster.is_multiple_of(2) { raw & 0xfff } else { raw >> 4 }, 0xff8),
        FatType::Fat16 => (raw, 0xfff8),
        FatType::Fat32 => (raw & 0x0fff_ffff, 0x0fff_fff8),
    };
    Ok(match entry {
        0 => Link::Free,
        entry if entry >= reserved_from => Link::End,
        entry if geometry.has(entry) => Link::Next(entry),
        entry => Link::Invalid(entry),
    })
}

/// The cluster that follows `cluster` in the chain of `object`; none after the last.
pub(crate) fn next(
    storage: &dyn ReadAt,
    geometry: &Geometry,
    cluster: u32,
    object: &dyn Fn() -> String,
) -> Result<Option<u32>, Error> {
    match link(storage, geometry, cluster)? {
        Link::End => Ok(None),
        Link::Next(next) => Ok(Some(next)),
        Link::Free => Err(Error::corrupt(object(), format!("its cluster {cluster} is marked as free"))),
        Link::Invalid(entry) => Err(Error::corrupt(
            object(),
            format!("its cluster {cluster} is followed by {entry:#x}, which does not exist"),
        )),
    }
}

/// The number of free clusters, counted: FAT32's own count is only a hint.
pub(crate) fn count_free(storage: &dyn ReadAt, geometry: &Geometry) -> Result<u32, Error> {
    let entries = u64::from(geometry.clusters) + 2;
    let (per_group, group_bytes) = match geometry.fat_type {
        FatType::Fat12 => (2, 3),
        FatType::Fat16 => (2, 4),
        FatType::Fat32 => (1, 4),
    };
    let piece_entries = PIECE_BYTES / group_bytes * per_group;
    let mut free = 0;
    let mut first = 0;
    while first < entries {
        let count = piece_entries.min(entries - first);
        // An odd number of 12-bit entries ends in half a byte.
        let length = (count * group_bytes).div_ceil(per_group);
        let mut piece = vec![0; length as usize];
        storage.read_at(geometry.fat_offset + first / per_group * group_bytes, &mut piece)?;
        // The first two entries belong to no cluster.
        let skip = if first == 0 { 2 } else { 0 };
        free += match geometry.fat_type {
            FatType::Fat12 => (skip..count as usize).filter(|&index| twelve_bits(&piece, index) == 0).count(),
            FatType::Fat16 => piece.chunks_exact(2).skip(skip).filter(|entry| **entry == [0; 2]).count(),
            FatType::Fat32 => {
                let is_free = |entry: &&[u8]| entry[..3] == [0; 3] && entry[3] & 0x0f == 0;
                piece.chunks_exact(4).skip(skip).filter(is_free).count()
            }
        } as u32;
        first += count;
    }
    Ok(free)
}

fn twelve_bits(piece: &[u8], index: usize) -> u16 {
    let at = index * 3 / 2;
    let pair = u16::from_le_bytes([piece[at], piece[at + 1]]);
    if index.is_multiple_of(2) { pair & 0xfff } else { pair >> 4 }
}
