//! `touch`: makes an empty file, or sets the times of a file.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::LastLink;
use guest::{GuestPath, Times};
use recipe::SyntaxError;

use super::{Apply, Flag, StepForm, Verb, path};
use crate::carry_out::{Work, expect_regular};
use crate::error::Error;
use crate::inherit::NEW_FILE;
use crate::report::Report;

/// Makes an empty file, or sets the times of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The file; a symlink is followed, unless only regular files are allowed.
    pub path: GuestPath,
    /// Whether an existing file must be a regular one, and not a symlink.
    pub only_regular: bool,
}

impl Touch {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "touch",
            value: Some("PATH"),
            help: "Make an empty file, or a file look new",
            parse: |text, _| Touch::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "touch",
            value: "PATH",
            keys: &[],
            read: |step| step.said(Touch::parse).map(Into::into),
        },
    }];

    /// Reads `PATH`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the path is invalid.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        Ok(Self { path: path(text.as_bytes())?, only_regular: false })
    }
}

impl Apply for Touch {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let last = if self.only_regular { LastLink::Keep } else { LastLink::Follow };
        let place = work.place(&self.path, last)?;
        match &place.found {
            Some(node) => {
                if self.only_regular {
                    expect_regular(&place.path, node.kind())?;
                }
                let now = Some(work.now);
                work.guest.set_times(&place.path, &Times { accessed: now, modified: now, changed: now })?;
            }
            None => {
                work.create(&place.path, &work.attributes(0o644), b"")?;
                work.inherit(&place.path, NEW_FILE)?;
            }
        }
        Ok(Report::new("touch", format!("touched {}", place.path), vec![place.path.to_string()], place.parents))
    }

    fn targets(&self) -> Vec<&GuestPath> {
        vec![&self.path]
    }
}
