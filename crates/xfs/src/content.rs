//! The content of regular files and of symlinks: read, written, cut.

use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

use metadata::{ContentExtent, FileKind};
use storage::{ExtentKind, ReadAt, WriteAt};

use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::group::Run;
use crate::inode::{Fork, Inode};
use crate::layout::attribute::{REMOTE_BYTES, REMOTE_CRC_AT, RawRemote, XFS_SYMLINK_MAGIC};
use crate::layout::inode::{XFS_DIFLAG_REALTIME, XFS_DINODE_FMT_LOCAL};
use crate::layout::{has_checksum, header};
use crate::map::{Extent, Map};

/// How much content is held in memory at a time, in bytes.
const CONTENT_STEP_BYTES: u64 = 1 << 20;
/// `XFS_SYMLINK_MAXLEN`.
pub(crate) const XFS_SYMLINK_MAXLEN: usize = 1024;
/// The most bytes that blocks next to each other have which a target is in: a block of the largest size.
const SYMLINK_BYTES: usize = 64 << 10;

impl<S: WriteAt> FileSystem<S> {
    /// Where the content of a regular file is, in order; what no extent covers reads as zeros.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`], [`Error::Storage`], [`Error::Unsupported`] for a file on a realtime device.
    pub fn content_extents(&self, inode: &Inode) -> Result<Vec<ContentExtent>> {
        if inode.flags() & XFS_DIFLAG_REALTIME != 0 {
            return Err(Error::unsupported(Object::Inode(inode.number), "content on a realtime device"));
        }
        let map = self.read_map(inode, Fork::Data)?;
        let written = map.extents.iter().filter(|extent| !extent.is_unwritten);
        written
            .map(|extent| {
                Ok(ContentExtent {
                    offset: extent.offset * self.block_bytes(),
                    length_bytes: extent.blocks * self.block_bytes(),
                    storage_offset: self.offset(extent.start)?,
                })
            })
            .collect()
    }

    /// Reads from `offset` of a regular file on, as it is after all edits. Returns fewer bytes than `buffer` takes
    /// only at the file's end.
    ///
    /// # Errors
    ///
    /// As [`content_extents`](Self::content_extents).
    pub fn read_file_at(&self, number: u64, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let inode = self.inode(number)?;
        let length = inode.size_bytes().saturating_sub(offset).min(buffer.len() as u64) as usize;
        let (buffer, end) = (&mut buffer[..length], offset + length as u64);
        buffer.fill(0);
        let extents = self.extents_of(&inode)?;
        let first = extents.partition_point(|extent| extent.offset + extent.length_bytes <= offset);
        for extent in extents[first..].iter().take_while(|extent| extent.offset < end) {
            let from = extent.offset.max(offset);
            let to = (extent.offset + extent.length_bytes).min(end);
            let part = &mut buffer[(from - offset) as usize..(to - offset) as usize];
            self.storage.read_at(extent.storage_offset + (from - extent.offset), part)?;
        }
        Ok(length)
    }

