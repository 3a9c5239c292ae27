//! Walks through trees of the guest, which end even in a damaged one with a circle of directories.

use std::collections::BTreeSet;

use guest::resolve::{Found, LastLink};
use guest::{Error, FileKind, Guest, GuestPath, Location};

/// The most files of one tree that are looked at.
const MAX_FILES: usize = 200_000;

/// The size of a file, or of all files of a directory together.
pub(super) fn size(guest: &Guest, found: &Found<Location>) -> Result<u64, Error> {
    match found.node.kind() {
        FileKind::Directory => {
            let files = files(guest, &found.path, &|_| true)?;
            Ok(files.iter().fold(0, |sum: u64, (_, size_bytes)| sum.saturating_add(*size_bytes)))
        }
        FileKind::Regular => Ok(guest.metadata(&found.node)?.size_bytes),
        _ => Ok(0),
    }
}

/// The regular files below `folder` for which `wanted` says yes, and their sizes; none if there is no such folder.
/// Symlinks are not followed.
pub(super) fn files(
    guest: &Guest,
    folder: &GuestPath,
    wanted: &dyn Fn(&GuestPath) -> bool,
) -> Result<Vec<(GuestPath, u64)>, Error> {
    let mut files = Vec::new();
    let mut pending = vec![folder.clone()];
    let mut directories = BTreeSet::new();
    let mut seen = 0;
    while let Some(path) = pending.pop() {
        seen += 1;
        if seen > MAX_FILES {
            break;
        }
        let found = match guest.find(&path, LastLink::Keep) {
            Ok(found) => found,
            Err(error) if error.is_absence() => continue,
            Err(error) => return Err(error),
        };
        match found.node.kind() {
            // A FAT has no links, and none of what is walked is on one.
            FileKind::Directory if guest.identity(&found.node).is_some_and(|id| directories.insert(id)) => {
                for entry in guest.read_directory(&path)?.into_iter().rev() {
                    if let Ok(path) = path.join(&entry.name)
                        && wanted(&path)
                    {
                        pending.push(path);
                    }
                }
            }
            FileKind::Regular => files.push((path, guest.metadata(&found.node)?.size_bytes)),
            _ => {}
        }
    }
    Ok(files)
}
