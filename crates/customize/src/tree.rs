//! Walks through trees of the guest. A walk ends even in a damaged tree with a circle of directories.

use std::collections::BTreeSet;

use guest::resolve::LastLink;
use guest::{FileKind, GuestPath, Identity, Location};

use crate::carry_out::{Work, join};
use crate::error::Error;

/// The most directories of a walk on a FAT file system, where a circle cannot be recognized. A tree of boot loaders has
/// a few.
const MAX_FAT_DIRECTORIES: usize = 1 << 16;

/// The directories that a walk has visited.
#[derive(Debug, Default)]
pub(crate) struct Visited {
    inodes: BTreeSet<Identity>,
    others: usize,
}

impl Visited {
    /// Adds a directory, and refuses one that was visited before.
    pub(crate) fn enter(&mut self, work: &Work<'_>, path: &GuestPath, directory: &Location) -> Result<(), Error> {
        let is_new = match work.guest.identity(directory) {
            Some(identity) => self.inodes.insert(identity),
            None => {
                self.others += 1;
                self.others <= MAX_FAT_DIRECTORIES
            }
        };
        if is_new {
            return Ok(());
        }
        Err(Error::refused(format!("`{path}` is damaged: a directory has two names")).hint("`imgraft check` says more"))
    }
}

impl Work<'_> {
    /// `path` and everything below it. A directory comes before its content.
    pub(crate) fn tree(&self, path: &GuestPath) -> Result<Vec<GuestPath>, Error> {
        let mut paths = Vec::new();
        let mut pending = vec![path.clone()];
        let mut visited = Visited::default();
        while let Some(path) = pending.pop() {
            let node = self.guest.find(&path, LastLink::Keep)?.node;
            if node.kind() == FileKind::Directory {
                visited.enter(self, &path, &node)?;
                for entry in self.guest.read_directory(&path)?.into_iter().rev() {
                    pending.push(join(&path, &entry.name)?);
                }
            }
            paths.push(path);
        }
        Ok(paths)
    }
}
