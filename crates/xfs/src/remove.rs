//! Names removed and changed, and what has no name any more given back.

use metadata::FileKind;
use storage::WriteAt;

use crate::create::check_name;
use crate::error::{Error, Result};
use crate::filesystem::FileSystem;
use crate::inode::{Fork, Inode};

/// Directories are at most so deep below each other: more are a cycle.
const MAX_DEPTH: usize = 4096;

impl<S: WriteAt> FileSystem<S> {
    /// Removes a name of something that is no directory; with its last name, the file goes.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::IsADirectory`], [`Error::Unsupported`], [`Error::Corrupt`], [`Error::Storage`].
    pub fn remove_file(&mut self, parent: u64, name: &[u8]) -> Result<()> {
        self.begin()?;
        let (number, kind) = self.lookup(parent, name)?.ok_or(Error::NotFound)?;
        if kind == FileKind::Directory {
            return Err(Error::IsADirectory(number));
        }
        self.remove_name(parent, name)?;
        self.drop_name(number)
    }

    /// Removes what has the name, and all that is below it.
    ///
    /// # Errors
    ///
    /// As [`remove_file`](Self::remove_file).
    pub fn remove_tree(&mut self, parent: u64, name: &[u8]) -> Result<()> {
        self.begin()?;
        let (number, kind) = self.lookup(parent, name)?.ok_or(Error::NotFound)?;
        if kind != FileKind::Directory {
            return self.remove_file(parent, name);
        }
        // Each directory once it has been seen, and then again when all below it is gone.
        let mut left = vec![(parent, name.to_vec(), number, false)];
        let mut seen = std::collections::BTreeSet::new();
        while let Some((parent, name, number, is_empty)) = left.pop() {
            self.begin()?;
            if is_empty {
                self.remove_empty(parent, &name, number)?;
                continue;
            }
            if !seen.insert(number) {
                return Err(self.inode(number)?.corrupt("a directory that is below itself"));
            }
            left.push((parent, name, number, true));
            for entry in self.read_directory(number)? {
                let kind = match entry.kind {
                    Some(kind) => kind,
                    None => self.inode(entry.inode)?.kind()?,
                };
                if kind == FileKind::Directory {
                    left.push((number, entry.name, entry.inode, false));
                } else {
                    self.remove_file(number, &entry.name)?;
                }
            }
        }
        Ok(())
    }

    fn remove_empty(&mut self, parent: u64, name: &[u8], number: u64) -> Result<()> {
        self.with_directory(number, |directory| directory.require_empty(number))??;
        self.remove_name(parent, name)?;
        self.forget_directory(number);
        let inode = self.inode_to_edit(number)?;
        self.release(inode)?;
        let mut above = self.inode_to_edit(parent)?;
        self.change_links(&mut above, -1)
    }

    /// One name less for an inode that is no directory.
    fn drop_name(&mut self, number: u64) -> Result<()> {
        let mut inode = self.inode_to_edit(number)?;
        if inode.links() > 1 {
            return self.change_links(&mut inode, -1);
        }
        self.release(inode)
    }

    /// Gives an inode and all that it has back.
    fn release(&mut self, mut inode: Inode) -> Result<()> {
        self.clear_map(&mut inode, Fork::Data)?;
        self.clear_attributes(&mut inode)?;
        self.free_inode(inode)
    }

    /// Renames what `from`, a directory and a name in it, names; what `to` names and is of the same sort goes.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotEmpty`], [`Error::IntoItself`], [`Error::IsADirectory`],
    /// [`Error::NotADirectory`], and as [`create_file`](Self::create_file).
    pub fn rename(&mut self, from: (u64, &[u8]), to: (u64, &[u8])) -> Result<()> {
        self.begin()?;
        check_name(from.1)?;
        check_name(to.1)?;
        let (number, kind) = self.lookup(from.0, from.1)?.ok_or(Error::NotFound)?;
        let taken = self.lookup(to.0, to.1)?;
        if taken.is_some_and(|(other, _)| other == number) {
            return Ok(());
        }
        let is_directory = kind == FileKind::Directory;
        if is_directory {
            self.check_not_below(number, to.0)?;
        }
        self.check_room(1)?;
        match taken {
            Some((other, FileKind::Directory)) => {
                if !is_directory {
                    return Err(Error::IsADirectory(other));
                }
                self.remove_empty(to.0, to.1, other)?;
            }
            Some((other, _)) if is_directory => return Err(Error::NotADirectory(other)),
            Some((other, _)) => {
                self.remove_name(to.0, to.1)?;
                self.drop_name(other)?;
            }
            None => {}
        }
        self.remove_name(from.0, from.1)?;
        self.add_name(to.0, to.1, number, kind)?;
        if is_directory && from.0 != to.0 {
            self.point_name(number, b"..", to.0, FileKind::Directory)?;
            let mut before = self.inode_to_edit(from.0)?;
            self.change_links(&mut before, -1)?;
            let mut after = self.inode_to_edit(to.0)?;
            self.change_links(&mut after, 1)?;
        }
        Ok(())
    }

    /// Fails if `place` is `directory` or below it.
    fn check_not_below(&self, directory: u64, place: u64) -> Result<()> {
        let mut at = place;
        for _ in 0..MAX_DEPTH {
            if at == directory {
                return Err(Error::IntoItself(directory));
            }
            let parent = self.with_directory(at, |directory| directory.parent)?;
            if parent == at {
                return Ok(());
            }
            at = parent;
        }
        Err(self.inode(place)?.corrupt("directories that are below each other without end"))
    }
}
