//! Every inode: whether it may be as it is, and which blocks it claims.

use storage::ReadAt;

use super::{Check, KIND_UNKNOWN};
use crate::block_map::extent::Mapped;
use crate::error::{Error, Object, Result};
use crate::features::incompat;
use crate::inode::{FileKind, Inode, InodeNumber};
use crate::layout::inode::{EXT4_EXTENTS_FL, EXT4_INLINE_DATA_FL};

/// The inode that holds the blocks reserved for more descriptors: they are metadata at the same time.
const RESIZE_INODE: InodeNumber = InodeNumber(7);
/// How much of an inode table is read at a time, in bytes.
const TABLE_STEP_BYTES: u64 = 1 << 18;

impl<S: ReadAt> Check<'_, S> {
    pub(super) fn inodes(&mut self) -> Result<()> {
        for group in 0..self.filesystem.superblock().groups() {
            self.inode_table(group)?;
        }
        self.value_references()?;
        for (block, (stored, found)) in std::mem::take(&mut self.xattr_blocks) {
            if stored != found {
                self.report(Object::Block(block), format!("h_refcount={stored}, but {found} inodes use it"));
            }
        }
        Ok(())
    }

    fn inode_table(&mut self, number: u32) -> Result<()> {
        let filesystem = self.filesystem;
        let superblock = filesystem.superblock();
        let group = &filesystem.groups[number as usize];
        if group.inodes_uninitialised() && group.computed_checksum(number, superblock).is_some() {
            return Ok(());
        }
        let has_unused = group.computed_checksum(number, superblock).is_some();
        let per_group = superblock.inodes_per_group();
        let count = if has_unused { per_group - group.unused_inodes().min(per_group) } else { per_group };
        let size = u64::from(superblock.inode_size_bytes());
        let table = group.inode_table(superblock) * filesystem.block_size();
        let per_step = (TABLE_STEP_BYTES / size) as u32;
        for first in (0..count).step_by(per_step as usize) {
            let inodes = per_step.min(count - first);
            let mut bytes = vec![0; (u64::from(inodes) * size) as usize];
            filesystem.storage.read_at(table + u64::from(first) * size, &mut bytes)?;
            for (index, bytes) in bytes.chunks_exact(size as usize).enumerate() {
                if bytes.iter().all(|&byte| byte == 0) {
                    continue;
                }
                let inode = InodeNumber(number * per_group + first + index as u32 + 1);
                match Inode::parse(inode, bytes) {
                    Ok(inode) => self.inode(&inode)?,
                    Err(error) => self.report_error(error)?,
                }
            }
        }
        Ok(())
    }

    fn inode(&mut self, inode: &Inode) -> Result<()> {
        let number = inode.number();
        let superblock = self.filesystem.superblock();
        let is_reserved = number.0 < superblock.first_inode();
        // An inode without links is one that was deleted, but for the reserved ones.
        if inode.links() == 0 && !(is_reserved && inode.raw.i_mode.get() != 0) {
            self.deleted(inode);
            return Ok(());
        }
        if superblock.has_metadata_checksums() {
            let (stored, computed) = (inode.stored_checksum(), inode.computed_checksum(superblock));
            if stored != computed {
                self.report(Object::Inode(number), format!("i_checksum={stored:#010x}, computed {computed:#010x}"));
            }
        }
        let kind = inode.kind();
        let links = inode.links();
        let state = self.state(number);
        state.links = links;
        state.kind = kind.as_ref().map_or(KIND_UNKNOWN, |kind| kind.entry_type());
        if let Err(error) = kind
            && !is_reserved
        {
            self.report_error(error)?;
        }
        if !is_reserved || number == InodeNumber::ROOT {
            self.fields(inode)?;
        }
        if inode.is_inline() {
            self.inline(inode)?;
        }
        let content = if inode.has_blocks() || is_reserved { self.claim_content(inode)? } else { 0 };
        self.claim_attributes(inode)?;
        // Of attributes that cannot be read there is a finding already.
        let Ok(attributes) = self.filesystem.attribute_blocks(inode) else { return Ok(()) };
        let superblock = self.filesystem.superblock();
        let used = inode.used_blocks(superblock);
        if used != content + attributes {
            self.report(Object::Inode(number), format!("i_blocks={used} blocks, but it has {}", content + attributes));
        }
        Ok(())
    }

    /// An inline file's attribute is there, and a directory or symbolic link is as long as it says.
    fn inline(&mut self, inode: &Inode) -> Result<()> {
        let object = Object::Inode(inode.number());
        if !self.filesystem.superblock().has_incompat(incompat::INLINE_DATA) {
            self.report(object, "its content is in the inode, but the file system is without inline_data");
        }
        if inode.has_flag(EXT4_EXTENTS_FL) {
            self.report(object, "its content is in the inode, but it has an extent tree");
        }
        let there = match inode.inline_content() {
            Ok(content) => content.len() as u64,
            Err(error) => return self.report_error(error),
        };
        let is_exact = inode.kind().is_ok_and(|kind| matches!(kind, FileKind::Directory | FileKind::Symlink));
        if is_exact && inode.size_bytes() != there {
            self.report(object, format!("i_size={}, but {there} bytes are in the inode", inode.size_bytes()));
        }
        Ok(())
    }

    /// Claims the inode's content and block map; returns how many blocks they are.
    fn claim_content(&mut self, inode: &Inode) -> Result<u64> {
        if inode.has_flag(EXT4_INLINE_DATA_FL) || FileKind::from_mode(inode.raw.i_mode.get()).is_none() {
            return Ok(0);
        }
        let number = inode.number();
        let mut parts: u64 = 0;
        let mut again = 0;
        let mut last_logical = None;
        let filesystem = self.filesystem;
        let walked = filesystem.walk_blocks(inode, &mut |part| {
            let (first, blocks) = match part {
                Mapped::MapBlock(block) => (block, 1),
                Mapped::Content(extent) => {
                    let last = u64::from(extent.logical) + u64::from(extent.blocks) - 1;
                    // What is allocated past the end in advance does not count as content.
                    last_logical = if extent.unwritten { last_logical } else { Some(last) };
                    (extent.physical, u64::from(extent.blocks))
                }
            };
            parts += blocks;
            again += self.claim(first, blocks);
            // Every block is claimed once at most before the map stops making sense.
            if again > filesystem.superblock().blocks() {
                return Err(Error::corrupt(Object::Inode(number), "its map claims the same blocks again and again"));
            }
            Ok(())
        });
        if let Err(error) = walked {
            self.report_error(error)?;
        }
        if again > 0 && number != RESIZE_INODE {
            self.report(Object::Inode(number), format!("{again} of its blocks are claimed by something else too"));
        }
        let blocks_of_size = inode.size_bytes().div_ceil(self.filesystem.block_size());
        if let Some(last) = last_logical
            && inode.kind().is_ok_and(|kind| kind != FileKind::Symlink)
            && last >= blocks_of_size
            && inode.has_flag(EXT4_EXTENTS_FL)
        {
            let size = inode.size_bytes();
            self.report(Object::Inode(number), format!("i_size={size} bytes, but it has content in block {last}"));
        }
        Ok(parts)
    }
}
