//! `put`: a file or a tree of the host into the guest.

mod apply;
mod place;
mod plan;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

use guest::{GuestPath, PathError};

use crate::mode::{Mode, ModeError};
use crate::owner::{Owner, OwnerError};

/// A file or a tree of the host, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The file or the directory on the host; a symlink stands for what it points to.
    pub source: PathBuf,
    /// Where it goes.
    pub destination: Destination,
    /// The mode of its files; each file's own where this is `None`. Directories get the same with
    /// the right to enter wherever there is one to read.
    pub mode: Option<Mode>,
    /// The owner of everything put.
    pub owner: PutOwner,
    /// Whether a source that is a symlink is put as one.
    pub keep_link: bool,
    /// Whether a symlink where it goes stands for what it points to, and stays. Otherwise a file takes its
    /// place.
    pub through_link: bool,
    /// Whether the directory that it goes to has to be there, and none is made.
    pub existing: bool,
}

/// Whose the files are that are put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PutOwner {
    /// root's.
    #[default]
    Root,
    /// Somebody's.
    Given(Owner),
    /// By number those of who has them on the host.
    Keep,
}

/// Where something goes in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The path.
    pub path: GuestPath,
    /// Whether the path is a directory to put into, whatever is there now: it ended in `/`.
    pub into: bool,
}

/// Why a text is no `SRC:DEST[:MODE[:UID:GID]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutError {
    /// There is no `:` with something before it.
    NoDestination,
    /// The destination is not a path in the guest.
    Destination {
        /// The destination.
        text: String,
        /// Why not.
        error: PathError,
    },
    /// The mode is not one.
    Mode(ModeError),
    /// The owner is not one.
    Owner(OwnerError),
    /// There is a user and no group.
    NoGroup,
    /// There are more fields than there can be.
    TooManyFields,
}

impl Destination {
    /// The destination that `bytes` are.
    ///
    /// # Errors
    ///
    /// Every [`PathError`].
    pub fn new(bytes: &[u8]) -> Result<Self, PathError> {
        let path = GuestPath::new(bytes)?;
        // `/` has no other way to be written, and a tree for it is meant to be laid over it.
        let into = bytes.ends_with(b"/") && !path.is_root();
        Ok(Self { path, into })
    }
}

impl Put {
    /// A put that leaves the mode to the host and the owner to root.
    pub fn new(source: impl Into<PathBuf>, destination: Destination) -> Self {
        let source = source.into();
        let owner = PutOwner::Root;
        Self { source, destination, mode: None, owner, keep_link: false, through_link: false, existing: false }
    }

    /// The put that `SRC:DEST[:MODE[:UID:GID]]` says.
    ///
    /// The destination begins at the first `:/`, so that a source can have a `:` in it. MODE may be
    /// empty.
    ///
    /// # Errors
    ///
    /// Every [`PutError`].
    pub fn parse(text: &OsStr) -> Result<Self, PutError> {
        let bytes = text.as_bytes();
        let Some(colon) = bytes.windows(2).position(|pair| pair == b":/").filter(|&colon| colon > 0) else {
            return Err(no_destination(bytes));
        };
        let fields: Vec<&[u8]> = bytes[colon + 1..].split(|&byte| byte == b':').collect();
        let (destination, mode, owner) = match fields[..] {
            [destination] => (destination, None, None),
            [destination, mode] => (destination, Some(mode), None),
            [_, _, _] => return Err(PutError::NoGroup),
            [destination, mode, user, group] => (destination, Some(mode), Some((user, group))),
            _ => return Err(PutError::TooManyFields),
        };
        let owner = match owner {
            Some((user, group)) => Some(Owner { user: principal(user)?, group: principal(group)? }),
            None => None,
        };
        let source = PathBuf::from(OsString::from(OsStr::from_bytes(&bytes[..colon])));
        let destination = Destination::new(destination).map_err(|error| bad_destination(destination, error))?;
        let mode = mode
            .filter(|mode| !mode.is_empty() || owner.is_none())
            .map(|mode| Mode::from_str(&String::from_utf8_lossy(mode)).map_err(PutError::Mode))
            .transpose()?;
        let owner = owner.map_or(PutOwner::Root, PutOwner::Given);
        Ok(Self { mode, owner, ..Self::new(source, destination) })
    }
}

