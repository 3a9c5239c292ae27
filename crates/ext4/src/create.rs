//! New files, directories and symbolic links.

use std::io::Read;
use std::sync::Arc;

use storage::{ReadAt, WriteAt};

use crate::allocate::BlockRun;
use crate::directory_edit::{NewEntry, check_name};
use crate::error::{Error, Object, Result};
use crate::extent_store::extents_of_runs;
use crate::features::{incompat, ro_compat};
use crate::filesystem::FileSystem;
use crate::inode::{Attributes, FileKind, Inode, InodeNumber};
use crate::layout::inode::{EXT4_IMMUTABLE_FL, EXT4_INDEX_FL};

/// How much content is held in memory at a time, in bytes.
const CONTENT_STEP_BYTES: usize = 1 << 20;
/// Names that a directory or a file can have at most, in ext4.
const LINK_MAX: u16 = 65000;

impl<S: WriteAt> FileSystem<S> {
    /// Creates a regular file of `size_bytes` bytes, which `content` gives.
    ///
    /// The parent's own times stay as they are. After an error the file system in memory is not to
    /// be flushed.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], [`Error::NoSpace`], [`Error::Content`] and [`Error::ContentLength`] where
    /// `content` fails or is not as long as announced, [`Error::Unsupported`] where the file system
    /// cannot be written.
    pub fn create_file(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        attributes: &Attributes,
        size_bytes: u64,
        content: &mut dyn Read,
    ) -> Result<InodeNumber> {
        self.create_regular(parent, name, attributes, size_bytes, &mut |filesystem, runs| {
            filesystem.write_content(runs, size_bytes, content)
        })
    }

    /// Creates a regular file with the content of `source`, which is not to change as long as the
    /// storage is used: it may be kept in place of its bytes.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file); what reading `source` says is an [`Error::Storage`].
    pub fn create_file_from(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        attributes: &Attributes,
        source: &Arc<dyn ReadAt>,
    ) -> Result<InodeNumber> {
        self.create_regular(parent, name, attributes, source.size_bytes(), &mut |filesystem, runs| {
            filesystem.write_source(runs, source)
        })
    }

    /// Creates a regular file; `write` fills the blocks that it gets.
    fn create_regular(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        attributes: &Attributes,
        size_bytes: u64,
        write: &mut dyn FnMut(&mut Self, &[BlockRun]) -> Result<()>,
    ) -> Result<InodeNumber> {
        let mut directory = self.directory_for_new(parent, name)?;
        let blocks = size_bytes.div_ceil(self.block_size());
        self.check_size(size_bytes, blocks)?;
        self.check_free_blocks(blocks)?;
        let number = self.allocate_inode(parent, false)?;
        let mut inode = Inode::new(number, FileKind::Regular, attributes, &self.superblock);
        let runs = if blocks == 0 { Vec::new() } else { self.allocate_blocks(self.inode_goal(number), blocks)? };
        write(self, &runs)?;
        self.store_new_map(&mut inode, &runs)?;
        inode.set_size(size_bytes);
        if size_bytes > i32::MAX as u64 {
            self.require_large_file();
        }
        self.write_inode(&mut inode)?;
        self.add_entry(&mut directory, &NewEntry { name, inode: number, kind: FileKind::Regular })?;
        Ok(number)
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
        self.add_link(&mut directory)?;
        self.check_free_blocks(1)?;
        let number = self.allocate_inode(parent, true)?;
        let mut inode = Inode::new(number, FileKind::Directory, attributes, &self.superblock);
        inode.raw.i_links_count.set(2);
        let runs = self.allocate_blocks(self.inode_goal(number), 1)?;
        self.store_new_map(&mut inode, &runs)?;
        inode.set_size(self.block_size());
        let mut builder = self.block_builder();
        let file_type = self.entry_type(FileKind::Directory);
        builder.push(number.0, file_type, b".");
        builder.push(parent.0, file_type, b"..");
        self.write_leaf(&inode, runs[0].first, &mut builder.finish())?;
        self.write_inode(&mut inode)?;
        self.write_inode(&mut directory)?;
        self.add_entry(&mut directory, &NewEntry { name, inode: number, kind: FileKind::Directory })?;
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
        let number = self.allocate_inode(parent, false)?;
        let mut inode = Inode::new(number, FileKind::Symlink, attributes, &self.superblock);
        if target.len() < inode.raw.i_block.len() {
            inode.raw.i_block[..target.len()].copy_from_slice(target);
        } else {
            let runs = self.allocate_blocks(self.inode_goal(number), 1)?;
            self.write_content(&runs, target.len() as u64, &mut &*target)?;
            self.store_new_map(&mut inode, &runs)?;
        }
        inode.set_size(target.len() as u64);
        self.write_inode(&mut inode)?;
        self.add_entry(&mut directory, &NewEntry { name, inode: number, kind: FileKind::Symlink })?;
        Ok(number)
    }

