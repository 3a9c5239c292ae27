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
    Ok(match geometry.fat_type {
        FatType::Fat12 => parse(geometry, if cluster.is_multiple_of(2) { raw & 0xfff } else { raw >> 4 }),
        FatType::Fat16 => parse(geometry, raw),
        FatType::Fat32 => parse(geometry, raw & 0x0fff_ffff),
    })
}

/// The first entry that says that nothing follows; the one before it says that its cluster is bad.
fn end_from(geometry: &Geometry) -> u32 {
    match geometry.fat_type {
        FatType::Fat12 => 0xff8,
        FatType::Fat16 => 0xfff8,
        FatType::Fat32 => 0x0fff_fff8,
    }
}

fn parse(geometry: &Geometry, entry: u32) -> Link {
    match entry {
        0 => Link::Free,
        entry if entry >= end_from(geometry) => Link::End,
        entry if geometry.has(entry) => Link::Next(entry),
        entry => Link::Invalid(entry),
    }
}

/// Whether `entry` says that its cluster is not to be used.
pub(crate) fn is_bad(geometry: &Geometry, entry: u32) -> bool {
    entry == end_from(geometry) - 1
}

/// Calls `visit` with each data cluster and what the first table says of it.
pub(crate) fn for_each(
    storage: &dyn ReadAt,
    geometry: &Geometry,
    visit: &mut dyn FnMut(u32, Link),
) -> Result<(), Error> {
    pieces(storage, geometry, geometry.fat_offset, &mut |first, count, piece| {
        for index in 0..count {
            let at = index as usize;
            let entry = match geometry.fat_type {
                FatType::Fat12 => u32::from(twelve_bits(piece, at)),
                FatType::Fat16 => u32::from(u16::from_le_bytes([piece[at * 2], piece[at * 2 + 1]])),
                FatType::Fat32 => {
                    let bytes = [piece[at * 4], piece[at * 4 + 1], piece[at * 4 + 2], piece[at * 4 + 3]];
                    u32::from_le_bytes(bytes) & 0x0fff_ffff
                }
            };
            let cluster = first + index as u32;
            if cluster >= 2 {
                visit(cluster, parse(geometry, entry));
            }
        }
        Ok(())
    })
}

/// The first cluster whose entry is not the same in the table at the byte `other` of the file system.
pub(crate) fn first_difference(storage: &dyn ReadAt, geometry: &Geometry, other: u64) -> Result<Option<u32>, Error> {
    let (per_group, group_bytes) = group(geometry.fat_type);
    let mut difference = None;
    pieces(storage, geometry, geometry.fat_offset, &mut |first, _, piece| {
        let mut copy = vec![0; piece.len()];
        storage.read_at(other + u64::from(first) / per_group * group_bytes, &mut copy)?;
        if let (None, Some(at)) = (difference, piece.iter().zip(&copy).position(|(one, two)| one != two)) {
            difference = Some(first + (at as u64 / group_bytes * per_group) as u32);
        }
        Ok(())
    })?;
    Ok(difference)
}

/// How many entries fill whole bytes, and how many bytes.
fn group(fat_type: FatType) -> (u64, u64) {
    match fat_type {
        FatType::Fat12 => (2, 3),
        FatType::Fat16 => (2, 4),
        FatType::Fat32 => (1, 4),
    }
}

/// Is given the first entry of a piece, how many entries it has, and its bytes.
type Visit<'a> = dyn FnMut(u32, u64, &[u8]) -> Result<(), Error> + 'a;

/// Calls `visit` with the first entry of each piece of the table at `offset`, how many it has, and its bytes.
fn pieces(storage: &dyn ReadAt, geometry: &Geometry, offset: u64, visit: &mut Visit<'_>) -> Result<(), Error> {
    let entries = u64::from(geometry.clusters) + 2;
    let (per_group, group_bytes) = group(geometry.fat_type);
    let piece_entries = PIECE_BYTES / group_bytes * per_group;
    let mut first = 0;
    while first < entries {
        let count = piece_entries.min(entries - first);
        // An odd number of 12-bit entries ends in half a byte.
        let mut piece = vec![0; (count * group_bytes).div_ceil(per_group) as usize];
        storage.read_at(offset + first / per_group * group_bytes, &mut piece)?;
        visit(first as u32, count, &piece)?;
        first += count;
    }
    Ok(())
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
    let mut free = 0;
    for_each(storage, geometry, &mut |_, link| free += u32::from(link == Link::Free))?;
    Ok(free)
}

fn twelve_bits(piece: &[u8], index: usize) -> u16 {
    let at = index * 3 / 2;
    let pair = u16::from_le_bytes([piece[at], piece[at + 1]]);
    if index.is_multiple_of(2) { pair & 0xfff } else { pair >> 4 }
}
