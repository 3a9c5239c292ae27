//! Directories: entries in blocks, and the names in them.
//!
//! A directory is a file whose blocks are full of entries: an inode's number, the distance to the next entry, the
//! name's length, what kind of file it is, and the name. The root of the example is inode 2 and begins (block 1158):
//!
//! ```text
//! 0x00  0200 0000  0c00  01 02  2e                        inode 2, 12 bytes, directory: `.`
//! 0x0c  0200 0000  0c00  02 02  2e2e                      inode 2, 12 bytes, directory: `..`
//! 0x18  0b00 0000  1400  0a02   6c6f 7374 2b66 6f75 6e64  inode 11, 20 bytes, directory: `lost+found`
//! 0x2c  0c00 0000  1000  0501   6865 6c6c 6f              inode 12, 16 bytes, regular file: `hello`
//! ```
//!
//! An entry with a name of n bytes needs 8 + n bytes, rounded up to a multiple of 4: 16 for `hello`. The distance can
//! be more: the last entry reaches to the end of the block, and a new name goes into the room that an entry leaves.
//! When a name goes, the entry before it takes its room; the first entry of a block gets inode 0 instead, which is
//! unused.
//!
//! With checksums the last 12 bytes of a block look like an unused entry without a name and of kind 0xde, and hold the
//! block's checksum: `0000 0000  0c00  00 de  7bed a8c6`. The index of a large directory ([`htree`]) looks like unused
//! entries, too, so that a reader that knows nothing of it finds all names.

pub(crate) mod edit;
pub(crate) mod hash;
pub(crate) mod htree;

use std::ops::ControlFlow;

use metadata::FileKind;
use zerocopy::FromBytes;

use storage::ReadAt;

use crate::checksum::crc32c;
use crate::error::{Error, Object, Result};
use crate::features::incompat;
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::layout::directory::{EXT4_FT_DIR_CSUM, RawEntryHeader, RawTail};
use crate::layout::inode::{EXT4_CASEFOLD_FL, EXT4_ENCRYPT_FL, EXT4_INDEX_FL};

/// Size in bytes of an entry without its name.
pub(crate) const ENTRY_HEADER_BYTES: usize = size_of::<RawEntryHeader>();
/// Size in bytes of the checksum tail.
pub(crate) const TAIL_BYTES: usize = size_of::<RawTail>();

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name: 1 to 255 bytes, no `/` and no NUL.
    pub name: Vec<u8>,
    /// What it names.
    pub inode: InodeNumber,
    /// The kind as the entry says it; `None` where the file system does not keep it there.
    pub kind: Option<FileKind>,
}

/// An entry within its block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// Offset in bytes within the block.
    pub(crate) offset: usize,
    /// Distance in bytes to the next.
    pub(crate) record_bytes: usize,
    /// 0 is unused.
    pub(crate) inode: u32,
    pub(crate) name_bytes: usize,
    pub(crate) file_type: u8,
}

impl Slot {
    pub(crate) fn name<'a>(&self, block: &'a [u8]) -> &'a [u8] {
        &block[self.offset + ENTRY_HEADER_BYTES..][..self.name_bytes]
    }

    /// The bytes that the entry really takes.
    pub(crate) fn taken_bytes(&self) -> usize {
        if self.inode == 0 { 0 } else { entry_bytes(self.name_bytes) }
    }
}

/// Size in bytes of an entry with a name of `name_bytes`.
pub(crate) fn entry_bytes(name_bytes: usize) -> usize {
    (ENTRY_HEADER_BYTES + name_bytes).next_multiple_of(4)
}

/// The distance that `rec_len` stands for: blocks of 64 KiB cannot say theirs in 16 bits.
fn decode_record_bytes(rec_len: u16, block_bytes: usize) -> usize {
    let length = usize::from(rec_len);
    if block_bytes < 1 << 16 {
        return length;
    }
    if length == 0 || length == 65535 { block_bytes } else { (length & 65532) | ((length & 3) << 16) }
}

