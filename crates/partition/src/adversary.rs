//! Structure that is built to hurt: tables that overlap, come back to themselves, claim more than there is.
//!
//! The limit of each is below: no table takes longer, whatever it says, or more memory than `MAX_ENTRIES`
//! entries and `MAX_RECORDS` records need.

use std::time::{Duration, Instant};

use gptman::GPT;
use storage::{Finding, Memory, ReadAt, Window};

use crate::{Error, Table, check, grow, read};

/// A thousand times what it takes, so that only a missing bound is found.
const LIMIT: Duration = Duration::from_secs(10);

const SECTOR: usize = 512;

/// A disk of 2 MiB with an extended partition from sector 8 to its end, as partition 1.
struct Disk(Vec<u8>);

impl Disk {
    fn new() -> Self {
        let mut disk = Self(vec![0; 2 << 20]);
        disk.entry(0, 0, 0x05, 8, 4088);
        disk
    }

    /// Writes an entry of the record in the sector `lba`, and signs that.
    fn entry(&mut self, lba: usize, index: usize, os_type: u8, first: u32, sectors: u32) {
        let at = lba * SECTOR + 446 + index * 16;
        self.0[at + 4] = os_type;
        self.0[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        self.0[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
        self.0[lba * SECTOR + 510..][..2].copy_from_slice(&[0x55, 0xaa]);
    }

    /// A record in sector `lba` with a partition in the sector after it, and a link to the one in sector `next`.
    fn record(&mut self, lba: usize, next: Option<usize>) {
        self.entry(lba, 0, 0x83, 1, 1);
        if let Some(next) = next {
            self.entry(lba, 1, 0x05, next.wrapping_sub(8) as u32, 2);
        }
    }

    fn refused(self) -> String {
        timed(self.0).0.unwrap_err().to_string()
    }
}

/// What reading, checking and growing say, under the limit.
fn timed(bytes: Vec<u8>) -> (Result<Table, Error>, Result<Vec<Finding>, Error>) {
    let disk = Memory::from(bytes);
    let start = Instant::now();
    let (table, findings) = (read(&disk), check(&disk));
    if let Ok(table) = &table {
        assert!(table.partitions().len() <= 1024);
        for partition in table.partitions() {
            assert!(Window::new(&disk, partition.first_byte, partition.size_bytes).is_ok());
        }
    }
    for number in [1, 5, 6, u32::MAX] {
        let _ = grow(&disk, number);
    }
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    (table, findings)
}

#[test]
fn a_chain_that_comes_back_is_refused_where_it_does() {
    let mut to_itself = Disk::new();
    to_itself.record(8, Some(8));
    assert_eq!(
        to_itself.refused(),
        "extended boot record in sector 8: the chain of logical partitions comes back to it"
    );
    let mut circle = Disk::new();
    circle.record(8, Some(20));
    circle.record(20, Some(30));
    circle.record(30, Some(20));
    let found = check(&Memory::from(circle.0.clone())).unwrap();
    assert_eq!(found[0].object, "extended boot record in sector 20");
    assert_eq!(circle.refused(), "extended boot record in sector 20: the chain of logical partitions comes back to it");
}

#[test]
fn a_chain_that_goes_backwards_is_read_in_its_order() {
    let mut disk = Disk::new();
    disk.record(8, Some(40));
    disk.record(40, Some(20));
    disk.record(20, None);
    let (table, findings) = timed(disk.0);
    let places: Vec<(u32, u64)> = table.unwrap().partitions().iter().map(|p| (p.number, p.first_byte / 512)).collect();
    assert_eq!(places, [(5, 9), (6, 41), (7, 21)]);
    assert_eq!(findings.unwrap(), []);
}

#[test]
fn a_chain_that_leaves_the_extended_partition_is_refused() {
    for next in [0, 7, 4096, usize::from(u16::MAX), u32::MAX as usize] {
        let mut disk = Disk::new();
        disk.record(8, Some(next));
        let said = disk.refused();
        assert!(said.ends_with("it is not inside partition 1, the extended one"), "{next}: {said}");
    }
}

#[test]
fn a_flood_of_logical_partitions_ends_at_256() {
    let chain = |length: usize| {
        let mut disk = Disk::new();
        for at in 0..length {
            disk.record(8 + 2 * at, (at + 1 < length).then_some(10 + 2 * at));
        }
        disk
    };
    let (table, findings) = timed(chain(256).0);
    assert_eq!((table.unwrap().partitions().len(), findings.unwrap()), (256, Vec::new()));
    assert_eq!(chain(257).refused(), "a chain of more than 256 logical partitions is not supported");
    assert_eq!(chain(2000).refused(), "a chain of more than 256 logical partitions is not supported");
    // Links alone: there is no partition to count.
    let mut links = Disk::new();
    (8..4000).for_each(|lba| links.entry(lba, 0, 0x0f, lba as u32 - 7, 1));
    assert_eq!(links.refused(), "a chain of more than 256 logical partitions is not supported");
}

#[test]
fn records_that_claim_more_than_there_is_are_refused() {
    let mut past_end = Disk::new();
    past_end.entry(8, 0, 0x83, u32::MAX, u32::MAX);
    assert!(past_end.refused().ends_with("are not inside the disk's 4096"));
    let mut extended = Disk::new();
    extended.entry(0, 0, 0x05, 8, u32::MAX);
    assert!(extended.refused().ends_with("are not inside the disk's 4096"));
    let mut two = Disk::new();
    two.entry(0, 3, 0x0f, 8, 8);
    assert_eq!(two.refused(), "an MBR with two extended partitions is not supported");
    let mut full = Disk::new();
    (0..4).for_each(|index| full.entry(8, index, 0x83, 1, 1));
    assert!(full.refused().contains("more than one partition and one link"));
    let mut inside_out = Disk::new();
    inside_out.entry(8, 0, 0x83, 0, 1);
    let (table, findings) = timed(inside_out.0);
    assert!(table.is_ok() && findings.unwrap()[0].problem.contains("starts in sector 8, inside"));
}

#[test]
fn a_chain_without_its_end_is_a_finding_and_does_not_grow() {
    let mut disk = Disk::new();
    disk.record(8, Some(40));
    let memory = Memory::from(disk.0.clone());
    assert_eq!(read(&memory).unwrap().partitions().len(), 1);
    let missing = "extended boot record in sector 40: it has no signature";
    assert!(check(&memory).unwrap()[0].to_string().starts_with(missing));
    assert_eq!(grow(&memory, 5).unwrap_err().to_string(), missing);
    let mut bytes = vec![0; disk.0.len()];
    memory.read_at(0, &mut bytes).unwrap();
    assert!(bytes == disk.0, "a refusal writes nothing");
}

/// A GPT of `slots` partitions; `range` gives the first and the last sector of each.
fn gpt(sectors: u64, slots: u32, range: impl Fn(u32) -> (u64, u64)) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(vec![0; sectors as usize * SECTOR]);
    let mut gpt = GPT::new_from(&mut bytes, 512, [7; 16]).unwrap();
    gpt.write_into(&mut bytes).unwrap();
    GPT::write_protective_mbr_into(&mut bytes, 512).unwrap();
    let mut bytes = bytes.into_inner();
    // `gptman` writes no partitions that overlap.
    let entries = (1..=slots).flat_map(|number| {
        let (first, last) = range(number);
        let mut entry = [0; 128];
        entry[..32].fill(number as u8);
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        entry
    });
    let mut entries: Vec<u8> = entries.collect();
    entries.resize(128 * 128, 0);
    for (header, array) in [(SECTOR, 2 * SECTOR), (bytes.len() - SECTOR, bytes.len() - 33 * SECTOR)] {
        bytes[array..][..entries.len()].copy_from_slice(&entries);
        bytes[header + 88..header + 92].copy_from_slice(&crate::grow::crc32(&entries).to_le_bytes());
        seal(&mut bytes, header);
    }
    bytes
}

/// Makes the checksum of a header right.
fn seal(bytes: &mut [u8], header: usize) {
    bytes[header + 16..header + 20].fill(0);
    let crc = crate::grow::crc32(&bytes[header..header + 92]);
    bytes[header + 16..header + 20].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn gpt_partitions_that_all_overlap_are_found_once_each() {
    let (table, findings) = timed(gpt(4096, 128, |number| (40 + u64::from(number), 4000)));
    assert_eq!(table.unwrap().partitions().len(), 128);
    assert_eq!(findings.unwrap().iter().filter(|finding| finding.problem.contains("inside partition")).count(), 127);
}

#[test]
fn gpt_headers_that_claim_more_than_there_is_are_refused_before_memory_is_reserved() {
    let good = gpt(4096, 1, |_| (40, 4000));
    // number_of_partition_entries, size_of_partition_entry, partition_entry_lba: past the end, and over itself.
    for (at, value) in [(80, u64::from(u32::MAX)), (80, 1025), (84, u64::from(u32::MAX)), (72, u64::MAX), (72, 4095)] {
        let mut bytes = good.clone();
        for header in [SECTOR, bytes.len() - SECTOR] {
            let size = if at == 72 { 8 } else { 4 };
            bytes[header + at..][..size].copy_from_slice(&value.to_le_bytes()[..size]);
            seal(&mut bytes, header);
        }
        let (table, findings) = timed(bytes);
        assert!(table.is_err(), "{at}: {value}");
        assert!(findings.is_err() || !findings.unwrap().is_empty(), "{at}: {value}");
    }
}

#[test]
fn records_of_a_hybrid_with_the_largest_numbers_are_left_alone() {
    let mut bytes = gpt(4096, 1, |_| (2048, 3000));
    for index in 1..4 {
        let at = 446 + index * 16;
        bytes[at + 4] = [0xee, 0x83, 0xee, 0x07][index];
        bytes[at + 8..at + 16].fill(0xff);
    }
    let records = bytes[446 + 16..510].to_vec();
    bytes.resize(8 << 20, 0);
    let disk = Memory::from(bytes);
    grow(&disk, 1).unwrap();
    let mut after = vec![0; 48];
    disk.read_at(446 + 16, &mut after).unwrap();
    assert_eq!(after, records);
}
