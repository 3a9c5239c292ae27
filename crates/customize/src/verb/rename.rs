//! `move`: a file or a tree of the guest gets another place in it.

use std::ffi::OsStr;

use guest::resolve::LastLink;
use guest::{FileKind, GuestPath, PathProblem};

use super::SyntaxError;
use super::copy::from_to;
use super::put::Destination;
use crate::carry_out::Work;
use crate::error::Error;
use crate::report::Report;

/// A file or a tree of the guest, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// What; a symlink at the end is moved itself.
    pub from: GuestPath,
    /// Where to, or into where that is a directory. A file that is there is replaced.
    pub to: Destination,
}

impl Move {
    /// The move that `FROM:TO` says.
    ///
    /// # Errors
    ///
    /// A text without a `:`, and paths that are none.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let (from, to) = from_to(text)?;
        Ok(Self { from, to })
    }
}

impl Work<'_> {
    pub(crate) fn rename(&mut self, rename: &Move) -> Result<Report, Error> {
        let source = self.guest.find(&rename.from, LastLink::Keep)?;
        let place = self.destination(&source, &rename.to)?;
        let (from, to) = (&source.path, &place.path);
        if to.starts_with(from) {
            return Err(Error::refused(format!("`{from}` cannot be moved to `{to}`, which is in it or is itself")));
        }
        if let Some(found) = &place.found
            && (found.kind() == FileKind::Directory) != (source.node.kind() == FileKind::Directory)
        {
            let problem = match found.kind() {
                FileKind::Directory => PathProblem::IsADirectory,
                _ => PathProblem::NotADirectory { at: to.clone() },
            };
            return Err(guest::Error::Path { path: to.clone(), problem }.into());
        }
        let is_renamed = match self.guest.rename(from, to) {
            Ok(()) => true,
            Err(guest::Error::Path { problem: PathProblem::OtherFileSystem, .. }) => false,
            Err(_) if !self.is_unix(to)? => false,
            Err(error) => return Err(error.into()),
        };
        if !is_renamed {
            self.copy_tree(from, to)?;
            self.guest.remove_tree(from)?;
        }
        let text = format!("moved {from} to {to}");
        Ok(Report::new("move", text, vec![to.to_string()], place.parents))
    }
}
