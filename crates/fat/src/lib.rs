//! FAT file systems, read and edited in user space: the EFI system partition of a cloud image, and
//! vfat media with cloud-init's seed on them.
//!
//! FAT12, FAT16 and FAT32 with long names, through `hadris-fat` behind our own types: the boot
//! sector, the cluster chains and the free space are looked at here first, and the crate gets to see
//! what has passed. Times come in as parameters and are stored as UTC; two runs that are given the
//! same give the same bytes. [`create`] makes a file system from nothing, as large as its files need.
//!
//! Refused by name: exFAT, NTFS, clusters of more than 32 KiB, FAT32 without an FSInfo sector or
//! with mirroring of its FATs switched off.
//!
//! ```
//! use fat::{FileSystem, Time};
//! # fn example(partition: storage::Memory) -> Result<(), fat::Error> {
//! let mut esp = FileSystem::open(partition)?;
//! let modified = Time { seconds: 1_700_000_000, nanoseconds: 0 };
//! esp.create_directory(&["EFI", "debug"], modified)?;
//! esp.create_file(&["EFI", "debug", "note.txt"], modified, 5, &mut &b"hello"[..])?;
//! assert_eq!(esp.metadata(&["efi", "DEBUG", "Note.txt"])?.size_bytes, 5);
//! # Ok(())
//! # }
//! ```

mod boot_sector;
mod check;
mod create;
mod device;
mod edit;
mod error;
mod filesystem;
mod name;
mod read;
mod table;
mod time;
mod usage;

pub use boot_sector::FatType;
pub use create::{NewVolume, create};
pub use error::{Error, Resource};
pub use filesystem::{DirectoryEntry, FileKind, FileSystem, Metadata};
pub use read::Reader;
pub use time::Time;
pub use usage::{Owner, Usage};