    /// Changes mode, owner and times of what is there.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the file system cannot be written, [`Error::Corrupt`].
    pub fn set_attributes(&mut self, number: InodeNumber, attributes: &Attributes) -> Result<()> {
        self.prepare_to_write()?;
        let mut inode = self.inode(number)?;
        self.check_mutable(&inode)?;
        inode.set_attributes(attributes);
        self.write_inode(&mut inode)
    }

    /// The directory, with everything checked that a new name in it needs.
    fn directory_for_new(&mut self, parent: InodeNumber, name: &[u8]) -> Result<Inode> {
        self.prepare_to_write()?;
        check_name(name)?;
        let directory = self.directory(parent)?;
        self.check_mutable(&directory)?;
        match self.find_entry(&directory, name)? {
            Some(found) => Err(Error::Exists { inode: InodeNumber(found.slot.inode) }),
            None => Ok(directory),
        }
    }

    /// Refuses an inode that was made immutable.
    pub(crate) fn check_mutable(&self, inode: &Inode) -> Result<()> {
        if inode.has_flag(EXT4_IMMUTABLE_FL) {
            return Err(Error::unsupported(
                Object::Inode(inode.number()),
                "immutable: it is not to be changed (chattr +i)",
            ));
        }
        Ok(())
    }

    /// Counts one more name of a directory.
    fn add_link(&self, directory: &mut Inode) -> Result<()> {
        let links = directory.links();
        // 1 stands for more than can be counted.
        let counted =
            if links == 1 || (links >= LINK_MAX && directory.has_flag(EXT4_INDEX_FL)) { 1 } else { links + 1 };
        if links >= LINK_MAX && (counted != 1 || !self.superblock.has_ro_compat(ro_compat::DIR_NLINK)) {
            return Err(Error::TooLarge { what: format!("directory inode {}: {links} links", directory.number()) });
        }
        directory.raw.i_links_count.set(counted);
        Ok(())
    }

    fn check_size(&self, size_bytes: u64, blocks: u64) -> Result<()> {
        if !self.superblock.has_incompat(incompat::EXTENTS) && blocks > 0 {
            return Err(Error::unsupported(Object::Superblock, "writing files without the extent feature"));
        }
        if blocks > u64::from(u32::MAX) {
            return Err(Error::TooLarge {
                what: format!("file of {size_bytes} bytes: {blocks} blocks, the limit is {}", u32::MAX),
            });
        }
        Ok(())
    }

    /// Where content of an inode is looked for first: its own group.
    pub(crate) fn inode_goal(&self, number: InodeNumber) -> u64 {
        let (group, _) = self.group_of_inode(number);
        self.superblock.group_first_block(group) + 1
    }

    /// Gives a new inode its block map.
    fn store_new_map(&mut self, inode: &mut Inode, runs: &[BlockRun]) -> Result<()> {
        if !self.superblock.has_incompat(incompat::EXTENTS) {
            if runs.is_empty() {
                return Ok(());
            }
            return Err(Error::unsupported(Object::Superblock, "writing files without the extent feature"));
        }
        self.store_extents(inode, &extents_of_runs(runs), Vec::new())
    }

    /// Writes content into `runs`, the last block filled with zeros.
    fn write_content(&mut self, runs: &[BlockRun], size_bytes: u64, content: &mut dyn Read) -> Result<()> {
        let block_size = self.block_size();
        let mut left = size_bytes;
        let mut buffer = vec![0; CONTENT_STEP_BYTES.min(size_bytes.next_multiple_of(block_size) as usize)];
        for run in runs {
            let mut offset = run.first * block_size;
            let end = (run.first + run.blocks) * block_size;
            while offset < end && left > 0 {
                let step = (buffer.len() as u64).min(end - offset);
                let filled = step.min(left) as usize;
                fill(content, &mut buffer[..filled], size_bytes, size_bytes - left)?;
                buffer[filled..step as usize].fill(0);
                self.storage.write_at(offset, &buffer[..step as usize])?;
                offset += step;
                left -= filled as u64;
            }
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

    /// Writes a source into `runs`, the last block filled with zeros.
    fn write_source(&mut self, runs: &[BlockRun], source: &Arc<dyn ReadAt>) -> Result<()> {
        let block_size = self.block_size();
        let mut done = 0;
        for run in runs {
            let length = (run.blocks * block_size).min(source.size_bytes() - done);
            let whole = length / block_size * block_size;
            let offset = run.first * block_size;
            self.storage.write_from(offset, source, done, whole)?;
            if whole < length {
                let mut last = vec![0; block_size as usize];
                source.read_at(done + whole, &mut last[..(length - whole) as usize])?;
                self.storage.write_at(offset + whole, &last)?;
            }
            done += length;
        }
        Ok(())
    }

    fn require_large_file(&mut self) {
        let flags = self.superblock.raw.s_feature_ro_compat.get() | ro_compat::LARGE_FILE;
        self.superblock.raw.s_feature_ro_compat.set(flags);
        self.superblock_changed = true;
    }
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
