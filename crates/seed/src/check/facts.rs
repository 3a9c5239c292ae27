//! What one document says that matters to another one.

use std::ops::Range;

use super::finding::{Finding, Severity};
use super::{Checker, Document, Role};
use crate::yaml::Node;

/// What was seen.
#[derive(Default)]
pub(super) struct Facts {
    /// Keys that need a network: the key, its source and its place.
    wants_network: Vec<(&'static str, usize, Range<usize>)>,
    /// Whether the `network-config` has an interface; `None` if there is no `network-config`.
    pub(super) configures_network: Option<bool>,
    pub(super) has_local_hostname: bool,
    hostname: Option<(usize, Range<usize>)>,
}

impl Facts {
    /// Records what a cloud-config says.
    pub(super) fn cloud_config(&mut self, root: &Node, source: usize, role: Role) {
        for key in ["packages", "package_update", "package_upgrade", "apt", "snap", "ssh_import_id", "phone_home"] {
            if let Some(entry) = root.entry(key).filter(|entry| entry.value.is_truthy()) {
                self.wants_network.push((key, source, entry.key.span.clone()));
            }
        }
        if role == Role::UserData
            && let Some(entry) = root.entry("hostname")
        {
            self.hostname = Some((source, entry.key.span.clone()));
        }
    }
}

/// Looks at the documents together.
pub(super) fn check(checker: &mut Checker, documents: &[Document<'_>]) {
    let facts = std::mem::take(&mut checker.facts);
    // A single document does not show which others there are.
    let is_seed = documents.iter().any(|document| document.role == Role::MetaData);
    let wants = facts.wants_network.first();
    let found = match (facts.configures_network, wants) {
        (Some(false), Some((key, source, span))) => {
            let message = format!("`{key}` needs a network, but the network-config has no interface");
            let hint = "without an interface there the guest has no network";
            Some((*source, Finding::warning("no-network", message, span.clone()).hint(hint)))
        }
        (None, Some((key, source, span))) if is_seed => {
            let message = format!("`{key}` needs a network, but the seed has no network-config");
            let hint = "cloud-init then uses DHCP on the first interface that it finds";
            Some((*source, Finding::note("no-network", message, span.clone()).hint(hint)))
        }
        _ => None,
    };
    if let Some((source, finding)) = found {
        checker.report.findings.push(Finding { source, ..finding });
    }
    if let (Some((source, span)), true) = (facts.hostname, facts.has_local_hostname) {
        let message = "both `hostname` and the meta-data's `local-hostname` are set: this one counts";
        checker.report.findings.push(Finding { source, ..Finding::note("hostname", message, span) });
    }
    debug_assert!(checker.report.findings.iter().all(|finding| finding.severity <= Severity::Error));
}
