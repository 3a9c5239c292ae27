//! The content of regular files changed: written over, appended to, cut, punched, allocated.

use std::ops::Range;

use metadata::FileKind;
use storage::{ReadAt, WriteAt};

use crate::block_map::BlockMap;
use crate::error::{Error, Object, Result};
use crate::features::ro_compat;
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::{EXT4_ENCRYPT_FL, EXT4_EXTENTS_FL};

/// Files from this size in bytes on need the `large_file` feature.
const LARGE_FILE_BYTES: u64 = 1 << 31;

impl<S: WriteAt> FileSystem<S> {
    /// Writes `data` at `offset` of a regular file, which grows as far as needed; what is skipped past
    /// its end becomes a hole. Times stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::IsADirectory`], [`Error::NoSpace`] and [`Error::TooLarge`], after which nothing has
    /// changed, [`Error::Unsupported`] for what is not a regular file or cannot be written.
    pub fn write_file_at(&mut self, number: InodeNumber, offset: u64, data: &[u8]) -> Result<()> {
        let mut inode = self.regular_to_edit(number)?;
        if data.is_empty() {
            return Ok(());
        }
        let end = self.check_end(&inode, offset, data.len() as u64)?;
        let blocks = self.blocks_around(&(offset..end));
        let mut map = self.read_map(&inode)?;
        let holes = map.holes(blocks.clone());
        let converted = map.mark_written(&blocks);
        self.fill_holes(&mut inode, &mut map, &holes, false)?;
        // New blocks at the two ends are zeros where no data goes.
        let is_new = |block: u64| holes.iter().chain(&converted).any(|part| part.contains(&block));
        for block in [blocks.start, blocks.end - 1] {
            if is_new(block) && !self.covers(&(offset..end), block) {
                self.write_mapped(&map, block * self.block_size(), &vec![0; self.block_size() as usize])?;
            }
        }
        self.zero_past_end(&inode, &map, offset)?;
        self.write_mapped(&map, offset, data)?;
        self.store_map(&mut inode, map)?;
        self.grow_size(&mut inode, end);
        self.write_inode(&mut inode)
    }

    /// Makes a regular file `size_bytes` long: blocks past that are freed, and a shorter
    /// file grows by a hole. Times stay as they are.
    ///
    /// # Errors
    ///
    /// As [`write_file_at`](Self::write_file_at).
    pub fn truncate(&mut self, number: InodeNumber, size_bytes: u64) -> Result<()> {
        let mut inode = self.regular_to_edit(number)?;
        self.check_end(&inode, size_bytes, 0)?;
        let map = self.read_map(&inode)?;
        if size_bytes < inode.size_bytes() {
            inode.set_size(size_bytes);
            self.cut(&mut inode, map)?;
        } else {
            self.zero_past_end(&inode, &map, size_bytes)?;
            self.grow_size(&mut inode, size_bytes);
        }
        self.write_inode(&mut inode)
    }

    /// Frees the blocks past a file's size, and makes the rest of its last block zeros.
    pub(crate) fn cut(&mut self, inode: &mut Inode, mut map: BlockMap) -> Result<()> {
        let end = inode.size_bytes().div_ceil(self.block_size());
        let removed = map.remove(&(end..u64::MAX));
        self.zero_past_end(inode, &map, u64::MAX)?;
        for run in removed {
            self.free_blocks(run)?;
        }
        self.store_map(inode, map)
    }

    /// Makes a range of bytes of a regular file a hole as far as whole blocks go, and zeros where it
    /// does not. The size stays.
    ///
    /// # Errors
    ///
    /// As [`write_file_at`](Self::write_file_at): a map with one more extent may need a block.
    pub fn punch_hole(&mut self, number: InodeNumber, range: Range<u64>) -> Result<()> {
        let mut inode = self.regular_to_edit(number)?;
        let size = self.block_size();
        let range = range.start..range.end.min(self.end_of_last_block(&inode));
        if range.is_empty() {
            return Ok(());
        }
        let mut map = self.read_map(&inode)?;
        let whole = range.start.div_ceil(size)..range.end / size;
        let removed = if whole.is_empty() { Vec::new() } else { map.remove(&whole) };
        self.check_map_fits(&inode, &map, removed.iter().map(|run| run.blocks).sum())?;
        // Blocks that were taken out of the map are not written.
        self.zero_mapped(&map, &range)?;
        for run in removed {
            self.free_blocks(run)?;
        }
        self.store_map(&mut inode, map)?;
        self.write_inode(&mut inode)
    }

