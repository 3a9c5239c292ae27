//! Encrypted files (`encrypt`): each says how it is encrypted, and a directory and what is in it say the same.
//!
//! What is encrypted is not read here. The policy is: an attribute without a name that anyone may use, whose value is a
//! version, how contents and names are encrypted, which key does it, and 16 random bytes of the file's own.

use std::collections::BTreeMap;

use metadata::FileKind;
use storage::ReadAt;

use super::Check;
use crate::directory::DirectoryEntry;
use crate::error::{Object, Result};
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::EXT4_ENCRYPT_FL;
use crate::layout::xattr::EXT4_XATTR_INDEX_ENCRYPTION;
use crate::xattr::{Attribute, Value};

/// The policies' versions, and the sizes in bytes of the values that have them.
const VERSIONS: [(u8, usize); 2] = [(1, 28), (2, 40)];
/// What is at the end of a value: random bytes, different for each file.
const NONCE_BYTES: usize = 16;

/// How a file says that it is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// By one of the policies that were met, in their order.
    Known(u32),
    /// By one of a version that is not known here.
    Unknown,
    /// It does not say.
    Missing,
    /// What it says cannot be.
    Broken,
}

/// The policies of the encrypted inodes: some bytes an inode.
#[derive(Default)]
pub(super) struct Policies {
    inodes: BTreeMap<InodeNumber, Policy>,
    /// Policies that were met, without the bytes that each file has of its own.
    met: BTreeMap<Vec<u8>, u32>,
    /// Attribute blocks, which inodes can share, and what is in them.
    blocks: BTreeMap<u64, Policy>,
}

impl Policies {
    fn of(&mut self, attributes: &[Attribute]) -> Policy {
        let is_policy =
            |attribute: &&Attribute| attribute.index == EXT4_XATTR_INDEX_ENCRYPTION && attribute.suffix == b"c";
        let Some(attribute) = attributes.iter().find(is_policy) else { return Policy::Missing };
        let Value::Here(value) = &attribute.value else { return Policy::Broken };
        let Some(version) = value.first() else { return Policy::Broken };
        let Some((_, size)) = VERSIONS.iter().find(|(known, _)| known == version) else { return Policy::Unknown };
        if value.len() != *size {
            return Policy::Broken;
        }
        let next = self.met.len() as u32;
        Policy::Known(*self.met.entry(value[..size - NONCE_BYTES].to_vec()).or_insert(next))
    }
}

impl<S: ReadAt> Check<'_, S> {
    /// Notes how an inode that is encrypted says that it is.
    pub(super) fn encryption(&mut self, inode: &Inode) -> Result<()> {
        if !inode.has_flag(EXT4_ENCRYPT_FL) {
            return Ok(());
        }
        // Attributes that cannot be read are reported elsewhere.
        let Some(body) = Self::readable(inode.body_attributes())? else { return Ok(()) };
        let mut policy = self.policies.of(&body);
        if let (Policy::Missing, Some(block)) = (policy, inode.xattr_block()) {
            policy = match self.policies.blocks.get(&block) {
                Some(policy) => *policy,
                None => {
                    let attributes = Self::readable(self.filesystem.block_attributes(inode))?;
                    let policy = self.policies.of(&attributes.unwrap_or_default());
                    *self.policies.blocks.entry(block).or_insert(policy)
                }
            };
        }
        let object = Object::Inode(inode.number());
        match policy {
            Policy::Missing => self.report(object, "encrypted, but no attribute says how"),
            Policy::Broken => self.report(object, "encrypted, but the attribute that says how is invalid"),
            Policy::Known(_) | Policy::Unknown => {
                self.policies.inodes.insert(inode.number(), policy);
            }
        }
        Ok(())
    }

    /// Everything in an encrypted directory that can be encrypted is, and by the directory's policy.
    pub(super) fn entry_encryption(&mut self, directory: &Inode, entry: &DirectoryEntry) {
        let Some(expected) = self.policies.inodes.get(&directory.number()) else { return };
        let kind = FileKind::from_entry_type(self.known_kind(entry.inode));
        if !matches!(kind, Some(FileKind::Regular | FileKind::Directory | FileKind::Symlink)) {
            return;
        }
        let problem = match self.policies.inodes.get(&entry.inode) {
            Some(found) if found == expected => return,
            Some(_) => "is encrypted by another policy than its directory",
            None => "is not encrypted, but its directory is",
        };
        let name = entry.name.escape_ascii().to_string();
        self.report(Object::Inode(directory.number()), format!("`{name}`: inode {} {problem}", entry.inode));
    }
}
