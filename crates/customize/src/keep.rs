//! What the finished image must have.

use std::collections::BTreeSet;

use guest::{Guest, Packages};

use crate::error::Error;

/// Refuses a guest that lacks one of the packages `names`.
///
/// # Errors
///
/// [`Error::MissingPackages`], [`Error::NoPackageList`], [`Error::Guest`].
pub fn check_packages(guest: &Guest, names: &[String]) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let packages = match guest.packages()? {
        Packages::Listed(_, packages) => packages,
        Packages::Unreadable(manager) => return Err(Error::NoPackageList { manager: Some(manager) }),
        Packages::None => return Err(Error::NoPackageList { manager: None }),
    };
    let installed: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let missing: Vec<String> = names.iter().filter(|name| !installed.contains(name.as_str())).cloned().collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::MissingPackages { names: missing }) }
}
