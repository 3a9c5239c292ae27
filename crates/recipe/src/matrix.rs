//! Recipes of many images: `[matrix]`, whose cells are a recipe each.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use toml::de::{DeTable, DeValue};

use crate::problem::{Problem, suggestion};
use crate::table::{Table, Value};

/// The most axes that a matrix has.
const AXES_MAX: usize = 16;
/// The most cells that a matrix has.
const CELLS_MAX: u64 = 10_000;
/// The longest value, in bytes: no file name is longer.
const VALUE_MAX_BYTES: usize = 255;
/// What a value's name begins with in the strings of a recipe.
const BEGIN: &str = "{matrix.";
const RANGE_KEYS: [&str; 2] = ["from", "to"];

/// The `[matrix]` of a recipe: its axes, and the cells that it leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    /// Each axis with its values, as the recipe has them.
    axes: Vec<(String, Vec<String>)>,
    excluded: Vec<Cell>,
}

/// One value of each axis, or of some: `base=debian:13,arch=arm64`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell(Vec<(String, String)>);

impl Matrix {
    /// The cells, of which the last axis changes fastest.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = vec![Cell::default()];
        for (axis, values) in &self.axes {
            let longer = |cell: &Cell| {
                let cell = cell.clone();
                values.iter().map(move |value| {
                    let mut cell = cell.clone();
                    cell.0.push((axis.clone(), value.clone()));
                    cell
                })
            };
            cells = cells.iter().flat_map(longer).collect();
        }
        cells.retain(|cell| !self.excluded.iter().any(|excluded| cell.has(excluded)));
        cells
    }

    /// The names of the axes.
    pub fn axes(&self) -> impl Iterator<Item = &str> + Clone {
        self.axes.iter().map(|(name, _)| name.as_str())
    }

    /// The values of the axis `name`.
    pub fn values(&self, name: &str) -> Option<&[String]> {
        self.axes.iter().find(|(axis, _)| axis == name).map(|(_, values)| &values[..])
    }

    /// Reads the value of `matrix` in a recipe.
    fn read(value: &Value<'_>, problems: &mut Vec<Problem>) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else {
            // Only for what it says.
            Table::new(value, "`matrix`", &[], problems);
            return None;
        };
        let mut keys: Vec<_> = table.iter().collect();
        // A table has its keys in the order of the alphabet.
        keys.sort_by_key(|(key, _)| key.span().start);
        let mut matrix = Self::default();
        let mut exclude = None;
        for (key, value) in keys {
            match key.get_ref().as_ref() {
                "exclude" => exclude = Some(value),
                name if !is_name(name) => problems.push(
                    Problem::new(format!("`{name}` is not a name of an axis"), key.span())
                        .hint("lower-case letters, digits, `-` and `_`"),
                ),
                name => matrix.axes.push((name.to_owned(), values(name, value, problems))),
            }
        }
        if !problems.is_empty() {
            return None;
        }
        if matrix.axes.is_empty() || matrix.axes.len() > AXES_MAX {
            problems.push(Problem::new(format!("a matrix has 1 to {AXES_MAX} axes"), value.span()));
            return None;
        }
        let cells = matrix.axes.iter().try_fold(1_u64, |cells, (_, values)| cells.checked_mul(values.len() as u64));
        if cells.is_none_or(|cells| cells > CELLS_MAX) {
            problems.push(Problem::new(format!("a matrix has at most {CELLS_MAX} cells"), value.span()));
            return None;
        }
        if let Some(exclude) = exclude {
            matrix.exclude(exclude, problems);
        }
        if matrix.cells().is_empty() {
            problems.push(Problem::new("the matrix has no cell", value.span()));
        }
        Some(matrix)
    }

    fn exclude(&mut self, value: &Value<'_>, problems: &mut Vec<Problem>) {
        let DeValue::Array(items) = value.get_ref() else {
            problems.push(
                Problem::new("`exclude` should be an array of tables", value.span())
                    .hint("such as `exclude = [{ base = \"debian:13\", arch = \"arm64\" }]`"),
            );
            return;
        };
        let axes: Vec<String> = self.axes().map(str::to_owned).collect();
        let axes: Vec<&str> = axes.iter().map(String::as_str).collect();
        for item in items {
            let Some(mut table) = Table::new(item, "what is excluded", &axes, problems) else { continue };
            let mut cell = Cell::default();
            for &axis in &axes {
                let (Some(text), Some(span)) = (table.string(axis), table.span_of(axis)) else { continue };
                let values = self.values(axis).unwrap_or_default();
                if !values.iter().any(|value| value == text) {
                    let hint = suggestion(text, values.iter().map(String::as_str));
                    table.problem(Problem::new(format!("`{axis}` has no value `{text}`"), span).hint(hint));
                }
                cell.0.push((axis.to_owned(), text.to_owned()));
            }
            if matches!(item.get_ref(), DeValue::Table(table) if table.is_empty()) {
                problems.push(Problem::new("an empty table excludes every cell", item.span()));
            } else if !cell.0.is_empty() {
                self.excluded.push(cell);
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
}

/// The values of an axis: an array of strings, or the numbers `{ from = 1, to = 100 }`.
fn values(name: &str, value: &Value<'_>, problems: &mut Vec<Problem>) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    match value.get_ref() {
        DeValue::Array(items) => {
            for item in items {
                let text = match item.get_ref() {
                    DeValue::String(text) => text.as_ref(),
                    _ => {
                        problems.push(Problem::new(format!("the values of `{name}` should be strings"), item.span()));
                        continue;
                    }
                };
                let is_plain = |text: &str| !text.contains(|c: char| c.is_control() || "{},=".contains(c));
                if text.is_empty() || text.len() > VALUE_MAX_BYTES || !is_plain(text) {
                    let problem = Problem::new(format!("{text:?} is not a value of an axis"), item.span());
                    problems.push(problem.hint(format!(
                        "1 to {VALUE_MAX_BYTES} bytes, without control characters, braces, commas and equals signs"
                    )));
                } else if values.iter().any(|value| value == text) {
                    problems.push(Problem::new(format!("`{text}` is there twice"), item.span()));
                } else {
                    values.push(text.to_owned());
                }
            }
            if items.is_empty() {
                problems.push(Problem::new(format!("`{name}` has no value"), value.span()));
            }
        }
        DeValue::Table(_) => {
            let Some(mut table) = Table::new(value, &format!("`{name}`"), &RANGE_KEYS, problems) else { return values };
            let [from, to] = RANGE_KEYS.map(|key| table.integer(key));
            match (from, to) {
                (Some(from), Some(to)) if from <= to && u64::from(to - from) < CELLS_MAX => {
                    values.extend((from..=to).map(|number| number.to_string()));
                }
                _ => table.problem(Problem::new(
                    format!("`{name}` should have two numbers, such as `{{ from = 1, to = 100 }}`"),
                    value.span(),
                )),
            }
        }
        _ => problems.push(
            Problem::new(format!("`{name}` should be an array of strings"), value.span())
                .hint("or numbers: `{ from = 1, to = 100 }`"),
        ),
    }
    values
}

impl Cell {
    /// Its values, with the names of their axes.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(axis, value)| (axis.as_str(), value.as_str()))
    }

    /// Whether all values of `other` are values of this one, too.
    pub fn has(&self, other: &Self) -> bool {
        other.0.iter().all(|value| self.0.contains(value))
    }

    fn get(&self, axis: &str) -> Option<&str> {
        self.values().find(|(name, _)| *name == axis).map(|(_, value)| value)
    }

    /// `text` with this cell's values for `{matrix.NAME}`; nothing if it has none. A doubled brace stays as it is.
    fn fill(&self, text: &str) -> Result<Option<String>, String> {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some(at) = rest.find(BEGIN) {
            let (before, found) = rest.split_at(at);
            filled.push_str(before);
            let name = found[BEGIN.len()..].split_once('}').map(|(name, _)| name);
            match name {
                Some(name) if !before.ends_with('{') => {
                    filled.push_str(self.get(name).ok_or_else(|| name.to_owned())?);
                    rest = &found[BEGIN.len() + name.len() + 1..];
                }
                _ => {
                    filled.push_str(BEGIN);
                    rest = &found[BEGIN.len()..];
                }
            }
        }
        if rest.len() == text.len() {
            return Ok(None);
        }
        filled.push_str(rest);
        Ok(Some(filled))
    }
}

