//! A disk image as a guest: one tree of files across its partitions, as the guest would mount them.
//!
//! [`Guest::open`] reads the partition table, looks at what each partition holds, finds the root
//! file system by what is in it and mounts the others by the guest's own `/etc/fstab`, or by their types. Paths are
//! [`GuestPath`]s and resolve inside the guest: an absolute symlink begins at the guest's root, `..`
//! of the root is the root, and there is no way out.
//!
//! # What is refused
//!
//! A root that is neither ext2, ext3 nor ext4 (btrfs, xfs, LVM, LUKS… are recognised and named), a
//! disk with several roots, and a path below a mount point whose file system is not on the disk.
//!
//! ```no_run
//! use std::sync::Arc;
//! use guest::Guest;
//! use storage::FileStorage;
//!
//! let disk = FileStorage::new(std::fs::File::open("disk.raw")?)?;
//! let guest = Guest::open(Arc::new(disk))?;
//! let mut hosts = Vec::new();
//! guest.read_to(&"/etc/hosts".parse()?, &mut hosts)??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accounts;
mod by_type;
pub mod diff;
mod edit;
mod error;
mod file_system;
pub mod fstab;
mod guest;
mod metadata;
mod modify;
mod mount;
mod os;
mod packages;
mod path;
mod probe;
pub mod resolve;
mod system;
mod volume;

pub use error::{Error, FileSystemError, NoSpace, PathProblem};
pub use file_system::FileSystem;
pub use guest::{Guest, Location, open_volumes};
pub use metadata::{Attributes, DirectoryEntry, FileKind, FreeSpace, Metadata, Special, Time, Times};
pub use modify::Xattrs;
pub use os::OperatingSystem;
pub use packages::Package;
pub use path::{GuestPath, PathError};
pub use resolve::{Found, LastLink, Lookup};
pub use storage::Printable;
pub use system::Packages;
pub use volume::Volume;
