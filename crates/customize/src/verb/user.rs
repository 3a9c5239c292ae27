//! `user`: makes a user, as `useradd -m` does.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::LastLink;
use guest::{FileKind, GuestPath};
use recipe::{Principal, SyntaxError};

use super::{Apply, Flag, StepForm, Verb, known, path, utf8};
use crate::account::{
    Defaults, GROUP, GSHADOW, PASSWD, SHADOW, SUBGID, SUBUID, Table, account_name, day, is_account_name, next_number,
};
use crate::carry_out::{Warning, Work, join};
use crate::error::Error;
use crate::labels;
use crate::owner::group_number;
use crate::report::Report;

/// The folder whose content goes into a new home.
const SKELETON: &str = "/etc/skel";

/// Makes a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The number; the next free one if this is `None`.
    pub uid: Option<u32>,
    /// The primary group, which must exist. If this is `None`, the guest's default is used: mostly a new group of the
    /// same name.
    pub group: Option<Principal>,
    /// Further groups, which must exist.
    pub groups: Vec<String>,
    /// The shell; the guest's default if this is `None`.
    pub shell: Option<GuestPath>,
    /// The home. If this is `None`, it has the user's name and is in the guest's folder of homes.
    pub home: Option<GuestPath>,
    /// Whether the home is made. If this is `None`, it is made unless this is a system user.
    pub make_home: Option<bool>,
    /// The full name.
    pub comment: String,
    /// Whether this is a system user, with a low number.
    pub system: bool,
}

impl User {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "user",
            value: Some("NAME[:KEY=VALUE]"),
            help: "Make a user, with uid=, group=, groups=, shell=, home=, comment=, system or no-home",
            parse: |text, _| User::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "user",
            value: "NAME",
            keys: &["uid", "group", "groups", "shell", "home", "make-home", "comment", "system"],
            read: |step| {
                let table = &mut step.table;
                let name = table.string("user");
                let user = User {
                    uid: table.integer("uid"),
                    group: table.parsed("group"),
                    groups: table.strings("groups").into_iter().map(str::to_owned).collect(),
                    shell: table.parsed("shell"),
                    home: table.parsed("home"),
                    make_home: table.boolean("make-home"),
                    comment: table.text("comment").unwrap_or_default().to_owned(),
                    system: table.boolean("system").unwrap_or(false),
                    name: name?.to_owned(),
                };
                table.checked("user", user.check())?;
                Some(user.into())
            },
        },
    }];

    /// Reads `NAME[:KEY=VALUE…]`. The keys are `uid`, `group`, `groups` (with commas), `shell`, `home` and `comment`;
    /// `system` and `no-home` have no value.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if a name, a number or a path is invalid, or a key is unknown.
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
                ("group", value) => user.group = Some(value.parse()?),
                ("groups", value) => user.groups = value.split(',').map(str::to_owned).collect(),
                ("shell", value) => user.shell = Some(path(value.as_bytes())?),
                ("home", value) => user.home = Some(path(value.as_bytes())?),
                ("comment", value) => user.comment = value.to_owned(),
                _ => {
                    let expected = "expected uid=, group=, groups=, shell=, home=, comment=, system or no-home";
                    return Err(SyntaxError::invalid(field, "a setting of a user", expected));
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
    /// [`SyntaxError`] if no user can have the name.
    pub fn new(name: &str) -> Result<Self, SyntaxError> {
        let user = Self { name: name.to_owned(), ..Self::default() };
        user.check()?;
        Ok(user)
    }

    /// Refuses a user who cannot be a line of `/etc/passwd`.
    pub(crate) fn check(&self) -> Result<(), SyntaxError> {
        for name in [&self.name].into_iter().chain(&self.groups) {
            if !is_account_name(name) {
                return Err(account_name(name));
            }
        }
        let paths = [&self.shell, &self.home].into_iter().flatten().map(ToString::to_string);
        for text in paths.chain([self.comment.clone()]) {
            if text.contains([':', '\n', '\r']) {
                let problem = format!("`{text}` cannot be stored in `{PASSWD}`: it has a `:` or a line end in it");
                return Err(SyntaxError::other(problem));
            }
        }
        Ok(())
    }
}

fn number(text: &str) -> Result<u32, SyntaxError> {
    match text.parse::<Principal>() {
        Ok(Principal::Number(number)) => Ok(number),
        _ => Err(SyntaxError::invalid(text, "a user's number", "expected one such as `1000`")),
    }
}

/// The facts of a new user.
struct Account {
    uid: u32,
    gid: u32,
    home: GuestPath,
    shell: String,
}

