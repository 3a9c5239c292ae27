//! Access control lists: on the disk big-endian, with 12 bytes an entry; to users little-endian, with 8.

use crate::layout::{be16, be32};

/// `POSIX_ACL_XATTR_VERSION`.
const VERSION: u32 = 2;

/// A list as users have it; `None` if the stored one is invalid.
pub(super) fn shown(stored: &[u8]) -> Option<Vec<u8>> {
    let count = stored.len().checked_sub(4)? / 12;
    if stored.len() != 4 + count * 12 || be32(stored, 0) as usize != count {
        return None;
    }
    let mut list = VERSION.to_le_bytes().to_vec();
    for entry in stored[4..].chunks_exact(12) {
        let (tag, id, permissions) = (be32(entry, 0), be32(entry, 4), be16(entry, 8));
        list.extend((tag as u16).to_le_bytes());
        list.extend(permissions.to_le_bytes());
        // Only entries of named users and groups have an id.
        let id = if matches!(tag, 0x02 | 0x08) { id } else { u32::MAX };
        list.extend(id.to_le_bytes());
    }
    Some(list)
}

/// A list as it is stored; `None` if the given one is invalid.
pub(super) fn stored(shown: &[u8]) -> Option<Vec<u8>> {
    let (version, entries) = shown.split_at_checked(4)?;
    if version != VERSION.to_le_bytes() || !entries.len().is_multiple_of(8) {
        return None;
    }
    let mut list = ((entries.len() / 8) as u32).to_be_bytes().to_vec();
    for entry in entries.chunks_exact(8) {
        let half = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        let (tag, permissions) = (half(0), half(2));
        let id = if matches!(tag, 0x02 | 0x08) { u32::from(half(4)) | u32::from(half(6)) << 16 } else { 0 };
        list.extend(u32::from(tag).to_be_bytes());
        list.extend(id.to_be_bytes());
        list.extend(permissions.to_be_bytes());
        list.extend([0; 2]);
    }
    Some(list)
}
