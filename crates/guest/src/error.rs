use std::fmt;

use storage::{Finding, Printable};

use crate::fstab::Device;
use crate::path::{GuestPath, PathError};

/// Why something could not be done in a guest.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The disk could not be read.
    Storage(storage::Error),
    /// The partition table is broken or of a kind that is not read.
    Partition(partition::Error),
    /// No root file system was found.
    NoRoot {
        /// What there is in its place, one text for each partition with something in it.
        found: Vec<String>,
        /// Those of them that cannot be looked into, and may be the root.
        unsupported: Vec<String>,
    },
    /// Several file systems look like a root.
    SeveralRoots {
        /// Their names.
        volumes: Vec<String>,
    },
    /// A path, or what was asked of it, does not fit what is in the guest.
    Path {
        /// The path, as it was asked for.
        path: GuestPath,
        /// Why not.
        problem: PathProblem,
    },
    /// A file system said no.
    FileSystem {
        /// Which one: `partition 1 (ext4 cloudimg-rootfs)`.
        volume: String,
        /// The path that was asked for, where one was.
        path: Option<GuestPath>,
        /// What it said.
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
    /// A component before the last is no directory, or the file itself should be one.
    NotADirectory {
        /// Where the file that is no directory is.
        at: GuestPath,
    },
    /// A directory is not what was wanted.
    IsADirectory,
    /// Something else than a regular file is not what was wanted.
    NotARegularFile,
    /// Something else than a symlink is not what was wanted.
    NotASymlink,
    /// There is something already.
    Exists,
    /// The path goes through a symlink to nothing.
    DanglingLink {
        /// The symlink.
        link: GuestPath,
        /// Its target.
        target: Vec<u8>,
    },
    /// The path goes through more than 40 symlinks.
    LinkLoop {
        /// The one that was too many.
        link: GuestPath,
    },
    /// The guest mounts a file system there that is not on the disk.
    NotOnThisDisk {
        /// Where.
        mount_point: GuestPath,
        /// Which file system.
        device: Device,
    },
    /// The guest mounts a file system there that cannot be used.
    NotUsable {
        /// Where.
        mount_point: GuestPath,
        /// Which one: `partition 2 (xfs)`.
        volume: String,
    },
    /// Whether the guest mounts a file system there is known only when it starts.
    Undecided {
        /// Where.
        mount_point: GuestPath,
        /// Which one: `partition 5 (ext4)`.
        volume: String,
    },
    /// The directory has a name in it that no file can have.
    BadName {
        /// The name.
        name: Vec<u8>,
    },
    /// It would be on another file system than what it is to be another name of.
    OtherFileSystem,
    /// The guest mounts a file system there or below.
    MountPoint {
        /// Where.
        mount_point: GuestPath,
    },
    /// A text file is larger than it may be.
    TooLarge {
        /// The bound in bytes.
        limit_bytes: u64,
    },
}

/// What a file system said.
#[derive(Debug)]
pub enum FileSystemError {
    /// An ext4.
    Ext4(ext4::Error),
    /// A FAT.
    Fat(fat::Error),
}

impl Error {
    pub(crate) fn path(path: &GuestPath, problem: PathProblem) -> Self {
        Self::Path { path: path.clone(), problem }
    }

    pub(crate) fn bad_path(path: &GuestPath, error: PathError) -> Self {
        Self::path(path, PathProblem::Invalid(error))
    }

    /// Whether nothing is at the path, symlinks to nothing included.
    pub fn is_absence(&self) -> bool {
        let is_absence = |problem: &PathProblem| {
            matches!(
                problem,
                PathProblem::NotFound | PathProblem::DanglingLink { .. } | PathProblem::NotADirectory { .. }
            )
        };
        matches!(self, Self::Path { problem, .. } if is_absence(problem))
    }

