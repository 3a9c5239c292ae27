//! FAT file systems, read and edited in user space: the EFI system partition of a cloud image, and
//! vfat media with cloud-init's seed on them.
//!
//! # The format by an example
//!
//! `mkfs.vfat -C -n CIDATA -s 1 seed.vfat 64`, then `mcopy` of a `user-data` of 700 bytes and a `meta-data` of 17:
//!
//! ```text
//! 0x0000  boot sector: 512 bytes a sector, 1 sector a cluster, 1 reserved sector, 2 FATs of 1 sector, 512 root entries
//! 0x0200  the FAT, and its copy at 0x0400:   f8 ff ff   03 f0 ff   ff 0f 00
//!         12 bits an entry, two entries in three bytes: ff8 fff | 003 fff | fff 000
//! 0x0600  the root, 32 bytes an entry: "CIDATA     " (the label), a long name, "USER-D~1   ", a long name, "META-D~1   "
//! 0x0640    USER-D~1: … 02 00  bc 02 00 00           first cluster 2, 0x2bc = 700 bytes
//! 0x4600  the data: cluster 2 begins here, cluster 3 at 0x4800, …
//! ```
//!
//! Clusters are numbered from 2 on; the first two entries of the FAT do not belong to clusters. Reading `user-data`
//! begins with its first cluster, 2. Entry 2 of the FAT is 003: the next cluster is 3. Entry 3 is fff: that was the
//! last one. The two clusters hold 1024 bytes, but the file has only 700. `meta-data` has cluster 4 alone. Entry 5 is
//! 000: that cluster is free.
//!
//! The number of clusters, here 93, decides how wide the entries are: 12 bits up to 4084 clusters, 16 up to 65,524, then
//! 32. The name `user-data` does not fit into the 8 + 3 capitals of an entry, so an entry before it, at 0x620, has the
//! name in UTF-16; its attribute 0x0f marks it as a name.
//!
//! # This crate
//!
//! FAT12, FAT16 and FAT32 with long names, through `hadris-fat` behind our own types: the boot
//! sector, the cluster chains and the free space are checked here first, and `hadris-fat` sees only
//! what has passed. Times are parameters and are stored in UTC, so the same inputs give the same
//! bytes. [`create`] makes a file system from nothing, as large as its files need.
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
