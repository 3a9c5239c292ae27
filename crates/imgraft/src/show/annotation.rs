//! What is found in a text, for programs that show it beside the text: GitHub's annotations and SARIF.

use std::fmt::Display;
use std::ops::Range;
use std::path::Path;

use recipe::Problem;
use seed::check::{Finding, Report, Severity};
use seed::yaml::{Position, Positions};

use crate::environment;

/// Something that was found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Annotation {
    pub(crate) severity: Severity,
    /// Its kind, as words joined by `-`.
    pub(crate) rule: &'static str,
    /// What it is, and what to do about it.
    pub(crate) message: String,
    /// The text that it is in, as the user calls it.
    pub(crate) source: Option<String>,
    /// Where it begins and ends there.
    pub(crate) place: Option<(Position, Position)>,
}

impl Annotation {
    /// What is said of no text.
    pub(crate) fn new(severity: Severity, message: impl Display) -> Self {
        Self { severity, rule: "imgraft", message: message.to_string(), source: None, place: None }
    }

    /// A problem of the recipe `text` at `path`.
    pub(crate) fn of_problem(path: &Path, text: &str, problem: &Problem) -> Self {
        Self {
            severity: Severity::Error,
            rule: "recipe",
            message: joined(&problem.message, problem.label.as_deref(), problem.hint.as_deref()),
            source: Some(path.display().to_string()),
            place: problem.span.as_ref().map(|span| place(text, span)),
        }
    }

    /// A finding in a seed.
    pub(crate) fn of_finding(report: &Report, finding: &Finding) -> Self {
        let source = report.sources.get(finding.source);
        Self {
            severity: finding.severity,
            rule: finding.rule,
            message: joined(&finding.message, finding.label.as_deref(), finding.hint.as_deref()),
            source: source.map(|source| source.name.clone()),
            place: source.zip(finding.span.as_ref()).map(|(source, span)| place(&source.text, span)),
        }
    }

    /// The file that it is in, from the folder that CI has checked out; nothing if it is in a part of a file, such as a
    /// file on a medium.
    pub(crate) fn file(&self) -> Option<String> {
        let path = Path::new(self.source.as_deref()?);
        if !path.is_file() {
            return None;
        }
        let workspace = environment::path("GITHUB_WORKSPACE").and_then(|folder| folder.canonicalize().ok());
        let inside = || Some(path.canonicalize().ok()?.strip_prefix(workspace?).ok()?.to_owned());
        Some(inside().unwrap_or_else(|| path.to_owned()).display().to_string())
    }

    /// The message, which says the place where no file does.
    pub(crate) fn full_message(&self) -> String {
        match (&self.source, self.place) {
            (Some(source), Some((begin, _))) if self.file().is_none() => {
                format!("{source}:{}:{}: {}", begin.line, begin.column, self.message)
            }
            (Some(source), None) => format!("`{source}`: {}", self.message),
            _ => self.message.clone(),
        }
    }

    /// The line that has GitHub show it.
    pub(crate) fn command(&self) -> String {
        let name = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let mut properties = Vec::new();
        if let Some(file) = self.file() {
            properties.push(format!("file={}", escaped_property(&file)));
            if let Some((begin, _)) = self.place {
                properties.push(format!("line={},col={}", begin.line, begin.column));
            }
        }
        let title = if self.rule == "imgraft" { "imgraft".to_owned() } else { format!("imgraft: {}", self.rule) };
        properties.push(format!("title={}", escaped_property(&title)));
        format!("::{name} {}::{}", properties.join(","), escaped(&self.full_message()))
    }
}

/// A line that GitHub takes for nothing but text: what begins with `::`, and what has a `##[`, would be a command to it,
/// and lines may come from a guest.
pub(crate) fn plain(line: &str) -> String {
    let line = line.replace("##[", "## [");
    if line.trim_start().starts_with("::") { format!("| {line}") } else { line }
}

/// A message with its label and its hint, a line each.
fn joined(message: &str, label: Option<&str>, hint: Option<&str>) -> String {
    let hint = hint.map(|hint| format!("hint: {hint}"));
    [Some(message), label, hint.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn place(text: &str, span: &Range<usize>) -> (Position, Position) {
    let positions = Positions::new(text);
    (positions.of(span.start), positions.of(span.end.max(span.start)))
}

/// As GitHub has the text of a command.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As GitHub has a property of a command.
fn escaped_property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    // As GitHub's own toolkit has it: packages/core/src/command.ts.
    #[test]
    fn a_command_is_one_line_whatever_it_says() {
        let annotation = Annotation::new(Severity::Error, "50 % of a,b:c\r\nand more");
        assert_eq!(annotation.command(), "::error title=imgraft::50 %25 of a,b:c%0D%0Aand more");
        let rule = Annotation { rule: "a:b,c%d", severity: Severity::Warning, ..annotation };
        assert!(rule.command().starts_with("::warning title=imgraft%3A a%3Ab%2Cc%25d::"), "{}", rule.command());
        let note = Annotation::new(Severity::Note, "x");
        assert_eq!(note.command(), "::notice title=imgraft::x");
    }

    #[test]
    fn what_is_in_no_file_has_its_place_in_the_message() {
        let annotation =
            Annotation::of_problem(Path::new("/not/there.toml"), "a\nbé=1\n", &Problem::new("m", 5..6).hint("h"));
        assert_eq!(annotation.command(), "::error title=imgraft%3A recipe::/not/there.toml:2:3: m%0Ahint: h");
    }

    #[test]
    fn lines_of_a_guest_are_no_commands() {
        for (line, plainly) in [
            ("  ::error::x", "|   ::error::x"),
            ("\t::stop-commands::x", "| \t::stop-commands::x"),
            ("x ##[error]y", "x ## [error]y"),
            ("a::b", "a::b"),
        ] {
            assert_eq!(plain(line), plainly);
        }
    }
}
