//! Names removed, and what they named where it was the last.

use storage::WriteAt;

use crate::allocate::BlockRun;
use crate::directory_edit::check_name;
use crate::error::{Error, Result};
use crate::extent::Mapped;
use crate::filesystem::FileSystem;
use crate::inode::{FileKind, Inode, InodeNumber};
use crate::xattr::xattr_checksum;

impl<S: WriteAt> FileSystem<S> {
    /// Removes the name of something that is not a directory, and what it names where that was its
    /// last name. The parent's own times stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::IsADirectory`], [`Error::Unsupported`] where the file system
    /// cannot be written or the file has attributes in inodes of their own.
    pub fn remove_file(&mut self, parent: InodeNumber, name: &[u8]) -> Result<()> {
        self.prepare_to_write()?;
        check_name(name)?;
        let directory = self.directory(parent)?;
        self.check_mutable(&directory)?;
        let found = self.find_entry(&directory, name)?.ok_or(Error::NotFound)?;
        let number = InodeNumber(found.slot.inode);
        let mut inode = self.inode(number)?;
        self.check_mutable(&inode)?;
        if inode.kind()? == FileKind::Directory {
            return Err(Error::IsADirectory(number));
        }
        if inode.links() <= 1 {
            // Values in inodes of their own would be left behind: refused by name.
            self.xattrs(number)?;
            self.remove_entry(&directory, found)?;
            return self.release(&inode);
        }
        inode.raw.i_links_count.set(inode.links() - 1);
        self.write_inode(&mut inode)?;
        self.remove_entry(&directory, found)
    }

    /// Frees everything that an inode holds, and the inode, which becomes one that was never used.
    pub(crate) fn release(&mut self, inode: &Inode) -> Result<()> {
        let mut runs: Vec<BlockRun> = Vec::new();
        self.walk_blocks(inode, &mut |part| {
            let run = match part {
                Mapped::MapBlock(block) => BlockRun { first: block, blocks: 1 },
                Mapped::Content(extent) => BlockRun { first: extent.physical, blocks: u64::from(extent.blocks) },
            };
            match runs.last_mut() {
                Some(last) if last.first + last.blocks == run.first => last.blocks += run.blocks,
                _ => runs.push(run),
            }
            Ok(())
        })?;
        for run in runs {
            self.free_blocks(run)?;
        }
        if let Some(block) = inode.xattr_block() {
            self.release_xattr_block(inode, block)?;
        }
        self.free_inode(inode.number(), inode.kind()? == FileKind::Directory)?;
        self.write_inode(&mut Inode::zeroed(inode.number(), &self.superblock))
    }

    /// Gives up one inode's share of an attribute block.
    fn release_xattr_block(&mut self, inode: &Inode, block: u64) -> Result<()> {
        let mut bytes = self.read_xattr_block(inode, block)?;
        let shares = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        if shares <= 1 {
            return self.free_blocks(BlockRun { first: block, blocks: 1 });
        }
        bytes[4..8].copy_from_slice(&(shares - 1).to_le_bytes());
        if self.superblock.has_metadata_checksums() {
            let checksum = xattr_checksum(self.superblock.checksum_seed(), block, &bytes);
            bytes[0x10..0x14].copy_from_slice(&checksum.to_le_bytes());
        }
        self.write_block(block, &bytes)
    }
}
