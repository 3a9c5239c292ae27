//! `scrub`: removes a file and overwrites its content.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::Found;
use guest::{FileKind, GuestPath, Location};
use recipe::SyntaxError;

use super::{Apply, Flag, StepForm, Verb, path};
use crate::carry_out::{Work, expect_regular};
use crate::error::Error;
use crate::report::Report;

/// The size of one write of zeros, in bytes.
const STEP_BYTES: usize = 1 << 20;

/// Overwrites a file with zeros and removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrub {
    /// The file; a symlink is followed.
    pub path: GuestPath,
}

impl Scrub {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "scrub",
            value: Some("PATH"),
            help: "Overwrite a file with zeros and remove it",
            parse: |text, _| Scrub::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "scrub",
            value: "PATH",
            keys: &[],
            read: |step| step.said(Scrub::parse).map(Into::into),
        },
    }];

    /// Reads `PATH`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the path is invalid.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        Ok(Self { path: path(text.as_bytes())? })
    }
}

impl Apply for Scrub {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let found = work.existing(&self.path)?;
        expect_regular(&found.path, found.node.kind())?;
        let metadata = work.guest.metadata(&found.node)?;
        if metadata.links > 1 {
            let names = metadata.links;
            let path = &found.path;
            let error = Error::refused(format!("`{path}` has {names} names, and the others would keep its content"));
            return Err(error.hint("`remove` the others first"));
        }
        work.overwrite(&found)?;
        work.guest.remove_file(&found.path)?;
        Ok(Report::new("scrub", format!("scrubbed {}", found.path), vec![found.path.to_string()], Vec::new()))
    }
}

impl Work<'_> {
    /// Whether the file is a regular one without further names.
    pub(crate) fn is_only_name(&self, found: &Found<Location>) -> Result<bool, Error> {
        let metadata = self.guest.metadata(&found.node)?;
        Ok(metadata.kind == FileKind::Regular && metadata.links <= 1)
    }

    /// Overwrites the content of the regular file that was found with zeros.
    pub(crate) fn overwrite(&mut self, found: &Found<Location>) -> Result<(), Error> {
        if !self.is_unix(&found.path)? {
            return Ok(());
        }
        // In place, because freed blocks keep their content. Holes stay holes.
        let size_bytes = self.guest.metadata(&found.node)?.size_bytes;
        let zeros = vec![0; STEP_BYTES.min(size_bytes as usize)];
        let mut content = vec![0; zeros.len()];
        let mut offset = 0;
        while offset < size_bytes {
            let read = self.guest.read_at(&found.path, offset, &mut content)?;
            if read == 0 {
                break;
            }
            if content[..read].iter().any(|&byte| byte != 0) {
                self.guest.write_at(&found.path, offset, &zeros[..read])?;
            }
            offset += read as u64;
        }
        Ok(())
    }
}
