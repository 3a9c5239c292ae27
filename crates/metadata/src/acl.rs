//! POSIX access control lists, in the form in which Linux hands them to programs. File systems store them in forms of
//! their own.

/// `POSIX_ACL_XATTR_VERSION`.
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
pub struct Acl(Vec<AclEntry>);

/// Whom an entry is about, and what they may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// `ACL_USER_OBJ` and so on.
    pub tag: u16,
    /// Read, write and execute: up to 7.
    pub permissions: u16,
    /// The user or group, of an entry that names one. Others have `u32::MAX`.
    pub id: u32,
}

impl AclEntry {
    /// An entry; `id` counts only if the tag is that of a named user or group.
    pub fn new(tag: u16, permissions: u16, id: u32) -> Self {
        Self { tag, permissions, id: if Self::has_id(tag) { id } else { NO_ID } }
    }

    /// Whether an entry with this tag names a user or a group.
    pub fn has_id(tag: u16) -> bool {
        tag == USER || tag == GROUP
    }
}

impl Acl {
    /// A list of these entries: owner, users, group, groups, mask, others, in this order. A mask is needed with users
    /// or groups.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn new(entries: Vec<AclEntry>) -> Result<Self, String> {
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

    /// Reads the form that programs see.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn from_xattr(bytes: &[u8]) -> Result<Self, String> {
        let (version, entries) = bytes.split_first_chunk::<4>().ok_or_else(|| Self::ends_early(bytes))?;
        let version = u32::from_le_bytes(*version);
        if version != XATTR_VERSION {
            return Err(Self::wrong_version(version, XATTR_VERSION));
        }
        if !entries.len().is_multiple_of(8) {
            return Err(Self::ends_early(bytes));
        }
        let half = |entry: &[u8], at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        let entry = |entry: &[u8]| {
            AclEntry::new(half(entry, 0), half(entry, 2), u32::from(half(entry, 6)) << 16 | u32::from(half(entry, 4)))
        };
        Self::new(entries.chunks_exact(8).map(entry).collect())
    }

    /// The problem of a list whose last entry is cut off.
    pub fn ends_early(bytes: &[u8]) -> String {
        format!("an ACL of {} bytes ends within an entry", bytes.len())
    }

    /// The problem of a list in another form.
    pub fn wrong_version(found: u32, expected: u32) -> String {
        format!("an ACL of version {found}, expected {expected}")
    }

    /// The entries.
    pub fn entries(&self) -> &[AclEntry] {
        &self.0
    }

    /// The form that programs see.
    pub fn to_xattr(&self) -> Vec<u8> {
        let mut bytes = XATTR_VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            bytes.extend_from_slice(&entry.tag.to_le_bytes());
            bytes.extend_from_slice(&entry.permissions.to_le_bytes());
            bytes.extend_from_slice(&entry.id.to_le_bytes());
        }
        bytes
    }

    /// The permission bits that show it: the mask, if there is one, stands for the group.
    pub fn mode_bits(&self) -> u16 {
        let of = |tag: u16| self.0.iter().find(|entry| entry.tag == tag).map(|entry| entry.permissions);
        let group = of(MASK).or(of(GROUP_OBJ)).unwrap_or(0);
        of(USER_OBJ).unwrap_or(0) << 6 | group << 3 | of(OTHER).unwrap_or(0)
    }

    /// Whether it says no more than permission bits can.
    pub fn is_only_mode(&self) -> bool {
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
    fn a_list_is_read_and_made_as_getfattr_prints_it() {
        let acl = Acl::from_xattr(SEEN).unwrap();
        assert_eq!(acl.to_xattr(), SEEN);
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
    }
}
