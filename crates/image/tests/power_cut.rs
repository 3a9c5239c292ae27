//! What a power cut, or a read or a write that fails, leaves of an image that is changed in place: the
//! old image or the new one.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where a step fails, and says its seed")]

use std::path::Path;

use crate::judge::in_place::{Change, assert_is, rounds};
use crate::judge::{Random, path_in, qemu_img, read_all};
use image::Image;
use storage::{Event, Failing, Memory, Recorder};
use tempfile::TempDir;

/// Kinds of images: options, flags of `qemu-img convert`, and whether there is a snapshot.
const VARIANTS: [(&str, &[&str], bool); 6] = [
    ("cluster_size=64k", &["-c"], false),
    ("cluster_size=4k,compression_type=zstd", &["-c"], true),
    ("cluster_size=512,compat=0.10", &[], true),
    ("cluster_size=16k,refcount_bits=1", &[], false),
    ("cluster_size=1k,refcount_bits=64", &["-c"], true),
    ("cluster_size=4k,lazy_refcounts=on", &["-c"], false),
];

/// An image and its disk.
fn sample(folder: &TempDir, random: &mut Random, variant: usize) -> (Vec<u8>, Vec<u8>) {
    let (options, flags, with_snapshot) = VARIANTS[variant];
    println!("{options} {flags:?} seed={:#x}", random.0);
    let disk = random.disk(600 << 10);
    let (raw_path, raw) = path_in(folder, "base.raw");
    let (path, image) = path_in(folder, "base.qcow2");
    std::fs::write(raw_path, &disk).unwrap();
    qemu_img(&[&["convert", "-f", "raw", "-O", "qcow2", "-o", options][..], flags, &[&raw, &image]].concat());
    if with_snapshot {
        qemu_img(&["snapshot", "-c", "one", &image]);
    }
    (std::fs::read(path).unwrap(), disk)
}

fn opened(bytes: &[u8]) -> Image {
    Image::open(Memory::from(bytes.to_vec()), None).unwrap()
}

/// The image in `bytes` is sound, and its disk is one of the two.
fn assert_old_or_new(bytes: &[u8], old: &[u8], new: &[u8]) {
    let image = opened(bytes);
    let read = read_all(&image);
    assert!(read == old || read == new, "neither the old disk nor the new one");
    let findings = image.check().unwrap();
    assert_eq!(findings, vec![]);
}

/// QEMU finds neither errors nor leaks in the image in `bytes`.
fn assert_sound_for_qemu(bytes: &[u8], path: &Path) {
    std::fs::write(path, bytes).unwrap();
    let said = qemu_img(&["check", path.to_str().unwrap()]);
    assert!(said.contains("No errors were found"), "{said}");
}

#[test]
fn a_power_cut_leaves_the_old_image_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(1);
    let (path, _) = path_in(&folder, "after.qcow2");
    let (mut old_ones, mut new_ones) = (0, 0);
    for (variant, (_, _, has_snapshot)) in VARIANTS.iter().enumerate() {
        let (mut bytes, mut disk) = sample(&folder, &mut random, variant);
        // The second edit finds what the first one has freed.
        for _ in 0..rounds(2) {
            let old_disk = disk.clone();
            let may_grow = !has_snapshot;
            let change = Change::random(opened(&bytes), &mut disk, &mut random, may_grow);
            let recorder = Recorder::from(bytes.clone());
            change.commit(&recorder).unwrap();
            let events = recorder.events().len();
            for case in 0..60 {
                println!("variant={variant} seed={:#x}", random.0);
                let cut = random.below(events as u64 + 1) as usize;
                let left = recorder.after_power_cut(cut, &mut || random.next());
                assert_old_or_new(&left, &old_disk, &disk);
                *if read_all(&opened(&left)) == disk { &mut new_ones } else { &mut old_ones } += 1;
                if case % 12 == 0 {
                    assert_sound_for_qemu(&left, &path);
                }
                if case % 20 == 0 {
                    // The next edit works as before.
                    let mut again = read_all(&opened(&left));
                    let next = Change::random(opened(&left), &mut again, &mut random, may_grow);
                    let second = Recorder::from(left);
                    next.commit(&second).unwrap();
                    std::fs::write(&path, second.bytes()).unwrap();
                    assert_is(&path, &again);
                }
            }
            bytes = recorder.bytes();
        }
    }
    println!("old={old_ones} new={new_ones}");
    assert!(old_ones > 100 && new_ones > 20);
}

