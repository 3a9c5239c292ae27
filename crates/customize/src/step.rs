//! A `[[step]]` of a recipe.

use std::ops::Range;
use std::path::PathBuf;

use guest::GuestPath;
use recipe::{Inputs, Problem, SyntaxError, Table, Value, meant, suggestion};
use toml::de::{DeTable, DeValue};

use crate::verb::{Destination, Operation, StepForm, verbs};

/// A step of a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does. Where it uses an input, the operation has no source yet.
    pub operation: Operation,
    /// The name of the input that it uses.
    pub input: Option<String>,
}

impl recipe::Step for Step {
    type Operation = Operation;

    fn read(value: &Value<'_>, inputs: &Inputs, problems: &mut Vec<Problem>) -> Option<Self> {
        let form = match value.get_ref() {
            DeValue::Table(table) => match form_of(table) {
                Some(form) => form,
                None => {
                    problems.push(no_verb(table, value.span()));
                    return None;
                }
            },
            _ => {
                Table::new(value, "a step", &[], problems);
                return None;
            }
        };
        let keys: Vec<&str> = [&[form.name], form.keys].concat();
        let table = Table::new(value, &format!("a `{}`", form.name), &keys, problems)?;
        let mut reader = StepReader { table, verb: form.name, inputs, input: None };
        let operation = (form.read)(&mut reader)?;
        Some(Self { operation, input: reader.input })
    }

    fn input(&self) -> Option<&str> {
        self.input.as_deref()
    }

    fn operation(&self, source: Option<PathBuf>) -> Operation {
        let mut operation = self.operation.clone();
        if let (Some(place), Some(source)) = (operation.inner_mut().source_mut(), source) {
            *place = source;
        }
        operation
    }
}

/// The step whose key comes first in the text.
fn form_of(table: &DeTable<'_>) -> Option<StepForm> {
    let mut keys: Vec<_> = table.keys().collect();
    keys.sort_by_key(|key| key.span().start);
    let form = |key: &str| verbs().map(|verb| verb.step).find(|form| form.name == key);
    keys.iter().find_map(|key| form(key.get_ref()))
}

/// The problem of a step without a verb: the first key that is unknown was probably meant to be one.
fn no_verb(table: &DeTable<'_>, span: Range<usize>) -> Problem {
    let is_other = |key: &str| verbs().any(|verb| verb.step.keys.contains(&key));
    let mut unknown: Vec<_> = table.keys().filter(|key| !is_other(key.get_ref().as_ref())).collect();
    unknown.sort_by_key(|key| key.span().start);
    match unknown.first() {
        Some(key) => {
            let hint = meant(key.get_ref(), verbs().map(|verb| verb.step.name));
            Problem::new(format!("unknown verb `{}`", key.get_ref()), key.span()).hint(hint)
        }
        None => Problem::new("this step does nothing", span).hint("say what with `put = \"INPUT\"` or another verb"),
    }
}

/// The table of a step, read by its verb.
pub(crate) struct StepReader<'a, 'i> {
    pub(crate) table: Table<'a, 'i>,
    verb: &'static str,
    inputs: &'a Inputs,
    input: Option<String>,
}

impl StepReader<'_, '_> {
    /// The path that is the verb's value.
    pub(crate) fn path(&mut self) -> Option<GuestPath> {
        self.table.parsed(self.verb)
    }

    /// The verb's value, which says all there is.
    pub(crate) fn said<T>(&mut self, parse: impl Fn(&std::ffi::OsStr) -> Result<T, SyntaxError>) -> Option<T> {
        let text = self.table.string(self.verb)?;
        self.table.checked(self.verb, parse(text.as_ref()))
    }

    /// Adds a problem where `key` is missing.
    pub(crate) fn require(&mut self, key: &str) {
        if self.table.get(key).is_none() {
            self.problem(format!("this `{}` has no `{key}`", self.verb), None);
        }
    }

    /// Adds a problem with the verb's value.
    pub(crate) fn problem(&mut self, message: String, hint: Option<&str>) {
        let span = self.table.span_of(self.verb).unwrap_or_else(|| self.table.span());
        let problem = Problem::new(message, span);
        self.table.problem(match hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        });
    }

    /// The place of `to`.
    pub(crate) fn to(&mut self) -> Option<Destination> {
        if self.table.get("to").is_none() {
            let hint = "add `to = \"/path/in/the/guest\"`";
            self.problem(format!("this `{}` does not say where", self.verb), Some(hint));
        }
        let text = self.table.string("to")?;
        self.table.checked("to", Destination::new(text.as_bytes()))
    }

    /// The input that `key` names. Its file is known later, and this is a place for it.
    pub(crate) fn input(&mut self, key: &str) -> Option<PathBuf> {
        let name = self.table.string(key)?;
        if !self.inputs.contains_key(name) {
            let span = self.table.span_of(key).unwrap_or_default();
            let problem = Problem::new(format!("there is no input `{name}`"), span);
            let hint = match (is_bare_key(name), self.inputs.is_empty()) {
                (true, true) => format!("declare it with `[inputs.{name}]`"),
                (true, false) => suggestion(name, self.inputs.keys().map(String::as_str)),
                // A file of the host is meant.
                (false, _) => {
                    let input = bare_key(name);
                    format!(
                        "a recipe uses files by name: declare `[inputs.{input}]` with `file = {name:?}`, and write \
                         `{key} = \"{input}\"` here"
                    )
                }
            };
            self.table.problem(problem.hint(hint));
        }
        self.input = Some(name.to_owned());
        Some(PathBuf::new())
    }
}

/// Whether TOML takes `name` for a key without quotes.
fn is_bare_key(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'))
}

/// A key for the file at `path`: its name, without the characters that a key cannot have.
fn bare_key(path: &str) -> String {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    let key: String = stem.chars().filter(|&letter| is_bare_key(letter.encode_utf8(&mut [0; 4]))).collect();
    if key.is_empty() { "payload".to_owned() } else { key }
}

#[cfg(test)]
mod tests;
