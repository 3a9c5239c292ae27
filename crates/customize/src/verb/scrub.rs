//! `scrub`: a file of which nothing is to stay in the image.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::GuestPath;

use super::{SyntaxError, path};
use crate::carry_out::{Work, expect_regular};
use crate::error::Error;
use crate::report::Report;

/// How many zeros are written at a time, in bytes.
const STEP_BYTES: usize = 1 << 20;

/// A file that goes, with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrub {
    /// The file; a symlink stands for what it points to.
    pub path: GuestPath,
}

impl Scrub {
    /// The scrub that `PATH` says.
    ///
    /// # Errors
    ///
    /// A path that is none.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        Ok(Self { path: path(text.as_bytes())? })
    }
}

impl Work<'_> {
    pub(crate) fn scrub(&mut self, scrub: &Scrub) -> Result<Report, Error> {
        let found = self.existing(&scrub.path)?;
        expect_regular(&found.path, found.node.kind())?;
        let metadata = self.guest.metadata(&found.node)?;
        if metadata.links > 1 {
            let names = metadata.links;
            let error = Error::refused(format!("`{}` has {names} names, and the others would stay", found.path));
            return Err(error.hint("`remove` the others first"));
        }
        if self.is_unix(&found.path)? {
            // In place: blocks that are given up keep what is in them. Holes stay holes.
            let zeros = vec![0; STEP_BYTES.min(metadata.size_bytes as usize)];
            let mut content = vec![0; zeros.len()];
            let mut offset = 0;
            while offset < metadata.size_bytes {
                let read = self.guest.read_at(&found.path, offset, &mut content)?;
                if read == 0 {
                    break;
                }
                if content[..read].iter().any(|&byte| byte != 0) {
                    self.guest.write_at(&found.path, offset, &zeros[..read])?;
                }
                offset += read as u64;
            }
        }
        self.guest.remove_file(&found.path)?;
        Ok(Report::new("scrub", format!("scrubbed {}", found.path), vec![found.path.to_string()], Vec::new()))
    }
}
