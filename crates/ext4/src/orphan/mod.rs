//! Orphans: inodes that were being deleted or truncated when the file system was last used.
//!
//! A program can remove a file that it has open: the name goes, and the blocks are freed when the file is closed. If
//! the machine stops before that, nothing names the inode, but its blocks are taken. So the kernel keeps a list of such
//! inodes and finishes it at the next mount; here the first edit does it. The list begins in the super block and goes
//! on in the deletion times, which these inodes do not have yet. With inodes 12 and 30 on it:
//!
//! ```text
//! super block  0xe8  0c00 0000  s_last_orphan = 12: the inode that was added last
//! inode 12     0x14  1e00 0000  i_dtime = 30: the next one     0x1a  0000  i_links_count = 0: it is to be deleted
//! inode 30     0x14  0000 0000  i_dtime = 0: the end           0x1a  0100  i_links_count = 1: it is to be cut
//! ```
//!
//! Inode 12 has no name any more: its blocks and the inode itself are freed. Inode 30 has a name and a new size that
//! its blocks do not follow yet: blocks past the size are freed. The list is one for the whole file system and each
//! change of it writes the super block; with `orphan_file` a file takes its place ([`file`]).

pub(crate) mod file;

use metadata::FileKind;
use storage::{ReadAt, WriteAt};

use crate::bitmap::BitmapKind;
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};

impl<S: ReadAt> FileSystem<S> {
    /// Whether inodes were being deleted or truncated when it was last used, and still are.
    pub fn has_orphans(&self) -> bool {
        self.superblock.raw.s_last_orphan.get() != 0 || self.has_orphans_in_file()
    }
}

impl<S: WriteAt> FileSystem<S> {
    /// Finishes what was being deleted or truncated when the file system was last used, as the first edit
    /// does it, and flushes that.
    ///
    /// # Errors
    ///
    /// As of an edit.
    pub fn recover(&mut self) -> Result<()> {
        self.prepare_to_write()?;
        self.flush()
    }

    /// Finishes what is on the list of orphans and what is in the orphan file.
    pub(crate) fn finish_orphans(&mut self) -> Result<()> {
        let has_list = self.superblock.raw.s_last_orphan.get() != 0;
        if has_list {
            self.finish_orphan_list()?;
        }
        let has_file = self.has_orphans_in_file();
        if has_file {
            self.finish_orphan_file()?;
        }
        if has_list || has_file { self.flush() } else { Ok(()) }
    }

    /// Finishes the list that begins in the super block and goes on in the inodes' `i_dtime`.
    fn finish_orphan_list(&mut self) -> Result<()> {
        // A list longer than there are inodes goes in a circle.
        let mut left = self.superblock.inodes();
        let mut next = self.superblock.raw.s_last_orphan.get();
        while next != 0 {
            let number = InodeNumber(next);
            let Some(fewer) = left.checked_sub(1) else {
                return Err(Error::corrupt(Object::Inode(number), "the list of orphans goes in a circle"));
            };
            left = fewer;
            next = self.finish_orphan(number)?;
        }
        self.superblock.raw.s_last_orphan.set(0);
        self.superblock_changed = true;
        Ok(())
    }

    /// Finishes one orphan: an inode without links is deleted, another one truncated. Returns what
    /// its `i_dtime` was: the next on the list.
    pub(crate) fn finish_orphan(&mut self, number: InodeNumber) -> Result<u32> {
        let mut inode = self.inode(number)?;
        if number.0 < self.superblock.first_inode() {
            return Err(Error::corrupt(Object::Inode(number), "a reserved inode among the orphans"));
        }
        let (group, index) = self.group_of_inode(number);
        if !self.bitmap(BitmapKind::Inodes, group)?.get(index) {
            return Err(Error::corrupt(Object::Inode(number), "among the orphans, but free in the bitmap"));
        }
        let next = inode.raw.i_dtime.get();
        if inode.links() == 0 {
            self.release(&inode)?;
        } else {
            self.finish_truncation(&mut inode)?;
        }
        Ok(next)
    }

    /// Frees the blocks that an inode has past its size.
    fn finish_truncation(&mut self, inode: &mut Inode) -> Result<()> {
        inode.raw.i_dtime.set(0);
        if inode.is_inline() {
            inode.cut_inline_content()?;
        } else if inode.kind()? == FileKind::Regular {
            let map = self.read_map(inode)?;
            self.cut(inode, map)?;
        }
        self.write_inode(inode)
    }
}
