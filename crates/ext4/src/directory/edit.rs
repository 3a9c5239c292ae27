//! Names added to and removed from directories, linear and indexed.

use metadata::FileKind;
use zerocopy::IntoBytes;

use storage::WriteAt;

use crate::block_map::extent::Extent;
use crate::checksum::crc32c;
use crate::directory::hash::{self, HashVersion};
use crate::directory::htree::{
    DX_ENTRY_BYTES, DxNode, DxPath, NODE_ENTRIES_OFFSET, ROOT_ENTRIES_OFFSET, ROOT_INFO_OFFSET,
};
use crate::directory::{
    ENTRY_HEADER_BYTES, FoundEntry, Slot, TAIL_BYTES, encode_record_bytes, entry_bytes, slots, tail,
};
use crate::error::{Error, Object, Result};
use crate::features::{compat, incompat};
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::layout::directory::{EXT4_FT_DIR_CSUM, RawDxRootInfo, RawEntryHeader, RawTail};
use crate::layout::inode::EXT4_INDEX_FL;

/// A name to be written.
#[derive(Clone, Debug)]
pub(crate) struct NewEntry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) inode: InodeNumber,
    pub(crate) kind: FileKind,
}

/// Where an indexed directory's first block has the inode number of the one above it.
const PARENT_OFFSET: usize = 12;

/// Fails for an invalid name.
pub(crate) fn check_name(name: &[u8]) -> Result<()> {
    let is_name =
        (1..=255).contains(&name.len()) && name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0);
    if is_name { Ok(()) } else { Err(Error::BadName) }
}

/// A block of entries being filled from its start.
pub(crate) struct BlockBuilder {
    block: Vec<u8>,
    /// Where the entries must end: before the checksum tail, if there is one.
    end: usize,
    at: usize,
    last: usize,
}

impl BlockBuilder {
    pub(crate) fn new(block_bytes: usize, has_tail: bool) -> Self {
        let end = block_bytes - if has_tail { TAIL_BYTES } else { 0 };
        Self { block: vec![0; block_bytes], end, at: 0, last: 0 }
    }

    /// Appends an entry. There must be room.
    pub(crate) fn push(&mut self, inode: u32, file_type: u8, name: &[u8]) {
        let record_bytes = entry_bytes(name.len());
        write_entry(&mut self.block, self.at, record_bytes, inode, file_type, name);
        self.last = self.at;
        self.at += record_bytes;
    }

    /// How many bytes of entries there is still room for.
    pub(crate) fn room(&self) -> usize {
        self.end - self.at
    }

    /// The block, its last entry stretched to the end, with an unsealed tail if it has one.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.at == 0 {
            write_entry(&mut self.block, 0, self.end, 0, 0, b"");
        } else {
            let record_bytes = self.end - self.last;
            set_record_bytes(&mut self.block, self.last, record_bytes);
        }
        if self.end < self.block.len() {
            let tail = RawTail {
                det_reserved_zero1: 0.into(),
                det_rec_len: (TAIL_BYTES as u16).into(),
                det_reserved_zero2: 0,
                det_reserved_ft: EXT4_FT_DIR_CSUM,
                det_checksum: 0.into(),
            };
            self.block[self.end..].copy_from_slice(tail.as_bytes());
        }
        self.block
    }
}

fn write_entry(block: &mut [u8], at: usize, record_bytes: usize, inode: u32, file_type: u8, name: &[u8]) {
    let header = RawEntryHeader {
        inode: inode.into(),
        rec_len: encode_record_bytes(record_bytes, block.len()).into(),
        name_len: name.len() as u8,
        file_type,
    };
    block[at..at + ENTRY_HEADER_BYTES].copy_from_slice(header.as_bytes());
    block[at + ENTRY_HEADER_BYTES..][..name.len()].copy_from_slice(name);
}

fn set_record_bytes(block: &mut [u8], at: usize, record_bytes: usize) {
    let encoded = encode_record_bytes(record_bytes, block.len());
    block[at + 4..at + 6].copy_from_slice(&encoded.to_le_bytes());
}

/// With this many free blocks there is no need to compute the room for a name: a directory that grows takes fewer.
const ROOMY_BLOCKS: u64 = 64;

