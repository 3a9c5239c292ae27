//! What uses each block: the walk that the check and the account of changes are made of.

use std::collections::BTreeMap;
use std::ops::Range;

use metadata::{ContentExtent, FileKind};
use storage::ReadAt;

use crate::block_map::extent::Mapped;
use crate::error::{Error, Object, Result};
use crate::features::{incompat, ro_compat};
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::{EXT4_EA_INODE_FL, EXT4_EXTENTS_FL, EXT4_HUGE_FILE_FL, EXT4_INDEX_FL, EXT4_INLINE_DATA_FL};
use crate::superblock::Superblock;
use crate::xattr::{Attribute, Value};

/// How much of an inode table is read at a time, in bytes.
const TABLE_STEP_BYTES: u64 = 1 << 18;

/// The flags that users see and set (the kernel's `EXT4_FL_USER_VISIBLE`), less those of how content is
/// stored.
const VISIBLE_FLAGS: u32 = 0x725B_DFFF & !(EXT4_INDEX_FL | EXT4_EXTENTS_FL | EXT4_HUGE_FILE_FL | EXT4_INLINE_DATA_FL);

/// What blocks are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The super block, or in another group than the first a backup of it.
    Superblock {
        /// The group that it is in.
        group: u32,
    },
    /// Group descriptors or a backup of them.
    GroupDescriptors {
        /// The group that they are in.
        group: u32,
    },
    /// Blocks kept free for more descriptors. They are the resize inode's content, too.
    ReservedDescriptors {
        /// The group that they are in.
        group: u32,
    },
    /// A group's block bitmap.
    BlockBitmap {
        /// The group that it is of.
        group: u32,
    },
    /// A group's inode bitmap.
    InodeBitmap {
        /// The group that it is of.
        group: u32,
    },
    /// A group's inode table.
    InodeTable {
        /// The group that it is of.
        group: u32,
    },
    /// The block of multi-mount protection.
    MultiMount,
    /// A part of an inode.
    Inode {
        /// Which inode.
        number: InodeNumber,
        /// What it has there.
        role: Role,
    },
}

/// What a block is to its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Content: a file's data, a directory's entries, a long symlink's target.
    Content,
    /// A block of the block map: a node of the extent tree, a block of pointers.
    Map,
    /// The block with extended attributes, which inodes may share.
    Attributes,
}

/// Blocks, and what uses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The blocks.
    pub blocks: Range<u64>,
    /// What uses them.
    pub owner: Owner,
}

/// A set of inodes, a bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InodeSet(BTreeMap<u32, u64>);

impl InodeSet {
    /// Adds one; says whether it was not there.
    pub fn insert(&mut self, number: InodeNumber) -> bool {
        let bits = self.0.entry(number.0 / 64).or_default();
        let mask = 1 << (number.0 % 64);
        let is_new = *bits & mask == 0;
        *bits |= mask;
        is_new
    }

    /// Whether one is there.
    pub fn contains(&self, number: InodeNumber) -> bool {
        self.0.get(&(number.0 / 64)).is_some_and(|bits| bits & (1 << (number.0 % 64)) != 0)
    }

    /// Adds all that are in another set.
    pub fn extend(&mut self, other: &Self) {
        for (at, bits) in &other.0 {
            *self.0.entry(*at).or_default() |= bits;
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.values().map(|bits| u64::from(bits.count_ones())).sum()
    }
}

/// Blocks of block maps that were followed. Inodes can share them, or a map point back into itself: each is
/// followed once, so that a walk over all inodes ends after as many as there are.
#[derive(Debug, Default)]
pub(crate) struct FollowedMaps(BTreeMap<u64, u64>);

impl FollowedMaps {
    /// Notes a block of the map of inode `number`; an error where it was followed before.
    pub(crate) fn follow(&mut self, number: InodeNumber, block: u64) -> Result<()> {
        let bits = self.0.entry(block / 64).or_default();
        let mask = 1 << (block % 64);
        if *bits & mask != 0 {
            let problem = format!("block {block} of its map is in this or another inode's map already");
            return Err(Error::corrupt(Object::Inode(number), problem));
        }
        *bits |= mask;
        Ok(())
    }
}

impl Inode {
    /// The flags that `lsattr` shows, without those that say how content is stored.
    pub fn visible_flags(&self) -> u32 {
        self.flags() & VISIBLE_FLAGS
    }

