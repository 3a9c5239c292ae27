//! Extent trees: from a file's blocks to the blocks of the file system.
//!
//! An extent is a run of blocks of a file that are neighbours in the file system, too. A tree of them has nodes; a node
//! is a header of 12 bytes and records of 12 bytes. The root is the 60 bytes of `i_block`: room for four records. In
//! the example the file `large` has 100,000 bytes, 98 blocks of 1,024, and one record says where all of them are:
//!
//! ```text
//! 0af3       eh_magic = 0xf30a            0000 0000  ee_block = 0: from block 0 of the file on
//! 0100       eh_entries = 1               6200       ee_len = 98 blocks
//! 0400       eh_max = 4                   0000       ee_start_hi = 0
//! 0000       eh_depth = 0: a leaf         9504 0000  ee_start_lo = 1173: blocks 1173 to 1270
//! 0000 0000  eh_generation, not used
//! ```
//!
//! So byte 50,000 of the file is in its block 48 (50,000 / 1,024), which is block 1,173 + 48 = 1,221, at byte 848. A
//! record has at most 32,768 blocks. From 32,769 on the length says that the blocks are taken but not written yet:
//! 32,768 + 98 would be 98 blocks that read as zeros.
//!
//! A fifth run does not fit the root. Then the records move to a block of their own, which has room for 84, the depth
//! becomes 1, and the root's record has the number of that block in place of a run. Where blocks have checksums, the
//! four bytes after the last record of a full node have the node's; the root is covered by the inode's.

use zerocopy::FromBytes;

use storage::ReadAt;

use crate::checksum::crc32c;
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::Inode;
use crate::layout::extent::{
    EXT_INIT_MAX_LEN, EXT4_EXT_MAGIC, RECORD_BYTES, RawExtent, RawExtentHeader, RawExtentIndex,
};

/// Levels that a tree can have below its root.
pub(crate) const MAX_DEPTH: u16 = 5;

/// A run of a file's blocks that lie next to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// First block in the file.
    pub(crate) logical: u32,
    /// First block in the file system.
    pub(crate) physical: u64,
    /// Number of blocks, at least 1.
    pub(crate) blocks: u32,
    /// Allocated, but reads as zeros.
    pub(crate) unwritten: bool,
}

/// A part of a file's block map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapped {
    /// A block of the map itself.
    MapBlock(u64),
    /// A run of content.
    Content(Extent),
}

/// A node, validated: the records that follow its header.
struct Node<'a> {
    depth: u16,
    records: &'a [u8],
}

/// Where a walk over a tree is, in blocks of the file.
struct Position {
    /// The lowest block that may still come.
    next: u64,
    /// The first block that is not asked for.
    stop: u64,
}

fn node<'a>(bytes: &'a [u8], owner: Object, depth: Option<u16>) -> Result<Node<'a>> {
    let corrupt = |problem: String| Err(Error::corrupt(owner, problem));
    let Ok((header, records)) = RawExtentHeader::ref_from_prefix(bytes) else {
        return corrupt(format!("extent node of {} bytes", bytes.len()));
    };
    if header.eh_magic.get() != EXT4_EXT_MAGIC {
        return corrupt(format!("eh_magic={:#06x}, expected 0xf30a", header.eh_magic.get()));
    }
    let (entries, max) = (usize::from(header.eh_entries.get()), usize::from(header.eh_max.get()));
    if entries > max || max > records.len() / RECORD_BYTES {
        return corrupt(format!(
            "eh_entries={entries} eh_max={max}, expected at most {}",
            records.len() / RECORD_BYTES
        ));
    }
    let found = header.eh_depth.get();
    if depth.is_some_and(|depth| depth != found) || found > MAX_DEPTH {
        return corrupt(format!("eh_depth={found}, expected {}", depth.unwrap_or(MAX_DEPTH)));
    }
    if depth.is_some() && entries == 0 {
        return corrupt("extent node without entries below the root".to_owned());
    }
    Ok(Node { depth: found, records: &records[..entries * RECORD_BYTES] })
}

