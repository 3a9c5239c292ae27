//! The resize inode: it owns the blocks after the group descriptors that are kept free for more of them.
//!
//! It is inode 7, and it is no file: its block map is a list of the blocks kept free, so that nobody else takes them.
//! In the example the descriptors are in block 2, and blocks 3 to 129 are kept free for more (`s_reserved_gdt_blocks` =
//! 127). `debugfs -R "stat <7>"` says `(DIND):1171, (IND):3, (524):8195, (IND):4, (780):8196, …`:
//!
//! ```text
//! i_block, slot 13  block 1171, the double-indirect block; its slot n is for the n-th block of descriptors
//! block 1171        slot 0: block 2 has descriptors and is not kept free: 0
//!                   slot 1: block 3        slot 2: block 4        ...        slot 127: block 129
//! block 3           slot 0: block 8195, which is the same block in group 1, where a backup is
//! block 4           slot 0: block 8196
//! ```
//!
//! A block kept free in group 0 is an indirect block at the same time: it lists the same block of every group with a
//! backup. When the file system grows and needs block 3 for descriptors, slot 1 becomes 0, and blocks 3 and 8195 are
//! descriptors and their backup from then on. When a group with a backup is added, each list gets a block more.

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

    /// Frees the resize inode's own block and leaves the inode as if it was never used. The blocks that it kept free
    /// belong to others now.
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
