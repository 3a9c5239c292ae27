use storage::Printable;

use crate::Error;

/// Long names are kept in slots of 13 UTF-16 units, after which comes the slot of the file itself.
const UNITS_PER_SLOT: usize = 13;
const MAX_UNITS: usize = 255;

/// A name to look for.
pub(crate) fn to_look_for(name: &[u8]) -> Result<&str, Error> {
    let invalid = |problem| Err(Error::InvalidName { name: Printable(name).to_string(), problem });
    match std::str::from_utf8(name) {
        Ok("" | "." | "..") => invalid("is not a valid name"),
        Ok(text) if text.contains('/') => invalid("has a slash in it"),
        Ok(text) => Ok(text),
        Err(_) => invalid("is not UTF-8"),
    }
}

/// A name to create something by.
pub(crate) fn to_create(name: &[u8]) -> Result<&str, Error> {
    let text = to_look_for(name)?;
    let problem = if text.chars().any(|c| c < ' ' || c == '\x7f' || "\"*:<>?\\|".contains(c)) {
        "has a character that FAT does not allow"
    } else if text.ends_with(['.', ' ']) || text.starts_with(' ') {
        // Other systems leave them off, and then the file is of another name or cannot be reached.
        "begins or ends with a space, or ends with a full stop"
    } else if text.encode_utf16().count() > MAX_UNITS {
        "is longer than 255 UTF-16 units"
    } else {
        return Ok(text);
    };
    Err(Error::InvalidName { name: Printable(name).to_string(), problem })
}

/// How many slots of a directory something of this name takes.
pub(crate) fn slots(name: &str) -> usize {
    if is_short(name) { 1 } else { name.encode_utf16().count().div_ceil(UNITS_PER_SLOT) + 1 }
}

/// Whether the name fits a slot by itself: eight and three characters, each part of one case.
fn is_short(name: &str) -> bool {
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let fits = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"$%'-_@~`!(){}^#&".contains(&byte))
            && !(part.bytes().any(|b| b.is_ascii_lowercase()) && part.bytes().any(|b| b.is_ascii_uppercase()))
    };
    (1..=8).contains(&base.len()) && extension.len() <= 3 && fits(base) && fits(extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_as_many_slots_as_they_have_parts() {
        for (name, count) in [
            ("GRUB.CFG", 1),
            ("grub.cfg", 1),
            ("shimx64.efi", 1),
            ("Grub.cfg", 2),
            ("a.b.c", 2),
            (".disk", 2),
            ("user-data", 2),
            ("a name of 13c", 2),
            ("a name of 14 c", 3),
            ("größe", 2),
        ] {
            assert_eq!(slots(name), count, "{name}");
        }
    }

    #[test]
    fn names_that_fat_cannot_have_are_refused() {
        for name in ["", ".", "..", "a/b", "a:b", "a\tb", "end.", "end ", " start", &"x".repeat(256)] {
            assert!(matches!(to_create(name.as_bytes()), Err(Error::InvalidName { .. })), "{name}");
        }
        assert!(to_create(b"\xff").is_err() && to_look_for(b"\xff").is_err());
        assert!(to_create("x".repeat(255).as_bytes()).is_ok() && to_look_for(b"end.").is_ok());
    }
}