impl<S: WriteAt> FileSystem<S> {
    /// The directory for a new name, with everything checked except whether there is room.
    pub(crate) fn directory_for_new(&mut self, parent: InodeNumber, name: &[u8]) -> Result<Inode> {
        self.prepare_to_write()?;
        check_name(name)?;
        let mut directory = self.directory(parent)?;
        self.check_mutable(&directory)?;
        if let Some(inode) = self.find_name(&directory, name)? {
            return Err(Error::Exists { inode });
        }
        self.give_blocks(&mut directory)?;
        Ok(directory)
    }

    /// Fails where there are fewer free blocks than `blocks` and those that a new name in a directory may take.
    pub(crate) fn check_room(&self, directory: &Inode, name: &[u8], blocks: u64) -> Result<()> {
        if self.superblock.free_blocks() >= blocks.saturating_add(ROOMY_BLOCKS) {
            return Ok(());
        }
        self.check_free_blocks(blocks + self.entry_growth(directory, name)?)
    }

    /// The most blocks that adding `name` to a directory can take; none where there is room.
    fn entry_growth(&self, directory: &Inode, name: &[u8]) -> Result<u64> {
        let growth = if directory.has_flag(EXT4_INDEX_FL) && self.superblock.has_compat(compat::DIR_INDEX) {
            let path = self.htree_path(directory, name)?;
            if self.has_room(directory, path.leaf(), name)? {
                return Ok(0);
            }
            // The leaf is split, and so is each full block above it; the root gets a level below it.
            1 + path.nodes.iter().rev().take_while(|node| node.count() >= node.limit()).count() as u64
        } else {
            let blocks = self.directory_blocks(directory);
            for logical in 0..blocks {
                if self.has_room(directory, logical, name)? {
                    return Ok(0);
                }
            }
            // An index is made of a first full block, and the leaf that this becomes may be split.
            1 + u64::from(blocks == 1 && self.superblock.has_compat(compat::DIR_INDEX))
        };
        let map = self.read_map(directory)?;
        let mut extents = map.extents;
        for _ in 0..growth {
            // Each far from all others, so that it needs a record of its own.
            let logical = extents.last().map_or(0, |extent| extent.range().end as u32);
            extents.push(Extent { logical, physical: 0, blocks: 1, unwritten: false });
        }
        let needed = self.map_blocks_needed(directory, &extents);
        Ok(growth + needed.saturating_sub(map.map_blocks.len() as u64))
    }

    /// Whether a block of entries has room for one more with `name`.
    fn has_room(&self, directory: &Inode, logical: u32, name: &[u8]) -> Result<bool> {
        let object = Object::DirectoryBlock { inode: directory.number(), logical };
        let Some((_, block)) = self.read_directory_block(directory, logical)? else { return Ok(false) };
        Ok(self.room_for(&block, name, object)?.is_some())
    }

    /// `file_type` as this file system's entries have it.
    pub(crate) fn entry_type(&self, kind: FileKind) -> u8 {
        if self.superblock.has_incompat(incompat::FILETYPE) { kind.entry_type() } else { 0 }
    }

    /// Writes a block of entries with a new checksum.
    pub(crate) fn write_leaf(&self, directory: &Inode, physical: u64, block: &mut [u8]) -> Result<()> {
        if self.superblock.has_metadata_checksums() {
            if tail(block).is_none() {
                return Err(Error::corrupt(Object::Block(physical), "directory block without a checksum"));
            }
            let body = block.len() - TAIL_BYTES;
            let checksum = crc32c(directory.checksum_seed(&self.superblock), &block[..body]);
            let end = block.len();
            block[end - 4..].copy_from_slice(&checksum.to_le_bytes());
            self.last_directory.note_sound(directory.number(), physical);
        }
        self.write_block(physical, block)
    }

    /// Writes an index block with a new checksum.
    fn write_index(&self, directory: &Inode, node: &mut DxNode) -> Result<()> {
        if self.superblock.has_metadata_checksums() {
            let tail = node.entries_offset + node.limit() * DX_ENTRY_BYTES;
            let (_, computed) = self.dx_checksums(directory, node);
            node.block[tail + 4..tail + 8].copy_from_slice(&computed.to_le_bytes());
            self.last_directory.note_sound(directory.number(), node.physical);
        }
        self.write_block(node.physical, &node.block)
    }

