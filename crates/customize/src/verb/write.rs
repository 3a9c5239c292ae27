//! `write`: gives a file a content.

use std::ffi::OsStr;

use guest::resolve::LastLink;
use guest::{FileKind, GuestPath};
use recipe::{ByteSize, Mode, Owner, SyntaxError};

use super::{Apply, Flag, StepForm, Verb, path, split};
use crate::carry_out::{Work, expect_regular};
use crate::error::Error;
use crate::inherit::NEW_FILE;
use crate::owner::numbers;
use crate::report::Report;

/// The mode of a new file.
const NEW_PERMISSIONS: u16 = 0o644;

/// Gives a file a content; a missing file is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The file; a symlink is followed.
    pub path: GuestPath,
    /// The whole content. No newline is added.
    pub content: Vec<u8>,
    /// The mode. If this is `None`, an existing file keeps its mode and a new one gets 0644.
    pub mode: Option<Mode>,
    /// The owner. If this is `None`, an existing file keeps its owner and a new one gets root.
    pub owner: Option<Owner>,
}

impl Write {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "write",
            value: Some("PATH:TEXT"),
            help: "Make TEXT the content of a file; no newline is added",
            parse: |text, _| Write::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "write",
            value: "PATH",
            keys: &["text", "mode", "owner"],
            read: |step| {
                let path = step.path();
                step.require("text");
                let content = step.table.text("text");
                let (mode, owner) = (step.table.mode("mode"), step.table.parsed("owner"));
                Some(Write { path: path?, content: content?.as_bytes().to_vec(), mode, owner }.into())
            },
        },
    }];

    /// Reads `PATH:TEXT`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if there is no `:` or the path is invalid.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let (file, content) = split(text).ok_or_else(|| SyntaxError::form("PATH:TEXT", "/etc/motd:Hello"))?;
        Ok(Self { path: path(file)?, content: content.to_vec(), mode: None, owner: None })
    }
}

impl Apply for Write {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let owner = self.owner.as_ref().map(|owner| numbers(work.guest, owner)).transpose()?;
        let place = work.place(&self.path, LastLink::Follow)?;
        let is_new = place.found.is_none();
        match &place.found {
            Some(found) => {
                expect_regular(&place.path, found.kind())?;
                work.set_content(&place.path, &self.content)?;
            }
            None => {
                work.create(&place.path, &work.attributes(NEW_PERMISSIONS), &self.content)?;
                if self.mode.is_none() && self.owner.is_none() {
                    work.inherit(&place.path, NEW_FILE)?;
                }
            }
        }
        work.set_mode_and_owner(&place.path, self.mode, owner)?;
        let found = work.existing(&place.path)?;
        let metadata = work.guest.metadata(&found.node)?;
        work.note_placed(&place.path, metadata.permissions, self.content.starts_with(b"#!"));
        let text = format!(
            "wrote {} ({} {}:{}, {}){}",
            place.path,
            Mode::from_bits(metadata.permissions),
            metadata.uid,
            metadata.gid,
            ByteSize(self.content.len() as u64),
            if is_new { "" } else { ", in place of the old content" }
        );
        Ok(Report::new("write", text, vec![place.path.to_string()], place.parents))
    }

    fn targets(&self) -> Vec<&GuestPath> {
        vec![&self.path]
    }
}

impl Work<'_> {
    /// Sets the mode and the owner if they are given. No symlink is on `path`.
    pub(crate) fn set_mode_and_owner(
        &mut self,
        path: &GuestPath,
        mode: Option<Mode>,
        owner: Option<(u32, u32)>,
    ) -> Result<(), Error> {
        // In this order, because a new owner removes the set-id bits.
        if let Some((uid, gid)) = owner {
            self.set_owner(path, uid, gid)?;
        }
        if let Some(mode) = mode {
            self.guest.set_permissions(path, mode.bits(), self.now)?;
        }
        Ok(())
    }

    /// Sets an owner as the kernel does it: set-id bits and file capabilities go. No symlink is on `path`, but it may
    /// be one itself.
    pub(crate) fn set_owner(&mut self, path: &GuestPath, uid: u32, gid: u32) -> Result<(), Error> {
        let found = self.guest.find(path, LastLink::Keep)?;
        let permissions = self.guest.metadata(&found.node)?.permissions;
        self.guest.set_owner(path, uid, gid, self.now)?;
        if found.node.kind() == FileKind::Regular {
            // The set-group-ID bit of a file that the group cannot execute means locking, and stays.
            let group = if permissions & 0o010 != 0 { 0o2000 } else { 0 };
            if permissions & (0o4000 | group) != 0 {
                self.guest.set_permissions(path, permissions & !(0o4000 | group), self.now)?;
            }
            self.guest.remove_xattr(path, b"security.capability")?;
        }
        Ok(())
    }
}
