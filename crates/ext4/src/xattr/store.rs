//! Extended attributes, written: into the inode's body where they fit, then into its block, and large
//! values, where the file system has `ea_inode`, into inodes of their own.

use std::collections::BTreeMap;

use metadata::{Acl, Attributes, FileKind, Time, Times};
use zerocopy::IntoBytes;

use storage::{Printable, WriteAt};

use crate::allocate::BlockRun;
use crate::block_map::BlockMap;
use crate::checksum::crc32c;
use crate::error::{Error, Object, Result};
use crate::features::{compat, incompat};
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::EXT4_EA_INODE_FL;
use crate::layout::xattr::{
    EXT4_XATTR_INDEX_POSIX_ACL_ACCESS, EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT, EXT4_XATTR_MAGIC, RawXattrHeader,
};
use crate::xattr::acl;
use crate::xattr::{
    Attribute, HEADER_BYTES, MAX_VALUE_BYTES, Value, entry_hash, split_name, write_entries, xattr_checksum,
};

impl<S: WriteAt> FileSystem<S> {
    /// Sets an extended attribute, by its whole name and as `setfattr` takes it: an ACL in the form that
    /// programs see. An access ACL changes the permission bits too, and one that says no more than they
    /// can is not stored. Times stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for names that Linux does not know or that are not for this kind of file,
    /// and for ACLs that break a rule; [`Error::TooLarge`] where inode and block have no room for it,
    /// [`Error::NoSpace`]; nothing has changed then.
    pub fn set_xattr(&mut self, number: InodeNumber, name: &[u8], value: &[u8]) -> Result<()> {
        let mut inode = self.inode_for_attributes(number)?;
        let (index, suffix) = self.checked_name(&inode, name)?;
        if value.len() > MAX_VALUE_BYTES {
            return Err(Error::TooLarge {
                what: format!("attribute value of {} bytes, the limit is {MAX_VALUE_BYTES}", value.len()),
            });
        }
        if inode.kind()? == FileKind::Symlink {
            // e2fsck does not see the attribute block of an inline one, and would free it.
            self.give_blocks(&mut inode)?;
        }
        let mut value = value.to_vec();
        let mut is_needed = true;
        if index == EXT4_XATTR_INDEX_POSIX_ACL_ACCESS || index == EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT {
            let acl = Acl::from_xattr(&value).map_err(|problem| Error::unsupported(Object::Inode(number), problem))?;
            if index == EXT4_XATTR_INDEX_POSIX_ACL_ACCESS {
                inode.raw.i_mode.set(inode.raw.i_mode.get() & !0o777 | acl.mode_bits());
                is_needed = !acl.is_only_mode();
            }
            value = acl::to_disk(&acl);
        }
        let attribute = Attribute { index, suffix, value: Value::Here(value) };
        let (body, block) = self.attributes_without(&inode, &attribute)?;
        let had = (inode.body_attributes()?, self.block_attributes(&inode)?);
        if is_needed && had.0.iter().chain(&had.1).any(|other| *other == attribute) {
            // A shared block stays shared.
            return self.write_inode(&mut inode);
        }
        if !is_needed {
            return self.store_attributes(inode, had, body, block);
        }
        let (body, block) = match self.placed(&inode, &body, &block, &attribute) {
            Some(placed) => placed,
            None if self.superblock.has_incompat(incompat::EA_INODE) => {
                return self.set_in_inode(inode, had, (body, block), attribute);
            }
            None => return Err(self.no_room(&inode, &attribute)),
        };
        self.store_attributes(inode, had, body, block)
    }

    /// Removes an extended attribute. Permission bits and times stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; otherwise as [`set_xattr`](Self::set_xattr).
    pub fn remove_xattr(&mut self, number: InodeNumber, name: &[u8]) -> Result<()> {
        let inode = self.inode_for_attributes(number)?;
        let (index, suffix) = split_name(name).ok_or(Error::NotFound)?;
        let attribute = Attribute { index, suffix: suffix.to_vec(), value: Value::Here(Vec::new()) };
        let had = (inode.body_attributes()?, self.block_attributes(&inode)?);
        let (body, block) = self.attributes_without(&inode, &attribute)?;
        if attribute.is_inline_data() || (body.len(), block.len()) == (had.0.len(), had.1.len()) {
            return Err(Error::NotFound);
        }
        self.store_attributes(inode, had, body, block)
    }

    fn inode_for_attributes(&mut self, number: InodeNumber) -> Result<Inode> {
        self.prepare_to_write()?;
        let inode = self.inode(number)?;
        self.check_mutable(&inode)?;
        Ok(inode)
    }

