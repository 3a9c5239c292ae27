//! `replace`: what matches a regular expression becomes something else.

use std::ffi::OsStr;
use std::fmt;
use std::str::FromStr;

use guest::GuestPath;
use regex::bytes::{Regex, RegexBuilder};

use super::{SyntaxError, path, utf8};
use crate::carry_out::{Warning, Work};
use crate::error::Error;
use crate::report::Report;

/// The most memory that a compiled expression may take, in bytes.
const REGEX_LIMIT_BYTES: usize = 4 << 20;

/// A regular expression, what becomes of what matches it, and the file in which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replace {
    /// The file; a symlink stands for what it points to.
    pub path: GuestPath,
    /// What is looked for, in each line.
    pub pattern: Pattern,
    /// What comes in its place: `$1` or `${name}` is what a group matched, `$$` a dollar.
    pub with: String,
}

/// A regular expression.
#[derive(Clone)]
pub struct Pattern(Regex);

impl FromStr for Pattern {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let regex = RegexBuilder::new(text).size_limit(REGEX_LIMIT_BYTES).build();
        regex.map(Self).map_err(|error| {
            // The parser draws a picture; its last line says what is wrong.
            let text = error.to_string();
            let problem = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            SyntaxError::new(format!("the regular expression is none: {problem}"))
        })
    }
}

impl Pattern {
    /// The expression.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it matches anywhere in `text`.
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.as_str())
    }
}

impl Replace {
    /// The replace that `PATH:REGEX:TEXT` says. In REGEX, `\:` is a `:`.
    ///
    /// # Errors
    ///
    /// A text without two `:`, a path or an expression that is none.
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

/// Whether an odd number of backslashes stands before the byte.
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
    // Only whole ASCII characters were taken out.
    String::from_utf8(bytes).unwrap_or_default()
}

impl Pattern {
    /// `text` with each match in each line replaced, and how many there were.
    fn replace_in_lines(&self, text: &[u8], with: &str) -> (Vec<u8>, u64) {
        let mut edited = Vec::with_capacity(text.len());
        let mut matches = 0;
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            let content = line.strip_suffix(b"\n").unwrap_or(line);
            let content = content.strip_suffix(b"\r").unwrap_or(content);
            matches += self.0.find_iter(content).count() as u64;
            edited.extend_from_slice(&self.0.replace_all(content, with.as_bytes()));
            edited.extend_from_slice(&line[content.len()..]);
        }
        (edited, matches)
    }
}

impl Work<'_> {
    pub(crate) fn replace(&mut self, replace: &Replace) -> Result<Report, Error> {
        let mut matches = 0;
        let path = self.edit_content(&replace.path, |content| {
            let (edited, count) = replace.pattern.replace_in_lines(content, &replace.with);
            matches = count;
            Ok(edited)
        })?;
        if matches == 0 {
            let pattern = replace.pattern.0.as_str().to_owned();
            self.warnings.push(Warning::NoMatch { path: path.clone(), pattern });
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
    fn each_match_in_each_line_is_replaced_and_lines_end_as_they_did() {
        let replace = Replace::parse(OsStr::new("/x:(a+)$:<$1>")).unwrap();
        let (edited, matches) = replace.pattern.replace_in_lines(b"baa\r\na b\n\xffa", &replace.with);
        assert_eq!((edited.as_slice(), matches), (&b"b<aa>\r\na b\n\xff<a>"[..], 2));
        let (edited, matches) = "a".parse::<Pattern>().unwrap().replace_in_lines(b"aa\n\n", "$$");
        assert_eq!((edited.as_slice(), matches), (&b"$$\n\n"[..], 2));
    }

    #[test]
    fn colons_of_an_expression_are_escaped_and_those_of_a_text_are_not() {
        let replace = Replace::parse(OsStr::new(r"/etc/passwd:^root\:x:root::a")).unwrap();
        assert_eq!((replace.pattern.0.as_str(), replace.with.as_str()), ("^root:x", "root::a"));
        let replace = Replace::parse(OsStr::new(r"/x:a\\:b")).unwrap();
        assert_eq!((replace.pattern.0.as_str(), replace.with.as_str()), (r"a\\", "b"));
    }

    #[test]
    fn what_is_no_expression_says_why() {
        let error = Replace::parse(OsStr::new("/x:(a:b")).unwrap_err();
        assert_eq!(error.to_string(), "the regular expression is none: unclosed group");
        assert!(Replace::parse(OsStr::new("/x:a")).unwrap_err().to_string().starts_with("PATH:REGEX:TEXT is needed"));
        assert!(Replace::parse(OsStr::new("/x:(a{1000}){1000}:b")).is_err());
    }
}
