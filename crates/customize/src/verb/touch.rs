//! `touch`: an empty file, or a file that looks new.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::LastLink;
use guest::{GuestPath, Times};

use super::{SyntaxError, path};
use crate::carry_out::{Work, expect_regular};
use crate::error::Error;
use crate::inherit::NEW_FILE;
use crate::report::Report;

/// A file that is to be there, and to be as new as all that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The file; a symlink stands for what it points to, where that is allowed.
    pub path: GuestPath,
    /// Whether what is there has to be a regular file, and no symlink to one.
    pub only_regular: bool,
}

impl Touch {
    /// The touch that `PATH` says.
    ///
    /// # Errors
    ///
    /// A path that is none.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        Ok(Self { path: path(text.as_bytes())?, only_regular: false })
    }
}

impl Work<'_> {
    pub(crate) fn touch(&mut self, touch: &Touch) -> Result<Report, Error> {
        let last = if touch.only_regular { LastLink::Keep } else { LastLink::Follow };
        let place = self.place(&touch.path, last)?;
        match &place.found {
            Some(node) => {
                if touch.only_regular {
                    expect_regular(&place.path, node.kind())?;
                }
                let now = Some(self.now);
                self.guest.set_times(&place.path, &Times { accessed: now, modified: now, changed: now })?;
            }
            None => {
                self.create(&place.path, &self.attributes(0o644), b"")?;
                self.inherit(&place.path, NEW_FILE)?;
            }
        }
        Ok(Report::new("touch", format!("touched {}", place.path), vec![place.path.to_string()], place.parents))
    }
}
