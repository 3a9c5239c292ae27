//! Which files a list of differences names, and which ones edits were about.

use std::collections::{BTreeMap, BTreeSet};

use ext4::InodeSet;

use super::tree::{Node, Seen};
use crate::error::FileSystemError;
use crate::guest::Guest;
use crate::metadata::FileKind;

/// The files of one volume that are listed as different.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    /// Inodes that are listed.
    pub(crate) inodes: InodeSet,
    /// Directories that have a name more or less, or one that names another inode.
    pub(crate) directories: InodeSet,
    /// On a FAT: paths that are listed, their names joined by slashes and [folded].
    pub(crate) paths: BTreeSet<Vec<u8>>,
    /// On a FAT: directories whose entries differ.
    pub(crate) directory_paths: BTreeSet<Vec<u8>>,
    /// Directory → names that are made or removed in it, of edits.
    pub(crate) names: BTreeMap<Node, BTreeSet<Vec<u8>>>,
}

/// What is the same for all spellings of a path of a FAT: `GRUB.CFG` and `grub.cfg` are one file.
pub(crate) fn folded(path: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(path) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => path.to_ascii_lowercase(),
    }
}

impl Files {
    pub(crate) fn insert(&mut self, node: &Node) {
        match node {
            Node::Inode(number) => {
                self.inodes.insert(*number);
            }
            Node::Names(names) => {
                self.paths.insert(folded(&names.join(&b'/')));
            }
        }
    }

    pub(crate) fn contains(&self, node: &Node) -> bool {
        match node {
            Node::Inode(number) => self.inodes.contains(*number),
            Node::Names(names) => self.paths.contains(&folded(&names.join(&b'/'))),
        }
    }

    pub(crate) fn insert_directory(&mut self, node: &Node) {
        match node {
            Node::Inode(number) => {
                self.directories.insert(*number);
            }
            Node::Names(names) => {
                self.directory_paths.insert(folded(&names.join(&b'/')));
            }
        }
    }
}

impl Guest {
    /// Notes that an edit is about what is at a node.
    pub(crate) fn note(&mut self, volume: usize, node: &Node) {
        let files = self.edited.entry(volume).or_default();
        files.insert(node);
        // A FAT has in the directory what others have in the inode.
        if let Node::Names(names) = node
            && let Some((_, above)) = names.split_last()
        {
            files.insert_directory(&Node::Names(above.to_vec()));
        }
    }

    /// Notes that an edit is about a name, and about what has it now.
    pub(crate) fn note_name(&mut self, volume: usize, directory: &Node, name: &[u8]) -> Result<(), FileSystemError> {
        let files = self.edited.entry(volume).or_default();
        files.insert_directory(directory);
        let name_here = if matches!(directory, Node::Names(_)) { folded(name) } else { name.to_vec() };
        files.names.entry(directory.clone()).or_default().insert(name_here);
        let Some(file_system) = self.volumes[volume].file_system() else { return Ok(()) };
        if let Some((node, _)) = file_system.lookup(directory, name)? {
            self.note(volume, &node);
        }
        Ok(())
    }

    /// Notes that an edit is about what is at a node and all that is below it.
    pub(crate) fn note_tree(&mut self, volume: usize, node: &Node) -> Result<(), FileSystemError> {
        let Some(file_system) = self.volumes[volume].file_system() else { return Ok(()) };
        // A damaged directory can be inside itself: then its inode is met again. On a FAT it has a new path each
        // time, but no more directories than clusters.
        let most = if file_system.is_unix() { u64::MAX } else { file_system.free_space()?.blocks };
        let mut seen = BTreeSet::new();
        let mut left = vec![node.clone()];
        while let Some(node) = left.pop() {
            self.note(volume, &node);
            let Some(file_system) = self.volumes[volume].file_system() else { continue };
            let is_directory = file_system.metadata(&node)?.kind == FileKind::Directory;
            if is_directory && (seen.len() as u64) < most && seen.insert(node.clone()) {
                left.extend(file_system.children(&node)?.into_iter().map(|(_, child, _)| child));
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

    pub(super) fn note(&mut self, base: usize, image: usize, seen: &Seen) {
        for (files, node, parent) in [
            (&mut self.base[base], &seen.base, &seen.base_parent),
            (&mut self.image[image], &seen.image, &seen.image_parent),
        ] {
            node.iter().for_each(|node| files.insert(node));
            parent.iter().for_each(|parent| files.insert_directory(parent));
        }
    }
}
