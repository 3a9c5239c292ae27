//! Extended attributes, read: in the inode's body, in a block, values in inodes of their own.
//!
//! An attribute is a name and a value. After `user.lang` = `en` and `user.note` = 200 times `v` were set, the file
//! `hello` of the example has the first in its inode and the second, for which there is no room, in block 1275, which
//! `i_file_acl` names. From byte 160 of the inode on, where `i_extra_isize` says that the fields end:
//!
//! ```text
//! 0xa0  0000 02ea  the magic 0xea020000             0xac  0200 0000  e_value_size = 2
//! 0xa4  04         e_name_len = 4                   0xb0  0000 0000  e_hash, not needed here
//! 0xa5  01         e_name_index = 1: `user.`        0xb4  6c61 6e67  the rest of the name, `lang`
//! 0xa6  5800       e_value_offs = 88                0xb8  0000 0000  the end of the list
//! 0xa8  0000 0000  e_value_inum = 0: it is here     0xfc  656e 0000  the value, `en`
//! ```
//!
//! Entries grow from the front and values from the end downwards. Offsets of values count from the first entry, at byte
//! 164 here: 164 + 88 = 252 = 0xfc. In a block they count from its start, where a header of 32 bytes has the same
//! magic, how many inodes share the block (`h_refcount`), and checksums; the first entry follows. In a block each entry
//! has a hash of its name and value, and entries are sorted by prefix, length and name. With `ea_inode` a large value
//! is the content of an inode of its own ([`value`]).

mod acl;
pub(crate) mod store;
pub(crate) mod value;

use zerocopy::{FromBytes, IntoBytes};

use storage::ReadAt;

use crate::checksum::crc32c;
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::layout::xattr::{
    EXT4_XATTR_INDEX_POSIX_ACL_ACCESS, EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT, EXT4_XATTR_INDEX_SYSTEM,
    EXT4_XATTR_INDEX_USER, EXT4_XATTR_MAGIC, RawXattrEntry, RawXattrHeader,
};

pub(crate) const ENTRY_BYTES: usize = size_of::<RawXattrEntry>();
pub(crate) const HEADER_BYTES: usize = size_of::<RawXattrHeader>();
/// Size in bytes of what ends a list of entries.
pub(crate) const END_BYTES: usize = 4;
/// The longest value that Linux takes, in bytes.
pub(crate) const MAX_VALUE_BYTES: usize = 65536;
/// How much one file's values may be together, in bytes: more than any file has.
const MAX_VALUES_BYTES: usize = 16 << 20;

/// The beginnings of names, by `e_name_index`; only the rest of a name is stored.
const PREFIXES: &[(u8, &str)] = &[
    (EXT4_XATTR_INDEX_USER, "user."),
    (EXT4_XATTR_INDEX_POSIX_ACL_ACCESS, "system.posix_acl_access"),
    (EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT, "system.posix_acl_default"),
    (4, "trusted."),
    (6, "security."),
    (EXT4_XATTR_INDEX_SYSTEM, "system."),
    (8, "system.richacl"),
];

/// An attribute as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// `e_name_index`: what the name begins with.
    pub(crate) index: u8,
    /// The rest of the name.
    pub(crate) suffix: Vec<u8>,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Beside the entries.
    Here(Vec<u8>),
    /// In an inode of its own.
    Inode {
        number: InodeNumber,
        size_bytes: u32,
        /// `e_hash`, which is of the value too.
        hash: u32,
    },
}

impl Attribute {
    /// Whether it is the rest of an inline file's content, which is no attribute of the file's own.
    pub(crate) fn is_inline_data(&self) -> bool {
        self.index == EXT4_XATTR_INDEX_SYSTEM && self.suffix == b"data"
    }

    pub(crate) fn is_acl(&self) -> bool {
        self.index == EXT4_XATTR_INDEX_POSIX_ACL_ACCESS || self.index == EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT
    }

    /// Whether Linux lists it. Attributes that it does not list (of encryption, of other systems) stay as they are.
    fn is_listed(&self) -> bool {
        self.index < EXT4_XATTR_INDEX_SYSTEM && PREFIXES.iter().any(|(index, _)| *index == self.index)
    }

    /// What the kernel orders the entries of a block by.
    pub(crate) fn order(&self) -> (u8, usize, &[u8]) {
        (self.index, self.suffix.len(), &self.suffix)
    }

    /// The whole name.
    pub(crate) fn name(&self) -> Vec<u8> {
        let prefix = PREFIXES.iter().find(|(index, _)| *index == self.index).map_or("", |(_, prefix)| prefix);
        [prefix.as_bytes(), &self.suffix].concat()
    }

    /// The bytes that its entry takes, and the bytes that its value takes beside the entries.
    pub(crate) fn room_bytes(&self) -> (usize, usize) {
        let value = match &self.value {
            Value::Here(value) => value.len().next_multiple_of(4),
            Value::Inode { .. } => 0,
        };
        ((ENTRY_BYTES + self.suffix.len()).next_multiple_of(4), value)
    }
}

