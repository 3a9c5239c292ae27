//! Reading a TOML table of which every key is known.

use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, meant, suggestion};
use words::nearest;

/// A table, and what was found wrong in it so far.
pub(super) struct Table<'a, 'i> {
    table: &'a DeTable<'i>,
    span: Range<usize>,
    problems: &'a mut Vec<Problem>,
}

impl<'a, 'i> Table<'a, 'i> {
    /// The table that `value` is; every key but those of `known` is a problem.
    pub(super) fn new(
        value: &'a Spanned<DeValue<'i>>,
        what: &str,
        known: &[&str],
        problems: &'a mut Vec<Problem>,
    ) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::of(table, value.span(), what, known, problems)),
            other => {
                problems.push(wrong_kind(what, "a table", other, value.span()));
                None
            }
        }
    }

    /// As [`new`](Self::new), of a table that is known to be one.
    pub(super) fn of(
        table: &'a DeTable<'i>,
        span: Range<usize>,
        what: &str,
        known: &[&str],
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let problem = Problem::new(format!("unknown key `{}`", key.get_ref()), key.span());
            // A slip in a key comes first here: `package` in `[keep]` is `packages`, and no other program's word.
            let known = known.iter().copied();
            let hint = match nearest(key.get_ref(), known.clone()) {
                Some(_) => suggestion(key.get_ref(), known),
                None => meant(key.get_ref(), known),
            };
            problems.push(problem.label(format!("{what} has no such key")).hint(hint));
        }
        Self { table, span, problems }
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Where the table stands.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.table.iter().find(|(name, _)| name.get_ref().as_ref() == key).map(|(_, value)| value)
    }

    /// Where the value of `key` stands.
    pub(super) fn span_of(&self, key: &str) -> Option<Range<usize>> {
        self.get(key).map(Spanned::span)
    }

    /// The text of `key`, which has to be a string that is not empty.
    pub(super) fn string(&mut self, key: &str) -> Option<&'a str> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) if !text.is_empty() => return Some(text.as_ref()),
            DeValue::String(_) => self.problems.push(Problem::new(format!("`{key}` is empty"), value.span())),
            other => self.problems.push(wrong_kind(&format!("`{key}`"), "a string", other, value.span())),
        }
        None
    }

    /// The text of `key`, which has to be a string, if an empty one.
    pub(super) fn text(&mut self, key: &str) -> Option<&'a str> {
        match self.get(key)?.get_ref() {
            DeValue::String(text) => Some(text.as_ref()),
            _ => self.string(key),
        }
    }

    /// The value of `key`, which has to be `true` or `false`.
    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            other => {
                self.problems.push(wrong_kind(&format!("`{key}`"), "a boolean", other, value.span()));
                None
            }
        }
    }

    /// The value of `key`, which has to be a whole number that is not negative.
    pub(super) fn integer(&mut self, key: &str) -> Option<u32> {
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

    /// The text of `key`, which has to say a `T`.
    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, key: &str) -> Option<T> {
        let text = self.string(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let span = self.span_of(key).unwrap_or_default();
                self.problems.push(Problem::new(error.to_string(), span));
                None
            }
        }
    }

    /// The strings of the array `key`.
    pub(super) fn strings(&mut self, key: &str) -> Vec<&'a str> {
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

    /// The problems, for tables below.
    pub(super) fn problems(&mut self) -> &mut Vec<Problem> {
        self.problems
    }

    /// The names and values of the table `key`, each of which is a table of its own.
    pub(super) fn named_tables(&mut self, key: &str) -> Vec<(&'a str, &'a Spanned<DeValue<'i>>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Table(table) = value.get_ref() else {
            self.problems.push(wrong_kind(&format!("`{key}`"), "a table", value.get_ref(), value.span()));
            return Vec::new();
        };
        table.iter().map(|(name, value)| (name.get_ref().as_ref(), value)).collect()
    }

    /// The elements of the array of tables `key`.
    pub(super) fn array(&mut self, key: &str) -> Vec<&'a Spanned<DeValue<'i>>> {
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
