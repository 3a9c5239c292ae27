use std::io;
use std::path::PathBuf;

use guest::{FileKind, GuestPath};
use recipe::ByteSize;

use crate::runner::RunError;

/// Why an operation could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the host could not be read.
    #[error("`{}` cannot be read", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// The host's error.
        #[source]
        error: io::Error,
    },
    /// A file of the host is neither a regular file, a directory nor a symlink.
    #[error("`{}` is {kind}: only files, directories and symlinks can be put", path.display())]
    SourceKind {
        /// The file.
        path: PathBuf,
        /// What it is: `a socket`.
        kind: &'static str,
    },
    /// A source should go into a directory, and has no name.
    #[error("`{}` has no name that it could have inside a directory", path.display())]
    SourceName {
        /// The source.
        path: PathBuf,
    },
    /// A source changed while it was used.
    #[error("`{}` changed while it was read", path.display())]
    SourceChanged {
        /// The source.
        path: PathBuf,
    },
    /// The name of a file of the host is invalid in the guest.
    #[error("`{}` does not fit the guest: {error}", path.display())]
    Name {
        /// The file of the host.
        path: PathBuf,
        /// Why it is invalid.
        error: guest::PathError,
    },
    /// A directory would replace another file, or the reverse.
    #[error(
        "`{to}` is {} and `{}` is {}a directory",
        article(*found),
        from.display(),
        if *is_directory { "" } else { "not " }
    )]
    Kind {
        /// The source.
        from: PathBuf,
        /// Whether the source is a directory.
        is_directory: bool,
        /// The place in the guest.
        to: GuestPath,
        /// What is there.
        found: FileKind,
    },
    /// The guest has no user or group of this name.
    #[error("the guest has no {what} `{name}`: it is not in its `{file}`")]
    UnknownName {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// The file where the name should be: `/etc/passwd`.
        file: &'static str,
    },
    /// A FAT file system cannot hold something.
    #[error("`{path}` is on a FAT file system, which has no {what}")]
    Fat {
        /// The path.
        path: GuestPath,
        /// What it cannot hold.
        what: String,
    },
    /// A file system of the guest has too little space.
    #[error(
        "no space left in the guest: {volume} needs {} more and has {} free ({needed_bytes} and {available_bytes} \
         bytes)",
        ByteSize(*needed_bytes),
        ByteSize(*available_bytes)
    )]
    NoSpace {
        /// The file system's name.
        volume: String,
        /// The space that is needed, in bytes.
        needed_bytes: u64,
        /// The free space, in bytes.
        available_bytes: u64,
    },
    /// A file system of the guest has too few inodes.
    #[error("no inodes left in the guest: {volume} needs {needed} more and has {available} free")]
    NoInodes {
        /// The file system's name.
        volume: String,
        /// The number of inodes that are needed.
        needed: u64,
        /// The number of free inodes.
        available: u64,
    },
    /// Packages that must be installed are missing.
    #[error("{} not installed in the image", packages(names))]
    MissingPackages {
        /// Their names.
        names: Vec<String>,
    },
    /// The guest's list of packages cannot be read.
    #[error("{}", no_package_list(*manager))]
    NoPackageList {
        /// The package manager, if it is known.
        manager: Option<&'static str>,
    },
    /// A file could not be put into the guest.
    #[error("`{}` could not be put at `{to}`", from.display())]
    Put {
        /// The file of the host.
        from: PathBuf,
        /// The place in the guest.
        to: GuestPath,
        /// Why.
        #[source]
        error: Box<guest::Error>,
    },
    /// An operation does not fit the guest.
    #[error("{problem}")]
    Refused {
        /// Why.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The filter of an edit failed.
    #[error("`{path}` could not be edited")]
    Filter {
        /// The file.
        path: GuestPath,
        /// The filter's error.
        #[source]
        error: io::Error,
    },
    /// A command in the guest was not run, or failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A step needs the network, and commands may not use it.
    #[error("`{step}` needs the network, which commands in the guest may not use")]
    NoNetwork {
        /// The step.
        step: String,
    },
    /// The guest could not be read or written.
    #[error(transparent)]
    Guest(#[from] guest::Error),
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

    /// Turns the error of a full file system into [`NoSpace`](Self::NoSpace) or [`NoInodes`](Self::NoInodes).
    pub(crate) fn no_space(self) -> Self {
        let guest = match &self {
            Self::Guest(guest) | Self::Run(RunError::Guest(guest)) => guest,
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

fn packages(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let (noun, verb) = if names.len() == 1 { ("package", "is") } else { ("packages", "are") };
    format!("{noun} {} {verb}", quoted.join(", "))
}

fn no_package_list(manager: Option<&str>) -> String {
    match manager {
        Some(manager) => format!("imgraft cannot read the package list of {manager} yet, which the guest uses"),
        None => "the guest has no list of installed packages".to_owned(),
    }
}

fn article(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "a file",
        FileKind::Directory => "a directory",
        FileKind::Symlink => "a symlink",
        FileKind::CharDevice | FileKind::BlockDevice => "a device",
        FileKind::Fifo => "a FIFO",
        FileKind::Socket => "a socket",
    }
}
