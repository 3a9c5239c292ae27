//! The file systems that are read and written, behind one set of verbs.

use std::io::{Read, Write};

use storage::Finding;

use crate::error::FileSystemError;
use crate::metadata::{Attributes, DirectoryEntry, FileKind, FreeSpace, Metadata};
use crate::volume::Bytes;

/// How much of a file is held while it is read, in bytes.
const READ_BUFFER_BYTES: u64 = 1 << 20;

type Result<T> = std::result::Result<T, FileSystemError>;

/// A file system of the guest.
pub enum FileSystem {
    /// ext2, ext3, ext4.
    Ext4(Box<ext4::FileSystem<Bytes>>),
}

/// A file of a file system: an inode number where there are inodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node(pub(crate) u64);

impl From<ext4::InodeNumber> for Node {
    fn from(number: ext4::InodeNumber) -> Self {
        Self(u64::from(number.0))
    }
}

impl From<Node> for ext4::InodeNumber {
    fn from(node: Node) -> Self {
        // A node of an ext4 was made from one of its numbers.
        Self(node.0 as u32)
    }
}

impl FileSystem {
    /// The kind by name: `ext4` or `fat`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ext4(_) => "ext4",
        }
    }

    /// The label, empty where there is none.
    pub fn label(&self) -> String {
        match self {
            Self::Ext4(ext4) => ext4.superblock().label(),
        }
    }

    /// The UUID as fstab has it; FAT's is its serial number, `1A2B-3C4D`.
    pub fn uuid(&self) -> String {
        match self {
            Self::Ext4(ext4) => partition::Uuid::from_bytes(ext4.superblock().uuid()).to_string(),
        }
    }

    /// The features by the names that the file system's own tools print.
    pub fn features(&self) -> Vec<String> {
        match self {
            Self::Ext4(ext4) => ext4.superblock().features(),
        }
    }

    /// What is free, and what there is.
    pub fn free_space(&self) -> FreeSpace {
        match self {
            Self::Ext4(ext4) => {
                let superblock = ext4.superblock();
                FreeSpace {
                    block_size_bytes: superblock.block_size_bytes(),
                    free_blocks: superblock.free_blocks(),
                    blocks: superblock.blocks(),
                    free_inodes: Some(superblock.free_inodes()),
                }
            }
        }
    }

    /// Whether a journal was left dirty and has been replayed.
    pub fn journal_replayed(&self) -> bool {
        match self {
            Self::Ext4(ext4) => ext4.journal_replayed(),
        }
    }

    /// What a consistency check finds.
    ///
    /// # Errors
    ///
    /// Where the file system could not be read.
    pub fn check(&self) -> Result<Vec<Finding>> {
        match self {
            Self::Ext4(_) => Ok(Vec::new()),
        }
    }

    pub(crate) fn root(&self) -> Node {
        match self {
            Self::Ext4(_) => ext4::InodeNumber::ROOT.into(),
        }
    }

    pub(crate) fn lookup(&self, directory: Node, name: &[u8]) -> Result<Option<Node>> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.lookup(directory.into(), name)?.map(Node::from)),
        }
    }

    pub(crate) fn kind_of(&self, node: Node) -> Result<FileKind> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.inode(node.into())?.kind()?.into()),
        }
    }

    pub(crate) fn metadata(&self, node: Node) -> Result<Metadata> {
        match self {
            Self::Ext4(ext4) => Ok(Metadata::of_inode(&ext4.inode(node.into())?)?),
        }
    }

    pub(crate) fn read_directory(&self, directory: Node) -> Result<Vec<DirectoryEntry>> {
        match self {
            Self::Ext4(ext4) => {
                let mut entries = Vec::new();
                for entry in ext4.read_directory(directory.into())? {
                    let kind = match entry.kind {
                        Some(kind) => kind,
                        None => ext4.inode(entry.inode)?.kind()?,
                    };
                    entries.push(DirectoryEntry { name: entry.name, kind: kind.into() });
                }
                Ok(entries)
            }
        }
    }

    pub(crate) fn read_link(&self, link: Node) -> Result<Vec<u8>> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.read_link(link.into())?),
        }
    }

    /// Gives the content of a file of `size_bytes` bytes to `out`.
    pub(crate) fn read_to(&self, file: Node, size_bytes: u64, out: &mut dyn Write) -> Result<std::io::Result<()>> {
        let mut buffer = vec![0; size_bytes.min(READ_BUFFER_BYTES) as usize];
        let mut offset = 0;
        while offset < size_bytes {
            let read = match self {
                Self::Ext4(ext4) => ext4.read_file_at(file.into(), offset, &mut buffer)?,
            };
            if read == 0 {
                break;
            }
            if let Err(error) = out.write_all(&buffer[..read]) {
                return Ok(Err(error));
            }
            offset += read as u64;
        }
        Ok(Ok(()))
    }

    pub(crate) fn create_file(
        &mut self,
        parent: Node,
        name: &[u8],
        attributes: &Attributes,
        size_bytes: u64,
        content: &mut dyn Read,
    ) -> Result<()> {
        match self {
            Self::Ext4(ext4) => ext4.create_file(parent.into(), name, attributes, size_bytes, content)?,
        };
        Ok(())
    }

    pub(crate) fn create_directory(&mut self, parent: Node, name: &[u8], attributes: &Attributes) -> Result<()> {
        match self {
            Self::Ext4(ext4) => ext4.create_directory(parent.into(), name, attributes)?,
        };
        Ok(())
    }

    pub(crate) fn create_symlink(
        &mut self,
        parent: Node,
        name: &[u8],
        target: &[u8],
        attributes: &Attributes,
    ) -> Result<()> {
        match self {
            Self::Ext4(ext4) => ext4.create_symlink(parent.into(), name, target, attributes)?,
        };
        Ok(())
    }

    pub(crate) fn set_attributes(&mut self, node: Node, attributes: &Attributes) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.set_attributes(node.into(), attributes)?),
        }
    }

    pub(crate) fn remove_file(&mut self, parent: Node, name: &[u8]) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.remove_file(parent.into(), name)?),
        }
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.flush()?),
        }
    }
}
