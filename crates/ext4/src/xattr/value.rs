//! Values of extended attributes that have an inode of their own (`ea_inode`).
//!
//! Any number of attributes can name the same value inode. A walk over all inodes remembers in [`KnownValues`] what it
//! read: each value inode is read once, however many attributes name it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use metadata::FileKind;
use storage::ReadAt;

use crate::checksum::crc32c;
use crate::error::{Error, Object, Result};
use crate::features::incompat;
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::EXT4_EA_INODE_FL;
use crate::xattr::{Attribute, MAX_VALUE_BYTES, Value, entry_hash, signed_entry_hash};

/// An inode that holds a value.
pub(crate) struct ValueInode {
    pub(crate) inode: Inode,
    /// Whether it counts the attributes that name it. Those that Lustre makes do not: each belongs to one inode, which
    /// is not charged with its blocks.
    pub(crate) is_counted: bool,
}

/// What a value inode says about its value, or why it cannot hold one.
type Held = std::result::Result<HeldValue, Cow<'static, str>>;

#[derive(Clone, Copy)]
struct HeldValue {
    size_bytes: u64,
    hash: u32,
    /// The inode that a value without a count belongs to, and that inode's generation.
    owner: (u32, u32),
}

/// The value inodes that were read: an entry for each that attributes name.
#[derive(Default)]
pub(crate) struct KnownValues(BTreeMap<InodeNumber, Held>);

/// What an inode is charged with for its attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    /// Blocks: of attributes, and of values in inodes of their own, shared or not.
    pub(crate) blocks: u64,
    /// Inodes that hold such values.
    pub(crate) inodes: u64,
}

impl std::ops::Add for Charge {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { blocks: self.blocks + other.blocks, inodes: self.inodes + other.inodes }
    }
}

/// What `inode` says about its value.
fn held_by(inode: &Inode) -> Result<Held> {
    if !inode.has_flag(EXT4_EA_INODE_FL) || inode.kind()? != FileKind::Regular {
        return Ok(Err(Cow::Borrowed("which does not hold an attribute's value")));
    }
    // The kernel refuses one, too: removing two that refer to each other would never end.
    if inode.xattr_block().is_some() || !inode.body_entries()?.0.is_empty() {
        return Ok(Err(Cow::Borrowed("which holds a value and has attributes of its own")));
    }
    Ok(Ok(HeldValue {
        size_bytes: inode.size_bytes(),
        hash: inode.value_hash(),
        owner: (inode.raw.i_mtime.get(), inode.raw.i_generation.get()),
    }))
}

impl Attribute {
    /// The inode that holds the attribute's value, where that can be one.
    fn value_number<S: ReadAt>(&self, owner: &Inode, filesystem: &FileSystem<S>) -> Result<InodeNumber> {
        let corrupt = |problem: String| Err(Error::corrupt(Object::Inode(owner.number()), problem));
        let Value::Inode { number, .. } = self.value else {
            return corrupt("an attribute's value should be in an inode of its own, but is beside its name".to_owned());
        };
        if number.0 < filesystem.superblock.first_inode() {
            return corrupt(format!("e_value_inum={number}, an inode that the file system keeps for itself"));
        }
        Ok(number)
    }

    /// Validates the attribute of `owner` against what the inode that it names holds; says whether that inode counts
    /// its attributes.
    fn is_counted(&self, owner: &Inode, held: &Held) -> Result<bool> {
        let Value::Inode { number, size_bytes, hash } = self.value else { return Ok(false) };
        let corrupt = |problem: String| Err(Error::corrupt(Object::Inode(owner.number()), problem));
        let held = match held {
            Ok(held) => held,
            Err(problem) => return corrupt(format!("e_value_inum={number}, {problem}")),
        };
        if size_bytes == 0 || size_bytes as usize > MAX_VALUE_BYTES || u64::from(size_bytes) != held.size_bytes {
            let found = held.size_bytes;
            return corrupt(format!(
                "e_value_size={size_bytes}, expected 1 to {MAX_VALUE_BYTES} and the {found} bytes of inode {number}"
            ));
        }
        let value = held.hash.to_le_bytes();
        let is_counted = [entry_hash, signed_entry_hash].iter().any(|computed| computed(&self.suffix, &value) == hash);
        if !is_counted && held.owner != (owner.number().0, owner.raw.i_generation.get()) {
            return corrupt(format!("e_hash={hash:#010x} does not go with the value in inode {number}"));
        }
        Ok(is_counted)
    }
}

