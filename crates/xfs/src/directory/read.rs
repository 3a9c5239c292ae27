//! Directories read, in all their forms.

use std::sync::PoisonError;

use metadata::FileKind;
use storage::WriteAt;

use super::{DataBlock, Directory, DirectoryEntry, entry_bytes, hash};
use crate::error::{Error, Result};
use crate::filesystem::FileSystem;
use crate::inode::{Fork, Inode};
use crate::layout::directory::{
    DATA_CRC_AT, HEADER_BYTES, RawDataHeader, XFS_DIR2_DATA_FREE_TAG, XFS_DIR2_LEAF_OFFSET, XFS_DIR3_BLOCK_MAGIC,
    XFS_DIR3_DATA_MAGIC,
};
use crate::layout::inode::XFS_DINODE_FMT_LOCAL;
use crate::layout::{be16, be32, be64, has_checksum, header};
use crate::map::Map;

/// The most bytes of names that a directory may have which is read.
const MAX_DIRECTORY_BYTES: u64 = 128 << 20;
/// How much memory directories that are kept may take, in bytes.
pub(super) const KEPT_BYTES: usize = 16 << 20;

impl<S: WriteAt> FileSystem<S> {
    /// The inode that has a name in a directory, and its kind; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::NotADirectory`], [`Error::Corrupt`], [`Error::Storage`].
    pub fn lookup(&self, directory: u64, name: &[u8]) -> Result<Option<(u64, FileKind)>> {
        let Some((number, kind)) = self.with_directory(directory, |directory| directory.get(name))? else {
            return Ok(None);
        };
        match FileKind::from_entry_type(kind) {
            Some(kind) => Ok(Some((number, kind))),
            None => Ok(Some((number, self.inode(number)?.kind()?))),
        }
    }

    /// The names in a directory, but for `.` and `..`.
    ///
    /// # Errors
    ///
    /// As [`lookup`](Self::lookup).
    pub fn read_directory(&self, directory: u64) -> Result<Vec<DirectoryEntry>> {
        self.with_directory(directory, Directory::entries)
    }

    /// Looks into a directory, which is kept for the next time.
    pub(crate) fn with_directory<T>(&self, number: u64, look: impl FnOnce(&Directory) -> T) -> Result<T> {
        let mut kept = self.directories.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.contains_key(&number) {
            if kept.values().map(Directory::memory_bytes).sum::<usize>() > KEPT_BYTES {
                kept.retain(|_, directory| directory.changed);
            }
            let inode = self.inode(number)?;
            kept.insert(number, self.load_directory(&inode)?);
        }
        kept.get(&number).map(look).ok_or(Error::NotADirectory(number))
    }

    fn load_directory(&self, inode: &Inode) -> Result<Directory> {
        if inode.kind()? != FileKind::Directory {
            return Err(Error::NotADirectory(inode.number));
        }
        let unit = 1 << self.superblock.raw.sb_dirblklog;
        let mut directory = Directory::new(0, self.superblock.directory_block_bytes(), unit);
        if inode.format(Fork::Data) == XFS_DINODE_FMT_LOCAL {
            load_short(inode, &mut directory)?;
            return Ok(directory);
        }
        let map = self.read_map(inode, Fork::Data)?;
        directory.stored_blocks = map.extents.iter().map(|extent| extent.blocks).sum();
        let names = 0..XFS_DIR2_LEAF_OFFSET / self.block_bytes();
        let blocks: u64 = map.parts(&names).iter().map(|extent| extent.blocks).sum();
        if blocks * self.block_bytes() > MAX_DIRECTORY_BYTES {
            return Err(inode.corrupt(format!("a directory of {blocks} blocks, more than {MAX_DIRECTORY_BYTES} bytes")));
        }
        let mut next = 0;
        for extent in map.parts(&names) {
            for offset in extent.offset..extent.end() {
                if offset / unit < next {
                    continue;
                }
                next = offset / unit + 1;
                let number = (offset / unit) as u32;
                let bytes = self.read_directory_block(inode, &map, offset / unit * unit)?;
                load_block(inode, &mut directory, number, bytes)?;
            }
        }
        match directory.get(b"..") {
            Some((parent, _)) if directory.get(b".").is_some_and(|(number, _)| number == inode.number) => {
                directory.parent = parent;
                Ok(directory)
            }
            _ => Err(inode.corrupt("a directory without `.` or `..`")),
        }
    }

