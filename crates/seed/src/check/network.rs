//! The guest's network: versions 1 and 2, checked by cloud-init's schemas and by rules of our own.

use std::ops::Range;

use super::finding::{Finding, Findings, Severity};
use super::header::Kind;
use super::netplan::{self, Fault};
use super::schema::{self, Schema, first_line};
use super::{Checker, Document, Renderer, cloud_config, lint};
use crate::yaml::{Node, Value, parse};

/// Looks at `network-config`.
pub(super) fn check(checker: &mut Checker, document: &Document<'_>) {
    let Some((text, source)) = checker.text(document) else { return };
    let mut findings = Findings::new(text, source);
    let tree = match parse(text) {
        Ok(tree) => tree,
        Err(error) => {
            checker.kind("network-config");
            findings.push(Finding::of_yaml(error));
            return checker.add(findings);
        }
    };
    cloud_config::duplicates(&tree, &mut findings);
    lint::keys::check(&tree.root, &mut findings);
    let renderer = checker.renderer;
    checker.facts.configures_network = Some(look(&tree.root, renderer, &mut findings, |kind| checker.kind(kind)));
    checker.add(findings);
}

/// Looks at the tree; whether it has an interface.
fn look(root: &Node, renderer: Renderer, findings: &mut Findings<'_>, mut kind: impl FnMut(&'static str)) -> bool {
    if root.value == Value::Null {
        kind("nothing");
        findings.push(Finding::note("empty", "this network-config is empty", 0..0).anywhere());
        return true;
    }
    if root.entries().is_none() {
        kind("network-config");
        let message = format!("a network-config is a mapping of keys, not {}", root.kind());
        findings.push(Finding::error("network", message, first_line(root)));
        return false;
    }
    if is_user_data(root, findings.text) {
        kind("user-data");
        let message = "this is user-data, but it was given as network-config";
        findings.push(Finding::error("network", message, first_line(root)));
        return false;
    }
    let config = match root.entry("network") {
        None => root,
        Some(entry) => {
            for other in root.entries().unwrap_or_default().iter().filter(|other| other.key != entry.key) {
                let message = "a key cannot stand beside `network`";
                findings.push(Finding::error(schema::RULE, message, other.key.span.clone()).hint("is it indented?"));
            }
            &entry.value
        }
    };
    if config.text("config") == Some("disabled") {
        kind("network disabled");
        return false;
    }
    let version = config.entry("version");
    let number = version.and_then(|entry| match &entry.value.value {
        Value::Integer(number) => number.as_i64(),
        _ => None,
    });
    match (number, version) {
        (Some(1), _) => {
            kind("network version 1");
            Schema::NetworkV1.check(config, findings);
            lint::network_v1(config, findings)
        }
        (Some(2), _) => {
            kind("network version 2");
            Schema::NetworkV2.check(config, findings);
            of_netplan(netplan::faults(config), renderer, findings);
            lint::network_v2(config, renderer, findings)
        }
        (_, Some(entry)) => {
            kind("network-config");
            let message = "unknown version of a network-config: 1 and 2 are valid";
            let finding = Finding::error(schema::RULE, message, entry.value.span.clone());
            let is_quoted = matches!(entry.value.as_str(), Some("1" | "2"));
            findings.push(if is_quoted { finding.hint("it must be a number, without quotes") } else { finding });
            true
        }
        (_, None) => {
            kind("network-config");
            let finding = Finding::error(schema::RULE, "the `version` is missing", first_line(config));
            findings.push(match config.get("ethernets").is_some() {
                true => finding.hint("`ethernets` belongs to version 2: add `version: 2`"),
                false => finding.hint("add `version: 1` or `version: 2`"),
            });
            true
        }
    }
}

fn is_user_data(root: &Node, text: &str) -> bool {
    let known = Schema::CloudConfig.top_level_keys();
    let is_network = |key: &str| ["network", "version", "config", "ethernets"].contains(&key);
    let keys = root.entries().unwrap_or_default().iter().filter_map(|entry| entry.key.as_str());
    let (mut has_network, mut has_other) = (false, false);
    for key in keys {
        has_network |= is_network(key);
        has_other |= known.contains(&key) && !is_network(key);
    }
    !has_network && (has_other || Kind::of(text) == Some(Kind::CloudConfig))
}

/// Combines the errors of cloud-init's schema with those of netplan: a guest with netplan uses only netplan's.
fn of_netplan(faults: Vec<Fault>, renderer: Renderer, findings: &mut Findings<'_>) {
    let text = findings.text;
    let refused = |span: &Range<usize>| faults.iter().find(|fault| fault.span.start == span.start);
    let mut told: Vec<usize> = Vec::new();
    findings.revise(|finding| {
        let span = finding.span.clone().unwrap_or_default();
        if finding.rule != schema::RULE || finding.severity != Severity::Error {
            return Some(finding);
        }
        if let Some(fault) = refused(&span) {
            told.push(span.start);
            let label = finding.label.clone().or_else(|| fault.label.clone());
            return Some(Finding { label, ..finding });
        }
        // Both need the version and a route's target, and neither accepts keys beside `network`.
        if finding.message.contains(" lacks the key ") || finding.message.contains("cannot stand beside") {
            return Some(finding);
        }
        // cloud-init gives netplan the number that YAML 1.1 makes of `12:34:56`.
        let written = format!("not the integer `{}`", text.get(span.clone()).unwrap_or_default());
        if finding.message.contains("not the integer `") && !finding.message.contains(&written) {
            return Some(finding);
        }
        if !finding.message.starts_with("there is no key") {
            let hint =
                "netplan accepts it, only cloud-init's own schema does not: `--renderer` says what the guest uses";
            return match renderer {
                Renderer::Netplan => None,
                Renderer::Unknown => Some(Finding { severity: Severity::Warning, ..finding }.hint(hint)),
                Renderer::CloudInit => Some(finding),
            };
        }
        let key = text.get(span).unwrap_or_default();
        let message = format!("only netplan knows `{key}`");
        let finding = Finding { message, label: None, ..finding };
        match renderer {
            Renderer::Netplan => None,
            Renderer::Unknown => {
                let hint = "guests without netplan, such as Debian's, ignore it: `--renderer` says what the guest uses";
                Some(Finding { severity: Severity::Warning, ..finding }.hint(hint))
            }
            Renderer::CloudInit => Some(finding.hint("cloud-init ignores it in this guest")),
        }
    });
    for fault in faults.into_iter().filter(|fault| !told.contains(&fault.span.start)) {
        let Fault { message, span, label, is_key } = fault;
        let finding = match renderer {
            Renderer::Netplan => {
                Finding::error("netplan", message, span).hint("netplan rejects the whole file because of it")
            }
            _ if is_key => {
                let key = message.trim_start_matches("netplan does not know ");
                Finding::warning("network", format!("neither cloud-init nor netplan knows {key}"), span)
            }
            Renderer::Unknown => {
                Finding::warning("netplan", message, span).hint("a guest with netplan gets no network")
            }
            Renderer::CloudInit => continue,
        };
        findings.push(Finding { label, ..finding });
    }
}
