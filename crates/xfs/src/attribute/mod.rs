//! Extended attributes: one list, read whole and stored whole, in the smallest form that takes it.
//!
//! Worked example: an SELinux label, `security.selinux` with a value of 32 bytes, is stored in the inode: 4 bytes of
//! header, then lengths and flags in 3 bytes, `selinux` and the value, 46 bytes in all. `di_forkoff` counts units of
//! 8 bytes: with 336 bytes for both forks it is 36, which leaves 288 for the data fork and 48 for the label.

mod acl;
mod read;
mod store;

use crate::directory::hash;
use crate::layout::attribute::{XFS_ATTR_ROOT, XFS_ATTR_SECURE};

/// A value has at most so many bytes.
const XFS_XATTR_SIZE_MAX: usize = 65536;
/// The names of namespaces, and their flags.
const NAMESPACES: [(&[u8], u8); 3] = [(b"user.", 0), (b"trusted.", XFS_ATTR_ROOT), (b"security.", XFS_ATTR_SECURE)];
/// Access control lists have names of their own on the disk.
const ACCESS_ACL: &[u8] = b"system.posix_acl_access";
const ACLS: [(&[u8], &[u8]); 2] = [(ACCESS_ACL, b"SGI_ACL_FILE"), (b"system.posix_acl_default", b"SGI_ACL_DEFAULT")];

/// An attribute as it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attribute {
    /// The namespace.
    flags: u8,
    /// The name without it.
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Attribute {
    fn hash(&self) -> u32 {
        hash(&self.name)
    }

    /// The name and the value as users have them.
    fn shown(self) -> (Vec<u8>, Vec<u8>) {
        if let Some((name, _)) = ACLS.iter().find(|(_, stored)| self.flags == XFS_ATTR_ROOT && *stored == self.name)
            && let Ok(acl) = acl::from_disk(&self.value)
        {
            return (name.to_vec(), acl.to_xattr());
        }
        let prefix =
            NAMESPACES.iter().find(|(_, flags)| *flags == self.flags).map_or(&b"user."[..], |(prefix, _)| prefix);
        ([prefix, &self.name].concat(), self.value)
    }
}

/// The flags and the name of an attribute on the disk; `None` if it cannot have the name.
fn stored_name(name: &[u8]) -> Option<(u8, &[u8])> {
    if let Some((_, stored)) = ACLS.iter().find(|(shown, _)| *shown == name) {
        return Some((XFS_ATTR_ROOT, stored));
    }
    let (prefix, flags) = NAMESPACES.iter().find(|(prefix, _)| name.starts_with(prefix))?;
    let rest = &name[prefix.len()..];
    (!rest.is_empty() && rest.len() <= 255).then_some((*flags, rest))
}
