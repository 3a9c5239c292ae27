//! Orphans: inodes that were being deleted or truncated when the file system was last used. The
//! kernel finishes that when it mounts; we do before the first edit.

use storage::WriteAt;

use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};

impl<S: WriteAt> FileSystem<S> {
    /// Finishes what is on the list of orphans that the super block begins and each one's `i_dtime`
    /// goes on with.
    pub(crate) fn finish_orphans(&mut self) -> Result<()> {
        // A list longer than there are inodes goes in a circle.
        let mut left = self.superblock.inodes();
        let mut next = self.superblock.raw.s_last_orphan.get();
        while next != 0 {
            let number = InodeNumber(next);
            let Some(fewer) = left.checked_sub(1) else {
                return Err(Error::corrupt(Object::Inode(number), "the list of orphans goes in a circle"));
            };
            if next < self.superblock.first_inode() {
                return Err(Error::corrupt(Object::Inode(number), "a reserved inode on the list of orphans"));
            }
            left = fewer;
            let mut inode = self.inode(number)?;
            next = inode.raw.i_dtime.get();
            if inode.links() == 0 {
                self.release(&inode)?;
            } else {
                self.finish_truncation(&mut inode)?;
            }
        }
        self.superblock.raw.s_last_orphan.set(0);
        self.superblock_changed = true;
        self.flush()
    }

    /// Frees what an inode has past its size.
    fn finish_truncation(&mut self, inode: &mut Inode) -> Result<()> {
        inode.raw.i_dtime.set(0);
        if inode.is_inline() {
            inode.cut_inline_content()?;
        }
        if inode.has_blocks() {
            let end = inode.size_bytes().div_ceil(self.block_size());
            let mut map = self.read_map(inode)?;
            for run in map.remove(&(end..u64::MAX)) {
                self.free_blocks(run)?;
            }
            self.store_map(inode, map)?;
        }
        self.write_inode(inode)
    }
}
