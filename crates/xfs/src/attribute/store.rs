//! Attributes set, removed and stored.

use std::ops::Range;

use metadata::{Acl, FileKind};
use storage::{Printable, WriteAt};

use super::{ACCESS_ACL, ACLS, Attribute, XFS_XATTR_SIZE_MAX, acl, stored_name};
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::{Fork, Inode};
use crate::layout::attribute::{
    LEAF_HEADER_BYTES, REMOTE_BYTES, REMOTE_CRC_AT, RawLeafHeader, RawRemote, XFS_ATTR_LOCAL, XFS_ATTR_PARENT,
    XFS_ATTR3_LEAF_MAGIC, XFS_ATTR3_RMT_MAGIC,
};
use crate::layout::directory::{HEADER_BYTES, INDEX_CRC_AT, RawIndexHeader, XFS_DA3_NODE_MAGIC};
use crate::layout::inode::{XFS_DINODE_FMT_BTREE, XFS_DINODE_FMT_EXTENTS, XFS_DINODE_FMT_LOCAL};
use crate::layout::{header_mut, set_checksum};
use crate::map::Map;

/// How much of an inode attributes in blocks get for their map, if the data fork does not need it: three extents.
const MAP_BYTES: usize = 48;
/// The least that the data fork and attributes are left, if both are there: the root of a tree with 3 and with 2
/// pointers, which the kernel counts on. It may have to make such a root later.
const LEAST_DATA_BYTES: usize = 56;
const LEAST_ATTRIBUTE_BYTES: usize = 40;
/// What a device has in its data fork, rounded up.
const DEVICE_BYTES: usize = 8;

impl<S: WriteAt> FileSystem<S> {
    /// Sets an extended attribute, whose name has its namespace in front. Times stay as they are. ACLs are given in
    /// the form that programs see. An access ACL changes the permission bits too, and one that says no more than they
    /// can is not stored.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a name that this kind of file cannot have and for ACLs that break a rule;
    /// [`Error::TooLarge`], [`Error::NoSpace`].
    pub fn set_xattr(&mut self, number: u64, name: &[u8], value: &[u8]) -> Result<()> {
        self.begin()?;
        let refuse = |problem: String| Error::unsupported(Object::Inode(number), problem);
        let mut inode = self.inode_to_edit(number)?;
        if let Some(why) = metadata::xattr_problem(inode.kind()?, name) {
            return Err(refuse(format!("attribute `{}` {why}", Printable(name))));
        }
        if value.len() > XFS_XATTR_SIZE_MAX {
            let what = format!("attribute value of {} bytes, the limit is {XFS_XATTR_SIZE_MAX}", value.len());
            return Err(Error::TooLarge { what });
        }
        let mut value = Some(value.to_vec());
        if let Some((shown, _)) = ACLS.iter().find(|(shown, _)| *shown == name) {
            let acl = Acl::from_xattr(value.as_deref().unwrap_or_default()).map_err(refuse)?;
            value = Some(acl::to_disk(&acl));
            if *shown == ACCESS_ACL {
                let permissions = inode.permissions() & !0o777 | acl.mode_bits();
                inode.set_permissions(permissions);
                value = value.filter(|_| !acl.is_only_mode());
            }
        }
        let mut list = self.attributes(&inode)?;
        take_out(&mut list, name);
        if let (Some(value), Some((flags, stored))) = (value, stored_name(name)) {
            list.push(Attribute { flags, name: stored.to_vec(), value });
        }
        self.replace_attributes(inode, list)
    }

    /// Removes an extended attribute that the file has. Permission bits and times stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], and as [`set_xattr`](Self::set_xattr).
    pub fn remove_xattr(&mut self, number: u64, name: &[u8]) -> Result<()> {
        self.begin()?;
        let inode = self.inode_to_edit(number)?;
        let mut list = self.attributes(&inode)?;
        if take_out(&mut list, name) { self.replace_attributes(inode, list) } else { Err(Error::NotFound) }
    }

    fn replace_attributes(&mut self, mut inode: Inode, list: Vec<Attribute>) -> Result<()> {
        let bytes: usize = list.iter().map(|attribute| attribute.value.len() + attribute.name.len() + 16).sum();
        self.check_room(bytes as u64 / self.block_bytes() + 4)?;
        self.store_attributes(&mut inode, list)?;
        self.write_inode(&mut inode)
    }

