//! Selectors: what `USER:SELECTOR` of a password, and of a key, may be.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::parse::Stop;

/// What becomes of a user's password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PasswordSelector {
    /// Whether the account is locked, too.
    pub(super) locked: bool,
    pub(super) secret: Secret,
}

/// A password, and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Secret {
    /// The first line of this file.
    File(PathBuf),
    /// This one.
    Text(Vec<u8>),
    /// One that is made up and told.
    Random,
    /// No password lets anybody in.
    Disabled,
}

impl PasswordSelector {
    /// What `text` says.
    pub(super) fn parse(text: &OsStr) -> Result<Self, Stop> {
        let mut fields: Vec<&[u8]> = text.as_bytes().split(|&byte| byte == b':').collect();
        let mut locked = false;
        while let [b"lock" | b"locked", ..] = fields[..] {
            locked = true;
            fields.remove(0);
        }
        let secret = match fields[..] {
            [] => Secret::Disabled,
            [b"file", file] => Secret::File(path(file)),
            [b"password", ref password @ ..] => Secret::Text(password.join(&b':')),
            [b"random"] => Secret::Random,
            [b"disable" | b"disabled"] => Secret::Disabled,
            _ => {
                return Err(Stop::error(format!("invalid password selector ‘{}’; see the man page", text.display())));
            }
        };
        Ok(Self { locked, secret })
    }
}

/// A public key, and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeySelector {
    /// The newest one of whoever runs this.
    Own,
    /// The content of this file.
    File(PathBuf),
    /// This one.
    Text(Vec<u8>),
}

impl KeySelector {
    /// What `text` says.
    pub(super) fn parse(text: &OsStr) -> Result<Self, Stop> {
        let fields: Vec<&[u8]> = text.as_bytes().split(|&byte| byte == b':').collect();
        match fields[..] {
            [b""] => Ok(Self::Own),
            [b"file", file] => Ok(Self::File(path(file))),
            [b"string", key] => Ok(Self::Text(key.to_vec())),
            _ => Err(Stop::error(format!("invalid ssh-inject selector ‘{}’; see the man page", text.display()))),
        }
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_have_colons_and_a_lock() {
        let parse = |text: &str| PasswordSelector::parse(text.as_ref()).unwrap();
        let selector = |locked, secret| PasswordSelector { locked, secret };
        assert_eq!(parse("password:a:b"), selector(false, Secret::Text(b"a:b".to_vec())));
        assert_eq!(parse("password"), selector(false, Secret::Text(Vec::new())));
        assert_eq!(parse("locked"), selector(true, Secret::Disabled));
        assert_eq!(parse("lock:locked:random"), selector(true, Secret::Random));
        assert_eq!(parse("locked:file:x"), selector(true, Secret::File("x".into())));
        for text in ["", "file", "file:a:b", "random:x", "disabled:x", "locked:foo"] {
            assert!(PasswordSelector::parse(text.as_ref()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_may_not_have_colons() {
        assert_eq!(KeySelector::parse("".as_ref()).unwrap(), KeySelector::Own);
        assert_eq!(
            KeySelector::parse("string:ssh-ed25519 A".as_ref()).unwrap(),
            KeySelector::Text(b"ssh-ed25519 A".to_vec())
        );
        for text in ["string", "string:a:b", "file", "key:x"] {
            assert!(KeySelector::parse(text.as_ref()).is_err(), "{text}");
        }
    }
}
