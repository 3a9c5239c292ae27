//! What is wrong with a disk that an MBR divides.

use std::ops::Range;

use storage::{Finding, ReadAt};

use crate::Error;
use crate::ebr::{Division, Record, outside};
use crate::mbr::SECTOR_BYTES;

/// Lists what is wrong with the partitions of an MBR without a GPT.
pub(crate) fn check(disk: &dyn ReadAt) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let division = match Division::read(disk) {
        Ok(division) => division,
        Err(Error::Corrupt { object, problem }) => return Ok(vec![Finding::new(object, problem)]),
        Err(error) => return Err(error),
    };
    if let Some(lba) = division.missing {
        findings.push(Finding::new(Record::object(lba), "it has no signature, and logical partitions may be missing"));
    }
    let disk_lbas = disk.size_bytes() / SECTOR_BYTES;
    for slot in &division.partitions {
        let is_logical = slot.said_in != 0;
        if slot.end() > disk_lbas
            && let Error::Corrupt { object, problem } = outside(slot, disk)
        {
            findings.push(Finding::new(object, problem));
        } else if let Some(extended) = division.extended.filter(|_| is_logical)
            && (slot.first < extended.first || slot.end() > extended.end())
        {
            let problem = format!("it is not inside partition {}, the extended one", extended.number);
            findings.push(Finding::new(slot.object(), problem));
        }
    }
    let primary = division.partitions.iter().filter(|slot| slot.said_in == 0).chain(&division.extended);
    check_overlaps(primary.map(|slot| (slot.object(), slot.first..slot.end())).collect(), &mut findings);
    let records = division.records.iter().map(|record| (Record::object(record.lba), record.lba..record.lba + 1));
    let logical = division.logical().map(|slot| (slot.object(), slot.first..slot.end()));
    check_overlaps(logical.chain(records).collect(), &mut findings);
    Ok(findings)
}

/// Finds what begins inside something else.
fn check_overlaps(mut all: Vec<(String, Range<u64>)>, findings: &mut Vec<Finding>) {
    all.sort_by_key(|(_, range)| (range.start, range.end));
    // Against the one that reaches furthest so far, which need not be the neighbour.
    let mut furthest: Option<(String, u64)> = None;
    for (object, range) in all {
        if let Some((other, end)) = furthest.as_ref().filter(|(_, end)| range.start < *end) {
            let (first, last) = (range.start, end - 1);
            let problem = format!("it starts in sector {first}, inside {other}, which ends in sector {last}");
            findings.push(Finding::new(object.as_str(), problem));
        }
        if furthest.as_ref().is_none_or(|(_, end)| range.end > *end) {
            furthest = Some((object, range.end));
        }
    }
}