impl Node<'_> {
    fn record(&self, at: usize) -> Option<&[u8]> {
        self.records.get(at * RECORD_BYTES..)?.get(..RECORD_BYTES)
    }

    /// First logical block of record `at`, which both kinds begin with.
    fn first_block(&self, at: usize) -> u32 {
        self.record(at).and_then(|bytes| bytes.first_chunk()).map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes))
    }

    /// The last record that begins at block `logical` or before, and where the next one begins.
    fn around(&self, logical: u32) -> (Option<usize>, u32) {
        let (mut low, mut high) = (0, self.records.len() / RECORD_BYTES);
        while low < high {
            let middle = low.midpoint(high);
            if self.first_block(middle) <= logical { low = middle + 1 } else { high = middle }
        }
        (low.checked_sub(1), self.first_block(low).max(logical))
    }
}

fn extent_of(node: &Node<'_>, at: usize) -> Option<Extent> {
    let raw = RawExtent::ref_from_bytes(node.record(at)?).ok()?;
    let length = raw.ee_len.get();
    let unwritten = length > EXT_INIT_MAX_LEN;
    Some(Extent {
        logical: raw.ee_block.get(),
        physical: u64::from(raw.ee_start_hi.get()) << 32 | u64::from(raw.ee_start_lo.get()),
        blocks: u32::from(if unwritten { length - EXT_INIT_MAX_LEN } else { length }),
        unwritten,
    })
}

fn index_of(node: &Node<'_>, at: usize) -> Option<(u32, u64)> {
    let raw = RawExtentIndex::ref_from_bytes(node.record(at)?).ok()?;
    Some((raw.ei_block.get(), u64::from(raw.ei_leaf_hi.get()) << 32 | u64::from(raw.ei_leaf_lo.get())))
}

fn extents_of(node: &Node<'_>) -> impl Iterator<Item = Extent> {
    (0..).map_while(|at| extent_of(node, at))
}

fn indexes_of(node: &Node<'_>) -> impl Iterator<Item = (u32, u64)> {
    (0..).map_while(|at| index_of(node, at))
}

impl<S: ReadAt> FileSystem<S> {
    /// The extent that holds the file's block `logical`, or the number of blocks from there on that
    /// are known to be a hole.
    pub(crate) fn find_extent(&self, inode: &Inode, logical: u32) -> Result<std::result::Result<Extent, u32>> {
        let owner = Object::Inode(inode.number());
        let mut block: Vec<u8>;
        let mut current = node(&inode.raw.i_block, owner, None)?;
        let mut end = u32::MAX;
        while current.depth > 0 {
            let (before, after) = current.around(logical);
            end = end.min(after);
            let Some(at) = before else { return Ok(Err(end - logical)) };
            let Some((_, child)) = index_of(&current, at) else { return Ok(Err(end - logical)) };
            let depth = current.depth - 1;
            block = self.read_extent_block(inode, child)?;
            current = node(&block, Object::Block(child), Some(depth))?;
        }
        let (before, after) = current.around(logical);
        if let Some(extent) = before.and_then(|at| extent_of(&current, at)) {
            self.validate_extent(&extent, owner)?;
            if logical - extent.logical < extent.blocks {
                return Ok(Ok(extent));
            }
        }
        end = end.min(after);
        Ok(Err(end - logical))
    }

    /// Calls `visit` with every part of the tree that begins before block `stop` of the file, in logical order, a node
    /// before what is below it.
    pub(crate) fn walk_extents(
        &self,
        inode: &Inode,
        stop: u64,
        visit: &mut dyn FnMut(Mapped) -> Result<()>,
    ) -> Result<()> {
        let root = node(&inode.raw.i_block, Object::Inode(inode.number()), None)?;
        let mut at = Position { next: 0, stop };
        self.walk_node(inode, Object::Inode(inode.number()), &root, &mut at, u64::from(u32::MAX) + 1, visit)
    }

