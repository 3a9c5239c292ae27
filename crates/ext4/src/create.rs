//! New files of every kind.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use metadata::{Attributes, FileKind, Special};
use storage::{ExtentKind, ReadAt, WriteAt};

use crate::block_map::BlockMap;
use crate::directory::edit::NewEntry;
use crate::error::{Error, Result};
use crate::features::ro_compat;
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::EXT4_PROJINHERIT_FL;

/// How much content is held in memory at a time, in bytes.
const CONTENT_STEP_BYTES: usize = 1 << 20;
/// Content of a single block.
const FIRST_BLOCK: &[Range<u64>] = std::slice::from_ref(&(0..1));
/// Device numbers go up to these, not included.
const MAJOR_END: u32 = 1 << 12;
const MINOR_END: u32 = 1 << 20;

impl<S: WriteAt> FileSystem<S> {
    /// Creates a regular file of `size_bytes` bytes, which `content` gives.
    ///
    /// The parent's own times stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], [`Error::NoSpace`] and [`Error::TooLarge`], after which nothing has changed,
    /// [`Error::Unsupported`] where the file system cannot be written. [`Error::Content`] and
    /// [`Error::ContentLength`] where `content` fails or is not as long as announced: do not flush the
    /// file system then.
    pub fn create_file(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        attributes: &Attributes,
        size_bytes: u64,
        content: &mut dyn Read,
    ) -> Result<InodeNumber> {
        let all = 0..size_bytes.div_ceil(self.block_size());
        let holes = if all.is_empty() { &[][..] } else { std::slice::from_ref(&all) };
        self.create_regular(parent, name, attributes, size_bytes, holes, &mut |filesystem, map| {
            filesystem.write_content(map, size_bytes, content)
        })
    }

    /// Creates a regular file with the content of `source`, which must not change as long as the
    /// storage is used: the storage may keep `source` and not its bytes. Where `source` has holes, so has the file.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file); [`Error::Storage`] where `source` cannot be read.
    pub fn create_file_from(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        attributes: &Attributes,
        source: &Arc<dyn ReadAt>,
    ) -> Result<InodeNumber> {
        let content = content_blocks(source, self.block_size())?;
        self.create_regular(parent, name, attributes, source.size_bytes(), &content, &mut |filesystem, map| {
            filesystem.write_source(map, source)
        })
    }

    /// Creates a regular file with content in the blocks of `content`; `write` fills them.
    fn create_regular(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        attributes: &Attributes,
        size_bytes: u64,
        content: &[Range<u64>],
        write: &mut dyn FnMut(&mut Self, &BlockMap) -> Result<()>,
    ) -> Result<InodeNumber> {
        let mut directory = self.directory_for_new(parent, name)?;
        let blocks = content.iter().map(|part| part.end - part.start).sum();
        self.check_room(&directory, name, blocks)?;
        let number = self.allocate_inode(parent, false)?;
        let mut inode = self.new_inode(&directory, number, FileKind::Regular, attributes);
        self.start_map(&mut inode)?;
        let map = self.place_content(&mut inode, &directory, name, content)?;
        write(self, &map)?;
        self.store_map(&mut inode, map)?;
        self.grow_size(&mut inode, size_bytes);
        self.name_new(&mut directory, name, inode)
    }

    /// Takes blocks for the content of a new inode, and leaves enough for its map and its name. Where
    /// there are not enough, the inode is freed too.
    fn place_content(
        &mut self,
        inode: &mut Inode,
        directory: &Inode,
        name: &[u8],
        content: &[Range<u64>],
    ) -> Result<BlockMap> {
        let mut map = BlockMap::default();
        let placed = self
            .fill_holes(inode, &mut map, content, false)
            .and_then(|()| self.check_room(directory, name, self.map_blocks_needed(inode, &map.extents)));
        let Err(error) = placed else { return Ok(map) };
        for run in map.remove(&(0..u64::MAX)) {
            self.free_blocks(run)?;
        }
        self.free_inode(inode.number(), inode.kind()? == FileKind::Directory)?;
        self.write_inode(&mut Inode::zeroed(inode.number(), &self.superblock))?;
        Err(error)
    }

