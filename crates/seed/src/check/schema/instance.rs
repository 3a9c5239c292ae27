//! A tree as JSON for a schema, and from a JSON pointer back to the tree.

use serde_json::{Map, Number, Value as Json};

use crate::yaml::{Entry, Node, Value, key_text};

/// Represents a value that JSON does not have. No key in YAML can be written like this.
const NO_JSON: &str = "\0";

/// Larger than any bound in a schema, and not an integer.
const OUT_OF_BOUNDS: f64 = 4_503_599_627_370_495.5;

/// What replaces a value that JSON does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StandIn {
    Number,
    Object,
}

/// The tree as JSON.
///
/// JSON has no type for dates. A schema that accepts neither a number nor an object does not accept a date, and one
/// that accepts both does.
pub(super) fn json(node: &Node, stand_in: StandIn) -> Json {
    let json = |node: &Node| json(node, stand_in);
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Integer(value) => match value.as_i64() {
            Some(value) => Json::from(value),
            // Schemas have no bounds out there.
            None if value.to_string().starts_with('-') => Json::from(i64::MIN),
            None => Json::from(u64::MAX),
        },
        Value::Float(value) => {
            // An infinite number is not an integer and is beyond all bounds.
            let finite = if value.is_finite() { *value } else { OUT_OF_BOUNDS.copysign(*value) };
            Number::from_f64(finite).map_or(Json::Null, Json::Number)
        }
        Value::String(text) => Json::String(text.clone()),
        // cloud-init's schemas accept bytes as a string.
        Value::Binary(bytes) => Json::String(String::from_utf8_lossy(bytes).into_owned()),
        Value::Timestamp(_) | Value::Other(_) => {
            let object = || Json::Object(Map::from_iter([(NO_JSON.to_owned(), Json::Null)]));
            if stand_in == StandIn::Object { object() } else { Json::from(OUT_OF_BOUNDS) }
        }
        Value::Sequence(items) => Json::Array(items.iter().map(&json).collect()),
        Value::Mapping(entries) => {
            Json::Object(entries.iter().map(|entry| (key(&entry.key), json(&entry.value))).collect())
        }
    }
}

/// Whether there is a value in it that JSON does not have.
pub(super) fn has_stand_in(node: &Node) -> bool {
    match &node.value {
        Value::Timestamp(_) | Value::Other(_) => true,
        Value::Sequence(items) => items.iter().any(has_stand_in),
        Value::Mapping(entries) => entries.iter().any(|entry| has_stand_in(&entry.value)),
        _ => false,
    }
}

/// A key in JSON. A key that is not a string in YAML must not equal a string of the schema.
fn key(node: &Node) -> String {
    match &node.value {
        Value::String(text) => text.clone(),
        value => format!("{NO_JSON}{}", key_text(value)),
    }
}

/// The key as people write it.
pub(super) fn shown_key(key: &str) -> &str {
    key.strip_prefix(NO_JSON).unwrap_or(key)
}

/// A value with the keys that lead to it.
#[derive(Clone, Debug)]
pub(super) struct Found<'tree> {
    pub(super) node: &'tree Node,
    /// The entry whose value it is; `None` in a list and at the root.
    pub(super) entry: Option<&'tree Entry>,
    /// As in `users[1].name`.
    pub(super) path: String,
}

impl<'tree> Found<'tree> {
    pub(super) fn root(node: &'tree Node) -> Self {
        Self { node, entry: None, path: String::new() }
    }

    /// The value at the JSON pointer `pointer`.
    pub(super) fn at(root: &'tree Node, pointer: &str) -> Option<Self> {
        let mut found = Self::root(root);
        for segment in pointer.split('/').skip(1) {
            found = found.step(&segment.replace("~1", "/").replace("~0", "~"))?;
        }
        Some(found)
    }

    fn step(self, segment: &str) -> Option<Self> {
        match &self.node.value {
            Value::Sequence(items) => {
                let node = items.get(segment.parse::<usize>().ok()?)?;
                Some(Self { node, entry: None, path: format!("{}[{segment}]", self.path) })
            }
            Value::Mapping(_) => {
                let entry = self.child(segment)?;
                let dot = if self.path.is_empty() { "" } else { "." };
                let path = format!("{}{dot}{}", self.path, shown_key(segment));
                Some(Self { node: &entry.value, entry: Some(entry), path })
            }
            _ => None,
        }
    }

    /// The entry with this key, as JSON has it.
    pub(super) fn child(&self, name: &str) -> Option<&'tree Entry> {
        self.node.entries()?.iter().find(|entry| key(&entry.key) == name)
    }
}
