use storage::{Finding, ReadAt};

use crate::gpt::{Copy, Which};
use crate::mbr::Mbr;
use crate::read::{Found, find};
use crate::{Error, check_mbr};

/// Checks the disk's partition table and lists what is wrong with it; changes nothing.
///
/// A disk without a table has nothing wrong with it.
///
/// # Errors
///
/// [`Error::Unsupported`] for a table of a shape that no tool writes; [`Error::Storage`].
pub fn check(disk: &dyn ReadAt) -> Result<Vec<Finding>, Error> {
    let mbr = Mbr::read(disk)?;
    let mut findings = Vec::new();
    let Some(Found { sector_size }) = find(disk, &mbr)? else {
        return match mbr {
            Mbr::None => Ok(findings),
            Mbr::Protective { .. } => {
                let problem = "there is a protective MBR, but no GPT header in sector 1 or the last one";
                Ok(vec![Finding::new("GPT header", problem)])
            }
            Mbr::Partitions => check_mbr::check(disk),
        };
    };
    let disk_lbas = disk.size_bytes() / sector_size;
    check_mbr(&mbr, disk_lbas, &mut findings);
    let primary = Copy::read(disk, sector_size, 1, Which::Primary);
    // The backup belongs in the last sector. Where the disk has grown, it is still where the primary says;
    // that this is not the last sector is a finding of its own.
    let said = primary.as_ref().ok().map(|copy| copy.header.backup_lba);
    let backup_lba = said.filter(|&lba| lba > 1 && lba < disk_lbas).unwrap_or(disk_lbas - 1);
    let backup = Copy::read(disk, sector_size, backup_lba, Which::Backup);
    if backup.is_err() && matches!(primary, Err(Error::Unsupported { .. })) {
        return primary.map(|_| findings);
    }
    let primary = report(primary, Which::Primary, &mut findings)?;
    let backup = report(backup, Which::Backup, &mut findings)?;
    if let Some(primary) = &primary {
        check_places(primary, Which::Primary, 1, disk_lbas - 1, sector_size, disk_lbas, &mut findings);
    }
    if let Some(backup) = &backup {
        check_places(backup, Which::Backup, backup_lba, 1, sector_size, disk_lbas, &mut findings);
    }
    if let (Some(primary), Some(backup)) = (&primary, &backup) {
        check_agreement(primary, backup, &mut findings);
    }
    if let Some(copy) = primary.or(backup) {
        check_partitions(&copy, disk_lbas, &mut findings);
    }
    Ok(findings)
}

fn check_mbr(mbr: &Mbr, disk_lbas: u64, findings: &mut Vec<Finding>) {
    let problem = match *mbr {
        Mbr::None => "it is missing, and Linux sees no GPT without it".to_owned(),
        Mbr::Partitions => "it lists partitions, but not the protective one of type 0xee".to_owned(),
        Mbr::Protective { starting_lba, .. } if starting_lba != 1 => {
            format!("the protective partition starts at sector {starting_lba}, not 1")
        }
        Mbr::Protective { size_in_lba, .. } if size_in_lba != u32::MAX && u64::from(size_in_lba) >= disk_lbas => {
            format!("the protective partition has {size_in_lba} sectors from 1 on, the disk has {disk_lbas}")
        }
        Mbr::Protective { .. } => return,
    };
    findings.push(Finding::new("protective MBR", problem));
}

/// The copy if it could be read; if not, a finding says why.
fn report(copy: Result<Copy, Error>, which: Which, findings: &mut Vec<Finding>) -> Result<Option<Copy>, Error> {
    match copy {
        Ok(copy) => return Ok(Some(copy)),
        Err(Error::Corrupt { object, problem }) => findings.push(Finding::new(object, problem)),
        Err(error @ Error::Unsupported { .. }) => findings.push(Finding::new(which.to_string(), error.to_string())),
        Err(error @ (Error::Storage(_) | Error::NotLast { .. })) => return Err(error),
    }
    Ok(None)
}