    /// Gives all attributes of an inode back.
    pub(crate) fn clear_attributes(&mut self, inode: &mut Inode) -> Result<()> {
        if inode.has_attribute_fork() { self.clear_map(inode, Fork::Attributes) } else { Ok(()) }
    }

    fn store_attributes(&mut self, inode: &mut Inode, list: Vec<Attribute>) -> Result<()> {
        let mut map = self.read_attribute_map(inode)?;
        self.unmap(inode, &mut map, Fork::Attributes, &(0..u64::MAX))?;
        if inode.has_attribute_fork() && inode.format(Fork::Attributes) != XFS_DINODE_FMT_LOCAL {
            self.store_map(inode, Fork::Attributes, &mut map)?;
        }
        let short = short_form(&list);
        let literal = inode.literal_bytes();
        let wanted = self.data_bytes(inode)?;
        let is_device = !matches!(inode.kind()?, FileKind::Regular | FileKind::Directory | FileKind::Symlink);
        let room = literal - wanted;
        let attribute_bytes = match &short {
            Some(short) if short.len().next_multiple_of(8) <= room => {
                short.len().next_multiple_of(8).max(LEAST_ATTRIBUTE_BYTES)
            }
            _ => MAP_BYTES.min(room),
        };
        let fork_offset = if is_device { DEVICE_BYTES } else { (literal - attribute_bytes) / 8 * 8 };
        if list.is_empty() {
            return self.move_forks(inode, 0, None);
        }
        match short.filter(|short| short.len() <= literal - fork_offset) {
            Some(short) => self.move_forks(inode, fork_offset, Some(&short)),
            None => {
                self.move_forks(inode, fork_offset, None)?;
                let mut map = Map::default();
                self.write_leaves(inode, &mut map, list)?;
                self.store_map(inode, Fork::Attributes, &mut map)
            }
        }
    }

    fn read_attribute_map(&self, inode: &Inode) -> Result<Map> {
        if inode.has_attribute_fork() { self.read_map(inode, Fork::Attributes) } else { Ok(Map::default()) }
    }

    /// How many bytes the data fork needs as it is, rounded up to units of 8.
    fn data_bytes(&self, inode: &Inode) -> Result<usize> {
        let bytes = match inode.format(Fork::Data) {
            XFS_DINODE_FMT_LOCAL => (inode.size_bytes() as usize).max(LEAST_DATA_BYTES),
            XFS_DINODE_FMT_EXTENTS => (inode.extents(Fork::Data) as usize * 16).max(LEAST_DATA_BYTES),
            XFS_DINODE_FMT_BTREE => LEAST_DATA_BYTES,
            _ => DEVICE_BYTES,
        };
        // What does not fit beside a map of attributes can be stored elsewhere.
        Ok(bytes.next_multiple_of(8).min(inode.literal_bytes() - LEAST_ATTRIBUTE_BYTES))
    }

