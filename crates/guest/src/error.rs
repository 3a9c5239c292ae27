//! Why something could not be done in a guest.

use std::fmt;

use storage::Printable;

use crate::file_system::FileSystemError;
use crate::fstab::Device;
use crate::path::{GuestPath, PathError};
use crate::place::Place;

/// Why something could not be done in a guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk could not be read.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The partition table is damaged, or of a kind that imgraft cannot read.
    #[error(transparent)]
    Partition(#[from] partition::Error),
    /// No root file system was found.
    #[error(fmt = no_root)]
    NoRoot {
        /// What was found instead, one text for each partition that has something in it.
        found: Vec<String>,
        /// Those of them that imgraft cannot read. One of them may be the root.
        unsupported: Vec<String>,
    },
    /// Several file systems look like a root.
    #[error("there are several root file systems on the disk: {}", volumes.join(", "))]
    SeveralRoots {
        /// Their names.
        volumes: Vec<String>,
    },
    /// A place has no file system that can be used.
    #[error(fmt = no_file_system)]
    NoFileSystem {
        /// Which one was asked for.
        place: Place,
        /// The names of all partitions and logical volumes.
        found: Vec<String>,
    },
    /// A path, or what was asked of it, does not fit what is in the guest.
    #[error(fmt = of_path)]
    Path {
        /// The path, as it was asked for.
        path: GuestPath,
        /// Why not.
        problem: PathProblem,
    },
    /// A file system refused or failed; its [`problem`](FileSystemError::problem) says why.
    #[error(fmt = of_file_system)]
    FileSystem {
        /// Which one: `partition 1 (ext4 cloudimg-rootfs)`.
        volume: String,
        /// The path that was asked for, if there was one.
        path: Option<GuestPath>,
        /// What it said.
        #[source]
        error: FileSystemError,
    },
}

/// What is wrong with a path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathProblem {
    /// It cannot be a path.
    Invalid(PathError),
    /// There is nothing there.
    NotFound,
    /// A component before the last is not a directory, or the file itself should be one.
    NotADirectory {
        /// The path of the file that is not a directory.
        at: GuestPath,
    },
    /// It is a directory, and should be a file.
    IsADirectory,
    /// It should be a regular file.
    NotARegularFile,
    /// It should be a symlink.
    NotASymlink,
    /// There is a file already.
    Exists,
    /// The path goes through a symlink whose target does not exist.
    DanglingLink {
        /// The symlink.
        link: GuestPath,
        /// Its target.
        target: Vec<u8>,
    },
    /// The path goes through more than 40 symlinks.
    LinkLoop {
        /// The one at which the search ended.
        link: GuestPath,
    },
    /// The guest mounts a file system there that is not on the disk.
    NotOnThisDisk {
        /// Where.
        mount_point: GuestPath,
        /// Which file system.
        device: Device,
    },
    /// The guest mounts a file system there that imgraft cannot use.
    NotUsable {
        /// Where.
        mount_point: GuestPath,
        /// Which one: `partition 2 (xfs)`.
        volume: String,
    },
    /// Only the start of the guest decides whether it mounts a file system there.
    Undecided {
        /// Where.
        mount_point: GuestPath,
        /// Which one: `partition 5 (ext4)`.
        volume: String,
    },
    /// The directory contains a name that no file can have.
    BadName {
        /// The name.
        name: Vec<u8>,
    },
    /// The new name is on another file system than the file.
    OtherFileSystem,
    /// The guest mounts a file system there or below.
    MountPoint {
        /// Where.
        mount_point: GuestPath,
    },
    /// It is a database, and damaged.
    BadDatabase {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A text file is larger than it may be.
    TooLarge {
        /// The most bytes that it may have.
        limit_bytes: u64,
    },
}

impl Error {
    pub(crate) fn path(path: &GuestPath, problem: PathProblem) -> Self {
        Self::Path { path: path.clone(), problem }
    }

    pub(crate) fn bad_path(path: &GuestPath, error: PathError) -> Self {
        Self::path(path, PathProblem::Invalid(error))
    }

