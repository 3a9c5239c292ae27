//! A disk image as a guest: one tree of files across its partitions, as the guest itself mounts them.
//!
//! # From partitions to paths: an example
//!
//! An image of 3.5 GiB is laid out as the cloud images of Ubuntu 24.04 are. Which bytes are `/etc/os-release` in it?
//!
//! 1. *Partitions.* The GPT has four, here with the sectors of 512 bytes at which they begin, and their sizes: number 1
//!    at 2,099,200 (2.5 GiB), 14 at 2048 (4 MiB), 15 at 10,240 (106 MiB) and 16 at 227,328 (913 MiB).
//! 2. *Volumes.* A [`Volume`] is a partition with what is on it. Bytes at fixed places tell the kind: `53 ef` at offset
//!    0x438 of partitions 1 and 16 is ext4, `FAT32` at 0x52 of partition 15 is FAT. Number 14 has the BIOS boot loader
//!    and no file system. The labels are `cloudimg-rootfs`, `BOOT` and `UEFI`.
//! 3. *The root.* Partition 1 is the only one with an `/etc` and an `os-release`.
//! 4. *fstab.* The `/etc/fstab` of the root has a line `LABEL=BOOT /boot ext4 …` and a line
//!    `LABEL=UEFI /boot/efi vfat …`. So `/boot` is partition 16, and `/boot/efi` is partition 15, although its parent
//!    directory is on partition 16.
//! 5. *A path.* `/etc/os-release` begins at the root directory, inode 2 of partition 1. In `/etc`, the name means inode
//!    273, a symlink to `../usr/lib/os-release`. The walk goes on from `/etc`: up, `usr`, `lib`, and there to inode
//!    3550, a regular file of 267 bytes in block 73,970. A block has 4096 bytes, so the file begins at byte
//!    2,099,200 × 512 + 73,970 × 4096 = 1,377,771,520 of the disk.
//!
//! [`Guest::open`] does the first four steps, and each of its methods that take a [`GuestPath`] does the fifth. A path
//! resolves inside the guest: an absolute symlink begins at the guest's root, and the parent of the root is the root, so
//! that no path leads out of it. Further kinds of file systems implement one trait, [`FileSystem`].
//!
//! # What is refused
//!
//! A root that cannot be read (LUKS… are recognised, and named in the error), a change of one that can only be read
//! (btrfs), a disk with several roots, and a path below a mount point whose file system is not on the disk.
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
//!
//! # Errors that a program can match on
//!
//! ```
//! use guest::{Error, FileSystemError, FileSystemProblem, NoSpace, PathProblem};
//!
//! fn advice(error: &Error) -> &'static str {
//!     match error {
//!         Error::Path { problem: PathProblem::NotFound, .. } => "check the spelling",
//!         Error::FileSystem { error: FileSystemError { problem, .. }, .. } => match problem {
//!             FileSystemProblem::NoSpace(Some(NoSpace::Inodes { .. })) => "remove files",
//!             FileSystemProblem::NoSpace(_) => "make the image larger",
//!             FileSystemProblem::ReadOnly { .. } => "choose another place",
//!             FileSystemProblem::Damaged(_) => "repair the file system",
//!             _ => "see the message",
//!         },
//!         _ => "see the message",
//!     }
//! }
//! ```

mod accounts;
mod by_type;
pub mod diff;
mod edit;
mod error;
pub mod file_system;
pub mod fstab;
mod guest;
mod metadata;
mod modify;
mod mount;
mod os;
mod packages;
mod path;
mod pattern;
mod place;
pub mod resolve;
mod system;
mod volume;

pub use accounts::Account;
pub use error::{Error, PathProblem};
pub use file_system::{FileSystem, FileSystemError, FileSystemProblem, NoSpace};
pub use guest::{Guest, Location, MountedVolume, open_volumes, open_volumes_with};
pub use metadata::{Attributes, DirectoryEntry, FileKind, FreeSpace, Metadata, Special, Time, Times};
pub use modify::{Identity, Xattrs};
pub use os::OperatingSystem;
pub use packages::{Manager, Package, Packages};
pub use path::{GuestPath, PathError};
pub use place::{LogicalVolumeName, LogicalVolumeNameError, Place};
pub use resolve::{Found, LastLink, Lookup};
pub use storage::Printable;
pub use volume::Volume;