    /// Puts the border between the forks at `offset` bytes, 0 for no attributes, and `attributes` behind it.
    fn move_forks(&mut self, inode: &mut Inode, offset: usize, attributes: Option<&[u8]>) -> Result<()> {
        let literal = inode.literal_bytes();
        let room = if offset == 0 { literal } else { offset };
        let border = |inode: &mut Inode| {
            inode.raw_mut().di_forkoff = (offset / 8) as u8;
            if offset > 0 {
                inode.set_format(
                    Fork::Attributes,
                    if attributes.is_some() { XFS_DINODE_FMT_LOCAL } else { XFS_DINODE_FMT_EXTENTS },
                );
                inode.set_fork(Fork::Attributes, attributes.unwrap_or_default());
            } else {
                inode.set_format(Fork::Attributes, XFS_DINODE_FMT_EXTENTS);
            }
            inode.set_extents(Fork::Attributes, 0)
        };
        match inode.format(Fork::Data) {
            XFS_DINODE_FMT_EXTENTS | XFS_DINODE_FMT_BTREE => {
                let mut map = self.read_map(inode, Fork::Data)?;
                border(inode)?;
                self.store_map(inode, Fork::Data, &mut map)
            }
            XFS_DINODE_FMT_LOCAL if inode.size_bytes() as usize > room => match inode.kind()? {
                FileKind::Symlink => {
                    let target = inode.fork(Fork::Data)[..inode.size_bytes() as usize].to_vec();
                    inode.set_fork(Fork::Data, &[]);
                    inode.set_format(Fork::Data, XFS_DINODE_FMT_EXTENTS);
                    border(inode)?;
                    self.write_target(inode, &target)
                }
                _ => {
                    // A directory finds its new room when it is stored.
                    let mut moved = inode.clone();
                    self.load_for_storing(inode.number)?;
                    moved.set_fork(Fork::Data, &[]);
                    moved.set_format(Fork::Data, XFS_DINODE_FMT_EXTENTS);
                    border(&mut moved)?;
                    self.write_inode(&mut moved)?;
                    self.store_one_directory(inode.number)?;
                    *inode = self.inode(inode.number)?;
                    Ok(())
                }
            },
            _ => {
                let data = inode.fork(Fork::Data).to_vec();
                let used = match inode.format(Fork::Data) {
                    XFS_DINODE_FMT_LOCAL => inode.size_bytes() as usize,
                    _ => 4,
                };
                inode.set_fork(Fork::Data, &[]);
                border(inode)?;
                inode.set_fork(Fork::Data, &data[..used.min(data.len())]);
                Ok(())
            }
        }
    }

    /// Writes the leaves, the nodes above them, and the values that are too long for them.
    #[allow(clippy::needless_range_loop, reason = "only the lowest level has leaves")]
    fn write_leaves(&mut self, inode: &Inode, map: &mut Map, mut list: Vec<Attribute>) -> Result<()> {
        let block = self.block_bytes() as usize;
        list.sort_by(|one, other| (one.hash(), &one.name, one.flags).cmp(&(other.hash(), &other.name, other.flags)));
        let (leaves, sizes) = leaves_of(&list, block);
        let node_room = (block - HEADER_BYTES) / 8;
        let mut levels = vec![leaves.len()];
        while levels.last().is_some_and(|count| *count > 1) {
            levels.extend(levels.last().map(|count| count.div_ceil(node_room)));
        }
        let mut next = levels.iter().sum::<usize>() as u64;
        self.fill(inode, map, Fork::Attributes, 0..next)?;
        let mut firsts = Vec::with_capacity(list.len());
        for (attribute, size) in list.iter().zip(&sizes) {
            firsts.push(next);
            if size.value_blocks > 0 {
                self.fill(inode, map, Fork::Attributes, next..next + size.value_blocks)?;
                self.write_value(inode, map, next, &attribute.value)?;
                next += size.value_blocks;
            }
        }
        let mut below: Vec<(u32, u32)> = Vec::new();
        let mut number = u32::from(levels.len() > 1);
        for (level, &count) in levels.iter().enumerate() {
            let is_root = level + 1 == levels.len();
            let first = if is_root { 0 } else { number };
            number += if is_root { 0 } else { count as u32 };
            let mut above = Vec::new();
            let mut rest = &below[..];
            for index in 0..count {
                let at = first + index as u32;
                let mut bytes = vec![0; block];
                let last_hash = if level == 0 {
                    let range = leaves[index].clone();
                    leaf(&mut bytes, &list[range.clone()], &sizes[range.clone()], &firsts[range.clone()]);
                    list[range.end - 1].hash()
                } else {
                    let (these, later) = rest.split_at(rest.len().div_ceil(count - index));
                    rest = later;
                    for (place, (hash, child)) in bytes[HEADER_BYTES..].chunks_exact_mut(8).zip(these) {
                        place[..4].copy_from_slice(&hash.to_be_bytes());
                        place[4..].copy_from_slice(&child.to_be_bytes());
                    }
                    let raw: &mut RawIndexHeader = header_mut(&mut bytes);
                    raw.magic.set(XFS_DA3_NODE_MAGIC);
                    raw.count.set(these.len() as u16);
                    raw.stale_or_level.set(level as u16);
                    these.last().map_or(0, |child| child.0)
                };
                let place =
                    map.block(at.into()).ok_or_else(|| inode.corrupt("a block of its attributes is missing"))?;
                let (sector, uuid) = (self.offset(place)? / 512, self.superblock.metadata_uuid());
                let raw: &mut RawIndexHeader = header_mut(&mut bytes);
                raw.forw.set(if index + 1 < count { at + 1 } else { 0 });
                raw.back.set(if index > 0 { at - 1 } else { 0 });
                raw.blkno.set(sector);
                raw.uuid = uuid;
                raw.owner.set(inode.number);
                set_checksum(&mut bytes, INDEX_CRC_AT);
                self.write_block(place, &bytes)?;
                above.push((last_hash, at));
            }
            below = above;
        }
        Ok(())
    }

