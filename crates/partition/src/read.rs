use storage::ReadAt;
use uuid::Uuid;

use crate::Error;
use crate::gpt::{Copy, SECTOR_SIZES, Which, has_signature};
use crate::mbr::Mbr;

/// What divides a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Table {
    /// Nothing: if there is a file system, it begins at byte 0.
    None,
    /// A GUID partition table.
    Gpt(Gpt),
}

/// A GUID partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpt {
    /// The size in bytes of the sectors that the table counts in: 512 or 4096.
    pub sector_size_bytes: u32,
    /// The disk's own GUID.
    pub disk_guid: Uuid,
    /// The used slots in the order of their numbers.
    pub partitions: Vec<Partition>,
    /// Whether the primary copy was damaged and this is the backup.
    pub from_backup: bool,
}

impl Gpt {
    /// The partition in slot `number`.
    pub fn partition(&self, number: u32) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.number == number)
    }
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The number of its slot, from 1, as Linux and `sgdisk` count.
    pub number: u32,
    /// Offset of its first byte from the start of the disk.
    pub first_byte: u64,
    /// Size in bytes, a multiple of the sector, at least one.
    pub size_bytes: u64,
    /// What it is for; see [`type_name`](crate::type_name).
    pub type_guid: Uuid,
    /// Its own GUID, the kernel's `PARTUUID`.
    pub unique_guid: Uuid,
    /// Its name, often empty; what is not UTF-16 in it is replaced by U+FFFD.
    pub name: String,
}

/// Where a disk has its GPT.
pub(crate) struct Found {
    pub(crate) sector_size: u64,
}

/// Looks for a GPT by the signature of its headers.
///
/// The backup alone counts only behind a protective MBR: a disk that was formatted anew can have an
/// old backup in its last sector.
pub(crate) fn find(disk: &dyn ReadAt, mbr: &Mbr) -> Result<Option<Found>, Error> {
    for sector_size in SECTOR_SIZES {
        if has_signature(disk, sector_size, 1)? {
            return Ok(Some(Found { sector_size }));
        }
    }
    if let Mbr::Protective { .. } = mbr {
        for sector_size in SECTOR_SIZES {
            let sectors = disk.size_bytes() / sector_size;
            if sectors > 1 && has_signature(disk, sector_size, sectors - 1)? {
                return Ok(Some(Found { sector_size }));
            }
        }
    }
    Ok(None)
}

/// Reads the disk's partition table.
///
/// Where the primary GPT is damaged and the backup in the last sector is not, this is what the
/// backup says, as it is for Linux.
///
/// # Errors
///
/// [`Error::Corrupt`] where neither copy of a GPT is whole, or a partition is not inside the disk;
/// [`Error::Unsupported`] for an MBR with partitions and no GPT, or a GPT of a shape that no tool
/// writes; [`Error::Storage`].
pub fn read(disk: &dyn ReadAt) -> Result<Table, Error> {
    let mbr = Mbr::read(disk)?;
    let Some(Found { sector_size }) = find(disk, &mbr)? else {
        return match mbr {
            Mbr::None => Ok(Table::None),
            Mbr::Protective { .. } => Err(Error::corrupt(
                "GPT header",
                "there is a protective MBR, but no GPT header in sector 1 or the last one",
            )),
            Mbr::Partitions { types } => Err(unsupported_mbr(&types)),
        };
    };
    let primary_error = match Copy::read(disk, sector_size, 1, Which::Primary) {
        Ok(primary) => return Ok(Table::Gpt(gpt(disk, sector_size, &primary, false)?)),
        Err(error @ Error::Storage(_)) => return Err(error),
        Err(error) => error,
    };
    let last_lba = disk.size_bytes() / sector_size - 1;
    match Copy::read(disk, sector_size, last_lba, Which::Backup) {
        Ok(backup) => Ok(Table::Gpt(gpt(disk, sector_size, &backup, true)?)),
        Err(error @ Error::Storage(_)) => Err(error),
        Err(_) => Err(primary_error),
    }
}

/// What is said of a table that is not GPT.
pub(crate) fn unsupported_mbr(types: &[u8]) -> Error {
    let types: Vec<String> = types.iter().map(|os_type| format!("{os_type:#04x}")).collect();
    Error::unsupported(format!("an MBR partition table without a GPT (partition types {})", types.join(", ")))
}

fn gpt(disk: &dyn ReadAt, sector_size: u64, copy: &Copy, from_backup: bool) -> Result<Gpt, Error> {
    let disk_lbas = disk.size_bytes() / sector_size;
    let mut partitions = Vec::new();
    for (number, entry) in copy.used() {
        let (first, last) = (entry.starting_lba, entry.ending_lba);
        if first > last || last >= disk_lbas {
            return Err(Error::corrupt(
                format!("partition {number}"),
                format!("starting_lba={first} ending_lba={last} are not inside the disk's {disk_lbas} sectors"),
            ));
        }
        partitions.push(Partition {
            number,
            first_byte: first * sector_size,
            size_bytes: (last - first + 1) * sector_size,
            type_guid: Uuid::from_bytes_le(entry.partition_type_guid),
            unique_guid: Uuid::from_bytes_le(entry.unique_partition_guid),
            name: entry.partition_name.as_str().to_owned(),
        });
    }
    let disk_guid = Uuid::from_bytes_le(copy.header.disk_guid);
    Ok(Gpt { sector_size_bytes: sector_size as u32, disk_guid, partitions, from_backup })
}
