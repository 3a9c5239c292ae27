use storage::ReadAt;
use uuid::Uuid;

use crate::ebr::{Division, outside};
use crate::gpt::{Copy, SECTOR_SIZES, Which, has_signature};
use crate::mbr::{Mbr, SECTOR_BYTES};
use crate::{Error, PartitionType};

/// What divides a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Table {
    /// Nothing: if there is a file system, it begins at byte 0.
    None,
    /// A GUID partition table.
    Gpt(Gpt),
    /// A master boot record, without a GPT.
    Mbr(MbrTable),
}

impl Table {
    /// Its name: `GPT`, `MBR`; `None` where there is no table.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gpt(_) => Some("GPT"),
            Self::Mbr(_) => Some("MBR"),
        }
    }

    /// The partitions that can have a file system, in the order of their numbers.
    pub fn partitions(&self) -> &[Partition] {
        match self {
            Self::None => &[],
            Self::Gpt(gpt) => &gpt.partitions,
            Self::Mbr(mbr) => &mbr.partitions,
        }
    }

    /// The partition with this number.
    pub fn partition(&self, number: u32) -> Option<&Partition> {
        self.partitions().iter().find(|partition| partition.number == number)
    }
}

/// A master boot record that divides a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MbrTable {
    /// The disk's own number.
    pub disk_signature: u32,
    /// The primary partitions by their slots, 1 to 4, and the logical ones from 5 on in the order of their
    /// chain. The extended partition around these is not among them.
    pub partitions: Vec<Partition>,
    /// Where the logical partitions are described: offsets of sectors of 512 bytes, in the order of the chain.
    pub extended_boot_records: Vec<u64>,
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
    /// Whether the disk goes on after the backup: it was made larger since, and the table does not know.
    pub disk_has_grown: bool,
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
    /// The number of its slot, from 1, as Linux, `sgdisk` and `sfdisk` count.
    pub number: u32,
    /// Offset of its first byte from the start of the disk.
    pub first_byte: u64,
    /// Size in bytes, a multiple of the sector, at least one.
    pub size_bytes: u64,
    /// What it is for.
    pub kind: PartitionType,
    /// The kernel's `PARTUUID`: a GPT's own GUID of the partition; the MBR's number of the disk, and the partition's.
    pub partuuid: String,
    /// Its name, often empty; what is not UTF-16 in it is replaced by U+FFFD. An MBR has no names.
    pub name: String,
    /// A GPT's attributes, bit by bit.
    pub attributes: u64,
}

/// Where a disk has its GPT.
pub(crate) struct Found {
    pub(crate) sector_size: u64,
}

/// Looks for a GPT by the signature of its headers.
///
/// The backup alone counts only if there is a protective MBR: a disk that was formatted again can have an
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

/// The name of the disk's table, `GPT` or `MBR`, even where that is damaged; `None` for a disk without a table.
///
/// # Errors
///
/// [`Error::Storage`].
pub fn table_name(disk: &dyn ReadAt) -> Result<Option<&'static str>, Error> {
    let mbr = Mbr::read(disk)?;
    Ok(match (find(disk, &mbr)?, mbr) {
        (Some(_), _) | (None, Mbr::Protective { .. }) => Some("GPT"),
        (None, Mbr::Partitions) => Some("MBR"),
        (None, Mbr::None) => None,
    })
}

/// Reads the disk's partition table.
///
/// Where the primary GPT is damaged and the backup in the last sector is not, the backup is read, as by Linux.
///
/// # Errors
///
/// [`Error::Corrupt`] where neither copy of a GPT is whole, or a partition is not inside the disk;
/// [`Error::Unsupported`] for a table of a shape that no tool writes; [`Error::Storage`].
pub fn read(disk: &dyn ReadAt) -> Result<Table, Error> {
    let mbr = Mbr::read(disk)?;
    let Some(Found { sector_size }) = find(disk, &mbr)? else {
        return match mbr {
            Mbr::None => Ok(Table::None),
            Mbr::Protective { .. } => Err(Error::corrupt(
                "GPT header",
                "there is a protective MBR, but no GPT header in sector 1 or the last one",
            )),
            Mbr::Partitions => Ok(Table::Mbr(mbr_table(disk)?)),
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

/// What an MBR without a GPT says.
fn mbr_table(disk: &dyn ReadAt) -> Result<MbrTable, Error> {
    let division = Division::read(disk)?;
    let disk_lbas = disk.size_bytes() / SECTOR_BYTES;
    if let Some(slot) = division.partitions.iter().find(|slot| slot.end() > disk_lbas) {
        return Err(outside(slot, disk));
    }
    let disk_signature = division.disk_signature;
    let partitions = division.partitions.iter().map(|slot| Partition {
        number: slot.number,
        first_byte: slot.first * SECTOR_BYTES,
        size_bytes: slot.sectors * SECTOR_BYTES,
        kind: PartitionType::Byte(slot.os_type),
        partuuid: format!("{disk_signature:08x}-{:02x}", slot.number),
        name: String::new(),
        attributes: 0,
    });
    let partitions = partitions.collect();
    let extended_boot_records = division.records.iter().map(|record| record.lba * SECTOR_BYTES).collect();
    Ok(MbrTable { disk_signature, partitions, extended_boot_records })
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
            kind: PartitionType::Guid(Uuid::from_bytes_le(entry.partition_type_guid)),
            partuuid: Uuid::from_bytes_le(entry.unique_partition_guid).to_string(),
            name: entry.partition_name.as_str().to_owned(),
            attributes: entry.attribute_bits,
        });
    }
    let disk_guid = Uuid::from_bytes_le(copy.header.disk_guid);
    let backup_lba = copy.header.backup_lba;
    let disk_has_grown =
        !from_backup && backup_lba > 1 && backup_lba < disk_lbas - 1 && has_signature(disk, sector_size, backup_lba)?;
    Ok(Gpt { sector_size_bytes: sector_size as u32, disk_guid, partitions, from_backup, disk_has_grown })
}
