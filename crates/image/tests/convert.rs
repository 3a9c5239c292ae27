//! `qemu-img` judges new files in every format.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where a step fails, and says its seed")]

use crate::judge;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use crate::judge::{Random, converted, open, open_chain, path_in, qemu_img, read_all};
use image::{BackingName, Compat, CompressionType, Container, Image, NewClusters, Qcow2Options, Source};
use storage::{Extended, Overlay, ReadAt, WriteAt};

const PACKED: NewClusters = NewClusters::Compressed { level: 6 };

/// Every kind of qcow2 with that size of clusters.
fn kinds(cluster_size_bytes: u32) -> Vec<Qcow2Options> {
    let of = |compat, compression_type| Qcow2Options { compat, cluster_size_bytes, compression_type, backing: None };
    vec![
        of(Compat::V2, CompressionType::Zlib),
        of(Compat::V3, CompressionType::Zlib),
        of(Compat::V3, CompressionType::Zstd),
    ]
}

/// `qemu-img` finds nothing wrong with the image, reads the raw file's bytes from it, and says that it is
/// what was asked for.
fn assert_is(path: &Path, options: &Qcow2Options, raw: &str) {
    let image = path.to_str().unwrap();
    let said = qemu_img(&["check", image]);
    assert!(said.contains("No errors were found"), "{said}");
    qemu_img(&["compare", "-f", "qcow2", "-F", "raw", image, raw]);
    let info: serde_json::Value = serde_json::from_str(&qemu_img(&["info", "--output=json", image])).unwrap();
    let specific = &info["format-specific"]["data"];
    assert_eq!(info["cluster-size"], options.cluster_size_bytes);
    assert_eq!(specific["compat"], if options.compat == Compat::V2 { "0.10" } else { "1.1" });
    assert_eq!(specific["compression-type"], options.compression_type.to_string());
    assert_eq!(specific["refcount-bits"], 16);
    assert_eq!(open(path).check().unwrap(), vec![]);
}

/// Converts to a qcow2 with one thread and with three; `qemu-img` judges the result.
fn to_qcow2(folder: &tempfile::TempDir, source: &Source<'_>, options: &Qcow2Options, new: NewClusters, raw: &str) {
    let (one_path, _) = path_in(folder, "one.qcow2");
    let (three_path, _) = path_in(folder, "three.qcow2");
    let container = Container::Qcow2(options.clone());
    let counts = converted(source, &container, &one_path, (new, 1));
    assert_eq!(counts, converted(source, &container, &three_path, (new, 3)));
    assert!(std::fs::read(&one_path).unwrap() == std::fs::read(&three_path).unwrap(), "threads show");
    assert_is(&one_path, options, raw);
    assert!(new == PACKED || counts.clusters_compressed == 0);
}

fn rounds(cluster_size_bytes: u32, disk_bytes: usize, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let other_size = [512, 4096, 65536, 2 << 20][random.below(4) as usize];
    for kind in kinds(cluster_size_bytes) {
        println!("{kind:?} seed={:#x}", random.0);
        let size = disk_bytes + 512 * random.below(300) as usize;
        let disk = random.disk(size);
        let (raw_path, raw) = path_in(&folder, "disk.raw");
        std::fs::write(&raw_path, &disk).unwrap();
        let from_raw = open(&raw_path);
        for new in [PACKED, NewClusters::Plain] {
            to_qcow2(&folder, &Source::image(&from_raw), &kind, new, &raw);
            // What was just made is the next source.
            let (path, _) = path_in(&folder, "source.qcow2");
            std::fs::rename(folder.path().join("one.qcow2"), &path).unwrap();
            let image = open(&path);
            assert_eq!(Qcow2Options::like(&image.info()), kind);
            for other in kinds(other_size) {
                to_qcow2(&folder, &Source::image(&image), &other, PACKED, &raw);
            }
            for other in kinds(cluster_size_bytes) {
                to_qcow2(
                    &folder,
                    &Source::image(&image),
                    &other,
                    [PACKED, NewClusters::Plain][random.below(2) as usize],
                    &raw,
                );
            }
            let (again_path, _) = path_in(&folder, "again.raw");
            for threads in [1, 3] {
                converted(&Source::image(&image), &Container::Raw, &again_path, (new, threads));
                assert!(std::fs::read(&again_path).unwrap() == disk, "back to raw differs");
            }
        }
    }
}