fn principal(field: &[u8]) -> Result<crate::owner::Principal, PutError> {
    String::from_utf8_lossy(field).parse().map_err(PutError::Owner)
}

fn bad_destination(destination: &[u8], error: PathError) -> PutError {
    PutError::Destination { text: String::from_utf8_lossy(destination).into_owned(), error }
}

/// What is wrong with a text in which no destination begins.
fn no_destination(bytes: &[u8]) -> PutError {
    match bytes.iter().position(|&byte| byte == b':') {
        Some(colon) if colon > 0 && colon + 1 < bytes.len() => {
            let destination = bytes[colon + 1..].split(|&byte| byte == b':').next().unwrap_or_default();
            bad_destination(destination, PathError::Relative)
        }
        _ => PutError::NoDestination,
    }
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDestination => write!(f, "SRC:DEST is needed, such as `dist/app:/usr/local/bin/app`"),
            Self::Destination { text, error } => write!(f, "destination `{text}`: {error}"),
            Self::Mode(error) => error.fmt(f),
            Self::Owner(error) => error.fmt(f),
            Self::NoGroup => write!(f, "there is a user and no group: SRC:DEST:MODE:UID:GID"),
            Self::TooManyFields => write!(f, "there are too many fields: SRC:DEST[:MODE[:UID:GID]]"),
        }
    }
}

impl std::error::Error for PutError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Put, PutError> {
        Put::parse(OsStr::new(text))
    }

    #[test]
    fn every_field_has_its_place() {
        let put = parse("dist/app:/usr/local/bin/app:0755:0:www-data").unwrap();
        assert_eq!(put.source, PathBuf::from("dist/app"));
        assert_eq!(put.destination.path.to_string(), "/usr/local/bin/app");
        assert!(!put.destination.into);
        assert_eq!(put.mode.unwrap().bits(), 0o755);
        assert_eq!(put.owner, PutOwner::Given("0:www-data".parse().unwrap()));
    }

    #[test]
    fn a_slash_at_the_end_means_into() {
        assert!(parse("app:/usr/local/bin/").unwrap().destination.into);
        assert!(!parse("rootfs:/").unwrap().destination.into);
        assert!(!parse("app:/usr").unwrap().destination.into);
    }

    #[test]
    fn the_mode_may_be_left_to_the_host() {
        let put = parse("app:/srv/app::1000:1000").unwrap();
        assert_eq!((put.mode, put.owner), (None, PutOwner::Given("1000:1000".parse().unwrap())));
        assert!(matches!(parse("app:/srv/app:"), Err(PutError::Mode(_))));
    }

    #[test]
    fn a_source_may_have_a_colon() {
        assert_eq!(parse("a:b:/srv/").unwrap().source, PathBuf::from("a:b"));
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        for (text, message) in [
            ("app", "SRC:DEST is needed, such as `dist/app:/usr/local/bin/app`"),
            (":/bin/app", "SRC:DEST is needed, such as `dist/app:/usr/local/bin/app`"),
            ("app:", "SRC:DEST is needed, such as `dist/app:/usr/local/bin/app`"),
            ("app:bin/app", "destination `bin/app`: a path in the guest begins with `/`"),
            ("app:/bin/app:755", "a mode is octal and begins with 0: write `0755`"),
            ("app:/bin/app:0755:root", "there is a user and no group: SRC:DEST:MODE:UID:GID"),
            ("app:/bin/app:0755:0:0:0", "there are too many fields: SRC:DEST[:MODE[:UID:GID]]"),
            ("app:/bin/app:0755:a/b:0", "`a/b` is neither a name nor a number of a user or group"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }
}
