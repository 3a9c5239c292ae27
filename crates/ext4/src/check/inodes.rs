//! Every inode: whether its fields are valid, and which blocks it claims.

use metadata::FileKind;
use storage::ReadAt;

use super::{Check, KIND_UNKNOWN};
use crate::block_map::extent::Mapped;
use crate::error::{Error, Object, Result};
use crate::features::{incompat, ro_compat};
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::{EXT4_EXTENTS_FL, EXT4_VERITY_FL};

/// The inode that holds the blocks reserved for more descriptors: they are metadata at the same time.
const RESIZE_INODE: InodeNumber = InodeNumber(7);

impl<S: ReadAt> Check<'_, S> {
    pub(super) fn inodes(&mut self) -> Result<()> {
        let filesystem = self.filesystem;
        for group in 0..filesystem.superblock().groups() {
            filesystem.walk_inode_table(group, &mut |inode| match inode {
                Ok(inode) => self.inode(&inode),
                Err(error) => self.report_error(error),
            })?;
        }
        self.names_twice()?;
        self.value_references()?;
        for (block, known) in std::mem::take(&mut self.xattr_blocks) {
            if let Some((stored, found)) = known
                && stored != found
            {
                self.report(Object::Block(block), format!("h_refcount={stored}, but {found} inodes use it"));
            }
        }
        Ok(())
    }

    fn inode(&mut self, inode: &Inode) -> Result<()> {
        let number = inode.number();
        let superblock = self.filesystem.superblock();
        let is_reserved = number.0 < superblock.first_inode();
        if superblock.has_metadata_checksums() {
            let (stored, computed) = (inode.stored_checksum(), inode.computed_checksum(superblock));
            if stored != computed {
                self.report(Object::Inode(number), format!("i_checksum={stored:#010x}, computed {computed:#010x}"));
            }
        }
        let superblock = self.filesystem.superblock();
        if !inode.is_in_use(superblock) {
            self.deleted(inode);
            return Ok(());
        }
        self.steps.next();
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
        let content = if inode.has_map(superblock) { self.claim_content(inode)? } else { 0 };
        self.claim_attributes(inode)?;
        self.encryption(inode)?;
        // Attributes that cannot be read have been reported.
        let Some(attributes) = self.attribute_blocks(inode)? else { return Ok(()) };
        let superblock = self.filesystem.superblock();
        let used = inode.used_blocks(superblock);
        if used != content + attributes {
            self.report(Object::Inode(number), format!("i_blocks={used} blocks, but it has {}", content + attributes));
        }
        Ok(())
    }

    /// Checks that an inline file's attribute exists, and that an inline directory or symbolic link is as long as its
    /// size says.
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
        let number = inode.number();
        let mut parts: u64 = 0;
        let mut again = 0;
        let mut last_logical: Option<u64> = None;
        let (mut covered, mut has_unwritten) = (0, false);
        let mut left_again = self.left_again;
        let of_directory = u64::from(self.filesystem.directory_blocks(inode));
        let may_share = self.filesystem.superblock().has_ro_compat(ro_compat::SHARED_BLOCKS);
        let filesystem = self.filesystem;
        let walked = filesystem.walk_blocks(inode, &mut |part| {
            let (first, blocks) = match part {
                Mapped::MapBlock(block) => {
                    parts += 1;
                    again += self.claim(block, 1);
                    return self.followed.follow(number, block);
                }
                Mapped::Content(extent) => {
                    has_unwritten |= extent.unwritten;
                    covered += extent.range().end.min(of_directory).saturating_sub(extent.range().start);
                    let last = u64::from(extent.logical) + u64::from(extent.blocks) - 1;
                    // What is allocated past the end in advance does not count as content.
                    last_logical = if extent.unwritten { last_logical } else { Some(last) };
                    (extent.physical, u64::from(extent.blocks))
                }
            };
            parts += blocks;
            // All inodes together have no more than this before looking at them stops making sense.
            if left_again == 0 {
                let problem = "not looked at: blocks are claimed again and again";
                return Err(Error::corrupt(Object::Inode(number), problem));
            }
            let claimed_again = self.claim(first, blocks);
            again += if may_share { 0 } else { claimed_again };
            left_again = left_again.saturating_sub(claimed_again);
            Ok(())
        });
        let is_whole = walked.is_ok();
        self.left_again = left_again;
        if let Err(error) = walked {
            self.report_error(error)?;
        }
        if again > 0 && number != RESIZE_INODE {
            self.report(Object::Inode(number), format!("{again} of its blocks are claimed by something else too"));
        }
        let is_directory = inode.kind().is_ok_and(|kind| kind == FileKind::Directory);
        if is_directory && is_whole && (covered < of_directory || has_unwritten) {
            let holes = of_directory.saturating_sub(covered);
            self.report(Object::Inode(number), format!("a directory with {holes} blocks missing or unwritten"));
        }
        // A directory may have blocks in advance; what follows a file's content with verity are its hashes.
        let block_size = self.filesystem.block_size();
        let is_past = |last: u64| match is_directory {
            true => inode.has_flag(EXT4_EXTENTS_FL) && last >= of_directory,
            false => last.saturating_mul(block_size) > inode.size_bytes(),
        };
        if let Some(last) = last_logical
            && inode.kind().is_ok_and(|kind| kind != FileKind::Symlink)
            && !inode.has_flag(EXT4_VERITY_FL)
            && number != RESIZE_INODE
            && is_past(last)
        {
            let size = inode.size_bytes();
            self.report(Object::Inode(number), format!("i_size={size} bytes, but it has content in block {last}"));
        }
        Ok(parts)
    }
}
