//! `put`: puts a file or a tree of the host into the guest.

mod apply;
mod place;
mod plan;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use guest::{GuestPath, PathError};
use recipe::{Mode, Owner, Problem, SyntaxError};

use super::{Flag, Operation, StepForm, Verb, mode, owner};
use crate::step::StepReader;

/// Puts a file or a tree of the host into the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The file or the directory on the host; a symlink is followed.
    pub source: PathBuf,
    /// The place in the guest.
    pub destination: Destination,
    /// The mode of the files; each file keeps its own if this is `None`. Directories get the same mode, and whoever may
    /// read them may also enter them.
    pub mode: Option<Mode>,
    /// The owner of everything that is put.
    pub owner: PutOwner,
    /// Whether a source that is a symlink is put itself.
    pub keep_link: bool,
    /// Whether a symlink at the destination is followed. Otherwise a file replaces it.
    pub through_link: bool,
    /// Whether the directory at the destination must exist. Otherwise it is made.
    pub existing: bool,
}

/// The owner of files that are put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PutOwner {
    /// Root.
    #[default]
    Root,
    /// This owner.
    Given(Owner),
    /// Each file's owner on the host, by number.
    Keep,
}

/// A place in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The path.
    pub path: GuestPath,
    /// Whether the path is a directory to put something into. It was written with a `/` at the end.
    pub into: bool,
}

impl Destination {
    /// Reads a path, with or without a `/` at the end.
    ///
    /// # Errors
    ///
    /// Every [`PathError`].
    pub fn new(bytes: &[u8]) -> Result<Self, PathError> {
        let path = GuestPath::new(bytes)?;
        // A tree for `/` is merged into it; `/` cannot be written in another way.
        let into = bytes.ends_with(b"/") && !path.is_root();
        Ok(Self { path, into })
    }
}

impl Put {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "put",
            value: Some("SRC:DEST[:MODE[:UID:GID]]"),
            help: "Put a file or a tree of the host at DEST, or into DEST if that is a directory or ends in `/`. \
                   Without MODE, each file keeps its own; without UID:GID, root owns it",
            parse: |text, _| Put::parse(text).map(Into::into),
        }],
        step: StepForm { name: "put", value: "INPUT", keys: &["to", "mode", "owner", "keep-owner"], read },
    }];

    /// A put with each file's own mode, and with root as the owner.
    pub fn new(source: impl Into<PathBuf>, destination: Destination) -> Self {
        let source = source.into();
        let owner = PutOwner::Root;
        Self { source, destination, mode: None, owner, keep_link: false, through_link: false, existing: false }
    }

    /// Reads `SRC:DEST[:MODE[:UID:GID]]`.
    ///
    /// The destination begins at the first `:/`, so that a source can have a `:` in it. MODE may be empty if there is
    /// an owner.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the text has another form, or the destination, the mode or the owner is invalid.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let bytes = text.as_bytes();
        let Some(colon) = bytes.windows(2).position(|pair| pair == b":/").filter(|&colon| colon > 0) else {
            return Err(no_destination(bytes));
        };
        let fields: Vec<&[u8]> = bytes[colon + 1..].split(|&byte| byte == b':').collect();
        let (destination, bits, who) = match fields[..] {
            [destination] => (destination, None, None),
            [destination, mode] => (destination, Some(mode), None),
            [_, _, _] => return Err(SyntaxError::other("the user has no group: expected SRC:DEST:MODE:UID:GID")),
            [destination, mode, user, group] => (destination, Some(mode), Some((user, group))),
            _ => return Err(SyntaxError::other("too many fields: expected SRC:DEST[:MODE[:UID:GID]]")),
        };
        let source = PathBuf::from(OsStr::from_bytes(&bytes[..colon]));
        let destination = Destination::new(destination).map_err(|error| SyntaxError::path(destination, error))?;
        let mode = bits.filter(|bits| !bits.is_empty() || who.is_none()).map(mode).transpose()?;
        let owner = who.map(|(user, group)| owner(user, group)).transpose()?.map_or(PutOwner::Root, PutOwner::Given);
        Ok(Self { mode, owner, ..Self::new(source, destination) })
    }
}

/// The error for a text in which no destination begins.
fn no_destination(bytes: &[u8]) -> SyntaxError {
    match bytes.iter().position(|&byte| byte == b':') {
        Some(colon) if colon > 0 && colon + 1 < bytes.len() => {
            let destination = bytes[colon + 1..].split(|&byte| byte == b':').next().unwrap_or_default();
            SyntaxError::path(destination, PathError::Relative)
        }
        _ => SyntaxError::form("SRC:DEST", "dist/app:/usr/local/bin/app"),
    }
}

/// Reads the step.
fn read(step: &mut StepReader<'_, '_>) -> Option<Operation> {
    let (source, to) = (step.input("put"), step.to());
    let (mode, owner): (_, Option<Owner>) = (step.table.mode("mode"), step.table.parsed("owner"));
    let keep_owner = step.table.boolean("keep-owner").unwrap_or(false);
    if let (true, Some(span), Some(_)) = (keep_owner, step.table.span_of("keep-owner"), step.table.span_of("owner")) {
        step.table.problem(Problem::new("`owner` and `keep-owner` exclude each other", span));
    }
    let owner = match (owner, keep_owner) {
        (Some(owner), _) => PutOwner::Given(owner),
        (None, true) => PutOwner::Keep,
        (None, false) => PutOwner::Root,
    };
    Some(Put { mode, owner, ..Put::new(source?, to?) }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Put, SyntaxError> {
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
        assert!(matches!(parse("app:/srv/app:"), Err(SyntaxError::Mode(_))));
    }

    #[test]
    fn a_source_may_have_a_colon() {
        assert_eq!(parse("a:b:/srv/").unwrap().source, PathBuf::from("a:b"));
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        for (text, message) in [
            ("app", "expected SRC:DEST, such as `dist/app:/usr/local/bin/app`"),
            (":/bin/app", "expected SRC:DEST, such as `dist/app:/usr/local/bin/app`"),
            ("app:", "expected SRC:DEST, such as `dist/app:/usr/local/bin/app`"),
            ("app:bin/app", "`bin/app`: a path in the guest begins with `/`"),
            ("app:/bin/app:755", "a mode is octal and begins with 0: write `0755`"),
            ("app:/bin/app:0755:root", "the user has no group: expected SRC:DEST:MODE:UID:GID"),
            ("app:/bin/app:0755:0:0:0", "too many fields: expected SRC:DEST[:MODE[:UID:GID]]"),
            ("app:/bin/app:0755:a/b:0", "`a/b` is neither a name nor a number of a user or group"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }
}