#[test]
fn the_header_is_one_write_of_a_sector_between_two_syncs() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(2);
    for variant in 0..VARIANTS.len() {
        let (bytes, disk) = sample(&folder, &mut random, variant);
        let change = Change::none(opened(&bytes), disk.len());
        change.put(100_000, &[7; 50_000], false);
        let recorder = Recorder::from(bytes.clone());
        change.commit(&recorder).unwrap();
        let events = recorder.events();
        let headers: Vec<usize> = (0..events.len())
            .filter(|&at| matches!(&events[at], Event::Write { offset, .. } if *offset < 512))
            .collect();
        let [header] = headers[..] else { panic!("{headers:?}") };
        assert!(matches!(&events[header], Event::Write { offset: 0, data } if data.len() <= 512));
        assert_eq!((&events[header - 1], &events[header + 1]), (&Event::Sync, &Event::Sync));
        assert!(events[header + 2..].iter().all(|event| matches!(event, Event::SetSize(_))));
        let only = |event: &Event| matches!(event, Event::Sync);
        assert_eq!(events.iter().filter(|event| only(event)).count(), 2);
    }
}

#[test]
fn each_write_that_fails_leaves_the_old_image() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(3);
    for variant in 0..VARIANTS.len() {
        let (bytes, disk) = sample(&folder, &mut random, variant);
        let mut new_disk = disk.clone();
        let change = Change::random(opened(&bytes), &mut new_disk, &mut random, false);
        change.put(200_000, &random.disk(90_000), false);
        new_disk = read_all(&change.overlay);
        let mut failures = 0;
        loop {
            let target = Failing::new(Recorder::from(bytes.clone()), failures + 1);
            let result = change.commit(&target);
            let recorder = target.inner();
            if !target.has_failed() {
                result.unwrap();
                assert_old_or_new(&recorder.bytes(), &new_disk, &new_disk);
                break;
            }
            failures += 1;
            let left = recorder.bytes();
            let events = recorder.events();
            let is_new = events.iter().any(|event| matches!(event, Event::Write { offset: 0, .. }));
            let expected = if is_new { &new_disk } else { &disk };
            assert_old_or_new(&left, expected, expected);
            match result {
                // The free end could not be cut off.
                Ok(edited) => assert_eq!((is_new, edited.file_size_bytes), (true, left.len() as u64)),
                Err(error) => {
                    assert!(error.host_error().is_some(), "{error}");
                    let is_undecided = matches!(error, image::Error::Undecided(_));
                    let before_header = events.iter().filter(|event| **event == Event::Sync).count() == 0;
                    assert_eq!(is_undecided, is_new || !before_header, "{error}");
                    assert!(is_undecided || left.len() == bytes.len(), "the file is longer");
                }
            }
        }
        println!("{failures} writes, syncs and sizes");
        assert!(failures > 5);
    }
}

#[test]
fn each_read_that_fails_leaves_the_old_image() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(4);
    for variant in 0..VARIANTS.len() {
        let (bytes, disk) = sample(&folder, &mut random, variant);
        let graft: Vec<u8> = (0..70_000).map(|_| random.next() as u8).collect();
        let new_disk = [&disk[..200_001], &graft, &disk[270_001..]].concat();
        // Reads come in another order with other threads, and each of them fails all the same.
        let reads = |number| {
            let file = Failing::new(Memory::from(bytes.clone()), number);
            let file = std::sync::Arc::new(file);
            let image = Image::open(std::sync::Arc::clone(&file), None);
            (image, file)
        };
        for number in 1.. {
            let (image, file) = reads(number);
            let recorder = Recorder::from(bytes.clone());
            let result = image.map_err(|error| error.to_string()).and_then(|image| {
                let mut change = Change::none(image, disk.len());
                change.options.threads = std::num::NonZeroUsize::MIN;
                let put = storage::WriteAt::write_at(&change.overlay, 200_001, &graft);
                put.map_err(|error| error.to_string())?;
                change.commit(&recorder).map_err(|error| error.to_string())
            });
            if !file.has_failed() {
                result.unwrap();
                assert_old_or_new(&recorder.bytes(), &new_disk, &new_disk);
                println!("{number} reads");
                assert!(number > 10);
                break;
            }
            let error = result.unwrap_err();
            assert!(error.contains("reading"), "{error}");
            assert_old_or_new(&recorder.bytes(), &disk, &disk);
        }
    }
}
