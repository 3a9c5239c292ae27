//! What the files of the guest say about it: operating system, packages, accounts.

use std::collections::BTreeMap;

use crate::accounts::{Account, accounts, names, number_of};
use crate::error::{Error, PathProblem};
use crate::guest::Guest;
use crate::os::OperatingSystem;
use crate::packages::{Package, parse_apk_installed, parse_dpkg_status};
use crate::path::GuestPath;
use crate::resolve::LastLink;

/// The largest sizes in bytes of the text files that are read whole.
const OS_RELEASE_LIMIT_BYTES: u64 = 64 << 10;
const ACCOUNTS_LIMIT_BYTES: u64 = 16 << 20;
const PACKAGES_LIMIT_BYTES: u64 = 128 << 20;

/// Where the package lists are that imgraft cannot read yet, and whose they are.
const UNREADABLE: [(&str, &str); 3] =
    [("/usr/lib/sysimage/rpm", "rpm"), ("/var/lib/rpm", "rpm"), ("/var/lib/pacman/local", "pacman")];

/// Reads the packages out of the text of a list.
type Parse = fn(&str) -> Packages;

/// The lists that are text, in the order in which they are looked for.
const LISTS: [(&str, Parse); 3] = [
    ("/var/lib/dpkg/status", |text| Packages::Dpkg(parse_dpkg_status(text))),
    ("/lib/apk/db/installed", |text| Packages::Apk(parse_apk_installed(text))),
    ("/usr/lib/apk/db/installed", |text| Packages::Apk(parse_apk_installed(text))),
];

/// The guest's list of packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packages {
    /// The packages that dpkg has installed.
    Dpkg(Vec<Package>),
    /// The packages that apk has installed.
    Apk(Vec<Package>),
    /// The list of another package manager, by its name, which imgraft cannot read yet.
    Unreadable(&'static str),
    /// No known list was found.
    None,
}

impl Guest {
    /// The operating system, from `/etc/os-release` or else `/usr/lib/os-release`.
    ///
    /// # Errors
    ///
    /// If neither can be read.
    pub fn operating_system(&self) -> Result<OperatingSystem, Error> {
        let text = match self.read_system_text("/etc/os-release", OS_RELEASE_LIMIT_BYTES) {
            Err(Error::Path { problem: PathProblem::NotFound | PathProblem::DanglingLink { .. }, .. }) => {
                self.read_system_text("/usr/lib/os-release", OS_RELEASE_LIMIT_BYTES)
            }
            other => other,
        };
        Ok(OperatingSystem::parse(&text?))
    }

    /// The installed packages.
    ///
    /// # Errors
    ///
    /// If there is a list and it cannot be read.
    pub fn packages(&self) -> Result<Packages, Error> {
        for (path, parse) in LISTS {
            match self.read_system_text(path, PACKAGES_LIMIT_BYTES) {
                Ok(text) => return Ok(parse(&text)),
                Err(error) if !error.is_not_found() => return Err(error),
                Err(_) => {}
            }
        }
        for (path, name) in UNREADABLE {
            if let Ok(path) = path.parse::<GuestPath>()
                && self.find(&path, LastLink::Follow).is_ok()
            {
                return Ok(Packages::Unreadable(name));
            }
        }
        Ok(Packages::None)
    }

    /// The number of the user `name` in `/etc/passwd`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn user_id(&self, name: &str) -> Result<Option<u32>, Error> {
        Ok(number_of(&self.read_system_text("/etc/passwd", ACCOUNTS_LIMIT_BYTES)?, name))
    }

    /// The number of the group `name` in `/etc/group`.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn group_id(&self, name: &str) -> Result<Option<u32>, Error> {
        Ok(number_of(&self.read_system_text("/etc/group", ACCOUNTS_LIMIT_BYTES)?, name))
    }

    /// The guest's users, in the order of `/etc/passwd`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn accounts(&self) -> Result<Vec<Account>, Error> {
        Ok(accounts(&self.read_system_text("/etc/passwd", ACCOUNTS_LIMIT_BYTES)?))
    }

    /// The names of the guest's users by their numbers.
    ///
    /// # Errors
    ///
    /// If `/etc/passwd` cannot be read.
    pub fn user_names(&self) -> Result<BTreeMap<u32, String>, Error> {
        Ok(names(&self.read_system_text("/etc/passwd", ACCOUNTS_LIMIT_BYTES)?))
    }

    /// The names of the guest's groups by their numbers.
    ///
    /// # Errors
    ///
    /// If `/etc/group` cannot be read.
    pub fn group_names(&self) -> Result<BTreeMap<u32, String>, Error> {
        Ok(names(&self.read_system_text("/etc/group", ACCOUNTS_LIMIT_BYTES)?))
    }

    fn read_system_text(&self, path: &str, limit_bytes: u64) -> Result<String, Error> {
        let path = GuestPath::new(path).map_err(|error| Error::bad_path(&GuestPath::root(), error))?;
        self.read_text(&path, limit_bytes)
    }
}
