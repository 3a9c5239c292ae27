//! Indirect block maps, as in ext2 and ext3: block numbers in the inode, then blocks full of them.
//!
//! The 60 bytes of `i_block` are 15 numbers of 32 bits. The first 12 are the file's blocks 0 to 11. Number 12 is a
//! block that has nothing but numbers, 256 of them in 1,024 bytes: the file's blocks 12 to 267. Number 13 is a block of
//! 256 numbers of such blocks, number 14 has one more level. A number of 0 is a hole, which reads as zeros.
//!
//! The file `large` of the example, on a file system that `mke2fs -t ext2 -b 1024` made, has 98 blocks
//! (`debugfs -R "stat large"` says `(0-11):563-574, (IND):575, (12-97):576-661`):
//!
//! ```text
//! i_block, slot 0   3302 0000  563: block 0 of the file
//!         ...
//! i_block, slot 11  3e02 0000  574: block 11
//! i_block, slot 12  3f02 0000  575: the indirect block, which begins
//!                                   4002 0000  576: block 12
//!                                   4102 0000  577: block 13, and so on
//! ```
//!
//! Block 48 is number 48 - 12 = 36 of the indirect block: block 612. `i_blocks` counts the indirect block, too: 99
//! blocks are 198 units of 512 bytes. With 1,024 bytes a block, 12 + 256 + 256^2 + 256^3 blocks can be reached.

use storage::{ReadAt, WriteAt};

use crate::block_map::extent::{Extent, Mapped};
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::Inode;

/// Blocks that the inode itself points to.
const DIRECT_BLOCKS: u64 = 12;
/// Trees after the direct blocks: of one, two and three levels.
const TREES: u32 = 3;
/// Size in bytes of a pointer.
const POINTER_BYTES: usize = 4;

/// Where a walk over a map is.
struct Position {
    /// The next block of the file.
    logical: u64,
    /// The first block of the file that is not asked for.
    stop: u64,
    /// How many blocks may still come: a map that points back into itself cannot have more than the file system.
    left: u64,
}

impl<S: ReadAt> FileSystem<S> {
    fn pointers_per_block(&self) -> u64 {
        self.block_size() / POINTER_BYTES as u64
    }

    /// The most blocks that can be reached.
    pub(crate) fn max_indirect_blocks(&self) -> u64 {
        let pointers = self.pointers_per_block();
        let reached = (1..=TREES).map(|levels| pointers.pow(levels)).sum::<u64>() + DIRECT_BLOCKS;
        reached.min(u64::from(u32::MAX))
    }

    /// Blocks of pointers that a file of so many blocks without holes has.
    pub(crate) fn pointer_blocks(&self, blocks: u64) -> u64 {
        let pointers = self.pointers_per_block();
        let mut count = 0;
        let mut rest = blocks.saturating_sub(DIRECT_BLOCKS);
        for levels in 1..=TREES {
            let reached = rest.min(pointers.pow(levels));
            count += (1..=levels).map(|level| reached.div_ceil(pointers.pow(level))).sum::<u64>();
            rest -= reached;
        }
        count
    }

    /// Where block `logical` of the file is; `None` for a hole.
    pub(crate) fn map_indirect(&self, inode: &Inode, logical: u64) -> Result<Option<u64>> {
        let pointers = self.pointers_per_block();
        let mut index = logical;
        let mut slot = index;
        let mut levels = 0;
        if index >= DIRECT_BLOCKS {
            index -= DIRECT_BLOCKS;
            levels = 1;
            let mut span = pointers;
            while index >= span {
                index -= span;
                span = span.saturating_mul(pointers);
                levels += 1;
                if levels > TREES {
                    return Err(Error::corrupt(
                        Object::Inode(inode.number()),
                        format!("block {logical} is past what indirect blocks can reach"),
                    ));
                }
            }
            slot = DIRECT_BLOCKS + u64::from(levels) - 1;
        }
        let mut block = pointer(&inode.raw.i_block, slot as usize);
        for level in (0..levels).rev() {
            if block == 0 {
                return Ok(None);
            }
            self.validate_pointer(inode, block)?;
            let within = index / pointers.pow(level) % pointers;
            block = pointer(&self.read_block(block)?, within as usize);
        }
        if block == 0 {
            return Ok(None);
        }
        self.validate_pointer(inode, block)?;
        Ok(Some(block))
    }

    fn validate_pointer(&self, inode: &Inode, block: u64) -> Result<()> {
        if self.superblock.is_data_block(block) {
            return Ok(());
        }
        Err(Error::corrupt(
            Object::Inode(inode.number()),
            format!("block {block} is outside the {} blocks of the file system", self.superblock.blocks()),
        ))
    }

    /// Calls `visit` with every part of the map before block `stop` of the file, in logical order, a pointer block
    /// before what is below it.
    pub(crate) fn walk_indirect(
        &self,
        inode: &Inode,
        stop: u64,
        visit: &mut dyn FnMut(Mapped) -> Result<()>,
    ) -> Result<()> {
        let mut at = Position { logical: 0, stop, left: self.superblock.blocks() };
        for slot in 0..DIRECT_BLOCKS as usize + TREES as usize {
            let level = slot.saturating_sub(DIRECT_BLOCKS as usize - 1) as u32;
            self.walk_pointer(inode, pointer(&inode.raw.i_block, slot), level, &mut at, visit)?;
        }
        Ok(())
    }

