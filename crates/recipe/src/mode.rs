use std::fmt;
use std::str::FromStr;

/// Permission bits, set-id and sticky bits included: up to 0o7777.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mode(u16);

/// Why a text is not a mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// The leading 0 is missing.
    #[error("a mode is octal and begins with 0: write `{suggestion}`")]
    NoLeadingZero {
        /// The text with a 0.
        suggestion: String,
    },
    /// The text has something other than octal digits in it.
    #[error("`{text}` is not a mode: expected octal digits, such as `0755`")]
    NotOctal {
        /// The text.
        text: String,
    },
    /// The mode is larger than 07777.
    #[error("mode `{text}` is larger than `07777`")]
    TooLarge {
        /// The text.
        text: String,
    },
}

impl Mode {
    /// The bits.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// The permission bits of `bits`.
    pub fn from_bits(bits: u16) -> Self {
        Self(bits & 0o7777)
    }

    /// The mode of the directories in a tree whose files get this one: whoever may read may also enter.
    pub fn for_directory(self) -> Self {
        Self(self.0 | (self.0 & 0o444) >> 2)
    }
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        if text.is_empty() || !text.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
            return Err(ModeError::NotOctal { text: text.to_owned() });
        }
        // 755 is read as a decimal number by some tools and as an octal one by others.
        if !text.starts_with('0') {
            return Err(ModeError::NoLeadingZero { suggestion: format!("0{text}") });
        }
        match u16::from_str_radix(text, 8) {
            Ok(bits) if bits <= 0o7777 => Ok(Self(bits)),
            _ => Err(ModeError::TooLarge { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal_and_says_so() {
        assert_eq!("0755".parse::<Mode>().unwrap().bits(), 0o755);
        assert_eq!("04755".parse::<Mode>().unwrap().bits(), 0o4755);
        assert_eq!("0".parse::<Mode>().unwrap().to_string(), "0000");
        assert_eq!("755".parse::<Mode>(), Err(ModeError::NoLeadingZero { suggestion: "0755".to_owned() }));
        assert_eq!("010000".parse::<Mode>(), Err(ModeError::TooLarge { text: "010000".to_owned() }));
        for text in ["", "0789", "u+x", "-0755", "0o755", "+0755"] {
            assert_eq!(text.parse::<Mode>(), Err(ModeError::NotOctal { text: text.to_owned() }), "{text}");
        }
    }

    #[test]
    fn a_tree_of_readable_files_has_directories_that_can_be_entered() {
        assert_eq!("0644".parse::<Mode>().unwrap().for_directory().to_string(), "0755");
        assert_eq!("0600".parse::<Mode>().unwrap().for_directory().to_string(), "0700");
    }
}
