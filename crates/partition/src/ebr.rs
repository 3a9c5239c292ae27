//! A disk that an MBR divides: its four records, and the chain of extended boot records that lists the logical
//! partitions.
//!
//! An MBR has four records. One of them can be of an extended partition, and each logical partition in it has a sector
//! like the MBR of its own. On the example's disk ([`mbr`](crate::mbr)) the extended partition begins in sector 34816:
//!
//! ```text
//! sector 34816  0x1be  83, starting_lba = 2048, 16,384 sectors    counted from this sector: partition 5 is at 36864
//!               0x1ce  05, starting_lba = 18432, 10,240 sectors   counted from 34816: the next record is in 53248
//! sector 53248  0x1be  82, starting_lba = 2048, 8,192 sectors     counted from this sector: partition 6 is at 55296
//!               0x1ce  zeros: the chain ends
//! ```
//!
//! A partition is counted from the record that describes it, a link to the next record from the start of the extended
//! partition. Numbers are as in Linux: partitions of the MBR have those of their records, 1 to 4, and logical ones
//! follow from 5 on in the order of the chain. A chain can be damaged so that it comes back to itself; links are
//! followed at most 256 times.

use std::collections::BTreeSet;

use storage::ReadAt;

use crate::Error;
use crate::mbr::{RawMbr, SECTOR_BYTES};

/// The most links that are followed. Linux has at most 256 partitions on a disk, `fdisk` makes 60.
const MAX_RECORDS: usize = 256;
/// The number of the first logical partition.
const FIRST_LOGICAL: u32 = 5;

/// The disk's partitions. Sectors are counted from the start of the disk.
#[derive(Debug)]
pub(crate) struct Division {
    pub(crate) disk_signature: u32,
    /// The partitions that can have a file system, in the order of their numbers.
    pub(crate) partitions: Vec<Slot>,
    /// The one that has the logical ones in it.
    pub(crate) extended: Option<Slot>,
    /// The extended boot records, in the order of the chain.
    pub(crate) records: Vec<Record>,
    /// Where the chain leads, but there is no record. Linux ends the chain there.
    pub(crate) missing: Option<u64>,
}

/// A partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) number: u32,
    pub(crate) os_type: u8,
    pub(crate) first: u64,
    pub(crate) sectors: u64,
    /// The sector with its record: the MBR's, or an extended boot record's.
    pub(crate) said_in: u64,
    /// Which of the four there.
    pub(crate) index: usize,
}

impl Slot {
    /// The sector after it.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.sectors
    }

    pub(crate) fn object(&self) -> String {
        format!("partition {}", self.number)
    }
}

/// An extended boot record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) lba: u64,
    /// Which of its four is the link to the next.
    pub(crate) link: Option<usize>,
}

impl Record {
    pub(crate) fn object(lba: u64) -> String {
        format!("extended boot record in sector {lba}")
    }
}

impl Division {
    /// Reads what an MBR with partitions in it says, and follows the chain.
    pub(crate) fn read(disk: &dyn ReadAt) -> Result<Self, Error> {
        let mbr = RawMbr::read(disk, 0)?;
        let disk_signature = mbr.unique_mbr_signature.get();
        let mut division =
            Self { disk_signature, partitions: Vec::new(), extended: None, records: Vec::new(), missing: None };
        for (index, record) in mbr.partition_record.iter().enumerate().filter(|(_, record)| record.is_used()) {
            let (first, sectors) = record.range();
            let number = index as u32 + 1;
            let slot = Slot { number, os_type: record.os_type, first, sectors, said_in: 0, index };
            if !record.is_extended() {
                division.partitions.push(slot);
            } else if division.extended.replace(slot).is_some() {
                return Err(Error::unsupported("an MBR with two extended partitions"));
            }
        }
        if let Some(extended) = division.extended {
            if extended.end() > disk.size_bytes() / SECTOR_BYTES {
                return Err(outside(&extended, disk));
            }
            division.follow_chain(disk, &extended)?;
        }
        Ok(division)
    }

    fn follow_chain(&mut self, disk: &dyn ReadAt, extended: &Slot) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        let mut next = Some(extended.first);
        while let Some(lba) = next {
            if !(extended.first..extended.end()).contains(&lba) {
                let problem = format!("it is not inside partition {}, the extended one", extended.number);
                return Err(Error::corrupt(Record::object(lba), problem));
            }
            if !seen.insert(lba) {
                return Err(Error::corrupt(Record::object(lba), "the chain of logical partitions comes back to it"));
            }
            if seen.len() > MAX_RECORDS {
                return Err(Error::unsupported(format!("a chain of more than {MAX_RECORDS} logical partitions")));
            }
            let raw = RawMbr::read(disk, lba)?;
            if !raw.is_signed() {
                // An extended partition without a logical one may have nothing in it.
                self.missing = (lba != extended.first).then_some(lba);
                return Ok(());
            }
            let link = self.take(&raw, lba)?;
            next = link.map(|index| extended.first + raw.partition_record[index].range().0);
            self.records.push(Record { lba, link });
        }
        Ok(())
    }

    /// Takes the partition of an extended boot record, and gives the index of the link.
    fn take(&mut self, raw: &RawMbr, lba: u64) -> Result<Option<usize>, Error> {
        let mut link = None;
        let mut partition = None;
        for (index, record) in raw.partition_record.iter().enumerate() {
            let (first, sectors) = record.range();
            if sectors == 0 {
                continue;
            }
            let taken = if record.is_extended() {
                link.replace(index).is_some()
            } else {
                let number = FIRST_LOGICAL + self.logical().count() as u32;
                let first = lba + first;
                let slot = Slot { number, os_type: record.os_type, first, sectors, said_in: lba, index };
                partition.replace(slot).is_some()
            };
            if taken || index > 1 {
                let problem = "it has more than one partition and one link in its first two entries";
                return Err(Error::corrupt(Record::object(lba), problem));
            }
        }
        self.partitions.extend(partition);
        Ok(link)
    }

    pub(crate) fn logical(&self) -> impl Iterator<Item = &Slot> {
        self.partitions.iter().filter(|slot| slot.said_in != 0)
    }
}

/// The error for a partition that is not inside the disk.
pub(crate) fn outside(slot: &Slot, disk: &dyn ReadAt) -> Error {
    let (first, last) = (slot.first, slot.end() - 1);
    let sectors = disk.size_bytes() / SECTOR_BYTES;
    Error::corrupt(slot.object(), format!("its sectors, {first} to {last}, are not inside the disk's {sectors}"))
}