    /// Adds a name that is not there yet. The directory's inode is written where it changes.
    pub(crate) fn add_entry(&mut self, directory: &mut Inode, entry: &NewEntry<'_>) -> Result<()> {
        if directory.has_flag(EXT4_INDEX_FL) && self.superblock.has_compat(compat::DIR_INDEX) {
            return self.add_to_index(directory, entry);
        }
        let blocks = self.directory_blocks(directory);
        for logical in 0..blocks {
            let Some((physical, mut block)) = self.read_directory_block(directory, logical)? else { continue };
            let object = Object::DirectoryBlock { inode: directory.number(), logical };
            if self.insert(&mut block, entry, object)? {
                return self.write_leaf(directory, physical, &mut block);
            }
        }
        if blocks == 1 && self.superblock.has_compat(compat::DIR_INDEX) && self.default_hash().is_some() {
            self.make_indexed(directory)?;
            return self.add_to_index(directory, entry);
        }
        // A reader that does not follow the index finds the name in the new block. One that does would not: an index
        // that cannot be followed here is removed.
        let mut builder = self.block_builder();
        builder.push(entry.inode.0, self.entry_type(entry.kind), entry.name);
        self.append_leaf(directory, builder.finish())?;
        Ok(())
    }

    pub(crate) fn block_builder(&self) -> BlockBuilder {
        BlockBuilder::new(self.block_size() as usize, self.superblock.has_metadata_checksums())
    }

    /// The hash that new indexes use.
    fn default_hash(&self) -> Option<HashVersion> {
        HashVersion::new(self.superblock.raw.s_def_hash_version, &self.superblock)
    }

    /// Puts the entry into the room after another one; false where there is not enough.
    fn insert(&self, block: &mut [u8], entry: &NewEntry<'_>, object: Object) -> Result<bool> {
        let Some(slot) = self.room_for(block, entry.name, object)? else { return Ok(false) };
        let taken = slot.taken_bytes();
        if taken > 0 {
            set_record_bytes(block, slot.offset, taken);
        }
        let file_type = self.entry_type(entry.kind);
        write_entry(block, slot.offset + taken, slot.record_bytes - taken, entry.inode.0, file_type, entry.name);
        Ok(true)
    }

