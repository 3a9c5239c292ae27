//! What is still accepted but deprecated, and since when.

use std::collections::BTreeSet;

use jsonschema::{Evaluation, OutputUnit};
use serde_json::Value as Json;

use super::instance::Found;
use crate::check::finding::{Finding, Findings};
use crate::yaml::Node;

/// Reports each `deprecated` and `changed` that applies.
pub(super) fn warnings(evaluation: &Evaluation, root: &Node, schema: &Json, findings: &mut Findings<'_>) {
    let mut search = Search { root, schema, seen: BTreeSet::new(), findings };
    search.unit(evaluation.root());
}

struct Search<'search, 'tree, 'text> {
    root: &'tree Node,
    schema: &'search Json,
    /// Places of the text and what was reported there.
    seen: BTreeSet<(usize, String)>,
    findings: &'search mut Findings<'text>,
}

impl Search<'_, '_, '_> {
    fn unit(&mut self, unit: OutputUnit<'_>) {
        let location = unit.schema_location();
        let pointer = location.rsplit_once('#').map_or(location, |(_, pointer)| pointer);
        if let Some(schema) = self.schema.pointer(pointer) {
            for keyword in ["deprecated", "changed"] {
                self.tell(schema, keyword, unit.instance_location().as_str());
            }
        }
        let (mut any_of, mut one_of) = (false, false);
        for child in unit.children() {
            let path = child.evaluation_path().as_str();
            match branch(path) {
                Some("not") => continue,
                // Only the first branch that matches is reported.
                Some("anyOf") if !child.valid() || std::mem::replace(&mut any_of, true) => continue,
                Some("oneOf") if !child.valid() || std::mem::replace(&mut one_of, true) => continue,
                _ => self.unit(child),
            }
        }
    }

    fn tell(&mut self, schema: &Json, keyword: &str, pointer: &str) {
        if schema.get(keyword) != Some(&Json::Bool(true)) {
            return;
        }
        let Some(found) = Found::at(self.root, pointer) else { return };
        let text = |name: &str| schema.get(format!("{keyword}_{name}")).and_then(Json::as_str);
        let version = text("version").unwrap_or("an unknown version");
        let hint = text("description").map(plain).filter(|hint| !hint.is_empty());
        let span = found.entry.map_or(&found.node.span, |entry| &entry.key.span).clone();
        let what = if keyword == "deprecated" { "is deprecated" } else { "has a deprecated form" };
        let message = format!("`{}` {what} since cloud-init {version}", found.path);
        if self.seen.insert((span.start, message.clone())) {
            self.findings.push(Finding { hint, ..Finding::warning("deprecated", message, span) });
        }
    }
}

/// The keyword whose branch a unit is.
fn branch(path: &str) -> Option<&str> {
    let (before, last) = path.rsplit_once('/')?;
    match last.parse::<usize>() {
        Ok(_) => before.rsplit('/').next().filter(|keyword| matches!(*keyword, "anyOf" | "oneOf")),
        Err(_) => (last == "not").then_some(last),
    }
}

/// A description without its markup.
fn plain(description: &str) -> String {
    let text = description.replace("``", "`").replace("**", "`");
    let text = text.trim().trim_end_matches('.');
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}
