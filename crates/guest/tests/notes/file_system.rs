//! A file system that nobody else has, as small as the trait lets it be: read-only, with two trees.
//!
//! The first 4 KiB are text: `NOTES`, then a line for each file, `TREE NAME OFFSET SIZE`. Each tree is a directory
//! with files in it; the tree `outer` is the root and has the tree `inner` in it as a directory.

use guest::file_system::{Bytes, Child, ContentExtent, FileSystem, Kind, Node, Support};
use guest::{FileKind, FileSystemError, FileSystemProblem, FreeSpace, Metadata, Time};
use storage::{Finding, ReadAt};

/// The line of the table.
pub(crate) const KIND: Kind =
    Kind { name: "notes", signatures: &[&[(0, b"NOTES\n")]], support: Support::Opens { open, name: |_| None } };

const HEADER_BYTES: usize = 4096;
const TREES: [&str; 2] = ["outer", "inner"];

struct File {
    tree: u64,
    name: String,
    offset: u64,
    size_bytes: u64,
}

struct Notes {
    bytes: Bytes,
    files: Vec<File>,
}

fn open(bytes: Bytes) -> Result<Box<dyn FileSystem>, FileSystemError> {
    let mut header = [0; HEADER_BYTES];
    bytes.read_at(0, &mut header)?;
    let text = String::from_utf8_lossy(&header);
    let lines = text.trim_end_matches('\0').lines().skip(1);
    let files: Option<Vec<File>> = lines.map(|line| file(line, bytes.size_bytes())).collect();
    match files {
        Some(files) => Ok(Box::new(Notes { bytes, files })),
        None => Err(FileSystemProblem::Damaged(Finding::new("header", "a line that names no file")).into()),
    }
}

fn file(line: &str, end: u64) -> Option<File> {
    let [tree, name, offset, size_bytes] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
    let tree = TREES.iter().position(|other| *other == tree)? as u64;
    let file = File { tree, name: name.to_owned(), offset: offset.parse().ok()?, size_bytes: size_bytes.parse().ok()? };
    (file.offset.checked_add(file.size_bytes)? <= end).then_some(file)
}

/// The directory of a tree is its file 0.
fn directory(tree: usize) -> Node {
    Node::Inode { tree: tree as u64, number: 0 }
}

impl Notes {
    fn file(&self, node: &Node) -> Option<&File> {
        self.files.get((node.number() as usize).checked_sub(1)?)
    }
}

impl FileSystem for Notes {
    fn kind(&self) -> &'static str {
        "notes"
    }

    fn label(&self) -> &[u8] {
        b"my notes"
    }

    fn uuid(&self) -> String {
        "note-1".to_owned()
    }

    fn features(&self) -> Vec<String> {
        Vec::new()
    }

    fn block_size_bytes(&self) -> u32 {
        512
    }

    fn free_space(&self) -> Result<FreeSpace, FileSystemError> {
        let blocks = self.bytes.size_bytes() / 512;
        Ok(FreeSpace { block_size_bytes: 512, free_blocks: 0, blocks, free_inodes: None })
    }

    fn is_unix(&self) -> bool {
        false
    }

    fn root(&self) -> Node {
        directory(0)
    }

    fn lookup(&self, directory: &Node, name: &[u8]) -> Result<Option<(Node, FileKind)>, FileSystemError> {
        let found = self.children(directory)?.into_iter().find(|child| child.name == name);
        Ok(found.map(|child| (child.node, child.kind)))
    }

    fn metadata(&self, node: &Node) -> Result<Metadata, FileSystemError> {
        let file = self.file(node);
        let kind = if file.is_some() { FileKind::Regular } else { FileKind::Directory };
        let time = Time::default();
        Ok(Metadata {
            kind,
            permissions: 0o555,
            uid: 0,
            gid: 0,
            size_bytes: file.map_or(0, |file| file.size_bytes),
            links: 1,
            accessed: time,
            modified: time,
            changed: time,
            device: None,
        })
    }

    fn children(&self, directory_node: &Node) -> Result<Vec<Child>, FileSystemError> {
        let Node::Inode { tree, number: 0 } = *directory_node else {
            return Err(FileSystemProblem::NotADirectory.into());
        };
        let here = self.files.iter().zip(1..).filter(|(file, _)| file.tree == tree);
        let files = here.map(|(file, number)| Child {
            name: file.name.clone().into_bytes(),
            node: Node::Inode { tree, number },
            kind: FileKind::Regular,
        });
        let inner = Child { name: b"inner".to_vec(), node: directory(1), kind: FileKind::Directory };
        Ok(files.chain((tree == 0).then_some(inner)).collect())
    }

    fn read_at(&self, file: &Node, offset: u64, buffer: &mut [u8]) -> Result<usize, FileSystemError> {
        let Some(file) = self.file(file) else { return Err(FileSystemProblem::IsADirectory.into()) };
        let length = file.size_bytes.saturating_sub(offset).min(buffer.len() as u64) as usize;
        self.bytes.read_at(file.offset + offset, &mut buffer[..length])?;
        Ok(length)
    }

    fn mount_root(&self, options: &str) -> Result<Option<Node>, FileSystemError> {
        let subvolume = options.split(',').find_map(|option| option.strip_prefix("subvol="));
        Ok(match subvolume {
            Some(name) => TREES.iter().position(|tree| *tree == name).map(directory),
            None => Some(self.root()),
        })
    }

    fn content_extents(&self, file: &Node) -> Result<Option<Vec<ContentExtent>>, FileSystemError> {
        let extent =
            |file: &File| ContentExtent { offset: 0, length_bytes: file.size_bytes, storage_offset: file.offset };
        Ok(self.file(file).map(|file| vec![extent(file)]))
    }
}
