//! What an image is called where it goes.

use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes.
const NAME_MAX_BYTES: usize = 255;
/// The longest slug, in bytes: Google's names have 63, and ends such as `-seed.iso` are added to files.
const SLUG_MAX_BYTES: usize = 60;
/// The slug of a name without any letter or digit of ASCII, and the beginning of one that begins with a digit.
const FALLBACK: &str = "image";

/// A name that cannot be an image's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It is empty or longer than 255 bytes.
    #[error("a name has 1 to {NAME_MAX_BYTES} bytes, and this one has {length_bytes}")]
    Length {
        /// Its length in bytes.
        length_bytes: usize,
    },
    /// It has a character that XML cannot hold, or that ends a line.
    #[error("a name has no control characters, and this one has U+{:04X}", *.character as u32)]
    Control {
        /// The first one.
        character: char,
    },
    /// Not the name of a bucket.
    #[error("`{text}` is not a bucket's name: 3 to 63 of the characters a to z, 0 to 9, `-`, `_` and `.`")]
    Bucket {
        /// What was given.
        text: String,
    },
}

/// A name as people write it, and as every target takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    shown: String,
    slug: String,
}

impl Name {
    /// The name `text`.
    ///
    /// # Errors
    ///
    /// [`BadName::Length`] and [`BadName::Control`].
    pub fn new(text: &str) -> Result<Self, BadName> {
        if text.is_empty() || text.len() > NAME_MAX_BYTES {
            return Err(BadName::Length { length_bytes: text.len() });
        }
        match text.chars().find(|&character| is_control(character)) {
            Some(character) => Err(BadName::Control { character }),
            None => Ok(Self { shown: text.to_owned(), slug: slug(text) }),
        }
    }

    /// The name of a file without its end: what no name may have is left out.
    pub fn of_file(stem: &str) -> Self {
        let shown = cleaned(stem);
        let slug = slug(&shown);
        Self { shown: if shown.is_empty() { slug.clone() } else { shown }, slug }
    }

    /// As people write it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// As every target takes it: `a` to `z`, `0` to `9` and `-`, at most 60, a letter first and no `-` last.
    pub fn slug(&self) -> &str {
        &self.slug
    }
}

/// `text` without control characters, and not longer than a name.
pub(crate) fn cleaned(text: &str) -> String {
    let mut cleaned = String::new();
    for character in text.chars().filter(|&character| !is_control(character)) {
        if cleaned.len() + character.len_utf8() > NAME_MAX_BYTES {
            break;
        }
        cleaned.push(character);
    }
    cleaned
}

/// What XML 1.0 cannot hold, YAML breaks a line at, or a terminal is steered by.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn slug(text: &str) -> String {
    let mut slug = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            if slug.is_empty() && character.is_ascii_digit() {
                slug.push_str(FALLBACK);
                slug.push('-');
            }
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(SLUG_MAX_BYTES);
    slug.truncate(slug.trim_end_matches('-').len());
    if slug.is_empty() { FALLBACK.to_owned() } else { slug }
}

/// The name of a bucket, in Google's Cloud Storage or in S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket(String);

impl FromStr for Bucket {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let has_ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        let is_name = (3..=63).contains(&bytes.len()) && bytes.iter().all(|&byte| is_allowed(byte));
        match is_name && has_ends(bytes.first()) && has_ends(bytes.last()) {
            true => Ok(Self(text.to_owned())),
            false => Err(BadName::Bucket { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_what_the_strictest_target_takes() {
        for (text, slug) in [
            ("app", "app"),
            ("Autonoe-Ubuntu_24.04", "autonoe-ubuntu-24-04"),
            ("../../etc/passwd", "etc-passwd"),
            ("<a href=\"x\">&'", "a-href-x"),
            ("24.04", "image-24-04"),
            ("--rm -rf $HOME;", "rm-rf-home"),
            ("日本", "image"),
            ("..", "image"),
        ] {
            assert_eq!(Name::new(text).unwrap().slug(), slug, "{text}");
        }
        let long = Name::new(&"ab-".repeat(80)).unwrap();
        assert_eq!((long.slug().len(), long.slug().ends_with('b')), (59, true));
    }

    #[test]
    fn what_no_text_can_hold_is_no_name() {
        assert_eq!(Name::new(""), Err(BadName::Length { length_bytes: 0 }));
        assert_eq!(Name::new(&"x".repeat(256)), Err(BadName::Length { length_bytes: 256 }));
        for character in ['\n', '\0', '\u{85}', '\u{2028}', '\u{ffff}', '\u{202e}'] {
            assert_eq!(Name::new(&format!("a{character}b")), Err(BadName::Control { character }));
            assert_eq!(Name::of_file(&format!("a{character}b")).shown(), "ab");
        }
        assert_eq!(Name::of_file("\n").shown(), "image");
    }

    #[test]
    fn a_bucket_is_a_word() {
        assert_eq!("my.images-1".parse::<Bucket>().unwrap().to_string(), "my.images-1");
        for text in ["", "ab", "Bucket", "a b c", "-abc", "abc-", "a/../b", "$(id)", &"x".repeat(64)] {
            assert!(text.parse::<Bucket>().is_err(), "{text}");
        }
    }
}
