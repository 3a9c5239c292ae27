//! What is wrong with a recipe, drawn beside its text.

use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use recipe::Problem;

use super::Annotation;
use crate::failure::Failure;

/// How many problems are drawn: each drawing looks through the whole text.
const DRAWN_MAX: usize = 20;

/// The failure that `problems` of the recipe at `path` are.
pub(crate) fn recipe_failure(path: &Path, text: &str, problems: &[Problem]) -> Failure {
    let file = path;
    let path = path.display().to_string();
    let mut drawings: Vec<String> = problems.iter().take(DRAWN_MAX).map(|problem| draw(&path, text, problem)).collect();
    if let Some(more) = problems.len().checked_sub(DRAWN_MAX).filter(|&more| more > 0) {
        drawings.push(format!("{more} more are left out here"));
    }
    let annotations = problems.iter().take(DRAWN_MAX).map(|problem| Annotation::of_problem(file, text, problem));
    Failure::drawn(drawings.join("\n\n"), annotations.collect())
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