/// `rec_len` for a distance.
pub(crate) fn encode_record_bytes(record_bytes: usize, block_bytes: usize) -> u16 {
    if record_bytes >= 1 << 16 && record_bytes == block_bytes { 65535 } else { record_bytes as u16 }
}

/// The entries of a directory block, unused ones and the checksum tail included, each validated.
pub(crate) fn slots(block: &[u8], object: Object) -> impl Iterator<Item = Result<Slot>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        if offset >= block.len() {
            return None;
        }
        let slot = slot_at(block, offset, object);
        offset = slot.as_ref().map_or(block.len(), |slot| offset + slot.record_bytes);
        Some(slot)
    })
}

fn slot_at(block: &[u8], offset: usize, object: Object) -> Result<Slot> {
    let corrupt = |problem: String| Err(Error::corrupt(object, format!("entry at offset {offset:#x}: {problem}")));
    let Ok((header, _)) = RawEntryHeader::read_from_prefix(&block[offset..]) else {
        return corrupt("ends past the block".to_owned());
    };
    let record_bytes = decode_record_bytes(header.rec_len.get(), block.len());
    let name_bytes = usize::from(header.name_len);
    if record_bytes < ENTRY_HEADER_BYTES + 4
        || !record_bytes.is_multiple_of(4)
        || record_bytes > block.len() - offset
        || entry_bytes(name_bytes) > record_bytes
    {
        return corrupt(format!(
            "rec_len={record_bytes} name_len={name_bytes}, {} bytes are left",
            block.len() - offset
        ));
    }
    Ok(Slot { offset, record_bytes, inode: header.inode.get(), name_bytes, file_type: header.file_type })
}

/// Whether the block ends in a checksum tail.
pub(crate) fn tail(block: &[u8]) -> Option<RawTail> {
    let tail = RawTail::read_from_bytes(&block[block.len().checked_sub(TAIL_BYTES)?..]).ok()?;
    let is_tail = tail.det_reserved_zero1.get() == 0
        && usize::from(tail.det_rec_len.get()) == TAIL_BYTES
        && tail.det_reserved_zero2 == 0
        && tail.det_reserved_ft == EXT4_FT_DIR_CSUM;
    is_tail.then_some(tail)
}

/// Whether a block is one of the index and not of entries: the first of an indexed directory, or one
/// that is a single unused entry. The kernel leaves the old tail's bytes in a block that it turns
/// into an index root, so that the tail alone does not tell.
fn is_index_block(directory: &Inode, logical: u32, block: &[u8]) -> bool {
    directory.has_flag(EXT4_INDEX_FL)
        && (logical == 0
            || slot_at(block, 0, Object::Superblock)
                .is_ok_and(|slot| slot.inode == 0 && slot.record_bytes == block.len()))
}

impl<S: ReadAt> FileSystem<S> {
    /// The directory `number`, validated to be one that we can read.
    pub(crate) fn directory(&self, number: InodeNumber) -> Result<Inode> {
        let inode = self.any_directory(number)?;
        if inode.has_flag(EXT4_ENCRYPT_FL) {
            return Err(Error::unsupported(Object::Inode(number), "encrypt: encrypted directory"));
        }
        Ok(inode)
    }

    /// As [`directory`](Self::directory), one with encrypted names included.
    pub(crate) fn any_directory(&self, number: InodeNumber) -> Result<Inode> {
        let inode = self.inode(number)?;
        if inode.kind()? != FileKind::Directory {
            return Err(Error::NotADirectory(number));
        }
        if inode.is_inline() {
            return Ok(inode);
        }
        let blocks = inode.size_bytes() / self.block_size();
        if !inode.size_bytes().is_multiple_of(self.block_size()) || blocks == 0 || blocks > self.superblock.blocks() {
            return Err(Error::corrupt(Object::Inode(number), format!("directory of {} bytes", inode.size_bytes())));
        }
        Ok(inode)
    }