/// `base=debian:13,arch=arm64`.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (axis, value)) in self.values().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{axis}={value}")?;
        }
        Ok(())
    }
}

impl FromStr for Cell {
    type Err = CellError;

    fn from_str(text: &str) -> Result<Self, CellError> {
        let value = |part: &str| {
            let (axis, value) = part.split_once('=').filter(|(axis, value)| is_name(axis) && !value.is_empty())?;
            Some((axis.to_owned(), value.to_owned()))
        };
        let values = text.split(',').map(value).collect::<Option<_>>();
        values.map(Self).ok_or_else(|| CellError { text: text.to_owned() })
    }
}

/// A text is not a cell of a matrix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a cell of a matrix: expected `AXIS=VALUE`, several with commas between them")]
pub struct CellError {
    /// The text.
    pub text: String,
}

/// The matrix of `document`, which has no key `matrix` from then on.
pub(crate) fn take(document: &mut DeTable<'_>, problems: &mut Vec<Problem>) -> Option<Matrix> {
    let key = document.keys().find(|key| key.get_ref() == "matrix")?.clone();
    Matrix::read(&document.remove(&key)?, problems)
}

/// Fills the strings of `document` with the values of `cell`.
pub(crate) fn fill(document: &mut DeTable<'_>, cell: &Cell, problems: &mut Vec<Problem>) {
    for (_, value) in document.iter_mut() {
        fill_value(value, cell, problems);
    }
}

