//! The contents of two files compared, read only where they could differ.

use std::ops::Range;

use ext4::{ContentExtent, InodeNumber};

use super::ranges::meets;
use crate::error::FileSystemError;
use crate::file_system::{FileSystem, Node};
use crate::volume::Bytes;

/// How much of each file is read at a time, in bytes.
const STEP_BYTES: u64 = 1 << 18;

type Ext4 = ext4::FileSystem<Bytes>;

/// Whether two files of `size_bytes` bytes have the same content. `differing` are the ranges in which the
/// storages differ, where both files' file systems begin in the same place.
pub(super) fn is_same(
    (base, base_node): (&FileSystem, &Node),
    (image, image_node): (&FileSystem, &Node),
    size_bytes: u64,
    differing: Option<&[Range<u64>]>,
) -> Result<bool, FileSystemError> {
    let whole = 0..size_bytes;
    let mut to_read = vec![whole];
    if let (FileSystem::Ext4(one), FileSystem::Ext4(two), Some(differing)) = (base, image, differing)
        && let (Node::Inode(old), Node::Inode(new)) = (base_node, image_node)
    {
        to_read = unknown((one, *old), (two, *new), size_bytes, differing)?;
    }
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for range in to_read {
        let mut at = range.start;
        while at < range.end {
            let length = (range.end - at).min(STEP_BYTES) as usize;
            one.resize(length, 0);
            two.resize(length, 0);
            base.read_exact_at(base_node, at, &mut one)?;
            image.read_exact_at(image_node, at, &mut two)?;
            if one != two {
                return Ok(false);
            }
            at += length as u64;
        }
    }
    Ok(true)
}

/// The parts that have to be read: those that are not holes in both, or the same blocks in both.
fn unknown(
    (base, old): (&Ext4, InodeNumber),
    (image, new): (&Ext4, InodeNumber),
    size_bytes: u64,
    differing: &[Range<u64>],
) -> Result<Vec<Range<u64>>, FileSystemError> {
    let whole = 0..size_bytes;
    let (Some(one), Some(two)) = (base.content_extents(&base.inode(old)?)?, image.content_extents(&image.inode(new)?)?)
    else {
        return Ok(vec![whole]);
    };
    let mut unknown: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    while at < size_bytes {
        let ((first, first_end), (second, second_end)) = (place_at(&one, at), place_at(&two, at));
        let end = first_end.min(second_end).min(size_bytes);
        let is_known = match (first, second) {
            (None, None) => true,
            (Some(first), Some(second)) => first == second && !meets(differing, &(first..first + (end - at))),
            _ => false,
        };
        if !is_known {
            super::ranges::add(&mut unknown, at..end);
        }
        at = end;
    }
    Ok(unknown)
}

/// Where byte `at` of a file is in the storage, if anywhere, and up to where in the file that goes on.
fn place_at(extents: &[ContentExtent], at: u64) -> (Option<u64>, u64) {
    let index = extents.partition_point(|extent| extent.offset + extent.length_bytes <= at);
    match extents.get(index) {
        Some(extent) if extent.offset <= at => {
            (Some(extent.storage_offset + (at - extent.offset)), extent.offset + extent.length_bytes)
        }
        Some(extent) => (None, extent.offset),
        None => (None, u64::MAX),
    }
}
