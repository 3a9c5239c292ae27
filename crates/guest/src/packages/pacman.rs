//! The list of pacman: a folder for each package in `/var/lib/pacman/local`, with a file `desc` in it.
//!
//! ```text
//! %NAME%
//! openssh
//!
//! %VERSION%
//! 10.2p1-1
//!
//! %ARCH%
//! x86_64
//! ```
//!
//! A line in percent signs names a field, and the lines up to the next empty one are its values.

use super::Package;
use crate::error::Error;
use crate::guest::Guest;
use crate::metadata::FileKind;
use crate::path::GuestPath;

/// The largest `desc`, in bytes: it lists everything that a package depends on.
const LIMIT_BYTES: u64 = 1 << 20;
/// The most packages: a folder may have any number of names.
const MAX_PACKAGES: usize = 1 << 17;

/// The packages in the folder `path`, by name; `None` if there is no such folder.
pub(super) fn packages(guest: &Guest, path: &GuestPath) -> Result<Option<Vec<Package>>, Error> {
    let folders = match guest.read_directory(path) {
        Ok(folders) => folders,
        Err(error) if error.is_absence() => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut packages = Vec::new();
    for folder in folders.into_iter().filter(|entry| entry.kind == FileKind::Directory).take(MAX_PACKAGES) {
        let file = path.join(&folder.name).and_then(|folder| folder.join(b"desc"));
        let file = file.map_err(|error| Error::bad_path(path, error))?;
        match guest.read(&file, LIMIT_BYTES) {
            Ok(text) => packages.extend(parse(&String::from_utf8_lossy(&text))),
            // pacman takes a folder without it for no package, too.
            Err(error) if error.is_absence() => {}
            Err(error) => return Err(error),
        }
    }
    packages.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(Some(packages))
}

fn parse(text: &str) -> Option<Package> {
    let field = |name: &str| {
        let mut lines = text.lines().skip_while(|line| *line != name);
        lines.next()?;
        lines.next().filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let (name, version) = (field("%NAME%")?, field("%VERSION%")?);
    Some(Package { name, version, architecture: field("%ARCH%").unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_a_package() {
        let text = "%NAME%\nopenssh\n\n%VERSION%\n1:10.2p1-1\n\n%DESC%\n%NAME%\n\n%ARCH%\nx86_64\n\n%DEPENDS%\nkrb5\n";
        let found = parse(text).unwrap();
        assert_eq!([found.name, found.version, found.architecture], ["openssh", "1:10.2p1-1", "x86_64"]);
        assert!(parse("%NAME%\n\n%VERSION%\n1\n").is_none() && parse("").is_none());
    }
}