impl KnownValues {
    /// Validates one of `owner`'s attributes whose value is in an inode of its own, but not the value itself; says
    /// whether that inode counts its attributes.
    pub(crate) fn is_counted<S: ReadAt>(
        &mut self,
        filesystem: &FileSystem<S>,
        owner: &Inode,
        attribute: &Attribute,
    ) -> Result<bool> {
        let number = attribute.value_number(owner, filesystem)?;
        if let Some(held) = self.0.get(&number) {
            return attribute.is_counted(owner, held);
        }
        let held = match filesystem.inode(number).and_then(|inode| held_by(&inode)) {
            Ok(held) => held,
            Err(error @ (Error::Corrupt { .. } | Error::Unsupported { .. })) => {
                Err(Cow::Owned(format!("which cannot be read: {error}")))
            }
            Err(error) => return Err(error),
        };
        attribute.is_counted(owner, self.0.entry(number).or_insert(held))
    }

    /// What `owner` is charged with for those of `attributes` whose values are in inodes of their own.
    fn charge<S: ReadAt>(
        &mut self,
        filesystem: &FileSystem<S>,
        owner: &Inode,
        attributes: &[Attribute],
    ) -> Result<Charge> {
        let mut charge = Charge::default();
        if !filesystem.superblock.has_incompat(incompat::EA_INODE) {
            return Ok(charge);
        }
        for attribute in attributes {
            if let Value::Inode { size_bytes, .. } = attribute.value
                && self.is_counted(filesystem, owner, attribute)?
            {
                let blocks = u64::from(size_bytes).div_ceil(filesystem.block_size());
                charge = charge + Charge { blocks, inodes: 1 };
            }
        }
        Ok(charge)
    }
}

impl<S: ReadAt> FileSystem<S> {
    /// Blocks that an inode is charged with for its attributes.
    pub(crate) fn attribute_blocks(&self, inode: &Inode) -> Result<u64> {
        let mut known = KnownValues::default();
        Ok((self.body_charge(inode, &mut known)? + self.xattr_block_charge(inode, &mut known)?).blocks)
    }

    /// What an inode is charged with for the attributes in its body.
    pub(crate) fn body_charge(&self, inode: &Inode, known: &mut KnownValues) -> Result<Charge> {
        if !self.superblock.has_incompat(incompat::EA_INODE) {
            return Ok(Charge::default());
        }
        known.charge(self, inode, &inode.body_attributes()?)
    }

    /// What an inode is charged with for its attribute block and the attributes in it: the same for all inodes that
    /// share the block.
    pub(crate) fn xattr_block_charge(&self, inode: &Inode, known: &mut KnownValues) -> Result<Charge> {
        let block = Charge { blocks: u64::from(inode.xattr_block().is_some()), inodes: 0 };
        if !self.superblock.has_incompat(incompat::EA_INODE) {
            return Ok(block);
        }
        Ok(block + known.charge(self, inode, &self.block_attributes(inode)?)?)
    }

    /// The value that an inode holds, whose size was validated, and the hash that it should have.
    pub(crate) fn held_value(&self, inode: &Inode) -> Result<(Vec<u8>, u32)> {
        let mut value = vec![0; inode.size_bytes().min(MAX_VALUE_BYTES as u64) as usize];
        self.read_content(inode, 0, &mut value)?;
        let hash = crc32c(self.superblock.checksum_seed(), &value);
        Ok((value, hash))
    }

    /// The inode that holds the value of one of `owner`'s attributes, validated except for the value itself.
    pub(crate) fn value_inode(&self, owner: &Inode, attribute: &Attribute) -> Result<ValueInode> {
        let inode = self.inode(attribute.value_number(owner, self)?)?;
        let is_counted = attribute.is_counted(owner, &held_by(&inode)?)?;
        Ok(ValueInode { inode, is_counted })
    }
}
