//! Reads a TOML table whose keys are all known.

use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use words::nearest;

use crate::mode::Mode;
use crate::problem::{Problem, meant, suggestion};

/// A value of a TOML document, with its place in the text.
pub type Value<'i> = Spanned<DeValue<'i>>;

/// A TOML table whose keys are all known, with the problems that were found so far.
///
/// A method that reads a value returns nothing where the key is missing. Where the value is not what it should be, it
/// returns nothing and adds a problem, so that all problems of a document are found in one pass.
pub struct Table<'a, 'i> {
    table: &'a DeTable<'i>,
    span: Range<usize>,
    problems: &'a mut Vec<Problem>,
}

impl<'a, 'i> Table<'a, 'i> {
    /// Reads `value` as a table. `what` is its name in problems, such as ``a `put` ``. Each key that is not `known`
    /// is a problem.
    pub fn new(value: &'a Value<'i>, what: &str, known: &[&str], problems: &'a mut Vec<Problem>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::of(table, value.span(), what, known, problems)),
            other => {
                problems.push(wrong_kind(what, "a table", other, value.span()));
                None
            }
        }
    }

    /// As [`new`](Self::new), of the document itself.
    pub(crate) fn of(
        table: &'a DeTable<'i>,
        span: Range<usize>,
        what: &str,
        known: &[&str],
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let problem = Problem::new(format!("unknown key `{}`", key.get_ref()), key.span());
            // A slip comes first: `package` in `[keep]` is meant to be `packages`, and not another program's word.
            let known = known.iter().copied();
            let hint = match nearest(key.get_ref(), known.clone()) {
                Some(_) => suggestion(key.get_ref(), known),
                None => meant(key.get_ref(), known),
            };
            problems.push(problem.label(format!("{what} has no such key")).hint(hint));
        }
        Self { table, span, problems }
    }

    /// Adds a problem.
    pub fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Where the table is in the text.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&'a Value<'i>> {
        self.table.iter().find(|(name, _)| name.get_ref().as_ref() == key).map(|(_, value)| value)
    }

    /// Where the value of `key` is in the text.
    pub fn span_of(&self, key: &str) -> Option<Range<usize>> {
        self.get(key).map(Spanned::span)
    }

    /// The string of `key`, which must not be empty.
    pub fn string(&mut self, key: &str) -> Option<&'a str> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) if !text.is_empty() => return Some(text.as_ref()),
            DeValue::String(_) => self.problems.push(Problem::new(format!("`{key}` is empty"), value.span())),
            other => self.problems.push(wrong_kind(&format!("`{key}`"), "a string", other, value.span())),
        }
        None
    }

    /// The string of `key`, which may be empty.
    pub fn text(&mut self, key: &str) -> Option<&'a str> {
        match self.get(key)?.get_ref() {
            DeValue::String(text) => Some(text.as_ref()),
            _ => self.string(key),
        }
    }

    /// The boolean of `key`.
    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            other => {
                self.problems.push(wrong_kind(&format!("`{key}`"), "a boolean", other, value.span()));
                None
            }
        }
    }

    /// The integer of `key`, from 0 to 4294967294.
    pub fn integer(&mut self, key: &str) -> Option<u32> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Integer(integer) => {
                let digits = integer.as_str().replace('_', "");
                let number = u32::from_str_radix(&digits, integer.radix()).ok().filter(|number| *number != u32::MAX);
                if number.is_none() {
                    self.problems.push(Problem::new(format!("`{key}` is out of range"), value.span()));
                }
                number
            }
            other => {
                self.problems.push(wrong_kind(&format!("`{key}`"), "an integer", other, value.span()));
                None
            }
        }
    }

    /// The string of `key`, parsed.
    pub fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, key: &str) -> Option<T> {
        let text = self.string(key)?;
        self.checked(key, text.parse())
    }

    /// The mode of `key`, which is a string of octal digits. A hint explains this where it is an integer.
    pub fn mode(&mut self, key: &str) -> Option<Mode> {
        let value = self.get(key)?;
        if let DeValue::Integer(integer) = value.get_ref() {
            let digits = integer.as_str().trim_start_matches('0');
            let problem = Problem::new("a mode is a string of octal digits", value.span()).label("this is an integer");
            self.problem(problem.hint(format!("write `{key} = \"0{digits}\"`")));
            return None;
        }
        self.parsed(key)
    }

    /// The result, or its error as a problem with the value of `key`.
    pub fn checked<T, E: std::fmt::Display>(&mut self, key: &str, result: Result<T, E>) -> Option<T> {
        let span = self.span_of(key).unwrap_or_else(|| self.span());
        result.map_err(|error| self.problem(Problem::new(error.to_string(), span))).ok()
    }

    /// The strings of the array `key`.
    pub fn strings(&mut self, key: &str) -> Vec<&'a str> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.problems.push(wrong_kind(&format!("`{key}`"), "an array of strings", value.get_ref(), value.span()));
            return Vec::new();
        };
        let mut strings = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::String(text) => strings.push(text.as_ref()),
                other => self.problems.push(wrong_kind(&format!("`{key}`"), "strings", other, item.span())),
            }
        }
        strings
    }

    /// The problems, for the tables inside this one.
    pub fn problems(&mut self) -> &mut Vec<Problem> {
        self.problems
    }

    /// The names and values of the table `key`.
    pub fn named_tables(&mut self, key: &str) -> Vec<(&'a str, &'a Value<'i>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Table(table) = value.get_ref() else {
            self.problems.push(wrong_kind(&format!("`{key}`"), "a table", value.get_ref(), value.span()));
            return Vec::new();
        };
        table.iter().map(|(name, value)| (name.get_ref().as_ref(), value)).collect()
    }

    /// The elements of the array of tables `key`.
    pub fn array(&mut self, key: &str) -> Vec<&'a Value<'i>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            let problem = wrong_kind(&format!("`{key}`"), "an array of tables", value.get_ref(), value.span());
            self.problems.push(problem.hint(format!("begin each one with `[[{key}]]`")));
            return Vec::new();
        };
        items.iter().collect()
    }
}

fn wrong_kind(what: &str, expected: &str, found: &DeValue<'_>, span: Range<usize>) -> Problem {
    let found = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    Problem::new(format!("{what} should be {expected}"), span).label(format!("this is {found}"))
}