impl Apply for User {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let name = &self.name;
        let defaults = Defaults::read(work)?;
        let mut passwd = Table::expect(work, PASSWD)?;
        if passwd.find(name).is_some() {
            let error = Error::refused(format!("the guest already has a user `{name}`"));
            return Err(error.hint("`password` and `ssh-key` change an existing user"));
        }
        let mut groups = Table::expect(work, GROUP)?;
        for group in &self.groups {
            group_number(work.guest, &Principal::Name(group.clone()))?;
            groups.find(group).ok_or_else(|| Error::refused(format!("`{GROUP}` has no line for group `{group}`")))?;
        }
        let uid = uid(self, &passwd, &defaults)?;
        let gid = work.primary_group(self, uid, &mut groups, &defaults)?;
        let account = work.account(self, uid, gid, &defaults)?;
        let (home, shell) = (&account.home, &account.shell);
        passwd.add(format!("{name}:x:{uid}:{gid}:{}:{home}:{shell}", self.comment));
        passwd.write(work)?;
        self.groups.iter().for_each(|group| groups.add_member(group, 3, name));
        groups.write(work)?;
        work.add_to_shadows(self, &defaults)?;
        if !self.system && defaults.number("SUB_UID_COUNT", 65_536) > 0 {
            work.add_subordinates(name, SUBUID, "SUB_UID", &defaults)?;
            work.add_subordinates(name, SUBGID, "SUB_GID", &defaults)?;
        }
        let mut parents = Vec::new();
        if self.make_home.unwrap_or(!self.system) {
            parents = work.make_home(self, &account, &defaults)?;
        }
        if !work.is_there(&known_or_root(shell))? {
            work.warnings.push(Warning::Other(format!("the shell `{shell}` of user `{name}` is not in the guest")));
        }
        let mut text = format!("made user {name} ({uid}:{gid}, home {home}, shell {shell}");
        if !self.groups.is_empty() {
            text.push_str(&format!(", groups {}", self.groups.join(", ")));
        }
        text.push(')');
        Ok(Report::new("user", text, vec![PASSWD.to_owned()], parents))
    }
}

impl Work<'_> {
    /// The number of the primary group, which is made if the guest gives each user one.
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
            let error = Error::refused(format!("the guest already has a group `{name}`"));
            return Err(error.hint(format!("`group={name}` makes it the user's group")));
        }
        let used: BTreeSet<u32> = groups.numbers(2).collect();
        let gid = match used.contains(&uid) {
            false => uid,
            true => next_number(&used, &defaults.numbers("GID", user.system), user.system)
                .ok_or_else(|| Error::refused("the guest has no free number for a group"))?,
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

    /// Adds the user's line to `/etc/shadow`, and the memberships to `/etc/gshadow`.
    fn add_to_shadows(&mut self, user: &User, defaults: &Defaults) -> Result<(), Error> {
        if let Some(mut shadow) = Table::read(self, SHADOW)? {
            // System users have no passwords that could expire.
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

    /// Adds the first free range of numbers for the user's own name spaces, if the guest assigns some.
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
        // In ascending order, as `useradd` does it.
        let is_after = |fields: &[&str]| number(fields, 1).is_some_and(|first| first > start);
        table.add_before(is_after, format!("{name}:{start}:{count}"));
        table.write(self)
    }

    /// Makes the home with the content of the skeleton.
    fn make_home(&mut self, user: &User, account: &Account, defaults: &Defaults) -> Result<Vec<String>, Error> {
        let place = self.place(&account.home, LastLink::Follow)?;
        if place.found.is_some() {
            let home = &account.home;
            self.warnings.push(Warning::Other(format!("`{home}` existed, and does not become user `{}`'s", user.name)));
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
            // As `useradd` does it: what is in a home has the label of its place, not that of the skeleton.
            self.guest.remove_xattr(&path, labels::ATTRIBUTE)?;
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

/// The number of the new user.
fn uid(user: &User, passwd: &Table, defaults: &Defaults) -> Result<u32, Error> {
    let used: BTreeSet<u32> = passwd.numbers(2).collect();
    match user.uid {
        Some(uid) if used.contains(&uid) => {
            let fields = passwd.rows().find(|fields| fields.get(2).is_some_and(|number| number.parse() == Ok(uid)));
            let owner = fields.map_or("", |fields| fields[0]).to_owned();
            Err(Error::refused(format!("user `{owner}` already has the number {uid}")))
        }
        Some(uid) => Ok(uid),
        None => next_number(&used, &defaults.numbers("UID", user.system), user.system)
            .ok_or_else(|| Error::refused("the guest has no free number for a user")),
    }
}

/// A path from a file of the guest, or `/` if it is invalid.
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
            ("", "is not a valid name"),
            ("ada:uid=x", "is not a user's number"),
            ("ada:wheel", "`wheel` is not a setting of a user"),
            ("ada:shell=zsh", "begins with `/`"),
            ("ada:groups=a b", "is not a valid name"),
            ("ada:system=yes", "is not a setting"),
        ] {
            assert!(User::parse(OsStr::new(text)).unwrap_err().to_string().contains(part), "{text}");
        }
    }
}
