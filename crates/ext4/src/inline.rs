//! Content that is in the inode itself (`inline_data`): 60 bytes in `i_block`, the rest as the value
//! of the attribute `system.data` in the inode's body.
//!
//! Kernel documentation, "Inline Data". Such content is read where it is. A file or directory that is to be changed
//! gets blocks first, as from the kernel when it grows too large.

use std::ops::ControlFlow;

use metadata::FileKind;
use storage::{ReadAt, WriteAt};

use crate::block_map::BlockMap;
use crate::directory::{DirectoryEntry, FoundEntry, entry_bytes, slots};
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::{EXT4_EXTENTS_FL, EXT4_INDEX_FL, EXT4_INLINE_DATA_FL};
use crate::xattr::{Attribute, Value};

/// How much content `i_block` has, in bytes.
pub(crate) const INLINE_BYTES: usize = 60;
/// Size in bytes of the parent's number that a directory's content begins with, in place of `.`
/// and `..`.
const PARENT_BYTES: usize = 4;
impl Inode {
    /// Whether the content is in the inode itself.
    pub(crate) fn is_inline(&self) -> bool {
        self.has_flag(EXT4_INLINE_DATA_FL)
    }

    /// The content that is in the inode: the 60 bytes of `i_block` and what the attribute has. The
    /// file's size says how much of it counts.
    pub(crate) fn inline_content(&self) -> Result<Vec<u8>> {
        let attributes = self.body_attributes()?;
        match attributes.iter().find(|attribute| attribute.is_inline_data()) {
            Some(Attribute { value: Value::Here(data), .. }) => Ok([&self.raw.i_block, &data[..]].concat()),
            _ => Err(Error::corrupt(Object::Inode(self.number()), "inline_data without the attribute system.data")),
        }
    }

    /// Takes the content out of the inode: what is left has neither content nor a block map.
    fn remove_inline_content(&mut self) -> Result<()> {
        let mut attributes = self.body_attributes()?;
        attributes.retain(|attribute| !attribute.is_inline_data());
        self.set_body_attributes(&attributes)?;
        self.raw.i_block.fill(0);
        self.raw.i_flags.set(self.flags() & !EXT4_INLINE_DATA_FL);
        Ok(())
    }

    /// Forgets the content that is past the file's size.
    pub(crate) fn cut_inline_content(&mut self) -> Result<()> {
        let size = usize::try_from(self.size_bytes()).unwrap_or(usize::MAX);
        if let Some(cut) = self.raw.i_block.get_mut(size..) {
            cut.fill(0);
        }
        let mut attributes = self.body_attributes()?;
        for attribute in attributes.iter_mut().filter(|attribute| attribute.is_inline_data()) {
            if let Value::Here(data) = &mut attribute.value {
                data.truncate(size.saturating_sub(INLINE_BYTES));
            }
        }
        self.set_body_attributes(&attributes)
    }

    /// The two parts of an inline directory that hold entries.
    fn inline_entries(content: &[u8]) -> [&[u8]; 2] {
        [&content[PARENT_BYTES..INLINE_BYTES], &content[INLINE_BYTES..]]
    }
}

impl<S: ReadAt> FileSystem<S> {
    /// As [`read_content`](Self::read_content), for an inline file. What its size says is past what
    /// is there reads as zeros, as in the kernel.
    pub(crate) fn read_inline(&self, inode: &Inode, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let content = inode.inline_content()?;
        let length = inode.size_bytes().saturating_sub(offset).min(buffer.len() as u64) as usize;
        let from = content.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        let there = length.min(content.len() - from);
        buffer[..there].copy_from_slice(&content[from..from + there]);
        buffer[there..length].fill(0);
        Ok(length)
    }