    fn walk_pointer(
        &self,
        inode: &Inode,
        block: u64,
        level: u32,
        at: &mut Position,
        visit: &mut dyn FnMut(Mapped) -> Result<()>,
    ) -> Result<()> {
        let pointers = self.pointers_per_block();
        if at.logical >= at.stop {
            return Ok(());
        }
        if block == 0 {
            at.logical = at.logical.saturating_add(pointers.pow(level));
            return Ok(());
        }
        self.validate_pointer(inode, block)?;
        let Some(left) = at.left.checked_sub(1) else {
            return Err(Error::corrupt(Object::Inode(inode.number()), "more blocks than the file system has"));
        };
        at.left = left;
        if level == 0 {
            let logical = at.logical;
            let first = u32::try_from(logical).map_err(|_| {
                Error::corrupt(Object::Inode(inode.number()), format!("content in block {logical}, past 2^32"))
            })?;
            at.logical += 1;
            return visit(Mapped::Content(Extent { logical: first, physical: block, blocks: 1, unwritten: false }));
        }
        visit(Mapped::MapBlock(block))?;
        let bytes = self.read_block(block)?;
        for index in 0..pointers as usize {
            if at.logical >= at.stop {
                break;
            }
            self.walk_pointer(inode, pointer(&bytes, index), level - 1, at, visit)?;
        }
        Ok(())
    }

    /// Pointer blocks that a map of `extents` has.
    pub(crate) fn indirect_blocks(&self, extents: &[Extent]) -> u64 {
        let mut count = 0;
        // Counting cannot fail.
        let _ = self.build_trees(extents, &mut |_| {
            count += 1;
            Ok(1)
        });
        count
    }

    /// Builds the trees from the bottom up: `place` gets each pointer block and says where it is.
    fn build_trees(
        &self,
        extents: &[Extent],
        place: &mut dyn FnMut(&[u8]) -> Result<u64>,
    ) -> Result<[u64; TREES as usize]> {
        let mut roots = [0; TREES as usize];
        let mut first = DIRECT_BLOCKS;
        for (root, level) in roots.iter_mut().zip(1..) {
            *root = self.build_pointer(extents, level, first, place)?;
            first += self.pointers_per_block().pow(level);
        }
        Ok(roots)
    }

    /// The pointer to the part of the file that begins at block `first`; 0 for a hole.
    fn build_pointer(
        &self,
        extents: &[Extent],
        level: u32,
        first: u64,
        place: &mut dyn FnMut(&[u8]) -> Result<u64>,
    ) -> Result<u64> {
        let end = first + self.pointers_per_block().pow(level);
        let from = extents.partition_point(|extent| extent.range().end <= first);
        let to = extents.partition_point(|extent| extent.range().start < end);
        let extents = &extents[from..to.max(from)];
        let Some(extent) = extents.first() else { return Ok(0) };
        if level == 0 {
            return Ok(extent.physical + (first - u64::from(extent.logical)));
        }
        let span = self.pointers_per_block().pow(level - 1);
        let mut block = vec![0; self.block_size() as usize];
        for (index, slot) in block.chunks_exact_mut(POINTER_BYTES).enumerate() {
            let below = self.build_pointer(extents, level - 1, first + index as u64 * span, place)?;
            slot.copy_from_slice(&(below as u32).to_le_bytes());
        }
        place(&block)
    }
}

impl<S: WriteAt> FileSystem<S> {
    /// Writes `extents`, which are in order, as the inode's map, its pointer blocks into `blocks`:
    /// as many as [`indirect_blocks`](Self::indirect_blocks) says.
    pub(crate) fn store_indirect(&mut self, inode: &mut Inode, extents: &[Extent], blocks: Vec<u64>) -> Result<()> {
        let mut free = blocks.into_iter();
        let number = inode.number();
        let roots = self.build_trees(extents, &mut |bytes| {
            let block =
                free.next().ok_or_else(|| Error::corrupt(Object::Inode(number), "more pointers than computed"))?;
            self.write_block(block, bytes)?;
            Ok(block)
        })?;
        let mut pointers = Vec::with_capacity(DIRECT_BLOCKS as usize + roots.len());
        for logical in 0..DIRECT_BLOCKS {
            pointers.push(self.build_pointer(extents, 0, logical, &mut |_| Ok(0))?);
        }
        pointers.extend(roots);
        for (slot, pointer) in inode.raw.i_block.chunks_exact_mut(POINTER_BYTES).zip(pointers) {
            slot.copy_from_slice(&(pointer as u32).to_le_bytes());
        }
        Ok(())
    }
}

/// Pointer `index` of a block of them, or of the inode's.
fn pointer(bytes: &[u8], index: usize) -> u64 {
    let four = bytes.get(index * POINTER_BYTES..).and_then(|rest| rest.first_chunk::<POINTER_BYTES>());
    four.map_or(0, |four| u64::from(u32::from_le_bytes(*four)))
}
