//! Indexed directories: a tree of name hashes over blocks of entries.
//!
//! A directory of more than one block is slow to search, so that block 0 becomes an index: pairs of a hash and the
//! block whose names have that hash or a higher one. In the example `many` has 60 names in blocks 1 to 3. Its block 0
//! begins with `.` and `..`, whose distance reaches to the end of the block, and goes on inside that entry:
//!
//! ```text
//! 0x1c  01         hash_version = 1: half MD4      0x24  0100 0000  block 1, for hashes from 0 on
//! 0x1d  08         info_length = 8                 0x28  6654 5167  hash 0x67515466
//! 0x1e  00         indirect_levels = 0             0x2c  0200 0000  block 2
//! 0x20  7b00       limit = 123 entries             0x30  082b 6dd3  hash 0xd36d2b08
//! 0x22  0300       count = 3                       0x34  0300 0000  block 3
//! ```
//!
//! `name-15-with-some-length` has the hash 0x07e63e36, less than 0x67515466: it is in block 1 if it is anywhere. The
//! first pair has no hash, which would be 0; limit and count are in its place. A full block of names is split at the
//! hash in its middle, and the index gets a pair more. Where equal hashes come to lie on both sides of the border, the
//! lowest bit of the second block's hash is 1, and a search goes on there. A full index gets a level below the root
//! (`indirect_levels` = 1): blocks of pairs that begin with an unused entry of the block's whole length.

use zerocopy::FromBytes;

use storage::ReadAt;

use crate::directory::hash::{self, HashVersion};
use crate::error::{Error, Object, Result};
use crate::features::incompat;
use crate::filesystem::FileSystem;
use crate::inode::Inode;
use crate::layout::directory::{RawDxEntry, RawDxRootInfo};

/// Where the information record is in block 0: after the entries `.` and `..`.
pub(crate) const ROOT_INFO_OFFSET: usize = 24;
/// Where the root's index entries are.
pub(crate) const ROOT_ENTRIES_OFFSET: usize = ROOT_INFO_OFFSET + size_of::<RawDxRootInfo>();
/// Where an index block's entries are: after an unused entry over the whole block.
pub(crate) const NODE_ENTRIES_OFFSET: usize = 8;
/// Size in bytes of an index entry.
pub(crate) const DX_ENTRY_BYTES: usize = size_of::<RawDxEntry>();

/// An index block on the way from the root to a leaf.
#[derive(Clone, Debug)]
pub(crate) struct DxNode {
    /// Where it is in the file system.
    pub(crate) physical: u64,
    /// Its bytes.
    pub(crate) block: Vec<u8>,
    /// Where its index entries begin.
    pub(crate) entries_offset: usize,
    /// Which of them the way goes through.
    pub(crate) position: usize,
}

impl DxNode {
    /// How many index entries there are, the first of them without a hash.
    pub(crate) fn count(&self) -> usize {
        usize::from(self.u16_at(self.entries_offset + 2))
    }

    /// How many there could be.
    pub(crate) fn limit(&self) -> usize {
        usize::from(self.u16_at(self.entries_offset))
    }

    pub(crate) fn set_count(&mut self, count: usize) {
        self.block[self.entries_offset + 2..][..2].copy_from_slice(&(count as u16).to_le_bytes());
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.block[self.entries_offset..][..2].copy_from_slice(&(limit as u16).to_le_bytes());
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.block[at], self.block[at + 1]])
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes([0, 1, 2, 3].map(|i| self.block[at + i]))
    }

    /// The lowest hash below entry `index`; the first has none, which stands for 0.
    pub(crate) fn hash(&self, index: usize) -> u32 {
        if index == 0 { 0 } else { self.u32_at(self.entries_offset + index * DX_ENTRY_BYTES) }
    }

    /// The last entry whose hash is not above `hash`.
    fn last_up_to(&self, hash: u32) -> usize {
        let (mut low, mut high) = (1, self.count());
        while low < high {
            let middle = low.midpoint(high);
            if self.hash(middle) <= hash { low = middle + 1 } else { high = middle }
        }
        low - 1
    }

    /// The block below entry `index`.
    pub(crate) fn child(&self, index: usize) -> u32 {
        self.u32_at(self.entries_offset + index * DX_ENTRY_BYTES + 4) & 0x0FFF_FFFF
    }

    pub(crate) fn set_entry(&mut self, index: usize, hash: Option<u32>, child: u32) {
        let at = self.entries_offset + index * DX_ENTRY_BYTES;
        if let Some(hash) = hash {
            self.block[at..at + 4].copy_from_slice(&hash.to_le_bytes());
        }
        self.block[at + 4..at + 8].copy_from_slice(&child.to_le_bytes());
    }

    /// Inserts an entry after the one that the way goes through. There must be room.
    pub(crate) fn insert_after_position(&mut self, hash: u32, child: u32) {
        let count = self.count();
        let from = self.entries_offset + (self.position + 1) * DX_ENTRY_BYTES;
        let to = self.entries_offset + count * DX_ENTRY_BYTES;
        self.block.copy_within(from..to, from + DX_ENTRY_BYTES);
        self.set_entry(self.position + 1, Some(hash), child);
        self.set_count(count + 1);
    }
}

/// The way to the leaf that a hash belongs in.
pub(crate) struct DxPath {
    /// Index blocks from the root on.
    pub(crate) nodes: Vec<DxNode>,
    pub(crate) hash: u32,
    pub(crate) version: HashVersion,
}

impl DxPath {
    /// The leaf's block within the directory.
    pub(crate) fn leaf(&self) -> u32 {
        self.nodes.last().map_or(0, |node| node.child(node.position))
    }
}

