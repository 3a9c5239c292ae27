//! Which file of a file system is meant, and sets of them.

use std::collections::{BTreeMap, BTreeSet};

/// A file of a file system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// By its number, where files have one and may have several names.
    Inode {
        /// The tree whose number it is, where there are several (subvolumes); else 0.
        tree: u64,
        /// The number.
        number: u64,
    },
    /// By the names on the way to it from the root, where that is all there is. What other file systems keep in the
    /// inode is in the directory then.
    Names(Vec<Vec<u8>>),
}

impl Node {
    /// The names; none if files have numbers.
    pub fn names(&self) -> &[Vec<u8>] {
        match self {
            Self::Names(names) => names,
            Self::Inode { .. } => &[],
        }
    }

    /// The names on the way to the file called `name` in this directory.
    pub fn joined(&self, name: &[u8]) -> Vec<Vec<u8>> {
        let mut names = self.names().to_vec();
        names.push(name.to_vec());
        names
    }

    /// The number, without its tree; 0 if files have none.
    pub fn number(&self) -> u64 {
        match self {
            Self::Inode { number, .. } => *number,
            Self::Names(_) => 0,
        }
    }
}

/// A set of files: a bit for each that has a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeSet {
    /// Tree, and number divided by 64.
    inodes: BTreeMap<(u64, u64), u64>,
    paths: BTreeSet<Vec<Vec<u8>>>,
}

impl NodeSet {
    /// Adds a file; says whether it was not there.
    pub(crate) fn insert(&mut self, node: &Node) -> bool {
        match node {
            Node::Inode { tree, number } => {
                let bits = self.inodes.entry((*tree, number / 64)).or_default();
                let mask = 1 << (number % 64);
                let is_new = *bits & mask == 0;
                *bits |= mask;
                is_new
            }
            Node::Names(names) => self.paths.insert(names.clone()),
        }
    }

    /// Whether a file is there.
    pub(crate) fn contains(&self, node: &Node) -> bool {
        match node {
            Node::Inode { tree, number } => {
                self.inodes.get(&(*tree, number / 64)).is_some_and(|bits| bits & (1 << (number % 64)) != 0)
            }
            Node::Names(names) => self.paths.contains(names),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_another_file_in_another_tree() {
        let inode = |tree, number| Node::Inode { tree, number };
        let mut set = NodeSet::default();
        assert!(set.insert(&inode(5, 256)) && !set.insert(&inode(5, 256)));
        assert!(set.contains(&inode(5, 256)));
        assert!(!set.contains(&inode(256, 256)) && !set.contains(&inode(5, 257)) && !set.contains(&inode(5, 192)));
        let path = Node::Names(vec![b"EFI".to_vec()]);
        assert!(!set.contains(&path) && set.insert(&path) && set.contains(&path));
        assert!(!set.contains(&Node::Names(path.joined(b"BOOT"))));
    }
}
