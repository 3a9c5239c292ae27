//! What the files of the guest say about it: operating system, accounts.

use std::collections::BTreeMap;

use crate::accounts::{Account, accounts, names, number_of};
use crate::error::{Error, PathProblem};
use crate::guest::Guest;
use crate::os::OperatingSystem;
use crate::path::GuestPath;

/// The largest sizes in bytes of the text files that are read whole.
const OS_RELEASE_LIMIT_BYTES: u64 = 64 << 10;
const ACCOUNTS_LIMIT_BYTES: u64 = 16 << 20;

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

    pub(crate) fn read_system_text(&self, path: &str, limit_bytes: u64) -> Result<String, Error> {
        self.read_text(&known(path)?, limit_bytes)
    }
}

/// The path of a file that systems have.
pub(crate) fn known(path: &str) -> Result<GuestPath, Error> {
    GuestPath::new(path).map_err(|error| Error::bad_path(&GuestPath::root(), error))
}