    /// Reads a block of a directory, whose parts may be anywhere.
    pub(super) fn read_directory_block(&self, inode: &Inode, map: &Map, offset: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.superblock.directory_block_bytes());
        for part in offset..offset + (1 << self.superblock.raw.sb_dirblklog) {
            let block =
                map.block(part).ok_or_else(|| inode.corrupt(format!("no block {part}, which its directory needs")))?;
            bytes.extend(self.read_block(block)?);
        }
        Ok(bytes)
    }
}

/// Reads a directory that is in its inode, into a block as it would be.
fn load_short(inode: &Inode, directory: &mut Directory) -> Result<()> {
    let bytes = inode.fork(Fork::Data);
    let bytes = &bytes[..bytes.len().min(inode.size_bytes() as usize)];
    let corrupt = || inode.corrupt("a directory in its inode that breaks a rule");
    let (&count, &large) = bytes.first().zip(bytes.get(1)).ok_or_else(corrupt)?;
    let number_bytes = if large > 0 { 8 } else { 4 };
    let number = |at: usize| {
        bytes.get(at..at + number_bytes).map(|bytes| if large > 0 { be64(bytes, 0) } else { be32(bytes, 0).into() })
    };
    directory.parent = number(2).ok_or_else(corrupt)?;
    let mut block = DataBlock::new(directory.block_bytes);
    let mut add = |name: &[u8], inode: u64, kind: u8, offset: u32, index: &mut Vec<(u32, u32)>| {
        let fits = block.take(offset, entry_bytes(name.len()) as u32);
        if fits {
            block.write(offset, name, inode, kind);
            index.push((hash(name), offset / 8));
        }
        fits
    };
    let mut index = Vec::new();
    let kind = FileKind::Directory.entry_type();
    add(b".", inode.number, kind, HEADER_BYTES as u32, &mut index);
    add(b"..", directory.parent, kind, HEADER_BYTES as u32 + 16, &mut index);
    let mut at = 2 + number_bytes;
    for _ in 0..count {
        let length = usize::from(*bytes.get(at).ok_or_else(corrupt)?);
        let name = bytes.get(at + 3..at + 3 + length).filter(|name| !name.is_empty()).ok_or_else(corrupt)?;
        let kind = *bytes.get(at + 3 + length).ok_or_else(corrupt)?;
        let target = number(at + 4 + length).ok_or_else(corrupt)?;
        let offset = u32::from(be16(bytes, at + 1));
        if !offset.is_multiple_of(8) || !add(name, target, kind, offset, &mut index) {
            return Err(corrupt());
        }
        at += 4 + length + number_bytes;
    }
    directory.blocks.insert(0, block);
    directory.index.extend(index);
    Ok(())
}

/// Adds a block of names.
fn load_block(inode: &Inode, directory: &mut Directory, number: u32, bytes: Vec<u8>) -> Result<()> {
    let corrupt = |problem: String| Err(inode.corrupt(format!("block {number} of its directory: {problem}")));
    let raw: &RawDataHeader = header(&bytes);
    let magic = raw.magic.get();
    if !has_checksum(&bytes, DATA_CRC_AT) || raw.owner.get() != inode.number {
        return corrupt(format!("a wrong crc, or of inode {}", raw.owner.get()));
    }
    let end = match magic {
        XFS_DIR3_DATA_MAGIC => bytes.len(),
        XFS_DIR3_BLOCK_MAGIC => {
            let count = be32(&bytes, bytes.len() - 8) as usize;
            match (bytes.len() - 8).checked_sub(count.saturating_mul(8)) {
                Some(end) if end >= HEADER_BYTES => end,
                _ => return corrupt(format!("an index of {count} names")),
            }
        }
        _ => return corrupt(format!("magic={magic:#010x}")),
    };
    let mut block = DataBlock::new(bytes.len());
    block.bytes = bytes;
    block.changed = false;
    let mut at = HEADER_BYTES;
    while at < end {
        let length = if be16(&block.bytes, at) == XFS_DIR2_DATA_FREE_TAG {
            usize::from(be16(&block.bytes, at + 2))
        } else {
            let name = usize::from(block.bytes[at + 8]);
            let length = entry_bytes(name);
            if name == 0 || at + length > end {
                return corrupt(format!("an invalid name at byte {at}"));
            }
            block.take(at as u32, length as u32);
            let entry = block.entry(at as u32);
            let place = directory.place(number, at as u32);
            directory.index.insert((hash(entry.name), place));
            length
        };
        if length == 0 || length % 8 != 0 || at + length > end {
            return corrupt(format!("{length} bytes at byte {at}"));
        }
        at += length;
    }
    directory.blocks.insert(number, block);
    Ok(())
}
