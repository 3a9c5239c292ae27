//! `user`: a new user, as `useradd -m` makes one.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::LastLink;
use guest::{FileKind, GuestPath};

use super::{SyntaxError, known, path, utf8};
use crate::account::{
    Defaults, GROUP, GSHADOW, PASSWD, SHADOW, SUBGID, SUBUID, Table, day, is_account_name, next_number,
};
use crate::carry_out::{Warning, Work, join};
use crate::error::Error;
use crate::owner::{Principal, group_number};
use crate::report::Report;

/// What a new home is filled with.
const SKELETON: &str = "/etc/skel";

/// A new user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The number; the next one where this is `None`.
    pub uid: Option<u32>,
    /// The primary group, which has to be there; where this is `None`, what the guest does: mostly a new
    /// group of the same name.
    pub group: Option<Principal>,
    /// More groups to be in, which have to be there.
    pub groups: Vec<String>,
    /// The shell; the guest's default where this is `None`.
    pub shell: Option<GuestPath>,
    /// The home; where this is `None`, the one of that name where the guest has homes.
    pub home: Option<GuestPath>,
    /// Whether the home is made; where this is `None`, it is unless the user is one of the system.
    pub make_home: Option<bool>,
    /// The full name.
    pub comment: String,
    /// Whether it is a user of the system, with a low number.
    pub system: bool,
}

impl User {
    /// The user that `NAME[:KEY=VALUE…]` says: `uid`, `group`, `groups` (with commas), `shell`, `home`,
    /// `comment`; `system` and `no-home` have no value.
    ///
    /// # Errors
    ///
    /// Names, numbers and paths that are none, and keys that are not known.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let mut fields = text.as_bytes().split(|&byte| byte == b':');
        let mut user = Self::new(utf8(fields.next().unwrap_or_default())?)?;
        for field in fields {
            let field = utf8(field)?;
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            match (key, value) {
                ("system", "") => user.system = true,
                ("no-home", "") => user.make_home = Some(false),
                ("uid", value) => user.uid = Some(number(value)?),
                ("group", value) => user.group = Some(group(value)?),
                ("groups", value) => user.groups = value.split(',').map(str::to_owned).collect(),
                ("shell", value) => user.shell = Some(path(value.as_bytes())?),
                ("home", value) => user.home = Some(path(value.as_bytes())?),
                ("comment", value) => user.comment = value.to_owned(),
                _ => {
                    return Err(SyntaxError::new(format!(
                        "`{field}` says nothing of a user: uid=, group=, groups=, shell=, home=, comment=, system \
                         and no-home do"
                    )));
                }
            }
        }
        user.check()?;
        Ok(user)
    }

    /// A user of this name, with the guest's defaults.
    ///
    /// # Errors
    ///
    /// A name that no user can have.
    pub fn new(name: &str) -> Result<Self, SyntaxError> {
        let user = Self { name: name.to_owned(), ..Self::default() };
        user.check()?;
        Ok(user)
    }

    /// Refuses what would not be one line of `/etc/passwd`.
    pub(crate) fn check(&self) -> Result<(), SyntaxError> {
        for name in [&self.name].into_iter().chain(&self.groups) {
            if !is_account_name(name) {
                return Err(SyntaxError::new(format!("`{name}` is no name that a user or a group can have")));
            }
        }
        let paths = [&self.shell, &self.home].into_iter().flatten().map(ToString::to_string);
        for text in paths.chain([self.comment.clone()]) {
            if text.contains([':', '\n', '\r']) {
                return Err(SyntaxError::new(format!(
                    "`{text}` cannot be in `{PASSWD}`: there is a `:` or a line's end in it"
                )));
            }
        }
        Ok(())
    }
}

fn number(text: &str) -> Result<u32, SyntaxError> {
    match text.parse::<Principal>() {
        Ok(Principal::Number(number)) => Ok(number),
        _ => Err(SyntaxError::new(format!("`{text}` is no number of a user"))),
    }
}

fn group(text: &str) -> Result<Principal, SyntaxError> {
    text.parse().map_err(|error: crate::owner::OwnerError| SyntaxError::new(error.to_string()))
}

/// What a new user comes to.
struct Account {
    uid: u32,
    gid: u32,
    home: GuestPath,
    shell: String,
}

