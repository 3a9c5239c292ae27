//! What does not fit a guest, and what no image should have.

use std::collections::BTreeSet;

use graft::{Finding, Report};

use super::Messages;

/// The most findings of a kind that are told one by one.
const MAX_TOLD: usize = 20;

/// Says what `report` found in the guest in the end: a warning each, and what to do about it.
pub(crate) fn tell_findings(report: &Report, messages: &Messages) {
    let mut hinted = BTreeSet::new();
    for Finding { message, hint, .. } in report.fit.iter().take(MAX_TOLD) {
        messages.warning(message);
        if hinted.insert(hint) {
            messages.hint(hint);
        }
    }
    tell_more(&report.fit, "do not fit the guest: `--json` lists them", messages);
    for Finding { message, .. } in report.hygiene.iter().take(MAX_TOLD) {
        messages.warning(format_args!("{message}; the base does not have it"));
    }
    tell_more(&report.hygiene, "are not in the base: `imgraft inspect --hygiene` lists them", messages);
    match &report.hygiene[..] {
        [] => {}
        [finding] => messages.hint(&finding.hint),
        _ => messages.hint("`--clean` removes what belongs to one machine; `imgraft inspect --hygiene` says more"),
    }
}

/// Says how many of `findings` were not told, and `what` about them.
fn tell_more(findings: &[Finding], what: &str, messages: &Messages) {
    if findings.len() > MAX_TOLD {
        messages.warning(format_args!("{} more {what}", findings.len() - MAX_TOLD));
    }
}

/// What was found, for people: a paragraph each.
pub(crate) fn findings_text(findings: &[Finding]) -> String {
    let lines =
        findings.iter().map(|Finding { code, message, hint, .. }| format!("{code}: {message}\n  mend: {hint}\n"));
    lines.collect()
}