/// The `e_name_index` and the rest of a name; `None` where its beginning is not known.
pub(crate) fn split_name(name: &[u8]) -> Option<(u8, &[u8])> {
    // The longest beginning counts: that of an ACL is `system.` too.
    let known = PREFIXES.iter().filter(|(_, prefix)| name.starts_with(prefix.as_bytes()));
    let (index, prefix) = known.max_by_key(|(_, prefix)| prefix.len())?;
    Some((*index, &name[prefix.len()..]))
}

/// An entry of a list, and where its value is.
pub(crate) struct Entry {
    pub(crate) raw: RawXattrEntry,
    pub(crate) attribute: Attribute,
}

/// Reads the entries that begin at `first`; their values' offsets count from the start of `bytes`. Returns
/// them and where their list ends.
pub(crate) fn read_entries(bytes: &[u8], first: usize, object: Object) -> Result<(Vec<Entry>, usize)> {
    let corrupt =
        |at: usize, problem: String| Err(Error::corrupt(object, format!("attribute at offset {at:#x}: {problem}")));
    let mut entries = Vec::new();
    let mut at = first;
    loop {
        match bytes.get(at..at + END_BYTES) {
            Some([0, 0, 0, 0]) => return Ok((entries, at + END_BYTES)),
            None => return corrupt(at, "four zero bytes were expected to end the list".to_owned()),
            Some(_) => {}
        }
        let Ok((raw, rest)) = RawXattrEntry::read_from_prefix(&bytes[at..]) else {
            return corrupt(at, "ends past the area".to_owned());
        };
        let Some(suffix) = rest.get(..usize::from(raw.e_name_len)) else {
            return corrupt(at, format!("e_name_len={} ends past the area", raw.e_name_len));
        };
        let (offset, size) = (usize::from(raw.e_value_offs.get()), raw.e_value_size.get() as usize);
        let value = if raw.e_value_inum.get() != 0 {
            let number = InodeNumber(raw.e_value_inum.get());
            Value::Inode { number, size_bytes: raw.e_value_size.get(), hash: raw.e_hash.get() }
        } else {
            let here =
                if size == 0 { Some(&[][..]) } else { offset.checked_add(size).and_then(|end| bytes.get(offset..end)) };
            let Some(here) = here else {
                return corrupt(
                    at,
                    format!("e_value_offs={offset} e_value_size={size} is outside the {} bytes", bytes.len()),
                );
            };
            Value::Here(here.to_vec())
        };
        let attribute = Attribute { index: raw.e_name_index, suffix: suffix.to_vec(), value };
        entries.push(Entry { raw, attribute });
        at += (ENTRY_BYTES + suffix.len()).next_multiple_of(4);
    }
}

/// The hash of a name and, in words of four bytes, of its value, which for a value in an inode of its own
/// is that inode's hash of it.
pub(crate) fn entry_hash(suffix: &[u8], value: &[u8]) -> u32 {
    continued_hash(suffix.iter().fold(0, |hash, &byte| hash.rotate_left(5) ^ u32::from(byte)), value)
}

/// As [`entry_hash`], from the name's bytes as signed numbers, as Linux computed it for a long time: it differs where a
/// name is not ASCII.
pub(crate) fn signed_entry_hash(suffix: &[u8], value: &[u8]) -> u32 {
    continued_hash(suffix.iter().fold(0, |hash, &byte| hash.rotate_left(5) ^ byte as i8 as u32), value)
}

fn continued_hash(of_name: u32, value: &[u8]) -> u32 {
    value.chunks(4).fold(of_name, |hash, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        hash.rotate_left(16) ^ u32::from_le_bytes(word)
    })
}

impl Inode {
    /// The entries in the body, and where they and their values are: offsets count from there.
    pub(crate) fn body_entries(&self) -> Result<(Vec<Entry>, usize)> {
        match self.xattr_area().split_first_chunk::<4>() {
            Some((magic, area)) if u32::from_le_bytes(*magic) == EXT4_XATTR_MAGIC => {
                read_entries(area, 0, Object::Inode(self.number()))
            }
            _ => Ok((Vec::new(), 0)),
        }
    }

    /// The attributes in the body.
    pub(crate) fn body_attributes(&self) -> Result<Vec<Attribute>> {
        Ok(self.body_entries()?.0.into_iter().map(|entry| entry.attribute).collect())
    }
}

