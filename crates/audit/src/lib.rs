//! What a finished guest lacks or should not have.
//!
//! - [`fit`]: whether programs that were put into the guest can run there: machine, loader, libraries, their versions,
//!   a script's interpreter.
//! - [`hygiene`]: traces of one machine, of a build or of its user in what is to be the image of many machines.
//!
//! Both only read. They take whatever is in the guest for made by somebody else: each count, chain and text has a
//! bound, and what cannot be read is left out or a [`Finding`].

pub mod fit;
pub mod hygiene;

use guest::resolve::LastLink;
use guest::{FileKind, Guest, GuestPath};
use serde::Serialize;

/// Something that may not be as it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of finding it is, for programs: `old-glibc`.
    pub code: &'static str,
    /// The path in the guest that it is about.
    pub path: String,
    /// What was found, in a sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// The content of the regular file at `path`, symlinks followed, if there is one of at most `limit_bytes` bytes.
fn content(guest: &Guest, path: &GuestPath, limit_bytes: u64) -> Option<Vec<u8>> {
    let found = guest.find(path, LastLink::Follow).ok()?;
    guest.read(&found.path, limit_bytes).ok()
}

/// A path that is written in our source.
fn known(path: &str) -> GuestPath {
    path.parse().unwrap_or_else(|_| GuestPath::root())
}

/// The real path of the program `name` in the folders that a guest's users look for programs in, and those folders.
fn on_path(guest: &Guest, name: &[u8]) -> Option<GuestPath> {
    hygiene::PATH.iter().find_map(|folder| regular(guest, &known(folder).join(name).ok()?))
}

/// The real path of the regular file at `path`, symlinks followed.
fn regular(guest: &Guest, path: &GuestPath) -> Option<GuestPath> {
    let found = guest.find(path, LastLink::Follow).ok()?;
    (found.node.kind() == FileKind::Regular).then_some(found.path)
}
