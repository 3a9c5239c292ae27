//! A disk that has become larger: the table's backup goes to the new end, and the last partition
//! takes the room.
//!
//! UEFI specification, "GUID Partition Table (GPT) Disk Layout". Only the fields that have to change
//! do: entries and headers go back byte for byte otherwise.

use gptman::GPTPartitionEntry;
use storage::WriteAt;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::gpt::{Copy, Which, has_signature};
use crate::mbr::Mbr;
use crate::protective::{self, Growth};
use crate::read::{Found, Partition, find};
use crate::{Error, grow_mbr, read};

/// Partitions end at a multiple of this, as the tools that make them do it.
pub(crate) const ALIGNMENT_BYTES: u64 = 1 << 20;
/// An entry's length, which [`Copy`] has checked.
const ENTRY_BYTES: u64 = 128;

/// UEFI specification, "GPT Header".
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    /// 0x00: signature, revision and size of the header
    start: [u8; 16],
    /// 0x10: CRC-32 of the header with zero here
    header_crc32: U32,
    /// 0x14
    reserved: U32,
    /// 0x18
    my_lba: U64,
    /// 0x20
    alternate_lba: U64,
    /// 0x28
    first_usable_lba: U64,
    /// 0x30
    last_usable_lba: U64,
    /// 0x38
    disk_guid: [u8; 16],
    /// 0x48
    partition_entry_lba: U64,
    /// 0x50
    number_of_partition_entries: U32,
    /// 0x54
    size_of_partition_entry: U32,
    /// 0x58
    partition_entry_array_crc32: U32,
}

/// UEFI specification, "GPT Partition Entry".
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    /// 0x00
    partition_type_guid: [u8; 16],
    /// 0x10
    unique_partition_guid: [u8; 16],
    /// 0x20
    starting_lba: U64,
    /// 0x28: the last sector, inclusive
    ending_lba: U64,
    /// 0x30: attributes and name
    rest: [u8; 80],
}

const _: () = assert!(size_of::<RawHeader>() == 92 && size_of::<RawEntry>() == 128);

/// A GPT as it is written back.
struct Writer<'a> {
    disk: &'a dyn WriteAt,
    sector_size: u64,
    disk_lbas: u64,
    header: RawHeader,
    /// What follows the header in its sector.
    header_rest: Vec<u8>,
    entries: Vec<u8>,
}

/// Makes use of a disk that was made larger: the backup of its GPT moves to the end, the protective
/// MBR covers it all, and the partition in slot `number` grows to the last usable sector, aligned to
/// 1 MiB. A partition that already ends there or further stays as it is. Returns the partition.
///
/// In a hybrid MBR the records of that partition and of the disk's end follow. Where an MBR divides the disk,
/// the partition grows as far as one can say, 2 TiB; around a logical one the extended partition grows too.
///
/// # Errors
///
/// [`Error::NotLast`] where another partition lies after it; [`Error::Corrupt`] where the primary
/// GPT is damaged or there is no such partition; [`Error::Unsupported`] for a disk without a table;
/// [`Error::Storage`]. Nothing is written before all of these were checked.
pub fn grow(disk: &dyn WriteAt, number: u32) -> Result<Partition, Error> {
    let mbr = Mbr::read(&disk)?;
    let Some(Found { sector_size }) = find(&disk, &mbr)? else {
        if mbr != Mbr::Partitions {
            return Err(Error::unsupported("growing a partition of a disk without a partition table"));
        }
        grow_mbr::grow(disk, number)?;
        return grown(disk, number);
    };
    let primary = Copy::read(&disk, sector_size, 1, Which::Primary)?;
    let mut writer = Writer::new(disk, sector_size, &primary)?;
    let (entry, ending_lba) = writer.check(&primary, number)?;
    let growth = Growth {
        first_lba: entry.starting_lba,
        partition_end: [entry.ending_lba + 1, ending_lba + 1],
        disk_lbas: [primary.header.backup_lba.saturating_add(1), writer.disk_lbas],
    };
    writer.forget_old_backup(&primary)?;
    writer.set_ending_lba(number, ending_lba)?;
    writer.write()?;
    protective::follow(disk, &growth)?;
    grown(disk, number)
}

/// The partition as it is now.
fn grown(disk: &dyn WriteAt, number: u32) -> Result<Partition, Error> {
    let table = read(&disk)?;
    table.partitions().iter().find(|one| one.number == number).cloned().ok_or_else(|| no_partition(number))
}

pub(crate) fn no_partition(number: u32) -> Error {
    Error::corrupt(format!("partition {number}"), "there is no such partition")
}

