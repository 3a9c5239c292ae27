//! What a step of the package manager changed, from the guest's list of packages before and after.

use std::collections::BTreeMap;

use guest::{Guest, Package, Packages};
use serde::Serialize;

use crate::error::Error;

/// How many packages a line for people names.
const NAMED: usize = 5;

/// The packages that a step changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PackageChanges {
    /// Those that were not installed before.
    pub installed: Vec<Package>,
    /// Those of which another version is installed now.
    pub upgraded: Vec<Upgrade>,
    /// Those that are not installed any more.
    pub removed: Vec<Package>,
}

/// A package of which another version is installed now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upgrade {
    /// Its name.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// The version before.
    pub from: String,
    /// The version now.
    pub to: String,
}

/// The guest's packages at some time, where its list can be read.
pub(crate) struct Installed(Option<BTreeMap<(String, String), Package>>);

impl Installed {
    /// The packages of `guest` now.
    pub(crate) fn of(guest: &Guest) -> Result<Self, Error> {
        let Packages::Listed(_, packages) = guest.packages()? else { return Ok(Self(None)) };
        let key = |package: Package| ((package.name.clone(), package.architecture.clone()), package);
        Ok(Self(Some(packages.into_iter().map(key).collect())))
    }

    /// What changed until `later`, if that is known.
    pub(crate) fn changes(self, later: Self) -> Option<PackageChanges> {
        let (mut before, after) = (self.0?, later.0?);
        let mut changes = PackageChanges::default();
        for (key, package) in after {
            match before.remove(&key) {
                None => changes.installed.push(package),
                Some(old) if old.version != package.version => {
                    let Package { name, version: to, architecture } = package;
                    changes.upgraded.push(Upgrade { name, architecture, from: old.version, to });
                }
                Some(_) => {}
            }
        }
        changes.removed = before.into_values().collect();
        Some(changes)
    }
}

impl PackageChanges {
    /// The packages that differ between two guests; `None` if a list of theirs cannot be read.
    ///
    /// # Errors
    ///
    /// If there is a list that should be readable and is not.
    pub fn between(before: &Guest, after: &Guest) -> Result<Option<Self>, Error> {
        Ok(Installed::of(before)?.changes(Installed::of(after)?))
    }

    /// Whether no package changed.
    pub fn is_empty(&self) -> bool {
        self.installed.is_empty() && self.upgraded.is_empty() && self.removed.is_empty()
    }

    /// `installed jq 1.6-2.1 and libjq1 1.6-2.1; removed nano 7.2-1`.
    pub(crate) fn text(&self) -> String {
        let package = |package: &Package| format!("{} {}", package.name, package.version);
        let upgrade = |upgrade: &Upgrade| format!("{} {} to {}", upgrade.name, upgrade.from, upgrade.to);
        let parts = [
            part("installed", self.installed.iter().map(package).collect()),
            part("upgraded", self.upgraded.iter().map(upgrade).collect()),
            part("removed", self.removed.iter().map(package).collect()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "no package changed".to_owned() } else { parts.join("; ") }
    }
}

/// `installed a 1, b 2 and 7 more packages`.
fn part(what: &str, mut packages: Vec<String>) -> Option<String> {
    if packages.is_empty() {
        return None;
    }
    let more = packages.len().saturating_sub(NAMED) as u64;
    packages.truncate(NAMED);
    packages.extend(words::count(more, "more package", "more packages"));
    Some(format!("{what} {}", words::list(packages, "and")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(packages: &[(&str, &str)]) -> Installed {
        let package = |&(name, version): &(&str, &str)| {
            let package =
                Package { name: name.to_owned(), version: version.to_owned(), architecture: "amd64".to_owned() };
            ((name.to_owned(), package.architecture.clone()), package)
        };
        Installed(Some(packages.iter().map(package).collect()))
    }

    #[test]
    fn what_came_went_and_changed_is_told_apart() {
        let before = installed(&[("base", "1"), ("nano", "7.2-1"), ("libc6", "2.36-9")]);
        let changes = before.changes(installed(&[("base", "1"), ("jq", "1.6-2.1"), ("libc6", "2.36-10")])).unwrap();
        assert_eq!(changes.text(), "installed jq 1.6-2.1; upgraded libc6 2.36-9 to 2.36-10; removed nano 7.2-1");
        assert_eq!(installed(&[("a", "1")]).changes(installed(&[("a", "1")])).unwrap().text(), "no package changed");
        let many: Vec<(&str, &str)> = ["a", "b", "c", "d", "e", "f", "g"].into_iter().map(|name| (name, "1")).collect();
        let changes = installed(&[]).changes(installed(&many)).unwrap();
        assert_eq!(changes.text(), "installed a 1, b 1, c 1, d 1, e 1 and 2 more packages");
        assert!(Installed(None).changes(installed(&[])).is_none());
    }
}
