//! The guest's accounts: tables whose fields are separated by `:`, and the defaults of new accounts.

mod defaults;
mod hash;
mod salt;

use guest::{GuestPath, Time};
use recipe::SyntaxError;

use crate::carry_out::{EDIT_LIMIT_BYTES, Work};
use crate::error::Error;
use crate::verb::known;

pub(crate) use defaults::{Defaults, next_number};
pub use hash::Scheme;

/// The files of the accounts.
pub(crate) const PASSWD: &str = "/etc/passwd";
pub(crate) const SHADOW: &str = "/etc/shadow";
pub(crate) const GROUP: &str = "/etc/group";
pub(crate) const GSHADOW: &str = "/etc/gshadow";
pub(crate) const SUBUID: &str = "/etc/subuid";
pub(crate) const SUBGID: &str = "/etc/subgid";

const SECONDS_OF_A_DAY: i64 = 86_400;

/// A file whose lines begin with a name. Lines that are not understood stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    path: GuestPath,
    lines: Vec<String>,
}

impl Table {
    /// Reads the table at `path`, if it exists.
    pub(crate) fn read(work: &Work<'_>, path: &str) -> Result<Option<Self>, Error> {
        let path = known(path);
        if !work.is_there(&path)? {
            return Ok(None);
        }
        let path = work.existing(&path)?.path;
        let content = work.guest.read(&path, EDIT_LIMIT_BYTES)?;
        let text = String::from_utf8(content).map_err(|_| Error::refused(format!("`{path}` is not UTF-8")))?;
        Ok(Some(Self { path, lines: text.lines().map(str::to_owned).collect() }))
    }

    /// Reads the table at `path`, which must exist.
    pub(crate) fn expect(work: &Work<'_>, path: &str) -> Result<Self, Error> {
        Self::read(work, path)?.ok_or_else(|| Error::refused(format!("the guest has no `{path}`")))
    }

    /// Writes the table back to its file.
    pub(crate) fn write(&self, work: &mut Work<'_>) -> Result<(), Error> {
        let mut text = self.lines.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        work.set_content(&self.path, text.as_bytes())
    }

    /// The fields of the line of `name`.
    pub(crate) fn find(&self, name: &str) -> Option<Vec<&str>> {
        self.rows().find(|fields| fields[0] == name)
    }

    /// The fields of each line.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Vec<&str>> {
        self.lines.iter().map(|line| line.split(':').collect())
    }

    /// The numbers in the field `index` of all lines.
    pub(crate) fn numbers(&self, index: usize) -> impl Iterator<Item = u32> {
        self.rows().filter_map(move |fields| fields.get(index)?.parse().ok())
    }

    /// Adds a line, before the lines of NIS, which must stay last.
    pub(crate) fn add(&mut self, line: String) {
        let at = self.lines.iter().rposition(|line| !line.starts_with(['+', '-'])).map_or(0, |last| last + 1);
        self.lines.insert(at, line);
    }

    /// Adds a line before the first one whose fields `matches` accepts, or at the end.
    pub(crate) fn add_before(&mut self, matches: impl Fn(&[&str]) -> bool, line: String) {
        let at = self.rows().position(|fields| matches(&fields));
        match at {
            Some(at) => self.lines.insert(at, line),
            None => self.add(line),
        }
    }

    /// Sets a field of the line of `name`. Missing fields before it become empty.
    pub(crate) fn set(&mut self, name: &str, index: usize, value: &str) {
        for line in &mut self.lines {
            let mut fields: Vec<&str> = line.split(':').collect();
            if fields[0] == name {
                fields.resize(fields.len().max(index + 1), "");
                fields[index] = value;
                *line = fields.join(":");
                return;
            }
        }
    }

    /// Adds `member` to the list in the field `index` of the line of `name`.
    pub(crate) fn add_member(&mut self, name: &str, index: usize, member: &str) {
        let Some(fields) = self.find(name) else { return };
        let members = fields.get(index).copied().unwrap_or_default();
        if members.split(',').any(|other| other == member) {
            return;
        }
        let members = if members.is_empty() { member.to_owned() } else { format!("{members},{member}") };
        self.set(name, index, &members);
    }
}

/// The days from 1970 to `time`, as `/etc/shadow` has them. Day 0 is left out, because it means that the password must
/// be changed.
pub(crate) fn day(time: Time) -> String {
    match time.seconds.div_euclid(SECONDS_OF_A_DAY) {
        day @ 1.. => day.to_string(),
        _ => String::new(),
    }
}

/// The error for a name that no user and no group can have.
pub(crate) fn account_name(name: &str) -> SyntaxError {
    SyntaxError::invalid(name, "a valid name of a user or a group", "use letters, digits, `_`, `-` and `.`, at most 32")
}

/// Whether the guest's own tools accept this name for a user or a group.
pub(crate) fn is_account_name(name: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_other = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    name.len() <= 32
        && name.bytes().next().is_some_and(is_first)
        && name.trim_end_matches('$').len() + 1 >= name.len()
        && name.trim_end_matches('$').bytes().all(is_other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lines: &[&str]) -> Table {
        Table { path: GuestPath::root(), lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[test]
    fn other_lines_stay_as_they_are() {
        let mut table = table(&["root:x:0:", "# odd", "sudo:x:27:a", "+::::"]);
        table.add("ada:x:1000:".to_owned());
        table.add_member("sudo", 3, "ada");
        table.add_member("sudo", 3, "ada");
        table.add_member("root", 3, "ada");
        table.set("ada", 5, "z");
        assert_eq!(table.lines, ["root:x:0:ada", "# odd", "sudo:x:27:a,ada", "ada:x:1000:::z", "+::::"]);
        assert_eq!(table.numbers(2).collect::<Vec<_>>(), [0, 27, 1000]);
    }

    #[test]
    fn a_day_is_never_the_first() {
        let day = |seconds| super::day(Time { seconds, nanoseconds: 0 });
        assert_eq!((day(0), day(86_399), day(-5)), (String::new(), String::new(), String::new()));
        assert_eq!((day(86_400), day(1_700_000_000)), ("1".to_owned(), "19675".to_owned()));
    }

    #[test]
    fn names_are_those_that_useradd_takes() {
        for name in ["ada", "_apt", "www-data", "a.b", "Ada", "host$"] {
            assert!(is_account_name(name), "{name}");
        }
        for name in ["", "1a", "-a", "a b", "a:b", "a,b", "$", "a$$", "ä", &"a".repeat(33), "a/b", "a\nb"] {
            assert!(!is_account_name(name), "{name}");
        }
    }
}