#[test]
fn clusters_of_512_bytes() {
    rounds(512, 300_000 / 512 * 512, 101);
}

#[test]
fn clusters_of_4_kib() {
    rounds(4096, 1 << 20, 102);
}

#[test]
fn clusters_of_64_kib() {
    rounds(65536, 2 << 20, 103);
}

#[test]
fn clusters_of_2_mib() {
    rounds(2 << 20, 5 << 20, 104);
}

#[test]
fn compressed_clusters_stay_as_they_are_and_others_are_packed() {
    let folder = tempfile::tempdir().unwrap();
    let (raw_path, raw) = path_in(&folder, "disk.raw");
    let (path, image) = path_in(&folder, "disk.qcow2");
    let disk = Random(111).disk(4 << 20);
    std::fs::write(&raw_path, &disk).unwrap();
    let (new_path, _) = path_in(&folder, "new.qcow2");
    for (flags, kept, packed) in [(&["-c"][..], true, false), (&[][..], false, true)] {
        qemu_img(&[&["convert", "-O", "qcow2"], flags, &[&raw, &image]].concat());
        let source = open(&path);
        let container = Container::Qcow2(Qcow2Options::default());
        let counts = converted(&Source::image(&source), &container, &new_path, (PACKED, 2));
        assert_eq!((counts.clusters_kept > 10, counts.clusters_compressed > 10), (kept, packed), "{counts:?}");
        let counts = converted(&Source::image(&source), &container, &new_path, (NewClusters::Plain, 2));
        assert_eq!((counts.clusters_kept > 10, counts.clusters_plain > 10), (packed, kept), "{counts:?}");
        // An edit keeps both kinds.
        let counts = converted(&Source::edited(&source, &source, &[]), &container, &new_path, (PACKED, 2));
        assert_eq!((counts.clusters_compressed, counts.clusters_plain), (0, 0), "{counts:?}");
        assert_is(&new_path, &Qcow2Options::default(), &raw);
    }
}

#[test]
fn a_raw_file_has_holes_for_zeros_whatever_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = path_in(&folder, "disk.qcow2");
    qemu_img(&["create", "-f", "qcow2", &image, "8G"]);
    let signature = ["write -P 0x55 510 1".into(), "write -P 0xaa 511 1".into()];
    judge::qemu_io(&image, &signature);
    judge::qemu_io(&image, &["write -P 7 5G 64k".into(), "write -P 0 1G 1M".into()]);
    let (raw_path, raw) = path_in(&folder, "disk.raw");
    let source = open(&path);
    converted(&Source::image(&source), &Container::Raw, &raw_path, (PACKED, 3));
    qemu_img(&["compare", "-f", "qcow2", "-F", "raw", &image, &raw]);
    assert!(raw_path.metadata().unwrap().blocks() * 512 < 1 << 20);
    // And back: holes are not read.
    let (back_path, _) = path_in(&folder, "back.qcow2");
    converted(&Source::image(&open(&raw_path)), &Container::Qcow2(Qcow2Options::default()), &back_path, (PACKED, 3));
    assert_is(&back_path, &Qcow2Options::default(), &raw);
    assert!(back_path.metadata().unwrap().len() < 1 << 20);
}

/// An edit of the image at `path`, and the disk after it; the disk may become larger.
fn edit(path: &Path, random: &mut Random) -> (Overlay<Extended<Arc<Image>>>, Arc<Image>, Vec<u8>) {
    let base = Arc::new(open_chain(path).unwrap());
    let mut disk = read_all(&base);
    disk.resize(disk.len() + 512 * random.below(3000) as usize, 0);
    let extended = Extended::new(Arc::clone(&base), disk.len() as u64);
    let overlay = Overlay::new(extended, 1 << 20, Box::new(tempfile::tempfile));
    for _ in 0..4 + random.below(12) {
        let at = random.below(disk.len() as u64) as usize;
        let length = (1usize << random.below(19)).min(disk.len() - at);
        random.fill(&mut disk[at..at + length]);
        overlay.write_at(at as u64, &disk[at..at + length]).unwrap();
    }
    (overlay, base, disk)
}

