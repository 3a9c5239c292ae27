//! `chown`: sets an owner.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::GuestPath;
use recipe::{Owner, SyntaxError};

use super::{Apply, Flag, StepForm, Verb, owner, path};
use crate::carry_out::Work;
use crate::error::Error;
use crate::owner::numbers;
use crate::report::Report;

/// Sets the owner of a file, a directory or a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chown {
    /// The file or directory; a symlink is followed.
    pub path: GuestPath,
    /// The owner.
    pub owner: Owner,
    /// Whether everything below a directory gets it too. Symlinks there are not followed.
    pub recursive: bool,
}

impl Chown {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "chown",
            value: Some("USER:GROUP:PATH"),
            help: "Set an owner, by number or by the guest's names",
            parse: |text, _| Chown::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "chown",
            value: "PATH",
            keys: &["owner", "recursive"],
            read: |step| {
                let path = step.path();
                step.require("owner");
                let owner = step.table.parsed("owner");
                let recursive = step.table.boolean("recursive").unwrap_or(false);
                Some(Chown { path: path?, owner: owner?, recursive }.into())
            },
        },
    }];

    /// Reads `USER:GROUP:PATH`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the owner or the path is invalid.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let mut fields = text.as_bytes().splitn(3, |&byte| byte == b':');
        match (fields.next(), fields.next(), fields.next()) {
            (Some(user), Some(group), Some(file)) if !file.is_empty() => {
                Ok(Self { path: path(file)?, owner: owner(user, group)?, recursive: false })
            }
            _ => Err(SyntaxError::form("USER:GROUP:PATH", "www-data:www-data:/srv/www")),
        }
    }
}

impl Apply for Chown {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let (uid, gid) = numbers(work.guest, &self.owner)?;
        let found = work.existing(&self.path)?;
        let metadata = work.guest.metadata(&found.node)?;
        let paths = if self.recursive { work.tree(&found.path)? } else { vec![found.path.clone()] };
        for path in &paths {
            work.set_owner(path, uid, gid)?;
        }
        let before = format!("{}:{}", metadata.uid, metadata.gid);
        let text = match paths.len() {
            1 => format!("changed the owner of {} from {before} to {uid}:{gid}", found.path),
            more => format!("changed the owner of {} and {} below it to {uid}:{gid}", found.path, more - 1),
        };
        Ok(Report::new("chown", text, vec![found.path.to_string()], Vec::new()))
    }
}
