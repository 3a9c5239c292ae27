//! SSH public keys, and where they are fetched from.

use authorized_keys::Key;

use crate::check::finding::{Finding, Findings};
use crate::yaml::{Entry, Node};

pub(super) fn check(root: &Node, findings: &mut Findings<'_>) {
    check_user(root, findings);
}

/// Checks the keys of a user, or those of the stock user if `node` is a whole cloud-config.
pub(super) fn check_user(node: &Node, findings: &mut Findings<'_>) {
    for name in ["ssh_authorized_keys", "ssh-authorized-keys"] {
        let Some(Entry { value, .. }) = node.entry(name) else { continue };
        let keys: Vec<&Node> = value.items().map_or_else(|| vec![value], |items| items.iter().collect());
        for key in keys {
            let finding = key.as_str().and_then(|text| check_key(key, text));
            finding.into_iter().for_each(|finding| findings.push(finding));
        }
    }
    for id in node.get("ssh_import_id").and_then(Node::items).unwrap_or_default() {
        let Some(text) = id.as_str() else { continue };
        let (protocol, user) = text.split_once(':').unwrap_or(("", text));
        if user.is_empty() || !["gh", "lp", "gl"].contains(&protocol) {
            let message = match protocol {
                "" => format!("`{text}` is read as a user of Launchpad"),
                _ => format!("keys can be fetched from `gh:` or `lp:`, not from `{protocol}:`"),
            };
            findings.push(
                Finding::warning("ssh-import-id", message, id.span.clone())
                    .hint("write `gh:NAME` for a user of GitHub"),
            );
        }
    }
}

/// What is wrong with a key, if anything is.
fn check_key(node: &Node, text: &str) -> Option<Finding> {
    let text = text.trim();
    let error = |message: String| Finding::error("ssh-key", message, node.span.clone());
    if text.is_empty() {
        return Some(error("this key is empty".to_owned()));
    }
    if text.starts_with('<') || text.contains("...") || text.contains('…') {
        return Some(Finding::warning("ssh-key", "put a key here: this is a placeholder", node.span.clone()));
    }
    if let ["gh" | "lp", _] = text.split(':').collect::<Vec<_>>()[..] {
        let finding = error("this says where a key is; it is not a key".to_owned());
        return Some(finding.hint("`ssh_import_id` fetches keys"));
    }
    match Key::parse(text) {
        Ok(key) if key.kind == "ssh-dss" => {
            let finding = error("OpenSSH no longer accepts `ssh-dss` keys".to_owned());
            Some(finding.hint("`ssh-keygen -t ed25519` makes a key that it accepts"))
        }
        Ok(_) => None,
        Err(problem) => {
            let finding = error(problem.to_string());
            Some(match problem.hint() {
                Some(hint) => finding.hint(hint),
                None => finding,
            })
        }
    }
}
