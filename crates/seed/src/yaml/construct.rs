//! From nodes to values: merges, duplicate keys, and limits on what aliases multiply.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use super::compose::{Content, Raw, RawEntry, compose};
use super::node::{Entry, Node, Style, Value};
use super::resolve::{self, Kind};
use super::tag::Tag;
use super::{Error, Integer, MAX_NODES, MAX_TEXT_BYTES};
use crate::base64;

/// The most bytes in the scalars of a tree, counting what aliases stand for.
const MAX_SCALAR_BYTES: usize = 4 * MAX_TEXT_BYTES;

/// What a text is.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Its one document; `None` if there is none.
    pub root: Node,
    /// Duplicate keys.
    pub duplicates: Vec<Duplicate>,
}

/// A key that is in a mapping more than once: the last one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The key.
    pub key: String,
    /// The one that is ignored.
    pub lost: Range<usize>,
    /// The one that counts.
    pub kept: Range<usize>,
}

/// The tree that `text` is.
///
/// # Errors
///
/// If PyYAML's `SafeLoader` rejects the text, or it exceeds a bound.
pub fn parse(text: &str) -> Result<Tree, Error> {
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("the text is too long: size_bytes={}, the limit is {MAX_TEXT_BYTES}", text.len());
        return Err(Error::limit(message, 0..0));
    }
    let mut constructor = Constructor { nodes: 0, scalar_bytes: 0, duplicates: Vec::new() };
    let root = match compose(text)? {
        Some(root) => constructor.node(&root)?,
        None => Node { value: Value::Null, span: 0..0, style: Style::Plain, is_tagged: false },
    };
    Ok(Tree { root, duplicates: constructor.duplicates })
}

/// Makes values from nodes, and counts how aliases multiply them.
struct Constructor {
    nodes: usize,
    scalar_bytes: usize,
    duplicates: Vec<Duplicate>,
}

type Pair<'raw> = (&'raw Rc<Raw>, &'raw Rc<Raw>);

impl Constructor {
    fn node(&mut self, raw: &Raw) -> Result<Node, Error> {
        self.count(raw)?;
        let value = match (&raw.tag, &raw.content) {
            (Tag::Unknown(tag), _) => {
                return Err(Error::new(format!("cloud-init does not know the tag `{tag}`"), raw.span.clone())
                    .hint("put a text that begins with `!` in quotes"));
            }
            (Tag::Scalar(kind), Content::Scalar(text)) => {
                resolve::value(*kind, text).map_err(|problem| self.unreadable(raw, problem))?
            }
            (Tag::Binary, Content::Scalar(text)) => {
                let bytes = Some(text)
                    .filter(|text| text.is_ascii())
                    .and_then(|text| base64::decode(text))
                    .ok_or_else(|| Error::new("this is not base64", raw.span.clone()))?;
                Value::Binary(bytes)
            }
            (Tag::Sequence, Content::Sequence(items)) => {
                Value::Sequence(items.iter().map(|item| self.node(item)).collect::<Result<_, _>>()?)
            }
            (Tag::Mapping, Content::Mapping(entries)) => Value::Mapping(self.mapping(raw, entries)?),
            (Tag::Set, Content::Mapping(entries)) => {
                self.mapping(raw, entries)?;
                Value::Other("a set")
            }
            (Tag::Pairs, Content::Sequence(items)) => self.pairs(items)?,
            _ => return Err(Error::new(format!("the tag does not match {}", raw.kind()), raw.span.clone())),
        };
        Ok(Node { value, span: raw.span.clone(), style: raw.style, is_tagged: raw.is_tagged })
    }

    fn unreadable(&self, raw: &Raw, problem: String) -> Error {
        let error = Error::new(problem, raw.span.clone());
        match raw.style {
            Style::Plain if !raw.is_tagged => error.hint("in quotes it is a string"),
            _ => error,
        }
    }

    fn count(&mut self, raw: &Raw) -> Result<(), Error> {
        self.nodes += 1;
        if let Content::Scalar(text) = &raw.content {
            self.scalar_bytes += text.len();
        }
        if self.nodes > MAX_NODES || self.scalar_bytes > MAX_SCALAR_BYTES {
            let message = "the aliases make this text too large";
            return Err(Error::limit(message, raw.span.clone()));
        }
        Ok(())
    }

    fn pairs(&mut self, items: &[Rc<Raw>]) -> Result<Value, Error> {
        for item in items {
            match &item.content {
                Content::Mapping(entries) if entries.len() == 1 => {
                    self.node(&entries[0].0)?;
                    self.node(&entries[0].1)?;
                }
                _ => return Err(Error::new("a mapping with one key is needed here", item.span.clone())),
            }
        }
        // An empty one is an empty list.
        Ok(if items.is_empty() { Value::Sequence(Vec::new()) } else { Value::Other("a list of pairs") })
    }

