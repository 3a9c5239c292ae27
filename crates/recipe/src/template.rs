//! Names of files with placeholders in them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use crate::problem::{Problem, suggestion};

/// The longest value of a placeholder, in bytes: no file name is longer.
const MAX_VALUE_BYTES: usize = 255;

/// What a name in braces stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Placeholder {
    /// `{version}`: the version that is released.
    Version,
    /// `{date}`: the day of the build.
    Date,
    /// `{arch}`: the machine that the image is for.
    Architecture,
    /// `{base.version}`: the release of the base's system.
    BaseVersion,
    /// `{git.sha}`: the commit that is checked out.
    GitSha,
}

impl Placeholder {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Version, Self::Date, Self::Architecture, Self::BaseVersion, Self::GitSha];

    /// Its name, without the braces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Date => "date",
            Self::Architecture => "arch",
            Self::BaseVersion => "base.version",
            Self::GitSha => "git.sha",
        }
    }
}

/// As a recipe has it: `{version}`.
impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.name())
    }
}

/// A file's name with placeholders in it, such as `app-{version}.img`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A placeholder, and where it is in the recipe.
    Placeholder(Placeholder, Range<usize>),
}

impl Template {
    /// Reads the string `text`, which is what the bytes `span` of the recipe `source` say.
    pub(crate) fn parse(text: &str, source: &str, span: &Range<usize>) -> Result<Self, Vec<Problem>> {
        let place = Place::new(text, source, span);
        let (mut parts, mut problems, mut plain) = (Vec::new(), Vec::new(), String::new());
        let mut at = 0;
        while let Some(found) = text[at..].find(['{', '}']).map(|found| at + found) {
            plain.push_str(&text[at..found]);
            let (brace, rest) = text[found..].split_at(1);
            at = found + 1;
            if rest.starts_with(brace) {
                plain.push_str(brace);
                at += 1;
                continue;
            }
            let end = rest.find(['{', '}']).filter(|&end| brace == "{" && rest[end..].starts_with('}'));
            let Some(end) = end else {
                let (what, verb) = if brace == "{" { ("{", "closed") } else { ("}", "opened") };
                let problem = Problem::new(format!("a brace is not {verb}"), place.of(found..at));
                problems.push(problem.hint(format!("write `{what}{what}` for a brace in a name")));
                continue;
            };
            at += end + 1;
            let (name, span) = (&rest[..end], place.of(found..at));
            match Placeholder::ALL.into_iter().find(|placeholder| placeholder.name() == name) {
                Some(placeholder) => {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::Placeholder(placeholder, span));
                }
                None => {
                    let hint = suggestion(name, Placeholder::ALL.map(Placeholder::name));
                    problems.push(Problem::new(format!("unknown placeholder `{{{name}}}`"), span).hint(hint));
                }
            }
        }
        plain.push_str(&text[at..]);
        parts.push(Part::Text(plain));
        if problems.is_empty() { Ok(Self { parts }) } else { Err(problems) }
    }

    /// The placeholders in it, and where each is in the recipe.
    pub fn placeholders(&self) -> impl Iterator<Item = (Placeholder, Range<usize>)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Placeholder(placeholder, span) => Some((*placeholder, span.clone())),
        })
    }

    /// The name.
    ///
    /// # Errors
    ///
    /// The first placeholder that has no value.
    pub fn path(&self, values: &Values) -> Result<PathBuf, Placeholder> {
        let mut path = String::new();
        for part in &self.parts {
            path.push_str(match part {
                Part::Text(text) => text,
                Part::Placeholder(placeholder, _) => values.0.get(placeholder).ok_or(*placeholder)?,
            });
        }
        Ok(path.into())
    }
}

/// The name itself, in which a brace is a brace.
impl From<&str> for Template {
    fn from(text: &str) -> Self {
        Self { parts: vec![Part::Text(text.to_owned())] }
    }
}

/// What placeholders stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<Placeholder, String>);

impl Values {
    /// From now on, `placeholder` stands for `value`.
    ///
    /// # Errors
    ///
    /// A value that would be more than a part of a name, such as `../x`.
    pub fn set(&mut self, placeholder: Placeholder, value: &str) -> Result<(), ValueError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~-".contains(&byte);
        if value.is_empty() || value.len() > MAX_VALUE_BYTES || !value.bytes().all(is_plain) {
            let value = value.chars().take(MAX_VALUE_BYTES).collect();
            return Err(ValueError { placeholder, value });
        }
        self.0.insert(placeholder, value.to_owned());
        Ok(())
    }
}