    /// Whether the path is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Path { problem: PathProblem::NotFound, .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::Partition(error) => error.fmt(f),
            Self::NoRoot { found, .. } if found.is_empty() => {
                write!(f, "there is no file system on the disk")
            }
            Self::NoRoot { unsupported, .. } if !unsupported.is_empty() => {
                write!(f, "the root file system was not found where imgraft can look, and what is on ")?;
                write!(f, "{} is not supported", unsupported.join(", "))
            }
            Self::NoRoot { found, .. } => {
                write!(f, "there is no root file system on the disk: no ext4 has `/etc` and an `os-release`")?;
                write!(f, " (found {})", found.join(", "))
            }
            Self::SeveralRoots { volumes } => {
                write!(f, "there are several root file systems on the disk: {}", volumes.join(", "))
            }
            Self::Path { path, problem } => problem.fmt_for(path, f),
            Self::FileSystem { volume, path: None, .. } => write!(f, "{volume}"),
            Self::FileSystem { volume, path: Some(path), .. } => write!(f, "`{path}` on {volume}"),
        }
    }
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
                "`{path}`: whether `{mount_point}` is on {volume}, the guest decides by its machine-id, which has to \
                 be the one that the partition was made for"
            ),
            Self::BadName { name } => {
                write!(f, "the directory `{path}` has a name in it that no file can have: `{}`", Printable(name))
            }
            Self::OtherFileSystem => write!(f, "`{path}` is on another file system"),
            Self::MountPoint { mount_point } if mount_point == path => {
                write!(f, "the guest mounts a file system at `{path}`")
            }
            Self::MountPoint { mount_point } => {
                write!(f, "`{path}`: the guest mounts a file system at `{mount_point}`")
            }
            Self::TooLarge { limit_bytes } => write!(f, "`{path}` has more than {limit_bytes} bytes"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Their message is already ours.
            Self::Storage(error) => error.source(),
            Self::Partition(error) => error.source(),
            Self::FileSystem { error, .. } => Some(error),
            Self::NoRoot { .. } | Self::SeveralRoots { .. } | Self::Path { .. } => None,
        }
    }
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        Self::Storage(error)
    }
}

impl From<partition::Error> for Error {
    fn from(error: partition::Error) -> Self {
        Self::Partition(error)
    }
}

/// What a file system has too little of, and how much of it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSpace {
    /// Bytes.
    Bytes {
        /// So many.
        needed: u64,
        /// And so many are free.
        available: u64,
    },
    /// Inodes.
    Inodes {
        /// So many.
        needed: u64,
        /// And so many are free.
        available: u64,
    },
}

impl FileSystemError {
    /// Whether it is too full, and how much.
    pub fn no_space(&self) -> Option<NoSpace> {
        let bytes = |needed: u64, available: u64, unit_bytes: u64| {
            Some(NoSpace::Bytes {
                needed: needed.saturating_mul(unit_bytes),
                available: available.saturating_mul(unit_bytes),
            })
        };
        match *self {
            Self::Ext4(ext4::Error::NoSpace { resource: ext4::Resource::Inodes, needed, available, .. }) => {
                Some(NoSpace::Inodes { needed, available })
            }
            Self::Ext4(ext4::Error::NoSpace { needed, available, unit_bytes, .. }) => {
                bytes(needed, available, u64::from(unit_bytes))
            }
            _ => None,
        }
    }

    /// Whether it is not written to because errors were noted in it.
    pub fn is_for_noted_errors(&self) -> bool {
        matches!(self, Self::Ext4(ext4::Error::HasErrors { .. }))
    }

    /// Whether the host could not read or write, which says nothing of the file system.
    pub(crate) fn is_from_host(&self) -> bool {
        match self {
            Self::Ext4(ext4::Error::Storage(error)) | Self::Fat(fat::Error::Storage(error)) => {
                error.host_error().is_some()
            }
            _ => false,
        }
    }

    /// What is broken, where that is why.
    pub fn corruption(&self) -> Option<Finding> {
        match self {
            Self::Ext4(ext4::Error::Corrupt { object, problem }) => Some(Finding::new(object.to_string(), problem)),
            Self::Fat(fat::Error::Corrupt { object, problem }) => Some(Finding::new(object, problem)),
            _ => None,
        }
    }
}

impl fmt::Display for FileSystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ext4(error) => error.fmt(f),
            Self::Fat(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FileSystemError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ext4(error) => error.source(),
            Self::Fat(error) => error.source(),
        }
    }
}

impl From<ext4::Error> for FileSystemError {
    fn from(error: ext4::Error) -> Self {
        Self::Ext4(error)
    }
}

impl From<fat::Error> for FileSystemError {
    fn from(error: fat::Error) -> Self {
        Self::Fat(error)
    }
}
