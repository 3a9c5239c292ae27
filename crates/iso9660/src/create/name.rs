//! One name in each name space.

use std::collections::BTreeSet;

use crate::Error;

/// Joliet Specification: 64 characters.
const MAX_JOLIET_UNITS: usize = 64;
/// ECMA-119, "Level 1": eight characters, and three after the dot.
const MAX_STEM: usize = 8;
const MAX_EXTENSION: usize = 3;

/// The name in UTF-16, big-endian.
pub(super) fn joliet(name: &str) -> Result<Vec<u8>, Error> {
    let invalid = |problem| Err(Error::InvalidName { name: name.to_owned(), problem });
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        return invalid("is not a valid file name");
    }
    if name.contains(|character: char| character < ' ' || "*:;?\\".contains(character)) {
        return invalid("has a character that Joliet does not allow: a control character or one of `*:;?\\`");
    }
    let units: Vec<u16> = name.encode_utf16().collect();
    if units.len() > MAX_JOLIET_UNITS {
        return invalid("is longer than the 64 characters that Joliet allows");
    }
    Ok(units.into_iter().flat_map(u16::to_be_bytes).collect())
}

/// The name in capital letters, digits and underscores, different from all in `taken`.
pub(super) fn plain(name: &str, is_directory: bool, taken: &mut BTreeSet<Vec<u8>>) -> Vec<u8> {
    let (stem, extension) = match name.rsplit_once('.').filter(|_| !is_directory) {
        Some((stem, extension)) => (stem, extension),
        None => (name, ""),
    };
    let stem = plain_characters(stem, MAX_STEM);
    let extension = plain_characters(extension, MAX_EXTENSION);
    let with = |stem: &[u8]| match is_directory {
        true => stem.to_vec(),
        false => [stem, b".", &extension, b";1"].concat(),
    };
    let mut candidate = with(&stem);
    // This ends: each number is tried once, and fewer names are taken.
    let mut number = 0;
    while !taken.insert(candidate.clone()) {
        let digits = format!("{number:03}");
        let kept = stem.len().min(MAX_STEM.saturating_sub(digits.len()));
        candidate = with(&[&stem[..kept], digits.as_bytes()].concat());
        number += 1;
    }
    candidate
}

fn plain_characters(text: &str, limit: usize) -> Vec<u8> {
    let plain = |character: char| match character.to_ascii_uppercase() {
        upper @ ('A'..='Z' | '0'..='9') => upper as u8,
        _ => b'_',
    };
    text.chars().take(limit).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_short_and_differ() {
        let mut taken = BTreeSet::new();
        let mut plain = |name: &str, is_directory| String::from_utf8(plain(name, is_directory, &mut taken)).unwrap();
        assert_eq!(plain("user-data", false), "USER_DAT.;1");
        assert_eq!(plain("user-date", false), "USER_000.;1");
        assert_eq!(plain("USER-DATE", false), "USER_001.;1");
        assert_eq!(plain(".profile", false), ".PRO;1");
        assert_eq!(plain("a.tar.gz", false), "A_TAR.GZ;1");
        assert_eq!(plain("ä.d", true), "__D");
    }

    #[test]
    fn a_name_that_joliet_cannot_have_is_refused() {
        assert_eq!(joliet("aß").unwrap(), [0, b'a', 0, 0xdf]);
        joliet(&"x".repeat(64)).unwrap();
        for name in ["", ".", "..", "a/b", "a:b", "a\nb", "a\0", &"x".repeat(65)] {
            assert!(matches!(joliet(name), Err(Error::InvalidName { .. })), "{name}");
        }
    }
}