impl<'a> Writer<'a> {
    fn new(disk: &'a dyn WriteAt, sector_size: u64, primary: &Copy) -> Result<Self, Error> {
        let mut sector = vec![0; sector_size as usize];
        disk.read_at(sector_size, &mut sector)?;
        let (header, rest) = RawHeader::read_from_prefix(&sector)
            .map_err(|_| Error::corrupt(Which::Primary.to_string(), "92 bytes expected"))?;
        let mut entries = vec![0; primary.entries.len() * ENTRY_BYTES as usize];
        disk.read_at(primary.header.partition_entry_lba * sector_size, &mut entries)?;
        let disk_lbas = disk.size_bytes() / sector_size;
        Ok(Self { disk, sector_size, disk_lbas, header, header_rest: rest.to_vec(), entries })
    }

    /// Sectors that the entries take.
    fn entry_lbas(&self) -> u64 {
        (self.entries.len() as u64).div_ceil(self.sector_size)
    }

    /// The last sector that a partition may have, with the backup at the disk's end.
    fn last_usable_lba(&self) -> u64 {
        self.disk_lbas.saturating_sub(2 + self.entry_lbas())
    }

    /// The partition, and where it will end; refuses where it cannot.
    fn check<'p>(&self, primary: &'p Copy, number: u32) -> Result<(&'p GPTPartitionEntry, u64), Error> {
        let entry = primary.used().find(|(slot, _)| *slot == number).ok_or_else(|| no_partition(number))?.1;
        let (start, end) = (entry.starting_lba, entry.ending_lba);
        let after = primary.used().filter(|(_, other)| other.starting_lba > start);
        if let Some((next, _)) = after.min_by_key(|(_, other)| other.starting_lba) {
            return Err(Error::NotLast { number, next });
        }
        let last_usable = self.last_usable_lba();
        let outside =
            |entry: &GPTPartitionEntry| entry.ending_lba > last_usable || entry.ending_lba < entry.starting_lba;
        if let Some((slot, entry)) = primary.used().find(|(_, entry)| outside(entry)) {
            let (start, end) = (entry.starting_lba, entry.ending_lba);
            return Err(Error::corrupt(
                format!("partition {slot}"),
                format!("starting_lba={start} ending_lba={end}, the disk's last usable sector is {last_usable}"),
            ));
        }
        let step = ALIGNMENT_BYTES / self.sector_size;
        Ok((entry, ((last_usable + 1) / step * step).saturating_sub(1).max(end)))
    }

    /// Zeroes the old backup, which is in the middle of the disk now, so that nobody takes it for the disk's.
    fn forget_old_backup(&self, primary: &Copy) -> Result<(), Error> {
        let old_lba = primary.header.backup_lba;
        let last_used = primary.used().map(|(_, entry)| entry.ending_lba).max().unwrap_or(0);
        let Some(first) = old_lba.checked_sub(self.entry_lbas()).filter(|&first| first > last_used) else {
            return Ok(());
        };
        if old_lba + 1 >= self.disk_lbas || !has_signature(&self.disk, self.sector_size, old_lba)? {
            return Ok(());
        }
        let length = (old_lba - first + 1) * self.sector_size;
        Ok(self.disk.write_at(first * self.sector_size, &vec![0; length as usize])?)
    }

    fn set_ending_lba(&mut self, number: u32, ending_lba: u64) -> Result<(), Error> {
        let at = (number as usize - 1) * ENTRY_BYTES as usize;
        let entry = self.entries.get_mut(at..).and_then(|rest| RawEntry::mut_from_prefix(rest).ok());
        entry.ok_or_else(|| no_partition(number))?.0.ending_lba.set(ending_lba);
        Ok(())
    }

    /// Writes both copies, the backup first.
    fn write(&mut self) -> Result<(), Error> {
        let last_lba = self.disk_lbas - 1;
        let primary_entries = self.header.partition_entry_lba.get();
        let last_usable_lba = self.last_usable_lba();
        self.header.last_usable_lba.set(last_usable_lba);
        self.header.partition_entry_array_crc32.set(crc32(&self.entries));
        self.write_copy(last_lba, 1, last_usable_lba + 1)?;
        self.write_copy(1, last_lba, primary_entries)
    }

    fn write_copy(&mut self, my_lba: u64, alternate_lba: u64, entries_lba: u64) -> Result<(), Error> {
        self.header.my_lba.set(my_lba);
        self.header.alternate_lba.set(alternate_lba);
        self.header.partition_entry_lba.set(entries_lba);
        self.header.header_crc32.set(0);
        let crc = crc32(self.header.as_bytes());
        self.header.header_crc32.set(crc);
        self.disk.write_at(entries_lba * self.sector_size, &self.entries)?;
        let sector = [self.header.as_bytes(), &self.header_rest].concat();
        Ok(self.disk.write_at(my_lba * self.sector_size, &sector)?)
    }
}

/// CRC-32 as UEFI has it: polynomial 0x04C11DB7, reflected.
pub(crate) fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc: u32, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the CRC catalogue for the nine digits: CRC-32/ISO-HDLC.
    #[test]
    fn the_catalogue_agrees() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
