//! One copy of a GPT: the header and its entries, read through `gptman` after checks of our own.
//!
//! A disk of 64 MiB, 131,072 sectors of 512 bytes, that `sgdisk` gave a partition 1 of 31 MiB and a partition 15 of 4
//! MiB has a protective MBR in sector 0 ([`mbr`](crate::mbr)), the header in sector 1 and entries from sector 2 on:
//!
//! ```text
//! sector 1   0x00  4546 4920 5041 5254  `EFI PART`       0x28  2200 ...       first_usable_lba = 34
//!            0x0c  5c00 0000            92 bytes         0x30  deff 01 ...    last_usable_lba = 131038
//!            0x10  ca7f a0e4            header_crc32     0x48  0200 ...       partition_entry_lba = 2
//!            0x18  0100 ...             my_lba = 1       0x50  8000 0000      128 entries
//!            0x20  ffff 01 ...          alternate_lba    0x54  8000 0000      of 128 bytes: sectors 2 to 33
//! sector 2   0x00  af3d c60f 8384 7247 8e79 3d69 d847 7de4  type 0fc63daf-8483-4772-8e79-3d69d8477de4: Linux
//!            0x20  0008 ...             starting_lba = 2048, byte 1,048,576
//!            0x28  ffff ...             ending_lba = 65535, which is the last sector, not the one after it
//!            0x38  7200 6f00 6f00 7400  `root`, in UTF-16
//! ```
//!
//! The first three parts of a GUID are little endian, the last two as they are printed. An entry's place is the
//! partition's number: the one of partition 15 is 14 * 128 bytes further, and those between are zeros. A copy of it all
//! is at the disk's end: the header in the last sector, 131,071, where `alternate_lba` says that it is, the entries
//! before it. Each header has the checksums (CRC-32) of itself and of the entries; Linux takes the copy where the first
//! is wrong.
//!
//! `gptman` 3.1 trusts the header: it reserves memory for `number_of_partition_entries` entries, panics where
//! `size_of_partition_entry` is not 128 or a product overflows, and reads 24 bytes past each entry. Here the fields are
//! looked at first, and it only sees buffers of bounded size.

use std::fmt;
use std::io::Cursor;

use gptman::{GPTHeader, GPTPartitionEntry};
use storage::ReadAt;

use crate::Error;

const HEADER_SIZE: u32 = 92;
const ENTRY_SIZE: u32 = 128;
/// Eight times what every tool writes.
const MAX_ENTRIES: u32 = 1024;
/// `gptman` reads whole Rust structs, which are larger than what they hold.
const PARSER_SLACK_BYTES: usize = 256;

/// The sector sizes that disks have, in bytes.
pub(crate) const SECTOR_SIZES: [u64; 2] = [512, 4096];

/// Which of the two copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Primary,
    Backup,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "GPT header",
            Self::Backup => "backup GPT header",
        })
    }
}

/// A header whose checksum is right, and its entries, whose checksum is right.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) header: GPTHeader,
    /// All slots; the first is number 1.
    pub(crate) entries: Vec<GPTPartitionEntry>,
}

/// Whether the sector `lba` begins like a GPT header.
pub(crate) fn has_signature(disk: &dyn ReadAt, sector_size: u64, lba: u64) -> Result<bool, Error> {
    let mut signature = [0; 8];
    let Some(offset) = lba.checked_mul(sector_size).filter(|&offset| offset < disk.size_bytes().saturating_sub(8))
    else {
        return Ok(false);
    };
    disk.read_at(offset, &mut signature)?;
    Ok(&signature == b"EFI PART")
}

impl Copy {
    /// Reads the copy whose header is in the sector `lba`.
    pub(crate) fn read(disk: &dyn ReadAt, sector_size: u64, lba: u64, which: Which) -> Result<Self, Error> {
        let header = read_header(disk, sector_size, lba, which)?;
        let length = u64::from(header.number_of_partition_entries) * u64::from(ENTRY_SIZE);
        let offset = header
            .partition_entry_lba
            .checked_mul(sector_size)
            .filter(|offset| offset.checked_add(length).is_some_and(|end| end <= disk.size_bytes()))
            .ok_or_else(|| {
                let lba = header.partition_entry_lba;
                Error::corrupt(which.to_string(), format!("partition_entry_lba={lba} is past the end of the disk"))
            })?;
        let mut array = vec![0; length as usize + PARSER_SLACK_BYTES];
        disk.read_at(offset, &mut array[..length as usize])?;
        let from_zero = GPTHeader { partition_entry_lba: 0, ..header.clone() };
        let entries = from_zero
            .read_partitions(&mut Cursor::new(array), sector_size)
            .map_err(|error| explain(&error, "entries of the ", which))?;
        Ok(Self { header, entries })
    }

    /// Used entries with their slot numbers.
    pub(crate) fn used(&self) -> impl Iterator<Item = (u32, &GPTPartitionEntry)> {
        (1..).zip(&self.entries).filter(|(_, entry)| entry.is_used())
    }
}

fn read_header(disk: &dyn ReadAt, sector_size: u64, lba: u64, which: Which) -> Result<GPTHeader, Error> {
    let mut sector = vec![0; HEADER_SIZE as usize + PARSER_SLACK_BYTES];
    let past_end = || Error::corrupt(which.to_string(), format!("its sector, {lba}, is past the end of the disk"));
    let offset = lba.checked_mul(sector_size).ok_or_else(past_end)?;
    let inside = offset.checked_add(sector_size).is_some_and(|end| end <= disk.size_bytes());
    if !inside {
        return Err(past_end());
    }
    disk.read_at(offset, &mut sector)?;
    let field = |at: usize| u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]);
    // Valid by the specification, where `gptman` has only "invalid" to say.
    if &sector[..8] == b"EFI PART" && field(12) > HEADER_SIZE && u64::from(field(12)) <= sector_size {
        return Err(Error::unsupported(format!("a {which} of {} bytes", field(12))));
    }
    let header = GPTHeader::read_from(&mut Cursor::new(&sector)).map_err(|error| explain(&error, "", which))?;
    let (size, number) = (header.size_of_partition_entry, header.number_of_partition_entries);
    if size != ENTRY_SIZE {
        return Err(Error::unsupported(format!("a {which} with size_of_partition_entry={size}")));
    }
    if number == 0 {
        return Err(Error::corrupt(which.to_string(), "number_of_partition_entries=0"));
    }
    if number > MAX_ENTRIES {
        return Err(Error::unsupported(format!("a {which} with number_of_partition_entries={number}")));
    }
    Ok(header)
}

/// The parser's error in our words.
fn explain(error: &gptman::Error, part: &str, which: Which) -> Error {
    let problem = match error {
        gptman::Error::InvalidSignature => "the signature is not `EFI PART`".to_owned(),
        gptman::Error::InvalidRevision => "the revision is not 1.0".to_owned(),
        gptman::Error::InvalidHeaderSize => format!("the header's size is not {HEADER_SIZE}"),
        gptman::Error::InvalidChecksum(found, expected)
        | gptman::Error::InvalidPartitionEntryArrayChecksum(found, expected) => {
            format!("the stored CRC is {found:#010x}, the bytes have {expected:#010x}")
        }
        other => other.to_string(),
    };
    Error::corrupt(format!("{part}{which}"), problem)
}
