//! `ssh-key`: lets somebody log in as a user with an SSH key.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use authorized_keys::Key;
use guest::resolve::LastLink;
use guest::{FileKind, GuestPath, PathProblem};
use recipe::SyntaxError;

use super::{Apply, Flag, StepForm, Verb, split, utf8};
use crate::account::{PASSWD, Table, account_name, is_account_name};
use crate::carry_out::{EDIT_LIMIT_BYTES, Work, expect_regular, join};
use crate::error::Error;
use crate::report::Report;
use crate::source::read_small;

/// The largest file of keys, in bytes.
const KEYS_LIMIT_BYTES: u64 = 1 << 20;

/// Lets somebody log in as a user with keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKey {
    /// The user, who must exist and have a home.
    pub user: String,
    /// The keys.
    pub key: KeySource,
}

/// The place of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// These lines, as `authorized_keys` has them.
    Text(String),
    /// A file of the host.
    File(PathBuf),
}

impl SshKey {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "ssh-key",
            value: Some("USER:SELECTOR"),
            help: "Let somebody log in as a user with an SSH key: file:PATH or string:KEY",
            parse: |text, _| SshKey::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "ssh-key",
            value: "USER",
            keys: &["key", "input"],
            read: |step| {
                let user = step.table.string("ssh-key");
                let key = match (step.table.get("key").is_some(), step.table.get("input").is_some()) {
                    (true, false) => step.table.string("key").map(|key| KeySource::Text(key.to_owned())),
                    (false, true) => step.input("input").map(KeySource::File),
                    _ => {
                        step.problem("this `ssh-key` needs a `key` or an `input`".to_owned(), None);
                        None
                    }
                };
                let key = SshKey { user: user?.to_owned(), key: key? };
                step.table.checked(if is_account_name(&key.user) { "key" } else { "ssh-key" }, key.check())?;
                Some(key.into())
            },
        },
    }];

    /// Reads `USER:file:PATH` or `USER:string:KEY`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the text has another form, or the user or the key is invalid.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let form = || SyntaxError::form("USER:file:PATH or USER:string:KEY", "ada:file:id_ed25519.pub");
        let (user, selector) = split(text).ok_or_else(form)?;
        let (kind, value) =
            split(OsStr::from_bytes(selector)).filter(|(_, value)| !value.is_empty()).ok_or_else(form)?;
        let key = match kind {
            b"file" => KeySource::File(PathBuf::from(OsStr::from_bytes(value))),
            b"string" => KeySource::Text(utf8(value)?.to_owned()),
            _ => return Err(form()),
        };
        let key = Self { user: utf8(user)?.to_owned(), key };
        key.check()?;
        Ok(key)
    }

    /// Refuses a name that no user can have, and invalid keys.
    pub(crate) fn check(&self) -> Result<(), SyntaxError> {
        if !is_account_name(&self.user) {
            return Err(account_name(&self.user));
        }
        match &self.key {
            KeySource::Text(text) => authorized_keys(text).map(drop),
            KeySource::File(_) => Ok(()),
        }
    }
}

