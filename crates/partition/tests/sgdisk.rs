//! GPTs that `sgdisk` wrote, whole and damaged, and what `sgdisk -v` thinks of the same bytes.

#![allow(clippy::unwrap_used, reason = "in tests, helpers included")]

use std::path::Path;

use partition::{EFI_SYSTEM, Gpt, PartitionType, Table, check, read};
use proptest::prelude::*;
use storage::Memory;
use testkit::judge::{assert_sgdisk_clean, judge, sgdisk_is_content};

const SECTOR: usize = 512;
const DISK_BYTES: usize = 24 << 20;
const LAST_SECTOR: usize = DISK_BYTES / SECTOR - 1;
/// Offsets of fields in a header.
const MY_LBA: usize = 24;
const ALTERNATE_LBA: usize = 32;
const FIRST_USABLE_LBA: usize = 40;
const ENTRY_LBA: usize = 72;
const ENTRY_COUNT: usize = 80;
const ENTRY_SIZE: usize = 84;

/// A disk divided like Ubuntu's, in small.
fn noble(folder: &Path) -> Vec<u8> {
    let disk = folder.join("disk.raw");
    std::fs::File::create(&disk).unwrap().set_len(DISK_BYTES as u64).unwrap();
    let new = ["-n", "14:2048:10239", "-n", "15:10240:20479", "-n", "16:20480:30719", "-n", "1:30720:40959"];
    let types = ["-t", "14:EF02", "-t", "15:EF00", "-t", "16:EA00", "-t", "1:8300", "-c", "16:größe"];
    judge("sgdisk").args(new).args(types).arg(&disk).succeed();
    assert_sgdisk_clean(&disk);
    std::fs::read(disk).unwrap()
}

fn gpt(bytes: &[u8]) -> Gpt {
    match read(&Memory::from(bytes.to_vec())).unwrap() {
        Table::Gpt(gpt) => gpt,
        Table::None | Table::Mbr(_) => panic!("the GPT was not seen"),
    }
}

fn findings(bytes: &[u8]) -> Vec<String> {
    check(&Memory::from(bytes.to_vec())).unwrap().iter().map(ToString::to_string).collect()
}

fn set(bytes: &mut [u8], at: usize, value: u64, size: usize) {
    bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Makes both checksums of the copy at `header` right again.
fn seal(bytes: &mut [u8], header: usize) {
    let field = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[header + at..][..8].try_into().unwrap());
    let first = (field(bytes, ENTRY_LBA) as usize).saturating_mul(SECTOR);
    let length = (field(bytes, ENTRY_COUNT) as u32 as usize) * 128;
    if let Some(entries) = first.checked_add(length).and_then(|end| bytes.get(first..end)) {
        let crc = crc32(entries);
        set(bytes, header + 88, crc.into(), 4);
    }
    set(bytes, header + 16, 0, 4);
    let crc = crc32(&bytes[header..header + 92]);
    set(bytes, header + 16, crc.into(), 4);
}

fn sealed(bytes: &mut [u8], header: usize, at: usize, value: u64, size: usize) {
    set(bytes, header + at, value, size);
    seal(bytes, header);
}

const PRIMARY: usize = SECTOR;
const BACKUP: usize = LAST_SECTOR * SECTOR;
const BACKUP_ENTRIES: usize = (LAST_SECTOR - 32) * SECTOR;
/// Offset of an entry's first and last LBA in the primary array, which begins in sector 2.
const fn first_lba(array: usize, number: usize) -> usize {
    array + (number - 1) * 128 + 32
}

/// Changes entry `number` in both copies.
fn entry(bytes: &mut [u8], number: usize, first: u64, last: u64) {
    for array in [2 * SECTOR, BACKUP_ENTRIES] {
        set(bytes, first_lba(array, number), first, 8);
        set(bytes, first_lba(array, number) + 8, last, 8);
    }
    seal(bytes, PRIMARY);
    seal(bytes, BACKUP);
}

/// The line of `sgdisk -i` that begins with `name`.
fn said<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim()
}