    /// Whether there is no file at the path; the way to it may end at a symlink or a file.
    pub fn is_absence(&self) -> bool {
        let is_absence = |problem: &PathProblem| {
            matches!(
                problem,
                PathProblem::NotFound | PathProblem::DanglingLink { .. } | PathProblem::NotADirectory { .. }
            )
        };
        matches!(self, Self::Path { problem, .. } if is_absence(problem))
    }

    /// Whether there is no such file, and no symlink or file in the way is the reason.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Path { problem: PathProblem::NotFound, .. })
    }
}

/// The message of [`Error::NoRoot`], with its fields.
fn no_file_system(place: &Place, found: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match place {
        Place::Disk => write!(f, "the disk has no file system that imgraft can use on the whole of it")?,
        place => write!(f, "{place} is not there or has no file system that imgraft can use")?,
    }
    if found.is_empty() { Ok(()) } else { write!(f, "; the disk has {}", found.join(", ")) }
}

fn no_root(found: &[String], unsupported: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if found.is_empty() {
        return write!(f, "there is no file system on the disk");
    }
    if !unsupported.is_empty() {
        write!(f, "no root file system was found that imgraft can read, and what is on ")?;
        return write!(f, "{} is not supported", unsupported.join(", "));
    }
    write!(f, "there is no root file system on the disk: none has `/etc` and an `os-release`")?;
    write!(f, " (found {})", found.join(", "))
}

/// An error of a file system, whose own words follow as its source.
fn of_file_system(
    volume: &str,
    path: &Option<GuestPath>,
    _error: &FileSystemError,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match path {
        Some(path) => write!(f, "`{path}` on {volume}"),
        None => f.write_str(volume),
    }
}

fn of_path(path: &GuestPath, problem: &PathProblem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    problem.fmt_for(path, f)
}

impl PathProblem {
    fn fmt_for(&self, path: &GuestPath, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => write!(f, "`{path}`: {error}"),
            Self::NotFound => write!(f, "`{path}` is not in the guest"),
            Self::NotADirectory { at } if at == path => write!(f, "`{path}` is not a directory"),
            Self::NotADirectory { at } => write!(f, "`{path}`: `{at}` is not a directory"),
            Self::IsADirectory => write!(f, "`{path}` is a directory"),
            Self::NotARegularFile => write!(f, "`{path}` is not a regular file"),
            Self::NotASymlink => write!(f, "`{path}` is not a symlink"),
            Self::Exists => write!(f, "`{path}` is there already"),
            Self::DanglingLink { link, target } => write!(
                f,
                "`{path}` goes through the symlink `{link}`, whose target `{}` is not in the guest",
                Printable(target)
            ),
            Self::LinkLoop { link } => {
                write!(f, "`{path}` goes through too many symlinks, the last is `{link}`")
            }
            Self::NotOnThisDisk { mount_point, device } => {
                write!(f, "`{path}`: `{mount_point}` is on {device}, which is not on this disk")
            }
            Self::NotUsable { mount_point, volume } => {
                write!(f, "`{path}`: `{mount_point}` is on {volume}, which imgraft cannot use")
            }
            Self::Undecided { mount_point, volume } => write!(
                f,
                "`{path}`: only the start of the guest decides whether `{mount_point}` is on {volume}: that depends on \
                 its machine-id"
            ),
            Self::BadName { name } => {
                write!(f, "the directory `{path}` contains an invalid name: `{}`", Printable(name))
            }
            Self::OtherFileSystem => write!(f, "`{path}` is on another file system"),
            Self::MountPoint { mount_point } if mount_point == path => {
                write!(f, "the guest mounts a file system at `{path}`")
            }
            Self::MountPoint { mount_point } => {
                write!(f, "`{path}`: the guest mounts a file system at `{mount_point}`")
            }
            Self::BadDatabase { why } => write!(f, "the database `{path}` is damaged: {why}"),
            Self::TooLarge { limit_bytes } => write!(f, "`{path}` has more than {limit_bytes} bytes"),
        }
    }
}
