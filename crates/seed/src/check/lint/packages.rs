//! Packages' names.

use crate::check::finding::{Finding, Findings};
use crate::yaml::Node;

pub(super) fn check(root: &Node, findings: &mut Findings<'_>) {
    for package in root.get("packages").and_then(Node::items).unwrap_or_default() {
        let Some(text) = package.as_str() else { continue };
        if text.trim().contains(char::is_whitespace) {
            let message = format!("`{text}` is read as the name of one package");
            findings.push(
                Finding::error("package", message, package.span.clone())
                    .hint("write each package as an item of its own"),
            );
        } else if text.trim().is_empty() {
            findings.push(Finding::error("package", "this package has no name", package.span.clone()));
        }
    }
}