    /// How many blocks a directory has; an inline one has none.
    pub(crate) fn directory_blocks(&self, directory: &Inode) -> u32 {
        if directory.is_inline() {
            return 0;
        }
        (directory.size_bytes() / self.block_size()).min(u64::from(u32::MAX)) as u32
    }

    /// Block `logical` of a directory, with its checksum validated where it is a block of entries,
    /// and where it is; `None` for a hole.
    pub(crate) fn read_directory_block(&self, directory: &Inode, logical: u32) -> Result<Option<(u64, Vec<u8>)>> {
        let Some(physical) = self.map_directory_block(directory, logical)? else { return Ok(None) };
        let bytes = self.read_block(physical)?;
        if self.superblock.has_metadata_checksums()
            && !is_index_block(directory, logical, &bytes)
            && !self.last_directory.is_sound(directory.number(), physical)
            && let Some(tail) = tail(&bytes)
        {
            let computed = crc32c(directory.checksum_seed(&self.superblock), &bytes[..bytes.len() - TAIL_BYTES]);
            if computed != tail.det_checksum.get() {
                return Err(Error::corrupt(
                    Object::DirectoryBlock { inode: directory.number(), logical },
                    format!("det_checksum={:#010x}, computed {computed:#010x}", tail.det_checksum.get()),
                ));
            }
            self.last_directory.note_sound(directory.number(), physical);
        }
        Ok(Some((physical, bytes)))
    }