    /// The entry that has enough room after its own name for another entry with `name`.
    fn room_for(&self, block: &[u8], name: &[u8], object: Object) -> Result<Option<Slot>> {
        let needed = entry_bytes(name.len());
        let entries_end = block.len() - if self.superblock.has_metadata_checksums() { TAIL_BYTES } else { 0 };
        for slot in slots(block, object) {
            let slot = slot?;
            if slot.offset < entries_end && slot.record_bytes >= slot.taken_bytes() + needed {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    /// Changes a directory's parent.
    pub(crate) fn set_parent(&mut self, directory: &Inode, parent: InodeNumber) -> Result<()> {
        if directory.is_inline() {
            return self.set_inline_parent(directory, parent);
        }
        if directory.has_flag(EXT4_INDEX_FL) {
            let mut root = self.dx_block(directory, 0, ROOT_ENTRIES_OFFSET)?;
            root.block[PARENT_OFFSET..PARENT_OFFSET + 4].copy_from_slice(&parent.0.to_le_bytes());
            return self.write_index(directory, &mut root);
        }
        let found = self.find_entry(directory, b"..")?.ok_or(Error::NotFound)?;
        self.point_entry(directory, found, &NewEntry { name: b"..", inode: parent, kind: FileKind::Directory })
    }

    /// Appends a block of entries to the directory and writes its inode.
    fn append_leaf(&mut self, directory: &mut Inode, mut block: Vec<u8>) -> Result<u32> {
        let (logical, physical) = self.append_block(directory)?;
        self.write_leaf(directory, physical, &mut block)?;
        Ok(logical)
    }

    /// Gives the directory one more block and writes its inode.
    pub(crate) fn append_block(&mut self, directory: &mut Inode) -> Result<(u32, u64)> {
        let mut map = self.read_map(directory)?;
        let logical = self.directory_blocks(directory);
        let next = u64::from(logical)..u64::from(logical) + 1;
        self.fill_holes(directory, &mut map, std::slice::from_ref(&next), false)?;
        let Some(extent) = map.find(next.start) else {
            return Err(Error::corrupt(Object::Inode(directory.number()), "no room for one more block in its map"));
        };
        let physical = extent.physical + (next.start - u64::from(extent.logical));
        self.store_map(directory, map)?;
        directory.set_size((u64::from(logical) + 1) * self.block_size());
        self.write_inode(directory)?;
        Ok((logical, physical))
    }

    /// Turns a directory of one full block into an indexed one with one leaf.
    fn make_indexed(&mut self, directory: &mut Inode) -> Result<()> {
        let object = Object::DirectoryBlock { inode: directory.number(), logical: 0 };
        let Some((physical, block)) = self.read_directory_block(directory, 0)? else {
            return Err(Error::corrupt(object, "the first block is in a hole"));
        };
        let mut leaf = self.block_builder();
        let mut dots = [0; 2];
        for (index, slot) in slots(&block, object).enumerate() {
            let slot = slot?;
            match (index, slot.name(&block)) {
                (0, b".") | (1, b"..") => dots[index] = slot.inode,
                (0 | 1, _) => return Err(Error::corrupt(object, "does not begin with `.` and `..`")),
                (_, name) if slot.inode != 0 => leaf.push(slot.inode, slot.file_type, name),
                _ => {}
            }
        }
        let leaf = self.append_leaf(directory, leaf.finish())?;

        let block_bytes = block.len();
        let mut root = vec![0; block_bytes];
        let file_type = self.entry_type(FileKind::Directory);
        write_entry(&mut root, 0, 12, dots[0], file_type, b".");
        write_entry(&mut root, 12, block_bytes - 12, dots[1], file_type, b"..");
        let info = RawDxRootInfo {
            reserved_zero: 0.into(),
            hash_version: self.superblock.raw.s_def_hash_version,
            info_length: 8,
            indirect_levels: 0,
            unused_flags: 0,
        };
        root[ROOT_INFO_OFFSET..ROOT_ENTRIES_OFFSET].copy_from_slice(info.as_bytes());
        let mut node = DxNode { physical, block: root, entries_offset: ROOT_ENTRIES_OFFSET, position: 0 };
        node.set_limit(self.dx_limit(ROOT_ENTRIES_OFFSET));
        node.set_count(1);
        node.set_entry(0, None, leaf);
        self.write_index(directory, &mut node)?;
        directory.set_flag(EXT4_INDEX_FL);
        self.write_inode(directory)
    }

    /// Adds a name to an indexed directory, splitting what is full.
    fn add_to_index(&mut self, directory: &mut Inode, entry: &NewEntry<'_>) -> Result<()> {
        // Each turn but the last makes room at one level of the index.
        for _ in 0..=2 * self.max_index_levels() + 2 {
            let mut path = self.htree_path(directory, entry.name)?;
            let leaf = path.leaf();
            let object = Object::DirectoryBlock { inode: directory.number(), logical: leaf };
            let Some((physical, mut block)) = self.read_directory_block(directory, leaf)? else {
                return Err(Error::corrupt(object, "index points into a hole"));
            };
            if self.insert(&mut block, entry, object)? {
                return self.write_leaf(directory, physical, &mut block);
            }
            let bottom = path.nodes.len() - 1;
            match path.nodes.iter().rposition(|node| node.count() < node.limit()) {
                Some(level) if level == bottom => {
                    return self.split_leaf(directory, &mut path, physical, &block, entry);
                }
                Some(level) => self.split_index(directory, &mut path, level)?,
                None => self.add_index_level(directory, path)?,
            }
        }
        Err(Error::corrupt(Object::Inode(directory.number()), "the index cannot be split to make room"))
    }

    /// Moves the upper half of a full leaf, by hash, into a new one, and adds the entry to the half
    /// that it belongs in.
    fn split_leaf(
        &mut self,
        directory: &mut Inode,
        path: &mut DxPath,
        physical: u64,
        block: &[u8],
        entry: &NewEntry<'_>,
    ) -> Result<()> {
        let object = Object::DirectoryBlock { inode: directory.number(), logical: path.leaf() };
        let mut entries: Vec<(u32, Slot)> = Vec::new();
        for slot in slots(block, object) {
            let slot = slot?;
            if slot.inode != 0 {
                entries.push((hash::hash(slot.name(block), path.version, &self.superblock), slot));
            }
        }
        entries.sort_by_key(|(hash, slot)| (*hash, slot.offset));
        let half = self.block_size() as usize / 2;
        let mut moved_bytes = 0;
        let mut split = entries.len();
        while split > 1 && moved_bytes + entries[split - 1].1.taken_bytes() / 2 <= half {
            split -= 1;
            moved_bytes += entries[split].1.taken_bytes();
        }
        if split == 0 || split >= entries.len() {
            return Err(Error::corrupt(object, format!("full with {} entries", entries.len())));
        }
        let split_hash = entries[split].0;
        // The lowest bit says that the same hash is on both sides of the border.
        let continued = u32::from(entries[split - 1].0 == split_hash);
        let mut halves = [&entries[..split], &entries[split..]].map(|half| {
            let mut builder = self.block_builder();
            half.iter().for_each(|(_, slot)| builder.push(slot.inode, slot.file_type, slot.name(block)));
            builder.finish()
        });
        let target = usize::from(path.hash >= split_hash);
        if !self.insert(&mut halves[target], entry, object)? {
            return Err(Error::corrupt(object, "half of a full block has no room for one entry"));
        }
        let [mut lower, upper] = halves;
        self.write_leaf(directory, physical, &mut lower)?;
        let leaf = self.append_leaf(directory, upper)?;
        if let Some(node) = path.nodes.last_mut() {
            node.insert_after_position(split_hash | continued, leaf);
            self.write_index(directory, node)?;
        }
        Ok(())
    }

    /// Splits the full index block below `level`, which has room.
    fn split_index(&mut self, directory: &mut Inode, path: &mut DxPath, level: usize) -> Result<()> {
        let (logical, physical) = self.append_block(directory)?;
        let full = &mut path.nodes[level + 1];
        let kept = full.count() / 2;
        let border = full.hash(kept);
        let mut node = self.empty_index(physical);
        node.set_count(full.count() - kept);
        for index in kept..full.count() {
            let hash = (index > kept).then(|| full.hash(index));
            node.set_entry(index - kept, hash, full.child(index));
        }
        full.set_count(kept);
        self.write_index(directory, &mut node)?;
        self.write_index(directory, full)?;
        let parent = &mut path.nodes[level];
        parent.insert_after_position(border, logical);
        self.write_index(directory, parent)
    }

    /// Moves the root's entries into an index block of their own, where every level is full.
    fn add_index_level(&mut self, directory: &mut Inode, path: DxPath) -> Result<()> {
        let levels = path.nodes.len() - 1;
        if levels >= self.max_index_levels() {
            return Err(Error::TooLarge {
                what: format!(
                    "directory inode {}: its index is full; the large_dir feature would let it grow",
                    directory.number()
                ),
            });
        }
        let (logical, physical) = self.append_block(directory)?;
        let Some(mut root) = path.nodes.into_iter().next() else { return Ok(()) };
        let mut node = self.empty_index(physical);
        node.set_count(root.count());
        for index in 0..root.count() {
            node.set_entry(index, (index > 0).then(|| root.hash(index)), root.child(index));
        }
        self.write_index(directory, &mut node)?;
        root.set_count(1);
        root.set_entry(0, None, logical);
        root.block[ROOT_INFO_OFFSET + 6] = levels as u8 + 1;
        self.write_index(directory, &mut root)
    }

    /// An index block without entries: to a reader that does not know the index, one unused entry.
    fn empty_index(&self, physical: u64) -> DxNode {
        let mut block = vec![0; self.block_size() as usize];
        let record_bytes = block.len();
        write_entry(&mut block, 0, record_bytes, 0, 0, b"");
        let mut node = DxNode { physical, block, entries_offset: NODE_ENTRIES_OFFSET, position: 0 };
        node.set_limit(self.dx_limit(NODE_ENTRIES_OFFSET));
        node
    }

    /// Removes a name that was found.
    pub(crate) fn remove_entry(&mut self, directory: &Inode, found: FoundEntry) -> Result<()> {
        let FoundEntry { physical, mut block, slot, previous } = found;
        block[slot.offset..slot.offset + slot.taken_bytes()].fill(0);
        match previous {
            Some(previous) => {
                set_record_bytes(&mut block, previous.offset, previous.record_bytes + slot.record_bytes);
            }
            None => write_entry(&mut block, slot.offset, slot.record_bytes, 0, 0, b""),
        }
        self.write_leaf(directory, physical, &mut block)
    }
}
