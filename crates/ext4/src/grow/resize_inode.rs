//! The resize inode: it owns the blocks behind the group descriptors that are kept free for more of
//! them.
//!
//! Its double-indirect block lists those of the first group; each of them is an indirect block that
//! lists the same one of every group with a backup.

use storage::WriteAt;

use crate::allocate::BlockRun;
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};

/// The inode.
pub(crate) const RESIZE_INODE: InodeNumber = InodeNumber(7);
/// Where in `i_block` the double-indirect block is, in bytes.
const DOUBLE_INDIRECT: usize = 13 * 4;

fn put(bytes: &mut [u8], index: usize, block: u64) {
    if let Some(pointer) = bytes.get_mut(index * 4..index * 4 + 4) {
        pointer.copy_from_slice(&(block as u32).to_le_bytes());
    }
}

impl<S: WriteAt> FileSystem<S> {
    /// Makes the resize inode's map new, for the groups and reserved blocks that there are now.
    pub(crate) fn store_resize_inode(&mut self) -> Result<()> {
        let inode = self.inode(RESIZE_INODE)?;
        let double_block = self.double_indirect_block(&inode)?;
        self.store_resize_map(inode, double_block)
    }

    /// Gives a new resize inode its map, with its double-indirect block in `double_block`.
    pub(crate) fn store_new_resize_inode(&mut self, mut inode: Inode, double_block: u64) -> Result<()> {
        put(&mut inode.raw.i_block, DOUBLE_INDIRECT / 4, double_block);
        self.store_resize_map(inode, double_block)
    }

    fn store_resize_map(&mut self, mut inode: Inode, double_block: u64) -> Result<()> {
        let pointers = self.block_size() as usize / 4;
        let first = self.superblock.descriptor_blocks() as usize;
        let reserved = usize::from(self.superblock.raw.s_reserved_gdt_blocks.get());
        let backups: Vec<u32> = self.superblock.backup_groups().take(pointers + 1).collect();
        if reserved > pointers || backups.len() > pointers {
            return Err(Error::unsupported(
                Object::Inode(RESIZE_INODE),
                format!("resize_inode with {reserved} blocks in {pointers} backups or more"),
            ));
        }
        let mut double = vec![0; self.block_size() as usize];
        for index in first..first + reserved {
            let block = self.superblock.descriptor_block(0) + index as u64;
            put(&mut double, index % pointers, block);
            let mut single = vec![0; self.block_size() as usize];
            for (at, &group) in backups.iter().enumerate() {
                put(&mut single, at, self.superblock.group_first_block(group) + 1 + index as u64);
            }
            self.write_block(block, &single)?;
        }
        self.write_block(double_block, &double)?;
        inode.set_used_blocks(1 + (reserved * (1 + backups.len())) as u64, &self.superblock);
        self.write_inode(&mut inode)
    }

    /// Frees the resize inode's own block and leaves it as if never used; what it kept free belongs
    /// to somebody else now.
    pub(crate) fn drop_resize_inode(&mut self) -> Result<()> {
        let inode = self.inode(RESIZE_INODE)?;
        let first = self.double_indirect_block(&inode)?;
        self.free_blocks(BlockRun { first, blocks: 1 })?;
        self.write_inode(&mut Inode::zeroed(RESIZE_INODE, &self.superblock))
    }

    fn double_indirect_block(&self, inode: &Inode) -> Result<u64> {
        let pointer =
            inode.raw.i_block[DOUBLE_INDIRECT..].first_chunk::<4>().map_or(0, |four| u32::from_le_bytes(*four));
        let block = u64::from(pointer);
        if self.superblock.is_data_block(block) {
            return Ok(block);
        }
        Err(Error::corrupt(
            Object::Inode(RESIZE_INODE),
            format!("its double-indirect block is {block}, the file system has {}", self.superblock.blocks()),
        ))
    }
}
