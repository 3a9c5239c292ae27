//! A whole seed: whether cloud-init finds it and everything that it needs.

use super::finding::{Finding, Findings};
use super::{Checked, Document, Renderer, Report, Role, check_for};

/// Like [`check_for`], for everything in the seed `name`. A disk has a `label`, by which cloud-init finds it.
pub fn check_seed(renderer: Renderer, name: &str, label: Option<&str>, documents: &[Document<'_>]) -> Report {
    let mut report = check_for(renderer, documents);
    let mut findings = Findings::new("", report.sources.len());
    if let Some(label) = label.filter(|label| !["cidata", "CIDATA"].contains(label)) {
        let message = format!("cloud-init does not find this disk: its label is `{label}`");
        findings.push(
            Finding::error("label", message, 0..0).anywhere().hint("the label must be `cidata` or `CIDATA`, not mixed"),
        );
    }
    for (role, content) in [(Role::UserData, "it may be empty"), (Role::MetaData, "it needs an `instance-id`")] {
        if !documents.iter().any(|document| document.role == role) {
            let message = format!("cloud-init ignores this seed: it has no `{}`", role.name());
            findings.push(Finding::error("missing-file", message, 0..0).anywhere().hint(content));
        }
    }
    if !findings.is_empty() {
        report.sources.push(super::Source { name: name.to_owned(), text: String::new() });
        report.findings.extend(findings.into_vec());
    }
    if documents.is_empty() {
        report.documents.push(Checked { name: name.to_owned(), role: Role::UserData, kinds: Vec::new() });
    }
    report
}
