//! What a command leaves that is not for the image.
//!
//! Logs of the command itself, and caches that have dates or orders in them that no two runs share. They stay in the
//! image as they were before the command; new ones are not kept. Programs make the caches again when they need them.

use guest::{GuestPath, Time};
use scratch::{Settings, View};

/// Files, and directories with all below them.
const LEFTOVERS: [&str; 20] = [
    "/run",
    "/tmp",
    "/var/tmp",
    // Logs of package managers, with the time of each step in them.
    "/var/log/alternatives.log",
    "/var/log/apt",
    "/var/log/bootstrap.log",
    "/var/log/dpkg.log",
    "/var/log/dnf.log",
    "/var/log/dnf.rpm.log",
    "/var/log/dnf.librepo.log",
    "/var/log/hawkey.log",
    "/var/log/pacman.log",
    "/var/log/yum.log",
    "/var/log/zypp",
    "/var/log/zypper.log",
    // Caches with the times of files, or the order in which they were read.
    "/var/cache/ldconfig/aux-cache",
    "/var/cache/apt/pkgcache.bin",
    "/var/cache/apt/srcpkgcache.bin",
    // Backups of the state before, which differ by how many steps there were.
    "/var/cache/debconf/config.dat-old",
    "/var/cache/debconf/templates.dat-old",
];

/// Downloads that have the time at which one of many mirrors got them.
const DOWNLOADS: &str = "/var/lib/apt/lists/any";

/// Gives downloads since `began` the time of the build.
pub(crate) fn settle_times(view: &View, began: Time, modified: Time) -> Result<(), scratch::Error> {
    let Ok(path) = DOWNLOADS.parse() else { return Ok(()) };
    view.in_folder(&path, |tree, folder, _| {
        let mut files = Vec::new();
        tree.read_directory(folder, 0, &mut |_, name, _, _| {
            files.push(name.to_vec());
            true
        })?;
        for name in files {
            let file = tree.lookup(folder, &name)?;
            if tree.facts(file)?.metadata.changed >= began {
                tree.set(file, &Settings { modified: Some(modified), ..Settings::default() }, began)?;
            }
        }
        Ok(())
    })
}

/// Whether a path is left out of the image.
pub(crate) fn is_leftover(path: &GuestPath) -> bool {
    LEFTOVERS.iter().any(|leftover| {
        path.as_bytes().strip_prefix(leftover.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_count() {
        let is = |path: &str| is_leftover(&path.parse().unwrap());
        assert!(is("/run") && is("/run/lock") && is("/var/log/apt/history.log") && is("/var/cache/ldconfig/aux-cache"));
        assert!(!is("/") && !is("/runner") && !is("/var/log") && !is("/var/cache/ldconfig"));
    }
}
