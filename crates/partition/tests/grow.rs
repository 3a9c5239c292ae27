//! Disks made larger, with `sgdisk` as the judge.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs::File;
use std::path::{Path, PathBuf};

use partition::{Error, Table, grow, read};
use storage::{FileStorage, Memory, ReadAt};
use testkit::judge::{assert_sgdisk_clean, judge};

const MIB: u64 = 1 << 20;

/// In memory where the host has a place for that: `sgdisk` syncs.
fn work_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A disk of 24 MiB divided like Ubuntu's, in small: partition 1 lies last. 4 MiB are left after it.
fn noble(folder: &Path) -> PathBuf {
    let disk = folder.join("disk.raw");
    File::create(&disk).unwrap().set_len(24 * MIB).unwrap();
    let new = ["-n", "14:2048:10239", "-n", "15:10240:20479", "-n", "16:20480:30719", "-n", "1:30720:40959"];
    let types = ["-t", "14:EF02", "-t", "15:EF00", "-t", "16:EA00", "-t", "1:8300", "-c", "16:größe", "-A", "1:set:2"];
    judge("sgdisk").args(new).args(types).arg(&disk).succeed();
    assert_sgdisk_clean(&disk);
    disk
}

fn open(disk: &Path) -> FileStorage {
    FileStorage::new(File::options().read(true).write(true).open(disk).unwrap()).unwrap()
}

fn set_len(disk: &Path, bytes: u64) {
    File::options().write(true).open(disk).unwrap().set_len(bytes).unwrap();
}

/// What `sgdisk` says of a partition, its places left out.
fn identity(disk: &Path, number: u32) -> String {
    let said = judge("sgdisk").args(["-i", &number.to_string()]).arg(disk).succeed().stdout;
    said.lines().filter(|line| !line.contains("sector") && !line.contains("size")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_last_partition_takes_the_room_and_sgdisk_is_content() {
    // Odd sizes leave a rest that no aligned partition takes; past 8 GB the MBR has other addresses.
    for new_size in [24 * MIB, 100 * MIB + 512 * 777, 3 << 40] {
        let folder = work_folder();
        let disk = noble(folder.path());
        let before = [1, 14, 15, 16].map(|number| identity(&disk, number));
        set_len(&disk, new_size);
        // `sgdisk` moves the backup and makes the partition anew.
        let theirs = folder.path().join("theirs.raw");
        judge("cp").arg("--sparse=always").args([&disk, &theirs]).succeed();
        judge("sgdisk").args(["-e", "-d", "1", "-n", "1:30720:0"]).arg(&theirs).succeed();
        let partition = grow(&open(&disk), 1).unwrap();
        assert_sgdisk_clean(&disk);
        assert_eq!(partition::check(&open(&disk)).unwrap(), Vec::new());
        assert_eq!([1, 14, 15, 16].map(|number| identity(&disk, number)), before);

        let sectors = |disk: &Path| {
            let said = judge("sgdisk").args(["-i", "1"]).arg(disk).succeed().stdout;
            let line = said.lines().find(|line| line.starts_with("Last sector")).unwrap();
            line.split_ascii_whitespace().nth(2).unwrap().parse::<u64>().unwrap()
        };
        let (ours, theirs) = (sectors(&disk), sectors(&theirs));
        assert!(theirs - ours < 2048, "{new_size}: {ours}, sgdisk has {theirs}");
        assert_eq!((ours + 1) % 2048, 0);
        assert_eq!(partition.first_byte + partition.size_bytes, (ours + 1) * 512);
    }
}

#[test]
fn the_protective_record_covers_the_disk_and_the_old_backup_is_gone() {
    let folder = work_folder();
    let disk = noble(folder.path());
    set_len(&disk, 64 * MIB);
    grow(&open(&disk), 1).unwrap();
    let mut record = [0; 16];
    let storage = open(&disk);
    storage.read_at(446, &mut record).unwrap();
    assert_eq!(u32::from_le_bytes([record[12], record[13], record[14], record[15]]), 64 * 2048 - 1);
    let mut old = [1; 33 * 512];
    storage.read_at(24 * MIB - 33 * 512, &mut old).unwrap();
    assert_eq!(old, [0; 33 * 512]);
    // `fdisk` counts such a record against the disk, and says what does not fit.
    let said = judge("fdisk").arg("-l").arg(&disk).succeed();
    assert_eq!(said.stderr, "", "{said}");
}

#[test]
fn a_partition_with_another_behind_it_is_refused_by_name_and_nothing_changes() {
    let folder = work_folder();
    let disk = noble(folder.path());
    set_len(&disk, 64 * MIB);
    let before = std::fs::read(&disk).unwrap();
    let error = grow(&open(&disk), 15).unwrap_err();
    assert!(matches!(error, Error::NotLast { number: 15, next: 16 }), "{error}");
    assert_eq!(error.to_string(), "partition 15 cannot grow: partition 16 lies after it on the disk");
    assert_eq!(grow(&open(&disk), 7).unwrap_err().to_string(), "partition 7: there is no such partition");
    assert!(before == std::fs::read(&disk).unwrap());
    let none = Memory::from(vec![0; 1 << 20]);
    assert_eq!(
        grow(&none, 1).unwrap_err().to_string(),
        "growing a partition of a disk without a partition table is not supported"
    );
}

#[test]
fn a_disk_of_4096_byte_sectors_grows() {
    let folder = work_folder();
    let disk = folder.path().join("disk.raw");
    File::create(&disk).unwrap().set_len(64 * MIB).unwrap();
    let fdisk = |commands: &str| {
        let script = folder.path().join("script");
        std::fs::write(&script, commands).unwrap();
        let script = File::open(script).unwrap();
        judge("fdisk").args(["-w", "never", "-b", "4096"]).arg(&disk).stdin(script).succeed().stdout
    };
    fdisk("g\nn\n1\n1024\n2047\nn\n15\n256\n1023\nw\n");
    set_len(&disk, 128 * MIB);
    let partition = grow(&open(&disk), 1).unwrap();
    assert_eq!(partition.first_byte + partition.size_bytes, 127 * MIB);
    assert_eq!(partition::check(&open(&disk)).unwrap(), Vec::new());
    let said = fdisk("v\nq\n");
    assert!(said.contains("No errors detected") && !said.contains("corrupt"), "{said}");
}

#[test]
fn damaged_tables_are_errors_and_no_panics() {
    let folder = work_folder();
    let disk = folder.path().join("disk.raw");
    File::create(&disk).unwrap().set_len(3 * MIB).unwrap();
    judge("sgdisk").args(["-a", "8", "-n", "1:64:127", "-n", "2:128:255"]).arg(&disk).succeed();
    let mut whole = std::fs::read(&disk).unwrap();
    whole.resize(4 << 20, 0);
    for at in (440..1024).chain(1024..1024 + 2 * 128) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        let memory = Memory::from(bytes);
        if grow(&memory, 2).is_ok() {
            assert!(matches!(read(&memory), Ok(Table::Gpt(_))), "offset {at}");
        }
    }
}
