//! What does not fit a guest, and what no image should have.

use std::collections::BTreeSet;

use graft::{Finding, Report};

use super::Messages;

/// The most traces that are told one by one.
const MAX_TOLD: usize = 20;

/// Says what `report` found in the guest in the end: a warning each, and what to do about it.
pub(crate) fn tell_findings(report: &Report, messages: &Messages) {
    let mut hinted = BTreeSet::new();
    for Finding { message, hint, .. } in &report.fit {
        messages.warning(message);
        if hinted.insert(hint) {
            messages.hint(hint);
        }
    }
    for Finding { message, .. } in report.hygiene.iter().take(MAX_TOLD) {
        messages.warning(format_args!("{message}; the base does not have it"));
    }
    if let Some(more) = report.hygiene.len().checked_sub(MAX_TOLD).filter(|more| *more > 0) {
        messages.warning(format_args!("and {more} more; the base does not have them"));
    }
    match &report.hygiene[..] {
        [] => {}
        [finding] => messages.hint(&finding.hint),
        _ => messages.hint("`--clean` removes what belongs to one machine; `imgraft inspect --hygiene` says more"),
    }
}

/// What was found, for people: a paragraph each.
pub(crate) fn findings_text(findings: &[Finding]) -> String {
    let lines =
        findings.iter().map(|Finding { code, message, hint, .. }| format!("{code}: {message}\n  mend: {hint}\n"));
    lines.collect()
}
