use std::fmt;
use std::str::FromStr;

use regex::bytes::{Regex, RegexBuilder};

use crate::syntax::SyntaxError;

/// The most memory that a compiled expression may take, in bytes.
const REGEX_LIMIT_BYTES: usize = 4 << 20;

/// A regular expression.
#[derive(Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// The expression.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it matches anywhere in `text`.
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }

    /// Replaces each match in each line of `text`, where `$1` or `${name}` in `with` is what a group matched and
    /// `$$` is a dollar. Line ends are not part of a line and stay as they are. Returns the new text and the number
    /// of matches.
    pub fn replace_in_lines(&self, text: &[u8], with: &str) -> (Vec<u8>, u64) {
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

impl FromStr for Pattern {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let regex = RegexBuilder::new(text).size_limit(REGEX_LIMIT_BYTES).build();
        regex.map(Self).map_err(|error| {
            // The parser draws a picture; its last line says what is wrong.
            let text = error.to_string();
            let problem = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            SyntaxError::Pattern { problem }
        })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_match_in_each_line_is_replaced_and_lines_end_as_they_did() {
        let (edited, matches) = "(a+)$".parse::<Pattern>().unwrap().replace_in_lines(b"baa\r\na b\n\xffa", "<$1>");
        assert_eq!((edited.as_slice(), matches), (&b"b<aa>\r\na b\n\xff<a>"[..], 2));
        let (edited, matches) = "a".parse::<Pattern>().unwrap().replace_in_lines(b"aa\n\n", "$$");
        assert_eq!((edited.as_slice(), matches), (&b"$$\n\n"[..], 2));
    }

    #[test]
    fn an_invalid_expression_says_why() {
        let error = |text: &str| text.parse::<Pattern>().unwrap_err().to_string();
        assert_eq!(error("(a"), "invalid regular expression: unclosed group");
        assert!(error("(a{1000}){1000}").contains("size limit"), "{}", error("(a{1000}){1000}"));
    }
}
