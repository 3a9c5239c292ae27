//! The first sector of a GPT disk that has grown: its protective record covers the disk, and the records
//! beside it (hybrid) say what the GPT says.

use storage::WriteAt;
use zerocopy::IntoBytes;

use crate::Error;
use crate::mbr::{GPT_PROTECTIVE, RawMbr, RawRecord, cylinder_head_sector};

/// What has grown on a GPT disk, in the sectors of the disk.
pub(crate) struct Growth {
    /// The partition's first sector, which stays.
    pub(crate) first_lba: u64,
    /// Where it ended, and where it ends: the sector after its last.
    pub(crate) partition_end: [u64; 2],
    /// How many sectors the disk had, and how many it has.
    pub(crate) disk_lbas: [u64; 2],
}

/// Adjusts the first sector after a growth. A record that did not agree with the GPT stays as it is.
pub(crate) fn follow(disk: &dyn WriteAt, growth: &Growth) -> Result<(), Error> {
    let old = RawMbr::read(&disk, 0)?;
    let mut new = old.clone();
    let used = new.partition_record.iter().filter(|record| record.os_type != 0).count();
    if used == 1 {
        if let Some(record) = new.partition_record.iter_mut().find(|record| record.os_type == GPT_PROTECTIVE)
            && record.starting_lba.get() == 1
        {
            cover(record, 1, growth.disk_lbas[1], [0xff; 3]);
        }
    } else {
        new.partition_record.iter_mut().for_each(|record| follow_hybrid(record, growth));
    }
    if old.as_bytes() == new.as_bytes() {
        return Ok(());
    }
    Ok(disk.write_at(0, new.as_bytes())?)
}

/// Adjusts one of several records.
fn follow_hybrid(record: &mut RawRecord, growth: &Growth) {
    let (first, sectors) = record.range();
    let end = first + sectors;
    let [old_end, new_end] = growth.partition_end;
    let [old_disk, new_disk] = growth.disk_lbas;
    if record.os_type == GPT_PROTECTIVE {
        // One such record is before the partitions that have records, another after them.
        let new_first = if first >= old_end && first < new_end { new_end } else { first };
        let new_record_end = if end == old_disk { new_disk } else { end };
        if (new_first, new_record_end) != (first, end) && new_first < new_record_end {
            if let Ok(lba) = u32::try_from(new_first) {
                record.starting_lba.set(lba);
                record.starting_chs = cylinder_head_sector(new_first).unwrap_or([0xff; 3]);
            }
            cover(record, new_first, new_record_end, [0xff; 3]);
        }
    } else if record.is_used() && (first, end) == (growth.first_lba, old_end) && new_end != old_end {
        cover(record, first, new_end, BEYOND_CYLINDERS);
    }
}

/// What tools write in place of an old address where a partition's end has no such address.
pub(crate) const BEYOND_CYLINDERS: [u8; 3] = [0xfe, 0xff, 0xff];

/// Makes a record reach from sector `first` to the one before `end`, as far as it can count. `beyond` stands for an end
/// that has no old address.
pub(crate) fn cover(record: &mut RawRecord, first: u64, end: u64, beyond: [u8; 3]) {
    record.size_in_lba.set(u32::try_from(end - first).unwrap_or(u32::MAX));
    record.ending_chs = cylinder_head_sector(end - 1).unwrap_or(beyond);
}
