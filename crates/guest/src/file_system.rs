//! The file systems that are read and written, behind one set of verbs.

use std::io::{Read, Write};

use std::sync::Arc;

use storage::{Finding, ReadAt};

use crate::error::FileSystemError;
use crate::metadata::{Attributes, DirectoryEntry, FileKind, FreeSpace, Metadata, Time, Times};
use crate::volume::Bytes;

/// How much of a file is held while it is read, in bytes.
const READ_BUFFER_BYTES: u64 = 1 << 20;

type Result<T> = std::result::Result<T, FileSystemError>;

/// A file system of the guest.
pub enum FileSystem {
    /// ext2, ext3, ext4.
    Ext4(Box<ext4::FileSystem<Bytes>>),
    /// FAT12, FAT16, FAT32.
    Fat(Box<Fat>),
}

/// A FAT, with what fstab may call it.
pub struct Fat {
    file_system: fat::FileSystem<Bytes>,
    label: String,
    serial: u32,
}

/// A file of a file system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Node {
    /// By its number, where there are inodes.
    Inode(ext4::InodeNumber),
    /// By the names on the way from the file system's own root on.
    Names(Vec<Vec<u8>>),
}

impl Node {
    fn inode(&self) -> ext4::InodeNumber {
        match self {
            Self::Inode(number) => *number,
            Self::Names(_) => unreachable!("a node of an ext4 is an inode"),
        }
    }

    fn names(&self) -> &[Vec<u8>] {
        match self {
            Self::Names(names) => names,
            Self::Inode(_) => unreachable!("a node of a FAT is a path"),
        }
    }

    fn child(&self, name: &[u8]) -> Vec<Vec<u8>> {
        let mut names = self.names().to_vec();
        names.push(name.to_vec());
        names
    }
}

impl Fat {
    /// Opens the FAT on `bytes`, whose serial number is `serial`.
    pub(crate) fn open(bytes: Bytes, serial: u32) -> std::result::Result<Self, fat::Error> {
        let file_system = fat::FileSystem::open(bytes)?;
        let label = file_system.label()?;
        Ok(Self { file_system, label, serial })
    }

    pub(crate) fn inner(&self) -> &fat::FileSystem<Bytes> {
        &self.file_system
    }
}

