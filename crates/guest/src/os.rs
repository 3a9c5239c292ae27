//! `os-release`, the file in which a guest says which operating system it is.

use serde::Serialize;

/// The fields of `os-release` that imgraft uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OperatingSystem {
    /// `ID`: `ubuntu`, `debian`; `linux` if it is missing.
    pub id: String,
    /// `ID_LIKE`, split into words.
    pub like: Vec<String>,
    /// `VERSION_ID`: `24.04`. A rolling distribution has none.
    pub version: Option<String>,
    /// `VERSION_CODENAME`: `noble`.
    pub codename: Option<String>,
    /// `PRETTY_NAME`; if it is missing, the id and the version.
    pub name: String,
}

impl OperatingSystem {
    /// Parses the text of an `os-release` file. Lines that a shell could not read are left out.
    pub fn parse(text: &str) -> Self {
        let mut os = Self { id: "linux".to_owned(), ..Self::default() };
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once('=') else { continue };
            let Some(value) = unquote(value).filter(|value| !value.is_empty()) else { continue };
            match key {
                "ID" => os.id = value,
                "ID_LIKE" => os.like = value.split_ascii_whitespace().map(str::to_owned).collect(),
                "VERSION_ID" => os.version = Some(value),
                "VERSION_CODENAME" => os.codename = Some(value),
                "PRETTY_NAME" => os.name = value,
                _ => {}
            }
        }
        if os.name.is_empty() {
            os.name = [Some(os.id.as_str()), os.version.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        }
        os
    }
}

/// The value of a shell assignment: bare words, single and double quotes, backslashes. `None` if a quote is not closed.
fn unquote(value: &str) -> Option<String> {
    let mut out = String::new();
    let mut characters = value.chars();
    let mut quote = None;
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, ' ' | '\t') => break,
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            (Some('\''), other) => out.push(other),
            (Some('"'), '\\') => match characters.next()? {
                escaped @ ('"' | '\\' | '$' | '`') => out.push(escaped),
                other => out.extend(['\\', other]),
            },
            (None, '\\') => out.push(characters.next()?),
            (_, other) => out.push(other),
        }
    }
    quote.is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ubuntu_says_what_it_is() {
        let os = OperatingSystem::parse(
            "PRETTY_NAME=\"Ubuntu 24.04.3 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nVERSION_CODENAME=noble\n\
             ID=ubuntu\nID_LIKE=debian\n",
        );
        assert_eq!(
            (os.id.as_str(), os.version.as_deref(), os.codename.as_deref()),
            ("ubuntu", Some("24.04"), Some("noble"))
        );
        assert_eq!((os.name.as_str(), os.like), ("Ubuntu 24.04.3 LTS", vec!["debian".to_owned()]));
    }

    #[test]
    fn quoting_is_the_shells() {
        for (text, value) in [
            ("plain", "plain"),
            ("'single $x \\'", "single $x \\"),
            (r#""double \"x\" \$ \a""#, r#"double "x" $ \a"#),
            ("two\\ words", "two words"),
            ("a'b'\"c\"", "abc"),
            ("word # comment", "word"),
        ] {
            assert_eq!(unquote(text).as_deref(), Some(value), "{text}");
        }
        assert_eq!(unquote("\"open"), None);
    }

    #[test]
    fn a_poor_file_still_gives_a_name() {
        assert_eq!(OperatingSystem::parse("").name, "linux");
        assert_eq!(OperatingSystem::parse("ID=arch\nVERSION_ID='7'").name, "arch 7");
    }
}
