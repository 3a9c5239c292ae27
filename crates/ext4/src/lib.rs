//! ext4 in user space: read and edited on any [`storage`], without a kernel or a mount.
//!
//! [`FileSystem::create`] makes one, [`FileSystem::grow`] makes one larger, both as e2fsprogs would.
//!
//! Made for images that nobody has mounted. Edits need no journal:
//! the storage is an overlay that is committed whole or not at all.
//!
//! It refuses, by name, to write a file system with features that it does not know or does not keep right
//! (`bigalloc`, `encrypt`, `casefold`, `verity`, `mmp`), and one with error flags unless these are allowed.
//!
//! An edit that fails because a name is taken or missing, because there is no space or because something would be
//! too large has changed nothing, except that data in an inode may have moved to a block. After any other error do
//! not flush the file system in memory.
//!
//! ```no_run
//! use ext4::{Attributes, FileSystem, InodeNumber, Time};
//!
//! let disk = storage::FileStorage::new(std::fs::File::options().read(true).write(true).open("disk.ext4")?)?;
//! let mut filesystem = FileSystem::open(disk)?;
//! let attributes = Attributes { permissions: 0o755, uid: 0, gid: 0, modified: Time::default() };
//! filesystem.create_file(InodeNumber::ROOT, b"hello", &attributes, 5, &mut &b"hello"[..])?;
//! filesystem.flush()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod account;
mod allocate;
mod attributes;
mod bitmap;
mod block_map;
mod check;
mod checksum;
mod content;
mod create;
mod directory;
mod error;
mod features;
mod file;
mod filesystem;
mod group;
mod grow;
mod inline;
mod inode;
mod journal;
mod layout;
mod make;
mod orphan;
mod quota;
mod remove;
mod rename;
mod superblock;
mod usage;
mod xattr;

pub use ::metadata::{Attributes, ContentExtent, Expected, FileKind, Side, Special, Time, Times};
pub use account::{Account, BlockKind, Expectations, Unexplained, account};
pub use check::Checked;
pub use directory::DirectoryEntry;
pub use error::{Error, Object, Resource, Result};
pub use filesystem::FileSystem;
pub use inode::{Inode, InodeNumber};
pub use make::{CreateOptions, Features, InodeCount};
pub use superblock::Superblock;
pub use usage::{InodeSet, Owner, Role, Usage};
