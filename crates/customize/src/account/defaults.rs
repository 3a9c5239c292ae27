//! The guest's defaults for new accounts: `/etc/login.defs` and `/etc/default/useradd`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::carry_out::Work;
use crate::error::Error;
use crate::verb::known;

/// The largest such file that is read, in bytes.
const LIMIT_BYTES: u64 = 1 << 20;

/// The guest's defaults for new accounts.
#[derive(Debug, Default)]
pub(crate) struct Defaults {
    /// `/etc/login.defs`.
    login: BTreeMap<String, String>,
    /// `/etc/default/useradd`.
    useradd: BTreeMap<String, String>,
}

impl Defaults {
    /// Reads the guest's defaults.
    pub(crate) fn read(work: &Work<'_>) -> Result<Self, Error> {
        let login = text(work, "/etc/login.defs")?;
        let login = settings(&login, |line| line.split_once([' ', '\t']));
        let useradd = text(work, "/etc/default/useradd")?;
        Ok(Self { login, useradd: settings(&useradd, |line| line.split_once('=')) })
    }

    /// A setting of `/etc/login.defs`.
    pub(crate) fn login(&self, name: &str) -> Option<&str> {
        self.login.get(name).map(String::as_str)
    }

    /// A setting of `/etc/default/useradd` that is not empty.
    pub(crate) fn useradd(&self, name: &str) -> Option<&str> {
        self.useradd.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A number of `/etc/login.defs`, which may begin with 0 or 0x as in C.
    pub(crate) fn number(&self, name: &str, otherwise: u32) -> u32 {
        let parse = |word: &str| match word.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None if word.starts_with('0') && word.len() > 1 => u32::from_str_radix(&word[1..], 8).ok(),
            None => word.parse().ok(),
        };
        self.login(name).and_then(parse).unwrap_or(otherwise)
    }

    /// The range of numbers for new users (`UID`) or groups (`GID`).
    pub(crate) fn numbers(&self, what: &str, system: bool) -> RangeInclusive<u32> {
        let min = self.number(&format!("{what}_MIN"), 1000);
        let max = self.number(&format!("{what}_MAX"), 60_000);
        match system {
            false => min..=max,
            true => {
                let max = self.number(&format!("SYS_{what}_MAX"), min.saturating_sub(1));
                self.number(&format!("SYS_{what}_MIN"), 101)..=max
            }
        }
    }

    /// The mode of a new home.
    pub(crate) fn home_permissions(&self) -> u16 {
        let umask = self.number("UMASK", 0o22);
        (self.number("HOME_MODE", 0o777 & !umask) & 0o7777) as u16
    }

    /// Whether a new user has a group of the same name.
    pub(crate) fn has_user_groups(&self) -> bool {
        self.login("USERGROUPS_ENAB").is_none_or(|word| word.eq_ignore_ascii_case("yes"))
    }
}

/// The text of a file; empty if it is missing.
pub(crate) fn text(work: &Work<'_>, path: &str) -> Result<String, Error> {
    let path = known(path);
    if !work.is_there(&path)? {
        return Ok(String::new());
    }
    let path = work.existing(&path)?.path;
    Ok(String::from_utf8_lossy(&work.guest.read(&path, LIMIT_BYTES)?).into_owned())
}

/// The settings of a text. Comments begin with `#`, and the last setting of a name counts.
fn settings(text: &str, split: impl Fn(&str) -> Option<(&str, &str)>) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let settings = lines.filter_map(split);
    settings.map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches('"').to_owned())).collect()
}

/// The next number of an account, as `useradd` picks it: the one after the highest used number of `range`, or for a
/// system account the one before the lowest. If that is outside the range, the first free number.
pub(crate) fn next_number(used: &BTreeSet<u32>, range: &RangeInclusive<u32>, system: bool) -> Option<u32> {
    if range.is_empty() {
        return None;
    }
    let inside = || used.range(range.clone());
    let is_free = |number: &u32| range.contains(number) && !used.contains(number);
    let neighbour = match system {
        true => Some(inside().next().map_or(*range.end(), |lowest| lowest.saturating_sub(1))),
        false => Some(inside().next_back().map_or(*range.start(), |highest| highest.saturating_add(1))),
    };
    // One of this many numbers is free, because there is one more than there are used ones.
    let bound = used.len() + 1;
    neighbour.filter(is_free).or_else(|| match system {
        true => range.clone().rev().take(bound).find(is_free),
        false => range.clone().take(bound).find(is_free),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_picked_as_useradd_picks_them() {
        assert_eq!(next_number(&BTreeSet::from([0, 33, 65_534]), &(1000..=60_000), false), Some(1000));
        assert_eq!(next_number(&BTreeSet::from([0, 1000, 1005]), &(1000..=60_000), false), Some(1006));
        assert_eq!(next_number(&BTreeSet::from([1000, 1002]), &(1000..=1002), false), Some(1001));
        assert_eq!(next_number(&BTreeSet::from([1000, 1001, 1002]), &(1000..=1002), false), None);
        assert_eq!(next_number(&BTreeSet::from([0, 33]), &(101..=999), true), Some(999));
        assert_eq!(next_number(&BTreeSet::from([999, 998]), &(101..=999), true), Some(997));
        assert_eq!(next_number(&BTreeSet::new(), &std::ops::RangeInclusive::new(5, 4), false), None);
        assert_eq!(next_number(&BTreeSet::from([101, 999]), &(101..=999), true), Some(998));
    }

    #[test]
    fn login_defs_is_read_as_c_reads_it() {
        let login =
            settings("UMASK\t\t022\n# UID_MIN 5\n  UID_MIN 0x10 \nGID_MIN 2000\n", |line| line.split_once([' ', '\t']));
        let defaults =
            Defaults { login, useradd: settings("SHELL=/bin/sh\n#HOME=/x\nHOME=\n", |line| line.split_once('=')) };
        assert_eq!((defaults.number("UMASK", 0), defaults.number("UID_MIN", 0)), (0o22, 16));
        assert_eq!((defaults.useradd("SHELL"), defaults.useradd("HOME")), (Some("/bin/sh"), None));
        assert_eq!(defaults.numbers("GID", false), 2000..=60_000);
        assert_eq!(defaults.numbers("GID", true), 101..=1999);
        assert_eq!((defaults.home_permissions(), defaults.has_user_groups()), (0o755, true));
    }
}
