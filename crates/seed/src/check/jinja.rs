//! Templates: cloud-init fills them in with facts about the instance, which are unknown here.
//!
//! Expressions are replaced by letters of the same length, and the rest is checked as it is then. What a template's
//! statements remove or insert is unknown, so a template with statements gets warnings only.

use super::finding::{Finding, Findings, Severity};
use super::header::{self, Kind};
use super::part::Place;
use super::{Checker, cloud_config, script};

const PAIRS: [(&str, &str); 3] = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")];

/// A template whose unknown parts are replaced.
struct Blanked {
    text: String,
    /// Where expressions are.
    expressions: Vec<std::ops::Range<usize>>,
    has_statements: bool,
}

/// Checks the template as if it were filled in.
pub(super) fn check(checker: &mut Checker, findings: &mut Findings<'_>, place: Place<'_>) {
    let text = findings.text;
    let body = text.find('\n').map_or(text.len(), |newline| newline + 1);
    let blanked = match blank(text, body) {
        Ok(blanked) => blanked,
        Err(finding) => return findings.push(*finding),
    };
    let inner = &blanked.text[body..];
    let mut found = Findings::within(inner, 0, body);
    match Kind::of(inner) {
        Some(Kind::CloudConfig) => {
            checker.kind(Kind::CloudConfig.name());
            cloud_config::check(&mut found, place.role, &mut checker.facts, place.source);
        }
        Some(Kind::Script) => {
            checker.kind(Kind::Script.name());
            script::check(&mut found, "text/x-shellscript");
        }
        Some(Kind::Boothook) => {
            checker.kind(Kind::Boothook.name());
            script::check_boothook(&mut found);
        }
        Some(kind @ (Kind::Jinja | Kind::Include | Kind::IncludeOnce | Kind::Archive)) => {
            let message = format!("cloud-init ignores a template whose content begins with `{}`", kind.header());
            found.push(Finding::error("jinja", message, 0..inner.lines().next().unwrap_or_default().len()));
        }
        Some(kind) => checker.kind(kind.name()),
        None if blanked.has_statements => {}
        None => header::unknown(&mut found),
    }
    for finding in found.into_vec() {
        let is_unknown = finding.span.as_ref().is_some_and(|span| {
            // They are in the order of the text, and apart.
            let next = blanked.expressions.partition_point(|expression| expression.end <= span.start);
            blanked.expressions.get(next).is_some_and(|expression| expression.start < span.end)
        });
        let is_twice = finding.rule == "duplicate-key" && blanked.has_statements;
        if is_unknown || is_twice {
            continue;
        }
        let severity = match finding.severity {
            Severity::Error if blanked.has_statements => Severity::Warning,
            severity => severity,
        };
        findings.push(Finding { severity, ..finding });
    }
}

/// The text with letters in place of expressions and spaces in place of statements, each as long as it was.
fn blank(text: &str, from: usize) -> Result<Blanked, Box<Finding>> {
    let mut blanked = Blanked { text: text[..from].to_owned(), expressions: Vec::new(), has_statements: false };
    let mut at = from;
    while let Some((start, (open, close))) = next(text, at) {
        blanked.text.push_str(&text[at..start]);
        let Some(length) = text[start..].find(close) else {
            let message = format!("`{open}` has no closing `{close}`");
            return Err(Box::new(Finding::error("jinja", message, start..start + 2)));
        };
        let end = start + length + 2;
        let is_expression = open == "{{";
        match is_expression {
            true => blanked.expressions.push(start..end),
            false => blanked.has_statements |= open == "{%",
        }
        let stand_in = if is_expression { 'x' } else { ' ' };
        // Line breaks stay, so that lines do; a character of several bytes becomes several characters.
        let blanks = text[start..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { stand_in });
        blanked.text.extend(blanks);
        at = end;
    }
    blanked.text.push_str(&text[at..]);
    Ok(blanked)
}

/// Where the next thing of a template begins.
fn next(text: &str, from: usize) -> Option<(usize, (&'static str, &'static str))> {
    text[from..].match_indices('{').find_map(|(at, _)| {
        let pair = PAIRS.iter().find(|(open, _)| text[from + at..].starts_with(open))?;
        Some((from + at, *pair))
    })
}
