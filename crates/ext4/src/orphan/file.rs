//! The orphan file (`orphan_file`): numbers of inodes that are being deleted or truncated, in place of the list that
//! goes through the inodes themselves.
//!
//! Many processors can put inodes into a file at once, each into a block of its own. `mke2fs -t ext4 -b 1024 -O
//! orphan_file` makes one of 32 blocks and notes its inode, 12, in `s_orphan_file_inum`. A block is 254 numbers of 32
//! bits and eight bytes more, in any order, with 0 for a free place:
//!
//! ```text
//! 0x000  0000 0000 ...  numbers of inodes
//! 0x3f8  04ca 100b      ob_magic = 0x0b10ca04
//! 0x3fc  54f4 5c94      ob_checksum: of the file's inode, the block's own number and the inodes' numbers
//! ```
//!
//! While there may be a number in it, the super block has the flag `orphan_present`. What is done with each inode is
//! the same as for the list ([`orphan`](super)): one without links is deleted, another one is cut to its size.
//!
//! Kernel documentation, "Orphan file".

use std::collections::BTreeSet;

use metadata::FileKind;
use zerocopy::{FromBytes, IntoBytes};

use storage::{ReadAt, WriteAt};

use crate::checksum::crc32c;
use crate::error::{Error, Object, Result};
use crate::features::{compat, ro_compat};
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::layout::orphan_file::{EXT4_ORPHAN_BLOCK_MAGIC, RawOrphanTail};

/// The most blocks that the kernel takes for an orphan file.
const MAX_BLOCKS: u64 = 512;
const TAIL_BYTES: usize = size_of::<RawOrphanTail>();

/// A block of the orphan file.
pub(crate) struct OrphanBlock {
    /// Where it is in the file system.
    pub(crate) physical: u64,
    /// The numbers in it, without zeros.
    pub(crate) orphans: Vec<InodeNumber>,
}

impl<S: ReadAt> FileSystem<S> {
    /// Whether the orphan file has something in it.
    pub(crate) fn has_orphans_in_file(&self) -> bool {
        self.superblock.has_ro_compat(ro_compat::ORPHAN_PRESENT)
    }

    /// The orphan file; `None` where the file system keeps none.
    pub(crate) fn orphan_file(&self) -> Result<Option<Inode>> {
        if !self.superblock.has_compat(compat::ORPHAN_FILE) {
            return Ok(None);
        }
        let inode = self.inode(InodeNumber(self.superblock.raw.s_orphan_file_inum.get()))?;
        let blocks = inode.size_bytes() / self.block_size();
        if inode.kind()? != FileKind::Regular
            || !inode.has_blocks()
            || !inode.size_bytes().is_multiple_of(self.block_size())
            || blocks > MAX_BLOCKS
        {
            return Err(Error::corrupt(
                Object::Inode(inode.number()),
                format!("orphan file of {} bytes, expected whole blocks, at most {MAX_BLOCKS}", inode.size_bytes()),
            ));
        }
        Ok(Some(inode))
    }

    /// How many blocks the orphan file has.
    pub(crate) fn orphan_blocks(&self, file: &Inode) -> u64 {
        file.size_bytes() / self.block_size()
    }

    /// Block `logical` of the orphan file, validated.
    pub(crate) fn read_orphan_block(&self, file: &Inode, logical: u64) -> Result<OrphanBlock> {
        let Some(physical) = self.map_block(file, logical)?.physical else {
            return Err(Error::corrupt(
                Object::Inode(file.number()),
                format!("block {logical} of the orphan file is a hole"),
            ));
        };
        let bytes = self.read_block(physical)?;
        let corrupt = |problem: String| Err(Error::corrupt(Object::Block(physical), problem));
        let (numbers, tail) = bytes.split_at(bytes.len() - TAIL_BYTES);
        let Ok(tail) = RawOrphanTail::ref_from_bytes(tail) else { return corrupt("no tail".to_owned()) };
        if tail.ob_magic.get() != EXT4_ORPHAN_BLOCK_MAGIC {
            return corrupt(format!("orphan file: ob_magic={:#010x}, expected 0x0b10ca04", tail.ob_magic));
        }
        let computed = self.orphan_checksum(file, physical, numbers);
        if self.superblock.has_metadata_checksums() && tail.ob_checksum.get() != computed {
            return corrupt(format!("orphan file: ob_checksum={:#010x}, computed {computed:#010x}", tail.ob_checksum));
        }
        let numbers = numbers.chunks_exact(4).map(|bytes| u32::from_le_bytes([0, 1, 2, 3].map(|at| bytes[at])));
        Ok(OrphanBlock { physical, orphans: numbers.filter(|&number| number != 0).map(InodeNumber).collect() })
    }

    /// The checksum of a block with these numbers.
    fn orphan_checksum(&self, file: &Inode, physical: u64, numbers: &[u8]) -> u32 {
        crc32c(crc32c(file.checksum_seed(&self.superblock), &physical.to_le_bytes()), numbers)
    }
}

impl<S: WriteAt> FileSystem<S> {
    /// Finishes the inodes in the orphan file, and empties it.
    pub(crate) fn finish_orphan_file(&mut self) -> Result<()> {
        let Some(file) = self.orphan_file()? else {
            return Err(Error::corrupt(Object::Superblock, "orphan_present without orphan_file"));
        };
        let blocks = (0..self.orphan_blocks(&file))
            .map(|logical| self.read_orphan_block(&file, logical))
            .collect::<Result<Vec<_>>>()?;
        let mut finished = BTreeSet::new();
        for orphan in blocks.iter().flat_map(|block| &block.orphans) {
            if !finished.insert(*orphan) {
                return Err(Error::corrupt(Object::Inode(*orphan), "twice in the orphan file"));
            }
            self.finish_orphan(*orphan)?;
        }
        for block in blocks.iter().filter(|block| !block.orphans.is_empty()) {
            let numbers = vec![0; self.block_size() as usize - TAIL_BYTES];
            let checksum = match self.superblock.has_metadata_checksums() {
                true => self.orphan_checksum(&file, block.physical, &numbers),
                false => 0,
            };
            let tail = RawOrphanTail { ob_magic: EXT4_ORPHAN_BLOCK_MAGIC.into(), ob_checksum: checksum.into() };
            self.write_block(block.physical, &[&numbers, tail.as_bytes()].concat())?;
        }
        let flags = self.superblock.raw.s_feature_ro_compat.get() & !ro_compat::ORPHAN_PRESENT;
        self.superblock.raw.s_feature_ro_compat.set(flags);
        self.superblock_changed = true;
        Ok(())
    }
}
