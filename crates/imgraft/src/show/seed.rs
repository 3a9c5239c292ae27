//! What is found in a seed, drawn beside its text, and the look before one is written.

use annotate_snippets::{AnnotationKind, Level, Snippet};
use seed::Seed;
use seed::check::{Finding, Renderer, Report, Severity};

use super::{Annotation, Messages, count};
use crate::cli::seed_content::SeedContent;
use crate::failure::Failure;

/// A finding, with its place shown.
pub(crate) fn draw(report: &Report, finding: &Finding) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let (name, text) = report.sources.get(finding.source).map_or(("", ""), |source| (&source.name, &source.text));
    let title = match &finding.span {
        Some(_) => finding.message.clone(),
        None => format!("`{name}`: {}", finding.message),
    };
    let mut group = level.primary_title(title).elements(Vec::<Snippet<'_, annotate_snippets::Annotation<'_>>>::new());
    if let Some(span) = &finding.span {
        let (start, end) = (span.start.min(text.len()), span.end.min(text.len()));
        let mut annotation = AnnotationKind::Primary.span(start..one_line(text, start, end));
        if let Some(label) = &finding.label {
            annotation = annotation.label(label);
        }
        group = group.element(Snippet::source(text).path(name).annotation(annotation));
    }
    if let Some(hint) = &finding.hint {
        group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
    }
    annotate_snippets::Renderer::styled().render(&[group])
}

/// The end of a span, or of its first line.
fn one_line(text: &str, start: usize, end: usize) -> usize {
    text[start..end].find('\n').map_or(end, |newline| start + newline)
}

/// How much was found, in a line.
pub(crate) fn summary(errors: usize, warnings: usize, notes: usize) -> String {
    let counts = [
        count(errors as u64, "error", "errors"),
        count(warnings as u64, "warning", "warnings"),
        count(notes as u64, "note", "notes"),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    match counts.is_empty() {
        true => "nothing is wrong".to_owned(),
        false => counts.join(", "),
    }
}

/// The seed with `content`, and the keys that let somebody in. It is checked before a guest gets it, unless `content` says that it
/// is not to be: warnings are shown, and errors are a failure.
pub(crate) fn checked_seed(
    content: &SeedContent,
    renderer: Renderer,
    messages: &Messages,
) -> Result<(Seed, Vec<String>), Failure> {
    let source = content.source()?;
    if !content.no_check {
        // No file of the seed tells it: the image's own user might be let in.
        let is_let_in = |user: &String| content.let_in.as_ref() == Some(user);
        for user in source.users_without_a_way_in().iter().filter(|user| !is_let_in(user)) {
            messages.warning(format_args!("`{user}` cannot log in: there is neither a key nor a password"));
            messages.hint("`--ssh-key FILE` lets in whom `--user` makes");
        }
    }
    let (seed, keys) = source.seed_and_keys()?;
    if !content.no_check {
        refuse_wrong(&source.check(&seed, renderer)?, messages)?;
    }
    Ok((seed, keys))
}

fn refuse_wrong(report: &Report, messages: &Messages) -> Result<(), Failure> {
    for finding in report.findings.iter().filter(|finding| finding.severity == Severity::Warning) {
        messages.drawing(&draw(report, finding), &Annotation::of_finding(report, finding));
    }
    if report.count(Severity::Error) == 0 {
        return Ok(());
    }
    let wrong = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let (mut drawings, annotations): (Vec<String>, _) =
        wrong.map(|finding| (draw(report, finding), Annotation::of_finding(report, finding))).unzip();
    drawings.push("no seed was made; `--no-check` takes it as it is".to_owned());
    Err(Failure::drawn(drawings.join("\n\n"), annotations))
}
