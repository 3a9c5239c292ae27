//! Walks through trees of the guest, which end even where a damaged one has directories in a circle.

use std::collections::BTreeSet;

use guest::resolve::LastLink;
use guest::{FileKind, GuestPath, Identity, Location};

use crate::carry_out::{Work, join};
use crate::error::Error;

/// The most directories on a FAT, where two that are the same cannot be told: a tree of boot loaders has a few.
const MAX_FAT_DIRECTORIES: usize = 1 << 16;

/// The directories that a walk has been in.
#[derive(Debug, Default)]
pub(crate) struct Visited {
    inodes: BTreeSet<Identity>,
    others: usize,
}

impl Visited {
    /// Notes a directory, and refuses one that was met before.
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
    /// `path` and all that is below it, what is in a directory behind it.
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
