use std::fmt;
use std::str::FromStr;

/// The user and the group that own a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: Principal,
    /// The group.
    pub group: Principal,
}

/// A user or a group, by its number or by its name in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A number, which need not be known to the guest.
    Number(u32),
    /// A name, which is looked up in the guest's `/etc/passwd` or `/etc/group`.
    Name(String),
}

/// Why a text is not an owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// The group is missing.
    #[error("owner `{text}` has no group: write `{text}:GROUP`")]
    NoGroup {
        /// The text.
        text: String,
    },
    /// The user or the group is neither a number nor a name.
    #[error("`{text}` is neither a name nor a number of a user or group")]
    NotAName {
        /// The user or the group.
        text: String,
    },
}

impl Default for Owner {
    /// `root:root`.
    fn default() -> Self {
        Self { user: Principal::Number(0), group: Principal::Number(0) }
    }
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        let (user, group) = text.split_once(':').ok_or_else(|| OwnerError::NoGroup { text: text.to_owned() })?;
        Ok(Self { user: user.parse()?, group: group.parse()? })
    }
}

impl FromStr for Principal {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
            // The largest number means "do not change" to the kernel.
            return match text.parse() {
                Ok(number) if number != u32::MAX => Ok(Self::Number(number)),
                _ => Err(OwnerError::NotAName { text: text.to_owned() }),
            };
        }
        let is_name = !text.is_empty()
            && !text.starts_with('-')
            && !text.contains(|character: char| {
                character.is_whitespace() || character.is_control() || matches!(character, ':' | '/')
            });
        if is_name { Ok(Self::Name(text.to_owned())) } else { Err(OwnerError::NotAName { text: text.to_owned() }) }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_a_user_and_a_group() {
        assert_eq!("0:0".parse::<Owner>().unwrap(), Owner::default());
        let owner: Owner = "www-data:33".parse().unwrap();
        assert_eq!(owner, Owner { user: Principal::Name("www-data".to_owned()), group: Principal::Number(33) });
        assert_eq!(owner.to_string(), "www-data:33");
    }

    #[test]
    fn half_an_owner_is_refused() {
        assert_eq!("root".parse::<Owner>(), Err(OwnerError::NoGroup { text: "root".to_owned() }));
        for text in ["root:", ":root", "a:b:c", "4294967295:0", "4294967296:0", "a b:c", "-1:0"] {
            assert!(matches!(text.parse::<Owner>(), Err(OwnerError::NotAName { .. })), "{text}");
        }
    }
}
