//! Ids: which of the host's stand for the guest's, and how a namespace gets them.

use std::fmt;
use std::fs;
use std::io;
use std::process::Stdio;

use rustix::process::geteuid;

use crate::{Error, Ids, Root};

/// A file that lends subordinate ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdFile {
    /// `/etc/subuid`.
    Users,
    /// `/etc/subgid`.
    Groups,
}

impl IdFile {
    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Users => "/etc/subuid",
            Self::Groups => "/etc/subgid",
        }
    }

    fn mapper(self) -> &'static str {
        match self {
            Self::Users => "newuidmap",
            Self::Groups => "newgidmap",
        }
    }

    fn map(self) -> &'static str {
        match self {
            Self::Users => "uid_map",
            Self::Groups => "gid_map",
        }
    }
}

impl fmt::Display for IdFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// How a namespace's ids are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// By this process, which is root: 65536 ids of users and groups from these on.
    Root { users: u32, groups: u32 },
    /// By `newuidmap` and `newgidmap`.
    Lent { users: u32, groups: u32 },
    /// The user's own id alone.
    Single,
}

impl Mapping {
    /// The mapping that `ids` asks for.
    pub(crate) fn choose(ids: Ids, root: &Root) -> Result<Self, Error> {
        let is_root = geteuid().is_root();
        match (ids, is_root) {
            (Ids::Same, true) => Ok(Self::Root { users: 0, groups: 0 }),
            (Ids::Range { first }, true) => Ok(Self::Root { users: first, groups: first }),
            (Ids::Range { first }, false) => Ok(Self::Lent { users: first, groups: first }),
            (Ids::Auto, true) if matches!(root, Root::Folder(_)) => Ok(Self::Root { users: 0, groups: 0 }),
            (Ids::Auto, true) => {
                let [users, groups] = [IdFile::Users, IdFile::Groups].map(|file| {
                    let own = fs::read_to_string(format!("/proc/self/{}", file.map())).unwrap_or_default();
                    // In a container root has few ids, and the guest gets the same ones.
                    lent(file).into_iter().chain([Ids::LENT]).find(|&first| holds(&own, first)).unwrap_or(0)
                });
                Ok(Self::Root { users, groups })
            }
            (Ids::Auto, false) => match (lent(IdFile::Users), lent(IdFile::Groups)) {
                (Some(users), Some(groups)) => Ok(Self::Lent { users, groups }),
                (None, _) => Err(no_ids(IdFile::Users)),
                (_, None) => Err(no_ids(IdFile::Groups)),
            },
            (Ids::Single, false) => Ok(Self::Single),
            (Ids::Same, false) => Err(Error::Unsupported {
                problem: "only root can run a command with the host's own ids".to_owned(),
                remedy: "run imgraft as root".to_owned(),
            }),
            (Ids::Single, true) => Err(Error::Unsupported {
                problem: "a single id is for users without others, and root has all".to_owned(),
                remedy: "leave the choice of ids to imgraft".to_owned(),
            }),
        }
    }

    /// Gives the namespace of the process `helper` its ids.
    pub(crate) fn apply(self, helper: u32) -> Result<(), Error> {
        match self {
            Self::Root { users, groups } => {
                let write = |file: IdFile, first: u32| {
                    fs::write(format!("/proc/{helper}/{}", file.map()), format!("0 {first} {}\n", Ids::COUNT))
                        .map_err(|error| refused(error, first))
                };
                write(IdFile::Groups, groups)?;
                write(IdFile::Users, users)
            }
            Self::Lent { users, groups } => {
                lend(IdFile::Groups, helper, groups)?;
                lend(IdFile::Users, helper, users)
            }
            Self::Single => {
                let (user, group) = (geteuid().as_raw(), rustix::process::getegid().as_raw());
                fs::write(format!("/proc/{helper}/setgroups"), "deny").map_err(|error| refused(error, group))?;
                let map = |file: IdFile, id: u32| {
                    fs::write(format!("/proc/{helper}/{}", file.map()), format!("0 {id} 1\n"))
                        .map_err(|error| refused(error, id))
                };
                map(IdFile::Groups, group)?;
                map(IdFile::Users, user)
            }
        }
    }
}

fn refused(error: io::Error, first: u32) -> Error {
    if error.kind() == io::ErrorKind::PermissionDenied && crate::survey::is_restricted_by_apparmor() {
        return Error::AppArmor;
    }
    Error::IdsNotOurs { first, error }
}

