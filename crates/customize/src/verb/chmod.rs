//! `chmod`: sets a mode.

use std::ffi::OsStr;

use guest::GuestPath;
use recipe::{Mode, SyntaxError};

use super::{Apply, Flag, StepForm, Verb, mode, path, split};
use crate::carry_out::Work;
use crate::error::Error;
use crate::report::Report;

/// Sets the mode of a file or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chmod {
    /// The file or directory; a symlink is followed.
    pub path: GuestPath,
    /// The mode.
    pub mode: Mode,
}

impl Chmod {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "chmod",
            value: Some("MODE:PATH"),
            help: "Set a mode, in octal with a leading 0",
            parse: |text, _| Chmod::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "chmod",
            value: "PATH",
            keys: &["mode"],
            read: |step| {
                let path = step.path();
                step.require("mode");
                let mode = step.table.mode("mode");
                Some(Chmod { path: path?, mode: mode? }.into())
            },
        },
    }];

    /// Reads `MODE:PATH`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the mode or the path is invalid.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let (bits, file) = split(text).ok_or_else(|| SyntaxError::form("MODE:PATH", "0755:/usr/local/bin/app"))?;
        Ok(Self { path: path(file)?, mode: mode(bits)? })
    }
}

impl Apply for Chmod {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let found = work.existing(&self.path)?;
        let before = Mode::from_bits(work.guest.metadata(&found.node)?.permissions);
        work.guest.set_permissions(&found.path, self.mode.bits(), work.now)?;
        let text = format!("changed the mode of {} from {before} to {}", found.path, self.mode);
        Ok(Report::new("chmod", text, vec![found.path.to_string()], Vec::new()))
    }
}
