//! `password`: sets, locks or disables a user's password.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use recipe::SyntaxError;

use super::{Apply, Flag, Operation, StepForm, Verb, split, utf8};
use crate::account::{PASSWD, SHADOW, Scheme, Table, account_name, day, is_account_name};
use crate::carry_out::Work;
use crate::error::Error;
use crate::report::{MadeUp, Report};
use crate::source::read_small;
use crate::step::StepReader;

/// The largest file of a password, in bytes.
const PASSWORD_LIMIT_BYTES: u64 = 4096;

/// Sets a user's password.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// The user, who must exist.
    pub user: String,
    /// The password.
    pub secret: Secret,
    /// Whether it is locked: it is kept, and nobody can log in with it.
    pub locked: bool,
    /// How it is hashed; as the guest does it if this is `None`.
    pub scheme: Option<Scheme>,
    /// What the salt is made from, instead of the root file system's UUID.
    pub salt: Option<String>,
}

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// This text.
    Plain(String),
    /// The first line of a file of the host.
    File(PathBuf),
    /// This text, which was made up; the report has it.
    Random(String),
    /// The password with this hash, as the second field of `/etc/shadow` has it.
    Hash(String),
    /// None: nobody can log in with a password.
    Disabled,
    /// The old one.
    Unchanged,
}

impl Password {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "password",
            value: Some("USER:SELECTOR"),
            help: "Set a user's password: password:TEXT, file:PATH, hash:HASH, random, disabled or locked",
            parse: |text, host| Password::parse(text, host.random_password).map(Into::into),
        }],
        step: StepForm {
            name: "password",
            value: "USER",
            keys: &["text", "input", "hash", "disabled", "locked", "scheme", "salt"],
            read,
        },
    }];

    /// A password that is hashed as the guest does it.
    pub fn new(user: impl Into<String>, secret: Secret) -> Self {
        Self { user: user.into(), secret, locked: false, scheme: None, salt: None }
    }

    /// Reads `USER:SELECTOR`. The selector is `password:TEXT`, `file:PATH`, `hash:HASH`, `random`, `disabled`, or
    /// `locked`, which may stand before another one and a `:`. `random` makes up a password.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the selector is not one of these, or has an invalid value.
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
                let failed = |error| SyntaxError::other(format!("cannot make up a password: {error}"));
                Secret::Random(random().map_err(failed)?)
            }
            (b"disabled", b"") => Secret::Disabled,
            (b"unchanged", b"") if locked => Secret::Unchanged,
            _ => return Err(form()),
        };
        let password = Self { locked, ..Self::new(utf8(user)?, secret) };
        password.check()?;
        Ok(password)
    }

    /// Refuses a password that cannot be stored in a field of `/etc/shadow`, or cannot be typed.
    pub(crate) fn check(&self) -> Result<(), SyntaxError> {
        if !is_account_name(&self.user) {
            return Err(account_name(&self.user));
        }
        match &self.secret {
            Secret::Plain(text) | Secret::Random(text) => check_password(text),
            Secret::Hash(hash) if hash.is_empty() || hash.contains([':', '\n', ' ']) || !hash.is_ascii() => {
                Err(SyntaxError::other("this hash cannot be stored in `/etc/shadow`"))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a password with which nobody could log in.
fn check_password(text: &str) -> Result<(), SyntaxError> {
    match text {
        "" => Err(SyntaxError::other("the password is empty: `disabled` lets nobody log in with a password")),
        text if text.contains(|character: char| character.is_control()) => {
            Err(SyntaxError::other("the password has a control character in it"))
        }
        _ => Ok(()),
    }
}

/// Reads the step.
fn read(step: &mut StepReader<'_, '_>) -> Option<Operation> {
    let user = step.table.string("password");
    let locked = step.table.boolean("locked").unwrap_or(false);
    let given: Vec<&str> =
        ["text", "input", "hash", "disabled"].into_iter().filter(|key| step.table.get(key).is_some()).collect();
    let secret = match given[..] {
        ["text"] => step.table.text("text").map(|text| Secret::Plain(text.to_owned())),
        ["hash"] => step.table.string("hash").map(|hash| Secret::Hash(hash.to_owned())),
        ["input"] => step.input("input").map(Secret::File),
        ["disabled"] if step.table.boolean("disabled") == Some(true) => Some(Secret::Disabled),
        [] if locked => Some(Secret::Unchanged),
        _ => {
            let hint = "give one of `text`, `input`, `hash`, `disabled = true` and `locked = true`";
            step.problem("this `password` needs exactly one password".to_owned(), Some(hint));
            None
        }
    };
    let scheme = step.table.parsed("scheme");
    let salt = step.table.string("salt").map(str::to_owned);
    let password = Password { locked, scheme, salt, ..Password::new(user?, secret?) };
    step.table.checked("password", password.check())?;
    Some(password.into())
}

impl Apply for Password {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let user = &self.user;
        let passwd = Table::expect(work, PASSWD)?;
        if passwd.find(user).is_none() {
            return Err(Error::UnknownName { what: "user", name: user.clone(), file: PASSWD });
        }
        let mut shadow = Table::expect(work, SHADOW)?;
        let old = shadow.find(user).and_then(|fields| Some((*fields.get(1)?).to_owned()));
        let (mut hash, how) = match &self.secret {
            Secret::Plain(text) | Secret::Random(text) => work.hash(self, text)?,
            Secret::File(path) => {
                let content = read_small(path, PASSWORD_LIMIT_BYTES)?;
                let text = String::from_utf8(content).ok();
                let line = text.as_deref().map(|text| text.lines().next().unwrap_or_default());
                let line = line.ok_or_else(|| Error::refused(format!("`{}` is not UTF-8", path.display())))?;
                check_password(line).map_err(|problem| Error::refused(format!("`{}`: {problem}", path.display())))?;
                work.hash(self, line)?
            }
            Secret::Hash(hash) => (hash.clone(), String::new()),
            Secret::Disabled => ("*".to_owned(), String::new()),
            Secret::Unchanged => (old.clone().unwrap_or_default(), String::new()),
        };
        if self.locked && !hash.starts_with('!') {
            hash.insert(0, '!');
        }
        if old.is_none() {
            shadow.add(format!("{user}::::::::"));
        }
        shadow.set(user, 1, &hash);
        if self.secret != Secret::Unchanged {
            shadow.set(user, 2, &day(work.now));
        }
        shadow.write(work)?;
        let text = match &self.secret {
            Secret::Disabled => format!("disabled the password of {user}"),
            Secret::Unchanged => format!("locked the password of {user}"),
            _ => format!("set the password of {user}{how}"),
        };
        let mut report = Report::new("password", text, vec![SHADOW.to_owned()], Vec::new());
        if let Secret::Random(text) = &self.secret {
            report.made_up = Some(MadeUp { user: user.clone(), password: text.clone() });
        }
        Ok(report)
    }

    fn source_mut(&mut self) -> Option<&mut PathBuf> {
        match &mut self.secret {
            Secret::File(path) => Some(path),
            _ => None,
        }
    }
}

impl Work<'_> {
    /// The hash of a password's text, and a remark on how it was made.
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

/// Does not show the secret.
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