impl Work<'_> {
    pub(crate) fn user(&mut self, user: &User) -> Result<Report, Error> {
        let name = &user.name;
        let defaults = Defaults::read(self)?;
        let mut passwd = Table::expect(self, PASSWD)?;
        if passwd.find(name).is_some() {
            let error = Error::refused(format!("user `{name}` is in the guest already"));
            return Err(error.hint("`password` and `ssh-key` change a user that is there"));
        }
        let mut groups = Table::expect(self, GROUP)?;
        for group in &user.groups {
            group_number(self.guest, &Principal::Name(group.clone()))?;
            groups.find(group).ok_or_else(|| Error::refused(format!("`{GROUP}` has no line for group `{group}`")))?;
        }
        let uid = uid(user, &passwd, &defaults)?;
        let gid = self.primary_group(user, uid, &mut groups, &defaults)?;
        let account = self.account(user, uid, gid, &defaults)?;
        let (home, shell) = (&account.home, &account.shell);
        passwd.add(format!("{name}:x:{uid}:{gid}:{}:{home}:{shell}", user.comment));
        passwd.write(self)?;
        user.groups.iter().for_each(|group| groups.add_member(group, 3, name));
        groups.write(self)?;
        self.add_to_shadows(user, &defaults)?;
        if !user.system && defaults.number("SUB_UID_COUNT", 65_536) > 0 {
            self.add_subordinates(name, SUBUID, "SUB_UID", &defaults)?;
            self.add_subordinates(name, SUBGID, "SUB_GID", &defaults)?;
        }
        let mut parents = Vec::new();
        if user.make_home.unwrap_or(!user.system) {
            parents = self.make_home(user, &account, &defaults)?;
        }
        if !self.is_there(&known_or_root(shell))? {
            self.warnings.push(Warning::Other(format!("the shell `{shell}` of user `{name}` is not in the guest")));
        }
        let mut text = format!("made user {name} ({uid}:{gid}, home {home}, shell {shell}");
        if !user.groups.is_empty() {
            text.push_str(&format!(", groups {}", user.groups.join(", ")));
        }
        text.push(')');
        Ok(Report::new("user", text, vec![PASSWD.to_owned()], parents))
    }

    /// The number of the primary group, which is made where the guest gives each user one.
    fn primary_group(&mut self, user: &User, uid: u32, groups: &mut Table, defaults: &Defaults) -> Result<u32, Error> {
        let name = &user.name;
        if let Some(group) = &user.group {
            let gid = group_number(self.guest, group)?;
            if !groups.numbers(2).any(|number| number == gid) {
                return Err(Error::refused(format!("the guest has no group with the number {gid}")));
            }
            return Ok(gid);
        }
        if !defaults.has_user_groups() {
            return Ok(defaults.useradd("GROUP").and_then(|gid| gid.parse().ok()).unwrap_or(100));
        }
        if groups.find(name).is_some() {
            let error = Error::refused(format!("group `{name}` is in the guest already"));
            return Err(error.hint(format!("`group={name}` makes it the user's")));
        }
        let used: BTreeSet<u32> = groups.numbers(2).collect();
        let gid = match used.contains(&uid) {
            false => uid,
            true => next_number(&used, &defaults.numbers("GID", user.system), user.system)
                .ok_or_else(|| Error::refused("the guest has no number left for a group"))?,
        };
        groups.add(format!("{name}:x:{gid}:"));
        if let Some(mut gshadow) = Table::read(self, GSHADOW)? {
            gshadow.add(format!("{name}:!::"));
            gshadow.write(self)?;
        }
        Ok(gid)
    }

    fn account(&self, user: &User, uid: u32, gid: u32, defaults: &Defaults) -> Result<Account, Error> {
        let home = match &user.home {
            Some(home) => home.clone(),
            None => {
                let homes = known_or_root(defaults.useradd("HOME").unwrap_or("/home"));
                join(&homes, user.name.as_bytes())?
            }
        };
        let shell = match &user.shell {
            Some(shell) => shell.to_string(),
            None => match defaults.useradd("SHELL") {
                Some(shell) => shell.to_owned(),
                None if self.is_there(&known("/bin/bash"))? => "/bin/bash".to_owned(),
                None => "/bin/sh".to_owned(),
            },
        };
        Ok(Account { uid, gid, home, shell })
    }

    /// The lines of `/etc/shadow`, and the user's memberships in `/etc/gshadow`.
    fn add_to_shadows(&mut self, user: &User, defaults: &Defaults) -> Result<(), Error> {
        if let Some(mut shadow) = Table::read(self, SHADOW)? {
            // Users of the system have no passwords that could grow old.
            let age = |name, otherwise: &str| match user.system {
                true => String::new(),
                false => defaults.login(name).unwrap_or(otherwise).to_owned(),
            };
            let ages = [age("PASS_MIN_DAYS", "0"), age("PASS_MAX_DAYS", "99999"), age("PASS_WARN_AGE", "7")].join(":");
            shadow.add(format!("{}:!:{}:{ages}:::", user.name, day(self.now)));
            shadow.write(self)?;
        }
        if let Some(mut gshadow) = Table::read(self, GSHADOW)?.filter(|_| !user.groups.is_empty()) {
            user.groups.iter().for_each(|group| gshadow.add_member(group, 3, &user.name));
            gshadow.write(self)?;
        }
        Ok(())
    }

    /// Numbers for the user's own name spaces, where the guest gives some: the first ones that are free.
    fn add_subordinates(&mut self, name: &str, file: &str, what: &str, defaults: &Defaults) -> Result<(), Error> {
        let Some(mut table) = Table::read(self, file)? else { return Ok(()) };
        let count = u64::from(defaults.number(&format!("{what}_COUNT"), 65_536));
        let mut start = u64::from(defaults.number(&format!("{what}_MIN"), 100_000));
        let max = u64::from(defaults.number(&format!("{what}_MAX"), 600_100_000));
        let number = |fields: &[&str], index: usize| fields.get(index)?.parse::<u64>().ok();
        let mut ranges: Vec<(u64, u64)> = table
            .rows()
            .filter_map(|fields| {
                let first = number(&fields, 1)?;
                Some((first, first.checked_add(number(&fields, 2)?)?))
            })
            .collect();
        ranges.sort_unstable();
        for (first, end) in ranges {
            if start + count <= first {
                break;
            }
            start = start.max(end);
        }
        if table.find(name).is_some() || start + count > max + 1 {
            return Ok(());
        }
        // In their order, as `useradd` has them.
        let is_behind = |fields: &[&str]| number(fields, 1).is_some_and(|first| first > start);
        table.add_before(is_behind, format!("{name}:{start}:{count}"));
        table.write(self)
    }

    /// Makes the home with what is in the skeleton.
    fn make_home(&mut self, user: &User, account: &Account, defaults: &Defaults) -> Result<Vec<String>, Error> {
        let place = self.place(&account.home, LastLink::Follow)?;
        if place.found.is_some() {
            let home = &account.home;
            self.warnings.push(Warning::Other(format!("`{home}` was there, and is not made user `{}`'s", user.name)));
            return Ok(place.parents);
        }
        self.guest.create_directory(&place.path, &self.attributes(0o700))?;
        if let Some(skeleton) = self.directory_at(&known(SKELETON))? {
            for entry in self.guest.read_directory(&skeleton)? {
                self.copy_tree(&join(&skeleton, &entry.name)?, &join(&place.path, &entry.name)?)?;
            }
        }
        let now = Some(self.now);
        for path in self.tree(&place.path)? {
            self.guest.set_owner(&path, account.uid, account.gid, self.now)?;
            let kind = self.guest.find(&path, LastLink::Keep)?.node.kind();
            if kind != FileKind::Symlink {
                let times = guest::Times { accessed: now, modified: now, changed: now };
                self.guest.set_times(&path, &times)?;
            }
        }
        self.guest.set_permissions(&place.path, defaults.home_permissions(), self.now)?;
        Ok(place.parents)
    }
}

