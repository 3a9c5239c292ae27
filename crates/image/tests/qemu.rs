//! `qemu-img` judges what we read and write.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where a step fails, and says its seed")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::judge::{Random, assert_reads_as, edited, open, path_in, qemu_img, read_all, written};
use image::{CompressionType, Format, NewClusters, WriteOptions};
use storage::{Extended, Overlay, ReadAt, WriteAt};

/// Opens the image, edits it and writes it in every way; qemu-img judges each.
fn round(folder: &tempfile::TempDir, base_path: &Path, disk: &[u8], random: &mut Random) {
    let base = Arc::new(open(base_path));
    let base_format = base.info().format;
    assert_reads_as(&base, disk, random);
    assert_eq!(base.check().unwrap(), vec![], "{}", base_path.display());
    let mut expected = disk.to_vec();
    let overlay = edited(&base, &mut expected, random);
    let (raw_path, raw) = path_in(folder, "expected.raw");
    std::fs::write(&raw_path, &expected).unwrap();
    for new_clusters in [NewClusters::Compressed { level: random.below(10) as u32 }, NewClusters::Plain] {
        let (one_path, one) = path_in(folder, "one.img");
        let (three_path, _) = path_in(folder, "three.img");
        let counts = written(&base, &overlay, &overlay.changed(), &one_path, (new_clusters, 1));
        assert_eq!(counts, written(&base, &overlay, &overlay.changed(), &three_path, (new_clusters, 3)));
        assert!(std::fs::read(&one_path).unwrap() == std::fs::read(&three_path).unwrap(), "threads show");
        let new = open(&one_path);
        assert_reads_as(&new, &expected, random);
        if base_format == Format::Raw {
            let (copy_path, _) = path_in(folder, "copy.img");
            std::fs::copy(base_path, &copy_path).unwrap();
            let copy = File::options().write(true).open(&copy_path).unwrap();
            image::write_to_copy(&base, &overlay, &overlay.changed(), &copy, &|_, _| {}).unwrap();
            assert!(std::fs::read(&copy_path).unwrap() == expected);
        }
        let format = base_format.to_string();
        qemu_img(&["compare", "-f", &format, "-F", "raw", &one, &raw]);
        if base_format == Format::Qcow2 {
            let said = qemu_img(&["check", &one]);
            assert!(said.contains("No errors were found"), "{said}");
            assert_eq!(new.check().unwrap(), vec![]);
            let (old, new) = (base.info().qcow2.unwrap(), new.info().qcow2.unwrap());
            assert_eq!((old.version, old.cluster_size_bytes), (new.version, new.cluster_size_bytes));
            assert_eq!(old.compression_type, new.compression_type);
            assert_eq!(counts.file_size_bytes % u64::from(new.cluster_size_bytes), 0);
        }
    }
}

/// Everything for one size of clusters.
fn rounds(cluster_size: &str, disk_bytes: usize, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let variants: [(&str, &[&str]); 9] = [
        ("compat=0.10", &[]),
        ("compat=0.10", &["-c"]),
        ("compat=1.1", &[]),
        ("compat=1.1", &["-c"]),
        ("compat=1.1", &["-c", "-W", "-m", "8"]),
        ("compat=1.1,compression_type=zstd", &[]),
        ("compat=1.1,compression_type=zstd", &["-c"]),
        ("compat=1.1,refcount_bits=64,lazy_refcounts=on", &["-c", "-W"]),
        ("compat=1.1,refcount_bits=1,preallocation=metadata", &[]),
    ];
    for (options, flags) in variants {
        println!("cluster_size={cluster_size} {options} {flags:?} seed={:#x}", random.0);
        // A size that is no multiple of the larger clusters.
        let size = disk_bytes + 512 * random.below(300) as usize;
        let disk = random.disk(size);
        let (raw_path, raw) = path_in(&folder, "base.raw");
        std::fs::write(&raw_path, &disk).unwrap();
        let (base_path, base) = path_in(&folder, "base.qcow2");
        let options = format!("cluster_size={cluster_size},{options}");
        let arguments = [&["convert", "-f", "raw", "-O", "qcow2", "-o", &options][..], flags, &[&raw, &base]].concat();
        qemu_img(&arguments);
        round(&folder, &base_path, &disk, &mut random);
    }
}

#[test]
fn clusters_of_512_bytes() {
    rounds("512", 700_000 / 512 * 512, 1);
}

