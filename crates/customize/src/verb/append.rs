//! `append`: a file gets one more line.

use std::ffi::OsStr;

use guest::GuestPath;
use guest::resolve::LastLink;

use super::{SyntaxError, path, split};
use crate::carry_out::{EDIT_LIMIT_BYTES, Warning, Work, expect_regular};
use crate::error::Error;
use crate::inherit::NEW_FILE;
use crate::report::Report;

/// How much of a file is looked at to know how its lines end, in bytes.
const STYLE_BYTES: usize = 64 << 10;

/// A line, and the file that gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The file; a symlink stands for what it points to.
    pub path: GuestPath,
    /// The line or lines, without the newline at the end.
    pub line: Vec<u8>,
}

impl Append {
    /// The append that `PATH:LINE` says.
    ///
    /// # Errors
    ///
    /// A text without a `:`, and a path that is none.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let form = || SyntaxError::form("PATH:LINE", "/etc/hosts:10.0.0.1 db");
        let (file, line) = split(text).ok_or_else(form)?;
        Ok(Self { path: path(file)?, line: line.to_vec() })
    }
}

impl Work<'_> {
    pub(crate) fn append(&mut self, append: &Append) -> Result<Report, Error> {
        let place = self.place(&append.path, LastLink::Follow)?;
        let lines = append.line.strip_suffix(b"\n").unwrap_or(&append.line);
        match &place.found {
            Some(found) => {
                expect_regular(&place.path, found.kind())?;
                let size_bytes = self.guest.metadata(found)?.size_bytes;
                self.append_lines(&place.path, size_bytes, lines)?;
            }
            None => {
                self.create(&place.path, &self.attributes(0o644), &[lines, b"\n"].concat())?;
                self.inherit(&place.path, NEW_FILE)?;
                if !self.options.without_advice {
                    let advice = format!("`{}` was not there: `append` made it, 0644 and root's", place.path);
                    self.warnings.push(Warning::Other(advice));
                }
            }
        }
        let text = format!("appended to {}", place.path);
        Ok(Report::new("append", text, vec![place.path.to_string()], place.parents))
    }

    /// Adds lines behind the `size_bytes` bytes of a regular file, in the way that its lines end.
    fn append_lines(&mut self, path: &GuestPath, size_bytes: u64, lines: &[u8]) -> Result<(), Error> {
        let mut start = vec![0; size_bytes.min(STYLE_BYTES as u64) as usize];
        self.guest.read_at(path, 0, &mut start)?;
        let newline = start.iter().position(|&byte| byte == b'\n');
        let ending: &[u8] = match newline {
            Some(at) if at > 0 && start[at - 1] == b'\r' => b"\r\n",
            None if start.contains(&b'\r') => b"\r",
            _ => b"\n",
        };
        let end = ending[ending.len() - 1];
        let mut addition = Vec::new();
        let mut last = [end];
        if size_bytes > 0 {
            self.guest.read_at(path, size_bytes - 1, &mut last)?;
        }
        if last != [end] {
            addition.extend_from_slice(ending);
        }
        for line in lines.split(|&byte| byte == b'\n') {
            addition.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
            addition.extend_from_slice(ending);
        }
        let volume = self.existing(path)?.node.volume();
        if self.guest.volumes()[volume].file_system().is_some_and(guest::FileSystem::is_unix) {
            self.guest.write_at(path, size_bytes, &addition)?;
            self.guest.remove_xattr(path, b"security.capability")?;
            return self.content_changed(path);
        }
        let content = [self.guest.read(path, EDIT_LIMIT_BYTES)?, addition].concat();
        self.set_content(path, &content)
    }
}
