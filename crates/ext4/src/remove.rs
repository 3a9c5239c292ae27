//! Names removed, and files whose last name is removed.

use std::collections::HashSet;

use metadata::FileKind;
use storage::WriteAt;

use crate::allocate::BlockRun;
use crate::block_map::extent::Mapped;
use crate::directory::FoundEntry;
use crate::directory::edit::check_name;
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};

impl<S: WriteAt> FileSystem<S> {
    /// Removes the name of something that is not a directory, and what it names where that was its
    /// last name. The parent's own times stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::IsADirectory`], [`Error::Unsupported`] where the file system
    /// cannot be written.
    pub fn remove_file(&mut self, parent: InodeNumber, name: &[u8]) -> Result<()> {
        let (directory, found, inode) = self.entry_to_remove(parent, name)?;
        if inode.kind()? == FileKind::Directory {
            return Err(Error::IsADirectory(inode.number()));
        }
        self.drop_name(inode)?;
        self.remove_entry(&directory, found)
    }

    /// Removes an empty directory. The parent's own times stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotADirectory`], [`Error::NotEmpty`], [`Error::Unsupported`].
    pub fn remove_directory(&mut self, parent: InodeNumber, name: &[u8]) -> Result<()> {
        let (mut directory, found, inode) = self.entry_to_remove(parent, name)?;
        self.check_empty(inode.number())?;
        self.remove_entry(&directory, found)?;
        self.release(&inode)?;
        self.drop_link(&mut directory)
    }

    /// Removes what has the name, and if that is a directory all that is below it. The parent's own
    /// times stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Unsupported`] for something below that must not be changed;
    /// nothing has changed then.
    pub fn remove_tree(&mut self, parent: InodeNumber, name: &[u8]) -> Result<()> {
        let (mut directory, found, inode) = self.entry_to_remove(parent, name)?;
        if inode.kind()? != FileKind::Directory {
            self.drop_name(inode)?;
            return self.remove_entry(&directory, found);
        }
        let (mut directories, mut names) = self.tree_below(inode.number())?;
        // In the order of the inode tables, and not in that of the names' hashes.
        directories.sort_unstable();
        names.sort_unstable();
        for number in names {
            let named = self.inode(number)?;
            self.drop_name(named)?;
        }
        for number in directories {
            let below = self.inode(number)?;
            self.release(&below)?;
        }
        self.remove_entry(&directory, found)?;
        self.drop_link(&mut directory)
    }

    /// The directories from `number` down, and what else has a name in them, once for each name.
    fn tree_below(&self, number: InodeNumber) -> Result<(Vec<InodeNumber>, Vec<InodeNumber>)> {
        let mut directories = vec![number];
        let mut seen = HashSet::from([number]);
        let mut names = Vec::new();
        let mut next = 0;
        while let Some(&number) = directories.get(next) {
            next += 1;
            for entry in self.read_directory(number)? {
                let inode = self.inode(entry.inode)?;
                self.check_mutable(&inode)?;
                if inode.kind()? != FileKind::Directory {
                    names.push(entry.inode);
                } else if seen.insert(entry.inode) {
                    directories.push(entry.inode);
                } else {
                    return Err(Error::corrupt(Object::Inode(entry.inode), "a directory with two names"));
                }
            }
        }
        Ok((directories, names))
    }

    /// A name to be removed: its directory, where it is there, and what it names.
    fn entry_to_remove(&mut self, parent: InodeNumber, name: &[u8]) -> Result<(Inode, FoundEntry, Inode)> {
        self.prepare_to_write()?;
        check_name(name)?;
        let mut directory = self.directory(parent)?;
        self.check_mutable(&directory)?;
        let found = self.find_to_change(&mut directory, name)?.ok_or(Error::NotFound)?;
        let inode = self.inode(InodeNumber(found.slot.inode))?;
        self.check_mutable(&inode)?;
        Ok((directory, found, inode))
    }

    /// Counts one name less, or frees a file that has lost its last one; a directory has only one.
    pub(crate) fn drop_name(&mut self, mut inode: Inode) -> Result<()> {
        if inode.kind()? == FileKind::Directory || inode.links() <= 1 {
            return self.release(&inode);
        }
        inode.raw.i_links_count.set(inode.links() - 1);
        self.write_inode(&mut inode)
    }

    /// Frees everything that an inode holds, and the inode itself, which becomes zeros as if it was never used.
    pub(crate) fn release(&mut self, inode: &Inode) -> Result<()> {
        self.last_directory.forget(inode.number());
        let mut runs: Vec<BlockRun> = Vec::new();
        self.walk_blocks(inode, &mut |part| {
            let run = match part {
                Mapped::MapBlock(block) => BlockRun { first: block, blocks: 1 },
                Mapped::Content(extent) => BlockRun { first: extent.physical, blocks: u64::from(extent.blocks) },
            };
            match runs.last_mut() {
                Some(last) if last.first + last.blocks == run.first => last.blocks += run.blocks,
                _ => runs.push(run),
            }
            Ok(())
        })?;
        for run in runs {
            self.free_blocks(run)?;
        }
        self.release_xattrs(inode)?;
        self.free_inode(inode.number(), inode.kind()? == FileKind::Directory)?;
        self.write_inode(&mut Inode::zeroed(inode.number(), &self.superblock))
    }
}
