//! A schema's errors in words. If a value can have several forms, the error is about the one that was meant.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value as Json;
use words::{did_you_mean, quoted_list as list};

use super::instance::{Found, StandIn, json, shown_key};
use crate::check::finding::{Finding, Findings, Severity};
use crate::yaml::{Node, Value, key_text};

/// The rule's name.
pub(crate) const RULE: &str = "schema";
/// The most errors of one text that are reported.
const MAX_ERRORS: usize = 200;

/// Reports `errors`.
pub(super) fn errors<'a>(
    errors: impl Iterator<Item = ValidationError<'a>>,
    root: &Node,
    schema: &Json,
    findings: &mut Findings<'_>,
) {
    let mut explainer = Explainer { root, schema, told: Vec::new(), findings };
    for error in errors.take(MAX_ERRORS) {
        explainer.error(&error);
    }
}

struct Explainer<'explainer, 'tree, 'text> {
    root: &'tree Node,
    schema: &'explainer Json,
    told: Vec<(usize, String)>,
    findings: &'explainer mut Findings<'text>,
}

impl<'tree> Explainer<'_, 'tree, '_> {
    fn error(&mut self, error: &ValidationError<'_>) {
        let Some(found) = Found::at(self.root, error.instance_path().as_str()) else { return };
        match error.kind() {
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.branches(&found, error.instance_path().as_str(), context);
            }
            ValidationErrorKind::AdditionalProperties { unexpected } => self.unexpected(&found, unexpected, error),
            kind => self.simple(&found, kind, error),
        }
    }

    fn tell(&mut self, finding: Finding) {
        let place = (finding.span.as_ref().map_or(0, |span| span.start), finding.message.clone());
        if !self.told.contains(&place) {
            self.told.push(place);
            self.findings.push(finding);
        }
    }

    /// None of several forms matches: reports the errors of the one that comes nearest.
    fn branches(&mut self, found: &Found<'tree>, here: &str, context: &[Vec<ValidationError<'_>>]) {
        let of_its_kind: Vec<&Vec<ValidationError<'_>>> =
            context.iter().filter(|errors| !errors.iter().any(|error| is_other_kind(error, here))).collect();
        if of_its_kind.is_empty() {
            let errors = context.iter().flatten().filter(|error| is_other_kind(error, here));
            let expected = expectation(errors);
            return self.tell(self.other_kind(found, &expected));
        }
        // The `type` shows which form is meant.
        let discriminator = format!("{here}/type");
        let is_other_type = |errors: &[ValidationError<'_>]| {
            errors.iter().any(|error| {
                matches!(error.kind(), ValidationErrorKind::Enum { .. })
                    && error.instance_path().as_str() == discriminator
            })
        };
        let of_its_type: Vec<_> = of_its_kind.iter().filter(|errors| !is_other_type(errors)).collect();
        if of_its_type.is_empty() {
            let errors = of_its_kind.iter().flat_map(|errors| errors.iter());
            let types = errors.filter(|error| error.instance_path().as_str() == discriminator);
            if let Some(found) = Found::at(self.root, &discriminator) {
                let expected = expectation(types);
                return self.tell(self.other_kind(&found, &expected));
            }
        }
        let depth = |errors: &[ValidationError<'_>]| {
            errors.iter().map(|error| error.instance_path().as_str().matches('/').count()).max().unwrap_or(0)
        };
        let nearest = of_its_type.iter().min_by_key(|errors| (weight(errors), usize::MAX - depth(errors)));
        for error in nearest.into_iter().flat_map(|errors| errors.iter()) {
            self.error(error);
        }
    }

    fn unexpected(&mut self, found: &Found<'tree>, unexpected: &[String], error: &ValidationError<'_>) {
        let known = keys_beside(self.schema, error.schema_path().as_str());
        for name in unexpected.iter().take(MAX_ERRORS) {
            let Some(entry) = found.child(name) else { continue };
            let name = shown_key(name);
            let within = if found.path.is_empty() { String::new() } else { format!(" in `{}`", found.path) };
            let mut finding = Finding::error(RULE, format!("there is no key `{name}`{within}"), entry.key.span.clone());
            finding.label = did_you_mean(name, known.iter().copied());
            finding.hint = match (&finding.label, &entry.key.value) {
                (_, Value::String(_)) if !known.is_empty() && known.len() <= 30 => {
                    Some(format!("the keys are {}", list(&known, "and")))
                }
                (_, Value::String(_)) => None,
                _ => self.findings.surprise(&entry.key),
            };
            self.tell(finding);
        }
    }

    fn other_kind(&self, found: &Found<'tree>, expected: &Expectation) -> Finding {
        let node = found.node;
        let span = place(found);
        if let (Some(text), false) = (node.as_str(), expected.options.is_empty())
            && expected.kinds.iter().all(|kind| kind == "a string" || !expected.is_only_kinds)
        {
            if expected.options.iter().any(|option| option == text) {
                let message = format!("`{}` is `{text}` without quotes, not the string", found.path);
                return Finding::error(RULE, message, span);
            }
            let options: Vec<&str> = expected.options.iter().map(String::as_str).collect();
            let message = format!("`{}` cannot be `{text}`", found.path);
            let finding = Finding::error(RULE, message, span);
            let label = did_you_mean(text, options.iter().copied());
            return Finding { label, ..finding }.hint(format!("it is {}", expected.text()));
        }
        let message = match node.value {
            Value::Null => format!("{} has no value: it is {}", subject(found), expected.text()),
            _ => format!("{} is {}, not {}", subject(found), expected.text(), described(node)),
        };
        let finding = Finding::error(RULE, message, span);
        let hint = match expected.takes("a string") {
            true => self.split_by_colon(found).or_else(|| self.findings.surprise(node)),
            false => unquoted(node, expected),
        };
        Finding { hint, ..finding }
    }

    /// Reports that a text in a list has a `: ` in it, which turns it into a mapping.
    fn split_by_colon(&self, found: &Found<'tree>) -> Option<String> {
        let is_item = found.entry.is_none() && !found.path.is_empty();
        let [entry] = found.node.entries()? else { return None };
        let is_block = self.findings.written(found.node).starts_with(|first| first != '{');
        let hint = "the `: ` turns this text into a mapping: put all of it in quotes";
        (is_item && is_block && entry.value.entries().is_none()).then(|| hint.to_owned())
    }

    fn simple(&mut self, found: &Found<'tree>, kind: &ValidationErrorKind, error: &ValidationError<'_>) {
        use ValidationErrorKind as Kind;

        let name = subject(found);
        let message = match kind {
            Kind::Type { .. } | Kind::Enum { .. } => {
                let expected = expectation(std::iter::once(error));
                return self.tell(self.other_kind(found, &expected));
            }
            Kind::Required { property } => {
                let property = property.as_str().unwrap_or_default();
                let message = format!("{name} lacks the key `{property}`");
                let others = found.node.entries().unwrap_or_default().iter().filter_map(|entry| entry.key.as_str());
                let near = words::nearest(property, others);
                let finding = Finding::error(RULE, message, place(found));
                return self.tell(match near {
                    Some(near) => finding.hint(format!("`{near}` is a different key")),
                    None => finding,
                });
            }
            Kind::MinItems { limit: 1 } | Kind::MinProperties { limit: 1 } => format!("{name} is empty"),
            Kind::MinItems { limit } => format!("{name} needs at least {limit} items"),
            Kind::MaxItems { limit } => format!("{name} can have at most {limit} items"),
            Kind::MinProperties { limit } => format!("{name} needs at least {limit} keys"),
            Kind::MaxProperties { limit } => format!("{name} can have at most {limit} keys"),
            Kind::MinLength { .. } => format!("{name} is too short"),
            Kind::MaxLength { limit } => format!("{name} is too long: the limit is {limit} characters"),
            Kind::Minimum { limit } => format!("{name} must be at least {limit}"),
            Kind::Maximum { limit } => format!("{name} must be at most {limit}"),
            Kind::UniqueItems => return self.twice(found),
            Kind::AdditionalItems { limit } => format!("{name} can have at most {limit} items"),
            Kind::OneOfMultipleValid { .. } => format!("{name} can be read in more than one way"),
            Kind::Pattern { pattern } => format!("{name} does not match the pattern `{pattern}`"),
            Kind::Format { format } if format == "date" => format!("{name} is not a date such as `2030-12-31`"),
            Kind::Format { format } => format!("{name} is not a valid {format}"),
            Kind::Not { schema } => match both(schema) {
                Some(keys) => format!("{name} cannot have {keys} at the same time"),
                None => format!("{name} cannot have this value"),
            },
            _ => format!("{name} is invalid: {error}"),
        };
        let finding = Finding::error(RULE, message, place(found));
        // Text in braces may be filled in before cloud-init reads it.
        let has_braces = found.node.as_str().is_some_and(|text| text.contains("{{"));
        self.tell(match matches!(kind, Kind::Format { .. }) && has_braces {
            true => Finding { severity: Severity::Warning, ..finding }
                .hint("cloud-init fills it in if the first line is `## template: jinja`"),
            false => finding,
        });
    }

    fn twice(&mut self, found: &Found<'tree>) {
        let items = found.node.items().unwrap_or_default();
        let json = |item: &Node| json(item, StandIn::Object);
        let same = |item: &Node, other: &Node| json(item) == json(other);
        let twice =
            items.iter().enumerate().find(|(index, item)| items[..*index].iter().any(|other| same(item, other)));
        let span = twice.map_or_else(|| place(found), |(_, item)| first_line(item));
        self.tell(Finding::error(RULE, format!("{} has this item twice", subject(found)), span));
    }
}

