//! What is in the tree for the time of a command only: mount points, a `resolv.conf`, a script.
//!
//! It takes the place of what is there. When the command has ended, what was there comes back, unless the command itself
//! replaced or removed it.

use guest::{FileKind, Time};
use rustix::io::Errno;

use crate::edit::{New, Owner};
use crate::inode::{Entry, InodeNumber};
use crate::tree::{Result, Tree};

/// Something that is in the tree for a command, and what was in its place.
#[derive(Debug)]
pub(crate) struct Phantom {
    directory: InodeNumber,
    name: Vec<u8>,
    inode: InodeNumber,
    before: Option<Entry>,
}

impl Tree {
    /// Has a regular file called `name` in `directory`, which nobody can have made.
    ///
    /// # Errors
    ///
    /// Those of making a file.
    pub fn put_phantom(&mut self, directory: InodeNumber, name: &[u8], content: &[u8], permissions: u16) -> Result<()> {
        let number = self.phantom(directory, name, New::File, permissions)?;
        self.write(number, 0, content, false, Time::default())
    }

    /// Has an empty directory called `name` in `directory`, if there is none.
    ///
    /// # Errors
    ///
    /// Those of making a directory.
    pub fn phantom_directory(&mut self, directory: InodeNumber, name: &[u8]) -> Result<InodeNumber> {
        match self.lookup(directory, name) {
            Ok(number) if self.inode(number)?.is_directory() => Ok(number),
            Ok(_) | Err(Errno::NOENT) => self.phantom(directory, name, New::Directory, 0o755),
            Err(error) => Err(error),
        }
    }

    fn phantom(&mut self, directory: InodeNumber, name: &[u8], new: New, permissions: u16) -> Result<InodeNumber> {
        let parent = self.inode(directory)?;
        let (metadata, was_changed) = (parent.metadata.clone(), parent.is_changed);
        let folded = self.folded(name);
        let before = self.children(directory)?.remove(&folded);
        let root = Owner { uid: 0, gid: 0 };
        let inode = self.create(directory, name, new, (permissions, 0), root, Time::default())?;
        let parent = self.inode_mut(directory)?;
        (parent.metadata, parent.is_changed) = (metadata, was_changed);
        self.phantoms.push(Phantom { directory, name: name.to_vec(), inode, before });
        Ok(inode)
    }

    /// Takes all of it out of the tree again, the last first.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn withdraw_phantoms(&mut self) -> Result<()> {
        while let Some(Phantom { directory, name, inode, before }) = self.phantoms.pop() {
            // The directory may be gone, and what is in its place is the command's own.
            let Ok(Some(entry)) = self.entry(directory, &name) else { continue };
            let is_used = entry.kind == FileKind::Directory && !self.children(inode)?.is_empty();
            if entry.inode != inode || is_used {
                continue;
            }
            let folded = self.folded(&name);
            let children = self.children(directory)?;
            children.remove(&folded);
            if let Some(before) = before {
                children.insert(folded, before);
            }
            if entry.kind == FileKind::Directory {
                let links = &mut self.inode_mut(directory)?.metadata.links;
                *links = links.saturating_sub(1).max(2);
            }
            self.inodes.remove(&inode);
        }
        Ok(())
    }
}