    /// Whether it is in use: one without links was deleted, unless it is reserved.
    pub(crate) fn is_in_use(&self, superblock: &Superblock) -> bool {
        let is_reserved = self.number().0 < superblock.first_inode();
        self.links() != 0 || (is_reserved && self.raw.i_mode.get() != 0) || self.lists_bad_blocks()
    }

    /// Whether it has a block map; a reserved inode may have one whatever its kind.
    pub(crate) fn has_map(&self, superblock: &Superblock) -> bool {
        let is_reserved = self.number().0 < superblock.first_inode();
        let has_kind = FileKind::from_mode(self.raw.i_mode.get()).is_some();
        self.has_blocks() || (is_reserved && has_kind && !self.has_flag(EXT4_INLINE_DATA_FL))
    }
}

impl<S: ReadAt> FileSystem<S> {
    /// Calls `visit` with every part of the file system that lies in `wanted`, and what uses it: fixed
    /// metadata first, then what each inode has, by their numbers. Unused blocks are not visited; blocks that
    /// several inodes share are visited once for each.
    ///
    /// `wanted` is sorted, its ranges do not overlap. The file system must have been flushed. Where an inode's
    /// map or attributes break a rule, what cannot be read of them is left out.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] with `bigalloc`, [`Error::Storage`].
    pub fn uses(&self, wanted: &[Range<u64>], visit: &mut dyn FnMut(Usage)) -> Result<()> {
        self.walk_uses(&mut |_| {}, &mut |usage| clipped(&usage, wanted, visit))
    }

    /// The inodes that have something in the blocks of `wanted`: themselves, their content, their map or
    /// their attributes. An inode that is not in the set lies in other blocks as a whole, including the values of its
    /// attributes.
    ///
    /// # Errors
    ///
    /// As [`uses`](Self::uses).
    pub fn inodes_in(&self, wanted: &[Range<u64>]) -> Result<InodeSet> {
        let mut found = InodeSet::default();
        let mut with_values = InodeSet::default();
        let per_group = self.superblock.inodes_per_group();
        let per_block = self.superblock.block_size_bytes() / u32::from(self.superblock.inode_size_bytes());
        let has_values = self.superblock.has_incompat(incompat::EA_INODE);
        let mut blocks_with_values = BTreeMap::new();
        let mut note = |usage: Usage| match usage.owner {
            Owner::Inode { number, .. } => {
                found.insert(number);
            }
            Owner::InodeTable { group } => {
                let table = self.groups[group as usize].inode_table(&self.superblock);
                let first = (usage.blocks.start - table) as u32 * per_block;
                let past = ((usage.blocks.end - table) as u32 * per_block).min(per_group);
                for index in first..past {
                    found.insert(InodeNumber(group * per_group + index + 1));
                }
            }
            _ => {}
        };
        self.walk_uses(
            &mut |inode| {
                // Where its values are is not looked for.
                if has_values && self.has_value_inodes(inode, &mut blocks_with_values) {
                    with_values.insert(inode.number());
                }
            },
            &mut |usage| clipped(&usage, wanted, &mut note),
        )?;
        found.extend(&with_values);
        Ok(found)
    }

    /// Whether an attribute of an inode has its value in another, or cannot be read. What was found for an attribute
    /// block is in `blocks`: inodes can share it.
    fn has_value_inodes(&self, inode: &Inode, blocks: &mut BTreeMap<u64, bool>) -> bool {
        let is_elsewhere = |attribute: &Attribute| matches!(attribute.value, Value::Inode { .. });
        let has_some = |list: Result<Vec<Attribute>>| list.map_or(true, |list| list.iter().any(is_elsewhere));
        inode.has_flag(EXT4_EA_INODE_FL)
            || has_some(inode.body_attributes())
            || inode
                .xattr_block()
                .is_some_and(|block| *blocks.entry(block).or_insert_with(|| has_some(self.block_attributes(inode))))
    }