#[test]
fn clusters_of_4_kib() {
    rounds("4k", 4 << 20, 2);
}

#[test]
fn clusters_of_64_kib() {
    rounds("64k", 6 << 20, 3);
}

#[test]
fn clusters_of_2_mib() {
    rounds("2M", 11 << 20, 4);
}

#[test]
fn raw_images() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(5);
    for _ in 0..4 {
        println!("seed={:#x}", random.0);
        let disk = random.disk(3 << 20);
        let (path, _) = path_in(&folder, "base.raw");
        std::fs::write(&path, &disk).unwrap();
        round(&folder, &path, &disk, &mut random);
    }
}

#[test]
fn zeros_in_a_raw_image_become_holes() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = path_in(&folder, "base.raw");
    let file = File::create(&path).unwrap();
    file.write_all_at(&[0x55, 0xaa], 510).unwrap();
    file.set_len(64 << 20).unwrap();
    let base = Arc::new(open(&path));
    let overlay = Overlay::new(Arc::clone(&base), 1 << 20, Box::new(tempfile::tempfile));
    overlay.write_at(1 << 20, &vec![0; 8 << 20]).unwrap();
    overlay.write_at(2 << 20, b"graft").unwrap();
    let (new_path, _) = path_in(&folder, "new.raw");
    written(&base, &overlay, &overlay.changed(), &new_path, (NewClusters::Plain, 1));
    assert!(std::fs::metadata(&new_path).unwrap().blocks() * 512 < 1 << 20);
    assert!(read_all(&open(&new_path)) == read_all(&overlay));

    let (copy_path, _) = path_in(&folder, "copy.raw");
    qemu_img(&["convert", "-f", "raw", "-O", "raw", path.to_str().unwrap(), copy_path.to_str().unwrap()]);
    let copy = File::options().write(true).open(&copy_path).unwrap();
    image::write_to_copy(&base, &overlay, &overlay.changed(), &copy, &|_, _| {}).unwrap();
    assert!(std::fs::metadata(&copy_path).unwrap().blocks() * 512 < 1 << 20);
    assert!(read_all(&open(&copy_path)) == read_all(&overlay));
}

#[test]
fn zstd_images_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = path_in(&folder, "zstd.qcow2");
    qemu_img(&["create", "-f", "qcow2", "-o", "compression_type=zstd,lazy_refcounts=on", &text, "1M"]);
    let info = open(&path).info();
    let qcow2 = info.qcow2.as_ref().unwrap();
    assert_eq!(qcow2.compression_type, CompressionType::Zstd);
    assert_eq!(qcow2.features, ["compression type", "lazy refcounts"]);
    let json = serde_json::to_value(&info).unwrap();
    assert_eq!((&json["format"], &json["qcow2"]["compression_type"]), (&"qcow2".into(), &"zstd".into()));
}

#[test]
fn images_without_data_and_with_data_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = path_in(&folder, "empty.qcow2");
    let (new_path, new) = path_in(&folder, "new.qcow2");
    for (size, preallocation) in [("0", "off"), ("1M", "off"), ("70000k", "falloc"), ("3000k", "metadata")] {
        let options = format!("preallocation={preallocation}");
        qemu_img(&["create", "-f", "qcow2", "-o", &options, &image, size]);
        let base = open(&path);
        assert_eq!(base.check().unwrap(), vec![]);
        assert!(read_all(&base).iter().all(|&byte| byte == 0));
        let everything = std::slice::from_ref(&(0..base.size_bytes())).to_vec();
        let counts = written(&base, &base, &everything, &new_path, (NewClusters::Plain, 1));
        assert_eq!((counts.clusters_kept, counts.clusters_plain), (0, 0));
        qemu_img(&["check", &new]);
        qemu_img(&["compare", &image, &new]);
        written(&base, &base, &[], &new_path, (NewClusters::Plain, 1));
        qemu_img(&["check", &new]);
        qemu_img(&["compare", &image, &new]);
    }
}