    /// The extents of the file that is read; they are kept until the next edit, because a file is read in many pieces.
    fn extents_of(&self, inode: &Inode) -> Result<Arc<[ContentExtent]>> {
        let mut last = self.extents.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((number, extents)) if *number == inode.number => Ok(Arc::clone(extents)),
            _ => {
                let extents: Arc<[ContentExtent]> = self.content_extents(inode)?.into();
                *last = Some((inode.number, Arc::clone(&extents)));
                Ok(extents)
            }
        }
    }

    /// Reads bytes of the storage that a [`ContentExtent`] has, as they are after all edits.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn read_content(&self, storage_offset: u64, buffer: &mut [u8]) -> Result<()> {
        Ok(self.storage.read_at(storage_offset, buffer)?)
    }

    /// The target of a symlink.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`], [`Error::Storage`].
    pub fn read_link(&self, number: u64) -> Result<Vec<u8>> {
        let inode = self.inode(number)?;
        let length = inode.size_bytes() as usize;
        if inode.kind()? != FileKind::Symlink || length == 0 || length > XFS_SYMLINK_MAXLEN {
            return Err(inode.corrupt(format!("no symlink, or one of {length} bytes")));
        }
        if inode.format(Fork::Data) == XFS_DINODE_FMT_LOCAL {
            let target = inode.fork(Fork::Data).get(..length).map(<[u8]>::to_vec);
            return target.ok_or_else(|| inode.corrupt(format!("a target of {length} bytes does not fit into it")));
        }
        let map = self.read_map(&inode, Fork::Data)?;
        let mut target = Vec::new();
        for extent in &map.extents {
            let room = (extent.blocks * self.block_bytes()) as usize;
            if target.len() >= length || room > SYMLINK_BYTES {
                break;
            }
            // One header for all blocks next to each other.
            let mut bytes = vec![0; room];
            self.storage.read_at(self.offset(extent.start)?, &mut bytes)?;
            let raw: &RawRemote = header(&bytes);
            let part = raw.bytes.get() as usize;
            let fits = part > 0 && part <= bytes.len() - REMOTE_BYTES && raw.owner.get() == inode.number;
            if raw.magic.get() != XFS_SYMLINK_MAGIC || !fits || !has_checksum(&bytes, REMOTE_CRC_AT) {
                return Err(inode.corrupt("a block of its target that breaks a rule"));
            }
            target.extend(&bytes[REMOTE_BYTES..REMOTE_BYTES + part]);
        }
        if target.len() < length {
            return Err(inode.corrupt("a part of its target is missing"));
        }
        target.truncate(length);
        Ok(target)
    }

    /// Stores the target of a symlink whose data fork is empty.
    pub(crate) fn write_target(&mut self, inode: &mut Inode, target: &[u8]) -> Result<()> {
        inode.raw_mut().di_size.set(target.len() as u64);
        if target.len() <= inode.fork(Fork::Data).len() {
            inode.set_format(Fork::Data, XFS_DINODE_FMT_LOCAL);
            inode.set_fork(Fork::Data, target);
            return Ok(());
        }
        let room = self.block_bytes() as usize - REMOTE_BYTES;
        let mut map = Map::default();
        self.fill(inode, &mut map, Fork::Data, 0..target.len().div_ceil(room) as u64)?;
        let mut rest = target;
        for extent in map.extents.clone() {
            let room = (extent.blocks * self.block_bytes()) as usize;
            let (part, later) = rest.split_at(rest.len().min(room - REMOTE_BYTES));
            let bytes =
                self.remote_block(inode, extent.start, room, target.len() - rest.len(), part, XFS_SYMLINK_MAGIC, 0)?;
            self.storage.write_at(self.offset(extent.start)?, &bytes)?;
            rest = later;
        }
        self.store_map(inode, Fork::Data, &mut map)
    }

    /// Writes the content of a new file, which `content` gives, into its blocks.
    pub(crate) fn write_content(&mut self, extents: &[Extent], size_bytes: u64, content: &mut dyn Read) -> Result<()> {
        let mut buffer = vec![0; CONTENT_STEP_BYTES.min(size_bytes.max(1)) as usize];
        let mut done = 0;
        for extent in extents {
            let mut at = self.offset(extent.start)?;
            let end = at + extent.blocks * self.block_bytes();
            while at < end {
                let room = (end - at).min(CONTENT_STEP_BYTES);
                let length = room.min(size_bytes - done) as usize;
                if length == 0 {
                    break;
                }
                read_exactly(content, &mut buffer[..length], done, size_bytes)?;
                self.storage.write_at(at, &buffer[..length])?;
                at += length as u64;
                done += length as u64;
            }
            self.zero(at, end - at)?;
        }
        let mut one = [0];
        match content.read(&mut one) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Error::ContentLength { expected_bytes: size_bytes, found_bytes: size_bytes + 1 }),
            Err(error) => Err(Error::Content(error)),
        }
    }

    /// The same from a storage, which may be kept in place of its bytes.
    pub(crate) fn write_source(&mut self, extents: &[Extent], source: &Arc<dyn ReadAt>) -> Result<()> {
        for extent in extents {
            let at = self.offset(extent.start)?;
            let from = extent.offset * self.block_bytes();
            let length = (extent.blocks * self.block_bytes()).min(source.size_bytes().saturating_sub(from));
            self.storage.write_from(at, source, from, length)?;
            self.zero(at + length, extent.blocks * self.block_bytes() - length)?;
        }
        Ok(())
    }

    fn zero(&mut self, mut at: u64, mut length: u64) -> Result<()> {
        let zeros = vec![0; length.min(64 << 10) as usize];
        while length > 0 {
            let step = length.min(zeros.len() as u64);
            self.storage.write_at(at, &zeros[..step as usize])?;
            at += step;
            length -= step;
        }
        Ok(())
    }

    /// A regular file to be changed.
    fn regular_to_edit(&mut self, number: u64) -> Result<Inode> {
        self.begin()?;
        let inode = self.inode_to_edit(number)?;
        match inode.kind()? {
            FileKind::Regular if inode.flags() & XFS_DIFLAG_REALTIME != 0 => {
                Err(Error::unsupported(Object::Inode(number), "content on a realtime device"))
            }
            FileKind::Regular => Ok(inode),
            FileKind::Directory => Err(Error::IsADirectory(number)),
            kind => Err(Error::unsupported(Object::Inode(number), format!("writing to a {kind:?}"))),
        }
    }

    /// Writes `data` at `offset` of a regular file, which grows as far as needed; what is skipped past its end
    /// becomes a hole. Times stay as they are. Blocks that other files share are copied.
    ///
    /// # Errors
    ///
    /// [`Error::IsADirectory`], [`Error::NoSpace`] and [`Error::TooLarge`], after which nothing has changed,
    /// [`Error::Unsupported`] for what is not a regular file or cannot be written.
    pub fn write_file_at(&mut self, number: u64, offset: u64, data: &[u8]) -> Result<()> {
        let mut inode = self.regular_to_edit(number)?;
        if data.is_empty() {
            return Ok(());
        }
        let size = self.block_bytes();
        let end = self.check_end(offset, data.len() as u64)?;
        let blocks = offset / size..end.div_ceil(size);
        self.check_room(blocks.end - blocks.start)?;
        let mut map = self.read_map(&inode, Fork::Data)?;
        self.zero_past_end(&inode, &mut map, offset)?;
        self.own_blocks(&inode, &mut map, blocks.clone())?;
        for hole in map.holes(blocks.clone()) {
            for extent in self.fill(&inode, &mut map, Fork::Data, hole)? {
                for block in [extent.offset, extent.end() - 1] {
                    if block * size < offset || (block + 1) * size > end {
                        self.zero(self.mapped(&inode, &map, block)?, size)?;
                    }
                }
            }
        }
        for extent in map.parts(&blocks) {
            let (from, to) = ((extent.offset * size).max(offset), (extent.end() * size).min(end));
            let at = self.offset(extent.start)? + (from - extent.offset * size);
            self.storage.write_at(at, &data[(from - offset) as usize..(to - offset) as usize])?;
        }
        self.store_map(&mut inode, Fork::Data, &mut map)?;
        if end > inode.size_bytes() {
            inode.raw_mut().di_size.set(end);
        }
        self.write_inode(&mut inode)
    }

    /// Makes a regular file `size_bytes` long: blocks past that are freed, and a shorter file grows by a hole. Times
    /// stay as they are.
    ///
    /// # Errors
    ///
    /// As [`write_file_at`](Self::write_file_at).
    pub fn truncate(&mut self, number: u64, size_bytes: u64) -> Result<()> {
        let mut inode = self.regular_to_edit(number)?;
        self.check_end(size_bytes, 0)?;
        let size = self.block_bytes();
        self.check_room(1)?;
        let mut map = self.read_map(&inode, Fork::Data)?;
        if size_bytes < inode.size_bytes() {
            self.unmap(&inode, &mut map, Fork::Data, &(size_bytes.div_ceil(size)..u64::MAX))?;
            inode.raw_mut().di_size.set(size_bytes);
        }
        let end = size_bytes.max(inode.size_bytes());
        self.zero_past_end(&inode, &mut map, end)?;
        self.store_map(&mut inode, Fork::Data, &mut map)?;
        inode.raw_mut().di_size.set(size_bytes);
        self.write_inode(&mut inode)
    }

    /// Makes bytes of the last block that are past the file's end zeros, where they may become a part of it.
    fn zero_past_end(&mut self, inode: &Inode, map: &mut Map, grows_to: u64) -> Result<()> {
        let (size, end) = (self.block_bytes(), inode.size_bytes());
        if grows_to < end || end.is_multiple_of(size) {
            return Ok(());
        }
        let last = end / size;
        if !map.parts(&(last..last + 1)).iter().any(|extent| !extent.is_unwritten) {
            return Ok(());
        }
        self.own_blocks(inode, map, last..last + 1)?;
        let at = self.mapped(inode, map, last)? + end % size;
        self.zero(at, size - end % size)
    }

    fn mapped(&self, inode: &Inode, map: &Map, block: u64) -> Result<u64> {
        self.offset(map.block(block).ok_or_else(|| inode.corrupt(format!("block {block} of it is missing")))?)
    }

    /// Makes sure that nobody else has the blocks of a range. What is shared is copied; what is unwritten becomes
    /// blocks of zeros.
    fn own_blocks(&mut self, inode: &Inode, map: &mut Map, range: Range<u64>) -> Result<()> {
        let mut parts = Vec::new();
        for extent in map.parts(&range) {
            if extent.is_unwritten {
                parts.push(extent);
            } else if inode.may_share() {
                let (group, within) =
                    self.superblock.split(extent.start).ok_or_else(|| inode.corrupt("an extent past the end"))?;
                let run = Run { start: within, blocks: extent.blocks as u32 };
                for shared in self.group(group)?.shared_parts(run) {
                    let skip = u64::from(shared.start - within);
                    parts.push(Extent {
                        offset: extent.offset + skip,
                        start: extent.start + skip,
                        blocks: shared.blocks.into(),
                        is_unwritten: false,
                    });
                }
            }
        }
        for part in parts {
            let from = self.offset(part.start)?;
            self.unmap(inode, map, Fork::Data, &(part.offset..part.end()))?;
            for extent in self.fill(inode, map, Fork::Data, part.offset..part.end())? {
                let to = self.offset(extent.start)?;
                let length = extent.blocks * self.block_bytes();
                if part.is_unwritten {
                    self.zero(to, length)?;
                } else {
                    self.copy(from + (extent.offset - part.offset) * self.block_bytes(), to, length)?;
                }
            }
        }
        Ok(())
    }

    fn copy(&mut self, from: u64, to: u64, length: u64) -> Result<()> {
        let mut done = 0;
        let mut buffer = vec![0; length.min(CONTENT_STEP_BYTES) as usize];
        while done < length {
            let step = (length - done).min(CONTENT_STEP_BYTES) as usize;
            self.storage.read_at(from + done, &mut buffer[..step])?;
            self.storage.write_at(to + done, &buffer[..step])?;
            done += step as u64;
        }
        Ok(())
    }

    /// The end of a write, if a file can be that long.
    fn check_end(&self, offset: u64, length: u64) -> Result<u64> {
        let most = (1 << 54) * self.block_bytes().min(512) - 1;
        match offset.checked_add(length).filter(|end| *end <= most.min(i64::MAX as u64)) {
            Some(end) => Ok(end),
            None => Err(Error::TooLarge { what: format!("a file has at most {most} bytes") }),
        }
    }
}

/// Fills `buffer`; `done` bytes of `expected` were read before.
fn read_exactly(content: &mut dyn Read, buffer: &mut [u8], done: u64, expected: u64) -> Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match content.read(&mut buffer[filled..]) {
            Ok(0) => {
                return Err(Error::ContentLength { expected_bytes: expected, found_bytes: done + filled as u64 });
            }
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Content(error)),
        }
    }
    Ok(())
}

/// The blocks of a file that have the content of `source`: its holes are those of the file.
pub(crate) fn content_blocks(source: &dyn ReadAt, block_bytes: u64) -> Result<Vec<Range<u64>>> {
    let mut blocks: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    while at < source.size_bytes() {
        let extent = source.extent_at(at)?;
        let end = at + extent.length_bytes;
        if extent.kind == ExtentKind::Data {
            let part = at / block_bytes..end.div_ceil(block_bytes);
            match blocks.last_mut() {
                Some(last) if last.end >= part.start => last.end = last.end.max(part.end),
                _ => blocks.push(part),
            }
        }
        at = end;
    }
    Ok(blocks)
}
