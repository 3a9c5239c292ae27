//! `scrub`: removes a file and overwrites its content.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::GuestPath;
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
        if work.is_unix(&found.path)? {
            // In place, because freed blocks keep their content. Holes stay holes.
            let zeros = vec![0; STEP_BYTES.min(metadata.size_bytes as usize)];
            let mut content = vec![0; zeros.len()];
            let mut offset = 0;
            while offset < metadata.size_bytes {
                let read = work.guest.read_at(&found.path, offset, &mut content)?;
                if read == 0 {
                    break;
                }
                if content[..read].iter().any(|&byte| byte != 0) {
                    work.guest.write_at(&found.path, offset, &zeros[..read])?;
                }
                offset += read as u64;
            }
        }
        work.guest.remove_file(&found.path)?;
        Ok(Report::new("scrub", format!("scrubbed {}", found.path), vec![found.path.to_string()], Vec::new()))
    }
}