/// The lines of `text` that are keys, as `authorized_keys` has them. The other lines are blank or comments.
///
/// # Errors
///
/// [`SyntaxError`] if there is no key, a line is not a key, or there is a private key.
pub fn authorized_keys(text: &str) -> Result<Vec<&str>, SyntaxError> {
    if text.contains("PRIVATE KEY-----") {
        return Err(SyntaxError::other(
            "this is a private key, which must stay secret: the public key is in the `.pub` file",
        ));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<&str> = lines.collect();
    if keys.is_empty() {
        return Err(SyntaxError::other("there is no key"));
    }
    for line in &keys {
        if line.contains(|character: char| character.is_control() && character != '\t') {
            return Err(SyntaxError::other("the key has a control character in it"));
        }
        let reason = match Key::parse(line) {
            Ok(key) if key.is_certificate() => "it is a certificate".to_owned(),
            Ok(_) => continue,
            Err(problem) => problem.to_string(),
        };
        let start: String = line.chars().take(40).collect();
        return Err(SyntaxError::other(format!("`{start}` is not an SSH public key: {reason}")));
    }
    Ok(keys)
}

impl Apply for SshKey {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let user = &self.user;
        let content = match &self.key {
            KeySource::Text(text) => text.clone(),
            KeySource::File(path) => {
                let content = read_small(path, KEYS_LIMIT_BYTES)?;
                work.note_read(path, &content);
                String::from_utf8(content).map_err(|_| Error::refused(format!("`{}` is not UTF-8", path.display())))?
            }
        };
        let keys = authorized_keys(&content).map_err(|error| match &self.key {
            KeySource::Text(_) => Error::refused(error.to_string()),
            KeySource::File(path) => Error::refused(format!("`{}`: {error}", path.display())),
        })?;
        let (uid, gid, home) = work.owner_and_home(user)?;
        let folder = work.ssh_folder(&home, uid, gid)?;
        let place = work.place(&join(&folder, b"authorized_keys")?, LastLink::Follow)?;
        let mut text = match &place.found {
            Some(found) => {
                expect_regular(&place.path, found.kind())?;
                String::from_utf8_lossy(&work.guest.read(&place.path, EDIT_LIMIT_BYTES)?).into_owned()
            }
            None => String::new(),
        };
        let mut added = 0;
        for key in keys {
            // `authorized_keys` has made sure that this is one.
            let parsed = Key::parse(key).ok();
            if text.lines().any(|line| Key::parse(line).ok() == parsed) {
                continue;
            }
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(key);
            text.push('\n');
            added += 1;
        }
        match &place.found {
            Some(_) if added > 0 => work.set_content(&place.path, text.as_bytes())?,
            Some(_) => {}
            None => work.create(&place.path, &work.attributes(0o600), text.as_bytes())?,
        }
        work.guest.set_owner(&place.path, uid, gid, work.now)?;
        work.guest.set_permissions(&place.path, 0o600, work.now)?;
        let text = match words::count(added, "SSH key", "SSH keys") {
            Some(keys) => format!("added {keys} for {user} ({})", place.path),
            None => format!("kept the SSH keys of {user}, which existed ({})", place.path),
        };
        Ok(Report::new("ssh-key", text, vec![place.path.to_string()], Vec::new()))
    }

    fn source_mut(&mut self) -> Option<&mut PathBuf> {
        match &mut self.key {
            KeySource::File(path) => Some(path),
            KeySource::Text(_) => None,
        }
    }
}

impl Work<'_> {
    /// The numbers and the home of `user` in `/etc/passwd`. The home must exist.
    fn owner_and_home(&self, user: &str) -> Result<(u32, u32, GuestPath), Error> {
        let passwd = Table::expect(self, PASSWD)?;
        let fields = passwd.find(user).ok_or_else(|| Error::UnknownName {
            what: "user",
            name: user.to_owned(),
            file: PASSWD,
        })?;
        let number = |index: usize| fields.get(index).and_then(|number| number.parse::<u32>().ok());
        let home = fields.get(5).and_then(|home| GuestPath::new(home).ok());
        let (Some(uid), Some(gid), Some(home)) = (number(2), number(3), home) else {
            return Err(Error::refused(format!("the line of user `{user}` in `{PASSWD}` is invalid")));
        };
        match self.directory_at(&home)? {
            Some(home) => Ok((uid, gid, home)),
            None => Err(Error::refused(format!("the home `{home}` of user `{user}` is not in the guest"))
                .hint(format!("make it with `mkdir {home}:0700:{user}:GROUP`"))),
        }
    }

    /// The folder for keys in a home, which only the user can read.
    fn ssh_folder(&mut self, home: &GuestPath, uid: u32, gid: u32) -> Result<GuestPath, Error> {
        let place = self.place(&join(home, b".ssh")?, LastLink::Follow)?;
        match &place.found {
            Some(found) if found.kind() != FileKind::Directory => {
                let problem = PathProblem::NotADirectory { at: place.path.clone() };
                return Err(guest::Error::Path { path: place.path, problem }.into());
            }
            Some(_) => {}
            None => self.guest.create_directory(&place.path, &self.attributes(0o700))?,
        }
        self.guest.set_owner(&place.path, uid, gid, self.now)?;
        self.guest.set_permissions(&place.path, 0o700, self.now)?;
        Ok(place.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDrAS96HzK4ghcv/JHAx7I6B00leBUxTzKtJzsbmauh/ ada@example.org";

    #[test]
    fn a_key_is_of_the_kind_that_it_says() {
        assert_eq!(authorized_keys(KEY).unwrap(), [KEY]);
        let with_options = format!("restrict,command=\"a b\" {KEY}");
        assert_eq!(authorized_keys(&format!("# mine\n\n{KEY}\n{with_options}\n")).unwrap().len(), 2);
        for text in ["", "ssh-ed25519", "ssh-ed25519 AAAA", &KEY.replace("ssh-ed25519 ", "ssh-rsa "), &KEY[..60], "x"] {
            assert!(authorized_keys(text).is_err(), "{text}");
        }
        let private = authorized_keys("-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap_err().to_string();
        assert!(private.contains("is in the `.pub` file"), "{private}");
    }
}
