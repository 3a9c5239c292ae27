//! A cloud-config archive: a list of parts in YAML.

use super::finding::Finding;
use super::header::Kind;
use super::part::{self, Place};
use super::{Checker, Document, MAX_ARCHIVES};
use crate::yaml::{Node, Value, parse};

/// How many parts are looked at.
const MAX_PARTS: usize = 1000;

/// Looks at each part of the archive.
pub(super) fn check(checker: &mut Checker, place: Place<'_>, name: &str) {
    if checker.archives == MAX_ARCHIVES {
        return checker.limit(name, format!("archives are nested more than {MAX_ARCHIVES} deep"));
    }
    checker.archives += 1;
    archive(checker, place, name);
    checker.archives -= 1;
}

fn archive(checker: &mut Checker, place: Place<'_>, name: &str) {
    let mut findings = place.findings();
    let tree = match parse(place.text) {
        Ok(tree) => tree,
        Err(error) => {
            findings.push(Finding::of_yaml(error));
            return checker.add(findings);
        }
    };
    let items = match &tree.root.value {
        Value::Sequence(items) => items,
        _ => {
            let message = format!("an archive is a list of parts, not {}", tree.root.kind());
            findings.push(Finding::error("archive", message, super::schema::first_line(&tree.root)));
            return checker.add(findings);
        }
    };
    let mut parts = Vec::new();
    for (index, item) in items.iter().enumerate().take(MAX_PARTS) {
        let name = format!("{name} (part {})", index + 1);
        match (&item.value, item.get("content").unwrap_or(item)) {
            (Value::Mapping(_), content) if content.entries().is_some() => {
                let message = "this part has no `content`";
                findings.push(Finding::warning("archive", message, super::schema::first_line(item)));
            }
            (Value::String(_) | Value::Mapping(_), content) => parts.push((name, item, content)),
            _ => {
                let message = format!("a part is a text or a mapping, not {}", item.kind());
                findings.push(Finding::warning("archive", message, item.span.clone()));
            }
        }
    }
    checker.add(findings);
    for (name, item, content) in parts {
        entry(checker, place, &name, item, content);
    }
}

fn entry(checker: &mut Checker, place: Place<'_>, name: &str, item: &Node, content: &Node) {
    let bytes = match &content.value {
        Value::String(text) => text.as_bytes(),
        Value::Binary(bytes) => bytes,
        _ => {
            let mut findings = place.findings();
            findings.push(Finding::error(
                "archive",
                format!("a part's content is a text, not {}", content.kind()),
                content.span.clone(),
            ));
            return checker.add(findings);
        }
    };
    let content_type = match item.text("type") {
        Some(content_type) => content_type,
        // What has no header is a cloud-config here, unless it is binary.
        None if matches!(content.value, Value::Binary(_)) => "application/octet-stream",
        None if content.as_str().and_then(Kind::of).is_none() => "text/cloud-config",
        None => "text/plain",
    };
    if !checker.has_room(name, bytes.len()) {
        return;
    }
    if let Some((text, source)) = checker.text(&Document { name, role: place.role, bytes }) {
        part::part(checker, Place { text, source, base: 0, role: place.role }, name, content_type);
    }
}
