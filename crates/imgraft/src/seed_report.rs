//! What is found in a seed, drawn beside its text, and the look before one is written.

use annotate_snippets::{AnnotationKind, Level, Snippet};
use seed::Seed;
use seed::check::{Document, Finding, Renderer, Report, Role, Severity, check_for};
use storage::{ReadAt, Reader};

use crate::failure::Failure;
use crate::message::{Messages, count};
use crate::seed_content::SeedContent;

/// The largest file of a seed that is looked at before it is written, in bytes.
const MAX_FILE_BYTES: u64 = seed::read::MAX_FILE_BYTES;

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

/// The seed with `content`, which is looked at before a guest gets it unless `content` says that nobody is to look:
/// warnings are shown, and errors are a failure. The keys that are let in come with it.
pub(crate) fn checked_seed(
    content: &SeedContent,
    renderer: Renderer,
    messages: &Messages,
) -> Result<(Seed, Vec<String>), Failure> {
    let (seed, keys) = content.seed_and_keys()?;
    if !content.no_check {
        refuse_wrong(&seed, content, renderer, messages)?;
    }
    Ok((seed, keys))
}

/// Warns of users who are made and cannot log in, which no file of the seed tells: the image's own user might.
pub(crate) fn warn_of_locked_out_users(content: &SeedContent, messages: &Messages) {
    if content.no_check {
        return;
    }
    for user in content.users_without_a_way_in() {
        messages.warning(format_args!("`{user}` cannot log in: there is neither a key nor a password"));
        messages.hint("`--ssh-key FILE` lets in whom `--user` makes");
    }
}

fn refuse_wrong(seed: &Seed, content: &SeedContent, renderer: Renderer, messages: &Messages) -> Result<(), Failure> {
    let mut files: Vec<(Role, Vec<u8>)> = Vec::new();
    for (name, content) in seed.files() {
        let Some(role) = role(name) else { continue };
        if content.size_bytes() <= MAX_FILE_BYTES {
            files.push((role, bytes(content)?));
        }
    }
    let names: Vec<String> = files.iter().map(|(role, _)| name(*role, content)).collect();
    let documents = files.iter().zip(&names).map(|((role, bytes), name)| Document { name, role: *role, bytes });
    let documents: Vec<Document<'_>> = documents.collect();
    let report = check_for(renderer, &documents);
    let errors = report.count(Severity::Error);
    for finding in report.findings.iter().filter(|finding| finding.severity == Severity::Warning) {
        messages.drawing(&draw(&report, finding));
    }
    if errors == 0 {
        return Ok(());
    }
    let wrong = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let mut drawings: Vec<String> = wrong.map(|finding| draw(&report, finding)).collect();
    drawings.push("no seed was made; `--no-check` takes it as it is".to_owned());
    Err(Failure::drawn(drawings.join("\n\n")))
}

/// The user's own file, where it goes into the seed as it is.
fn name(role: Role, content: &SeedContent) -> String {
    let path = match (role, &content.user_data[..]) {
        (Role::UserData, [path]) if content.wants_nothing_else() => Some(path),
        (Role::UserData, _) => None,
        (Role::VendorData, _) => content.vendor_data.as_ref(),
        (Role::NetworkConfig, _) => content.network_config.as_ref(),
        (Role::MetaData, _) => content.meta_data.as_ref(),
    };
    path.map_or_else(|| role.name().to_owned(), |path| path.display().to_string())
}

fn role(name: &str) -> Option<Role> {
    [Role::UserData, Role::MetaData, Role::VendorData, Role::NetworkConfig].into_iter().find(|role| role.name() == name)
}

fn bytes(content: &dyn ReadAt) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut Reader::new(content), &mut bytes)
        .map_err(|error| Failure::because("the seed's content cannot be read", &error))?;
    Ok(bytes)
}
