//! The guest's name.

use crate::check::finding::{Finding, Findings};
use crate::yaml::{Node, Value};

/// The longest that Linux allows.
const MAX_HOSTNAME: usize = 64;
const MAX_LABEL: usize = 63;

pub(super) fn check(root: &Node, findings: &mut Findings<'_>) {
    for key in ["hostname", "fqdn"] {
        if let Some(entry) = root.entry(key) {
            check_name(key, &entry.value, findings);
        }
    }
    if let Some(entry) = root.entry("fqdn").filter(|entry| entry.value.as_str().is_some_and(|text| !text.contains('.')))
    {
        let finding = Finding::note("hostname", "a fully qualified name needs a domain", entry.value.span.clone());
        findings.push(finding.hint("as in `web.example.org`; a name without a domain goes into `hostname`"));
    }
    let keeps = root.get("preserve_hostname").is_some_and(Node::is_truthy);
    if let Some(entry) = root.entry("hostname").or_else(|| root.entry("fqdn")).filter(|_| keeps) {
        let message = "this has no effect: `preserve_hostname` keeps the image's name";
        findings.push(Finding::warning("hostname", message, entry.key.span.clone()));
    }
}

/// Whether a value can be a name.
pub(in crate::check) fn check_name(key: &str, node: &Node, findings: &mut Findings<'_>) {
    let Value::String(name) = &node.value else {
        if !matches!(node.value, Value::Null) && key == "local-hostname" {
            let finding =
                Finding::error("hostname", format!("`{key}` is a text, not {}", node.kind()), node.span.clone());
            let hint = findings.surprise(node);
            findings.push(Finding { hint, ..finding });
        }
        return;
    };
    if problem(&name.replace('_', "x")).is_none() && name.contains('_') {
        let message = format!("`{name}` has a `_`, which name servers and some programs reject");
        findings.push(Finding::warning("hostname", message, node.span.clone()).hint("use `-`"));
    } else if let Some(problem) = problem(name) {
        findings.push(Finding::error(
            "hostname",
            format!("`{name}` is not a valid host name: {problem}"),
            node.span.clone(),
        ));
    }
}

fn problem(name: &str) -> Option<String> {
    // It may be filled in from meta-data.
    if name.contains("{{") {
        return None;
    }
    if name.is_empty() {
        return Some("it is empty".to_owned());
    }
    let first = name.split('.').next().unwrap_or_default();
    if first.len() > MAX_HOSTNAME {
        return Some(format!("it is longer than {MAX_HOSTNAME} characters"));
    }
    for label in name.trim_end_matches('.').split('.') {
        if label.is_empty() {
            return Some("a part of it is empty".to_owned());
        }
        if label.len() > MAX_LABEL {
            return Some(format!("a part of it is longer than {MAX_LABEL} characters"));
        }
        if let Some(other) = label.chars().find(|character| !character.is_ascii_alphanumeric() && *character != '-') {
            return Some(format!("it has {}", crate::yaml::named(other)));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Some("a part of it begins or ends with `-`".to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_and_dashes() {
        for name in ["web", "web-1", "WEB.example.org", "a.b.", "1a"] {
            assert_eq!(problem(name), None, "{name}");
        }
        for name in ["", "my_host", "a b", "-a", "a-", "a..b", "ü", &"a".repeat(64)] {
            assert!(problem(name).is_some(), "{name}");
        }
    }
}