#[test]
fn a_larger_disk_costs_its_tables_and_what_was_past_the_old_end_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (disk_path, disk) = path_in(&folder, "disk.raw");
    // 1 MiB and a half cluster, which is full, of clusters of 64 KiB.
    std::fs::write(&disk_path, vec![0x5A; (1 << 20) + (64 << 10)]).unwrap();
    let (base_path, base) = path_in(&folder, "base.qcow2");
    qemu_img(&["convert", "-O", "qcow2", &disk, &base]);
    let file = File::options().write(true).open(&base_path).unwrap();
    file.write_all_at(&((1u64 << 20) + (32 << 10)).to_be_bytes(), 24).unwrap();
    let base = Arc::new(open(&base_path));
    let larger = Extended::new(Arc::clone(&base), 3 << 40);
    let (new_path, new) = path_in(&folder, "new.qcow2");
    let file = File::options().read(true).write(true).create_new(true).open(&new_path).unwrap();
    let options = WriteOptions { new_clusters: NewClusters::Plain, threads: std::num::NonZeroUsize::MIN };
    image::write(&base, &larger, &[], &file, &options, &|_, _| {}).unwrap();
    assert!(qemu_img(&["check", &new]).contains("No errors were found"));
    assert!(qemu_img(&["info", &new]).contains(&format!("({} bytes)", 3u64 << 40)));
    assert!(new_path.metadata().unwrap().len() < base_path.metadata().unwrap().len() + (512 << 10));
    let shown = qemu_img(&["map", "--output=json", &new]);
    assert!(shown.contains("\"start\": 1114112"), "{shown}");
    let mut expected = vec![0x5A; (1 << 20) + (32 << 10)];
    expected.resize(2 << 20, 0);
    let mut bytes = vec![1; 2 << 20];
    open(&new_path).read_at(0, &mut bytes).unwrap();
    assert!(bytes == expected);
    let (raw_path, raw) = path_in(&folder, "expected.raw");
    std::fs::write(&raw_path, &expected).unwrap();
    let head = format!("driver=raw,size={},file.driver=qcow2,file.file.filename={new}", 2 << 20);
    qemu_img(&["compare", "--image-opts", &head, &format!("driver=raw,file.driver=file,file.filename={raw}")]);
}

/// The places that the examples at the start of `qcow2/mod.rs`, `vmdk/mod.rs` and `vhd/mod.rs` name.
#[test]
fn the_worked_examples_of_the_formats_are_true() {
    let folder = tempfile::tempdir().unwrap();
    let (raw_path, raw) = path_in(&folder, "disk.raw");
    let mut disk = vec![0; 1 << 20];
    disk[0x30000..0x40000].fill(b'A');
    disk[0xa1234..0xa1239].copy_from_slice(b"graft");
    std::fs::write(&raw_path, &disk).unwrap();
    let made = |options: &[&str]| {
        let (path, image) = path_in(&folder, "disk.img");
        qemu_img(&[&["convert", "-f", "raw"], options, &[&raw, &image]].concat());
        assert!(read_all(&open(&path)) == disk);
        std::fs::read(path).unwrap()
    };
    let number = |bytes: &[u8], at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());

    let qcow2 = made(&["-O", "qcow2"]);
    assert_eq!([24, 40, 48].map(|at| number(&qcow2, at)), [0x100000, 0x30000, 0x10000]);
    assert_eq!([0x10000, 0x30000].map(|at| number(&qcow2, at)), [0x20000, 0x8000000000040000]);
    assert_eq!([0x40018, 0x40050].map(|at| number(&qcow2, at)), [0x8000000000050000, 0x8000000000060000]);
    assert_eq!(&qcow2[0x61234..0x61239], b"graft");
    let packed = made(&["-c", "-O", "qcow2"]);
    assert_eq!((number(&packed, 0x40050) >> 54, number(&packed, 0x40050) >> 16 & 0x3f), (0x100, 5));

    let stream = made(&["-O", "vmdk", "-o", "subformat=streamOptimized"]);
    assert_eq!([56, 0x3400, 0x360c, 0x3628].map(|at| word(&stream, at)), [26, 27, 128, 129]);
    assert_eq!([0x10000, 0x10200].map(|at| word(&stream, at)), [384, 1280]);
    let sparse = made(&["-O", "vmdk", "-o", "subformat=monolithicSparse"]);
    assert_eq!((word(&sparse, 0x3628), &sparse[0x21234..0x21239]), (256, &b"graft"[..]));

    let vhd = made(&["-O", "vpc", "-o", "subformat=fixed,force_size=on"]);
    assert_eq!((vhd.len(), &vhd[0x100000..0x100008]), (0x100200, &b"conectix"[..]));
    assert_eq!((number(&vhd, 0x100030), &vhd[0xa1234..0xa1239]), (0x100000, &b"graft"[..]));
}