#[expect(clippy::disallowed_methods, reason = "only these two programs may give subordinate ids to a namespace")]
fn lend(file: IdFile, helper: u32, first: u32) -> Result<(), Error> {
    let program = file.mapper();
    let wrong = |problem: String| Error::NoIdMapper { program, problem };
    let said = std::process::Command::new(program)
        .args([helper, 0, first, Ids::COUNT].map(|number| number.to_string()))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => wrong("is not installed".to_owned()),
            _ => wrong(format!("cannot be started: {error}")),
        })?;
    if said.status.success() {
        return Ok(());
    }
    if crate::survey::is_restricted_by_apparmor() {
        return Err(Error::AppArmor);
    }
    let words = String::from_utf8_lossy(&said.stderr);
    Err(wrong(format!("refused with {}: {}", said.status, words.trim())))
}

fn no_ids(file: IdFile) -> Error {
    let user = user_name();
    Error::NoSubordinateIds { file, line: missing_line(file, &user), user }
}

/// The line that `file` lacks: a range after all that are lent there.
pub(crate) fn missing_line(file: IdFile, user: &str) -> String {
    let table = fs::read_to_string(file.path()).unwrap_or_default();
    format!("{user}:{}:{}", free_range(&table), Ids::COUNT)
}

/// The first id of this user's first range of at least 65536.
pub(crate) fn lent(file: IdFile) -> Option<u32> {
    let table = fs::read_to_string(file.path()).ok()?;
    range_of(&table, &user_name(), geteuid().as_raw())
}

/// The user's name by `/etc/passwd`, else the number, which these files accept as well.
pub(crate) fn user_name() -> String {
    let id = geteuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let is_user = |line: &&str| line.split(':').nth(2).and_then(|field| field.parse().ok()) == Some(id);
    let name = passwd.lines().find(is_user).and_then(|line| line.split(':').next());
    name.map_or_else(|| id.to_string(), str::to_owned)
}

fn ranges(table: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    table.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        Some((fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

fn range_of(table: &str, user: &str, id: u32) -> Option<u32> {
    let id = id.to_string();
    let is_enough = |first: u32, count: u32| count >= Ids::COUNT && first.checked_add(Ids::COUNT).is_some();
    ranges(table).find(|&(of, first, count)| (of == user || of == id) && is_enough(first, count)).map(|found| found.1)
}

/// Whether a namespace with this map (`uid_map`) has the 65536 ids from `first` on, in one piece.
fn holds(map: &str, first: u32) -> bool {
    map.lines().any(|line| {
        let mut fields = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(inside)), Some(Ok(_)), Some(Ok(count))) = (fields.next(), fields.next(), fields.next()) else {
            return false;
        };
        let first = u64::from(first);
        inside <= first && first + u64::from(Ids::COUNT) <= inside.saturating_add(count)
    })
}

/// A range that nobody has been lent; where `useradd` begins, or after the last.
fn free_range(table: &str) -> u32 {
    let ends = ranges(table).map(|(_, first, count)| first.saturating_add(count));
    ends.fold(100_000, u32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "daemon:100000:65536\nann:165536:1000\nann:231072:65536\n1001:300000:65536\nbroken\n:::\n";

    #[test]
    fn a_range_is_found_by_name_and_by_number_if_it_is_large_enough() {
        assert_eq!(range_of(TABLE, "ann", 1000), Some(231_072));
        assert_eq!(range_of(TABLE, "bob", 1001), Some(300_000));
        assert_eq!(range_of(TABLE, "eve", 1002), None);
        assert_eq!(range_of("ann:4294967295:65536\n", "ann", 1000), None);
    }

    #[test]
    fn a_container_s_root_has_few_ids() {
        assert!(holds("         0          0 4294967295\n", Ids::LENT));
        assert!(!holds("0 1000 1\n1 100000 65536\n", Ids::LENT));
        assert!(holds("0 100000 65536\n", 0) && !holds("0 100000 65535\n", 0) && !holds("1 100000 65536\n", 0));
        assert!(!holds("", 0) && !holds("a b c\n", 0));
    }

    #[test]
    fn a_line_that_is_missing_takes_what_nobody_has() {
        assert_eq!(free_range(""), 100_000);
        assert_eq!(free_range(TABLE), 365_536);
        assert_eq!(free_range("ann:4294967295:65536\n"), u32::MAX);
    }
}
