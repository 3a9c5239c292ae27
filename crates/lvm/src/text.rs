//! The text form of metadata: sections in braces, `key = value`, lists in brackets, and comments.

use std::ops::Range;

use crate::error::{Error, Result};

/// Sections are so deep at most.
const MAX_DEPTH: usize = 16;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Number(i64),
    Text(String),
    List(Vec<Value>),
    Section(Section),
}

/// What is between two braces, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Section(Vec<Entry>);

/// A name and its value.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    name: String,
    value: Value,
    /// Where the value is in the text; of a section, what is between its braces.
    span: Range<usize>,
}

impl Section {
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|entry| entry.name == key).map(|entry| &entry.value)
    }

    /// Where the value of `key` is in the text; of a section, what is between its braces.
    pub(crate) fn span(&self, key: &str) -> Option<Range<usize>> {
        self.0.iter().find(|entry| entry.name == key).map(|entry| entry.span.clone())
    }

    pub(crate) fn section(&self, key: &str) -> Option<&Section> {
        match self.get(key)? {
            Value::Section(section) => Some(section),
            _ => None,
        }
    }

    pub(crate) fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.0.iter().filter_map(|entry| match &entry.value {
            Value::Section(section) => Some((&entry.name[..], section)),
            _ => None,
        })
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Value::Number(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    pub(crate) fn list(&self, key: &str) -> &[Value] {
        match self.get(key) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }
}

/// Reads a whole text.
pub(crate) fn parse(text: &[u8]) -> Result<Section> {
    let mut reader = Reader { text, at: 0 };
    let section = reader.section(0)?;
    match reader.peek() {
        None => Ok(section),
        Some(byte) => Err(reader.corrupt(format!("`{}` where nothing was expected", char::from(byte)))),
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn corrupt(&self, problem: impl Into<String>) -> Error {
        Error::corrupt(format!("metadata, byte {}", self.at), problem)
    }

    /// The next byte that is neither a blank nor in a comment.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.text.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'#' => {
                    let rest = &self.text[self.at..];
                    self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                }
                byte => return Some(byte),
            }
        }
    }

    fn take(&mut self, expected: u8) -> Result<()> {
        match self.peek() {
            Some(byte) if byte == expected => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.corrupt(format!("no `{}`", char::from(expected)))),
        }
    }

    /// What follows until the section's closing brace, or the end.
    fn section(&mut self, depth: usize) -> Result<Section> {
        if depth > MAX_DEPTH {
            return Err(self.corrupt(format!("more than {MAX_DEPTH} sections in each other")));
        }
        let mut section = Section::default();
        while self.peek().is_some_and(|byte| byte != b'}') {
            let name = self.word();
            if name.is_empty() {
                return Err(self.corrupt("no name"));
            }
            let (value, span) = match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    let start = self.at;
                    let inner = self.section(depth + 1)?;
                    let span = start..self.at;
                    self.take(b'}')?;
                    (Value::Section(inner), span)
                }
                _ => {
                    self.take(b'=')?;
                    self.peek();
                    let start = self.at;
                    (self.value()?, start..self.at)
                }
            };
            section.0.push(Entry { name, value, span });
        }
        Ok(section)
    }

    fn word(&mut self) -> String {
        let start = self.at;
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.+-/".contains(byte);
        self.at += self.text[start..].iter().take_while(|byte| is_part(byte)).count();
        String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
    }

    fn value(&mut self) -> Result<Value> {
        match self.peek() {
            Some(b'"') => Ok(Value::Text(self.quoted()?)),
            Some(b'[') => {
                self.at += 1;
                let mut list = Vec::new();
                while self.peek() != Some(b']') {
                    // Lists are not in each other.
                    list.push(match self.peek() {
                        Some(b'"') => Value::Text(self.quoted()?),
                        _ => self.number()?,
                    });
                    if self.peek() == Some(b',') {
                        self.at += 1;
                    }
                }
                self.at += 1;
                Ok(Value::List(list))
            }
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Result<Value> {
        let word = self.word();
        word.parse().map(Value::Number).map_err(|_| self.corrupt(format!("`{word}` is no number")))
    }

    fn quoted(&mut self) -> Result<String> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.text.get(self.at) {
                None => return Err(self.corrupt("a text without an end")),
                Some(b'"') => break,
                Some(b'\\') => {
                    bytes.extend(self.text.get(self.at + 1));
                    self.at += 2;
                }
                Some(byte) => {
                    bytes.push(*byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_values_lists_and_comments_are_read() {
        let text = br#"# made by hand
            vg { id = "a\"b" seqno = 3 flags = []
              below { stripes = [ "pv0", 7 ] size = -1 } } # the end
            version = 1"#;
        let parsed = parse(text).unwrap();
        let group = parsed.section("vg").unwrap();
        assert_eq!((group.text("id"), group.number("seqno")), (Some("a\"b"), Some(3)));
        assert_eq!(group.list("flags"), []);
        let below = group.section("below").unwrap();
        assert_eq!(below.list("stripes"), [Value::Text("pv0".into()), Value::Number(7)]);
        assert_eq!((below.number("size"), parsed.number("version")), (None, Some(1)));
        let at = |section: &Section, key| std::str::from_utf8(&text[section.span(key).unwrap()]).unwrap();
        assert_eq!((at(group, "seqno"), at(below, "size"), at(group, "id")), ("3", "-1", "\"a\\\"b\""));
        assert_eq!(at(group, "below"), " stripes = [ \"pv0\", 7 ] size = -1 ");
    }

    #[test]
    fn what_is_built_ends_in_an_error() {
        for text in
            ["a {", "a = ", "a = [ 1,", "a = \"", "}", "= 1", "a b", "a = [ [ 1 ] ]", "a = 99999999999999999999"]
        {
            parse(text.as_bytes()).unwrap_err();
        }
        let deep = "a {".repeat(1_000_000);
        assert!(parse(deep.as_bytes()).unwrap_err().to_string().contains("more than 16 sections in each other"));
    }
}
