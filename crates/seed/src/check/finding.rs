//! Findings and their places.

use std::ops::Range;

use crate::yaml::{Node, Style};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// cloud-init continues, but perhaps not as wanted.
    Warning,
    /// cloud-init does not do what this says.
    Error,
}

impl Severity {
    /// The name, for people and for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its kind, as words joined by `-`: `yaml`, `schema`, `deprecated`, or a rule's name.
    pub rule: &'static str,
    /// What it is.
    pub message: String,
    /// Where it is: which of the report's sources.
    pub source: usize,
    /// Where it is: bytes of that source; `None` if it is about all of it.
    pub span: Option<Range<usize>>,
    /// What to write at the place itself.
    pub label: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Finding {
    fn new(severity: Severity, rule: &'static str, message: impl Into<String>, span: Option<Range<usize>>) -> Self {
        Self { severity, rule, message: message.into(), source: 0, span, label: None, hint: None }
    }

    pub(super) fn error(rule: &'static str, message: impl Into<String>, span: Range<usize>) -> Self {
        Self::new(Severity::Error, rule, message, Some(span))
    }

    pub(super) fn warning(rule: &'static str, message: impl Into<String>, span: Range<usize>) -> Self {
        Self::new(Severity::Warning, rule, message, Some(span))
    }

    pub(super) fn note(rule: &'static str, message: impl Into<String>, span: Range<usize>) -> Self {
        Self::new(Severity::Note, rule, message, Some(span))
    }

    pub(super) fn anywhere(self) -> Self {
        Self { span: None, ..self }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn label(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }
}

/// The most findings that are kept for one text.
const MAX_FINDINGS: usize = 1000;

/// The findings in one text.
pub(super) struct Findings<'text> {
    /// The text.
    pub(super) text: &'text str,
    source: usize,
    /// Where in the source the text begins.
    base: usize,
    found: Vec<Finding>,
}

impl<'text> Findings<'text> {
    pub(super) fn new(text: &'text str, source: usize) -> Self {
        Self::within(text, source, 0)
    }

    /// The findings in a text that begins at the byte `base` of its source.
    pub(super) fn within(text: &'text str, source: usize, base: usize) -> Self {
        Self { text, source, base, found: Vec::new() }
    }

    pub(super) fn push(&mut self, finding: Finding) {
        if self.found.len() >= MAX_FINDINGS {
            return;
        }
        let span = finding.span.map(|span| {
            // Whole characters, as they are to be shown.
            let down = |at: usize| (0..=at).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0);
            let start = down(span.start.min(self.text.len()));
            let end = (span.end.max(start)..=self.text.len()).find(|&at| self.text.is_char_boundary(at));
            start..end.unwrap_or(self.text.len())
        });
        self.found.push(Finding { source: self.source, span, ..finding });
    }

    /// All of them, in the order of the text.
    pub(super) fn into_vec(mut self) -> Vec<Finding> {
        self.found.sort_by_key(|finding| finding.span.as_ref().map_or(0, |span| span.start));
        let base = self.base;
        let placed = |span: Range<usize>| span.start + base..span.end + base;
        self.found.into_iter().map(|finding| Finding { span: finding.span.map(placed), ..finding }).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Changes or drops what was found so far.
    pub(super) fn revise(&mut self, revise: impl FnMut(Finding) -> Option<Finding>) {
        self.found = std::mem::take(&mut self.found).into_iter().filter_map(revise).collect();
    }

    /// How a scalar is written.
    pub(super) fn written(&self, node: &Node) -> &'text str {
        self.text.get(node.span.clone()).unwrap_or_default()
    }

    /// A hint for a scalar that was meant as a string but is read as something else.
    pub(super) fn surprise(&self, node: &Node) -> Option<String> {
        use crate::yaml::Value;

        if node.style != Style::Plain || node.is_tagged {
            return None;
        }
        let written = self.written(node);
        let read = match &node.value {
            Value::Bool(value) => format!("the boolean `{value}`"),
            Value::Integer(value) if value.to_string() != written => format!("the number {value}"),
            Value::Integer(_) | Value::Float(_) => "a number".to_owned(),
            Value::Timestamp(_) => "a date".to_owned(),
            Value::Null if !written.is_empty() => "nothing".to_owned(),
            _ => return None,
        };
        Some(format!("`{written}` without quotes is {read} in YAML 1.1; for a string write `\"{written}\"`"))
    }
}

impl Finding {
    /// The finding for a text that is not YAML.
    pub(super) fn of_yaml(error: crate::yaml::Error) -> Self {
        let rule = if error.is_limit { "limit" } else { "yaml" };
        Self { hint: error.hint, ..Self::error(rule, error.message, error.span) }
    }
}
