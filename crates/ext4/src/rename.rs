//! New names for files that exist: hard links, and changed names.

use std::collections::HashSet;

use metadata::FileKind;
use storage::{ReadAt, WriteAt};

use crate::directory::FoundEntry;
use crate::directory::edit::{NewEntry, check_name};
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};

/// Names that a file can have at most.
const LINK_MAX: u16 = 65000;

impl<S: WriteAt> FileSystem<S> {
    /// Gives what is not a directory one more name. Times stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], [`Error::IsADirectory`], [`Error::NoSpace`], [`Error::TooLarge`] with 65,000
    /// names already; nothing has changed then.
    pub fn link(&mut self, number: InodeNumber, parent: InodeNumber, name: &[u8]) -> Result<()> {
        let mut directory = self.directory_for_new(parent, name)?;
        let mut inode = self.inode(number)?;
        self.check_mutable(&inode)?;
        let kind = inode.kind()?;
        if kind == FileKind::Directory {
            return Err(Error::IsADirectory(number));
        }
        if inode.links() >= LINK_MAX {
            return Err(Error::TooLarge {
                what: format!("inode {number}: {} names, the limit is {LINK_MAX}", inode.links()),
            });
        }
        self.check_room(&directory, name, 0)?;
        self.add_entry(&mut directory, &NewEntry { name, inode: number, kind })?;
        inode.raw.i_links_count.set(inode.links() + 1);
        self.write_inode(&mut inode)
    }

    /// Gives what has the name `from` the name `to` instead, in the same directory or another one. What
    /// had that name is replaced, if it is of the same sort: a directory only by a directory, and only
    /// where it is empty. Two names of the same file are left as they are. Times stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotEmpty`], [`Error::IsADirectory`] and [`Error::NotADirectory`] for
    /// what is in the way, [`Error::IntoItself`], [`Error::NoSpace`]; nothing has changed then.
    pub fn rename(&mut self, from_parent: InodeNumber, from: &[u8], to_parent: InodeNumber, to: &[u8]) -> Result<()> {
        self.prepare_to_write()?;
        check_name(from)?;
        check_name(to)?;
        let mut source = self.directory(from_parent)?;
        self.check_mutable(&source)?;
        let number = InodeNumber(self.find_to_change(&mut source, from)?.ok_or(Error::NotFound)?.slot.inode);
        let mut target = self.directory(to_parent)?;
        self.check_mutable(&target)?;
        self.give_blocks(&mut target)?;
        let inode = self.inode(number)?;
        self.check_mutable(&inode)?;
        let kind = inode.kind()?;
        let replaced = self.find_entry(&target, to)?;
        if replaced.as_ref().is_some_and(|found| found.slot.inode == number.0) {
            return Ok(());
        }
        let is_directory = kind == FileKind::Directory;
        if is_directory && from_parent != to_parent {
            self.check_not_below(to_parent, number)?;
        }
        let in_the_way = match &replaced {
            Some(found) => Some(self.replaceable(InodeNumber(found.slot.inode), is_directory)?),
            None => None,
        };
        let moves = is_directory && from_parent != to_parent;
        let entry = NewEntry { name: to, inode: number, kind };
        match replaced {
            Some(found) => self.point_entry(&target, found, &entry)?,
            None => {
                self.check_room(&target, to, 0)?;
                if moves {
                    self.add_link(&mut target.clone())?;
                }
                self.add_entry(&mut target, &entry)?;
                if moves {
                    self.add_link(&mut target)?;
                    self.write_inode(&mut target)?;
                }
            }
        }
        let one_less = is_directory && (moves || in_the_way.is_some());
        if let Some(old) = in_the_way {
            self.drop_name(old)?;
        }
        // Where the new name went may have moved the old one.
        let mut source = self.directory(from_parent)?;
        let found = self.find_entry(&source, from)?.ok_or(Error::NotFound)?;
        self.remove_entry(&source, found)?;
        if one_less {
            self.drop_link(&mut source)?;
        }
        if moves {
            self.set_parent(&inode, to_parent)?;
        }
        Ok(())
    }

    /// What the new name names now, if it may be replaced: a directory by a directory, anything else by anything else.
    fn replaceable(&self, number: InodeNumber, by_directory: bool) -> Result<Inode> {
        let inode = self.inode(number)?;
        self.check_mutable(&inode)?;
        match (inode.kind()? == FileKind::Directory, by_directory) {
            (true, false) => Err(Error::IsADirectory(number)),
            (false, true) => Err(Error::NotADirectory(number)),
            (true, true) => {
                self.check_empty(number)?;
                Ok(inode)
            }
            (false, false) => Ok(inode),
        }
    }

    /// Refuses where directory `number` is `above` or somewhere below it.
    fn check_not_below(&self, number: InodeNumber, above: InodeNumber) -> Result<()> {
        let mut seen = HashSet::new();
        let mut at = number;
        loop {
            if at == above {
                return Err(Error::IntoItself(above));
            }
            if at == InodeNumber::ROOT {
                return Ok(());
            }
            if !seen.insert(at) {
                return Err(Error::corrupt(Object::Inode(at), "its parents go in a circle"));
            }
            at = self
                .lookup(at, b"..")?
                .ok_or_else(|| Error::corrupt(Object::Inode(at), "a directory without the entry `..`"))?;
        }
    }
}

impl<S: ReadAt> FileSystem<S> {
    /// Refuses where a directory has names.
    pub(crate) fn check_empty(&self, number: InodeNumber) -> Result<()> {
        let directory = self.directory(number)?;
        let mut found = false;
        self.walk_directory(&directory, &mut |entry| {
            found = entry.name != b"." && entry.name != b"..";
            if found { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
        })?;
        if found { Err(Error::NotEmpty(number)) } else { Ok(()) }
    }
}

impl<S: WriteAt> FileSystem<S> {
    /// Points a name at another inode.
    pub(crate) fn point_entry(&mut self, directory: &Inode, found: FoundEntry, entry: &NewEntry<'_>) -> Result<()> {
        let FoundEntry { physical, mut block, slot, .. } = found;
        block[slot.offset..slot.offset + 4].copy_from_slice(&entry.inode.0.to_le_bytes());
        block[slot.offset + 7] = self.entry_type(entry.kind);
        self.write_leaf(directory, physical, &mut block)
    }
}