    /// As [`walk_directory`](Self::walk_directory), for an inline directory: `.` and `..`, which it
    /// does not store, come first.
    pub(crate) fn walk_inline_directory(
        &self,
        directory: &Inode,
        visit: &mut dyn FnMut(DirectoryEntry) -> ControlFlow<()>,
    ) -> Result<()> {
        let content = directory.inline_content()?;
        let parent = self.inline_parent(directory)?;
        for (name, inode) in [(&b"."[..], directory.number()), (b"..", parent)] {
            let kind = self.entry_kind(FileKind::Directory.entry_type());
            if visit(DirectoryEntry { name: name.to_vec(), inode, kind }).is_break() {
                return Ok(());
            }
        }
        for part in Inode::inline_entries(&content) {
            if self.walk_entries(part, directory, Object::Inode(directory.number()), visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The directory that an inline directory is in.
    fn inline_parent(&self, directory: &Inode) -> Result<InodeNumber> {
        let parent = directory.raw.i_block.first_chunk::<PARENT_BYTES>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if parent == 0 || parent > self.superblock.inodes() {
            return Err(Error::corrupt(Object::Inode(directory.number()), format!("parent inode={parent}")));
        }
        Ok(InodeNumber(parent))
    }
}

impl<S: WriteAt> FileSystem<S> {
    /// Moves what an inline file, directory or symbolic link has into blocks, as every edit of its content needs
    /// it first; any other stays as it is. The inode is written.
    pub(crate) fn give_blocks(&mut self, inode: &mut Inode) -> Result<()> {
        if !inode.is_inline() {
            return Ok(());
        }
        let block = match inode.kind()? {
            FileKind::Regular => self.inline_file_block(inode)?,
            FileKind::Directory => Some(self.inline_directory_block(inode)?),
            FileKind::Symlink if inode.size_bytes() >= INLINE_BYTES as u64 => self.inline_file_block(inode)?,
            kind => {
                let what = format!("inline_data: changing the content of a {kind:?}").to_lowercase();
                return Err(Error::unsupported(Object::Inode(inode.number()), what));
            }
        };
        inode.remove_inline_content()?;
        inode.raw.i_flags.set(inode.flags() & !(EXT4_EXTENTS_FL | EXT4_INDEX_FL));
        self.start_map(inode)?;
        if let Some(mut block) = block {
            let mut map = BlockMap::default();
            self.fill_holes(inode, &mut map, std::slice::from_ref(&(0..1)), false)?;
            let first = map.extents.first().map_or(0, |extent| extent.physical);
            self.store_map(inode, map)?;
            if inode.kind()? == FileKind::Directory {
                inode.set_size(self.block_size());
                self.write_leaf(inode, first, &mut block)?;
            } else {
                self.write_block(first, &block)?;
            }
        }
        self.write_inode(inode)
    }

    /// Changes the parent of an inline directory, which stays inline.
    pub(crate) fn set_inline_parent(&mut self, directory: &Inode, parent: InodeNumber) -> Result<()> {
        let mut directory = directory.clone();
        directory.raw.i_block[..PARENT_BYTES].copy_from_slice(&parent.0.to_le_bytes());
        self.write_inode(&mut directory)
    }

    /// The block and slot of a name that is to be changed: an inline directory gets blocks for it.
    pub(crate) fn find_to_change(&mut self, directory: &mut Inode, name: &[u8]) -> Result<Option<FoundEntry>> {
        if directory.is_inline() {
            if self.find_name(directory, name)?.is_none() {
                return Ok(None);
            }
            self.give_blocks(directory)?;
        }
        self.find_entry(directory, name)
    }

    /// An inline file's or symbolic link's content as a block; `None` for an empty file.
    fn inline_file_block(&self, inode: &Inode) -> Result<Option<Vec<u8>>> {
        let mut content = inode.inline_content()?;
        content.truncate(usize::try_from(inode.size_bytes()).unwrap_or(usize::MAX));
        if content.len() > self.block_size() as usize {
            return Err(Error::corrupt(Object::Inode(inode.number()), "more content than a block has room for"));
        }
        content.resize(if content.is_empty() { 0 } else { self.block_size() as usize }, 0);
        Ok(Some(content).filter(|block| !block.is_empty()))
    }

    /// An inline directory's entries as the one block of a linear directory.
    fn inline_directory_block(&self, directory: &Inode) -> Result<Vec<u8>> {
        let object = Object::Inode(directory.number());
        let content = directory.inline_content()?;
        let parent = self.inline_parent(directory)?;
        let mut builder = self.block_builder();
        let file_type = self.entry_type(FileKind::Directory);
        builder.push(directory.number().0, file_type, b".");
        builder.push(parent.0, file_type, b"..");
        for part in Inode::inline_entries(&content) {
            for slot in slots(part, object) {
                let slot = slot?;
                if slot.inode == 0 {
                    continue;
                }
                if entry_bytes(slot.name_bytes) > builder.room() {
                    return Err(Error::corrupt(object, "more entries than a block has room for"));
                }
                builder.push(slot.inode, slot.file_type, slot.name(part));
            }
        }
        Ok(builder.finish())
    }
}
