//! `append`: adds a line to a file.

use std::ffi::OsStr;

use guest::GuestPath;
use guest::resolve::LastLink;
use recipe::SyntaxError;

use super::{Apply, Flag, StepForm, Verb, path, split};
use crate::carry_out::{EDIT_LIMIT_BYTES, Warning, Work, expect_regular};
use crate::error::Error;
use crate::inherit::NEW_FILE;
use crate::report::Report;

/// The size of the part of a file that says how its lines end, in bytes.
const STYLE_BYTES: usize = 64 << 10;

/// Adds a line to a file, which is made if it is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The file; a symlink is followed.
    pub path: GuestPath,
    /// The line or lines, without a newline at the end.
    pub line: Vec<u8>,
}

impl Append {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "append",
            value: Some("PATH:LINE"),
            help: "Add a line to a file",
            parse: |text, _| Append::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "append",
            value: "PATH",
            keys: &["line"],
            read: |step| {
                let path = step.path();
                step.require("line");
                let line = step.table.text("line");
                Some(Append { path: path?, line: line?.as_bytes().to_vec() }.into())
            },
        },
    }];

    /// Reads `PATH:LINE`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if there is no `:` or the path is invalid.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let form = || SyntaxError::form("PATH:LINE", "/etc/hosts:10.0.0.1 db");
        let (file, line) = split(text).ok_or_else(form)?;
        Ok(Self { path: path(file)?, line: line.to_vec() })
    }
}

impl Apply for Append {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let place = work.place(&self.path, LastLink::Follow)?;
        let lines = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        match &place.found {
            Some(found) => {
                expect_regular(&place.path, found.kind())?;
                let size_bytes = work.guest.metadata(found)?.size_bytes;
                work.append_lines(&place.path, size_bytes, lines)?;
            }
            None => {
                work.create(&place.path, &work.attributes(0o644), &[lines, b"\n"].concat())?;
                work.inherit(&place.path, NEW_FILE)?;
                if !work.options.without_advice {
                    let path = &place.path;
                    let advice = format!("`{path}` did not exist: `append` made it, with mode 0644 and owner root");
                    work.warnings.push(Warning::Other(advice));
                }
            }
        }
        let text = format!("appended to {}", place.path);
        Ok(Report::new("append", text, vec![place.path.to_string()], place.parents))
    }

    fn targets(&self) -> Vec<&GuestPath> {
        vec![&self.path]
    }
}

impl Work<'_> {
    /// Adds lines after the `size_bytes` bytes of a regular file, with the file's line ends.
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
