//! File systems made from nothing; `fsck.vfat`, mtools and `blkid` look at them.
#![allow(clippy::unwrap_used, reason = "in tests, helpers included")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fat::{Error, FatType, FileSystem, NewVolume, Time, create};
use storage::{Extended, ExtentKind, FileStorage, Memory, ReadAt, Reader, Sequence};
use testkit::judge::{assert_fsck_vfat_clean, judge};

const VOLUME: NewVolume<'_> =
    NewVolume { label: "cidata", serial: 0x1234_abcd, modified: Time { seconds: 1_713_895_509, nanoseconds: 0 } };

type Files = Vec<(&'static str, Arc<dyn ReadAt>)>;

fn bytes(length: usize) -> Arc<dyn ReadAt> {
    Arc::new(Memory::from((0..length).map(|index| (index / 7) as u8).collect::<Vec<u8>>()))
}

/// Zeros that take no memory, and no room in a file.
fn zeros(length: u64) -> Arc<dyn ReadAt> {
    Arc::new(Extended::new(Memory::from(vec![1]), length))
}

fn write(image: &Sequence, folder: &Path) -> PathBuf {
    let path = folder.join("image");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(image.size_bytes()).unwrap();
    let mut at = 0;
    while at < image.size_bytes() {
        let extent = image.extent_at(at).unwrap();
        if extent.kind == ExtentKind::Data {
            storage::copy(image, at, &file, at, extent.length_bytes).unwrap();
        }
        at += extent.length_bytes;
    }
    path
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Everybody finds the files; returns what sort of FAT it is.
fn judged(files: &Files) -> (FatType, u64) {
    let image = create(files, &VOLUME).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let image_path = write(&image, folder.path());
    assert_fsck_vfat_clean(&image_path);
    let said = judge("blkid").args(["-p", "-o", "export", path(&image_path)]).succeed().stdout;
    assert!(said.contains("LABEL=cidata\n") && said.contains("UUID=1234-ABCD\n"), "{said}");
    let listed = judge("mdir").args(["-i", path(&image_path), "-b", "::"]).succeed().stdout;
    let expected: String = files.iter().map(|(name, _)| format!("::/{name}\n")).collect();
    assert_eq!(listed, expected);
    for (name, content) in files.iter().filter(|(_, content)| content.size_bytes() < 64 << 20) {
        let copied = judge("mtype").args(["-i", path(&image_path), &format!("::{name}")]).succeed().stdout_bytes;
        let mut expected = Vec::new();
        std::io::Read::read_to_end(&mut Reader::new(content), &mut expected).unwrap();
        assert!(copied == expected, "{name}");
    }
    let storage = FileStorage::new(std::fs::File::options().read(true).write(true).open(&image_path).unwrap());
    let file_system = FileSystem::open(storage.unwrap()).unwrap();
    for (name, content) in files {
        let metadata = file_system.metadata(&[name]).unwrap();
        assert_eq!((metadata.size_bytes, metadata.modified.seconds), (content.size_bytes(), 1_713_895_508));
    }
    (file_system.fat_type(), image.size_bytes())
}

#[test]
fn a_seed_takes_128_kib_and_more_only_if_it_has_to() {
    let files = |length| vec![("user-data", bytes(length)), ("meta-data", bytes(33)), ("network-config", bytes(0))];
    assert_eq!(judged(&files(14)), (FatType::Fat12, 128 << 10));
    assert_eq!(judged(&files(100_000)), (FatType::Fat12, 128 << 10));
    assert_eq!(judged(&files(130_000)), (FatType::Fat12, 192 << 10));
    assert_eq!(judged(&Vec::new()), (FatType::Fat12, 128 << 10));
}

#[test]
fn sizes_around_the_limits_of_the_types_are_sound() {
    for (kib, expected) in [
        (8_000, FatType::Fat12),
        (8_150, FatType::Fat16),
        (8_250, FatType::Fat16),
        (131_000, FatType::Fat16),
        (131_100, FatType::Fat16),
        (2_090_000, FatType::Fat16),
        (2_110_000, FatType::Fat32),
    ] {
        let (fat_type, size) = judged(&vec![("user-data", zeros(kib << 10)), ("meta-data", bytes(5000))]);
        assert_eq!(fat_type, expected, "{kib} KiB");
        assert!(size < (kib << 10) + (kib << 10) / 50 + (256 << 10), "{kib} KiB in {size}");
    }
    // fsck.vfat takes the clusters of a larger file to be 0 bytes, having 32 bits for them.
    let large = zeros(u64::from(u32::MAX) - 8191);
    assert_eq!(judged(&vec![("a", Arc::clone(&large)), ("b", large)]).0, FatType::Fat32);
}

#[test]
fn names_of_any_length_have_their_own_short_ones() {
    let names = ["user-data", "user-date", "User-Datum.yaml", "a", ".x", "thirteen-unit", "a name of 26 units, really"];
    judged(&names.map(|name| (name, bytes(name.len()))).to_vec());
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |files: &Files, volume: &NewVolume<'_>| create(files, volume).unwrap_err();
    assert!(matches!(refused(&vec![("a:b", bytes(1))], &VOLUME), Error::InvalidName { .. }));
    assert!(matches!(refused(&vec![("a", bytes(1)), ("A", bytes(1))], &VOLUME), Error::Exists { .. }));
    assert!(matches!(refused(&vec![("a", zeros(4 << 30))], &VOLUME), Error::TooLarge { .. }));
    for label in ["", "twelve chars", "a/b", "ä"] {
        assert!(matches!(refused(&Vec::new(), &NewVolume { label, ..VOLUME }), Error::InvalidName { .. }), "{label}");
    }
    let many: Vec<String> = (0..300).map(|number| format!("file {number}")).collect();
    let many: Vec<(&str, _)> = many.iter().map(|name| (name.as_str(), bytes(1))).collect();
    assert!(matches!(create(&many, &VOLUME), Err(Error::NoSpace { needed: 601, available: 512, .. })));
}
