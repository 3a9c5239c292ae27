//! What files have apart from content: mode, owner, times, the count of their names.

use metadata::{Attributes, Times};
use storage::WriteAt;

use crate::error::{Error, Object, Result};
use crate::features::ro_compat;
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::{EXT4_CHANGEABLE_FL, EXT4_EA_INODE_FL, EXT4_IMMUTABLE_FL, EXT4_INDEX_FL};

/// Directories in a directory, and its own two names, at most.
const LINK_MAX: u16 = 65000;

impl<S: WriteAt> FileSystem<S> {
    /// Changes mode, owner and times of what is there.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the file system cannot be written, [`Error::Corrupt`].
    pub fn set_attributes(&mut self, number: InodeNumber, attributes: &Attributes) -> Result<()> {
        self.change_inode(number, |inode| inode.set_attributes(attributes))
    }

    /// Changes times of what is there.
    ///
    /// # Errors
    ///
    /// As [`set_attributes`](Self::set_attributes).
    pub fn set_times(&mut self, number: InodeNumber, times: &Times) -> Result<()> {
        self.change_inode(number, |inode| inode.set_times(times))
    }

    /// Sets the flags that `chattr` sets: attributes `s`, `u`, `S`, `i`, `a`, `d`, `A`, `j`, `t`, `D`, `T` as the bits
    /// of `FS_IOC_SETFLAGS`. All other bits stay as they are. A file that is immutable can be made mutable.
    ///
    /// # Errors
    ///
    /// As [`set_attributes`](Self::set_attributes).
    pub fn set_flags(&mut self, number: InodeNumber, flags: u32) -> Result<()> {
        self.prepare_to_write()?;
        let mut inode = self.inode(number)?;
        let old = inode.raw.i_flags.get();
        inode.raw.i_flags.set(old & !EXT4_IMMUTABLE_FL);
        self.check_mutable(&inode)?;
        inode.raw.i_flags.set(old & !EXT4_CHANGEABLE_FL | flags & EXT4_CHANGEABLE_FL);
        self.write_inode(&mut inode)
    }

    fn change_inode(&mut self, number: InodeNumber, change: impl FnOnce(&mut Inode)) -> Result<()> {
        self.prepare_to_write()?;
        let mut inode = self.inode(number)?;
        self.check_mutable(&inode)?;
        change(&mut inode);
        self.write_inode(&mut inode)
    }

    /// Fails for an inode that is immutable, that the file system keeps for itself, that holds an attribute's value, or
    /// that is not in use: the caller kept its number after it was removed, or a damaged directory names it.
    pub(crate) fn check_mutable(&self, inode: &Inode) -> Result<()> {
        if inode.links() == 0 {
            return Err(Error::corrupt(Object::Inode(inode.number()), "i_links_count=0: it is not in use"));
        }
        let refuse = |why: &str| Err(Error::unsupported(Object::Inode(inode.number()), why));
        if inode.has_flag(EXT4_IMMUTABLE_FL) {
            return refuse("immutable: it must not be changed (chattr +i)");
        }
        let raw = &self.superblock.raw;
        let number = inode.number().0;
        let is_reserved = number < self.superblock.first_inode() && inode.number() != InodeNumber::ROOT;
        let is_own = is_reserved || [raw.s_prj_quota_inum.get(), raw.s_orphan_file_inum.get()].contains(&number);
        if is_own || inode.has_flag(EXT4_EA_INODE_FL) {
            return refuse("editing an inode that the file system keeps for itself");
        }
        Ok(())
    }

    /// Counts one more directory in a directory, in memory only.
    pub(crate) fn add_link(&self, directory: &mut Inode) -> Result<()> {
        let links = directory.links();
        // 1 stands for more than can be counted.
        let counted = if links == 1 || (links >= LINK_MAX && directory.has_flag(EXT4_INDEX_FL)) {
            1
        } else {
            links.saturating_add(1)
        };
        if links >= LINK_MAX && (counted != 1 || !self.superblock.has_ro_compat(ro_compat::DIR_NLINK)) {
            return Err(Error::TooLarge { what: format!("directory inode {}: {links} links", directory.number()) });
        }
        directory.raw.i_links_count.set(counted);
        Ok(())
    }

    /// Counts one directory less in a directory.
    pub(crate) fn drop_link(&mut self, directory: &mut Inode) -> Result<()> {
        if directory.links() > 2 {
            directory.raw.i_links_count.set(directory.links() - 1);
            self.write_inode(directory)?;
        }
        Ok(())
    }
}
