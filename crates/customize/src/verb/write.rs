//! `write`: a file gets a content that is given in words.

use std::ffi::OsStr;

use guest::resolve::LastLink;
use guest::{FileKind, GuestPath};

use super::{SyntaxError, path, split};
use crate::carry_out::{Work, expect_regular};
use crate::error::Error;
use crate::inherit::NEW_FILE;
use crate::mode::Mode;
use crate::owner::{Owner, numbers};
use crate::report::Report;
use crate::size::ByteSize;

/// The mode of a new file.
const NEW_PERMISSIONS: u16 = 0o644;

/// A content, and the file that gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The file; a symlink stands for what it points to.
    pub path: GuestPath,
    /// All of its content: no newline is added.
    pub content: Vec<u8>,
    /// Its mode; where this is `None`, the one that it has, or 0644 where it is new.
    pub mode: Option<Mode>,
    /// Its owner; where this is `None`, the one that it has, or root where it is new.
    pub owner: Option<Owner>,
}

impl Write {
    /// The write that `PATH:TEXT` says.
    ///
    /// # Errors
    ///
    /// A text without a `:`, and a path that is none.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let (file, content) = split(text).ok_or_else(|| SyntaxError::form("PATH:TEXT", "/etc/motd:Hello"))?;
        Ok(Self { path: path(file)?, content: content.to_vec(), mode: None, owner: None })
    }
}

impl Work<'_> {
    pub(crate) fn write(&mut self, write: &Write) -> Result<Report, Error> {
        let owner = write.owner.as_ref().map(|owner| numbers(self.guest, owner)).transpose()?;
        let place = self.place(&write.path, LastLink::Follow)?;
        let is_new = place.found.is_none();
        match &place.found {
            Some(found) => {
                expect_regular(&place.path, found.kind())?;
                self.set_content(&place.path, &write.content)?;
            }
            None => {
                self.create(&place.path, &self.attributes(NEW_PERMISSIONS), &write.content)?;
                if write.mode.is_none() && write.owner.is_none() {
                    self.inherit(&place.path, NEW_FILE)?;
                }
            }
        }
        self.set_mode_and_owner(&place.path, write.mode, owner)?;
        let found = self.existing(&place.path)?;
        let metadata = self.guest.metadata(&found.node)?;
        let text = format!(
            "wrote {} ({} {}:{}, {}){}",
            place.path,
            Mode::from_bits(metadata.permissions),
            metadata.uid,
            metadata.gid,
            ByteSize(write.content.len() as u64),
            if is_new { "" } else { ", in place of the old content" }
        );
        Ok(Report::new("write", text, vec![place.path.to_string()], place.parents))
    }

    /// Sets those of mode and owner that are asked for. `path` has no symlinks in it.
    pub(crate) fn set_mode_and_owner(
        &mut self,
        path: &GuestPath,
        mode: Option<Mode>,
        owner: Option<(u32, u32)>,
    ) -> Result<(), Error> {
        // In this order: a new owner takes the set-id bits away.
        if let Some((uid, gid)) = owner {
            self.set_owner(path, uid, gid)?;
        }
        if let Some(mode) = mode {
            self.guest.set_permissions(path, mode.bits(), self.now)?;
        }
        Ok(())
    }

    /// Sets an owner as the kernel does it: what was granted to who runs a program goes. `path` has no
    /// symlinks in it, but may be one.
    pub(crate) fn set_owner(&mut self, path: &GuestPath, uid: u32, gid: u32) -> Result<(), Error> {
        let found = self.guest.find(path, LastLink::Keep)?;
        let permissions = self.guest.metadata(&found.node)?.permissions;
        self.guest.set_owner(path, uid, gid, self.now)?;
        if found.node.kind() == FileKind::Regular {
            // The set-group-ID bit without the right to execute is a lock, and stays.
            let group = if permissions & 0o010 != 0 { 0o2000 } else { 0 };
            if permissions & (0o4000 | group) != 0 {
                self.guest.set_permissions(path, permissions & !(0o4000 | group), self.now)?;
            }
            self.guest.remove_xattr(path, b"security.capability")?;
        }
        Ok(())
    }
}
