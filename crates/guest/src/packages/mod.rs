//! The lists of installed packages that dpkg, apk, rpm and pacman keep.

mod pacman;
mod rpm;
mod sqlite;

use std::fmt;

use serde::Serialize;

use self::sqlite::Problem;
use crate::error::{Error, PathProblem};
use crate::guest::Guest;
use crate::path::GuestPath;
use crate::resolve::LastLink;
use crate::system::known;

/// The largest list, in bytes.
const TEXT_LIMIT_BYTES: u64 = 128 << 20;
const DATABASE_LIMIT_BYTES: u64 = 1 << 30;

/// Reads the packages out of the text of a list.
type Parse = fn(&str) -> Vec<Package>;

/// The lists that are text, in the order in which they are looked for.
const TEXTS: [(&str, Manager, Parse); 3] = [
    ("/var/lib/dpkg/status", Manager::Dpkg, parse_dpkg_status),
    ("/lib/apk/db/installed", Manager::Apk, parse_apk_installed),
    ("/usr/lib/apk/db/installed", Manager::Apk, parse_apk_installed),
];

/// Where rpm's database is.
const DATABASES: [&str; 2] = ["/usr/lib/sysimage/rpm/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite"];

/// Where the lists are that imgraft cannot read yet, and whose they are: rpm's older databases are of other kinds.
const UNREADABLE: [(&str, &str); 4] = [
    ("/usr/lib/sysimage/rpm/Packages.db", "rpm"),
    ("/usr/lib/sysimage/rpm/Packages", "rpm"),
    ("/var/lib/rpm/Packages.db", "rpm"),
    ("/var/lib/rpm/Packages", "rpm"),
];

/// The folder of pacman's list.
const PACMAN: &str = "/var/lib/pacman/local";

/// Who keeps a list of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// Debian's.
    Dpkg,
    /// Alpine's.
    Apk,
    /// Fedora's, Red Hat's and SUSE's.
    Rpm,
    /// Arch's.
    Pacman,
}

impl Manager {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dpkg => "dpkg",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
            Self::Pacman => "pacman",
        }
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The guest's list of packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packages {
    /// The packages that are installed.
    Listed(Manager, Vec<Package>),
    /// The list of another package manager, by its name, which imgraft cannot read yet.
    Unreadable(&'static str),
    /// No known list was found.
    None,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Name: `openssh-server`.
    pub name: String,
    /// Version: `1:9.6p1-3ubuntu13.5`. Of rpm, with epoch and release: `1:3.5.1-4.el10`.
    pub version: String,
    /// Architecture: `amd64`, `all`.
    pub architecture: String,
}

impl Guest {
    /// The installed packages.
    ///
    /// # Errors
    ///
    /// If there is a list and it cannot be read.
    pub fn packages(&self) -> Result<Packages, Error> {
        for (path, manager, parse) in TEXTS {
            match self.read_system_text(path, TEXT_LIMIT_BYTES) {
                Ok(text) => return Ok(Packages::Listed(manager, parse(&text))),
                Err(error) if !error.is_not_found() => return Err(error),
                Err(_) => {}
            }
        }
        for path in DATABASES {
            match self.size_bytes(path)? {
                None => {}
                // Some packages are in the log only. rpm writes them to the database when it ends.
                Some(_) if self.size_bytes(&format!("{path}-wal"))?.is_some_and(|size| size > 0) => {
                    return Ok(Packages::Unreadable("rpm"));
                }
                Some(size_bytes) => {
                    return self
                        .rpm_packages(&known(path)?, size_bytes)
                        .map(|list| Packages::Listed(Manager::Rpm, list));
                }
            }
        }
        if let Some(list) = pacman::packages(self, &known(PACMAN)?)? {
            return Ok(Packages::Listed(Manager::Pacman, list));
        }
        for (path, name) in UNREADABLE {
            if self.find(&known(path)?, LastLink::Follow).is_ok() {
                return Ok(Packages::Unreadable(name));
            }
        }
        Ok(Packages::None)
    }