    /// Whether every inode that both file systems have is in the same place, and means the same.
    pub fn has_tables_of<T>(&self, other: &FileSystem<T>) -> bool {
        let shape = |superblock: &Superblock| {
            (
                (superblock.block_size_bytes(), superblock.inode_size_bytes(), superblock.inodes_per_group()),
                (superblock.blocks_per_group(), superblock.descriptor_size_bytes(), superblock.features()),
            )
        };
        let tables = self.groups.iter().zip(&other.groups);
        shape(&self.superblock) == shape(&other.superblock)
            && tables
                .into_iter()
                .all(|(one, two)| one.inode_table(&self.superblock) == two.inode_table(&other.superblock))
    }

    /// Where a file's content is, as far as its size goes; `None` where it is in the inode. Parts that are not listed
    /// read as zeros.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] where its block map breaks a rule.
    pub fn content_extents(&self, inode: &Inode) -> Result<Option<Vec<ContentExtent>>> {
        if inode.is_inline() {
            return Ok(None);
        }
        let size = self.block_size();
        let map = self.read_map_before(inode, inode.size_bytes().div_ceil(size))?;
        let written = map.extents.into_iter().filter(|extent| !extent.unwritten);
        let part = |extent: crate::block_map::extent::Extent| ContentExtent {
            offset: u64::from(extent.logical) * size,
            length_bytes: u64::from(extent.blocks) * size,
            storage_offset: extent.physical * size,
        };
        Ok(Some(written.map(part).collect()))
    }

    /// As [`uses`](Self::uses), of all blocks; each inode that is in use is shown to `see` first.
    pub(crate) fn walk_uses(&self, see: &mut dyn FnMut(&Inode), visit: &mut dyn FnMut(Usage)) -> Result<()> {
        if self.superblock.has_ro_compat(ro_compat::BIGALLOC) {
            return Err(Error::unsupported(Object::Superblock, "bigalloc: finding what uses the blocks of clusters"));
        }
        if let Some(block) = self.multi_mount_block() {
            visit(Usage { blocks: block..block + 1, owner: Owner::MultiMount });
        }
        for group in 0..self.superblock.groups() {
            self.group_metadata(group).into_iter().for_each(&mut *visit);
        }
        let mut followed = FollowedMaps::default();
        for group in 0..self.superblock.groups() {
            self.walk_inode_table(group, &mut |inode| match inode {
                Ok(inode) if inode.is_in_use(&self.superblock) => {
                    see(&inode);
                    self.inode_uses(&inode, &mut followed, visit)
                }
                Ok(_) | Err(Error::Corrupt { .. } | Error::Unsupported { .. }) => Ok(()),
                Err(error) => Err(error),
            })?;
        }
        Ok(())
    }