    /// Writes a value into blocks of its own, with a header each.
    fn write_value(&mut self, inode: &Inode, map: &Map, first: u64, value: &[u8]) -> Result<()> {
        let size = self.block_bytes() as usize;
        let room = size - REMOTE_BYTES;
        for (index, part) in value.chunks(room).enumerate() {
            let block = map.block(first + index as u64).ok_or_else(|| inode.corrupt("a block of it is missing"))?;
            let bytes = self.remote_block(inode, block, size, index * room, part, XFS_ATTR3_RMT_MAGIC, u64::MAX)?;
            self.write_block(block, &bytes)?;
        }
        Ok(())
    }

    /// What is in `size` bytes from `block` on that have a header and a part of something longer behind it.
    #[allow(clippy::too_many_arguments, reason = "they are the fields of the header")]
    pub(crate) fn remote_block(
        &self,
        inode: &Inode,
        block: u64,
        size: usize,
        offset: usize,
        part: &[u8],
        magic: u32,
        lsn: u64,
    ) -> Result<Vec<u8>> {
        let mut bytes = vec![0; size];
        bytes[REMOTE_BYTES..REMOTE_BYTES + part.len()].copy_from_slice(part);
        let (sector, uuid) = (self.offset(block)? / 512, self.superblock.metadata_uuid());
        let raw: &mut RawRemote = header_mut(&mut bytes);
        raw.magic.set(magic);
        raw.offset.set(offset as u32);
        raw.bytes.set(part.len() as u32);
        raw.uuid = uuid;
        raw.owner.set(inode.number);
        raw.blkno.set(sector);
        raw.lsn.set(lsn);
        set_checksum(&mut bytes, REMOTE_CRC_AT);
        Ok(bytes)
    }

    /// Reads a directory, so that it is stored although it did not change.
    fn load_for_storing(&mut self, number: u64) -> Result<()> {
        let parent = self.with_directory(number, |directory| directory.parent)?;
        self.point_name(number, b"..", parent, FileKind::Directory)
    }
}

/// How an attribute is stored in a leaf.
struct Stored {
    /// Length in bytes, without its entry.
    bytes: usize,
    /// How many blocks its value has; 0 if it is in the leaf.
    value_blocks: u64,
}

impl Stored {
    /// In the leaf, if it takes less than three quarters of one.
    fn of(attribute: &Attribute, block: usize) -> Self {
        let local = (3 + attribute.name.len() + attribute.value.len()).next_multiple_of(4);
        if local < block / 2 + block / 4 {
            return Self { bytes: local, value_blocks: 0 };
        }
        Self::elsewhere(attribute, block)
    }

    /// With its value in blocks of its own.
    fn elsewhere(attribute: &Attribute, block: usize) -> Self {
        let blocks = attribute.value.len().div_ceil(block - REMOTE_BYTES) as u64;
        // Two bytes behind the name are counted and not used.
        Self { bytes: (11 + attribute.name.len()).next_multiple_of(4), value_blocks: blocks }
    }
}