    /// Creates an empty directory.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    pub fn create_directory(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        attributes: &Attributes,
    ) -> Result<InodeNumber> {
        let mut directory = self.directory_for_new(parent, name)?;
        self.add_link(&mut directory.clone())?;
        self.check_room(&directory, name, 1)?;
        let number = self.allocate_inode(parent, true)?;
        let mut inode = self.new_inode(&directory, number, FileKind::Directory, attributes);
        inode.raw.i_links_count.set(2);
        self.start_map(&mut inode)?;
        let map = self.place_content(&mut inode, &directory, name, FIRST_BLOCK)?;
        let first = map.extents.first().map_or(0, |extent| extent.physical);
        self.store_map(&mut inode, map)?;
        inode.set_size(self.block_size());
        let mut builder = self.block_builder();
        let file_type = self.entry_type(FileKind::Directory);
        builder.push(number.0, file_type, b".");
        builder.push(parent.0, file_type, b"..");
        self.write_leaf(&inode, first, &mut builder.finish())?;
        self.name_new(&mut directory, name, inode)?;
        self.add_link(&mut directory)?;
        self.write_inode(&mut directory)?;
        Ok(number)
    }

    /// Creates a symbolic link.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file), and [`Error::TooLarge`] for a target that does not
    /// fit one block.
    pub fn create_symlink(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        target: &[u8],
        attributes: &Attributes,
    ) -> Result<InodeNumber> {
        let mut directory = self.directory_for_new(parent, name)?;
        let limit = self.block_size().min(4096) - 1;
        if target.is_empty() || target.len() as u64 > limit || target.contains(&0) {
            return Err(Error::TooLarge {
                what: format!("symbolic link of {} bytes, expected 1 to {limit}", target.len()),
            });
        }
        let is_short = target.len() < 60;
        self.check_room(&directory, name, u64::from(!is_short))?;
        let number = self.allocate_inode(parent, false)?;
        let mut inode = self.new_inode(&directory, number, FileKind::Symlink, attributes);
        if is_short {
            inode.raw.i_block[..target.len()].copy_from_slice(target);
        } else {
            self.start_map(&mut inode)?;
            let map = self.place_content(&mut inode, &directory, name, FIRST_BLOCK)?;
            self.write_content(&map, target.len() as u64, &mut &*target)?;
            self.store_map(&mut inode, map)?;
        }
        inode.set_size(target.len() as u64);
        self.name_new(&mut directory, name, inode)
    }

    /// Creates a device, a FIFO or a socket.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file), and [`Error::TooLarge`] for device numbers that Linux
    /// does not have.
    pub fn create_special(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        special: Special,
        attributes: &Attributes,
    ) -> Result<InodeNumber> {
        let mut directory = self.directory_for_new(parent, name)?;
        let (kind, device) = match special {
            Special::CharDevice { major, minor } => (FileKind::CharDevice, Some((major, minor))),
            Special::BlockDevice { major, minor } => (FileKind::BlockDevice, Some((major, minor))),
            Special::Fifo => (FileKind::Fifo, None),
            Special::Socket => (FileKind::Socket, None),
        };
        if let Some((major, minor)) = device
            && (major >= MAJOR_END || minor >= MINOR_END)
        {
            return Err(Error::TooLarge {
                what: format!("device {major}:{minor}, expected below {MAJOR_END}:{MINOR_END}"),
            });
        }
        self.check_room(&directory, name, 0)?;
        let number = self.allocate_inode(parent, false)?;
        let mut inode = self.new_inode(&directory, number, kind, attributes);
        if let Some((major, minor)) = device {
            inode.set_device(major, minor);
        }
        self.name_new(&mut directory, name, inode)
    }

    /// An inode for something new in a directory: with the directory's project where that is
    /// inherited.
    fn new_inode(&self, directory: &Inode, number: InodeNumber, kind: FileKind, attributes: &Attributes) -> Inode {
        let mut inode = Inode::new(number, kind, attributes, &self.superblock);
        if self.superblock.has_ro_compat(ro_compat::PROJECT) && directory.has_flag(EXT4_PROJINHERIT_FL) {
            inode.set_project(directory.project());
            if kind == FileKind::Directory {
                inode.set_flag(EXT4_PROJINHERIT_FL);
            }
        }
        inode
    }

    /// Writes a new inode and gives it its name; where the directory has no room for it, the inode is
    /// freed.
    fn name_new(&mut self, directory: &mut Inode, name: &[u8], mut inode: Inode) -> Result<InodeNumber> {
        self.write_inode(&mut inode)?;
        let named = self.add_entry(directory, &NewEntry { name, inode: inode.number(), kind: inode.kind()? });
        if let Err(Error::TooLarge { .. }) = named {
            self.release(&inode)?;
        }
        named.map(|()| inode.number())
    }

    /// Writes content into a map that has blocks for all of it, the last one filled with zeros.
    fn write_content(&mut self, map: &BlockMap, size_bytes: u64, content: &mut dyn Read) -> Result<()> {
        let block_size = self.block_size();
        let padded = size_bytes.next_multiple_of(block_size);
        let mut buffer = vec![0; padded.min(CONTENT_STEP_BYTES as u64) as usize];
        let mut done = 0;
        while done < size_bytes {
            let step = &mut buffer[..(padded - done).min(CONTENT_STEP_BYTES as u64) as usize];
            let filled = (size_bytes - done).min(step.len() as u64) as usize;
            fill(content, &mut step[..filled], size_bytes, done)?;
            step[filled..].fill(0);
            self.write_mapped(map, done, step)?;
            done += filled as u64;
        }
        let mut one_more = [0];
        loop {
            match content.read(&mut one_more) {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    return Err(Error::ContentLength {
                        expected_bytes: size_bytes,
                        found_bytes: size_bytes.saturating_add(1),
                    });
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Content(error)),
            }
        }
    }

    /// Writes a source into a map, its last block filled with zeros.
    fn write_source(&mut self, map: &BlockMap, source: &Arc<dyn ReadAt>) -> Result<()> {
        let block_size = self.block_size();
        self.for_mapped(map, &(0..source.size_bytes()), &mut |offset, part| {
            let length = part.end - part.start;
            let whole = length / block_size * block_size;
            self.storage.write_from(offset, source, part.start, whole)?;
            if whole < length {
                let mut last = vec![0; block_size as usize];
                source.read_at(part.start + whole, &mut last[..(length - whole) as usize])?;
                self.storage.write_at(offset + whole, &last)?;
            }
            Ok(())
        })
    }
}

/// The blocks of a file in which `source` has bytes.
fn content_blocks(source: &Arc<dyn ReadAt>, block_size: u64) -> Result<Vec<Range<u64>>> {
    let mut parts: Vec<Range<u64>> = Vec::new();
    let mut offset = 0;
    while offset < source.size_bytes() {
        let extent = source.extent_at(offset)?;
        let end = offset + extent.length_bytes;
        if extent.kind == ExtentKind::Data {
            let part = offset / block_size..end.div_ceil(block_size);
            match parts.last_mut() {
                Some(last) if last.end >= part.start => last.end = last.end.max(part.end),
                _ => parts.push(part),
            }
        }
        offset = end;
    }
    Ok(parts)
}

/// Fills `buffer` from content that had given `before` of `expected_bytes` bytes.
fn fill(content: &mut dyn Read, buffer: &mut [u8], expected_bytes: u64, before: u64) -> Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match content.read(&mut buffer[filled..]) {
            Ok(0) => return Err(Error::ContentLength { expected_bytes, found_bytes: before + filled as u64 }),
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Content(error)),
        }
    }
    Ok(())
}
