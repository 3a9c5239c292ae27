use std::fmt;
use std::io;
use std::path::PathBuf;

use guest::{FileKind, GuestPath};

use crate::size::ByteSize;

/// Why an operation could not be carried out.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Something of the host could not be read.
    Source {
        /// What.
        path: PathBuf,
        /// What the host says.
        error: io::Error,
    },
    /// Something of the host is neither a file, a directory nor a symlink.
    SourceKind {
        /// What.
        path: PathBuf,
        /// What it is: `a socket`.
        kind: &'static str,
    },
    /// A source is to go into a directory, and has no name to have there.
    SourceName {
        /// The source.
        path: PathBuf,
    },
    /// A source is no longer what it was when it was looked at.
    SourceChanged {
        /// The source.
        path: PathBuf,
    },
    /// A name is too long for the guest.
    Name {
        /// The file of the host.
        path: PathBuf,
        /// Why it cannot have a path in the guest.
        error: guest::PathError,
    },
    /// A directory would replace something else, or be replaced.
    Kind {
        /// What would go in.
        source: PathBuf,
        /// Whether that is a directory.
        source_is_directory: bool,
        /// Where.
        destination: GuestPath,
        /// What is there.
        found: FileKind,
    },
    /// The guest has no user or group of this name.
    UnknownName {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// Where it was looked for: `/etc/passwd`.
        file: &'static str,
    },
    /// FAT cannot hold what is asked.
    Fat {
        /// Where.
        destination: GuestPath,
        /// What it cannot have.
        what: String,
    },
    /// A file system of the guest has too little room for everything that goes there.
    NoSpace {
        /// The file system's name.
        volume: String,
        /// How much is needed, in bytes.
        needed_bytes: u64,
        /// How much there is, in bytes.
        available_bytes: u64,
    },
    /// A file system of the guest has too few inodes for everything that goes there.
    NoInodes {
        /// The file system's name.
        volume: String,
        /// How many are needed.
        needed: u64,
        /// How many there are.
        available: u64,
    },
    /// Packages that have to be there are not.
    MissingPackages {
        /// Their names.
        names: Vec<String>,
    },
    /// The guest's list of packages cannot be read.
    NoPackageList {
        /// The package manager, where it is known.
        manager: Option<&'static str>,
    },
    /// Something could not be put in place.
    Put {
        /// What.
        source: PathBuf,
        /// Where.
        destination: GuestPath,
        /// Why.
        error: Box<guest::Error>,
    },
    /// An operation does not fit what is in the guest.
    Refused {
        /// Why.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The filter that a file of the guest was to go through said no.
    Filter {
        /// The file.
        path: GuestPath,
        /// What the filter says.
        error: io::Error,
    },
    /// The guest could not be read or written.
    Guest(guest::Error),
}

impl Error {
    pub(crate) fn refused(problem: impl Into<String>) -> Self {
        Self::Refused { problem: problem.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Refused { problem, .. } => Self::Refused { problem, hint: Some(hint.into()) },
            other => other,
        }
    }

    /// What a file system says that is too full, in the words for that.
    pub(crate) fn no_space(self) -> Self {
        let guest = match &self {
            Self::Guest(guest) => guest,
            Self::Put { error, .. } => &**error,
            _ => return self,
        };
        let guest::Error::FileSystem { volume, error, .. } = guest else { return self };
        let Some(room) = error.no_space() else { return self };
        let volume = volume.clone();
        match room {
            guest::NoSpace::Bytes { needed, available } => {
                Self::NoSpace { volume, needed_bytes: needed, available_bytes: available }
            }
            guest::NoSpace::Inodes { needed, available } => Self::NoInodes { volume, needed, available },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source { path, .. } => write!(f, "`{}` cannot be read", path.display()),
            Self::SourceKind { path, kind } => {
                write!(f, "`{}` is {kind}: only files, directories and symlinks can be put", path.display())
            }
            Self::SourceName { path } => {
                write!(f, "`{}` has no name that it could have inside a directory", path.display())
            }
            Self::SourceChanged { path } => write!(f, "`{}` changed while it was read", path.display()),
            Self::Name { path, error } => write!(f, "`{}` does not fit the guest: {error}", path.display()),
            Self::Kind { source, source_is_directory, destination, found } => {
                let not = if *source_is_directory { "" } else { "not " };
                write!(f, "`{destination}` is {} and `{}` is {not}a directory", article(*found), source.display())
            }
            Self::UnknownName { what, name, file } => {
                write!(f, "the guest has no {what} `{name}`: it is not in its `{file}`")
            }
            Self::Fat { destination, what } => {
                write!(f, "`{destination}` is on a FAT file system, which has no {what}")
            }
            Self::NoSpace { volume, needed_bytes, available_bytes } => {
                let (needed, available) = (ByteSize(*needed_bytes), ByteSize(*available_bytes));
                write!(f, "no space left in the guest: {volume} needs {needed} more and has {available} free")?;
                write!(f, " ({needed_bytes} and {available_bytes} bytes)")
            }
            Self::NoInodes { volume, needed, available } => {
                write!(f, "no inodes left in the guest: {volume} needs {needed} more and has {available} free")
            }
            Self::MissingPackages { names } => {
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                let (noun, verb) = if names.len() == 1 { ("package", "is") } else { ("packages", "are") };
                write!(f, "{noun} {} {verb} not installed in the image", names.join(", "))
            }
            Self::NoPackageList { manager: Some(manager) } => {
                write!(f, "the guest's packages are {manager}'s, whose list imgraft cannot read yet")
            }
            Self::NoPackageList { manager: None } => write!(f, "the guest has no list of installed packages"),
            Self::Put { source, destination, .. } => {
                write!(f, "`{}` could not be put at `{destination}`", source.display())
            }
            Self::Refused { problem, .. } => f.write_str(problem),
            Self::Filter { path, .. } => write!(f, "`{path}` could not be edited"),
            Self::Guest(error) => error.fmt(f),
        }
    }
}

fn article(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "a file",
        FileKind::Directory => "a directory",
        FileKind::Symlink => "a symlink",
        FileKind::CharacterDevice | FileKind::BlockDevice => "a device",
        FileKind::Fifo => "a FIFO",
        FileKind::Socket => "a socket",
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Source { error, .. } | Self::Filter { error, .. } => Some(error),
            Self::Put { error, .. } => Some(&**error),
            // Its message is already ours.
            Self::Guest(error) => error.source(),
            _ => None,
        }
    }
}

impl From<guest::Error> for Error {
    fn from(error: guest::Error) -> Self {
        Self::Guest(error)
    }
}
