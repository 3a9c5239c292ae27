//! XFS in user space: read and edited on any [`storage`], without a kernel or a mount.
//!
//! Made for images that nobody has mounted. Edits need no log: the storage is an overlay that is committed whole or
//! not at all. The log must be clean, and stays as it is.
//!
//! Version 5 of the format is edited, with the features that `mkfs.xfs` chooses. What has other features, a dirty log
//! or version 4 is refused by name.
//!
//! An edit that fails because a name is taken or missing, because there is no space or because something would be too
//! large has changed nothing. After any other error do not flush the file system in memory.
//!
//! ```no_run
//! use xfs::{Attributes, FileSystem, Time};
//!
//! let disk = storage::FileStorage::new(std::fs::File::options().read(true).write(true).open("disk.xfs")?)?;
//! let mut filesystem = FileSystem::open(disk)?;
//! let attributes = Attributes { permissions: 0o755, uid: 0, gid: 0, modified: Time::default() };
//! let root = filesystem.superblock().root();
//! filesystem.create_file(root, b"hello", &attributes, 5, &mut &b"hello"[..])?;
//! filesystem.flush()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod account;
mod attribute;
mod content;
mod create;
mod directory;
mod error;
mod filesystem;
mod group;
mod grow;
mod inode;
mod layout;
mod log;
mod map;
mod remove;
mod superblock;
mod tree;

pub use account::{Account, BlockKind, Expectations, Unexplained, account};
pub use directory::DirectoryEntry;
pub use error::{Error, Object, Result};
pub use filesystem::FileSystem;
pub use inode::Inode;
pub use metadata::{Attributes, ContentExtent, Expected, FileKind, Side, Special, Time, Times};
pub use superblock::{Superblock, feature_names};