/// The number that the new user gets.
fn uid(user: &User, passwd: &Table, defaults: &Defaults) -> Result<u32, Error> {
    let used: BTreeSet<u32> = passwd.numbers(2).collect();
    match user.uid {
        Some(uid) if used.contains(&uid) => {
            let fields = passwd.rows().find(|fields| fields.get(2).is_some_and(|number| number.parse() == Ok(uid)));
            let owner = fields.map_or("", |fields| fields[0]).to_owned();
            Err(Error::refused(format!("user `{owner}` has the number {uid} already")))
        }
        Some(uid) => Ok(uid),
        None => next_number(&used, &defaults.numbers("UID", user.system), user.system)
            .ok_or_else(|| Error::refused("the guest has no number left for a user")),
    }
}

/// A path that the guest says, or `/` where it is none.
fn known_or_root(text: &str) -> GuestPath {
    GuestPath::new(text).unwrap_or_else(|_| GuestPath::root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_key() {
        let user =
            User::parse(OsStr::new("ada:uid=1234:groups=sudo,adm:shell=/bin/zsh:comment=Ada L.:no-home")).unwrap();
        assert_eq!(
            (user.uid, user.groups.len(), user.comment.as_str(), user.make_home),
            (Some(1234), 2, "Ada L.", Some(false))
        );
        for (text, part) in [
            ("", "no name"),
            ("ada:uid=x", "no number"),
            ("ada:wheel", "says nothing of a user"),
            ("ada:shell=zsh", "begins with `/`"),
            ("ada:groups=a b", "no name"),
            ("ada:system=yes", "says nothing"),
        ] {
            assert!(User::parse(OsStr::new(text)).unwrap_err().to_string().contains(part), "{text}");
        }
    }
}
