//! The last partition of an MBR takes the room that a larger disk has.

use storage::WriteAt;
use zerocopy::IntoBytes;

use crate::Error;
use crate::ebr::{Division, Record, Slot};
use crate::grow::{ALIGNMENT_BYTES, no_partition};
use crate::mbr::{RawMbr, SECTOR_BYTES};
use crate::protective::{BEYOND_CYLINDERS, cover};

/// An MBR cannot say more: 2 TiB.
const MAX_LBAS: u64 = u32::MAX as u64;

/// Makes partition `number` end where the disk does, aligned to 1 MiB. For a logical partition, the extended partition
/// and the link to it grow as well.
pub(crate) fn grow(disk: &dyn WriteAt, number: u32) -> Result<(), Error> {
    let division = Division::read(&disk)?;
    let partition = division.partitions.iter().find(|slot| slot.number == number);
    let partition = partition.ok_or_else(|| no_partition(number))?;
    check_last(&division, partition)?;
    let disk_lbas = disk.size_bytes() / SECTOR_BYTES;
    if let Some(slot) = division.partitions.iter().find(|slot| slot.end() > disk_lbas) {
        return Err(crate::ebr::outside(slot, &disk));
    }
    let step = ALIGNMENT_BYTES / SECTOR_BYTES;
    let end = disk_lbas.min(MAX_LBAS) / step * step;
    if end <= partition.end() {
        return Ok(());
    }
    // From the inside out, so that a change that stops in between is not seen from outside.
    set_end(disk, partition.said_in, partition.index, partition.first, end)?;
    let Some(extended) = division.extended.filter(|_| partition.said_in != 0) else { return Ok(()) };
    let at = division.records.iter().position(|record| record.lba == partition.said_in);
    let before = at.and_then(|at| at.checked_sub(1)).and_then(|at| division.records.get(at));
    if let Some(Record { lba, link: Some(link) }) = before {
        set_end(disk, *lba, *link, partition.said_in, end)?;
    }
    set_end(disk, 0, extended.index, extended.first, end.max(extended.end()))
}

/// Fails where something lies after the partition.
fn check_last(division: &Division, partition: &Slot) -> Result<(), Error> {
    let number = partition.number;
    let own = division.extended.filter(|_| partition.said_in != 0).map(|extended| extended.number);
    let others = division.partitions.iter().chain(&division.extended);
    let after = others.filter(|other| other.first > partition.first && Some(other.number) != own);
    if let Some(next) = after.min_by_key(|other| other.first) {
        return Err(Error::NotLast { number, next: next.number });
    }
    if let Some(record) = division.records.iter().find(|record| record.lba >= partition.first) {
        let problem = format!("it is inside or after partition {number}, which cannot grow over it");
        return Err(Error::corrupt(Record::object(record.lba), problem));
    }
    match division.missing {
        Some(lba) => Err(Error::corrupt(Record::object(lba), "it has no signature")),
        None => Ok(()),
    }
}

/// Changes a record in the sector `said_in`, of what begins in sector `first`, so that it ends before sector `end`.
fn set_end(disk: &dyn WriteAt, said_in: u64, index: usize, first: u64, end: u64) -> Result<(), Error> {
    let mut raw = RawMbr::read(&disk, said_in)?;
    cover(&mut raw.partition_record[index], first, end, BEYOND_CYLINDERS);
    Ok(disk.write_at(said_in * SECTOR_BYTES, raw.as_bytes())?)
}