    /// `end` is the block after the last that may come here. It and `at.next` only ever move up, so that a tree that
    /// points back into itself ends in an error.
    fn walk_node(
        &self,
        inode: &Inode,
        owner: Object,
        current: &Node<'_>,
        at: &mut Position,
        end: u64,
        visit: &mut dyn FnMut(Mapped) -> Result<()>,
    ) -> Result<()> {
        if current.depth == 0 {
            for extent in extents_of(current) {
                let (first, past) = (extent.range().start, extent.range().end);
                if first >= at.stop {
                    break;
                }
                self.validate_extent(&extent, owner)?;
                if first < at.next || past > end {
                    return Err(Error::corrupt(
                        owner,
                        format!(
                            "extent of blocks {first} to {} out of order, expected within {} to {}",
                            past - 1,
                            at.next,
                            end - 1
                        ),
                    ));
                }
                at.next = past;
                visit(Mapped::Content(extent))?;
            }
            return Ok(());
        }
        let children: Vec<(u32, u64)> = indexes_of(current).collect();
        for (index, &(first, child)) in children.iter().enumerate() {
            if u64::from(first) >= at.stop {
                break;
            }
            let below_end = children.get(index + 1).map_or(end, |(first, _)| u64::from(*first));
            if u64::from(first) < at.next || u64::from(first) >= below_end || below_end > end {
                return Err(Error::corrupt(owner, format!("extent index of block {first} out of order")));
            }
            at.next = u64::from(first);
            let bytes = self.read_extent_block(inode, child)?;
            visit(Mapped::MapBlock(child))?;
            let below = node(&bytes, Object::Block(child), Some(current.depth - 1))?;
            // Linux refuses such a node, too.
            if below.first_block(0) != first {
                let found = below.first_block(0);
                let problem = format!("its first entry is of block {found}, the index above says {first}");
                return Err(Error::corrupt(Object::Block(child), problem));
            }
            self.walk_node(inode, Object::Block(child), &below, at, below_end, visit)?;
        }
        Ok(())
    }

    fn validate_extent(&self, extent: &Extent, owner: Object) -> Result<()> {
        let last = extent.physical.checked_add(u64::from(extent.blocks)).map(|end| end.wrapping_sub(1));
        let inside = last.is_some_and(|last| self.superblock.is_data_block(last))
            && self.superblock.is_data_block(extent.physical);
        if extent.blocks == 0 || !inside {
            return Err(Error::corrupt(
                owner,
                format!(
                    "extent of {} blocks at {} is outside the {} blocks of the file system",
                    extent.blocks,
                    extent.physical,
                    self.superblock.blocks()
                ),
            ));
        }
        Ok(())
    }

    fn read_extent_block(&self, inode: &Inode, block: u64) -> Result<Vec<u8>> {
        if !self.superblock.is_data_block(block) {
            return Err(Error::corrupt(
                Object::Inode(inode.number()),
                format!("extent node at block {block}, the file system has {}", self.superblock.blocks()),
            ));
        }
        let bytes = self.read_block(block)?;
        if self.superblock.has_metadata_checksums() {
            // The tail follows the last record that there is room for.
            let max = usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
            let tail = RECORD_BYTES * (max + 1);
            let Some(stored) = bytes.get(tail..tail + 4) else {
                return Err(Error::corrupt(
                    Object::Block(block),
                    format!("eh_max={max} leaves no room for the checksum"),
                ));
            };
            let computed = crc32c(inode.checksum_seed(&self.superblock), &bytes[..tail]);
            if stored != computed.to_le_bytes() {
                return Err(Error::corrupt(
                    Object::Block(block),
                    format!("extent node checksum={stored:02x?}, computed {:02x?}", computed.to_le_bytes()),
                ));
            }
        }
        Ok(bytes)
    }
}
