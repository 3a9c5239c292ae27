//! Names added, removed and pointed elsewhere.

use metadata::FileKind;
use storage::WriteAt;

use super::read::KEPT_BYTES;
use super::{DataBlock, Directory, entry_bytes, hash};
use crate::error::{Error, Result};
use crate::filesystem::FileSystem;
use crate::layout::directory::{HEADER_BYTES, XFS_DIR2_LEAF_OFFSET};

impl Directory {
    /// A directory without names.
    pub(crate) fn empty(number: u64, parent: u64, block_bytes: usize, unit_blocks: u64) -> Self {
        let mut directory = Self::new(parent, block_bytes, unit_blocks);
        let kind = FileKind::Directory.entry_type();
        directory.add(b".", number, kind);
        directory.add(b"..", parent, kind);
        directory
    }

    /// Adds a name that is not there, in the first place that has room. Says whether there was one.
    fn add(&mut self, name: &[u8], inode: u64, kind: u8) -> bool {
        let length = entry_bytes(name.len()) as u32;
        let most = (XFS_DIR2_LEAF_OFFSET / self.block_bytes as u64) as u32;
        let number = match self.blocks.iter().find(|(_, block)| block.longest >= length) {
            Some((number, _)) => *number,
            None => match (0..most).find(|number| !self.blocks.contains_key(number)) {
                Some(number) => {
                    self.blocks.insert(number, DataBlock::new(self.block_bytes));
                    number
                }
                None => return false,
            },
        };
        let Some(block) = self.blocks.get_mut(&number) else { return false };
        let Some(offset) = block.free.iter().find(|(_, free)| **free >= length).map(|(start, _)| *start) else {
            return false;
        };
        block.take(offset, length);
        block.write(offset, name, inode, kind);
        let place = self.place(number, offset);
        self.index.insert((hash(name), place));
        self.changed = true;
        true
    }

    /// Removes a name that is there.
    fn remove(&mut self, name: &[u8]) {
        let Some(place) = self.find(name) else { return };
        self.index.remove(&(hash(name), place));
        let (number, offset) = self.split(place);
        if let Some(block) = self.blocks.get_mut(&number) {
            block.give(offset, entry_bytes(name.len()) as u32);
            if number > 0 && block.is_empty() {
                self.blocks.remove(&number);
            }
        }
        self.changed = true;
    }

    /// Points a name that is there to another inode.
    fn point(&mut self, name: &[u8], inode: u64, kind: u8) {
        let Some(place) = self.find(name) else { return };
        let (number, offset) = self.split(place);
        if let Some(block) = self.blocks.get_mut(&number) {
            block.write(offset, name, inode, kind);
        }
        if name == b".." {
            self.parent = inode;
        }
        self.changed = true;
    }
}

impl<S: WriteAt> FileSystem<S> {
    /// Begins an edit: stores directories if they take too much memory. Inodes must not be held across it.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.prepare_to_write()?;
        self.store_directories(KEPT_BYTES)
    }

    /// A directory to be changed.
    fn directory_mut(&mut self, number: u64) -> Result<&mut Directory> {
        self.with_directory(number, |_| ())?;
        let kept = self.directories.get_mut().map_err(|_| Error::NotADirectory(number))?;
        kept.get_mut(&number).ok_or(Error::NotADirectory(number))
    }

    /// Adds a name to a directory that does not have it.
    pub(crate) fn add_name(&mut self, directory: u64, name: &[u8], inode: u64, kind: FileKind) -> Result<()> {
        if self.directory_mut(directory)?.add(name, inode, kind.entry_type()) {
            Ok(())
        } else {
            Err(Error::TooLarge { what: format!("directory inode {directory} has no room for more names") })
        }
    }

    pub(crate) fn remove_name(&mut self, directory: u64, name: &[u8]) -> Result<()> {
        self.directory_mut(directory)?.remove(name);
        Ok(())
    }

    /// Points a name elsewhere, `..` too.
    pub(crate) fn point_name(&mut self, directory: u64, name: &[u8], inode: u64, kind: FileKind) -> Result<()> {
        self.directory_mut(directory)?.point(name, inode, kind.entry_type());
        Ok(())
    }

    /// Begins a directory that has no names.
    pub(crate) fn start_directory(&mut self, number: u64, parent: u64) -> Result<()> {
        let unit = 1 << self.superblock.raw.sb_dirblklog;
        let directory = Directory::empty(number, parent, self.superblock.directory_block_bytes(), unit);
        let kept = self.directories.get_mut().map_err(|_| Error::NotADirectory(number))?;
        kept.insert(number, directory);
        Ok(())
    }

    /// Forgets a directory that is being removed.
    pub(crate) fn forget_directory(&mut self, number: u64) {
        if let Ok(kept) = self.directories.get_mut() {
            kept.remove(&number);
        }
    }
}

/// The lowest byte at which a name can be.
pub(super) const FIRST_NAME: usize = HEADER_BYTES + 32;
