//! What is wrong with a recipe, drawn beside its text.

use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use customize::recipe::Problem;

use crate::failure::Failure;

/// The failure that `problems` of the recipe at `path` are.
pub(crate) fn recipe_failure(path: &Path, text: &str, problems: &[Problem]) -> Failure {
    let path = path.display().to_string();
    let drawings: Vec<String> = problems.iter().map(|problem| draw(&path, text, problem)).collect();
    Failure::drawn(drawings.join("\n\n"))
}

fn draw(path: &str, text: &str, problem: &Problem) -> String {
    let end = text.len();
    let span = problem.span.clone().unwrap_or(end..end);
    let mut annotation = AnnotationKind::Primary.span(span.start.min(end)..span.end.min(end));
    if let Some(label) = &problem.label {
        annotation = annotation.label(label);
    }
    let snippet = Snippet::source(text).path(path).annotation(annotation);
    let mut group = Level::ERROR.primary_title(&problem.message).element(snippet);
    if let Some(hint) = &problem.hint {
        group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
    }
    Renderer::styled().render(&[group])
}
