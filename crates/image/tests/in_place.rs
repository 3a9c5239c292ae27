//! qcow2 images changed in place, many times over, also by QEMU in between; QEMU is the judge.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where a step fails, and says its seed")]

mod judge;

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use image::{Edited, NewClusters, WriteOptions};
use judge::{Random, open, path_in, qemu_img, read_all};
use storage::{Extended, FileStorage, Overlay, ReadAt, WriteAt};

/// How many times each loop goes round.
fn rounds(small: u64) -> u64 {
    if cfg!(feature = "full-tests") { small * 10 } else { small }
}

/// Edits `disk` at random, in the image at `path`, in place.
fn edit(path: &Path, disk: &mut Vec<u8>, random: &mut Random, grow: bool, threads: usize) -> Edited {
    let base = Arc::new(open(path));
    if grow {
        disk.resize((disk.len() + random.below(4000) as usize * 512).next_multiple_of(512), 0);
    }
    let extended = Extended::new(Arc::clone(&base), disk.len() as u64);
    let overlay = Overlay::new(extended, 1 << 20, Box::new(tempfile::tempfile));
    for _ in 0..random.below(8) {
        let at = random.below(disk.len() as u64) as usize;
        let length = (1usize << random.below(18)).min(disk.len() - at);
        random.fill(&mut disk[at..at + length]);
        if random.below(2) == 0 {
            overlay.write_at(at as u64, &disk[at..at + length]).unwrap();
        } else {
            // A host file, whose bytes the kernel copies.
            let file = tempfile::tempfile().unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &disk[at..at + length], 0).unwrap();
            let source: Arc<dyn ReadAt> = Arc::new(FileStorage::new(file).unwrap());
            overlay.write_from(at as u64, &source, 0, length as u64).unwrap();
        }
    }
    let new_clusters = match random.below(3) {
        0 => NewClusters::Plain,
        _ => NewClusters::Compressed { level: random.below(10) as u32 },
    };
    let options = WriteOptions { new_clusters, threads: NonZeroUsize::new(threads).unwrap() };
    let target = FileStorage::new(File::options().read(true).write(true).open(path).unwrap()).unwrap();
    let edited = image::edit(&base, &overlay, &overlay.changed(), &target, &options, &|_, _| ()).unwrap();
    assert_eq!(edited.old_file_size_bytes, target.size_bytes());
    assert_eq!(edited.file_size_bytes, path.metadata().unwrap().len());
    edited
}

/// Neither our check nor QEMU's has anything to say against the image at `path`, which is `disk`.
fn assert_is(path: &Path, disk: &[u8]) {
    let text = path.to_str().unwrap();
    let said = qemu_img(&["check", text]);
    assert!(said.contains("No errors were found"), "{said}");
    let image = open(path);
    assert_eq!(image.check().unwrap(), vec![]);
    assert!(read_all(&image) == disk, "we read another disk");
    let raw = path.with_extension("expected");
    std::fs::write(&raw, disk).unwrap();
    qemu_img(&["compare", "-f", "qcow2", "-F", "raw", text, raw.to_str().unwrap()]);
}

const VARIANTS: [(&str, &[&str]); 10] = [
    ("compat=0.10", &[]),
    ("compat=0.10", &["-c"]),
    ("compat=1.1", &["-c"]),
    ("compat=1.1,compression_type=zstd", &["-c"]),
    ("compat=1.1,refcount_bits=1", &["-c"]),
    ("compat=1.1,refcount_bits=2", &["-c"]),
    ("compat=1.1,refcount_bits=4,preallocation=metadata", &[]),
    ("compat=1.1,refcount_bits=8", &["-c", "-W"]),
    ("compat=1.1,refcount_bits=32,lazy_refcounts=on", &["-c"]),
    ("compat=1.1,refcount_bits=64", &[]),
];

fn sequences(cluster_size: &str, disk_bytes: usize, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    for (options, flags) in VARIANTS {
        println!("cluster_size={cluster_size} {options} {flags:?} seed={:#x}", random.0);
        let size = disk_bytes + 512 * random.below(300) as usize;
        let mut disk = random.disk(size);
        let (raw_path, raw) = path_in(&folder, "base.raw");
        std::fs::write(&raw_path, &disk).unwrap();
        let (path, image) = path_in(&folder, "image.qcow2");
        let options = format!("cluster_size={cluster_size},{options}");
        qemu_img(&[&["convert", "-f", "raw", "-O", "qcow2", "-o", &options][..], flags, &[&raw, &image]].concat());
        for _ in 0..rounds(3) {
            let grow = random.below(3) == 0;
            let threads = 1 + random.below(3) as usize;
            let edited = edit(&path, &mut disk, &mut random, grow, threads);
            println!("{edited:?}");
            assert_is(&path, &disk);
        }
    }
}

#[test]
fn clusters_of_512_bytes() {
    sequences("512", 600_000 / 512 * 512, 1);
}

#[test]
fn clusters_of_4_kib() {
    sequences("4k", 2 << 20, 2);
}

#[test]
fn clusters_of_64_kib() {
    sequences("64k", 3 << 20, 3);
}

#[test]
fn clusters_of_2_mib() {
    sequences("2M", 11 << 20, 4);
}