    fn mapping(&mut self, raw: &Raw, entries: &[RawEntry]) -> Result<Vec<Entry>, Error> {
        let mut flat = Vec::new();
        let merged = self.flatten(raw, entries, &mut flat)?;
        let mut made: Vec<Entry> = Vec::with_capacity(flat.len());
        // The index of an entry, and whether it is the mapping's own.
        let mut known: HashMap<String, (usize, bool)> = HashMap::new();
        for (index, (key, value)) in flat.into_iter().enumerate() {
            let is_own = index >= merged;
            let key = self.key(key)?;
            let value = self.node(value)?;
            let identity = identity(&key.value, index);
            match known.get(&identity).copied() {
                None => {
                    known.insert(identity, (made.len(), is_own));
                    made.push(Entry { key, value });
                }
                Some((place, was_own)) => {
                    if was_own && is_own {
                        self.duplicates.push(Duplicate {
                            key: key_text(&key.value),
                            lost: made[place].key.span.clone(),
                            kept: key.span.clone(),
                        });
                    }
                    known.insert(identity, (place, is_own));
                    made[place] = Entry { key, value };
                }
            }
        }
        Ok(made)
    }

    fn key(&mut self, raw: &Raw) -> Result<Node, Error> {
        // A `=` as a key is a string.
        if raw.tag == Tag::Scalar(Kind::Value)
            && let Content::Scalar(text) = &raw.content
        {
            self.count(raw)?;
            let value = Value::String(text.clone());
            return Ok(Node { value, span: raw.span.clone(), style: raw.style, is_tagged: raw.is_tagged });
        }
        let node = self.node(raw)?;
        match node.value {
            Value::Sequence(_) | Value::Mapping(_) | Value::Other(_) => {
                let error = Error::new(format!("{} cannot be a key", node.kind()), node.span);
                Err(error.hint("put a text with braces or brackets in quotes"))
            }
            _ => Ok(node),
        }
    }

    /// The entries, after those that `<<` merges; and the number of the merged ones.
    fn flatten<'raw>(
        &mut self,
        raw: &Raw,
        entries: &'raw [RawEntry],
        flat: &mut Vec<Pair<'raw>>,
    ) -> Result<usize, Error> {
        for (key, value) in entries.iter().filter(|(key, _)| key.tag == Tag::Scalar(Kind::Merge)) {
            // An empty merge counts too: it is read again wherever it is merged itself.
            self.count(key)?;
            match &value.content {
                Content::Mapping(entries) => {
                    self.flatten(raw, entries, flat)?;
                }
                Content::Sequence(items) => {
                    // The first one wins, so it comes last.
                    for item in items.iter().rev() {
                        self.count(item)?;
                        let Content::Mapping(entries) = &item.content else {
                            let message = format!("`<<` needs a mapping or a list of mappings, not {}", item.kind());
                            return Err(Error::new(message, item.span.clone()));
                        };
                        self.flatten(raw, entries, flat)?;
                    }
                }
                Content::Scalar(_) => {
                    let message = "`<<` needs a mapping or a list of mappings, not a scalar";
                    return Err(Error::new(message, value.span.clone()));
                }
            }
        }
        let merged = flat.len();
        for (key, value) in entries.iter().filter(|(key, _)| key.tag != Tag::Scalar(Kind::Merge)) {
            if flat.len() >= MAX_NODES {
                return Err(Error::limit("the merges make this text too large", raw.span.clone()));
            }
            flat.push((key, value));
        }
        Ok(merged)
    }
}

/// Two keys that are equal in Python have the same identity.
fn identity(value: &Value, index: usize) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("number {}", Integer::from(u32::from(*value))),
        Value::Integer(value) => format!("number {value}"),
        Value::Float(value) if value.is_nan() => format!("nan {index}"),
        Value::Float(value) if *value == 0.0 => "number 0".to_owned(),
        Value::Float(value) => format!("number {value}"),
        Value::String(text) => format!("text {text}"),
        Value::Binary(bytes) => format!("bytes {bytes:?}"),
        Value::Timestamp(text) => format!("time {text}"),
        Value::Sequence(_) | Value::Mapping(_) | Value::Other(_) => format!("other {index}"),
    }
}

/// A key, for people.
pub(crate) fn key_text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::String(text) | Value::Timestamp(text) => text.clone(),
        Value::Binary(_) | Value::Sequence(_) | Value::Mapping(_) | Value::Other(_) => "…".to_owned(),
    }
}
