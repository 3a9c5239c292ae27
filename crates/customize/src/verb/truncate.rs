//! `truncate`: files that are to be empty.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::LastLink;
use guest::{FileKind, GuestPath, PathProblem};

use super::{SyntaxError, path};
use crate::carry_out::{Work, expect_regular};
use crate::error::Error;
use crate::report::Report;

/// A file that is to be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncate {
    /// The file; a symlink stands for what it points to.
    pub path: GuestPath,
    /// Whether `path` is a directory, and all regular files below it are meant.
    pub recursive: bool,
}

impl Truncate {
    /// The truncate of one file that `PATH` says.
    ///
    /// # Errors
    ///
    /// A path that is none.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        Ok(Self { path: path(text.as_bytes())?, recursive: false })
    }

    /// The truncate of all files below a directory that `PATH` says.
    ///
    /// # Errors
    ///
    /// A path that is none.
    pub fn parse_recursive(text: &OsStr) -> Result<Self, SyntaxError> {
        Ok(Self { path: path(text.as_bytes())?, recursive: true })
    }
}

impl Work<'_> {
    pub(crate) fn truncate(&mut self, truncate: &Truncate) -> Result<Report, Error> {
        let found = self.existing(&truncate.path)?;
        if !truncate.recursive {
            expect_regular(&found.path, found.node.kind())?;
            self.empty(&found.path)?;
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
        for path in self.tree(&found.path)? {
            let node = self.guest.find(&path, LastLink::Keep)?.node;
            if node.kind() == FileKind::Regular && self.guest.metadata(&node)?.size_bytes > 0 {
                self.empty(&path)?;
                paths.push(path.to_string());
            }
        }
        let files = words::count(paths.len() as u64, "file", "files").unwrap_or_else(|| "no file".to_owned());
        Ok(Report::new("truncate", format!("emptied {files} below {}", found.path), paths, Vec::new()))
    }

    fn empty(&mut self, path: &GuestPath) -> Result<(), Error> {
        self.set_content(path, b"")
    }
}
