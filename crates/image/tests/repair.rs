//! Refcounts and flags that are wrong are made right by one write of the header; QEMU is the judge.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where a step fails, and says its seed")]

use std::path::Path;

use crate::judge::in_place::{Change, assert_is, rounds, target};
use crate::judge::{Random, open, path_in, qemu_img, qemu_img_says, read_all};
use image::{Error, Image, Repaired};
use storage::{Memory, Recorder};
use tempfile::TempDir;

const VARIANTS: [(&str, &[&str]); 6] = [
    ("cluster_size=4k", &["-c"]),
    ("cluster_size=4k,compat=0.10", &[]),
    ("cluster_size=64k,compression_type=zstd", &["-c"]),
    ("cluster_size=512,refcount_bits=64", &[]),
    ("cluster_size=512,refcount_bits=8", &["-c"]),
    ("cluster_size=16k,refcount_bits=2", &[]),
];

fn sample(folder: &TempDir, random: &mut Random, (options, flags): (&str, &[&str])) -> (Vec<u8>, Vec<u8>) {
    println!("{options} {flags:?} seed={:#x}", random.0);
    let disk = random.disk(500 << 10);
    let (raw_path, raw) = path_in(folder, "base.raw");
    let (path, image) = path_in(folder, "base.qcow2");
    std::fs::write(raw_path, &disk).unwrap();
    qemu_img(&[&["convert", "-f", "raw", "-O", "qcow2", "-o", options][..], flags, &[&raw, &image]].concat());
    (std::fs::read(path).unwrap(), disk)
}

fn number(bytes: &[u8], at: u64) -> u64 {
    u64::from_be_bytes(bytes[at as usize..][..8].try_into().unwrap())
}

fn set(bytes: &mut [u8], at: u64, value: u64) {
    bytes[at as usize..][..8].copy_from_slice(&value.to_be_bytes());
}

/// Repairs the image at `path`, whose check finds something before.
fn repaired(path: &Path) -> Repaired {
    let image = open(path);
    assert_ne!(image.check().unwrap(), vec![]);
    let repaired = image::repair(&image, &target(path)).unwrap();
    assert_eq!(repaired.file_size_bytes, path.metadata().unwrap().len());
    println!("{repaired:?}");
    repaired
}

#[test]
fn refcounts_of_any_value_are_made_right() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(1);
    let (path, image) = path_in(&folder, "image.qcow2");
    for variant in VARIANTS {
        let (bytes, disk) = sample(&folder, &mut random, variant);
        for _ in 0..rounds(3) {
            let mut broken = bytes.clone();
            let block = number(&bytes, number(&bytes, 48));
            let span = (bytes.len() as u64 / 512).min(400);
            for _ in 0..=random.below(20) {
                broken[(block + random.below(span)) as usize] = random.next() as u8;
            }
            std::fs::write(&path, &broken).unwrap();
            if open(&path).check().unwrap().is_empty() {
                continue;
            }
            let (sound, said) = qemu_img_says(&["check", &image]);
            assert!(!sound, "{said}");
            let done = repaired(&path);
            assert!(done.refcounts_lowered + done.refcounts_raised > 0);
            assert_is(&path, &disk);
            // The image can be edited again.
            let change = Change::none(open(&path), disk.len());
            change.put(30_000, &[0x42; 100_000], false);
            change.commit_to(&path);
            assert_is(&path, &[&disk[..30_000], &[0x42; 100_000], &disk[130_000..]].concat());
        }
    }
}

#[test]
fn a_refcount_table_that_leads_nowhere_is_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(2);
    let (path, _) = path_in(&folder, "image.qcow2");
    for variant in VARIANTS {
        let (bytes, disk) = sample(&folder, &mut random, variant);
        let table = number(&bytes, 48);
        for (at, value) in [(table, 0), (table, 1 << 40), (table, 77), (table, table), (48, 1 << 40)] {
            let mut broken = bytes.clone();
            set(&mut broken, at, value);
            std::fs::write(&path, &broken).unwrap();
            let done = repaired(&path);
            assert!(done.refcounts_raised > 0);
            assert_is(&path, &disk);
        }
    }
}

#[test]
fn flags_go_with_the_refcounts_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(3);
    let (path, image) = path_in(&folder, "image.qcow2");
    for (options, flags) in VARIANTS.into_iter().filter(|(_, flags)| flags.is_empty()) {
        let (bytes, disk) = sample(&folder, &mut random, (options, flags));
        std::fs::write(&path, &bytes).unwrap();
        let with_snapshot = !options.ends_with("bits=2");
        if with_snapshot {
            qemu_img(&["snapshot", "-c", "one", &image]);
        }
        let mut broken = std::fs::read(&path).unwrap();
        let l1 = number(&broken, 40);
        let table = number(&broken, l1) & 0x00ff_ffff_ffff_fe00;
        broken[l1 as usize] ^= 0x80;
        let mut flags = 0;
        for entry in 0..20 {
            let raw = number(&broken, table + entry * 8);
            if raw & 0x00ff_ffff_ffff_fe00 != 0 && raw >> 62 & 1 == 0 {
                set(&mut broken, table + entry * 8, raw ^ 1 << 63);
                flags += 1;
            }
        }
        std::fs::write(&path, &broken).unwrap();
        // An edit elsewhere makes them right, too.
        let change = Change::none(open(&path), disk.len());
        change.put(400_000, &[1; 1000], false);
        change.commit_to(&path);
        assert_is(&path, &[&disk[..400_000], &[1; 1000], &disk[401_000..]].concat());

        std::fs::write(&path, &broken).unwrap();
        assert_eq!(repaired(&path).flags_set_right, flags + 1);
        assert_is(&path, &disk);
    }
}