/// A value cannot be part of a file's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{placeholder}` would be {value:?}, which cannot be part of a file's name: expected letters, digits and any of \
     `._+~-`"
)]
pub struct ValueError {
    /// The placeholder.
    pub placeholder: Placeholder,
    /// The value.
    pub value: String,
}

/// Where the characters of a string are in the recipe.
struct Place {
    span: Range<usize>,
    /// Where the text begins; nothing if escapes stand between a character and its place.
    begin: Option<usize>,
}

impl Place {
    fn new(text: &str, source: &str, span: &Range<usize>) -> Self {
        let raw = source.get(span.clone()).unwrap_or("");
        let quotes = raw.len() - raw.trim_start_matches(['"', '\'']).len();
        let begin = raw[quotes..].starts_with(text).then_some(span.start + quotes);
        Self { span: span.clone(), begin }
    }

    fn of(&self, part: Range<usize>) -> Range<usize> {
        self.begin.map_or(self.span.clone(), |begin| begin + part.start..begin + part.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let mut values = Values::default();
        for (placeholder, value) in [(Placeholder::Version, "1.2.3"), (Placeholder::GitSha, "abc")] {
            values.set(placeholder, value).unwrap();
        }
        values
    }

    /// What a recipe's string comes to, or each problem and the text that it is about.
    fn filled(literal: &str) -> Result<String, Vec<String>> {
        let source = format!("output = {literal}\n");
        let recipe = crate::Recipe::<()>::parse(&source).map_err(|problems| {
            let told = |problem: Problem| {
                let about = &source[problem.span.unwrap()];
                format!("{about}: {} ({})", problem.message, problem.hint.unwrap())
            };
            problems.into_iter().map(told).collect::<Vec<_>>()
        })?;
        let path = recipe.output.unwrap().path(&values());
        Ok(path.map_or_else(|placeholder| format!("{placeholder} has no value"), |path| path.display().to_string()))
    }

    #[test]
    fn placeholders_stand_for_values_and_two_braces_for_one() {
        for (literal, name) in [
            ("'app.img'", "app.img"),
            ("'app-{version}.img'", "app-1.2.3.img"),
            ("'{git.sha}{version}'", "abc1.2.3"),
            ("'{{version}}-{version}}}'", "{version}-1.2.3}"),
            (r#""\u007Bversion}""#, "1.2.3"),
            ("'{date}'", "{date} has no value"),
        ] {
            assert_eq!(filled(literal).as_deref(), Ok(name), "{literal}");
        }
        assert_eq!(Template::from("{x}").path(&Values::default()), Ok("{x}".into()));
    }

    #[test]
    fn what_is_wrong_is_shown_in_its_place() {
        let all = "expected one of `version`, `date`, `arch`, `base.version`, `git.sha`";
        for (literal, told) in [
            ("'a-{versoin}'", vec!["{versoin}: unknown placeholder `{versoin}` (did you mean `version`?)".to_owned()]),
            (
                "'''{git_sha}'''",
                vec!["{git_sha}: unknown placeholder `{git_sha}` (did you mean `git.sha`?)".to_owned()],
            ),
            ("'{}'", vec![format!("{{}}: unknown placeholder `{{}}` ({all})")]),
            (
                "'a}b{c{zebra}'",
                vec![
                    "}: a brace is not opened (write `}}` for a brace in a name)".to_owned(),
                    "{: a brace is not closed (write `{{` for a brace in a name)".to_owned(),
                    format!("{{zebra}}: unknown placeholder `{{zebra}}` ({all})"),
                ],
            ),
            ("'a{'", vec!["{: a brace is not closed (write `{{` for a brace in a name)".to_owned()]),
            // Escapes hide which character it is.
            (r#""\t{x}""#, vec![format!(r#""\t{{x}}": unknown placeholder `{{x}}` ({all})"#)]),
        ] {
            assert_eq!(filled(literal), Err(told), "{literal}");
        }
    }

    #[test]
    fn a_value_is_part_of_a_name_and_no_more() {
        let mut values = Values::default();
        for value in ["", "a/b", "..\0", "a b", "é", "\n", &"x".repeat(256)] {
            assert!(values.set(Placeholder::BaseVersion, value).is_err(), "{value:?}");
        }
        for value in ["1.2.3-rc.1+build~2_x", "24.04", &"x".repeat(255)] {
            assert_eq!(values.set(Placeholder::BaseVersion, value), Ok(()), "{value:?}");
        }
    }
}