    /// A name taken apart, where files of this kind can have it.
    fn checked_name(&self, inode: &Inode, name: &[u8]) -> Result<(u8, Vec<u8>)> {
        let refuse = |why: &str| {
            let what = format!("attribute `{}` {why}", Printable(name));
            Err(Error::unsupported(Object::Inode(inode.number()), what))
        };
        if let Some(why) = metadata::xattr_problem(inode.kind()?, name) {
            return refuse(why);
        }
        match split_name(name) {
            Some((index, suffix)) => Ok((index, suffix.to_vec())),
            None => refuse("has a name that ext4 cannot store"),
        }
    }

    /// The attributes of body and block without one.
    fn attributes_without(&self, inode: &Inode, attribute: &Attribute) -> Result<(Vec<Attribute>, Vec<Attribute>)> {
        let is_other = |other: &Attribute| (other.index, &other.suffix) != (attribute.index, &attribute.suffix);
        let (mut body, mut block) = (inode.body_attributes()?, self.block_attributes(inode)?);
        body.retain(is_other);
        block.retain(is_other);
        Ok((body, block))
    }

    /// Body and block with one attribute more, where one of them has room.
    fn placed(
        &self,
        inode: &Inode,
        body: &[Attribute],
        block: &[Attribute],
        attribute: &Attribute,
    ) -> Option<(Vec<Attribute>, Vec<Attribute>)> {
        let with = |list: &[Attribute]| [list, std::slice::from_ref(attribute)].concat();
        if inode.clone().set_body_attributes(&with(body)).is_ok() {
            return Some((with(body), block.to_vec()));
        }
        self.block_bytes(&with(block)).map(|_| (body.to_vec(), with(block)))
    }

    fn no_room(&self, inode: &Inode, attribute: &Attribute) -> Error {
        let (entry, value) = attribute.room_bytes();
        Error::TooLarge {
            what: format!(
                "attribute `{}` of inode {}: neither the inode nor a block of {} bytes has {} bytes left",
                Printable(&attribute.name()),
                inode.number(),
                self.block_size(),
                entry + value
            ),
        }
    }

    /// Stores an attribute whose value is too large, in an inode of its own.
    fn set_in_inode(
        &mut self,
        inode: Inode,
        had: (Vec<Attribute>, Vec<Attribute>),
        others: (Vec<Attribute>, Vec<Attribute>),
        attribute: Attribute,
    ) -> Result<()> {
        let Value::Here(value) = &attribute.value else { return Err(self.no_room(&inode, &attribute)) };
        if inode.kind()? == FileKind::Symlink && inode.is_short_symlink() {
            // e2fsck would read the target as block numbers if the inode counted blocks.
            return Err(self.no_room(&inode, &attribute));
        }
        let hash = crc32c(self.superblock.checksum_seed(), value);
        let entry = Attribute {
            value: Value::Inode {
                number: InodeNumber(0),
                size_bytes: value.len() as u32,
                hash: entry_hash(&attribute.suffix, &hash.to_le_bytes()),
            },
            ..attribute.clone()
        };
        let Some((mut body, mut block)) = self.placed(&inode, &others.0, &others.1, &entry) else {
            return Err(self.no_room(&inode, &entry));
        };
        let blocks = (value.len() as u64).div_ceil(self.block_size());
        // The value, a block of its map, and the block of attributes.
        self.check_free_blocks(blocks + 2)?;
        let made = self.create_value_inode(&inode, value, hash)?;
        for placed in body.iter_mut().chain(&mut block) {
            if let Value::Inode { number, .. } = &mut placed.value
                && number.0 == 0
            {
                *number = made;
            }
        }
        self.store_attributes(inode, had, body, block)
    }

    /// Creates the inode of a value, as the kernel does: the value's hash is where the access time
    /// would be, the count of references where change time and version would.
    fn create_value_inode(&mut self, owner: &Inode, value: &[u8], hash: u32) -> Result<InodeNumber> {
        let number = self.allocate_inode(owner.number(), false)?;
        let attributes =
            Attributes { permissions: 0o600, uid: owner.uid(), gid: owner.gid(), modified: Time::default() };
        let mut inode = Inode::new(number, FileKind::Regular, &attributes, &self.superblock);
        inode.set_times(&Times {
            accessed: Some(Time { seconds: i64::from(hash as i32), nanoseconds: 0 }),
            ..Times::default()
        });
        inode.set_flag(EXT4_EA_INODE_FL);
        // It is counted when the attribute is stored.
        inode.set_references(0);
        self.start_map(&mut inode)?;
        let mut map = BlockMap::default();
        let all = 0..(value.len() as u64).div_ceil(self.block_size());
        self.fill_holes(&mut inode, &mut map, std::slice::from_ref(&all), false)?;
        let mut content = value.to_vec();
        content.resize((all.end * self.block_size()) as usize, 0);
        self.write_mapped(&map, 0, &content)?;
        self.store_map(&mut inode, map)?;
        inode.set_size(value.len() as u64);
        self.write_inode(&mut inode)?;
        Ok(number)
    }

