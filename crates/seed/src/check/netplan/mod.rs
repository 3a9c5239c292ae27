//! What netplan rejects in a configuration of version 2.
//!
//! A guest that has netplan uses netplan's own checks instead of cloud-init's schema.

mod keys;

use std::ops::Range;

use self::keys::{KINDS, Keys, RENDERERS, Shape, TOP};
use super::schema::first_line;
use crate::yaml::{Entry, Node, Value, key_text};

/// Something that netplan rejects.
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) span: Range<usize>,
    /// What was meant.
    pub(super) label: Option<String>,
    /// Whether it is a key that netplan does not know.
    pub(super) is_key: bool,
}

/// The kinds of interfaces.
pub(super) fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(kind, _)| *kind)
}

/// All that netplan rejects in `config`, as far as keys and the kinds of their values show.
pub(super) fn faults(config: &Node) -> Vec<Fault> {
    let mut faults = Vec::new();
    for entry in config.entries().unwrap_or_default() {
        let Some(name) = entry.key.as_str() else { continue };
        if let Some((_, keys)) = KINDS.iter().find(|(kind, _)| *kind == name) {
            kind(entry, keys, &mut faults);
        } else if let Some((_, shape)) = TOP.iter().find(|(key, _)| *key == name) {
            value(entry, &entry.value, *shape, &mut faults);
        } else {
            let known = kinds().chain(TOP.iter().map(|(key, _)| *key));
            faults.push(stranger(&entry.key, known));
        }
    }
    faults
}

fn kind(group: &Entry, keys: Keys, faults: &mut Vec<Fault>) {
    let Some(interfaces) = group.value.entries() else {
        return faults.push(other(group, &group.value, "a mapping of interfaces"));
    };
    for entry in interfaces {
        // The renderer of a kind stands among the interfaces.
        let is_renderer = entry.key.as_str() == Some("renderer");
        let shape = if is_renderer { RENDERERS } else { Shape::Keys(keys) };
        value(entry, &entry.value, shape, faults);
    }
}

/// Compares `node`, which is in the value of `entry`, with `shape`. It goes no deeper than the shapes do.
fn value(entry: &Entry, node: &Node, shape: Shape, faults: &mut Vec<Fault>) {
    let expected = match shape {
        Shape::Scalar | Shape::ScalarOr(_) | Shape::ScalarOrScalars if is_scalar(node) => return,
        Shape::Scalar => "a text".to_owned(),
        Shape::Bool if is_bool(node) => return,
        Shape::Bool => "a boolean".to_owned(),
        Shape::Number if is_number(node) => return,
        Shape::Number => "a whole number".to_owned(),
        Shape::Word(words) if is_word(node, words) => return,
        Shape::Word(words) => words::quoted_list(words, "or"),
        Shape::Scalars | Shape::ScalarOrScalars => match node.items() {
            Some(items) if items.iter().all(is_scalar) => return,
            Some(items) => {
                for item in items.iter().filter(|item| !is_scalar(item)) {
                    faults.push(other(entry, item, "a text"));
                }
                return;
            }
            None => "a list".to_owned(),
        },
        Shape::Addresses | Shape::Pairs if node.items().is_some() => return,
        Shape::Addresses | Shape::Pairs => "a list".to_owned(),
        Shape::Map => match node.entries() {
            Some(entries) => return entries.iter().for_each(|entry| value(entry, &entry.value, Shape::Scalar, faults)),
            None => "a mapping".to_owned(),
        },
        Shape::Keys(keys) | Shape::ScalarOr(keys) => match node.entries() {
            Some(entries) => return mapping(entries, keys, faults),
            None => "a mapping".to_owned(),
        },
        Shape::Named(keys) => match node.entries() {
            Some(entries) => {
                return entries.iter().for_each(|entry| value(entry, &entry.value, Shape::Keys(keys), faults));
            }
            None => "a mapping".to_owned(),
        },
        Shape::List(keys) => match node.items() {
            Some(items) => return items.iter().for_each(|item| value(entry, item, Shape::Keys(keys), faults)),
            None => "a list".to_owned(),
        },
    };
    faults.push(other(entry, node, &expected));
}

fn mapping(entries: &[Entry], keys: Keys, faults: &mut Vec<Fault>) {
    let known = || keys.iter().flat_map(|group| group.iter());
    for entry in entries {
        match known().find(|(name, _)| entry.key.as_str() == Some(*name)) {
            Some((_, shape)) => value(entry, &entry.value, *shape, faults),
            None => faults.push(stranger(&entry.key, known().map(|(name, _)| *name))),
        }
    }
}

fn stranger(key: &Node, known: impl Iterator<Item = &'static str>) -> Fault {
    let name = key_text(&key.value);
    let label = words::did_you_mean(&name, known);
    Fault { message: format!("netplan does not know `{name}`"), span: key.span.clone(), label, is_key: true }
}

/// A value of another kind, at the place where a schema's error would be.
fn other(entry: &Entry, node: &Node, expected: &str) -> Fault {
    let is_in_list = !std::ptr::eq(&raw const entry.value, node);
    let span = match &node.value {
        Value::Mapping(_) | Value::Sequence(_) | Value::Null if !is_in_list => entry.key.span.clone(),
        _ => first_line(node),
    };
    let message = format!("netplan expects {expected} for `{}`, not {}", key_text(&entry.key.value), node.kind());
    Fault { message, span, label: None, is_key: false }
}

fn is_scalar(node: &Node) -> bool {
    !matches!(node.value, Value::Mapping(_) | Value::Sequence(_) | Value::Other(_))
}

fn is_bool(node: &Node) -> bool {
    const WORDS: [&str; 8] = ["true", "on", "yes", "y", "false", "off", "no", "n"];
    let is_word = |text: &str| WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    matches!(node.value, Value::Bool(_)) || node.as_str().is_some_and(is_word)
}

fn is_number(node: &Node) -> bool {
    match &node.value {
        Value::Integer(number) => number.as_i64().is_some_and(|number| u32::try_from(number).is_ok()),
        Value::String(text) => text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok(),
        _ => false,
    }
}

/// `off` without quotes is a boolean in YAML 1.1, and a word to netplan.
fn is_word(node: &Node, words: &[&str]) -> bool {
    match &node.value {
        Value::String(text) => words.iter().any(|word| word.eq_ignore_ascii_case(text)),
        Value::Bool(false) => words.contains(&"off"),
        _ => false,
    }
}