impl FileSystem {
    /// The kind by name: `ext2`, `ext3`, `ext4` or `fat`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ext4(ext4) => ext4.superblock().kind(),
            Self::Fat(_) => "fat",
        }
    }

    /// The label, empty where there is none.
    pub fn label(&self) -> String {
        match self {
            Self::Ext4(ext4) => ext4.superblock().label(),
            Self::Fat(fat) => fat.label.clone(),
        }
    }

    /// The UUID as fstab has it; FAT's is its serial number, `1A2B-3C4D`.
    pub fn uuid(&self) -> String {
        match self {
            Self::Ext4(ext4) => partition::Uuid::from_bytes(ext4.superblock().uuid()).to_string(),
            Self::Fat(fat) => format!("{:04X}-{:04X}", fat.serial >> 16, fat.serial & 0xffff),
        }
    }

    /// The features by the names that the file system's own tools print; FAT's is its width.
    pub fn features(&self) -> Vec<String> {
        match self {
            Self::Ext4(ext4) => ext4.superblock().features(),
            Self::Fat(fat) => vec![
                match fat.file_system.fat_type() {
                    fat::FatType::Fat12 => "fat12",
                    fat::FatType::Fat16 => "fat16",
                    fat::FatType::Fat32 => "fat32",
                }
                .to_owned(),
            ],
        }
    }

    /// Size of a block (FAT: a cluster) in bytes, the unit in which files take space.
    pub fn block_size_bytes(&self) -> u32 {
        match self {
            Self::Ext4(ext4) => ext4.superblock().block_size_bytes(),
            Self::Fat(fat) => fat.file_system.cluster_size_bytes(),
        }
    }

    /// Whether errors were noted in it that nothing has repaired since.
    pub fn has_errors(&self) -> bool {
        match self {
            Self::Ext4(ext4) => ext4.superblock().has_errors(),
            Self::Fat(_) => false,
        }
    }

    /// Lets edits go on although errors were noted.
    pub(crate) fn allow_errors(&mut self) {
        match self {
            Self::Ext4(ext4) => ext4.allow_errors(),
            Self::Fat(_) => {}
        }
    }

    /// What is free, and what there is.
    ///
    /// # Errors
    ///
    /// Where it has to be counted and cannot be read.
    pub fn free_space(&self) -> Result<FreeSpace> {
        match self {
            Self::Ext4(ext4) => {
                let superblock = ext4.superblock();
                Ok(FreeSpace {
                    block_size_bytes: superblock.block_size_bytes(),
                    free_blocks: superblock.free_blocks(),
                    blocks: superblock.blocks(),
                    free_inodes: Some(superblock.free_inodes()),
                })
            }
            Self::Fat(fat) => {
                let block_size_bytes = fat.file_system.cluster_size_bytes();
                Ok(FreeSpace {
                    block_size_bytes,
                    free_blocks: fat.file_system.free_bytes()? / u64::from(block_size_bytes),
                    blocks: fat.file_system.size_bytes() / u64::from(block_size_bytes),
                    free_inodes: None,
                })
            }
        }
    }

    /// Whether files have owners, modes and symlinks.
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Ext4(_))
    }

    /// Whether a journal was left dirty and has been replayed.
    pub fn journal_replayed(&self) -> bool {
        match self {
            Self::Ext4(ext4) => ext4.journal_replayed(),
            Self::Fat(_) => false,
        }
    }

    /// What a consistency check finds; `None` where there is no check for this file system.
    ///
    /// # Errors
    ///
    /// Where the file system could not be read.
    pub fn check(&self) -> Result<Option<Vec<Finding>>> {
        Ok(self.examine()?.map(|checked| checked.findings))
    }

    /// As [`check`](Self::check), and what could not be looked at.
    ///
    /// # Errors
    ///
    /// Where the file system could not be read.
    pub fn examine(&self) -> Result<Option<ext4::Checked>> {
        match self {
            Self::Ext4(ext4) => Ok(Some(ext4.examine()?)),
            Self::Fat(_) => Ok(None),
        }
    }

    pub(crate) fn root(&self) -> Node {
        match self {
            Self::Ext4(_) => Node::Inode(ext4::InodeNumber::ROOT),
            Self::Fat(_) => Node::Names(Vec::new()),
        }
    }

    /// The file called `name` in `directory`, and what kind it is.
    pub(crate) fn lookup(&self, directory: &Node, name: &[u8]) -> Result<Option<(Node, FileKind)>> {
        match self {
            Self::Ext4(ext4) => match ext4.lookup(directory.inode(), name)? {
                Some(number) => Ok(Some((Node::Inode(number), ext4.inode(number)?.kind()?.into()))),
                None => Ok(None),
            },
            Self::Fat(fat) => {
                let names = directory.child(name);
                match fat.file_system.metadata(&names) {
                    Ok(metadata) => Ok(Some((Node::Names(names), metadata.kind.into()))),
                    // No file has a name that FAT cannot have.
                    Err(fat::Error::NotFound { .. } | fat::Error::InvalidName { .. }) => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    pub(crate) fn metadata(&self, node: &Node) -> Result<Metadata> {
        match self {
            Self::Ext4(ext4) => Ok(Metadata::of_inode(&ext4.inode(node.inode())?)?),
            Self::Fat(fat) => Ok(Metadata::of_fat(&fat.file_system.metadata(node.names())?)),
        }
    }

    pub(crate) fn read_directory(&self, directory: &Node) -> Result<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        match self {
            Self::Ext4(ext4) => {
                for entry in ext4.read_directory(directory.inode())? {
                    let kind = match entry.kind {
                        Some(kind) => kind,
                        None => ext4.inode(entry.inode)?.kind()?,
                    };
                    entries.push(DirectoryEntry { name: entry.name, kind: kind.into() });
                }
            }
            Self::Fat(fat) => {
                for entry in fat.file_system.read_directory(directory.names())? {
                    entries.push(DirectoryEntry { name: entry.name.into_bytes(), kind: entry.metadata.kind.into() });
                }
            }
        }
        Ok(entries)
    }

    /// What is in a directory: names, files and their kinds, in no order.
    pub(crate) fn children(&self, directory: &Node) -> Result<Vec<(Vec<u8>, Node, FileKind)>> {
        let mut children = Vec::new();
        match self {
            Self::Ext4(ext4) => {
                for entry in ext4.read_directory(directory.inode())? {
                    let kind = match entry.kind {
                        Some(kind) => kind,
                        None => ext4.inode(entry.inode)?.kind()?,
                    };
                    children.push((entry.name, Node::Inode(entry.inode), kind.into()));
                }
            }
            Self::Fat(_) => {
                for DirectoryEntry { name, kind } in self.read_directory(directory)? {
                    let child = Node::Names(directory.child(&name));
                    children.push((name, child, kind));
                }
            }
        }
        Ok(children)
    }

    /// Fills `buffer` with a file's content from `offset` on.
    pub(crate) fn read_exact_at(&self, file: &Node, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            let (at, left) = (offset + done as u64, &mut buffer[done..]);
            let read = match self {
                Self::Ext4(ext4) => ext4.read_file_at(file.inode(), at, left)?,
                Self::Fat(fat) => fat.file_system.read_file_at(file.names(), at, left)?,
            };
            if read == 0 {
                // The size says that there is more, which reads as zeros.
                left.fill(0);
                break;
            }
            done += read;
        }
        Ok(())
    }

    /// Whether deletions were left unfinished when it was last used, and still are.
    pub(crate) fn has_orphans(&self) -> bool {
        match self {
            Self::Ext4(ext4) => ext4.has_orphans(),
            Self::Fat(_) => false,
        }
    }

    /// Finishes such deletions.
    pub(crate) fn recover(&mut self) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.recover()?),
            Self::Fat(_) => Ok(()),
        }
    }

    pub(crate) fn read_link(&self, link: &Node) -> Result<Vec<u8>> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.read_link(link.inode())?),
            Self::Fat(_) => unreachable!("a FAT has no symlinks"),
        }
    }

    /// Gives the content of a file of `size_bytes` bytes to `out`, and returns what `out` says.
    pub(crate) fn read_to(&self, file: &Node, size_bytes: u64, out: &mut dyn Write) -> Result<std::io::Result<()>> {
        let mut buffer = vec![0; size_bytes.min(READ_BUFFER_BYTES) as usize];
        let mut offset = 0;
        while offset < size_bytes {
            let read = match self {
                Self::Ext4(ext4) => ext4.read_file_at(file.inode(), offset, &mut buffer)?,
                Self::Fat(fat) => fat.file_system.read_file_at(file.names(), offset, &mut buffer)?,
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

    /// Gives the parts of a file of `size_bytes` bytes that are not holes to `visit`, each with its offset, and returns
    /// what `visit` says.
    pub(crate) fn read_data(
        &self,
        file: &Node,
        size_bytes: u64,
        visit: &mut dyn FnMut(u64, &[u8]) -> std::io::Result<()>,
    ) -> Result<std::io::Result<()>> {
        let extents = match self {
            Self::Ext4(ext4) => ext4.content_extents(&ext4.inode(file.inode())?)?,
            Self::Fat(_) => None,
        };
        let whole = 0..size_bytes;
        let parts = extents.map_or(vec![whole], |extents| {
            extents.into_iter().map(|extent| extent.offset..extent.offset + extent.length_bytes).collect()
        });
        let mut buffer = vec![0; size_bytes.min(READ_BUFFER_BYTES) as usize];
        for part in parts {
            let (mut at, end) = (part.start, part.end.min(size_bytes));
            while at < end {
                let length = (end - at).min(READ_BUFFER_BYTES) as usize;
                let read = self.read_at(file, at, &mut buffer[..length])?;
                if read == 0 {
                    break;
                }
                if let Err(error) = visit(at, &buffer[..read]) {
                    return Ok(Err(error));
                }
                at += read as u64;
            }
        }
        Ok(Ok(()))
    }

    pub(crate) fn create_file(
        &mut self,
        parent: &Node,
        name: &[u8],
        attributes: &Attributes,
        size_bytes: u64,
        content: &mut dyn Read,
    ) -> Result<()> {
        match self {
            Self::Ext4(ext4) => {
                ext4.create_file(parent.inode(), name, attributes, size_bytes, content)?;
            }
            Self::Fat(fat) => {
                let modified = fat_time(attributes);
                fat.file_system.create_file(&parent.child(name), modified, size_bytes, content)?;
            }
        }
        Ok(())
    }

    pub(crate) fn create_file_from(
        &mut self,
        parent: &Node,
        name: &[u8],
        attributes: &Attributes,
        source: &Arc<dyn ReadAt>,
    ) -> Result<()> {
        match self {
            Self::Ext4(ext4) => {
                ext4.create_file_from(parent.inode(), name, attributes, source)?;
                Ok(())
            }
            Self::Fat(_) => {
                let mut content = storage::Reader::new(source);
                self.create_file(parent, name, attributes, source.size_bytes(), &mut content)
            }
        }
    }

    pub(crate) fn create_directory(&mut self, parent: &Node, name: &[u8], attributes: &Attributes) -> Result<()> {
        match self {
            Self::Ext4(ext4) => {
                ext4.create_directory(parent.inode(), name, attributes)?;
            }
            Self::Fat(fat) => fat.file_system.create_directory(&parent.child(name), fat_time(attributes))?,
        }
        Ok(())
    }

    pub(crate) fn create_symlink(
        &mut self,
        parent: &Node,
        name: &[u8],
        target: &[u8],
        attributes: &Attributes,
    ) -> Result<()> {
        match self {
            Self::Ext4(ext4) => {
                ext4.create_symlink(parent.inode(), name, target, attributes)?;
                Ok(())
            }
            Self::Fat(_) => Err(fat::Error::Unsupported { feature: "a symlink on a FAT".to_owned() }.into()),
        }
    }

    pub(crate) fn set_attributes(&mut self, node: &Node, attributes: &Attributes) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.set_attributes(node.inode(), attributes)?),
            Self::Fat(_) => Err(fat::Error::Unsupported { feature: "an owner or a mode on a FAT".to_owned() }.into()),
        }
    }

    /// Sets the times that are given.
    pub(crate) fn set_times(&mut self, node: &Node, times: &Times) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.set_times(node.inode(), times)?),
            Self::Fat(_) => {
                Err(fat::Error::Unsupported { feature: "changing a file's times on a FAT".to_owned() }.into())
            }
        }
    }

    /// Reads from `offset` on; less than asked only at the file's end.
    pub(crate) fn read_at(&self, file: &Node, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.read_file_at(file.inode(), offset, buffer)?),
            Self::Fat(fat) => Ok(fat.file_system.read_file_at(file.names(), offset, buffer)?),
        }
    }

    /// Writes `data` at `offset` of a regular file.
    pub(crate) fn write_at(&mut self, file: &Node, offset: u64, data: &[u8]) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.write_file_at(file.inode(), offset, data)?),
            Self::Fat(_) => {
                Err(fat::Error::Unsupported { feature: "changing a part of a file on a FAT".to_owned() }.into())
            }
        }
    }

    /// Makes a regular file `size_bytes` long.
    pub(crate) fn truncate(&mut self, file: &Node, size_bytes: u64) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.truncate(file.inode(), size_bytes)?),
            Self::Fat(_) => {
                Err(fat::Error::Unsupported { feature: "changing a file's size on a FAT".to_owned() }.into())
            }
        }
    }

    /// Gives a regular file another content; it keeps what else it has.
    pub(crate) fn replace_content(&mut self, file: &Node, content: &[u8], modified: Time) -> Result<()> {
        match self {
            Self::Ext4(ext4) => {
                // What is written over first needs the room that it has.
                ext4.truncate(file.inode(), 0)?;
                ext4.write_file_at(file.inode(), 0, content)?;
                let times = Times { accessed: None, modified: Some(modified), changed: Some(modified) };
                Ok(ext4.set_times(file.inode(), &times)?)
            }
            Self::Fat(fat) => {
                let modified = fat::Time { seconds: modified.seconds, nanoseconds: modified.nanoseconds };
                Ok(fat.file_system.replace_file(file.names(), modified, content.len() as u64, &mut &*content)?)
            }
        }
    }

    /// One more name for a file that is no directory.
    pub(crate) fn link(&mut self, file: &Node, parent: &Node, name: &[u8]) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.link(file.inode(), parent.inode(), name)?),
            Self::Fat(_) => {
                Err(fat::Error::Unsupported { feature: "a second name of a file on a FAT".to_owned() }.into())
            }
        }
    }

    /// Gives another name; what has it and is of the same sort goes.
    pub(crate) fn rename(&mut self, from: (&Node, &[u8]), to: (&Node, &[u8])) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.rename(from.0.inode(), from.1, to.0.inode(), to.1)?),
            Self::Fat(_) => Err(fat::Error::Unsupported { feature: "renaming on a FAT".to_owned() }.into()),
        }
    }

    /// Creates a device, a FIFO or a socket.
    pub(crate) fn create_special(
        &mut self,
        parent: &Node,
        name: &[u8],
        special: ext4::Special,
        attributes: &Attributes,
    ) -> Result<()> {
        match self {
            Self::Ext4(ext4) => {
                ext4.create_special(parent.inode(), name, special, attributes)?;
                Ok(())
            }
            Self::Fat(_) => {
                Err(fat::Error::Unsupported { feature: "a device, FIFO or socket on a FAT".to_owned() }.into())
            }
        }
    }

    /// The extended attributes, by their whole names; a FAT has none.
    pub(crate) fn xattrs(&self, node: &Node) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.xattrs(node.inode())?),
            Self::Fat(_) => Ok(Vec::new()),
        }
    }

    pub(crate) fn set_xattr(&mut self, node: &Node, name: &[u8], value: &[u8]) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.set_xattr(node.inode(), name, value)?),
            Self::Fat(_) => Err(fat::Error::Unsupported { feature: "extended attributes on a FAT".to_owned() }.into()),
        }
    }

    pub(crate) fn remove_xattr(&mut self, node: &Node, name: &[u8]) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.remove_xattr(node.inode(), name)?),
            Self::Fat(_) => Err(fat::Error::Unsupported { feature: "extended attributes on a FAT".to_owned() }.into()),
        }
    }

    /// What says whether two names are of the same file, where a file can have several.
    pub(crate) fn inode(&self, node: &Node) -> Option<u32> {
        matches!(self, Self::Ext4(_)).then(|| node.inode().0)
    }

    /// Removes what has the name, and all that is below it.
    pub(crate) fn remove_tree(&mut self, parent: &Node, name: &[u8]) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.remove_tree(parent.inode(), name)?),
            Self::Fat(fat) => {
                // Directories come before what is in them, and go after it. Each has a cluster of its own.
                let clusters = fat.file_system.size_bytes() / u64::from(fat.file_system.cluster_size_bytes());
                let mut pending = vec![parent.child(name)];
                let mut directories = Vec::new();
                while let Some(path) = pending.pop() {
                    if directories.len() as u64 > clusters {
                        let (object, problem) = ("the directories".to_owned(), "they go in a circle".to_owned());
                        return Err(fat::Error::Corrupt { object, problem }.into());
                    }
                    if fat.file_system.metadata(&path)?.kind == fat::FileKind::Regular {
                        fat.file_system.remove_file(&path)?;
                        continue;
                    }
                    for entry in fat.file_system.read_directory(&path)? {
                        pending.push([&path[..], &[entry.name.into_bytes()]].concat());
                    }
                    directories.push(path);
                }
                for path in directories.iter().rev() {
                    fat.file_system.remove_directory(path)?;
                }
                Ok(())
            }
        }
    }

    /// When it was last written to, in whole seconds since 1970; a FAT does not say.
    pub(crate) fn written(&self) -> Option<Time> {
        match self {
            Self::Ext4(ext4) => Some(ext4.superblock().written()),
            Self::Fat(_) => None,
        }
    }

    pub(crate) fn remove_file(&mut self, parent: &Node, name: &[u8]) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.remove_file(parent.inode(), name)?),
            Self::Fat(fat) => Ok(fat.file_system.remove_file(&parent.child(name))?),
        }
    }

    /// Grows to as many whole blocks as `size_bytes` bytes have.
    pub(crate) fn grow(&mut self, size_bytes: u64) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.grow(size_bytes / u64::from(ext4.superblock().block_size_bytes()))?),
            Self::Fat(_) => Err(fat::Error::Unsupported { feature: "growing a FAT".to_owned() }.into()),
        }
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        match self {
            Self::Ext4(ext4) => Ok(ext4.flush()?),
            Self::Fat(fat) => Ok(fat.file_system.flush()?),
        }
    }
}

fn fat_time(attributes: &Attributes) -> fat::Time {
    fat::Time { seconds: attributes.modified.seconds, nanoseconds: attributes.modified.nanoseconds }
}
