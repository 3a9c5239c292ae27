//! `truncate`: empties files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::LastLink;
use guest::{FileKind, GuestPath, PathProblem};
use recipe::SyntaxError;

use super::{Apply, Flag, StepForm, Verb, path};
use crate::carry_out::{Work, expect_regular};
use crate::error::Error;
use crate::report::Report;

/// Empties a file, or all files below a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncate {
    /// The file or directory; a symlink is followed.
    pub path: GuestPath,
    /// Whether `path` is a directory whose files are all emptied.
    pub recursive: bool,
}

impl Truncate {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[
            Flag {
                name: "truncate",
                value: Some("PATH"),
                help: "Make a file empty",
                parse: |text, _| Truncate::parse(text).map(Into::into),
            },
            Flag {
                name: "truncate-recursive",
                value: Some("PATH"),
                help: "Make all files below a directory empty",
                parse: |text, _| Truncate::parse_recursive(text).map(Into::into),
            },
        ],
        step: StepForm {
            name: "truncate",
            value: "PATH",
            keys: &["recursive"],
            read: |step| {
                let path = step.path();
                let recursive = step.table.boolean("recursive").unwrap_or(false);
                Some(Truncate { path: path?, recursive }.into())
            },
        },
    }];

    /// Reads the `PATH` of one file.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the path is invalid.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        Ok(Self { path: path(text.as_bytes())?, recursive: false })
    }

    /// Reads the `PATH` of a directory, all of whose files are meant.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the path is invalid.
    pub fn parse_recursive(text: &OsStr) -> Result<Self, SyntaxError> {
        Ok(Self { path: path(text.as_bytes())?, recursive: true })
    }
}

impl Apply for Truncate {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let found = work.existing(&self.path)?;
        if !self.recursive {
            expect_regular(&found.path, found.node.kind())?;
            work.empty(&found.path)?;
            return Ok(Report::new(
                "truncate",
                format!("emptied {}", found.path),
                vec![found.path.to_string()],
                Vec::new(),
            ));
        }
        if found.node.kind() != FileKind::Directory {
            let problem = PathProblem::NotADirectory { at: found.path.clone() };
            return Err(guest::Error::Path { path: found.path, problem }.into());
        }
        let mut paths = Vec::new();
        for path in work.tree(&found.path)? {
            let node = work.guest.find(&path, LastLink::Keep)?.node;
            if node.kind() == FileKind::Regular && work.guest.metadata(&node)?.size_bytes > 0 {
                work.empty(&path)?;
                paths.push(path.to_string());
            }
        }
        let files = words::count(paths.len() as u64, "file", "files").unwrap_or_else(|| "no file".to_owned());
        Ok(Report::new("truncate", format!("emptied {files} below {}", found.path), paths, Vec::new()))
    }
}

impl Work<'_> {
    fn empty(&mut self, path: &GuestPath) -> Result<(), Error> {
        self.set_content(path, b"")
    }
}