#[test]
fn a_good_table_is_read_as_sgdisk_reads_it_and_has_no_finding() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = noble(folder.path());
    assert_eq!(findings(&bytes), [""; 0]);
    let gpt = gpt(&bytes);
    assert!(!gpt.from_backup && gpt.sector_size_bytes == 512);

    let disk = folder.path().join("disk.raw");
    let listed = judge("sgdisk").arg("-p").arg(&disk).succeed().stdout;
    assert_eq!(said(&listed, "Disk identifier (GUID):"), gpt.disk_guid.to_string().to_uppercase());
    let rows = listed.lines().skip_while(|line| !line.starts_with("Number")).skip(1);
    let numbers: Vec<u32> = rows.map(|row| row.split_whitespace().next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, [1, 14, 15, 16]);
    assert_eq!(numbers, gpt.partitions.iter().map(|partition| partition.number).collect::<Vec<_>>());
    for partition in &gpt.partitions {
        let text = judge("sgdisk").args(["-i", &partition.number.to_string()]).arg(&disk).succeed().stdout;
        assert!(said(&text, "Partition GUID code:").starts_with(&partition.kind.to_string().to_uppercase()));
        assert_eq!(said(&text, "Partition unique GUID:"), partition.partuuid.to_uppercase());
        let first = partition.first_byte / 512;
        assert!(said(&text, "First sector:").starts_with(&format!("{first} (")));
        assert!(said(&text, "Partition size:").starts_with(&format!("{} sectors", partition.size_bytes / 512)));
        assert_eq!(said(&text, "Partition name:"), format!("'{}'", partition.name));
    }
    let names: Vec<_> = gpt.partitions.iter().map(|partition| partition.kind.name().unwrap()).collect();
    assert_eq!(names, ["Linux filesystem", "BIOS boot", "EFI system partition", "Linux extended boot"]);
    assert_eq!(gpt.partition(15).unwrap().kind, PartitionType::Guid(EFI_SYSTEM));
    assert_eq!(gpt.partition(16).unwrap().name, "größe");
    assert_eq!(gpt.partition(2), None);
}

/// A kind of damage, what does it, and how one of our findings must begin.
type Damage = (&'static str, fn(&mut Vec<u8>), &'static str);

const DAMAGES: &[Damage] = &[
    ("no MBR", |b| b[510] = 0, "protective MBR: it is missing"),
    ("another MBR", |b| b[450] = 0x83, "protective MBR: it lists partitions"),
    ("a late MBR", |b| set(b, 454, 2, 4), "protective MBR: the protective partition starts at sector 2"),
    ("header CRC", |b| b[PRIMARY + 56] ^= 1, "GPT header: the stored CRC is 0x"),
    ("header signature", |b| b[PRIMARY] = 0, "GPT header: the signature is not"),
    ("backup CRC", |b| b[BACKUP + 56] ^= 1, "backup GPT header: the stored CRC is 0x"),
    ("entries CRC", |b| b[2 * SECTOR + 56] ^= 1, "entries of the GPT header: the stored CRC is 0x"),
    ("backup entries CRC", |b| b[BACKUP_ENTRIES + 56] ^= 1, "entries of the backup GPT header: the stored CRC is 0x"),
    ("my_lba", |b| sealed(b, PRIMARY, MY_LBA, 3, 8), "GPT header: my_lba=3, but it is in sector 1"),
    ("alternate_lba", |b| sealed(b, BACKUP, ALTERNATE_LBA, 3, 8), "backup GPT header: alternate_lba=3 is not"),
    ("usable", |b| sealed(b, BACKUP, FIRST_USABLE_LBA, 40, 8), "backup GPT header: its first_usable_lba is not"),
    ("grown", |b| b.resize(DISK_BYTES + (1 << 20), 0), "GPT header: alternate_lba=49151 is not the last sector, 51199"),
    ("cut", |b| b.truncate(DISK_BYTES - (1 << 20)), "backup GPT header: the signature is not"),
    ("overlap", |b| entry(b, 15, 10_239, 20_479), "partition 15: it starts in sector 10239, inside partition 14"),
    ("backwards", |b| entry(b, 15, 20_000, 19_999), "partition 15: starting_lba=20000 is after ending_lba=19999"),
    ("unusable", |b| entry(b, 14, 33, 10_239), "partition 14: its sectors, 33 to 10239, are not inside 34 to 49118"),
    ("outside", |b| entry(b, 1, 30_720, 49_152), "partition 1: ending_lba=49152 is past the disk's 49152 sectors"),
    ("GUID", |b| b[first_lba(2 * SECTOR, 15) - 16] ^= 1, "entries of the GPT header"),
];

#[test]
fn what_sgdisk_complains_of_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = noble(folder.path());
    let disk = folder.path().join("damaged.raw");
    for (name, damage, expected) in DAMAGES {
        let mut bytes = good.clone();
        damage(&mut bytes);
        let found = findings(&bytes);
        assert!(found.iter().any(|finding| finding.starts_with(expected)), "{name}: {found:#?}");
        std::fs::write(&disk, &bytes).unwrap();
        let (content, verdict) = sgdisk_is_content(&disk);
        assert!(!content, "{name}: {verdict}");
    }
}

#[test]
fn the_backup_serves_where_the_primary_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let good = noble(folder.path());
    for at in [PRIMARY, PRIMARY + 12, PRIMARY + 56, 2 * SECTOR + 40] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x80;
        assert_eq!(gpt(&bytes), Gpt { from_backup: true, ..gpt(&good) });
    }
    let mut bytes = good;
    bytes[PRIMARY + 56] ^= 1;
    bytes[BACKUP + 56] ^= 1;
    let error = read(&Memory::from(bytes)).unwrap_err();
    assert!(error.to_string().starts_with("GPT header: the stored CRC is 0x"), "{error}");
}

