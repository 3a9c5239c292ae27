//! `replace`: replaces the matches of a regular expression.

use std::ffi::OsStr;

use guest::GuestPath;
use recipe::{Pattern, SyntaxError};

use super::{Apply, Flag, StepForm, Verb, path, utf8};
use crate::carry_out::{Warning, Work};
use crate::error::Error;
use crate::report::Report;

/// Replaces the matches of a regular expression in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replace {
    /// The file; a symlink is followed.
    pub path: GuestPath,
    /// The expression, which is searched for in each line.
    pub pattern: Pattern,
    /// The text that replaces a match: `$1` or `${name}` is what a group matched, `$$` is a dollar.
    pub with: String,
}

impl Replace {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "replace",
            value: Some("PATH:REGEX:TEXT"),
            help: "Replace each match in each line of a file; `$1` in TEXT is what the first group matched",
            parse: |text, _| Replace::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "replace",
            value: "PATH",
            keys: &["regex", "with"],
            read: |step| {
                let path = step.path();
                step.require("regex");
                let pattern = step.table.parsed("regex");
                step.require("with");
                let with = step.table.text("with");
                Some(Replace { path: path?, pattern: pattern?, with: with?.to_owned() }.into())
            },
        },
    }];

    /// Reads `PATH:REGEX:TEXT`. In REGEX, `\:` is a `:`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if there are not two `:`, or the path or the expression is invalid.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let form = || SyntaxError::form("PATH:REGEX:TEXT", "/etc/ssh/sshd_config:^#?Port .*:Port 2222");
        let (file, rest) = super::split(text).ok_or_else(form)?;
        let colons = (0..rest.len()).filter(|&at| rest[at] == b':');
        let colon = colons.into_iter().find(|&at| !is_escaped(rest, at)).ok_or_else(form)?;
        let expression = utf8(&rest[..colon])?;
        let with = utf8(&rest[colon + 1..])?.to_owned();
        Ok(Self { path: path(file)?, pattern: unescape_colons(expression).parse()?, with })
    }
}

/// Whether an odd number of backslashes comes before the byte.
fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

fn unescape_colons(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        if byte == b':' && is_escaped(text.as_bytes(), at) {
            bytes.pop();
        }
        bytes.push(byte);
    }
    // Only ASCII characters were removed.
    String::from_utf8(bytes).unwrap_or_default()
}

impl Apply for Replace {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let mut matches = 0;
        let path = work.edit_content(&self.path, |content| {
            let (edited, count) = self.pattern.replace_in_lines(content, &self.with);
            matches = count;
            Ok(edited)
        })?;
        if matches == 0 {
            let pattern = self.pattern.as_str().to_owned();
            work.warnings.push(Warning::NoMatch { path: path.clone(), pattern });
        }
        let noun = if matches == 1 { "match" } else { "matches" };
        let text = format!("replaced {matches} {noun} in {path}");
        Ok(Report::new("replace", text, vec![path.to_string()], Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colons_of_an_expression_are_escaped_and_those_of_a_text_are_not() {
        let replace = Replace::parse(OsStr::new(r"/etc/passwd:^root\:x:root::a")).unwrap();
        assert_eq!((replace.pattern.as_str(), replace.with.as_str()), ("^root:x", "root::a"));
        let replace = Replace::parse(OsStr::new(r"/x:a\\:b")).unwrap();
        assert_eq!((replace.pattern.as_str(), replace.with.as_str()), (r"a\\", "b"));
    }

    #[test]
    fn an_invalid_value_says_why() {
        let error = |text: &str| Replace::parse(OsStr::new(text)).unwrap_err().to_string();
        assert_eq!(error("/x:(a:b"), "invalid regular expression: unclosed group");
        assert!(error("/x:a").starts_with("expected PATH:REGEX:TEXT, such as `"));
    }
}