    /// What one inode has.
    fn inode_uses(&self, inode: &Inode, followed: &mut FollowedMaps, visit: &mut dyn FnMut(Usage)) -> Result<()> {
        let number = inode.number();
        if inode.has_map(&self.superblock) {
            let mut left = self.superblock.blocks();
            let walked = self.walk_blocks(inode, &mut |part| {
                let (first, blocks, role) = match part {
                    Mapped::MapBlock(block) => (block, 1, Role::Map),
                    Mapped::Content(extent) => (extent.physical, u64::from(extent.blocks), Role::Content),
                };
                // No file has more blocks than there are: pointers can go in a circle.
                left = left.checked_sub(blocks).ok_or_else(|| {
                    Error::corrupt(Object::Inode(number), "its map claims the same blocks again and again")
                })?;
                visit(Usage { blocks: first..first + blocks, owner: Owner::Inode { number, role } });
                if role == Role::Map { followed.follow(number, first) } else { Ok(()) }
            });
            match walked {
                Ok(()) | Err(Error::Corrupt { .. } | Error::Unsupported { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(block) = inode.xattr_block().filter(|&block| self.superblock.is_data_block(block)) {
            visit(Usage { blocks: block..block + 1, owner: Owner::Inode { number, role: Role::Attributes } });
        }
        Ok(())
    }

    /// The block of multi-mount protection, where there is one.
    pub(crate) fn multi_mount_block(&self) -> Option<u64> {
        let block = self.superblock.raw.s_mmp_block.get();
        (self.superblock.has_incompat(incompat::MMP) && self.superblock.is_data_block(block)).then_some(block)
    }

    /// The fixed metadata in a group, and its own that may be in another.
    pub(crate) fn group_metadata(&self, number: u32) -> Vec<Usage> {
        let superblock = &self.superblock;
        let group = &self.groups[number as usize];
        let end = superblock.group_first_block(number) + u64::from(superblock.group_blocks(number));
        let mut at = superblock.group_first_block(number);
        let mut parts = Vec::new();
        let owners = [
            Owner::Superblock { group: number },
            Owner::GroupDescriptors { group: number },
            Owner::ReservedDescriptors { group: number },
        ];
        for (blocks, owner) in superblock.base_metadata(number).into_iter().zip(owners) {
            let past = (at + u64::from(blocks)).min(end);
            parts.push(Usage { blocks: at..past, owner });
            at = past;
        }
        for (first, blocks, owner) in [
            (group.block_bitmap(superblock), 1, Owner::BlockBitmap { group: number }),
            (group.inode_bitmap(superblock), 1, Owner::InodeBitmap { group: number }),
            (group.inode_table(superblock), superblock.inode_table_blocks(), Owner::InodeTable { group: number }),
        ] {
            parts.push(Usage { blocks: first..first + blocks, owner });
        }
        parts.retain(|part| !part.blocks.is_empty());
        parts
    }

    /// Calls `visit` with each inode of a group that was ever used, or why it cannot be one.
    pub(crate) fn walk_inode_table(
        &self,
        number: u32,
        visit: &mut dyn FnMut(Result<Inode>) -> Result<()>,
    ) -> Result<()> {
        let superblock = &self.superblock;
        let group = &self.groups[number as usize];
        // The flags mean something only where descriptors have checksums.
        let has_unused = group.computed_checksum(number, superblock).is_some();
        if group.inodes_uninitialised() && has_unused {
            return Ok(());
        }
        let per_group = superblock.inodes_per_group();
        let count = if has_unused { per_group - group.unused_inodes().min(per_group) } else { per_group };
        let size = u64::from(superblock.inode_size_bytes());
        let table = group.inode_table(superblock) * self.block_size();
        let per_step = (TABLE_STEP_BYTES / size) as u32;
        for first in (0..count).step_by(per_step as usize) {
            let inodes = per_step.min(count - first);
            let mut bytes = vec![0; (u64::from(inodes) * size) as usize];
            self.storage.read_at(table + u64::from(first) * size, &mut bytes)?;
            for (index, bytes) in bytes.chunks_exact(size as usize).enumerate() {
                if bytes.iter().any(|&byte| byte != 0) {
                    let inode = InodeNumber(number * per_group + first + index as u32 + 1);
                    visit(Inode::parse(inode, bytes))?;
                }
            }
        }
        Ok(())
    }
}

/// Calls `visit` with the parts of `usage` that are in `wanted`.
pub(crate) fn clipped(usage: &Usage, wanted: &[Range<u64>], visit: &mut dyn FnMut(Usage)) {
    let from = wanted.partition_point(|range| range.end <= usage.blocks.start);
    for range in wanted[from..].iter().take_while(|range| range.start < usage.blocks.end) {
        let blocks = range.start.max(usage.blocks.start)..range.end.min(usage.blocks.end);
        visit(Usage { blocks, owner: usage.owner });
    }
}
