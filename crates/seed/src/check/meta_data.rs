//! The guest's name, and whether it has booted before.

use super::finding::{Finding, Findings};
use super::lint::hostname;
use super::schema::first_line;
use super::{Checker, Document, cloud_config};
use crate::yaml::{Node, Value, parse};

/// The keys that the data source NoCloud, or code that runs after it, reads.
const KEYS: [&str; 17] = [
    "instance-id",
    "local-hostname",
    "hostname",
    "dsmode",
    "seedfrom",
    "network-interfaces",
    "public-keys",
    "availability-zone",
    "availability_zone",
    "region",
    "placement",
    "cloud-name",
    "cloud_name",
    "instance-type",
    "vendor-id",
    "interfaces",
    "launch-index",
];

/// Looks at `meta-data`.
pub(super) fn check(checker: &mut Checker, document: &Document<'_>) {
    checker.kind("meta-data");
    let Some((text, source)) = checker.text(document) else { return };
    let mut findings = Findings::new(text, source);
    match parse(text) {
        Err(error) => findings.push(Finding::of_yaml(error)),
        Ok(tree) => match &tree.root.value {
            Value::Mapping(_) => {
                cloud_config::duplicates(&tree, &mut findings);
                keys(&tree.root, &mut findings);
                checker.facts.has_local_hostname |= tree.root.get("local-hostname").is_some();
            }
            Value::Null => findings.push(no_instance_id(0..0).anywhere()),
            _ => {
                let message = format!("meta-data is a mapping of keys, not {}", tree.root.kind());
                findings.push(Finding::error("meta-data", message, first_line(&tree.root)));
            }
        },
    }
    checker.add(findings);
}

fn no_instance_id(span: std::ops::Range<usize>) -> Finding {
    Finding::warning("instance-id", "there is no `instance-id`", span)
        .hint("cloud-init uses `nocloud` then, and a guest that has booted once does not see that a seed is new")
}

fn keys(root: &Node, findings: &mut Findings<'_>) {
    match root.entry("instance-id") {
        None => findings.push(no_instance_id(first_line(root))),
        Some(entry) if !entry.value.is_truthy() => {
            findings.push(Finding::error("instance-id", "the `instance-id` is empty", entry.key.span.clone()));
        }
        Some(entry) => match entry.value.value {
            Value::String(_) => {}
            Value::Mapping(_) | Value::Sequence(_) => {
                let message = format!("the `instance-id` is a text, not {}", entry.value.kind());
                findings.push(Finding::error("instance-id", message, entry.key.span.clone()));
            }
            _ => {
                let message = format!("the `instance-id` is {}, not a text", entry.value.kind());
                let finding = Finding::note("instance-id", message, entry.value.span.clone());
                let hint = findings.surprise(&entry.value);
                findings.push(Finding { hint, ..finding });
            }
        },
    }
    if let Some(mode) = root
        .get("dsmode")
        .filter(|mode| !["local", "net", "pass", "disabled"].contains(&mode.as_str().unwrap_or_default()))
    {
        let message = "`dsmode` must be `local`, `net`, `pass` or `disabled`";
        findings.push(Finding::error("meta-data", message, mode.span.clone()));
    }
    if let Some(entry) = root.entry("network-interfaces") {
        let finding = Finding::warning(
            "deprecated",
            "`network-interfaces` is deprecated since cloud-init 24.3",
            entry.key.span.clone(),
        );
        findings.push(finding.hint("put a `network-config` of version 1 or 2 into the seed"));
    }
    for key in ["local-hostname", "hostname"] {
        if let Some(entry) = root.entry(key) {
            hostname::check_name(key, &entry.value, findings);
        }
    }
    for entry in root.entries().unwrap_or_default() {
        let Some(key) = entry.key.as_str().filter(|key| !KEYS.contains(key)) else { continue };
        // Templates can use any of its keys.
        if let Some(label) = words::did_you_mean(key, KEYS) {
            let message = format!("cloud-init ignores `{key}`");
            findings.push(Finding::warning("meta-data", message, entry.key.span.clone()).label(label));
        }
    }
}