/// The keys that the schema allows at `pointer`, where it forbids all others.
fn keys_beside<'schema>(schema: &'schema Json, pointer: &str) -> Vec<&'schema str> {
    let parent = pointer.rsplit_once('/').and_then(|(parent, _)| schema.pointer(parent));
    let properties = parent.and_then(|schema| schema.get("properties")?.as_object());
    properties.map(|properties| properties.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// Whether the value at `here` is of another kind than the form that the error is of.
fn is_other_kind(error: &ValidationError<'_>, here: &str) -> bool {
    error.instance_path().as_str() == here
        && matches!(error.kind(), ValidationErrorKind::Type { .. } | ValidationErrorKind::Enum { .. })
}

/// How different a value is from a form.
fn weight(errors: &[ValidationError<'_>]) -> usize {
    let one = |error: &ValidationError<'_>| match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected.len(),
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            context.iter().map(|errors| weight(errors)).min().unwrap_or(1)
        }
        _ => 1,
    };
    errors.iter().map(one).sum()
}

/// What a value could be.
#[derive(Default)]
struct Expectation {
    /// `a string`, …
    kinds: Vec<String>,
    /// Values, as they are written.
    options: Vec<String>,
    is_only_kinds: bool,
}

impl Expectation {
    fn takes(&self, kind: &str) -> bool {
        self.kinds.iter().any(|known| known == kind)
    }

