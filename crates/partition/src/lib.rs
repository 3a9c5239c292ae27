//! Partition tables of disk images.
//!
//! Reads GPT with sectors of 512 and of 4096 bytes, from the backup where the primary copy is
//! damaged, and gives the partitions under the numbers of their slots: 1, 14, 15 and 16 stay 1, 14,
//! 15 and 16. A disk without a table is [`Table::None`]: its file system begins at byte 0. An MBR
//! with partitions and without a GPT is refused by name, and so are the GPT variants that no known
//! tool writes: headers of other than 92 bytes, entries of other than 128, more than 1024 slots.
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
//! }
//! # Ok::<(), partition::Error>(())
//! ```

mod check;
mod error;
mod gpt;
mod grow;
mod mbr;
mod read;
mod types;

pub use check::check;
pub use error::Error;
pub use grow::grow;
pub use read::{Gpt, Partition, Table, read};
pub use types::{
    BIOS_BOOT, EFI_SYSTEM, LINUX_EXTENDED_BOOT, LINUX_FILESYSTEM, LINUX_HOME, LINUX_LVM, LINUX_RAID, LINUX_ROOT_ARM64,
    LINUX_ROOT_X86_64, LINUX_SWAP, MICROSOFT_BASIC_DATA, type_name,
};
pub use uuid::Uuid;