#[test]
fn what_is_free_at_the_end_is_cut_off_and_nothing_else_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(4);
    let (path, _) = path_in(&folder, "image.qcow2");
    let (bytes, disk) = sample(&folder, &mut random, VARIANTS[0]);
    std::fs::write(&path, &bytes).unwrap();
    assert!(!image::repair(&open(&path), &target(&path)).unwrap().any());
    assert!(std::fs::read(&path).unwrap() == bytes);

    // What a crash before the header's write leaves.
    let mut longer = bytes.clone();
    longer.resize(bytes.len().next_multiple_of(4096) + 30_000, 0x5a);
    std::fs::write(&path, &longer).unwrap();
    let done = image::repair(&open(&path), &target(&path)).unwrap();
    assert_eq!((done.any(), done.old_file_size_bytes), (true, longer.len() as u64));
    assert_eq!(done.file_size_bytes, bytes.len().next_multiple_of(4096) as u64);
    assert!(std::fs::read(&path).unwrap() == longer[..bytes.len().next_multiple_of(4096)]);
    assert_is(&path, &disk);
}

#[test]
fn the_dirty_bit_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(5);
    let (path, _) = path_in(&folder, "image.qcow2");
    let (mut bytes, disk) = sample(&folder, &mut random, ("cluster_size=4k,lazy_refcounts=on", &["-c"]));
    bytes[79] |= 1;
    let block = number(&bytes, number(&bytes, 48));
    bytes[block as usize + 8..][..40].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    let done = repaired(&path);
    assert!(done.dirty_bit_cleared && done.refcounts_raised == 20, "{done:?}");
    assert_is(&path, &disk);
}

#[test]
fn damage_to_the_disk_itself_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(6);
    let (bytes, disk) = sample(&folder, &mut random, VARIANTS[1]);
    let l1 = number(&bytes, 40);
    let table = number(&bytes, l1) & 0x00ff_ffff_ffff_fe00;
    type Break<'a> = (&'a str, &'a dyn Fn(&mut [u8]));
    let breaks: [Break<'_>; 5] = [
        ("overlaps", &|bytes| set(bytes, table, 1 << 63 | table)),
        ("is not inside the file", &|bytes| set(bytes, table, 1 << 63 | 1 << 40)),
        ("not a multiple of the cluster size", &|bytes| set(bytes, table, 1 << 63 | 512)),
        ("reserved bits", &|bytes| set(bytes, l1, 1 << 63 | table | 1)),
        ("is shared with another entry", &|bytes| set(bytes, l1 + 8, 1 << 63 | table)),
    ];
    for (expected, damage) in breaks {
        let mut broken = bytes.clone();
        // An L1 table of two entries.
        broken[39] = 2;
        damage(&mut broken);
        let recorder = Recorder::from(broken.clone());
        let image = || Image::open(Memory::from(broken.clone()), None).unwrap();
        let error = image::repair(&image(), &recorder).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }) && error.to_string().contains(expected), "{error}");
        let error = Change::none(image(), disk.len()).commit(&recorder).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }) && error.to_string().contains(expected), "{error}");
        assert_eq!(recorder.events(), vec![]);
    }
}

#[test]
fn an_edit_of_an_image_with_refcounts_that_are_too_low_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    let (mut bytes, disk) = sample(&folder, &mut random, VARIANTS[0]);
    let block = number(&bytes, number(&bytes, 48));
    bytes[block as usize + 12..][..2].fill(0);
    let recorder = Recorder::from(bytes.clone());
    let image = Image::open(Memory::from(bytes), None).unwrap();
    let error = Change::none(image, disk.len()).commit(&recorder).unwrap_err().to_string();
    assert!(error.contains("host cluster at 0x6000: refcount=0, expected"), "{error}");
    assert_eq!(recorder.events(), vec![]);
}

#[test]
fn a_power_cut_in_a_repair_leaves_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(8);
    for variant in VARIANTS {
        let (mut bytes, disk) = sample(&folder, &mut random, variant);
        let block = number(&bytes, number(&bytes, 48));
        bytes[block as usize + 2..][..30].fill(0);
        let recorder = Recorder::from(bytes.clone());
        let image = Image::open(Memory::from(bytes), None).unwrap();
        assert!(image::repair(&image, &recorder).unwrap().refcounts_raised > 0);
        for _ in 0..rounds(10) {
            let cut = random.below(recorder.events().len() as u64 + 1) as usize;
            let left = recorder.after_power_cut(cut, &mut || random.next());
            let image = Image::open(Memory::from(left.clone()), None).unwrap();
            assert!(read_all(&image) == disk);
            let again = Recorder::from(left);
            image::repair(&image, &again).unwrap();
            let image = Image::open(Memory::from(again.bytes()), None).unwrap();
            assert_eq!(image.check().unwrap(), vec![]);
            assert!(read_all(&image) == disk);
        }
    }
}
