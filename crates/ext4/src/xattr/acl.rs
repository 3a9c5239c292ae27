//! POSIX ACLs in ext4's own form: entries without an id are short. The kernel reads no other form: an ACL stored in the
//! form that programs see passes e2fsck, but the kernel cannot read it.

use metadata::{Acl, AclEntry};

/// Version of the form on disk: `EXT4_ACL_VERSION`.
const DISK_VERSION: u32 = 1;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Reads ext4's form; the error says what is wrong.
pub(crate) fn from_disk(bytes: &[u8]) -> Result<Acl, String> {
    let ends_early = || Acl::ends_early(bytes);
    let found = u32_at(bytes, 0).ok_or_else(ends_early)?;
    if found != DISK_VERSION {
        return Err(Acl::wrong_version(found, DISK_VERSION));
    }
    let mut entries = Vec::new();
    let mut at = 4;
    while at < bytes.len() {
        let tag = u16_at(bytes, at).ok_or_else(ends_early)?;
        let permissions = u16_at(bytes, at + 2).ok_or_else(ends_early)?;
        let has_id = AclEntry::has_id(tag);
        let id = if has_id { u32_at(bytes, at + 4).ok_or_else(ends_early)? } else { 0 };
        entries.push(AclEntry::new(tag, permissions, id));
        at += if has_id { 8 } else { 4 };
    }
    Acl::new(entries)
}

/// Ext4's form.
pub(crate) fn to_disk(acl: &Acl) -> Vec<u8> {
    let mut bytes = DISK_VERSION.to_le_bytes().to_vec();
    for entry in acl.entries() {
        bytes.extend_from_slice(&entry.tag.to_le_bytes());
        bytes.extend_from_slice(&entry.permissions.to_le_bytes());
        if AclEntry::has_id(entry.tag) {
            bytes.extend_from_slice(&entry.id.to_le_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `u::rw-,u:1000:r--,g::r--,m::rw-,o::---`, in the form that getfattr prints.
    const SEEN: &[u8] = &[
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0xE8, 3, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0,
        6, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];

    #[test]
    fn entries_without_an_id_are_short_on_disk() {
        let acl = Acl::from_xattr(SEEN).unwrap();
        let disk = to_disk(&acl);
        assert_eq!(disk, [1, 0, 0, 0, 1, 0, 6, 0, 2, 0, 4, 0, 0xE8, 3, 0, 0, 4, 0, 4, 0, 16, 0, 6, 0, 32, 0, 0, 0]);
        assert_eq!(from_disk(&disk).unwrap().to_xattr(), SEEN);
        assert!(from_disk(SEEN).unwrap_err().contains("version 2"));
        assert!(from_disk(&disk[..14]).unwrap_err().contains("ends within an entry"));
    }
}
