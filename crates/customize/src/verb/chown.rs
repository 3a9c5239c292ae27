//! `chown`: an owner.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::GuestPath;

use super::{SyntaxError, owner, path};
use crate::carry_out::Work;
use crate::error::Error;
use crate::owner::{Owner, numbers};
use crate::report::Report;

/// An owner, and what gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chown {
    /// The file or directory; a symlink stands for what it points to.
    pub path: GuestPath,
    /// The owner.
    pub owner: Owner,
    /// Whether all that is below a directory gets it too; symlinks there themselves.
    pub recursive: bool,
}

impl Chown {
    /// The chown that `USER:GROUP:PATH` says.
    ///
    /// # Errors
    ///
    /// An owner or a path that is none.
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

impl Work<'_> {
    pub(crate) fn chown(&mut self, chown: &Chown) -> Result<Report, Error> {
        let (uid, gid) = numbers(self.guest, &chown.owner)?;
        let found = self.existing(&chown.path)?;
        let metadata = self.guest.metadata(&found.node)?;
        let paths = if chown.recursive { self.tree(&found.path)? } else { vec![found.path.clone()] };
        for path in &paths {
            self.set_owner(path, uid, gid)?;
        }
        let before = format!("{}:{}", metadata.uid, metadata.gid);
        let text = match paths.len() {
            1 => format!("changed the owner of {} from {before} to {uid}:{gid}", found.path),
            more => format!("changed the owner of {} and {} below it to {uid}:{gid}", found.path, more - 1),
        };
        Ok(Report::new("chown", text, vec![found.path.to_string()], Vec::new()))
    }
}
