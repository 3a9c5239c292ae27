use std::collections::BTreeSet;
use std::sync::Arc;

use storage::ReadAt;

use super::{Space, name};
use crate::{Directory, Error, Node};

/// ECMA-119, "Depth of hierarchy".
const MAX_DEPTH: usize = 8;
/// The largest number in a path table.
const MAX_DIRECTORIES: usize = 0xffff;

/// The tree as a list of directories, the root first, and one of files.
pub(super) struct Plan<'a> {
    pub(super) directories: Vec<PlannedDirectory<'a>>,
    pub(super) files: Vec<PlannedFile<'a>>,
}

pub(super) struct PlannedDirectory<'a> {
    /// The number of its parent directory; the root is its own parent.
    pub(super) parent: usize,
    pub(super) permissions: u16,
    /// How many names it has: its own, `.`, and `..` in each directory in it.
    pub(super) links: u32,
    pub(super) entries: Vec<PlannedEntry<'a>>,
}

pub(super) struct PlannedEntry<'a> {
    pub(super) name: &'a str,
    /// The name in ECMA-119, with its version.
    plain: Vec<u8>,
    /// The name in Joliet: UTF-16, big-endian.
    joliet: Vec<u8>,
    pub(super) target: Target,
}

#[derive(Clone, Copy)]
pub(super) enum Target {
    Directory(usize),
    File(usize),
}

pub(super) struct PlannedFile<'a> {
    pub(super) content: &'a Arc<dyn ReadAt>,
    pub(super) size_bytes: u64,
    pub(super) permissions: u16,
}

impl<'a> Plan<'a> {
    pub(super) fn new(root: &'a Directory) -> Result<Self, Error> {
        let mut plan = Self { directories: Vec::new(), files: Vec::new() };
        // Each with its parent directory and its depth.
        let mut pending = vec![(root, 0, 1)];
        plan.directories.push(PlannedDirectory::new(root, 0));
        let mut number = 0;
        while let Some(&(directory, _, depth)) = pending.get(number) {
            let mut taken = BTreeSet::new();
            for (name, node) in &directory.entries {
                let is_directory = matches!(node, Node::Directory(_));
                let joliet = name::joliet(name)?;
                let plain = name::plain(name, is_directory, &mut taken);
                let target = match node {
                    Node::Directory(below) => {
                        let index = plan.directories.len();
                        if depth == MAX_DEPTH || index == MAX_DIRECTORIES {
                            let limit = format!("{MAX_DEPTH} deep or {MAX_DIRECTORIES} of them");
                            return Err(Error::unsupported(format!("a tree with directories more than {limit}")));
                        }
                        plan.directories.push(PlannedDirectory::new(below, number));
                        plan.directories[number].links += 1;
                        pending.push((below, number, depth + 1));
                        Target::Directory(index)
                    }
                    Node::File { permissions, content } => {
                        let size_bytes = content.size_bytes();
                        if size_bytes > u64::from(u32::MAX) {
                            return Err(Error::TooLarge { object: format!("the file `{name}`"), size_bytes });
                        }
                        plan.files.push(PlannedFile { content, size_bytes, permissions: *permissions });
                        Target::File(plan.files.len() - 1)
                    }
                };
                plan.directories[number].entries.push(PlannedEntry { name, plain, joliet, target });
            }
            number += 1;
        }
        Ok(plan)
    }
}

impl<'a> PlannedDirectory<'a> {
    fn new(directory: &'a Directory, parent: usize) -> Self {
        Self { parent, permissions: directory.permissions, links: 2, entries: Vec::new() }
    }

    /// The entries in the order of their names in `space`.
    pub(super) fn sorted(&self, space: Space) -> Vec<&PlannedEntry<'a>> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by(|one, other| one.in_space(space).cmp(other.in_space(space)));
        entries
    }
}

impl PlannedEntry<'_> {
    /// The bytes of the name in `space`.
    pub(super) fn in_space(&self, space: Space) -> &[u8] {
        match space {
            Space::RockRidge => &self.plain,
            Space::Joliet => &self.joliet,
        }
    }
}