#[test]
fn hostile_counts_and_places_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let good = noble(folder.path());
    let cases = [
        (
            ENTRY_COUNT,
            u64::from(u32::MAX),
            4,
            "a GPT header with number_of_partition_entries=4294967295 is not supported",
        ),
        (ENTRY_COUNT, 0, 4, "GPT header: number_of_partition_entries=0"),
        (ENTRY_SIZE, 256, 4, "a GPT header with size_of_partition_entry=256 is not supported"),
        (ENTRY_SIZE, 0, 4, "a GPT header with size_of_partition_entry=0 is not supported"),
        (ENTRY_LBA, u64::MAX, 8, "GPT header: partition_entry_lba=18446744073709551615 is past the end of the disk"),
        (ENTRY_LBA, 49_151, 8, "GPT header: partition_entry_lba=49151 is past the end of the disk"),
        (12, 128, 4, "a GPT header of 128 bytes is not supported"),
    ];
    for (at, value, size, expected) in cases {
        let mut bytes = good.clone();
        set(&mut bytes, PRIMARY + at, value, size);
        set(&mut bytes, PRIMARY + 16, 0, 4);
        let crc = crc32(&bytes[PRIMARY..PRIMARY + 92]);
        set(&mut bytes, PRIMARY + 16, crc.into(), 4);
        bytes[BACKUP] = 0;
        assert_eq!(read(&Memory::from(bytes.clone())).unwrap_err().to_string(), expected);
        assert!(check(&Memory::from(bytes)).map_or(true, |found| !found.is_empty()));
    }
}

#[test]
fn sectors_of_4096_bytes_are_told_by_where_the_header_is() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk.raw");
    std::fs::File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    let script = folder.path().join("script");
    std::fs::write(&script, "g\nn\n1\n1024\n2047\nn\n15\n256\n1023\nw\n").unwrap();
    let script = std::fs::File::open(script).unwrap();
    judge("fdisk").args(["-w", "never", "-b", "4096"]).arg(&disk).stdin(script).succeed();
    let bytes = std::fs::read(disk).unwrap();
    assert_eq!(findings(&bytes), [""; 0]);
    let whole = gpt(&bytes);
    assert_eq!(whole.sector_size_bytes, 4096);
    let places: Vec<_> = whole.partitions.iter().map(|p| (p.number, p.first_byte, p.size_bytes)).collect();
    assert_eq!(places, [(1, 4 << 20, 4 << 20), (15, 1 << 20, 3 << 20)]);
    let mut damaged = bytes;
    damaged[4096] = 0;
    assert_eq!(gpt(&damaged), Gpt { from_backup: true, ..whole });
}

#[test]
fn a_disk_without_a_table_has_none() {
    let zeros = Memory::from(vec![0; 1 << 20]);
    assert_eq!(read(&zeros).unwrap(), Table::None);
    assert_eq!(check(&zeros).unwrap(), []);
    assert_eq!(read(&Memory::from(Vec::new())).unwrap(), Table::None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// With the checksums made right again, so that the values themselves are met.
    #[test]
    fn no_bytes_make_it_panic(
        changes in prop::collection::vec((0usize..3, 0usize..16_500, any::<u8>()), 1..6),
        reseal in any::<bool>(),
        cut in prop::option::of(0usize..40_000),
    ) {
        let mut bytes = small();
        for (place, at, value) in changes {
            // The MBR and header, the entries, the backup.
            let at = [at % 1024, 1024 + at, bytes.len() - 1 - at][place];
            bytes[at] = value;
        }
        if reseal {
            let backup = bytes.len() - SECTOR;
            seal(&mut bytes, PRIMARY);
            seal(&mut bytes, backup);
        }
        if let Some(cut) = cut {
            bytes.truncate(bytes.len() - cut);
        }
        let disk = Memory::from(bytes);
        if let Ok(Table::Gpt(gpt)) = read(&disk) {
            for partition in gpt.partitions {
                prop_assert!(partition.size_bytes > 0);
                prop_assert!(storage::Window::new(&disk, partition.first_byte, partition.size_bytes).is_ok());
            }
        }
        let _ = check(&disk);
    }

    /// Each bit of a header and of an entry is under a checksum.
    #[test]
    fn a_flipped_bit_is_found(copy in any::<bool>(), at in 0usize..92 + 16_384, bit in 0u32..8) {
        let mut bytes = small();
        let (header, entries) = if copy { (bytes.len() - SECTOR, bytes.len() - 33 * SECTOR) } else { (SECTOR, 2 * SECTOR) };
        let at = if at < 92 { header + at } else { entries + at - 92 };
        bytes[at] ^= 1 << bit;
        prop_assert!(!findings(&bytes).is_empty());
    }
}

/// The smallest disk with every part, made once.
fn small() -> Vec<u8> {
    static SMALL: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk.raw");
        std::fs::File::create(&disk).unwrap().set_len(128 << 10).unwrap();
        let new = ["-a", "1", "-n", "15:40:99", "-t", "15:EF00", "-n", "1:100:199", "-t", "1:8300"];
        judge("sgdisk").args(new).arg(&disk).succeed();
        let bytes = std::fs::read(disk).unwrap();
        assert_eq!(findings(&bytes), [""; 0]);
        bytes
    };
    SMALL.get_or_init(make).clone()
}
