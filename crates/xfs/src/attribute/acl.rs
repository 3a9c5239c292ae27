//! POSIX ACLs in the form that XFS has: big-endian, with 12 bytes an entry.

use metadata::{Acl, AclEntry};

use crate::layout::{be16, be32};

/// Reads the form on the disk; the error says what is wrong.
pub(super) fn from_disk(bytes: &[u8]) -> Result<Acl, String> {
    let count = bytes.len().saturating_sub(4) / 12;
    if bytes.len() != 4 + count * 12 || be32(bytes, 0) as usize != count {
        return Err(Acl::ends_early(bytes));
    }
    let entry = |entry: &[u8]| AclEntry::new(be32(entry, 0) as u16, be16(entry, 8), be32(entry, 4));
    Acl::new(bytes[4..].chunks_exact(12).map(entry).collect())
}

/// The form on the disk.
pub(super) fn to_disk(acl: &Acl) -> Vec<u8> {
    let mut bytes = (acl.entries().len() as u32).to_be_bytes().to_vec();
    for entry in acl.entries() {
        bytes.extend(u32::from(entry.tag).to_be_bytes());
        bytes.extend(if AclEntry::has_id(entry.tag) { entry.id } else { 0 }.to_be_bytes());
        bytes.extend(entry.permissions.to_be_bytes());
        bytes.extend([0; 2]);
    }
    bytes
}
