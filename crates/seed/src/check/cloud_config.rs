//! A cloud-config: YAML, the schema, and what the schema cannot say.

use std::cell::LazyCell;

use super::facts::Facts;
use super::finding::{Finding, Findings};
use super::schema::{self, Schema};
use super::{Role, lint};
use crate::yaml::{Positions, Tree, Value, parse};

/// Keys that belong to another file.
const ELSEWHERE: &[(&str, &str)] = &[
    ("network", "the network's configuration is a file of its own, `network-config`"),
    ("ethernets", "the network's configuration is a file of its own, `network-config`"),
    ("instance-id", "it is in `meta-data`"),
    ("instance_id", "`instance-id` is in `meta-data`"),
    ("local-hostname", "it is in `meta-data`; here it is `hostname`"),
    ("files", "use `write_files` to write files"),
    ("commands", "use `runcmd` to run commands"),
    ("cmd", "use `runcmd` to run commands"),
    ("scripts", "use `runcmd` to run commands"),
    ("install", "use `packages` to install packages"),
    ("passwd", "a user's password belongs in `users`, the stock user's in `password`"),
    ("autoinstall", "this is for Ubuntu's installer and is not checked here"),
];

/// Checks a cloud-config: the text that `findings` belong to.
pub(super) fn check(findings: &mut Findings<'_>, role: Role, facts: &mut Facts, source: usize) {
    let tree = match parse(findings.text) {
        Ok(tree) => tree,
        Err(error) => return findings.push(Finding::of_yaml(error)),
    };
    let root = &tree.root;
    match &root.value {
        Value::Null => {
            let end = findings.text.lines().next().unwrap_or_default().len();
            return findings.push(Finding::note("empty", "this cloud-config is empty", 0..end));
        }
        Value::Mapping(_) => {}
        _ => {
            let message = format!("a cloud-config is a mapping of keys, not {}", root.kind());
            let finding = Finding::error("yaml", message, schema::first_line(root));
            return findings.push(finding.hint("cloud-init ignores all of it"));
        }
    }
    duplicates(&tree, findings);
    Schema::CloudConfig.check(root, findings);
    explain_strangers(findings);
    lint::cloud_config(root, role, findings);
    facts.cloud_config(root, source, role);
}

/// Reports keys that occur more than once: only the last one counts.
pub(super) fn duplicates(tree: &Tree, findings: &mut Findings<'_>) {
    let positions = Positions::new(findings.text);
    for duplicate in &tree.duplicates {
        let message = format!("the key `{}` occurs again below: this one is ignored", duplicate.key);
        let line = positions.of(duplicate.kept.start).line;
        let hint = format!("the one in line {line} counts; merge the two, or remove one");
        findings.push(Finding::warning("duplicate-key", message, duplicate.lost.clone()).hint(hint));
    }
}

/// Says where unknown keys of the top level belong.
fn explain_strangers(findings: &mut Findings<'_>) {
    let within = LazyCell::new(|| Schema::CloudConfig.keys_within());
    let text = findings.text;
    findings.revise(|finding| {
        let span = finding.span.clone().unwrap_or_default();
        let is_stranger = finding.rule == schema::RULE
            && finding.message.starts_with("there is no key `")
            && !finding.message.contains(" in `");
        let key = text.get(span).unwrap_or_default().trim_matches(['"', '\'']);
        if !is_stranger {
            return Some(finding);
        }
        if let Some((_, hint)) = ELSEWHERE.iter().find(|(name, _)| *name == key) {
            return Some(Finding { label: None, ..finding }.hint(*hint));
        }
        let owners: Vec<&str> = within.iter().filter(|(name, _)| *name == key).map(|(_, owner)| *owner).collect();
        match owners[..] {
            [_] | [_, _] => {
                let hint = format!("it is a key of {}: is it indented?", words::quoted_list(&owners, "and"));
                Some(Finding { label: None, ..finding }.hint(hint))
            }
            _ => Some(finding),
        }
    });
}