#[test]
fn a_thin_overlay_is_the_difference_to_its_base() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(121);
    let (raw_path, raw) = path_in(&folder, "disk.raw");
    for round in 0..12 {
        println!("seed={:#x}", random.0);
        let format = ["raw", "qcow2"][round % 2];
        let size = (3 << 20) + 512 * random.below(3000) as usize;
        std::fs::write(&raw_path, random.disk(size)).unwrap();
        let (base_path, base) = path_in(&folder, "base.img");
        let _ = std::fs::remove_file(&base_path);
        qemu_img(&["convert", "-f", "raw", "-O", format, &raw, &base]);
        let (overlay, image, disk) = edit(&base_path, &mut random);
        std::fs::write(&raw_path, &disk).unwrap();
        let kind = Qcow2Options {
            cluster_size_bytes: [512, 4096, 65536, 2 << 20][random.below(4) as usize],
            compression_type: [CompressionType::Zlib, CompressionType::Zstd][random.below(2) as usize],
            backing: Some(BackingName { name: "base.img".into(), format: Some(format.into()) }),
            ..Qcow2Options::default()
        };
        let (thin_path, thin) = path_in(&folder, "thin.qcow2");
        let changed = overlay.changed();
        let source = Source::edited(&image, &overlay, &changed);
        for new in [PACKED, NewClusters::Plain] {
            let counts = converted(&source, &Container::Qcow2(kind.clone()), &thin_path, (new, 2));
            assert_eq!(counts.clusters_kept, 0);
            let changed_bytes: u64 = changed.iter().map(|range| range.end - range.start).sum();
            let most = changed_bytes + (changed.len() as u64 * 2 + 40) * u64::from(kind.cluster_size_bytes) + (1 << 17);
            assert!(counts.file_size_bytes < most, "{counts:?}, {changed_bytes} bytes changed");
            let said = qemu_img(&["check", &thin]);
            assert!(said.contains("No errors were found"), "{said}");
            qemu_img(&["compare", "-f", "qcow2", "-F", "raw", &thin, &raw]);
            let info = qemu_img(&["info", "--backing-chain", &thin]);
            assert!(info.contains("backing file: base.img (actual path:"), "{info}");
            assert!(info.contains(&format!("backing file format: {format}")), "{info}");
            let opened = open_chain(&thin_path).unwrap();
            assert!(read_all(&opened) == disk);
            assert_eq!(opened.check().unwrap(), vec![]);
        }
    }
}

#[test]
fn zeros_over_a_base_with_data_are_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let (base_path, base) = path_in(&folder, "base.raw");
    std::fs::write(&base_path, vec![0x55; 1 << 20]).unwrap();
    let backing = Some(BackingName { name: base, format: Some("raw".into()) });
    let zeros = storage::Memory::from(vec![0; 1 << 20]);
    let (thin_path, thin) = path_in(&folder, "thin.qcow2");
    let container = Container::Qcow2(Qcow2Options { backing, ..Qcow2Options::default() });
    let counts = converted(&Source::disk(&zeros), &container, &thin_path, (PACKED, 2));
    assert_eq!((counts.clusters_zero, counts.clusters_compressed, counts.clusters_plain), (16, 0, 0));
    let (raw_path, raw) = path_in(&folder, "zeros.raw");
    std::fs::write(raw_path, read_all(&zeros)).unwrap();
    qemu_img(&["compare", "-f", "qcow2", "-F", "raw", &thin, &raw]);
    assert!(read_all(&open_chain(&thin_path).unwrap()) == read_all(&zeros));
    assert_eq!(zeros.size_bytes(), 1 << 20);
}