fn fill_value(value: &mut Value<'_>, cell: &Cell, problems: &mut Vec<Problem>) {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) => match cell.fill(text) {
            Ok(Some(filled)) => *text = filled.into(),
            Ok(None) => {}
            Err(name) => {
                let problem = Problem::new(format!("`{BEGIN}{name}}}` stands for nothing"), span);
                let axes: Vec<&str> = cell.values().map(|(axis, _)| axis).collect();
                problems.push(match axes.is_empty() {
                    true => problem.hint("there is no table `[matrix]`"),
                    false => problem.hint(suggestion(&name, axes)),
                });
            }
        },
        DeValue::Array(items) => items.iter_mut().for_each(|item| fill_value(item, cell, problems)),
        DeValue::Table(table) => fill(table, cell, problems),
        _ => {}
    }
}

/// Writes what `document` says, and nothing of how: without comments, white space and the order of keys.
pub(crate) fn canonical(document: &DeTable<'_>, out: &mut String) {
    let keys: BTreeMap<&str, &Value<'_>> =
        document.iter().map(|(key, value)| (key.get_ref().as_ref(), value)).collect();
    for (key, value) in keys {
        out.push_str(&format!("{key:?}="));
        canonical_value(value, out);
    }
}

fn canonical_value(value: &Value<'_>, out: &mut String) {
    match value.get_ref() {
        DeValue::String(text) => out.push_str(&format!("{text:?}")),
        DeValue::Integer(number) => out.push_str(&format!("{}:{}", number.radix(), number.as_str())),
        DeValue::Float(number) => out.push_str(number.as_str()),
        DeValue::Boolean(boolean) => out.push_str(&boolean.to_string()),
        DeValue::Datetime(time) => out.push_str(&time.to_string()),
        DeValue::Array(items) => {
            out.push('[');
            items.iter().for_each(|item| canonical_value(item, out));
            out.push(']');
        }
        DeValue::Table(table) => {
            out.push('{');
            canonical(table, out);
            out.push('}');
        }
    }
    out.push(';');
}

/// One image of a recipe.
#[derive(Clone, Debug)]
pub struct Filled<S> {
    /// The recipe, with the values of a cell.
    pub recipe: crate::Recipe<S>,
    /// What it says, as a text that is the same for all recipes that say the same.
    pub canonical: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    type Recipe = crate::Recipe<()>;

    const TEXT: &str = r#"
output = "app-{matrix.tenant}-{matrix.arch}.img"
[matrix]
tenant = ["a", "b"]
arch = ["amd64", "arm64"]
number = { from = 8, to = 9 }
exclude = [{ tenant = "b", arch = "arm64" }, { number = "8", arch = "arm64" }]
[base]
name = "ubuntu:24.04"
arch = "{matrix.arch}"
"#;

    fn named(cells: &[Cell]) -> Vec<String> {
        cells.iter().map(ToString::to_string).collect()
    }

    fn told(text: &str) -> Vec<String> {
        let told = |problem: Problem| {
            let about = &text[problem.span.unwrap()];
            format!("{about}: {}{}", problem.message, problem.hint.map(|hint| format!(" ({hint})")).unwrap_or_default())
        };
        Recipe::matrix(text).unwrap_err().into_iter().map(told).collect()
    }

    #[test]
    fn cells_are_the_product_without_what_is_excluded() {
        let cells = Recipe::matrix(TEXT).unwrap().unwrap().cells();
        let expected = ["tenant=a,arch=amd64,number=8", "tenant=a,arch=amd64,number=9", "tenant=a,arch=arm64,number=9"];
        assert_eq!(named(&cells)[..3], expected);
        assert_eq!(named(&cells)[3..], ["tenant=b,arch=amd64,number=8", "tenant=b,arch=amd64,number=9"]);
        assert!(cells[0].has(&"number=8,tenant=a".parse().unwrap()) && !cells[0].has(&"number=9".parse().unwrap()));
        assert_eq!(Recipe::matrix("output = 'x'").unwrap(), None);
    }

