//! Extended attributes, read.
//!
//! Kernel documentation, "Extended Attributes".

use zerocopy::FromBytes;

use storage::ReadAt;

use crate::checksum::crc32c;
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inline::is_inline_data;
use crate::inode::{Inode, InodeNumber};
use crate::layout::xattr::{EXT4_XATTR_MAGIC, RawXattrEntry, RawXattrHeader};

const ENTRY_BYTES: usize = size_of::<RawXattrEntry>();
pub(crate) const HEADER_BYTES: usize = size_of::<RawXattrHeader>();

/// The prefix that an attribute's `e_name_index` stands for.
fn prefix(index: u8) -> Option<&'static str> {
    Some(match index {
        0 => "",
        1 => "user.",
        2 => "system.posix_acl_access",
        3 => "system.posix_acl_default",
        4 => "trusted.",
        6 => "security.",
        7 => "system.",
        8 => "system.richacl",
        _ => return None,
    })
}

impl<S: ReadAt> FileSystem<S> {
    /// An inode's extended attributes, names whole (`security.capability`), values as they are on
    /// disk: an ACL is in ext4's own encoding.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] where they break a rule, [`Error::Unsupported`] for values in inodes of
    /// their own (`ea_inode`).
    pub fn xattrs(&self, number: InodeNumber) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let inode = self.inode(number)?;
        let mut attributes = Vec::new();
        let area = inode.xattr_area();
        if let Some((magic, entries)) = area.split_first_chunk::<4>()
            && u32::from_le_bytes(*magic) == EXT4_XATTR_MAGIC
        {
            // In the inode, offsets count from the first entry.
            read_entries(entries, 0, Object::Inode(number), &mut attributes)?;
        }
        if let Some(block) = inode.xattr_block() {
            let bytes = self.read_xattr_block(&inode, block)?;
            read_entries(&bytes, HEADER_BYTES, Object::Block(block), &mut attributes)?;
        }
        Ok(attributes)
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

/// Reads the entries that begin at `first`; their values' offsets count from the start of `bytes`.
fn read_entries(bytes: &[u8], first: usize, object: Object, attributes: &mut Vec<(Vec<u8>, Vec<u8>)>) -> Result<()> {
    let corrupt =
        |at: usize, problem: String| Err(Error::corrupt(object, format!("attribute at offset {at:#x}: {problem}")));
    let mut at = first;
    loop {
        // Four zero bytes end the list; so does the end of the area.
        match bytes.get(at..at + 4) {
            Some([0, 0, 0, 0]) | None => return Ok(()),
            Some(_) => {}
        }
        let Ok((entry, rest)) = RawXattrEntry::read_from_prefix(&bytes[at..]) else {
            return corrupt(at, "ends past the area".to_owned());
        };
        let Some(suffix) = rest.get(..usize::from(entry.e_name_len)) else {
            return corrupt(at, format!("e_name_len={} ends past the area", entry.e_name_len));
        };
        let Some(prefix) = prefix(entry.e_name_index) else {
            return corrupt(at, format!("e_name_index={} is not known", entry.e_name_index));
        };
        if entry.e_value_inum.get() != 0 {
            return Err(Error::unsupported(object, "ea_inode: a value in an inode of its own"));
        }
        let (offset, size) = (usize::from(entry.e_value_offs.get()), entry.e_value_size.get() as usize);
        let value =
            if size == 0 { Some(&[][..]) } else { offset.checked_add(size).and_then(|end| bytes.get(offset..end)) };
        let Some(value) = value else {
            return corrupt(
                at,
                format!("e_value_offs={offset} e_value_size={size} is outside the {} bytes", bytes.len()),
            );
        };
        if !is_inline_data(&entry, suffix) {
            attributes.push(([prefix.as_bytes(), suffix].concat(), value.to_vec()));
        }
        at += (ENTRY_BYTES + suffix.len()).next_multiple_of(4);
    }
}