impl<S: ReadAt> FileSystem<S> {
    /// An inode's extended attributes, names whole (`security.capability`), values as `getfattr` shows
    /// them: an ACL is in the form that Linux hands to programs.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] where they break a rule, [`Error::Unsupported`] for more than 16 MiB of them.
    pub fn xattrs(&self, number: InodeNumber) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let inode = self.inode(number)?;
        let mut attributes = inode.body_attributes()?;
        attributes.extend(self.block_attributes(&inode)?);
        attributes.retain(Attribute::is_listed);
        let mut listed = Vec::new();
        let mut left = MAX_VALUES_BYTES;
        for attribute in attributes {
            let value = self.shown_value(&inode, &attribute)?;
            left = left.checked_sub(value.len()).ok_or_else(|| {
                Error::unsupported(Object::Inode(number), format!("attributes of more than {MAX_VALUES_BYTES} bytes"))
            })?;
            listed.push((attribute.name(), value));
        }
        Ok(listed)
    }

    /// The attributes in the inode's block, if it has one.
    pub(crate) fn block_attributes(&self, inode: &Inode) -> Result<Vec<Attribute>> {
        let Some(block) = inode.xattr_block() else { return Ok(Vec::new()) };
        let bytes = self.read_xattr_block(inode, block)?;
        let (entries, _) = read_entries(&bytes, HEADER_BYTES, Object::Block(block))?;
        Ok(entries.into_iter().map(|entry| entry.attribute).collect())
    }

    fn shown_value(&self, inode: &Inode, attribute: &Attribute) -> Result<Vec<u8>> {
        let value = match &attribute.value {
            Value::Here(value) => value.clone(),
            Value::Inode { .. } => {
                let held = self.value_inode(inode, attribute)?;
                let (value, computed) = self.held_value(&held.inode)?;
                if held.is_counted && held.inode.value_hash() != computed {
                    return Err(held.inode.wrong_value_hash(computed));
                }
                value
            }
        };
        if !attribute.is_acl() {
            return Ok(value);
        }
        let acl = acl::from_disk(&value).map_err(|problem| Error::corrupt(Object::Inode(inode.number()), problem))?;
        Ok(acl.to_xattr())
    }

    /// An inode's attribute block, validated.
    pub(crate) fn read_xattr_block(&self, inode: &Inode, block: u64) -> Result<Vec<u8>> {
        if !self.superblock.is_data_block(block) {
            return Err(Error::corrupt(
                Object::Inode(inode.number()),
                format!("i_file_acl={block}, the file system has {} blocks", self.superblock.blocks()),
            ));
        }
        let bytes = self.read_block(block)?;
        let corrupt = |problem: String| Err(Error::corrupt(Object::Block(block), problem));
        let Ok((header, _)) = RawXattrHeader::read_from_prefix(&bytes) else { return corrupt("no header".to_owned()) };
        if header.h_magic.get() != EXT4_XATTR_MAGIC || header.h_blocks.get() != 1 {
            return corrupt(format!(
                "h_magic={:#x} h_blocks={}, expected 0xea020000 and 1",
                header.h_magic, header.h_blocks
            ));
        }
        if self.superblock.has_metadata_checksums() {
            let computed = xattr_checksum(self.superblock.checksum_seed(), block, &bytes);
            if computed != header.h_checksum.get() {
                return corrupt(format!("h_checksum={:#010x}, computed {computed:#010x}", header.h_checksum));
            }
        }
        Ok(bytes)
    }
}

/// The checksum of an attribute block.
pub(crate) fn xattr_checksum(seed: u32, block: u64, bytes: &[u8]) -> u32 {
    let crc = crc32c(crc32c(seed, &block.to_le_bytes()), &bytes[..0x10]);
    crc32c(crc32c(crc, &[0; 4]), &bytes[0x14..])
}

/// Writes attributes as entries from `first` on and their values from the end downwards; offsets count
/// from the start of `bytes`, which is zeros there. `None` where there is no room.
pub(crate) fn write_entries(bytes: &mut [u8], first: usize, attributes: &[Attribute], with_hashes: bool) -> Option<()> {
    let (mut at, mut end) = (first, bytes.len());
    for attribute in attributes {
        let (entry_bytes, value_bytes) = attribute.room_bytes();
        if at + entry_bytes + value_bytes + END_BYTES > end {
            return None;
        }
        end -= value_bytes;
        let (number, size_bytes, hash) = match &attribute.value {
            Value::Here(value) => {
                bytes[end..end + value.len()].copy_from_slice(value);
                // In the body they have no hash.
                (0, value.len() as u32, if with_hashes { entry_hash(&attribute.suffix, value) } else { 0 })
            }
            Value::Inode { number, size_bytes, hash } => (number.0, *size_bytes, *hash),
        };
        let raw = RawXattrEntry {
            e_name_len: attribute.suffix.len() as u8,
            e_name_index: attribute.index,
            e_value_offs: (if value_bytes > 0 { end as u16 } else { 0 }).into(),
            e_value_inum: number.into(),
            e_value_size: size_bytes.into(),
            e_hash: hash.into(),
        };
        bytes[at..at + ENTRY_BYTES].copy_from_slice(raw.as_bytes());
        bytes[at + ENTRY_BYTES..][..attribute.suffix.len()].copy_from_slice(&attribute.suffix);
        at += entry_bytes;
    }
    Some(())
}