impl<S: ReadAt> FileSystem<S> {
    /// The most levels of index blocks below the root that a directory may have.
    pub(crate) fn max_index_levels(&self) -> usize {
        if self.superblock.has_incompat(incompat::LARGEDIR) { 2 } else { 1 }
    }

    /// The way to the leaf for `name`.
    pub(crate) fn htree_path(&self, directory: &Inode, name: &[u8]) -> Result<DxPath> {
        let root = self.dx_block(directory, 0, ROOT_ENTRIES_OFFSET)?;
        let object = Object::DirectoryBlock { inode: directory.number(), logical: 0 };
        let Ok((info, _)) = RawDxRootInfo::read_from_prefix(&root.block[ROOT_INFO_OFFSET..]) else {
            return Err(Error::corrupt(object, "no index root"));
        };
        if info.reserved_zero.get() != 0 || info.info_length != 8 {
            return Err(Error::corrupt(
                object,
                format!("index root: reserved_zero={} info_length={}", info.reserved_zero, info.info_length),
            ));
        }
        let levels = usize::from(info.indirect_levels);
        if levels > self.max_index_levels() {
            return Err(Error::corrupt(
                object,
                format!("indirect_levels={levels}, expected at most {}", self.max_index_levels()),
            ));
        }
        let Some(version) = HashVersion::new(info.hash_version, &self.superblock) else {
            return Err(Error::unsupported(object, format!("directory hash {}", info.hash_version)));
        };
        let hash = hash::hash(name, version, &self.superblock);
        let mut nodes = vec![root];
        for level in 0..=levels {
            let Some(node) = nodes.last_mut() else { break };
            node.position = node.last_up_to(hash);
            if level < levels {
                let child = node.child(node.position);
                let below = self.dx_block(directory, child, NODE_ENTRIES_OFFSET)?;
                nodes.push(below);
            }
        }
        Ok(DxPath { nodes, hash, version })
    }

    /// The leaves that can hold `name`: one, and those after it that go on with the same hash.
    /// `None` where the index is of a kind that cannot be followed.
    pub(crate) fn htree_leaves(&self, directory: &Inode, name: &[u8]) -> Result<Option<Vec<u32>>> {
        let mut path = match self.htree_path(directory, name) {
            Ok(path) => path,
            Err(Error::Unsupported { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut leaves = vec![path.leaf()];
        while self.advance(directory, &mut path)? && leaves.len() < self.directory_blocks(directory) as usize {
            leaves.push(path.leaf());
        }
        Ok(Some(leaves))
    }

    /// Moves the path to the next leaf if that goes on with the path's own hash: its hash has the
    /// lowest bit set then.
    fn advance(&self, directory: &Inode, path: &mut DxPath) -> Result<bool> {
        let Some(level) = path.nodes.iter().rposition(|node| node.position + 1 < node.count()) else {
            return Ok(false);
        };
        let node = &mut path.nodes[level];
        let next = node.hash(node.position + 1);
        if next & 1 == 0 || next & !1 != path.hash & !1 {
            return Ok(false);
        }
        node.position += 1;
        for below in level + 1..path.nodes.len() {
            let parent = &path.nodes[below - 1];
            path.nodes[below] = self.dx_block(directory, parent.child(parent.position), NODE_ENTRIES_OFFSET)?;
        }
        Ok(true)
    }

    /// Reads an index block and validates its counts.
    pub(crate) fn dx_block(&self, directory: &Inode, logical: u32, entries_offset: usize) -> Result<DxNode> {
        let object = Object::DirectoryBlock { inode: directory.number(), logical };
        if logical >= self.directory_blocks(directory) {
            return Err(Error::corrupt(
                object,
                format!("index points past the directory's {} blocks", self.directory_blocks(directory)),
            ));
        }
        let Some((physical, block)) = self.read_directory_block(directory, logical)? else {
            return Err(Error::corrupt(object, "index block in a hole"));
        };
        let node = DxNode { physical, block, entries_offset, position: 0 };
        let expected = self.dx_limit(entries_offset);
        if node.limit() != expected || node.count() == 0 || node.count() > node.limit() {
            return Err(Error::corrupt(
                object,
                format!("index limit={} count={}, expected limit {expected}", node.limit(), node.count()),
            ));
        }
        if self.superblock.has_metadata_checksums() && !self.last_directory.is_sound(directory.number(), physical) {
            let (stored, computed) = self.dx_checksums(directory, &node);
            if stored != computed {
                return Err(Error::corrupt(object, format!("dt_checksum={stored:#010x}, computed {computed:#010x}")));
            }
            self.last_directory.note_sound(directory.number(), physical);
        }
        Ok(node)
    }

    /// How many entries an index block has room for.
    pub(crate) fn dx_limit(&self, entries_offset: usize) -> usize {
        let tail = if self.superblock.has_metadata_checksums() { 8 } else { 0 };
        (self.block_size() as usize - entries_offset - tail) / DX_ENTRY_BYTES
    }

    /// The checksum that an index block has and the one that it should have.
    pub(crate) fn dx_checksums(&self, directory: &Inode, node: &DxNode) -> (u32, u32) {
        let tail = node.entries_offset + node.limit() * DX_ENTRY_BYTES;
        let used = node.entries_offset + node.count() * DX_ENTRY_BYTES;
        let crc = crate::checksum::crc32c(directory.checksum_seed(&self.superblock), &node.block[..used]);
        // The tail's own first half, then zeros in place of the checksum.
        let crc = crate::checksum::crc32c(crc, &node.block[tail..tail + 4]);
        let computed = crate::checksum::crc32c(crc, &[0; 4]);
        (u32::from_le_bytes([4, 5, 6, 7].map(|i| node.block[tail + i])), computed)
    }
}
