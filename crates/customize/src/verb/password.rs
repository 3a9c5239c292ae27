//! `password`: what a user logs in with, or that nothing does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{SyntaxError, split, utf8};
use crate::account::{PASSWD, SHADOW, Scheme, Table, day, is_account_name};
use crate::carry_out::Work;
use crate::error::Error;
use crate::report::{MadeUp, Report};
use crate::source::read_small;

/// The largest file with a password in it, in bytes.
const PASSWORD_LIMIT_BYTES: u64 = 4096;

/// A user's password.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// The user, who has to be there.
    pub user: String,
    /// What it is.
    pub secret: Secret,
    /// Whether it is locked: it is kept, and nobody gets in with it.
    pub locked: bool,
    /// How it is hashed; as the guest does it where this is `None`.
    pub scheme: Option<Scheme>,
    /// What the salt is made of in place of the root file system's UUID.
    pub salt: Option<String>,
}

/// What a password is.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// This text.
    Plain(String),
    /// The first line of a file of the host.
    File(PathBuf),
    /// This text, which was made up: the report has it.
    Random(String),
    /// Something with this hash, as the second field of `/etc/shadow` has it.
    Hash(String),
    /// Nothing: no password gets in.
    Disabled,
    /// What it is.
    Unchanged,
}

impl Password {
    /// A password that is hashed as the guest does it.
    pub fn new(user: impl Into<String>, secret: Secret) -> Self {
        Self { user: user.into(), secret, locked: false, scheme: None, salt: None }
    }

    /// The password that `USER:SELECTOR` says: `password:TEXT`, `file:PATH`, `hash:HASH`, `random`, `disabled`,
    /// or `locked`, alone or before one of the others and a `:`. `random` is where the caller has the
    /// text of a password made up.
    ///
    /// # Errors
    ///
    /// What is none of these.
    pub fn parse(text: &OsStr, random: impl FnOnce() -> std::io::Result<String>) -> Result<Self, SyntaxError> {
        let form = || SyntaxError::form("USER:password:TEXT, USER:file:PATH or USER:locked", "ada:file:password.txt");
        let (user, selector) = split(text).ok_or_else(form)?;
        let (locked, selector) = match selector.strip_prefix(b"locked") {
            Some(b"") => (true, &b"unchanged"[..]),
            Some([b':', rest @ ..]) => (true, rest),
            _ => (false, selector),
        };
        let (kind, value) = split(OsStr::from_bytes(selector)).unwrap_or((selector, b""));
        let secret = match (kind, value) {
            (b"password", value) => Secret::Plain(utf8(value)?.to_owned()),
            (b"file", value) if !value.is_empty() => Secret::File(PathBuf::from(OsStr::from_bytes(value))),
            (b"hash", value) => Secret::Hash(utf8(value)?.to_owned()),
            (b"random", b"") => {
                let random = random().map_err(|error| SyntaxError::new(format!("no password can be made up: {error}")));
                Secret::Random(random?)
            }
            (b"disabled", b"") => Secret::Disabled,
            (b"unchanged", b"") if locked => Secret::Unchanged,
            _ => return Err(form()),
        };
        let password = Self { locked, ..Self::new(utf8(user)?, secret) };
        password.check()?;
        Ok(password)
    }

