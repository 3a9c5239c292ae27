//! `chmod`: a mode.

use std::ffi::OsStr;

use guest::GuestPath;

use super::{SyntaxError, mode, path, split};
use crate::carry_out::Work;
use crate::error::Error;
use crate::mode::Mode;
use crate::report::Report;

/// A mode, and what gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chmod {
    /// The file or directory; a symlink stands for what it points to.
    pub path: GuestPath,
    /// The mode.
    pub mode: Mode,
}

impl Chmod {
    /// The chmod that `MODE:PATH` says.
    ///
    /// # Errors
    ///
    /// A mode or a path that is none.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let (bits, file) = split(text).ok_or_else(|| SyntaxError::form("MODE:PATH", "0755:/usr/local/bin/app"))?;
        Ok(Self { path: path(file)?, mode: mode(bits)? })
    }
}

impl Work<'_> {
    pub(crate) fn chmod(&mut self, chmod: &Chmod) -> Result<Report, Error> {
        let found = self.existing(&chmod.path)?;
        let before = Mode::from_bits(self.guest.metadata(&found.node)?.permissions);
        self.guest.set_permissions(&found.path, chmod.mode.bits(), self.now)?;
        let text = format!("changed the mode of {} from {before} to {}", found.path, chmod.mode);
        Ok(Report::new("chmod", text, vec![found.path.to_string()], Vec::new()))
    }
}
