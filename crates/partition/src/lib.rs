//! Partition tables of disk images.
//!
//! Reads GPT with sectors of 512 and of 4096 bytes, from the backup where the primary copy is
//! damaged, and gives the partitions under the numbers of their slots: 1, 14, 15 and 16 stay 1, 14,
//! 15 and 16. Without a GPT, an MBR's primary and logical partitions are read as Linux numbers them. A disk
//! without a table is [`Table::None`]: its file system begins at byte 0. Tables that no known tool writes are refused
//! by name: GPT headers that do not have 92 bytes, entries that do not have 128, more than 1024 slots, two
//! extended partitions, more than 256 logical ones.
//!
//! [`grow`] gives the room that a larger disk has to the partition that lies last on it.
//!
//! [`check`] says what is wrong with a table that [`read`] may still accept.
//!
//! ```
//! use partition::Table;
//! use storage::Memory;
//!
//! let disk = Memory::from(vec![0; 1 << 20]);
//! match partition::read(&disk)? {
//!     Table::None => {}
//!     Table::Gpt(gpt) => assert!(gpt.partition(15).is_some()),
//!     Table::Mbr(mbr) => assert!(!mbr.partitions.is_empty()),
//! }
//! # Ok::<(), partition::Error>(())
//! ```

#[cfg(test)]
mod adversary;
mod check;
mod check_mbr;
mod ebr;
mod error;
mod gpt;
mod grow;
mod grow_mbr;
mod mbr;
mod protective;
mod read;
mod types;

pub use check::check;
pub use error::Error;
pub use grow::grow;
pub use read::{Gpt, MbrTable, Partition, Table, read, table_name};
pub use types::{
    BIOS_BOOT, COREOS_USR, EFI_SYSTEM, LINUX_EXTENDED_BOOT, LINUX_FILESYSTEM, LINUX_HOME, LINUX_LVM, LINUX_RAID,
    LINUX_ROOT_ARM64, LINUX_ROOT_X86_64, LINUX_SRV, LINUX_SWAP, LINUX_USR_ARM64, LINUX_USR_X86_64, LINUX_VAR,
    LINUX_VAR_TMP, MICROSOFT_BASIC_DATA, PartitionType, type_name,
};
pub use uuid::Uuid;
