//! Directories.
//!
//! A directory that is looked into or changed is read as a whole: its blocks of names stay as they are on the disk,
//! byte for byte, and its index (a hash and a place for each name) is made from the names. The index is made anew
//! when the directory is stored, in the smallest of the four forms that takes it: in the inode, one block with its
//! index, blocks with an index of one block, blocks with an index that is a tree.
//!
//! Worked example: `etc` with its 11 bytes of number, length and kind and 2 bytes of its own place takes 16 bytes. A
//! block of 4 KiB has a header of 64, `.` at byte 64, `..` at byte 80 and the first name at byte 96: in the index its
//! place is 96 / 8 = 12.

mod edit;
mod hash;
mod read;
mod store;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use hash::hash;

use metadata::FileKind;

use crate::layout::be64;
use crate::layout::directory::HEADER_BYTES;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// The inode.
    pub inode: u64,
    /// Its kind, if the directory has it.
    pub kind: Option<FileKind>,
}

/// A directory in memory.
pub(crate) struct Directory {
    pub(crate) parent: u64,
    /// Blocks of names, by their numbers in the directory.
    blocks: BTreeMap<u32, DataBlock>,
    /// Hash and place of each name, `.` and `..` among them. A place counts units of 8 bytes.
    index: BTreeSet<(u32, u32)>,
    /// Size of a block in bytes.
    block_bytes: usize,
    changed: bool,
    /// How many blocks it had on the disk.
    stored_blocks: u64,
    /// Blocks of the file system in one of its own.
    unit_blocks: u64,
}

struct DataBlock {
    bytes: Vec<u8>,
    /// Free runs: offset and length.
    free: BTreeMap<u32, u32>,
    /// The longest of them.
    longest: u32,
    changed: bool,
}

impl DataBlock {
    fn new(block_bytes: usize) -> Self {
        let room = (block_bytes - HEADER_BYTES) as u32;
        let free = BTreeMap::from([(HEADER_BYTES as u32, room)]);
        Self { bytes: vec![0; block_bytes], free, longest: room, changed: true }
    }

    fn measure(&mut self) {
        self.longest = self.free.values().copied().max().unwrap_or(0);
    }

    fn is_empty(&self) -> bool {
        self.longest as usize == self.bytes.len() - HEADER_BYTES
    }

    /// The byte after the last name.
    fn end(&self) -> u32 {
        let length = self.bytes.len() as u32;
        match self.free.last_key_value() {
            Some((start, free)) if start + free == length => *start,
            _ => length,
        }
    }

    /// Takes bytes that are free.
    fn take(&mut self, offset: u32, length: u32) -> bool {
        let Some((&start, &free)) = self.free.range(..=offset).next_back() else { return false };
        if start + free < offset + length {
            return false;
        }
        self.free.remove(&start);
        if start < offset {
            self.free.insert(start, offset - start);
        }
        if start + free > offset + length {
            self.free.insert(offset + length, start + free - offset - length);
        }
        self.measure();
        true
    }

    /// Gives bytes back.
    fn give(&mut self, mut offset: u32, mut length: u32) {
        if let Some((&start, &free)) = self.free.range(..offset).next_back()
            && start + free == offset
        {
            self.free.remove(&start);
            (offset, length) = (start, length + free);
        }
        if let Some(after) = self.free.remove(&(offset + length)) {
            length += after;
        }
        self.free.insert(offset, length);
        self.measure();
        self.changed = true;
    }

    /// Writes a name at a place that was taken for it.
    fn write(&mut self, offset: u32, name: &[u8], inode: u64, kind: u8) {
        let (at, length) = (offset as usize, entry_bytes(name.len()));
        let entry = &mut self.bytes[at..at + length];
        entry.fill(0);
        entry[..8].copy_from_slice(&inode.to_be_bytes());
        entry[8] = name.len() as u8;
        entry[9..9 + name.len()].copy_from_slice(name);
        entry[9 + name.len()] = kind;
        entry[length - 2..].copy_from_slice(&(offset as u16).to_be_bytes());
        self.changed = true;
    }

    /// The name at a place.
    fn entry(&self, offset: u32) -> Entry<'_> {
        let at = offset as usize;
        let length = usize::from(self.bytes[at + 8]);
        Entry { inode: be64(&self.bytes, at), name: &self.bytes[at + 9..][..length], kind: self.bytes[at + 9 + length] }
    }
}

struct Entry<'a> {
    inode: u64,
    name: &'a [u8],
    kind: u8,
}

/// How many bytes a name takes in a block.
fn entry_bytes(name: usize) -> usize {
    (8 + 1 + name + 1 + 2).next_multiple_of(8)
}

impl Directory {
    fn new(parent: u64, block_bytes: usize, unit_blocks: u64) -> Self {
        Self {
            parent,
            blocks: BTreeMap::new(),
            index: BTreeSet::new(),
            block_bytes,
            changed: false,
            stored_blocks: 0,
            unit_blocks,
        }
    }

    fn place(&self, block: u32, offset: u32) -> u32 {
        ((u64::from(block) * self.block_bytes as u64 + u64::from(offset)) / 8) as u32
    }

    fn split(&self, place: u32) -> (u32, u32) {
        let at = u64::from(place) * 8;
        ((at / self.block_bytes as u64) as u32, (at % self.block_bytes as u64) as u32)
    }

    /// The place of a name.
    fn find(&self, name: &[u8]) -> Option<u32> {
        let hash = hash(name);
        let same = self.index.range((hash, 0)..=(hash, u32::MAX));
        same.map(|(_, place)| *place).find(|place| self.entry(*place).is_some_and(|entry| entry.name == name))
    }

    fn entry(&self, place: u32) -> Option<Entry<'_>> {
        let (block, offset) = self.split(place);
        Some(self.blocks.get(&block)?.entry(offset))
    }

    /// The inode that has a name, and its kind.
    pub(crate) fn get(&self, name: &[u8]) -> Option<(u64, u8)> {
        let entry = self.entry(self.find(name)?)?;
        Some((entry.inode, entry.kind))
    }

    /// Whether there is no name but `.` and `..`.
    pub(crate) fn is_empty(&self) -> bool {
        self.index.len() <= 2
    }

    /// All names but `.` and `..`, in the order in which they are stored.
    pub(crate) fn entries(&self) -> Vec<DirectoryEntry> {
        let mut places: Vec<u32> = self.index.iter().map(|(_, place)| *place).collect();
        places.sort_unstable();
        let entries = places.into_iter().filter_map(|place| self.entry(place));
        entries
            .filter(|entry| !matches!(entry.name, b"." | b".."))
            .map(|entry| DirectoryEntry {
                name: entry.name.to_vec(),
                inode: entry.inode,
                kind: FileKind::from_entry_type(entry.kind),
            })
            .collect()
    }

    /// Bytes in memory, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.blocks.len() * self.block_bytes + self.index.len() * 24
    }

    /// How many more blocks of the file system it will take when it is stored.
    pub(crate) fn blocks_to_come(&self) -> u64 {
        if !self.changed {
            return 0;
        }
        let index_room = (self.block_bytes - HEADER_BYTES) / 8;
        let index = self.index.len().div_ceil(index_room / 2) + self.blocks.len().div_ceil(index_room) + 2;
        ((self.blocks.len() + index) as u64 * self.unit_blocks).saturating_sub(self.stored_blocks)
    }
}
