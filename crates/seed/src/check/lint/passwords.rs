//! Passwords, and whether SSH accepts them.

use crate::check::finding::{Finding, Findings};
use crate::yaml::{Node, Value};

pub(super) fn check(root: &Node, findings: &mut Findings<'_>) {
    stock_user(root, findings);
    let Some(chpasswd) = root.get("chpasswd") else { return };
    for user in chpasswd.get("users").and_then(Node::items).unwrap_or_default() {
        let kind = user.text("type");
        let Some(password) = user.get("password") else { continue };
        match (kind, password.as_str()) {
            (None | Some("hash"), Some(text)) if !is_hash(text) => {
                let message = "this is not a password hash: no password matches it";
                let hint = match kind {
                    None => "the default `type` is `hash`: add `type: text`",
                    Some(_) => "use `type: text` for a plain password",
                };
                findings.push(Finding::error("password", message, password.span.clone()).hint(hint));
            }
            (Some("text"), Some(text)) if looks_like_hash(text) => {
                let message = "the plain password is needed here, but this is a hash";
                findings.push(
                    Finding::warning("password", message, password.span.clone()).hint("use `type: hash` for a hash"),
                );
            }
            _ => {}
        }
    }
}

fn stock_user(root: &Node, findings: &mut Findings<'_>) {
    let Some(password) = root.entry("password").filter(|entry| entry.value.value != Value::Null) else { return };
    let span = password.key.span.clone();
    let users = root.get("users").and_then(Node::items);
    let has_default = users.is_none_or(|users| users.iter().any(|user| user.as_str() == Some("default")));
    if !has_default {
        let message = "this is the stock user's password, but `users` has no `default`";
        findings.push(
            Finding::warning("password", message, span.clone()).hint("another user's password belongs in `users`"),
        );
    }
    if let Some(entry) = root.entry("ssh_pwauth").filter(|entry| entry.value.value == Value::Bool(false)) {
        let message = "SSH does not accept passwords: this one works on the console only";
        let _ = entry;
        findings.push(Finding::note("password", message, span.clone()).hint("`ssh_pwauth: true` makes SSH accept it"));
    }
    let expires = root.get("chpasswd").and_then(|chpasswd| chpasswd.get("expire")).is_none_or(Node::is_truthy);
    if expires && has_default {
        let message = "the user must change the password at the first login";
        findings.push(Finding::note("password", message, span).hint("`chpasswd: {expire: false}` avoids that"));
    }
}

/// Whether it begins as a hash does.
pub(super) fn looks_like_hash(text: &str) -> bool {
    let mut parts = text.strip_prefix('$').unwrap_or_default().split('$');
    let is_id = parts.next().is_some_and(|id| ["1", "2a", "2b", "2y", "5", "6", "7", "y", "gy"].contains(&id));
    is_id && text.len() > 12
}

/// Whether it can be in `/etc/shadow`: a hash, or a text that locks the account.
pub(super) fn is_hash(text: &str) -> bool {
    let text = text.trim_start_matches('!');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    let is_des = text.len() == 13 && text.bytes().all(is_digit);
    text.is_empty() || text == "*" || looks_like_hash(text) || is_des
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_told_from_passwords() {
        for hash in [
            "$6$saltsalt$abcdefgh",
            "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0",
            "!",
            "*",
            "!$6$xyz$abcdefg",
        ] {
            assert!(is_hash(hash), "{hash}");
        }
        for text in ["secret", "$ecret$money", "$6$", "p@ss", "$9$abc$defghijk"] {
            assert!(!is_hash(text), "{text}");
        }
    }
}