    /// Refuses what would not be one field of `/etc/shadow`, or could not be typed.
    pub(crate) fn check(&self) -> Result<(), SyntaxError> {
        if !is_account_name(&self.user) {
            return Err(SyntaxError::new(format!("`{}` is no name that a user can have", self.user)));
        }
        match &self.secret {
            Secret::Plain(text) | Secret::Random(text) => check_password(text).map_err(SyntaxError::new),
            Secret::Hash(hash) if hash.is_empty() || hash.contains([':', '\n', ' ']) || !hash.is_ascii() => {
                Err(SyntaxError::new("the hash is none that `/etc/shadow` could have"))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a password with which nobody could log in.
fn check_password(text: &str) -> Result<(), String> {
    match text {
        "" => Err("the password is empty: `disabled` lets nobody in with one".to_owned()),
        text if text.contains(|character: char| character.is_control()) => {
            Err("the password has a control character in it".to_owned())
        }
        _ => Ok(()),
    }
}

impl Work<'_> {
    pub(crate) fn password(&mut self, password: &Password) -> Result<Report, Error> {
        let user = &password.user;
        let passwd = Table::expect(self, PASSWD)?;
        if passwd.find(user).is_none() {
            return Err(Error::UnknownName { what: "user", name: user.clone(), file: PASSWD });
        }
        let mut shadow = Table::expect(self, SHADOW)?;
        let old = shadow.find(user).and_then(|fields| Some((*fields.get(1)?).to_owned()));
        let (mut hash, how) = match &password.secret {
            Secret::Plain(text) | Secret::Random(text) => self.hash(password, text)?,
            Secret::File(path) => {
                let content = read_small(path, PASSWORD_LIMIT_BYTES)?;
                let text = String::from_utf8(content).ok();
                let line = text.as_deref().map(|text| text.lines().next().unwrap_or_default());
                let line = line.ok_or_else(|| Error::refused(format!("`{}` is not UTF-8", path.display())))?;
                check_password(line).map_err(|problem| Error::refused(format!("`{}`: {problem}", path.display())))?;
                self.hash(password, line)?
            }
            Secret::Hash(hash) => (hash.clone(), String::new()),
            Secret::Disabled => ("*".to_owned(), String::new()),
            Secret::Unchanged => (old.clone().unwrap_or_default(), String::new()),
        };
        if password.locked && !hash.starts_with('!') {
            hash.insert(0, '!');
        }
        if old.is_none() {
            shadow.add(format!("{user}::::::::"));
        }
        shadow.set(user, 1, &hash);
        if password.secret != Secret::Unchanged {
            shadow.set(user, 2, &day(self.now));
        }
        shadow.write(self)?;
        let text = match &password.secret {
            Secret::Disabled => format!("disabled the password of {user}"),
            Secret::Unchanged => format!("locked the password of {user}"),
            _ => format!("set the password of {user}{how}"),
        };
        let mut report = Report::new("password", text, vec![SHADOW.to_owned()], Vec::new());
        if let Secret::Random(text) = &password.secret {
            report.made_up = Some(MadeUp { user: user.clone(), password: text.clone() });
        }
        Ok(report)
    }

    /// The hash of a password's text, and how it was made.
    fn hash(&self, password: &Password, text: &str) -> Result<(String, String), Error> {
        let scheme = match password.scheme {
            Some(scheme) => scheme,
            None => Scheme::of_guest(self)?,
        };
        let seed = match &password.salt {
            Some(salt) => salt.clone(),
            None => self.guest.root_volume().file_system().map(guest::FileSystem::uuid).unwrap_or_default(),
        };
        let hash = scheme.hash(text, &password.user, seed.as_bytes())?;
        let locked = if password.locked { ", locked" } else { "" };
        Ok((hash, format!(" ({}{locked})", scheme.name())))
    }
}

/// Not the secret.
impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Password").field("user", &self.user).field("locked", &self.locked).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Password, SyntaxError> {
        Password::parse(OsStr::new(text), || Ok("made-up".to_owned()))
    }

    #[test]
    fn selectors_are_those_of_virt_customize_and_a_hash() {
        assert!(parse("ada:password:a:b").unwrap() == Password::new("ada", Secret::Plain("a:b".to_owned())));
        assert!(parse("ada:file:/x").unwrap() == Password::new("ada", Secret::File(PathBuf::from("/x"))));
        assert!(parse("ada:hash:$6$a$b").unwrap().secret == Secret::Hash("$6$a$b".to_owned()));
        assert!(parse("ada:random").unwrap().secret == Secret::Random("made-up".to_owned()));
        let locked = parse("ada:locked").unwrap();
        assert!(locked.locked && locked.secret == Secret::Unchanged);
        let locked = parse("ada:locked:password:x").unwrap();
        assert!(locked.locked && locked.secret == Secret::Plain("x".to_owned()));
        for text in
            ["ada", "ada:", "ada:x", "ada:password", "ada:password:", "ada:file:", "ada:unchanged", "ada:hash:a:b"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_in_what_is_shown_for_debugging() {
        assert!(!format!("{:?}", parse("ada:password:secret").unwrap()).contains("secret"));
    }
}
