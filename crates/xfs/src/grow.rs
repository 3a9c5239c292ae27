//! Growing into a larger partition.
//!
//! Worked example: groups of 32,768 blocks, four of them and 10,000 blocks of a fifth. To grow to 200,000 blocks, the
//! fifth one gets the 22,768 blocks that it lacks, and a sixth and a seventh are added: 32,768 blocks and 3,392.

use storage::{ReadAt, WriteAt};

use crate::error::{Error, Result};
use crate::filesystem::FileSystem;
use crate::group::Group;

/// A group has at least so many blocks: `XFS_MIN_AG_BLOCKS`.
const MIN_GROUP_BLOCKS: u64 = 64;
/// And at least so many bytes: `xfs_repair` reads them at once.
const MIN_GROUP_BYTES: u64 = 128 << 10;

impl<S: WriteAt> FileSystem<S> {
    /// Grows to `blocks` blocks, or as many as whole groups take: a last group has at least 64, and 128 KiB. A number
    /// that is not larger than [`Superblock::blocks`](crate::Superblock::blocks) changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if the storage has less room or there would be too many groups; [`Error::Unsupported`] if
    /// the file system cannot be written; [`Error::Corrupt`], [`Error::Storage`].
    pub fn grow(&mut self, blocks: u64) -> Result<()> {
        let (before, groups_before) = (self.superblock.blocks(), self.superblock.groups());
        let group_blocks = u64::from(self.superblock.raw.sb_agblocks.get());
        let least = MIN_GROUP_BLOCKS.max(MIN_GROUP_BYTES / self.block_bytes());
        let blocks = if blocks % group_blocks < least { blocks - blocks % group_blocks } else { blocks };
        if blocks <= before {
            return Ok(());
        }
        let there_bytes = self.storage.size_bytes();
        if blocks.checked_mul(self.block_bytes()).is_none_or(|bytes| bytes > there_bytes) {
            return Err(Error::TooLarge { what: format!("{blocks} blocks do not fit into {there_bytes} bytes") });
        }
        let groups = u32::try_from(blocks.div_ceil(group_blocks)).ok().filter(|groups| *groups < u32::MAX);
        let Some(groups) = groups else {
            return Err(Error::TooLarge {
                what: format!("{blocks} blocks in groups of {group_blocks}: too many groups"),
            });
        };
        self.prepare_to_write()?;
        // The last group as it was, before it is another one.
        self.group(groups_before - 1)?;
        self.superblock.raw.sb_dblocks.set(blocks);
        self.superblock.raw.sb_agcount.set(groups);
        let last_blocks = self.superblock.group_blocks(groups_before - 1);
        self.group(groups_before - 1)?.extend(last_blocks)?;
        for number in groups_before..groups {
            self.groups.insert(number, Group::new(&self.superblock, number)?);
        }
        // Each group has a copy of the super block.
        for number in 1..groups {
            self.superblock.write_copy(&self.storage, number)?;
        }
        Ok(())
    }
}