    #[test]
    fn strings_have_the_values_of_the_cell() {
        let cell: Cell = "tenant=b,arch=amd64,number=9".parse().unwrap();
        let filled = Recipe::parse_cell(TEXT, &cell).unwrap();
        assert_eq!(filled.recipe.output, Some("app-b-amd64.img".into()));
        assert!(
            matches!(filled.recipe.base, Some(crate::Base::Published { architecture: Some(arch), .. }) if arch == "amd64")
        );
        // Without a cell, it is the first one.
        assert_eq!(Recipe::parse(TEXT).unwrap().output, Some("app-a-amd64.img".into()));
        for (text, filled) in [
            ("{matrix.tenant}{matrix.tenant}", Some("bb")),
            ("x{{matrix.tenant}}y{matrix.number}", Some("x{{matrix.tenant}}y9")),
            ("{matrix.tenant", None),
            ("matrix.tenant}", None),
        ] {
            let found = cell.fill(text).unwrap();
            assert_eq!(found.as_deref().filter(|found| *found != text), filled, "{text}");
        }
        assert_eq!(cell.fill("{matrix.tenat}"), Err("tenat".to_owned()));
    }

    #[test]
    fn recipes_that_say_the_same_are_the_same_text() {
        let canonical = |text: &str, cell: &str| Recipe::parse_cell(text, &cell.parse().unwrap()).unwrap().canonical;
        let one = canonical(TEXT, "tenant=a,arch=amd64,number=8");
        assert!(one != canonical(TEXT, "tenant=b,arch=amd64,number=8"));
        // A number that no string has, another cell, a comment and another order change nothing.
        assert_eq!(one, canonical(TEXT, "tenant=a,arch=amd64,number=9"));
        let other =
            "base = { arch = 'amd64', name = 'ubuntu:24.04' } # x\noutput='app-{matrix.t}-amd64.img'\nmatrix.t=['a']";
        assert_eq!(one, canonical(other, "t=a"));
        // Where a string ends is not to be guessed.
        let keep = |list: &str| canonical(&format!("matrix.t=['a']\nkeep.packages={list}"), "t=a");
        assert!(keep("['a','b']") != keep("['a\";\"b']"));
    }

    #[test]
    fn what_is_wrong_with_a_matrix_is_shown_in_its_place() {
        for (text, problem) in [
            ("matrix = 3", "3: `matrix` should be a table"),
            ("matrix = {}", "{}: a matrix has 1 to 16 axes"),
            ("matrix.Arch = ['a']", "Arch: `Arch` is not a name of an axis (lower-case letters, digits, `-` and `_`)"),
            ("matrix.a = []", "[]: `a` has no value"),
            ("matrix.a = ['x', 'x']", "'x': `x` is there twice"),
            ("matrix.a = 'x'", "'x': `a` should be an array of strings (or numbers: `{ from = 1, to = 100 }`)"),
            ("matrix.a = [1]", "1: the values of `a` should be strings"),
            ("matrix.a = ['{x}']", "'{x}': \"{x}\" is not a value of an axis"),
            ("matrix.a = { from = 9, to = 1 }", "{ from = 9, to = 1 }: `a` should have two numbers"),
            ("matrix.a = { from = 0, to = 4294967294 }", "{ from = 0, to = 4294967294 }: `a` should have two numbers"),
            ("matrix = { a = ['x'], exclude = [{ b = 'x' }] }", "b: unknown key `b`"),
            ("matrix = { a = ['x', 'y'], exclude = [{ a = 'z' }] }", "'z': `a` has no value `z`"),
            ("matrix = { a = ['x'], exclude = [{}] }", "{}: an empty table excludes every cell"),
            (
                "matrix = { a = ['x'], exclude = [{ a = 'x' }] }",
                "{ a = ['x'], exclude = [{ a = 'x' }] }: the matrix has no cell",
            ),
        ] {
            let told = told(text);
            assert!(told[0].starts_with(problem), "{text}: {told:?}");
        }
        let axis = "{ from = 1, to = 1000 }";
        let many = format!(
            "matrix = {{ a = {axis}, b = {axis}, c = {axis}, d = {axis}, e = {axis}, f = {axis}, g = {axis} }}"
        );
        assert!(told(&many)[0].ends_with("a matrix has at most 10000 cells"));
        let problems = Recipe::parse("matrix.arch = ['a']\noutput = '{matrix.arhc}'").unwrap_err();
        assert_eq!(problems[0].message, "`{matrix.arhc}` stands for nothing");
        assert_eq!(problems[0].hint.as_deref(), Some("did you mean `arch`?"));
    }
}
