//! `move`: moves a file or a tree inside the guest.

use std::ffi::OsStr;

use guest::resolve::LastLink;
use guest::{FileKind, GuestPath, PathProblem};
use recipe::SyntaxError;

use super::copy::from_to;
use super::put::Destination;
use super::{Apply, Flag, StepForm, Verb};
use crate::carry_out::Work;
use crate::error::Error;
use crate::report::Report;

/// Moves a file or a tree inside the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The file or tree; a symlink is moved itself.
    pub from: GuestPath,
    /// The place that it is moved to. A directory gets it in it; a file there is replaced.
    pub to: Destination,
}

impl Move {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "move",
            value: Some("FROM:TO"),
            help: "Move a file or a tree inside the guest",
            parse: |text, _| Move::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "move",
            value: "PATH",
            keys: &["to"],
            read: |step| {
                let (from, to) = (step.path(), step.to());
                Some(Move { from: from?, to: to? }.into())
            },
        },
    }];

    /// Reads `FROM:TO`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if there is no `:` or a path is invalid.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let (from, to) = from_to(text)?;
        Ok(Self { from, to })
    }
}

impl Apply for Move {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let source = work.guest.find(&self.from, LastLink::Keep)?;
        let place = work.destination(&source, &self.to)?;
        let (from, to) = (&source.path, &place.path);
        if to.starts_with(from) {
            return Err(Error::refused(format!("`{from}` cannot be moved into itself, to `{to}`")));
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
        let is_renamed = match work.guest.rename(from, to) {
            Ok(()) => true,
            Err(guest::Error::Path { problem: PathProblem::OtherFileSystem, .. }) => false,
            Err(_) if !work.is_unix(to)? => false,
            Err(error) => return Err(error.into()),
        };
        if !is_renamed {
            work.copy_tree(from, to)?;
            work.guest.remove_tree(from)?;
        }
        let text = format!("moved {from} to {to}");
        Ok(Report::new("move", text, vec![to.to_string()], place.parents))
    }

    fn targets(&self) -> Vec<&GuestPath> {
        vec![&self.to.path]
    }
}