/// Which attributes of a sorted list each leaf has, and how they are stored. Leaves are filled one after the other.
/// Those whose hashes are equal are in one leaf, if their values can be elsewhere: `xfs_repair` wants each leaf to
/// end with a higher hash than the one in front of it.
fn leaves_of(list: &[Attribute], block: usize) -> (Vec<Range<usize>>, Vec<Stored>) {
    let room = block - LEAF_HEADER_BYTES;
    let mut sizes: Vec<Stored> = list.iter().map(|attribute| Stored::of(attribute, block)).collect();
    let bytes_of = |sizes: &[Stored]| sizes.iter().map(|size| size.bytes + 8).sum::<usize>();
    let mut leaves: Vec<Range<usize>> = Vec::new();
    let mut used = 0;
    let mut start = 0;
    for same in list.chunk_by(|one, next| one.hash() == next.hash()) {
        let end = start + same.len();
        if bytes_of(&sizes[start..end]) > room {
            for (size, attribute) in sizes[start..end].iter_mut().zip(same) {
                let other = Stored::elsewhere(attribute, block);
                if other.bytes < size.bytes {
                    *size = other;
                }
            }
        }
        let together = bytes_of(&sizes[start..end]);
        // More names with one hash than a leaf takes are spread over several.
        let step = if together > room { 1 } else { same.len() };
        for at in (start..end).step_by(step) {
            let step = at..at + step;
            let bytes = bytes_of(&sizes[step.clone()]);
            match leaves.last_mut() {
                Some(leaf) if used + bytes <= room => {
                    leaf.end = step.end;
                    used += bytes;
                }
                _ => {
                    leaves.push(step);
                    used = bytes;
                }
            }
        }
        start = end;
    }
    (leaves, sizes)
}

/// Fills a leaf: entries from the front, names and values from the back.
fn leaf(bytes: &mut [u8], list: &[Attribute], sizes: &[Stored], firsts: &[u64]) {
    let mut end = bytes.len();
    for (index, ((attribute, size), first)) in list.iter().zip(sizes).zip(firsts).enumerate() {
        end -= size.bytes;
        let mut text = Vec::new();
        let mut flags = attribute.flags;
        if size.value_blocks == 0 {
            flags |= XFS_ATTR_LOCAL;
            text.extend((attribute.value.len() as u16).to_be_bytes());
            text.push(attribute.name.len() as u8);
            text.extend(&attribute.name);
            text.extend(&attribute.value);
        } else {
            text.extend((*first as u32).to_be_bytes());
            text.extend((attribute.value.len() as u32).to_be_bytes());
            text.push(attribute.name.len() as u8);
            text.extend(&attribute.name);
        }
        bytes[end..end + text.len()].copy_from_slice(&text);
        let entry = &mut bytes[LEAF_HEADER_BYTES + index * 8..][..8];
        entry[..4].copy_from_slice(&attribute.hash().to_be_bytes());
        entry[4..6].copy_from_slice(&(end as u16).to_be_bytes());
        entry[6] = flags & !XFS_ATTR_PARENT;
    }
    let length = bytes.len();
    let raw: &mut RawLeafHeader = header_mut(bytes);
    let entries_end = LEAF_HEADER_BYTES + list.len() * 8;
    raw.magic.set(XFS_ATTR3_LEAF_MAGIC);
    raw.count.set(list.len() as u16);
    raw.usedbytes.set((length - end) as u16);
    // 65,536 does not fit and is 0.
    raw.firstused.set(end as u16);
    raw.freemap[0][0].set(entries_end as u16);
    raw.freemap[0][1].set((end - entries_end) as u16);
}

/// Takes the attribute with this name out of a list; says whether it was there.
fn take_out(list: &mut Vec<Attribute>, name: &[u8]) -> bool {
    let before = list.len();
    list.retain(|attribute| stored_name(name) != Some((attribute.flags, &attribute.name[..])));
    list.len() < before
}

/// The attributes as they are in an inode; `None` if a value is too long for that.
fn short_form(list: &[Attribute]) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4];
    for attribute in list {
        let (name, value) = (u8::try_from(attribute.name.len()).ok()?, u8::try_from(attribute.value.len()).ok()?);
        bytes.extend([name, value, attribute.flags]);
        bytes.extend(&attribute.name);
        bytes.extend(&attribute.value);
    }
    let total = u16::try_from(bytes.len()).ok()?;
    bytes[..2].copy_from_slice(&total.to_be_bytes());
    bytes[2] = u8::try_from(list.len()).ok()?;
    Some(bytes)
}
