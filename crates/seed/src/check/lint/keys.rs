//! Keys that are not strings.

use crate::check::finding::{Finding, Findings};
use crate::yaml::{Node, Value, key_text};

/// Looks at all keys of `node`, and in it.
pub(in crate::check) fn check(node: &Node, findings: &mut Findings<'_>) {
    match &node.value {
        Value::Mapping(entries) => {
            for entry in entries {
                if entry.key.as_str().is_none() {
                    let key = &entry.key;
                    let message = format!("the key `{}` is {}, not a text", key_text(&key.value), key.kind());
                    let hint = findings.surprise(key);
                    findings.push(Finding { hint, ..Finding::warning("key", message, key.span.clone()) });
                }
                check(&entry.value, findings);
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| check(item, findings)),
        _ => {}
    }
}
