//! Partitions of an image, extracted with `qemu-img` and `sgdisk` for judges that need a file.

use std::ops::Range;
use std::path::Path;

use crate::judge::{assert_e2fsck_clean, assert_fsck_vfat_clean, assert_sgdisk_clean, judge};

/// What holds both copies of a GPT's primary half, and no more than that.
const TABLE_BYTES: u64 = 1 << 20;

/// Writes the guest's disk of an image of any format to a raw file.
pub fn extract_disk(image: &Path, target: &Path) {
    judge("qemu-img").args(["convert", "-O", "raw"]).args([image, target]).succeed();
}

/// Writes a range of bytes of the guest's disk of an image of any format to a raw file.
pub fn extract_range(image: &Path, range: &Range<u64>, target: &Path) {
    let format = format_of(image);
    let name = image.to_str().expect("the image's path is UTF-8").replace(',', ",,");
    let length = range.end - range.start;
    let place = format!(
        "driver=raw,offset={},size={length},file.driver={format},file.file.driver=file,file.file.filename={name}",
        range.start
    );
    judge("qemu-img").args(["convert", "-O", "raw", "--image-opts", &place]).arg(target).succeed();
}

/// The bytes of the guest's disk that the partition in slot `number` has, as `sgdisk` says.
pub fn partition_range(image: &Path, number: u32) -> Range<u64> {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table");
    let size = virtual_size(image);
    extract_range(image, &(0..TABLE_BYTES.min(size)), &table);
    std::fs::OpenOptions::new().write(true).open(&table).unwrap().set_len(size).unwrap();
    // The backup is missing from this copy, which is a warning.
    let verdict = judge("sgdisk").args(["-i", &number.to_string()]).arg(&table).run();
    let field = |name: &str| -> u64 {
        let line = verdict.stdout.lines().find_map(|line| line.strip_prefix(name));
        let word = line.and_then(|rest| rest.split_whitespace().next());
        word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no partition {number}: {verdict}"))
    };
    field("First sector:") * 512..(field("Last sector:") + 1) * 512
}

/// Writes the partition in slot `number` of an image of any format to a raw file.
pub fn extract_partition(image: &Path, number: u32, target: &Path) {
    extract_range(image, &partition_range(image, number), target);
}

/// `e2fsck -fn` finds nothing wrong with the partition in slot `number` of an image of any format.
///
/// # Panics
///
/// If it does.
pub fn assert_partition_e2fsck_clean(image: &Path, number: u32) {
    with_partition(image, number, |file| assert_e2fsck_clean(file, 0));
}

/// `fsck.vfat -n` finds nothing wrong with the partition in slot `number` of an image of any format.
///
/// # Panics
///
/// If it does.
pub fn assert_partition_fsck_vfat_clean(image: &Path, number: u32) {
    with_partition(image, number, assert_fsck_vfat_clean);
}

/// `sgdisk -v` finds nothing wrong with the partition table of an image of any format.
///
/// # Panics
///
/// If it does.
pub fn assert_image_sgdisk_clean(image: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    extract_disk(image, &disk);
    assert_sgdisk_clean(&disk);
}

/// `sgdisk -v`, `e2fsck -fn` and `fsck.vfat -n` find nothing wrong with the table of an image of any format, its
/// partitions in the slots `ext4`, and the one in the slot `fat`. The disk is extracted once for all of them.
///
/// # Panics
///
/// If one does.
pub fn assert_partitions_clean(image: &Path, ext4: &[u32], fat: u32) {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    extract_disk(image, &disk);
    assert_sgdisk_clean(&disk);
    for &number in ext4 {
        assert_e2fsck_clean(&disk, partition_range(&disk, number).start);
    }
    assert_partition_fsck_vfat_clean(&disk, fat);
}

/// Gives the partition in slot `number` of an image of any format to a judge, as a raw file.
pub fn with_partition(image: &Path, number: u32, check: impl Fn(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("partition");
    extract_partition(image, number, &file);
    check(&file);
}

fn format_of(image: &Path) -> String {
    let info = info(image);
    let format = info.lines().find_map(|line| line.strip_prefix("file format: "));
    format.unwrap_or_else(|| panic!("no format: {info}")).to_owned()
}

fn virtual_size(image: &Path) -> u64 {
    let info = info(image);
    // virtual size: 366 MiB (383778816 bytes)
    let line = info.lines().find_map(|line| line.strip_prefix("virtual size: "));
    let bytes = line.and_then(|line| line.split_once('(')?.1.split(' ').next()?.parse().ok());
    bytes.unwrap_or_else(|| panic!("no virtual size: {info}"))
}

fn info(image: &Path) -> String {
    judge("qemu-img").arg("info").arg(image).succeed().stdout
}
