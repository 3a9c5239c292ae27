//! The files that a comparison listed as different, and the files that edits were about.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Seen;
use crate::file_system::{FileSystem, FileSystemError, Node, NodeSet};
use crate::guest::Guest;
use crate::metadata::FileKind;

/// Files of one volume. The names in their nodes are folded, so that all spellings of a file are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    /// Files that are listed.
    pub(crate) listed: NodeSet,
    /// Directories in which a name was added or removed, or names another file.
    pub(crate) directories: NodeSet,
    /// By directory, the names that edits add or remove in it. The names are folded, the directories are not.
    pub(crate) names: BTreeMap<Node, BTreeSet<Vec<u8>>>,
}

/// A node whose names are folded.
fn folded(file_system: &dyn FileSystem, node: &Node) -> Node {
    match node {
        Node::Inode { .. } => node.clone(),
        Node::Names(names) => Node::Names(names.iter().map(|name| file_system.folded(name)).collect()),
    }
}

impl Files {
    pub(crate) fn insert(&mut self, file_system: &dyn FileSystem, node: &Node) {
        self.listed.insert(&folded(file_system, node));
    }

    pub(crate) fn contains(&self, file_system: &dyn FileSystem, node: &Node) -> bool {
        self.listed.contains(&folded(file_system, node))
    }

    pub(crate) fn insert_directory(&mut self, file_system: &dyn FileSystem, node: &Node) {
        self.directories.insert(&folded(file_system, node));
    }

    /// Notes that an edit is about a file.
    fn note(&mut self, file_system: &dyn FileSystem, node: &Node) {
        self.insert(file_system, node);
        // If there are no inodes, the directory has what is in them elsewhere.
        if let Some((_, above)) = node.names().split_last() {
            self.insert_directory(file_system, &Node::Names(above.to_vec()));
        }
    }
}

impl Guest {
    /// The file system of a volume, and the files of it that edits were about.
    fn notes(&mut self, volume: usize) -> Option<(&dyn FileSystem, &mut Files)> {
        let file_system = self.volumes[volume].file_system()?;
        Some((file_system, self.edited.entry(volume).or_default()))
    }

    /// Notes that an edit is about a file.
    pub(crate) fn note(&mut self, volume: usize, node: &Node) {
        if let Some((file_system, files)) = self.notes(volume) {
            files.note(file_system, node);
        }
    }

    /// Notes that an edit is about a name, and about the file that has it now.
    pub(crate) fn note_name(&mut self, volume: usize, directory: &Node, name: &[u8]) -> Result<(), FileSystemError> {
        let Some((file_system, files)) = self.notes(volume) else { return Ok(()) };
        files.insert_directory(file_system, directory);
        files.names.entry(directory.clone()).or_default().insert(file_system.folded(name));
        if let Some((node, _)) = file_system.lookup(directory, name)? {
            files.note(file_system, &node);
        }
        Ok(())
    }

    /// Notes that an edit is about a file and everything below it.
    pub(crate) fn note_tree(&mut self, volume: usize, node: &Node) -> Result<(), FileSystemError> {
        let Some((file_system, files)) = self.notes(volume) else { return Ok(()) };
        // A damaged directory can be inside itself. Then its inode comes again; without inodes it has a new path each
        // time, but there cannot be more directories than blocks.
        let most = match node {
            Node::Inode { .. } => u64::MAX,
            Node::Names(_) => file_system.free_space()?.blocks,
        };
        let (mut seen, mut directories) = (NodeSet::default(), 0);
        let mut left = vec![node.clone()];
        while let Some(node) = left.pop() {
            files.note(file_system, &node);
            let is_directory = file_system.metadata(&node)?.kind == FileKind::Directory;
            if is_directory && directories < most && seen.insert(&node) {
                directories += 1;
                left.extend(file_system.children(&node)?.into_iter().map(|child| child.node));
            }
        }
        Ok(())
    }
}

/// The files that a comparison lists, by volume.
#[derive(Clone, Debug)]
pub struct Listed {
    pub(crate) base: Vec<Files>,
    pub(crate) image: Vec<Files>,
}

impl Listed {
    pub(crate) fn new(base_volumes: usize, image_volumes: usize) -> Self {
        Self { base: vec![Files::default(); base_volumes], image: vec![Files::default(); image_volumes] }
    }

    /// Notes a difference between two volumes: their indices, and what is on them.
    pub(super) fn note(&mut self, volumes: [usize; 2], file_systems: [&dyn FileSystem; 2], seen: &Seen) {
        for (files, file_system, node, parent) in [
            (&mut self.base[volumes[0]], file_systems[0], &seen.base, &seen.base_parent),
            (&mut self.image[volumes[1]], file_systems[1], &seen.image, &seen.image_parent),
        ] {
            node.iter().for_each(|node| files.insert(file_system, node));
            parent.iter().for_each(|parent| files.insert_directory(file_system, parent));
        }
    }
}
