//! The tree of a text.

use std::ops::Range;

use super::Integer;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it is, in bytes of the text. A value from an alias or a merge is where it was written.
    pub span: Range<usize>,
    /// How it is written.
    pub style: Style,
    /// Whether it has an explicit tag.
    pub is_tagged: bool,
}

/// How a node is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A scalar without quotes.
    Plain,
    /// A scalar in quotes.
    Quoted,
    /// A scalar after `|` or `>`.
    Block,
    /// A sequence or a mapping.
    Collection,
}

/// The Python value of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    Null,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Integer(Integer),
    /// `float`.
    Float(f64),
    /// `str`.
    String(String),
    /// `bytes`.
    Binary(Vec<u8>),
    /// `datetime.date` and `datetime.datetime`, in ISO 8601.
    Timestamp(String),
    /// `list`.
    Sequence(Vec<Node>),
    /// `dict`: each key once, in the order in which Python has them.
    Mapping(Vec<Entry>),
    /// `set`, or a list of pairs: from YAML's `!!set`, `!!omap` or `!!pairs`.
    Other(&'static str),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key: a scalar.
    pub key: Node,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The items, if it is a sequence.
    pub fn items(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if it is a mapping.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The entry whose key is the text `key`, if it is a mapping that has one.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key.as_str() == Some(key))
    }

    /// The value of the key `key`, if it is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value of the key `key` as a text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// Whether it is true in Python.
    pub fn is_truthy(&self) -> bool {
        match &self.value {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Integer(value) => !value.is_zero(),
            Value::Float(value) => *value != 0.0,
            Value::String(text) => !text.is_empty(),
            Value::Binary(bytes) => !bytes.is_empty(),
            Value::Timestamp(_) | Value::Other(_) => true,
            Value::Sequence(items) => !items.is_empty(),
            Value::Mapping(entries) => !entries.is_empty(),
        }
    }

    /// What it is, for people.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::Binary(_) => "binary data",
            Value::Timestamp(_) => "a date",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Other(kind) => kind,
        }
    }
}
