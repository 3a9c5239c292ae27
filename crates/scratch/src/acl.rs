//! POSIX ACLs in the form that programs see, `system.posix_acl_access` and `system.posix_acl_default`.
//!
//! Four bytes of version (2), then eight bytes an entry: tag, permissions (two bytes each), id. The ACL
//! `u::rwx,u:1000:r-x,g::r-x,m::r-x,o::---` has five: tags 1, 2, 4, 0x10 and 0x20. The three classes of the mode are
//! the entries 1, 0x20 and the mask 0x10, or 4 where there is no mask.

/// The ACL of a file.
pub(crate) const ACCESS: &[u8] = b"system.posix_acl_access";
/// What new files in a directory get.
pub(crate) const DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;
const ENTRY_BYTES: usize = 8;
const USER_OBJ: u16 = 0x01;
const GROUP_OBJ: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// What a new file gets from a default ACL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inherited {
    pub(crate) permissions: u16,
    /// `None` if the mode says all of it.
    pub(crate) access: Option<Vec<u8>>,
}

fn entries(acl: &[u8]) -> Option<impl Iterator<Item = (u16, u16)> + '_> {
    let (version, rest) = acl.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION || rest.is_empty() || !rest.len().is_multiple_of(ENTRY_BYTES) {
        return None;
    }
    let field = |entry: &[u8], at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
    Some(rest.chunks_exact(ENTRY_BYTES).map(move |entry| (field(entry, 0), field(entry, 2))))
}

fn permissions_of(acl: &[u8], tag: u16) -> Option<u16> {
    entries(acl)?.find(|(other, _)| *other == tag).map(|(_, permissions)| permissions & 7)
}

/// The mode's nine bits that an ACL means; `None` if it is none.
pub(crate) fn permissions(acl: &[u8]) -> Option<u16> {
    let group = permissions_of(acl, MASK).or_else(|| permissions_of(acl, GROUP_OBJ))?;
    Some(permissions_of(acl, USER_OBJ)? << 6 | group << 3 | permissions_of(acl, OTHER)?)
}

/// Whether an ACL says no more than a mode does.
pub(crate) fn is_minimal(acl: &[u8]) -> bool {
    entries(acl).is_some_and(|mut entries| entries.all(|(tag, _)| matches!(tag, USER_OBJ | GROUP_OBJ | OTHER)))
}

/// Has an ACL mean the mode `permissions`, as `chmod` does.
pub(crate) fn set_permissions(acl: &mut [u8], permissions: u16) {
    let has_mask = permissions_of(acl, MASK).is_some();
    for_each(acl, |tag, _| match tag {
        USER_OBJ => Some(permissions >> 6 & 7),
        MASK => Some(permissions >> 3 & 7),
        GROUP_OBJ if !has_mask => Some(permissions >> 3 & 7),
        OTHER => Some(permissions & 7),
        _ => None,
    });
}

fn for_each(acl: &mut [u8], change: impl Fn(u16, u16) -> Option<u16>) {
    for entry in acl[4..].chunks_exact_mut(ENTRY_BYTES) {
        let (tag, old) = (u16::from_le_bytes([entry[0], entry[1]]), u16::from_le_bytes([entry[2], entry[3]]));
        if let Some(permissions) = change(tag, old) {
            entry[2..4].copy_from_slice(&permissions.to_le_bytes());
        }
    }
}

/// What a file that is made with the mode `permissions` gets in a directory with the default ACL `default`; `None` if
/// that is no ACL.
pub(crate) fn inherit(default: &[u8], permissions: u16) -> Option<Inherited> {
    self::permissions(default)?;
    let mut access = default.to_vec();
    let has_mask = permissions_of(default, MASK).is_some();
    for_each(&mut access, |tag, old| match tag {
        USER_OBJ => Some(old & (permissions >> 6 & 7)),
        MASK => Some(old & (permissions >> 3 & 7)),
        GROUP_OBJ if !has_mask => Some(old & (permissions >> 3 & 7)),
        OTHER => Some(old & permissions & 7),
        _ => None,
    });
    let bits = self::permissions(&access)?;
    let access = (!is_minimal(&access)).then_some(access);
    Some(Inherited { permissions: permissions & !0o777 | bits, access })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let entry = |&(tag, permissions, id): &(u16, u16, u32)| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        [&2_u32.to_le_bytes()[..], &entries.iter().flat_map(entry).collect::<Vec<_>>()].concat()
    }

    const NONE: u32 = u32::MAX;

    #[test]
    fn an_acl_means_a_mode_and_a_mode_changes_the_acl() {
        let mut with_user = acl(&[(1, 7, NONE), (2, 5, 1000), (4, 5, NONE), (0x10, 5, NONE), (0x20, 0, NONE)]);
        assert_eq!(permissions(&with_user), Some(0o750));
        assert!(!is_minimal(&with_user));
        // chmod 0604: the group's bits are the mask's, and the group itself stays.
        set_permissions(&mut with_user, 0o604);
        assert_eq!(with_user, acl(&[(1, 6, NONE), (2, 5, 1000), (4, 5, NONE), (0x10, 0, NONE), (0x20, 4, NONE)]));
        let minimal = acl(&[(1, 6, NONE), (4, 4, NONE), (0x20, 4, NONE)]);
        assert_eq!(permissions(&minimal), Some(0o644));
        assert!(is_minimal(&minimal));
    }

    #[test]
    fn a_new_file_gets_no_more_than_it_asked_for() {
        let default = acl(&[(1, 7, NONE), (2, 7, 1000), (4, 5, NONE), (0x10, 7, NONE), (0x20, 5, NONE)]);
        let inherited = inherit(&default, 0o640).unwrap();
        assert_eq!(inherited.permissions, 0o640);
        let access = acl(&[(1, 6, NONE), (2, 7, 1000), (4, 5, NONE), (0x10, 4, NONE), (0x20, 0, NONE)]);
        assert_eq!(inherited.access, Some(access));
        let minimal = acl(&[(1, 7, NONE), (4, 5, NONE), (0x20, 5, NONE)]);
        assert_eq!(inherit(&minimal, 0o4666).unwrap(), Inherited { permissions: 0o4644, access: None });
    }

    #[test]
    fn what_is_no_acl_is_none() {
        for bytes in [&b""[..], b"\x02\0\0\0", b"\x01\0\0\0\x01\0\x07\0\xff\xff\xff\xff", &[2, 0, 0, 0, 1]] {
            assert_eq!(permissions(bytes), None);
            assert!(inherit(bytes, 0o777).is_none() && !is_minimal(bytes));
        }
    }
}