    /// Writes changed attributes and the inode, and frees the inodes of values that are not used any more.
    fn store_attributes(
        &mut self,
        mut inode: Inode,
        had: (Vec<Attribute>, Vec<Attribute>),
        body: Vec<Attribute>,
        block: Vec<Attribute>,
    ) -> Result<()> {
        let is_shared = self.is_shared(&inode)?;
        if !block.is_empty() && (inode.xattr_block().is_none() || (is_shared && block != had.1)) {
            self.check_free_blocks(1)?;
        }
        let content = inode.used_blocks(&self.superblock).saturating_sub(self.attribute_blocks(&inode)?);
        self.count_values(&inode, &had.0, &body)?;
        inode.set_body_attributes(&body)?;
        if block != had.1 {
            // The shared block still names the values that it named.
            self.count_values(&inode, if is_shared { &[] } else { &had.1 }, &block)?;
            self.store_block(&mut inode, &block)?;
        }
        inode.set_used_blocks(content + self.attribute_blocks(&inode)?, &self.superblock);
        let has_none = body.is_empty() && block.is_empty();
        if !has_none && !self.superblock.has_compat(compat::EXT_ATTR) {
            let flags = self.superblock.raw.s_feature_compat.get() | compat::EXT_ATTR;
            self.superblock.raw.s_feature_compat.set(flags);
            self.superblock_changed = true;
        }
        self.write_inode(&mut inode)?;
        Ok(())
    }

    fn is_shared(&self, inode: &Inode) -> Result<bool> {
        let Some(block) = inode.xattr_block() else { return Ok(false) };
        Ok(header_of(&self.read_xattr_block(inode, block)?).h_refcount.get() > 1)
    }

