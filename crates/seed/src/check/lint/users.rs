//! Users: whether they can log in, and whether the stock user is created.

use super::passwords::{is_hash, looks_like_hash};
use super::{named_users, ssh_key};
use crate::check::Role;
use crate::check::finding::{Finding, Findings};
use crate::check::schema::first_line;
use crate::yaml::{Node, Value};

pub(super) fn check(root: &Node, role: Role, findings: &mut Findings<'_>) {
    let Some(entry) = root.entry("users") else { return };
    let Some(items) = entry.value.items() else { return };
    let has_default = items.iter().any(|item| item.as_str() == Some("default") || item.text("name") == Some("default"));
    if !has_default && role == Role::UserData {
        let message = match items.is_empty() {
            true => "this creates no user, not even the stock user",
            false => "the image's stock user, such as `ubuntu` or `debian`, is not created",
        };
        let hint = "to keep it, begin the list with `- default`";
        findings.push(Finding::warning("no-default-user", message, entry.key.span.clone()).hint(hint));
    }
    for user in items {
        one(user, findings);
    }
    twice(items, findings);
    if !has_default && role == Role::UserData && !items.is_empty() && !has_way_in(root) {
        let message = "none of these users can log in: they have neither a key nor a password that is not locked";
        let hint = "add `ssh_authorized_keys`, or a password and `lock_passwd: false`";
        findings.push(Finding::warning("no-way-in", message, entry.key.span.clone()).hint(hint));
    }
}

fn one(user: &Node, findings: &mut Findings<'_>) {
    if let Some(entry) = user.entry("name") {
        name(&entry.value, findings);
    }
    password(user, findings);
    if let Some(sudo) = user.get("sudo") {
        let rules: Vec<&Node> = sudo.items().map_or_else(|| vec![sudo], |items| items.iter().collect());
        for rule in rules {
            if rule.as_str().is_some_and(|text| !text.contains('=') && !text.trim().is_empty()) {
                let message = "this is not a sudo rule";
                let hint = "as in `ALL=(ALL) NOPASSWD:ALL`: hosts, `=`, target users, commands";
                findings.push(Finding::error("sudo", message, rule.span.clone()).hint(hint));
            }
        }
    }
    if let Some(groups) = user.get("groups")
        && groups.as_str().is_some_and(|text| text.trim().contains(' ') && !text.contains(','))
    {
        let message = "this is read as the name of one group, with spaces in it";
        findings.push(Finding::warning("groups", message, groups.span.clone()).hint("separate groups by commas"));
    }
    if let Some(shell) = user.get("shell").filter(|shell| shell.as_str().is_some_and(|text| !text.starts_with('/'))) {
        findings.push(Finding::error("shell", "a shell must be an absolute path", shell.span.clone()));
    }
    let keys = user.entry("ssh_authorized_keys").or_else(|| user.entry("ssh-authorized-keys"));
    if let (Some(keys), Some(home)) = (keys, user.entry("no_create_home").filter(|entry| entry.value.is_truthy())) {
        let message = "the keys cannot be stored: the user gets no home";
        let _ = home;
        findings.push(Finding::warning("no-home", message, keys.key.span.clone()));
    }
    ssh_key::check_user(user, findings);
}

/// Whether `useradd` accepts the name.
fn name(node: &Node, findings: &mut Findings<'_>) {
    let Some(name) = node.as_str() else { return };
    let is_start = |first: char| first.is_ascii_lowercase() || first == '_';
    let is_part = |next: char| next.is_ascii_lowercase() || next.is_ascii_digit() || matches!(next, '_' | '-' | '.');
    let stem = name.strip_suffix('$').unwrap_or(name);
    let is_valid = stem.starts_with(is_start) && stem.chars().all(is_part) && name.len() <= 32;
    if !is_valid {
        let message = format!("`useradd` rejects the name `{name}`");
        let hint = "a name has at most 32 lower-case letters, digits, `-` and `_`, and begins with a letter or `_`";
        findings.push(Finding::warning("user-name", message, node.span.clone()).hint(hint));
    }
}

fn password(user: &Node, findings: &mut Findings<'_>) {
    let lock = user.entry("lock_passwd").or_else(|| user.entry("lock-passwd"));
    let is_locked = lock.is_none_or(|entry| entry.value.is_truthy());
    for key in ["passwd", "hashed_passwd", "plain_text_passwd"] {
        let Some(entry) = user.entry(key).filter(|entry| entry.value.value != Value::Null) else { continue };
        let text = entry.value.as_str();
        if is_locked && !text.is_some_and(|text| text.starts_with(['!', '*'])) {
            let message = format!("`{key}` has no effect: the password is locked");
            let hint = match lock {
                Some(_) => "`lock_passwd: false` lets the user log in with it",
                None => "`lock_passwd` is true by default: add `lock_passwd: false`",
            };
            findings.push(Finding::warning("locked-password", message, entry.key.span.clone()).hint(hint));
        }
        match text {
            Some(text) if key == "plain_text_passwd" && looks_like_hash(text) => {
                let message = "the plain password is needed here, but this is a hash";
                findings.push(
                    Finding::warning("password", message, entry.value.span.clone())
                        .hint("put a hash into `hashed_passwd`"),
                );
            }
            Some(text) if key != "plain_text_passwd" && !is_hash(text) => {
                let message = format!("`{key}` is not a password hash: no password matches it");
                let hint = "`openssl passwd -6` makes a hash; a plain password goes into `plain_text_passwd`";
                findings.push(Finding::error("password", message, entry.value.span.clone()).hint(hint));
            }
            _ => {}
        }
    }
}

fn twice(items: &[Node], findings: &mut Findings<'_>) {
    for (index, item) in items.iter().enumerate() {
        let Some(name) = item.text("name") else { continue };
        if items[..index].iter().any(|other| other.text("name") == Some(name)) {
            let message = format!("the user `{name}` is listed twice: cloud-init creates it once");
            findings.push(Finding::warning("user-name", message, first_line(item)));
        }
    }
}

/// Whether anybody can log in, as far as this shows.
fn has_way_in(root: &Node) -> bool {
    let has = |node: &Node, keys: &[&str]| keys.iter().any(|key| node.get(key).is_some_and(Node::is_truthy));
    // Passwords can be set later, and commands can do anything.
    if has(root, &["chpasswd", "ssh_authorized_keys", "ssh_import_id", "password", "runcmd", "bootcmd", "write_files"])
    {
        return true;
    }
    named_users(root).any(|(_, user)| {
        let is_open = user.get("lock_passwd").is_some_and(|lock| !lock.is_truthy());
        let passwords = ["passwd", "hashed_passwd", "plain_text_passwd"];
        let keys = ["ssh_authorized_keys", "ssh-authorized-keys", "ssh_import_id", "snapuser", "ssh_redirect_user"];
        has(user, &keys) || is_open && has(user, &passwords) || user.get("system").is_some_and(Node::is_truthy)
    })
}
