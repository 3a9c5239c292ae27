//! VMDK: directories that share a table, and tables that share a grain.

use image::Image;
use storage::Memory;

use crate::{not_converted, within_limit};

const SECTOR: u64 = 512;
const TABLE: u64 = 512 * 4;
const DESCRIPTOR: &str = "# Disk DescriptorFile\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\n";

/// A `monolithicSparse` file: the header, the descriptor, and from sector 2 on the directory with these entries,
/// then `rest`, whose first sector the entries are counted from.
fn image(grain_sectors: u64, directory: impl ExactSizeIterator<Item = u64>, rest: &[u8]) -> Vec<u8> {
    let capacity = directory.len() as u64 * 512 * grain_sectors;
    let rest_sector = 2 + (directory.len() as u64 * 4).div_ceil(SECTOR);
    let mut bytes = b"KDMV\x01\0\0\0\0\0\0\0".to_vec();
    bytes.extend([capacity, grain_sectors, 1, 1].map(u64::to_le_bytes).concat());
    bytes.extend(512u32.to_le_bytes());
    bytes.extend([0, 2, rest_sector].map(u64::to_le_bytes).concat());
    bytes.resize(SECTOR as usize, 0);
    bytes.extend(DESCRIPTOR.as_bytes());
    bytes.resize(2 * SECTOR as usize, 0);
    for sector in directory {
        bytes.extend(((rest_sector + sector) as u32).to_le_bytes());
    }
    bytes.resize((rest_sector * SECTOR) as usize, 0);
    bytes.extend(rest);
    bytes
}

/// 32,768 entries that are one table, whose 512 entries are one grain: 1 TiB in 200 KiB.
#[test]
fn a_directory_of_one_table_is_not_converted_for_as_long_as_its_disk_is_large() {
    let grain_sector = 2 + 32768 * 4 / SECTOR + TABLE / SECTOR;
    let mut rest = (grain_sector as u32).to_le_bytes().repeat(512);
    rest.extend([0; 64 << 10]);
    let said = not_converted(image(128, (0..32768).map(|_| 0), &rest));
    assert_eq!(said, "corrupt VMDK grain table 0: sector=0x102 is shared with another table");
}

/// 8,192 tables of their own, of whose entries each is the same grain of 2 MiB: 8 TiB in 18 MiB.
#[test]
fn tables_of_one_grain_are_not_converted_for_as_long_as_their_disk_is_large() {
    let tables = 8192;
    let grain_sector = 2 + tables * 4 / SECTOR + tables * TABLE / SECTOR;
    let mut rest = (grain_sector as u32).to_le_bytes().repeat((tables * 512) as usize);
    rest.resize(rest.len() + (2 << 20), 0);
    let said = not_converted(image(4096, (0..tables as usize).map(|table| table as u64 * TABLE / SECTOR), &rest));
    assert!(said.starts_with("corrupt VMDK image: its tables claim 2147483648 bytes of data"), "{said}");
}

/// 65,536 tables at one sector each, whose entries all lead past the file's end: 33 million grains.
#[test]
fn grains_past_the_end_are_counted_and_not_described() {
    let rest = u32::MAX.to_le_bytes().repeat((65536 + 3) * SECTOR as usize / 4);
    let image = Image::open(Memory::from(image(8, (0..65536u32).map(u64::from), &rest)), None).unwrap();
    let found = within_limit(|| image.check().unwrap());
    let end = u64::from(u32::MAX) * SECTOR + 4096;
    let first = found[0].to_string();
    assert!(first.contains(&format!(" of {end} bytes: it was cut off, or 33554432 references are wrong")), "{first}");
    assert_eq!(found.len(), 11);
}
