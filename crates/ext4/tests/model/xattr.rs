//! Extended attributes: which names Linux lets a file have, and values that it can make sense of.

use crate::content::Pattern;
use crate::tree::{Kind, Object};

/// The longest value and the longest name, its beginning included, that Linux hands to programs.
pub(crate) const MAX_VALUE_BYTES: u64 = 65_536;
const MAX_NAME_BYTES: usize = 255;

/// Tags of entries of an ACL in the form that programs see.
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const MASK: u16 = 16;
const OTHER: u16 = 32;
/// The id of an entry that is for no one in particular.
const NO_ID: u32 = u32::MAX;

/// Whether Linux would have an attribute of that name on the object.
pub(crate) fn may_have(object: &Object, name: &[u8]) -> bool {
    let is_file_or_directory = matches!(object.kind, Kind::File(_) | Kind::Directory { .. });
    let begins = |prefix: &[u8]| name.starts_with(prefix) && name.len() > prefix.len();
    let fits_the_kind = match name {
        b"system.posix_acl_access" => !matches!(object.kind, Kind::Symlink(_)),
        b"system.posix_acl_default" => object.is_directory(),
        _ => begins(b"user.") && is_file_or_directory || begins(b"trusted.") || begins(b"security."),
    };
    fits_the_kind && name.len() <= MAX_NAME_BYTES && !name.contains(&0)
}

impl Pattern {
    /// The value for an attribute of that name: the kernel reads capabilities before it shows them.
    pub(crate) fn xattr(&self, name: &[u8]) -> Vec<u8> {
        if name != b"security.capability" {
            return self.bytes();
        }
        // VFS_CAP_REVISION_2 with the effective bit, then permitted and inheritable sets, twice 32 bits.
        let words = [0x0200_0001, 1 << (self.seed % 32), 0, 0, 0];
        words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect()
    }
}

/// An access control list: the three classes, and perhaps one user and the mask that comes with that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acl {
    pub(crate) is_default: bool,
    /// Permissions of owner, group and others, up to 7.
    pub(crate) classes: [u16; 3],
    /// A user, that user's permissions, and the mask.
    pub(crate) named: Option<(u32, u16, u16)>,
}

impl Acl {
    pub(crate) fn name(&self) -> &'static [u8] {
        if self.is_default { b"system.posix_acl_default" } else { b"system.posix_acl_access" }
    }

    /// In the form that `getfattr` and `setfattr` have: version 2.
    pub(crate) fn value(&self) -> Vec<u8> {
        let [owner, group, other] = self.classes;
        let mut entries = vec![(USER_OBJ, owner, NO_ID)];
        entries.extend(self.named.map(|(id, permissions, _)| (USER, permissions, id)));
        entries.push((GROUP_OBJ, group, NO_ID));
        entries.extend(self.named.map(|(_, _, mask)| (MASK, mask, NO_ID)));
        entries.push((OTHER, other, NO_ID));
        let mut bytes = 2u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    /// What an access ACL makes of a file's permissions: those of the group are the mask.
    pub(crate) fn mode_bits(&self) -> u16 {
        let [owner, group, other] = self.classes;
        owner << 6 | self.named.map_or(group, |(_, _, mask)| mask) << 3 | other
    }
}
