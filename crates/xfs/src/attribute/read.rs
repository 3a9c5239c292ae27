//! Attributes read, in all their forms.

use storage::WriteAt;

use super::Attribute;
use crate::error::Result;
use crate::filesystem::FileSystem;
use crate::inode::{Fork, Inode};
use crate::layout::attribute::{
    LEAF_HEADER_BYTES, REMOTE_BYTES, REMOTE_CRC_AT, RawLeafHeader, RawRemote, XFS_ATTR_INCOMPLETE, XFS_ATTR_LOCAL,
    XFS_ATTR_ROOT, XFS_ATTR_SECURE, XFS_ATTR3_LEAF_MAGIC, XFS_ATTR3_RMT_MAGIC,
};
use crate::layout::directory::{INDEX_CRC_AT, XFS_DA3_NODE_MAGIC};
use crate::layout::inode::XFS_DINODE_FMT_LOCAL;
use crate::layout::{be16, be32, has_checksum, header};
use crate::map::Map;

/// The most bytes that all values of a file may have together.
const MAX_BYTES: usize = 64 << 20;

impl<S: WriteAt> FileSystem<S> {
    /// The extended attributes: whole names and values.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Storage`](crate::Error::Storage).
    pub fn xattrs(&self, number: u64) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let inode = self.inode(number)?;
        Ok(self.attributes(&inode)?.into_iter().map(Attribute::shown).collect())
    }

    pub(super) fn attributes(&self, inode: &Inode) -> Result<Vec<Attribute>> {
        if !inode.has_attribute_fork() {
            return Ok(Vec::new());
        }
        if inode.format(Fork::Attributes) == XFS_DINODE_FMT_LOCAL {
            return short(inode);
        }
        let map = self.read_map(inode, Fork::Attributes)?;
        let mut found = Vec::new();
        let mut total = 0;
        // Values have blocks of their own among those of the index, which have a magic of their own each.
        let blocks: u64 = map.extents.iter().map(|extent| extent.blocks).sum();
        if blocks.saturating_mul(self.block_bytes()) > MAX_BYTES as u64 {
            return Err(inode.corrupt(format!("{blocks} blocks of attributes")));
        }
        for extent in &map.extents {
            for index in 0..extent.blocks {
                let bytes = self.read_block(extent.start + index)?;
                let raw: &RawLeafHeader = header(&bytes);
                let is_remote = be32(&bytes, 0) == XFS_ATTR3_RMT_MAGIC;
                if is_remote || raw.magic.get() == XFS_DA3_NODE_MAGIC {
                    continue;
                }
                if raw.magic.get() != XFS_ATTR3_LEAF_MAGIC
                    || raw.owner.get() != inode.number
                    || !has_checksum(&bytes, INDEX_CRC_AT)
                {
                    continue;
                }
                self.leaf(inode, &map, &bytes, &mut found, &mut total)?;
            }
        }
        Ok(found)
    }

    fn leaf(
        &self,
        inode: &Inode,
        map: &Map,
        bytes: &[u8],
        found: &mut Vec<Attribute>,
        total: &mut usize,
    ) -> Result<()> {
        let corrupt = || inode.corrupt("an extended attribute that breaks a rule");
        let count = usize::from(header::<RawLeafHeader>(bytes).count.get());
        for index in 0..count {
            let entry =
                bytes.get(LEAF_HEADER_BYTES + index * 8..LEAF_HEADER_BYTES + index * 8 + 8).ok_or_else(corrupt)?;
            let (at, flags) = (usize::from(be16(entry, 4)), entry[6]);
            if flags & XFS_ATTR_INCOMPLETE != 0 {
                continue;
            }
            let bytes = bytes.get(at..).ok_or_else(corrupt)?;
            let (name, value) = if flags & XFS_ATTR_LOCAL != 0 {
                let head = bytes.get(..3).ok_or_else(corrupt)?;
                let (value, name) = (usize::from(be16(head, 0)), usize::from(head[2]));
                let text = bytes.get(3..3 + name + value).ok_or_else(corrupt)?;
                (text[..name].to_vec(), text[name..].to_vec())
            } else {
                let head = bytes.get(..9).ok_or_else(corrupt)?;
                let (block, value, name) = (be32(head, 0), be32(head, 4) as usize, usize::from(head[8]));
                let name = bytes.get(9..9 + name).ok_or_else(corrupt)?.to_vec();
                (name, self.remote(inode, map, block.into(), value)?)
            };
            *total += value.len();
            if *total > MAX_BYTES {
                return Err(inode.corrupt("too many extended attributes"));
            }
            found.push(Attribute { flags: flags & (XFS_ATTR_ROOT | XFS_ATTR_SECURE), name, value });
        }
        Ok(())
    }

    /// A value that is in blocks of its own.
    fn remote(&self, inode: &Inode, map: &Map, first: u64, length: usize) -> Result<Vec<u8>> {
        if length > super::XFS_XATTR_SIZE_MAX {
            return Err(inode.corrupt(format!("an extended attribute of {length} bytes")));
        }
        let mut value = Vec::with_capacity(length);
        let mut at = first;
        while value.len() < length {
            let block = map.block(at).ok_or_else(|| inode.corrupt("a value of its attributes is missing"))?;
            let bytes = self.read_block(block)?;
            let raw: &RawRemote = header(&bytes);
            let part = raw.bytes.get() as usize;
            if raw.magic.get() != XFS_ATTR3_RMT_MAGIC
                || raw.owner.get() != inode.number
                || raw.offset.get() as usize != value.len()
                || part == 0
                || part > bytes.len() - REMOTE_BYTES
                || !has_checksum(&bytes, REMOTE_CRC_AT)
            {
                return Err(inode.corrupt("a value of its attributes that breaks a rule"));
            }
            value.extend(&bytes[REMOTE_BYTES..REMOTE_BYTES + part]);
            at += 1;
        }
        value.truncate(length);
        Ok(value)
    }
}

/// Attributes that are in the inode.
fn short(inode: &Inode) -> Result<Vec<Attribute>> {
    let corrupt = || inode.corrupt("extended attributes in the inode that break a rule");
    let bytes = inode.fork(Fork::Attributes);
    let total = usize::from(be16(bytes.get(..4).ok_or_else(corrupt)?, 0));
    let bytes = bytes.get(..total).ok_or_else(corrupt)?;
    let count = *bytes.get(2).ok_or_else(corrupt)?;
    let (mut found, mut at) = (Vec::new(), 4);
    for _ in 0..count {
        let head = bytes.get(at..at + 3).ok_or_else(corrupt)?;
        let (name, value) = (usize::from(head[0]), usize::from(head[1]));
        let text = bytes.get(at + 3..at + 3 + name + value).ok_or_else(corrupt)?;
        let (name, value) = text.split_at(name);
        let flags = head[2] & (XFS_ATTR_ROOT | XFS_ATTR_SECURE);
        if head[2] & XFS_ATTR_INCOMPLETE == 0 {
            found.push(Attribute { flags, name: name.to_vec(), value: value.to_vec() });
        }
        at += 3 + text.len();
    }
    Ok(found)
}