    /// Calls `visit` with every used entry, `.` and `..` included, until it says to stop.
    pub(crate) fn walk_directory(
        &self,
        directory: &Inode,
        visit: &mut dyn FnMut(DirectoryEntry) -> ControlFlow<()>,
    ) -> Result<()> {
        if directory.is_inline() {
            return self.walk_inline_directory(directory, visit);
        }
        for logical in 0..self.directory_blocks(directory) {
            let object = Object::DirectoryBlock { inode: directory.number(), logical };
            let Some((_, block)) = self.read_directory_block(directory, logical)? else { continue };
            if self.walk_entries(&block, directory, object, visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Calls `visit` with every used entry of a block, or of a part of an inline directory.
    pub(crate) fn walk_entries(
        &self,
        block: &[u8],
        directory: &Inode,
        object: Object,
        visit: &mut dyn FnMut(DirectoryEntry) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        // An encrypted name may have any bytes.
        let is_encrypted = directory.has_flag(EXT4_ENCRYPT_FL);
        for slot in slots(block, object) {
            let slot = slot?;
            if slot.inode == 0 {
                continue;
            }
            let name = slot.name(block);
            if name.is_empty() || (!is_encrypted && (name.contains(&b'/') || name.contains(&0))) {
                return Err(Error::corrupt(
                    object,
                    format!("entry at offset {:#x}: name with `/` or NUL, or empty", slot.offset),
                ));
            }
            if slot.inode > self.superblock.inodes() {
                return Err(Error::corrupt(
                    object,
                    format!("entry at offset {:#x}: inode={}", slot.offset, slot.inode),
                ));
            }
            let inode = InodeNumber(slot.inode);
            if visit(DirectoryEntry { name: name.to_vec(), inode, kind: self.entry_kind(slot.file_type) }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The kind that an entry says, where entries do.
    pub(crate) fn entry_kind(&self, file_type: u8) -> Option<FileKind> {
        if self.superblock.has_incompat(incompat::FILETYPE) { FileKind::from_entry_type(file_type) } else { None }
    }

    /// The names in a directory in the order they are stored, without `.` and `..`.
    ///
    /// # Errors
    ///
    /// [`Error::NotADirectory`], [`Error::Unsupported`] for encrypted directories,
    /// [`Error::Corrupt`], [`Error::Storage`].
    pub fn read_directory(&self, number: InodeNumber) -> Result<Vec<DirectoryEntry>> {
        let directory = self.directory(number)?;
        let mut entries = Vec::new();
        self.walk_directory(&directory, &mut |entry| {
            if entry.name != b"." && entry.name != b".." {
                entries.push(entry);
            }
            ControlFlow::Continue(())
        })?;
        Ok(entries)
    }

    /// What `name` is in a directory; `.` and `..` are names too.
    ///
    /// # Errors
    ///
    /// As [`read_directory`](Self::read_directory).
    pub fn lookup(&self, number: InodeNumber, name: &[u8]) -> Result<Option<InodeNumber>> {
        let directory = self.directory(number)?;
        self.find_name(&directory, name)
    }

    /// What `name` is in a directory of any kind.
    pub(crate) fn find_name(&self, directory: &Inode, name: &[u8]) -> Result<Option<InodeNumber>> {
        if !directory.is_inline() {
            return Ok(self.find_entry(directory, name)?.map(|found| InodeNumber(found.slot.inode)));
        }
        let mut found = None;
        self.walk_directory(directory, &mut |entry| {
            if entry.name != name {
                return ControlFlow::Continue(());
            }
            found = Some(entry.inode);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// The block and slot of `name`, in a directory that has blocks; see
    /// [`find_to_change`](Self::find_to_change).
    pub(crate) fn find_entry(&self, directory: &Inode, name: &[u8]) -> Result<Option<FoundEntry>> {
        if directory.is_inline() {
            return Err(Error::unsupported(
                Object::Inode(directory.number()),
                "inline_data: changing a directory in the inode",
            ));
        }
        // A casefolded directory's index is of hashes that are not known here.
        if directory.has_flag(EXT4_INDEX_FL)
            && !directory.has_flag(EXT4_CASEFOLD_FL)
            && name != b"."
            && name != b".."
            && let Some(leaves) = self.htree_leaves(directory, name)?
        {
            return self.find_in_blocks(directory, name, leaves.into_iter());
        }
        self.find_in_blocks(directory, name, 0..self.directory_blocks(directory))
    }

    fn find_in_blocks(
        &self,
        directory: &Inode,
        name: &[u8],
        blocks: impl Iterator<Item = u32>,
    ) -> Result<Option<FoundEntry>> {
        for logical in blocks {
            let object = Object::DirectoryBlock { inode: directory.number(), logical };
            let Some((physical, block)) = self.read_directory_block(directory, logical)? else { continue };
            let mut previous = None;
            let mut found = None;
            for slot in slots(&block, object) {
                let slot = slot?;
                if slot.inode != 0 && slot.name(&block) == name {
                    found = Some(slot);
                    break;
                }
                previous = Some(slot);
            }
            let Some(slot) = found else { continue };
            if slot.inode > self.superblock.inodes() {
                return Err(Error::corrupt(
                    object,
                    format!("entry at offset {:#x}: inode={}", slot.offset, slot.inode),
                ));
            }
            return Ok(Some(FoundEntry { physical, block, slot, previous }));
        }
        Ok(None)
    }
}

/// An entry that was looked for and found.
pub(crate) struct FoundEntry {
    /// The block it is in, in the file system.
    pub(crate) physical: u64,
    /// That block's bytes.
    pub(crate) block: Vec<u8>,
    pub(crate) slot: Slot,
    /// The entry before it in the block.
    pub(crate) previous: Option<Slot>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found on an image that the kernel had populated: its directories that had grown an index
    /// could not be read.
    #[test]
    fn an_index_root_that_was_a_linear_block_has_no_tail() {
        let mut bytes = vec![0; 256];
        bytes[0x20..0x24].copy_from_slice(&EXT4_INDEX_FL.to_le_bytes());
        let directory = Inode::parse(InodeNumber(12), &bytes).unwrap();
        let mut block = vec![0; 1024];
        block[1012..1020].copy_from_slice(&[0, 0, 0, 0, 12, 0, 0, EXT4_FT_DIR_CSUM]);
        assert!(tail(&block).is_some());
        assert!(is_index_block(&directory, 0, &block));
        block[4..6].copy_from_slice(&1024u16.to_le_bytes());
        assert!(is_index_block(&directory, 3, &block));
        block[4..6].copy_from_slice(&1012u16.to_le_bytes());
        assert!(!is_index_block(&directory, 3, &block));
    }
}