    /// Allocates the blocks of a range of bytes of a regular file, as unwritten extents where there
    /// are holes: they read as zeros. The file grows to the range's end if that is past its own.
    ///
    /// # Errors
    ///
    /// As [`write_file_at`](Self::write_file_at), and [`Error::Unsupported`] for files with indirect
    /// blocks.
    pub fn preallocate(&mut self, number: InodeNumber, range: Range<u64>) -> Result<()> {
        let mut inode = self.regular_to_edit(number)?;
        if range.is_empty() {
            return Ok(());
        }
        if !inode.has_flag(EXT4_EXTENTS_FL) {
            return Err(Error::unsupported(Object::Inode(number), "allocating in advance without extents"));
        }
        self.check_end(&inode, range.start, range.end - range.start)?;
        let mut map = self.read_map(&inode)?;
        let holes = map.holes(self.blocks_around(&range));
        self.fill_holes(&mut inode, &mut map, &holes, true)?;
        self.zero_past_end(&inode, &map, range.end)?;
        self.store_map(&mut inode, map)?;
        self.grow_size(&mut inode, range.end);
        self.write_inode(&mut inode)
    }

    /// A regular file that may be edited.
    fn regular_to_edit(&mut self, number: InodeNumber) -> Result<Inode> {
        self.prepare_to_write()?;
        let mut inode = self.inode(number)?;
        self.check_mutable(&inode)?;
        match inode.kind()? {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Error::IsADirectory(number)),
            kind => {
                let what = format!("writing into a {kind:?}").to_lowercase();
                return Err(Error::unsupported(Object::Inode(number), what));
            }
        }
        if inode.has_flag(EXT4_ENCRYPT_FL) {
            return Err(Error::unsupported(Object::Inode(number), "encrypt: encrypted content"));
        }
        self.give_blocks(&mut inode)?;
        Ok(inode)
    }

    /// The end of `length` bytes at `offset`; an error where no file of this kind can be that long.
    fn check_end(&self, inode: &Inode, offset: u64, length: u64) -> Result<u64> {
        let limit = self.max_file_blocks(inode).saturating_mul(self.block_size()).min(i64::MAX as u64);
        match offset.checked_add(length) {
            Some(end) if end <= limit => Ok(end),
            _ => Err(Error::TooLarge {
                what: format!("{length} bytes at offset {offset} of inode {}: the limit is {limit}", inode.number()),
            }),
        }
    }

    /// Sets the size to `end` where it is less.
    pub(crate) fn grow_size(&mut self, inode: &mut Inode, end: u64) {
        if end > inode.size_bytes() {
            inode.set_size(end);
        }
        if inode.size_bytes() >= LARGE_FILE_BYTES && !self.superblock.has_ro_compat(ro_compat::LARGE_FILE) {
            let flags = self.superblock.raw.s_feature_ro_compat.get() | ro_compat::LARGE_FILE;
            self.superblock.raw.s_feature_ro_compat.set(flags);
            self.superblock_changed = true;
        }
    }

    /// Writes bytes where the map has content for them: all of their blocks must be in it.
    pub(crate) fn write_mapped(&self, map: &BlockMap, offset: u64, data: &[u8]) -> Result<()> {
        self.for_mapped(map, &(offset..offset + data.len() as u64), &mut |at, part| {
            let from = (part.start - offset) as usize;
            Ok(self.storage.write_at(at, &data[from..from + (part.end - part.start) as usize])?)
        })
    }

    /// Writes zeros into the part of a range of bytes that has content; what has none reads as zeros.
    fn zero_mapped(&self, map: &BlockMap, range: &Range<u64>) -> Result<()> {
        self.for_mapped(map, range, &mut |at, part| {
            Ok(self.storage.write_at(at, &vec![0; (part.end - part.start) as usize])?)
        })
    }

    /// Calls `visit` with each part of a range of bytes that has content: its offset in the storage,
    /// and its bytes in the file.
    pub(crate) fn for_mapped(
        &self,
        map: &BlockMap,
        range: &Range<u64>,
        visit: &mut dyn FnMut(u64, Range<u64>) -> Result<()>,
    ) -> Result<()> {
        let size = self.block_size();
        for extent in map.within(&self.blocks_around(range)).iter().filter(|extent| !extent.unwritten) {
            let first_byte = extent.range().start * size;
            let part = range.start.max(first_byte)..range.end.min(extent.range().end * size);
            if !part.is_empty() {
                visit(extent.physical * size + (part.start - first_byte), part)?;
            }
        }
        Ok(())
    }

    /// Makes zeros of what is in the last block past the file's end, as far as `end`: the file grows over it.
    fn zero_past_end(&self, inode: &Inode, map: &BlockMap, end: u64) -> Result<()> {
        let size = inode.size_bytes();
        self.zero_mapped(map, &(size..self.end_of_last_block(inode).min(end.max(size))))
    }
}

impl<S: ReadAt> FileSystem<S> {
    fn end_of_last_block(&self, inode: &Inode) -> u64 {
        inode.size_bytes().checked_next_multiple_of(self.block_size()).unwrap_or(u64::MAX)
    }

    /// The blocks that a range of bytes touches.
    fn blocks_around(&self, range: &Range<u64>) -> Range<u64> {
        range.start / self.block_size()..range.end.div_ceil(self.block_size())
    }

    /// Whether a range of bytes has all of a block.
    fn covers(&self, range: &Range<u64>, block: u64) -> bool {
        range.start <= block * self.block_size() && (block + 1) * self.block_size() <= range.end
    }
}