    fn size_bytes(&self, path: &str) -> Result<Option<u64>, Error> {
        match self.find(&known(path)?, LastLink::Follow) {
            Ok(found) => Ok(Some(self.metadata(&found.node)?.size_bytes)),
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rpm_packages(&self, path: &GuestPath, size_bytes: u64) -> Result<Vec<Package>, Error> {
        if size_bytes > DATABASE_LIMIT_BYTES {
            return Err(Error::path(path, PathProblem::TooLarge { limit_bytes: DATABASE_LIMIT_BYTES }));
        }
        let read = |offset, buffer: &mut [u8]| self.read_at(path, offset, buffer);
        rpm::packages(read, size_bytes).map_err(|problem| match problem {
            Problem::Read(error) => error,
            Problem::Damaged(why) => Error::path(path, PathProblem::BadDatabase { why }),
        })
    }
}

/// The installed packages in the text of `/var/lib/dpkg/status`, in the file's order.
///
/// A package that is not completely installed does not count, nor does one of which only the configuration is left.
fn parse_dpkg_status(text: &str) -> Vec<Package> {
    let mut packages = Vec::new();
    let mut paragraph = Paragraph::default();
    for line in text.lines() {
        if line.trim().is_empty() {
            packages.extend(std::mem::take(&mut paragraph).into_package());
        } else {
            paragraph.take_line(line);
        }
    }
    packages.extend(paragraph.into_package());
    packages
}

#[derive(Default)]
struct Paragraph<'a> {
    name: &'a str,
    version: &'a str,
    architecture: &'a str,
    status: &'a str,
}

impl<'a> Paragraph<'a> {
    fn take_line(&mut self, line: &'a str) {
        // A line that begins with a blank continues the field before it. The wanted fields have one line each.
        let Some((key, value)) = line.split_once(':') else { return };
        let field = match key {
            "Package" => &mut self.name,
            "Version" => &mut self.version,
            "Architecture" => &mut self.architecture,
            "Status" => &mut self.status,
            _ => return,
        };
        *field = value.trim();
    }

    fn into_package(self) -> Option<Package> {
        let installed = self.status.split_ascii_whitespace().next_back() == Some("installed");
        (installed && !self.name.is_empty()).then(|| Package {
            name: self.name.to_owned(),
            version: self.version.to_owned(),
            architecture: self.architecture.to_owned(),
        })
    }
}

/// The installed packages in the text of `/lib/apk/db/installed`, in the file's order.
///
/// A paragraph is a package, and a line of it a letter, a colon and a value: `P` is the name, `V` the version and `A` the
/// architecture. Lines of files and folders follow those, and have letters of their own.
fn parse_apk_installed(text: &str) -> Vec<Package> {
    let mut packages = Vec::new();
    let (mut name, mut version, mut architecture) = ("", "", "");
    // An empty line ends the last one, too.
    for line in text.lines().chain([""]) {
        match line.split_once(':') {
            Some(("P", value)) => name = value.trim(),
            Some(("V", value)) => version = value.trim(),
            Some(("A", value)) => architecture = value.trim(),
            None if line.trim().is_empty() => {
                if !name.is_empty() {
                    let [name, version, architecture] = [name, version, architecture].map(str::to_owned);
                    packages.push(Package { name, version, architecture });
                }
                (name, version, architecture) = ("", "", "");
            }
            _ => {}
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_is_listed() {
        let text = "Package: git\nStatus: install ok installed\nVersion: 1:2.43.0-1ubuntu7\nArchitecture: amd64\n\
                    Description: fast\n Package: not-a-field\n\nPackage: gone\nStatus: deinstall ok config-files\n\
                    Version: 1\nArchitecture: all\n\nPackage: broken\nStatus: install ok half-configured\nVersion: 2\n\n\
                    Package: held\nStatus: hold ok installed\nVersion: 3\nArchitecture: all";
        let packages = parse_dpkg_status(text);
        assert_eq!(
            packages.iter().map(|package| (package.name.as_str(), package.version.as_str())).collect::<Vec<_>>(),
            [("git", "1:2.43.0-1ubuntu7"), ("held", "3")]
        );
        assert_eq!(packages[0].architecture, "amd64");
    }

    #[test]
    fn a_paragraph_of_apk_is_a_package() {
        let text = "P:musl\nV:1.2.4-r2\nA:x86_64\nS:388955\nT:the musl C library\n\
                    F:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\n\nP:\nV:1\n\nV:2\nP:ca-certificates\nA:noarch";
        let found: Vec<[String; 3]> = parse_apk_installed(text)
            .into_iter()
            .map(|found| [found.name, found.version, found.architecture])
            .collect();
        assert_eq!(found, [["musl", "1.2.4-r2", "x86_64"], ["ca-certificates", "2", "noarch"]]);
    }

    #[test]
    fn an_empty_list_is_no_package() {
        assert_eq!(parse_dpkg_status("\n\n"), []);
        assert_eq!(parse_apk_installed("\n\n"), []);
    }
}