    fn text(&self) -> String {
        let options = self.options.iter().map(|option| format!("`{option}`"));
        words::list(options.chain(self.kinds.iter().cloned()), "or")
    }
}

fn expectation<'a, 'b: 'a>(errors: impl Iterator<Item = &'a ValidationError<'b>>) -> Expectation {
    let mut expected = Expectation::default();
    let add = |list: &mut Vec<String>, text: String| {
        if !list.contains(&text) {
            list.push(text);
        }
    };
    let errors: Vec<_> = errors.collect();
    for error in &errors {
        match error.kind() {
            ValidationErrorKind::Type { kind } => {
                let names: Vec<&str> = match kind {
                    TypeKind::Single(one) => vec![kind_name(one.as_str())],
                    TypeKind::Multiple(set) => set.iter().map(|one| kind_name(one.as_str())).collect(),
                };
                names.into_iter().for_each(|name| add(&mut expected.kinds, name.to_owned()));
            }
            ValidationErrorKind::Enum { options } => {
                for option in options.as_array().into_iter().flatten() {
                    let text = option.as_str().map_or_else(|| option.to_string(), str::to_owned);
                    add(&mut expected.options, text);
                }
            }
            _ => {}
        }
    }
    // An empty value comes last.
    if let Some(place) = expected.kinds.iter().position(|kind| kind == "nothing") {
        let nothing = expected.kinds.remove(place);
        expected.kinds.push(nothing);
    }
    expected.is_only_kinds = expected.options.is_empty();
    expected
}

fn kind_name(name: &str) -> &'static str {
    match name {
        "null" => "nothing",
        "boolean" => "a boolean",
        "integer" => "an integer",
        "number" => "a number",
        "string" => "a string",
        "array" => "a list",
        _ => "a mapping",
    }
}

/// A value of another kind, as it is.
fn described(node: &Node) -> String {
    let text = match &node.value {
        Value::String(text) if text.chars().count() <= 40 && !text.contains('\n') => text.clone(),
        Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Timestamp(_) => key_text(&node.value),
        _ => return node.kind().to_owned(),
    };
    let kind = node.kind().trim_start_matches("an ").trim_start_matches("a ");
    format!("the {kind} `{text}`")
}

/// The value that the schema needs, if the text without its quotes is one.
fn unquoted(node: &Node, expected: &Expectation) -> Option<String> {
    let text = node.as_str()?;
    let meant = crate::yaml::parse(text).ok()?.root;
    let fits = expected.takes(meant.kind()) && meant.as_str().is_none() && meant.value != Value::Null;
    fits.then(|| format!("without quotes it is {}", meant.kind()))
}

/// The name of what an error is about.
fn subject(found: &Found<'_>) -> String {
    match found.path.is_empty() {
        true => "this".to_owned(),
        false => format!("`{}`", found.path),
    }
}

/// Where a value is; for a mapping or a list the key that has it, or its beginning.
fn place(found: &Found<'_>) -> std::ops::Range<usize> {
    match (&found.node.value, found.entry) {
        (Value::Mapping(_) | Value::Sequence(_) | Value::Null, Some(entry)) => entry.key.span.clone(),
        _ => first_line(found.node),
    }
}

/// The beginning of a value: of a mapping the first key.
pub(crate) fn first_line(node: &Node) -> std::ops::Range<usize> {
    match &node.value {
        Value::Mapping(entries) => {
            // Merged keys come first, and are elsewhere in the text.
            let own = entries.iter().filter(|entry| node.span.contains(&entry.key.span.start));
            own.min_by_key(|entry| entry.key.span.start)
                .map_or_else(|| node.span.clone(), |entry| entry.key.span.clone())
        }
        Value::Sequence(items) => items.first().map_or_else(|| node.span.clone(), first_line),
        _ => node.span.clone(),
    }
}

/// The keys that exclude each other.
fn both(schema: &Json) -> Option<String> {
    let keys: Vec<&str> = schema.get("required")?.as_array()?.iter().filter_map(Json::as_str).collect();
    Some(list(&keys, "and"))
}