    /// The bytes of a block with these attributes, without its checksum; `None` where it has no room.
    fn block_bytes(&self, attributes: &[Attribute]) -> Option<Vec<u8>> {
        let mut sorted = attributes.to_vec();
        // The kernel looks for them in this order.
        sorted.sort_by(|one, other| one.order().cmp(&other.order()));
        let mut bytes = vec![0; self.block_size() as usize];
        write_entries(&mut bytes, HEADER_BYTES, &sorted, true)?;
        let hashes = sorted.iter().map(|attribute| match &attribute.value {
            Value::Here(value) => entry_hash(&attribute.suffix, value),
            Value::Inode { hash, .. } => *hash,
        });
        // An entry without a hash leaves the block without one: it must not be shared.
        let hash = hashes.clone().fold(0u32, |all, hash| all.rotate_left(16) ^ hash);
        let hash = if hashes.clone().any(|hash| hash == 0) { 0 } else { hash };
        let header = RawXattrHeader {
            h_magic: EXT4_XATTR_MAGIC.into(),
            h_refcount: 1.into(),
            h_blocks: 1.into(),
            h_hash: hash.into(),
            h_checksum: 0.into(),
            h_reserved: [0.into(); 3],
        };
        bytes[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        Some(bytes)
    }

    /// Gives the inode a block with these attributes in place of the one that it has.
    fn store_block(&mut self, inode: &mut Inode, attributes: &[Attribute]) -> Result<()> {
        let old = inode.xattr_block();
        let own = if self.is_shared(inode)? { None } else { old };
        if attributes.is_empty() {
            if let Some(block) = old {
                self.release_xattr_block(inode, block)?;
                inode.set_xattr_block(0);
            }
            return Ok(());
        }
        let Some(mut bytes) = self.block_bytes(attributes) else {
            return Err(Error::corrupt(Object::Inode(inode.number()), "its attributes do not fit a block"));
        };
        let block = match own {
            Some(block) => block,
            None => {
                let taken = self.allocate_blocks(self.inode_goal(inode.number()), 1)?;
                if let Some(shared) = old {
                    self.release_xattr_block(inode, shared)?;
                }
                let first = taken.first().map_or(0, |run| run.first);
                inode.set_xattr_block(first);
                first
            }
        };
        self.write_xattr_block(block, &mut bytes)
    }

    fn write_xattr_block(&self, block: u64, bytes: &mut [u8]) -> Result<()> {
        if self.superblock.has_metadata_checksums() {
            let checksum = xattr_checksum(self.superblock.checksum_seed(), block, bytes);
            bytes[0x10..0x14].copy_from_slice(&checksum.to_le_bytes());
        }
        self.write_block(block, bytes)
    }

    /// Takes one inode off those that share an attribute block, and frees the block after the last.
    fn release_xattr_block(&mut self, inode: &Inode, block: u64) -> Result<()> {
        let mut bytes = self.read_xattr_block(inode, block)?;
        let mut header = header_of(&bytes);
        let shares = header.h_refcount.get();
        if shares <= 1 {
            return self.free_blocks(BlockRun { first: block, blocks: 1 });
        }
        header.h_refcount.set(shares - 1);
        bytes[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        self.write_xattr_block(block, &mut bytes)
    }

    /// Frees everything that the attributes of an inode hold, which is being removed.
    pub(crate) fn release_xattrs(&mut self, inode: &Inode) -> Result<()> {
        self.count_values(inode, &inode.body_attributes()?, &[])?;
        if !self.is_shared(inode)? {
            self.count_values(inode, &self.block_attributes(inode)?, &[])?;
        }
        match inode.xattr_block() {
            Some(block) => self.release_xattr_block(inode, block),
            None => Ok(()),
        }
    }

    /// Counts in the inodes of values what the attributes in one place refer to now, in place of what they
    /// referred to before: two of them can have the same. A value that nothing refers to any more goes.
    fn count_values(&mut self, owner: &Inode, before: &[Attribute], after: &[Attribute]) -> Result<()> {
        let mut changes: BTreeMap<InodeNumber, (i64, &Attribute)> = BTreeMap::new();
        for (attributes, step) in [(before, -1), (after, 1)] {
            for attribute in attributes {
                if let Value::Inode { number, .. } = attribute.value {
                    changes.entry(number).or_insert((0, attribute)).0 += step;
                }
            }
        }
        for (number, (change, attribute)) in changes {
            if change == 0 {
                continue;
            }
            let held = self.value_inode(owner, attribute)?;
            let mut inode = held.inode;
            // One without a count belongs to one attribute.
            let references = if held.is_counted { inode.references() } else { 1 };
            match references.checked_add_signed(change) {
                Some(0) => self.release(&inode)?,
                Some(references) if held.is_counted => {
                    inode.set_references(references);
                    self.write_inode(&mut inode)?;
                }
                _ => {
                    let problem =
                        format!("an attribute's value that counts {references} references, {change:+} change");
                    return Err(Error::corrupt(Object::Inode(number), problem));
                }
            }
        }
        Ok(())
    }
}

/// The header of a block that was validated.
pub(crate) fn header_of(bytes: &[u8]) -> RawXattrHeader {
    let mut header = [0; HEADER_BYTES];
    header.copy_from_slice(&bytes[..HEADER_BYTES]);
    zerocopy::transmute!(header)
}

impl Inode {
    /// How many attributes have their value in this inode.
    pub(crate) fn references(&self) -> u64 {
        u64::from(self.raw.i_ctime.get()) << 32 | u64::from(self.raw.i_version.get())
    }

    fn set_references(&mut self, references: u64) {
        self.raw.i_ctime.set((references >> 32) as u32);
        self.raw.i_version.set(references as u32);
    }

    /// The hash of the value in this inode, where others have their access time.
    pub(crate) fn value_hash(&self) -> u32 {
        self.raw.i_atime.get()
    }

    pub(crate) fn wrong_value_hash(&self, computed: u32) -> Error {
        let stored = self.value_hash();
        let problem = format!("an attribute's value with hash {stored:#010x}, computed {computed:#010x}");
        Error::corrupt(Object::Inode(self.number()), problem)
    }

    /// Writes the attributes into the body.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] where they do not fit; nothing has changed then.
    pub(crate) fn set_body_attributes(&mut self, attributes: &[Attribute]) -> Result<()> {
        let mut area = vec![0; self.xattr_area().len()];
        if !attributes.is_empty() {
            let fits = area.split_first_chunk_mut::<4>().and_then(|(magic, area)| {
                *magic = EXT4_XATTR_MAGIC.to_le_bytes();
                write_entries(area, 0, attributes, false)
            });
            if fits.is_none() {
                return Err(Error::corrupt(Object::Inode(self.number()), "its attributes do not fit in it"));
            }
        }
        self.xattr_area_mut().copy_from_slice(&area);
        Ok(())
    }
}
