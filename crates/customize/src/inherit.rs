//! What a new file inherits from its directory: the group, and the default access control list.
//!
//! This is done as the kernel does it in `inode_init_owner` and `posix_acl_create`, for files whose mode and owner were
//! not given.

use guest::resolve::LastLink;
use guest::{FileKind, FileSystem, GuestPath};

use crate::carry_out::Work;
use crate::error::Error;

const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";
const SET_GROUP_ID: u16 = 0o2000;
/// The mode with which a program makes a file. The umask turns it into 0644, but not in a directory with a default
/// list.
pub(crate) const NEW_FILE: u16 = 0o666;
/// The same for a directory.
pub(crate) const NEW_DIRECTORY: u16 = 0o777;

// Names as in acl(5) and Linux's `posix_acl.h`.
const ACL_VERSION_BYTES: usize = 4;
const ACL_ENTRY_BYTES: usize = 8;
const ACL_USER_OBJ: u16 = 0x01;
const ACL_GROUP_OBJ: u16 = 0x04;
const ACL_MASK: u16 = 0x10;
const ACL_OTHER: u16 = 0x20;

impl Work<'_> {
    /// Lets the new file at `path` inherit from its directory. No symlink is on `path`, and `asked` is the mode with
    /// which a program would make it. Returns whether there was anything to inherit.
    pub(crate) fn inherit(&mut self, path: &GuestPath, asked: u16) -> Result<bool, Error> {
        let Some(directory) = path.parent() else { return Ok(false) };
        let directory = self.guest.find(&directory, LastLink::Follow)?;
        let file_system = self.guest.volumes()[directory.node.volume()].file_system();
        if !file_system.is_some_and(FileSystem::is_unix) {
            return Ok(false);
        }
        let of_directory = self.guest.metadata(&directory.node)?;
        let passes_group = of_directory.permissions & SET_GROUP_ID != 0;
        let attributes = self.guest.xattrs(&directory.path)?;
        let list = attributes.into_iter().find(|(name, _)| name == DEFAULT).map(|(_, value)| value);
        if !passes_group && list.is_none() {
            return Ok(false);
        }
        let node = self.guest.find(path, LastLink::Keep)?.node;
        let (kind, own) = (node.kind(), self.guest.metadata(&node)?);
        if passes_group {
            self.guest.set_owner(path, own.uid, of_directory.gid, self.now)?;
            if kind == FileKind::Directory {
                self.guest.set_permissions(path, own.permissions | SET_GROUP_ID, self.now)?;
            }
        }
        if let Some(list) = list.filter(|_| kind != FileKind::Symlink) {
            self.guest.set_xattr(path, ACCESS, &restricted(&list, asked))?;
            if kind == FileKind::Directory {
                self.guest.set_xattr(path, DEFAULT, &list)?;
            }
        }
        Ok(true)
    }
}

/// The list of a new file, which grants no more than the mode `asked`.
fn restricted(default: &[u8], asked: u16) -> Vec<u8> {
    let mut list = default.to_vec();
    let Some(entries) = list.get_mut(ACL_VERSION_BYTES..) else { return list };
    let tag = |entry: &[u8]| u16::from_le_bytes([entry[0], entry[1]]);
    let has_mask = entries.chunks_exact(ACL_ENTRY_BYTES).any(|entry| tag(entry) == ACL_MASK);
    for entry in entries.chunks_exact_mut(ACL_ENTRY_BYTES) {
        let allowed = match tag(entry) {
            ACL_USER_OBJ => asked >> 6,
            ACL_MASK => asked >> 3,
            // If there is a mask, it stands for the group.
            ACL_GROUP_OBJ if !has_mask => asked >> 3,
            ACL_OTHER => asked,
            _ => continue,
        };
        // Permissions are the lower three bits of two bytes.
        entry[2] &= (allowed & 7) as u8;
    }
    list
}