/// The header's own position, the other copy's, and the room for the entries.
fn check_places(
    copy: &Copy,
    which: Which,
    my_lba: u64,
    other_lba: u64,
    sector_size: u64,
    disk_lbas: u64,
    findings: &mut Vec<Finding>,
) {
    let header = &copy.header;
    let mut find = |problem: String| findings.push(Finding::new(which.to_string(), problem));
    // `gptman` calls them primary_lba and backup_lba in both copies.
    if header.primary_lba != my_lba {
        find(format!("my_lba={}, but it is in sector {my_lba}", header.primary_lba));
    }
    if header.backup_lba != other_lba {
        let place = if which == Which::Primary { "the last sector" } else { "the primary's sector" };
        find(format!("alternate_lba={} is not {place}, {other_lba}", header.backup_lba));
    }
    let (first, last) = (header.first_usable_lba, header.last_usable_lba);
    if first > last.saturating_add(1) || last >= disk_lbas {
        find(format!("first_usable_lba={first} last_usable_lba={last} do not fit the disk's {disk_lbas} sectors"));
    }
    let entries_first = header.partition_entry_lba;
    let entries_end = entries_first + (copy.entries.len() as u64 * 128).div_ceil(sector_size);
    let fits = match which {
        Which::Primary => entries_first >= 2 && entries_end <= first,
        Which::Backup => entries_first > last && entries_end <= my_lba,
    };
    if !fits {
        let last_entry = entries_end - 1;
        find(format!("the entries, in sectors {entries_first} to {last_entry}, overlap something else"));
    }
}

fn check_agreement(primary: &Copy, backup: &Copy, findings: &mut Vec<Finding>) {
    let (ours, theirs) = (&primary.header, &backup.header);
    let mut compare = |name: &str, same: bool| {
        if !same {
            findings.push(Finding::new("backup GPT header", format!("its {name} is not the primary's")));
        }
    };
    compare("disk_guid", ours.disk_guid == theirs.disk_guid);
    compare("first_usable_lba", ours.first_usable_lba == theirs.first_usable_lba);
    compare("last_usable_lba", ours.last_usable_lba == theirs.last_usable_lba);
    compare("number_of_partition_entries", primary.entries.len() == backup.entries.len());
    for (number, (entry, copy)) in (1u32..).zip(primary.entries.iter().zip(&backup.entries)) {
        if entry != copy {
            findings.push(Finding::new(format!("partition {number}"), "its entry in the backup differs"));
        }
    }
}

fn check_partitions(copy: &Copy, disk_lbas: u64, findings: &mut Vec<Finding>) {
    let (first_usable, last_usable) = (copy.header.first_usable_lba, copy.header.last_usable_lba);
    let mut sorted = Vec::new();
    for (number, entry) in copy.used() {
        let (first, last) = (entry.starting_lba, entry.ending_lba);
        let object = format!("partition {number}");
        if first > last {
            findings.push(Finding::new(object, format!("starting_lba={first} is after ending_lba={last}")));
            continue;
        }
        if last >= disk_lbas {
            findings.push(Finding::new(object, format!("ending_lba={last} is past the disk's {disk_lbas} sectors")));
        } else if first < first_usable || last > last_usable {
            let problem = format!("its sectors, {first} to {last}, are not inside {first_usable} to {last_usable}");
            findings.push(Finding::new(object, problem));
        }
        sorted.push((first, last, number));
    }
    sorted.sort_unstable();
    // Against the one that reaches furthest so far, which need not be the neighbour.
    let mut furthest: Option<(u64, u32)> = None;
    for (first, last, number) in sorted {
        if let Some((end, other)) = furthest.filter(|&(end, _)| first <= end) {
            let problem = format!("it starts in sector {first}, inside partition {other}, which ends in sector {end}");
            findings.push(Finding::new(format!("partition {number}"), problem));
        }
        if furthest.is_none_or(|(end, _)| last > end) {
            furthest = Some((last, number));
        }
    }
}
