//! User-data that the guest runs or fetches: scripts, boothooks, part handlers, includes.

use super::finding::{Finding, Findings};
use crate::yaml::{Value, parse};

/// The kernel looks for an interpreter in this many bytes.
const MAX_SHEBANG_BYTES: usize = 255;

/// A script: a file that the kernel starts.
pub(super) fn check(findings: &mut Findings<'_>, content_type: &str) {
    let text = findings.text;
    if text.starts_with("#!") {
        return shebang(findings, 0);
    }
    let start = text.len() - text.trim_start().len();
    let end = start + text[start..].lines().next().unwrap_or_default().trim_end().len();
    findings.push(match text[start..].starts_with("#!") {
        true => Finding::error("script", "something precedes the script's `#!`", 0..start + 2)
            .hint("a script runs only if `#!` are its first two characters"),
        false => {
            Finding::error("script", format!("a part of type `{content_type}` does not begin with `#!`"), start..end)
                .hint("the first line of a script names its interpreter, as in `#!/bin/sh`")
        }
    });
}

/// Checks the line that names a script's interpreter.
fn shebang(findings: &mut Findings<'_>, start: usize) {
    let text = findings.text;
    let line = text[start..].split('\n').next().unwrap_or_default();
    let span = start..start + line.trim_end().len();
    let interpreter = line[2..].trim_start_matches([' ', '\t']).trim_end();
    if line.ends_with('\r') {
        let message = "the script has Windows line ends, which become part of the interpreter's name";
        findings.push(Finding::error("script", message, span).hint("save the file with Unix line ends"));
    } else if !interpreter.starts_with('/') {
        let message = "the script's interpreter is not an absolute path";
        findings.push(Finding::error("script", message, span).hint("as in `#!/bin/sh` or `#!/usr/bin/env python3`"));
    } else if line.len() > MAX_SHEBANG_BYTES {
        findings.push(Finding::error("script", "the script's first line is too long for the kernel", span));
    }
}

/// A boothook: its header is removed, and the rest runs.
pub(super) fn check_boothook(findings: &mut Findings<'_>) {
    let text = findings.text;
    let Some(header) = text.find(|character: char| !character.is_whitespace()) else { return };
    let body = text[header..].find('\n').map_or(text.len(), |newline| header + newline + 1);
    let start = body + (text[body..].len() - text[body..].trim_start().len());
    if start >= text.len() {
        findings.push(Finding::warning("script", "this boothook has nothing to run", header..body));
    } else if text[start..].starts_with("#!") {
        shebang(findings, start);
    } else {
        let end = start + text[start..].lines().next().unwrap_or_default().trim_end().len();
        let message = "a boothook's second line does not begin with `#!`";
        findings.push(
            Finding::warning("script", message, start..end)
                .hint("without `#!` the kernel does not know the interpreter"),
        );
    }
}

/// A part handler is Python with two functions.
pub(super) fn check_part_handler(findings: &mut Findings<'_>) {
    for function in ["list_types", "handle_part"] {
        if !findings.text.contains(&format!("def {function}(")) {
            let end = findings.text.lines().next().unwrap_or_default().len();
            let message = format!("this part handler has no function `{function}`");
            findings.push(Finding::error("script", message, 0..end));
        }
    }
}

/// A list of addresses, a line each.
pub(super) fn check_include(findings: &mut Findings<'_>) {
    let text = findings.text;
    let (mut at, mut count) = (0, 0);
    for line in text.split_inclusive('\n') {
        let mut words = line.trim();
        for header in ["#include-once", "#include"] {
            if words.get(..header.len()).is_some_and(|start| start.eq_ignore_ascii_case(header)) {
                words = words[header.len()..].trim();
                break;
            }
        }
        if !words.is_empty() && !words.starts_with('#') {
            count += 1;
            let start = at + line.find(words).unwrap_or(0);
            let span = start..start + words.len();
            let schemes = ["http://", "https://", "file://", "ftp://", "ftps://"];
            if words.contains("{{") {
                // The seed's maker may fill it in before cloud-init reads it.
                let message = "cloud-init does not replace `{{` here: it is part of the address";
                findings.push(Finding::warning("include", message, span).hint("write out the whole address"));
            } else if words.contains(char::is_whitespace) {
                findings.push(Finding::error("include", "a line can have only one address", span));
            } else if !schemes.iter().any(|scheme| words.starts_with(scheme)) && !words.starts_with('/') {
                findings.push(
                    Finding::error("include", format!("`{words}` is not an address"), span)
                        .hint("an address begins with `https://`, `http://` or `file://`"),
                );
            } else if words.starts_with("http://") {
                findings.push(
                    Finding::note("include", "anyone on the network path can change this download", span)
                        .hint("use `https://`"),
                );
            }
        }
        at += line.len();
    }
    if count == 0 {
        findings.push(Finding::warning(
            "include",
            "this includes no address",
            0..text.lines().next().unwrap_or_default().len(),
        ));
    }
}

/// A JSON patch for the cloud-config of other parts.
pub(super) fn check_jsonp(findings: &mut Findings<'_>) {
    let text = findings.text;
    let start = text.find('\n').map_or(text.len(), |newline| newline + 1);
    match serde_json::from_str::<serde_json::Value>(&text[start..]) {
        Err(error) => {
            let line =
                text[start..].split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
            let at = start + line + error.column().saturating_sub(1);
            findings.push(Finding::error("jsonp", format!("this is not JSON: {}", reason(&error)), at..at + 1));
        }
        Ok(_) => {
            // JSON is YAML, whose parser gives places.
            let Ok(tree) = parse(&text[start..]) else { return };
            let move_span = |span: &std::ops::Range<usize>| span.start + start..span.end + start;
            let Value::Sequence(operations) = &tree.root.value else {
                let message = "a JSON patch is a list of operations";
                return findings.push(Finding::error("jsonp", message, move_span(&tree.root.span)));
            };
            for operation in operations {
                let is_known = ["add", "remove", "replace", "move", "copy", "test"]
                    .contains(&operation.text("op").unwrap_or_default());
                let has_path = operation.text("path").is_some_and(|path| path.is_empty() || path.starts_with('/'));
                if !is_known || !has_path {
                    let message = "an operation needs an `op`, and a `path` that begins with `/`";
                    findings.push(Finding::error("jsonp", message, move_span(&operation.span)));
                }
            }
        }
    }
}

/// A JSON error without its place.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
