//! POSIX ACLs: ext4's own form on disk, and the form in which Linux hands them to programs.
//!
//! On disk, entries without an id are short, and the kernel reads no other form: an ACL stored in the form that
//! programs see passes e2fsck, but the kernel cannot read it.

/// Version of the form on disk.
const DISK_VERSION: u32 = 1;
/// Version of the form that programs see.
const XATTR_VERSION: u32 = 2;
/// The id of entries that have none.
const NO_ID: u32 = u32::MAX;

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// An access control list that follows the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acl(Vec<AclEntry>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AclEntry {
    tag: u16,
    permissions: u16,
    id: u32,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn has_id(tag: u16) -> bool {
    tag == USER || tag == GROUP
}

impl Acl {
    /// Reads ext4's form; the error says what is wrong.
    pub(crate) fn from_disk(bytes: &[u8]) -> Result<Self, String> {
        Self::parse(bytes, DISK_VERSION, |tag| if has_id(tag) { 8 } else { 4 })
    }

    /// Reads the form that programs see; the error says what is wrong.
    pub(crate) fn from_xattr(bytes: &[u8]) -> Result<Self, String> {
        Self::parse(bytes, XATTR_VERSION, |_| 8)
    }

    fn parse(bytes: &[u8], version: u32, entry_bytes: impl Fn(u16) -> usize) -> Result<Self, String> {
        let ends_early = || format!("an ACL of {} bytes ends within an entry", bytes.len());
        let found = u32_at(bytes, 0).ok_or_else(ends_early)?;
        if found != version {
            return Err(format!("an ACL of version {found}, expected {version}"));
        }
        let mut entries = Vec::new();
        let mut at = 4;
        while at < bytes.len() {
            let tag = u16_at(bytes, at).ok_or_else(ends_early)?;
            let permissions = u16_at(bytes, at + 2).ok_or_else(ends_early)?;
            let id = if has_id(tag) { u32_at(bytes, at + 4).ok_or_else(ends_early)? } else { NO_ID };
            entries.push(AclEntry { tag, permissions, id });
            at += entry_bytes(tag);
        }
        if at > bytes.len() {
            return Err(ends_early());
        }
        Self::validate(entries)
    }

    /// The order is owner, users, group, groups, mask, others; a mask is needed with users or groups.
    fn validate(entries: Vec<AclEntry>) -> Result<Self, String> {
        let count = |tag: u16| entries.iter().filter(|entry| entry.tag == tag).count();
        let known = [USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER];
        if let Some(entry) = entries.iter().find(|entry| !known.contains(&entry.tag) || entry.permissions > 7) {
            return Err(format!("an ACL entry of tag {:#x} with permissions {:#x}", entry.tag, entry.permissions));
        }
        if !entries.is_sorted_by_key(|entry| entry.tag) {
            return Err("an ACL whose entries are out of order".to_owned());
        }
        let named = count(USER) + count(GROUP);
        if [USER_OBJ, GROUP_OBJ, OTHER].iter().any(|&tag| count(tag) != 1) || count(MASK) > 1 {
            return Err("an ACL without exactly one entry each for owner, group and others".to_owned());
        }
        if named > 0 && count(MASK) == 0 {
            return Err("an ACL with named users or groups, but without a mask".to_owned());
        }
        Ok(Self(entries))
    }

    /// ext4's form.
    pub(crate) fn to_disk(&self) -> Vec<u8> {
        let mut bytes = DISK_VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            bytes.extend_from_slice(&entry.tag.to_le_bytes());
            bytes.extend_from_slice(&entry.permissions.to_le_bytes());
            if has_id(entry.tag) {
                bytes.extend_from_slice(&entry.id.to_le_bytes());
            }
        }
        bytes
    }

    /// The form that programs see.
    pub(crate) fn to_xattr(&self) -> Vec<u8> {
        let mut bytes = XATTR_VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            bytes.extend_from_slice(&entry.tag.to_le_bytes());
            bytes.extend_from_slice(&entry.permissions.to_le_bytes());
            bytes.extend_from_slice(&entry.id.to_le_bytes());
        }
        bytes
    }

    /// The permission bits that show it: the mask, if there is one, stands for the group.
    pub(crate) fn mode_bits(&self) -> u16 {
        let of = |tag: u16| self.0.iter().find(|entry| entry.tag == tag).map(|entry| entry.permissions);
        let group = of(MASK).or(of(GROUP_OBJ)).unwrap_or(0);
        of(USER_OBJ).unwrap_or(0) << 6 | group << 3 | of(OTHER).unwrap_or(0)
    }

    /// Whether it says no more than permission bits can.
    pub(crate) fn is_only_mode(&self) -> bool {
        self.0.len() == 3
    }
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
        let disk = acl.to_disk();
        assert_eq!(disk, [1, 0, 0, 0, 1, 0, 6, 0, 2, 0, 4, 0, 0xE8, 3, 0, 0, 4, 0, 4, 0, 16, 0, 6, 0, 32, 0, 0, 0]);
        assert_eq!(Acl::from_disk(&disk).unwrap().to_xattr(), SEEN);
        assert_eq!(acl.mode_bits(), 0o660);
        assert!(!acl.is_only_mode());
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        for (change, problem) in [
            (&[(0, 1)][..], "version 1"),
            (&[(4, 2)], "without exactly one entry each"),
            (&[(6, 9)], "permissions 0x9"),
            (&[(28, 64)], "tag 0x40"),
            (&[(28, 8)], "without a mask"),
            (&[(12, 8)], "out of order"),
        ] {
            let mut bytes = SEEN.to_vec();
            change.iter().for_each(|&(at, byte)| bytes[at] = byte);
            let error = Acl::from_xattr(&bytes).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        assert!(Acl::from_xattr(&SEEN[..30]).unwrap_err().contains("ends within an entry"));
        assert!(Acl::from_disk(SEEN).unwrap_err().contains("version 2"));
    }
}
