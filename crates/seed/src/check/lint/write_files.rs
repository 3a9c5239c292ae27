//! Files that are written: whether they last, and who owns them.

use std::collections::BTreeMap;

use super::named_users;
use crate::base64;
use crate::check::finding::{Finding, Findings};
use crate::check::schema::first_line;
use crate::yaml::{Node, Value};

/// Folders that are empty after a boot, each with the reason.
const PASSING: &[(&str, &str)] = &[
    ("/run", "is in memory, and is empty after the next boot"),
    ("/var/run", "is in memory, and is empty after the next boot"),
    ("/dev/shm", "is in memory, and is empty after the next boot"),
    ("/tmp", "is emptied while the guest starts"),
    ("/proc", "belongs to the kernel"),
    ("/sys", "belongs to the kernel"),
    ("/dev", "belongs to the kernel"),
];

pub(super) fn check(root: &Node, findings: &mut Findings<'_>) {
    let mounts = mount_points(root);
    let mut seen: BTreeMap<&str, &Node> = BTreeMap::new();
    for file in root.get("write_files").and_then(Node::items).unwrap_or_default() {
        if file.entries().is_none() {
            continue;
        }
        let is_late = file.get("defer").is_some_and(Node::is_truthy);
        content(file, findings);
        permissions(file, findings);
        if !is_late {
            owner(root, file, findings);
        }
        let Some(node) = file.get("path") else { continue };
        let Some(path) = node.as_str() else { continue };
        place(path, node, findings);
        if !is_late {
            too_early(root, path, node, &mounts, findings);
        }
        let appends = file.get("append").is_some_and(Node::is_truthy);
        if !appends && let Some(before) = seen.insert(path, node) {
            let message = format!("`{path}` is written again later: this content is lost");
            findings.push(
                Finding::warning("written-twice", message, before.span.clone()).hint("`append: true` adds to the file"),
            );
        }
    }
}

fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn place(path: &str, node: &Node, findings: &mut Findings<'_>) {
    if !path.starts_with('/') {
        let finding = Finding::error("path", format!("`{path}` is not an absolute path"), node.span.clone());
        let hint = match path.starts_with('~') || path.starts_with('$') {
            true => "`~` is not replaced here: write out the home's path",
            false => "the folder in which it is written is not defined",
        };
        findings.push(finding.hint(hint));
    }
    if let Some((folder, why)) = PASSING.iter().find(|(folder, _)| is_within(path, folder)) {
        let message = format!("`{path}` does not last: `{folder}` {why}");
        let finding = match *folder {
            "/run" | "/var/run" | "/dev/shm" => Finding::note("passing-path", message, node.span.clone()),
            _ => Finding::warning("passing-path", message, node.span.clone()),
        };
        findings.push(finding);
    }
}

/// Where `mounts` puts file systems.
fn mount_points(root: &Node) -> Vec<&str> {
    let mounts = root.get("mounts").and_then(Node::items).unwrap_or_default();
    let points = mounts.iter().filter_map(|mount| mount.items()?.get(1)?.as_str());
    points.filter(|point| point.starts_with('/') && *point != "/").map(|point| point.trim_end_matches('/')).collect()
}

/// Files are written before there are other file systems and other users.
fn too_early(root: &Node, path: &str, node: &Node, mounts: &[&str], findings: &mut Findings<'_>) {
    if let Some(point) = mounts.iter().find(|point| is_within(path, point)) {
        let message = format!("`{path}` is hidden: `mounts` puts a file system on `{point}` later");
        findings.push(
            Finding::warning("hidden-path", message, node.span.clone()).hint("`defer: true` writes it at the end"),
        );
    }
    let user = named_users(root).find(|(name, user)| {
        let home = user.text("homedir").map_or_else(|| format!("/home/{name}"), str::to_owned);
        is_within(path, &home)
    });
    if let Some((name, _)) = user {
        let message = format!("`{path}` is written before `{name}` has a home: it keeps `useradd` from making one");
        findings
            .push(Finding::warning("too-early", message, node.span.clone()).hint("`defer: true` writes it at the end"));
    }
}

fn owner(root: &Node, file: &Node, findings: &mut Findings<'_>) {
    let Some(node) = file.get("owner") else { return };
    let Some(text) = node.as_str() else { return };
    let user = text.split(':').next().unwrap_or_default();
    if named_users(root).any(|(name, _)| name == user) {
        let message = format!("`{user}` does not exist yet when the file is written");
        let hint = "`defer: true` writes it after the users have been created";
        findings.push(Finding::error("too-early", message, node.span.clone()).hint(hint));
    }
}

fn permissions(file: &Node, findings: &mut Findings<'_>) {
    let Some(node) = file.get("permissions") else { return };
    let written = findings.written(node);
    match &node.value {
        Value::Integer(number) => {
            let number = number.as_i64().unwrap_or(-1);
            if !written.starts_with('0') {
                let message = format!("the mode is {number:#o}, not {written}");
                let hint = format!("write `\"0{written}\"` in quotes for that mode");
                findings.push(Finding::error("mode", message.replace("0o", "0"), node.span.clone()).hint(hint));
            } else if number > 0o7777 {
                findings.push(Finding::error("mode", "a mode is written as four octal digits", node.span.clone()));
            }
        }
        Value::String(text) => {
            let digits = text.strip_prefix("0o").unwrap_or(text);
            let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777);
            if mode.is_none() {
                let message = format!("`{text}` is not a mode: the file gets 0644");
                let hint = "a mode is written in octal digits, as in `\"0755\"`";
                findings.push(Finding::error("mode", message, node.span.clone()).hint(hint));
            }
        }
        _ => {}
    }
}

fn content(file: &Node, findings: &mut Findings<'_>) {
    let Some(content) = file.get("content") else {
        let source = file.get("source").is_some_and(Node::is_truthy);
        if !source && file.get("path").is_some() {
            findings.push(Finding::note("empty", "this file is empty: it has no `content`", first_line(file)));
        }
        return;
    };
    let Some(encoding) = file.text("encoding") else { return };
    let names: Vec<&str> = encoding.split('+').collect();
    let is_base64 = names.iter().any(|name| matches!(*name, "b64" | "base64"));
    let is_packed = names.iter().any(|name| matches!(*name, "gz" | "gzip"));
    let bytes = match (&content.value, is_base64) {
        (Value::String(text), true) => base64::decode(text).filter(|_| is_base64_text(text)),
        (Value::String(text), false) => Some(text.as_bytes().to_vec()),
        (Value::Binary(bytes), _) => Some(bytes.clone()),
        _ => return,
    };
    if content.as_str().is_some_and(|text| text.contains("...")) {
        let message = "put the content here: this is a placeholder";
        return findings.push(Finding::warning("encoding", message, content.span.clone()));
    }
    let problem = match bytes {
        None => "the content is not base64",
        Some(bytes) if is_packed && !bytes.starts_with(&[0x1f, 0x8b]) => "the content is not gzip",
        Some(_) => return,
    };
    let span = if content.span.len() > 80 { file.entry("content").map(|entry| entry.key.span.clone()) } else { None };
    findings.push(Finding::error("encoding", problem, span.unwrap_or_else(|| content.span.clone())));
}

/// Nothing but base64 and white space.
fn is_base64_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/= \n\r\t".contains(&byte))
}
