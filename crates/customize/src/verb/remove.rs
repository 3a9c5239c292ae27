//! `remove`: removes files and trees.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::GuestPath;
use recipe::SyntaxError;

use super::{Apply, Flag, StepForm, Verb, path};
use crate::carry_out::Work;
use crate::error::Error;
use crate::report::Report;

/// Removes files and trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remove {
    /// A path, or a pattern of paths: `*` stands for anything in a name, `?` for one byte, `[a-c]` and `[!a-c]` for
    /// one byte of a set, and `\` takes the next byte as it is. Only a pattern that begins with `.` matches a name
    /// that does. Symlinks are removed themselves, and directories with everything in them.
    pub pattern: GuestPath,
}

impl Remove {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "remove",
            value: Some("PATTERN"),
            help: "Remove files, and directories with everything in them: `*`, `?` and `[a-z]` stand for parts of a \
                   name",
            parse: |text, _| Remove::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "remove",
            value: "PATTERN",
            keys: &[],
            read: |step| step.said(Remove::parse).map(Into::into),
        },
    }];

    /// Reads `PATTERN`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the path is invalid or `/`.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let pattern = path(text.as_bytes())?;
        if pattern.components().all(|name| name == b"..") {
            return Err(SyntaxError::other("`/` is the whole guest and cannot be removed"));
        }
        Ok(Self { pattern })
    }
}

impl Apply for Remove {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let paths = work.guest.matching(&self.pattern)?;
        for path in &paths {
            // A match may have been below another one.
            match work.guest.remove_tree(path) {
                Err(error) if error.is_not_found() => {}
                result => result?,
            }
        }
        let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        let text = match &paths[..] {
            [] => format!("removed nothing: {} is not in the guest", self.pattern),
            [path] => format!("removed {path}"),
            _ => format!("removed {} ({} matches)", self.pattern, paths.len()),
        };
        Ok(Report::new("remove", text, paths, Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_not_removed() {
        for text in ["/", "//", "/.", "/..", "/../."] {
            assert!(Remove::parse(OsStr::new(text)).is_err(), "{text}");
        }
    }
}
