//! qcow2 images changed in place, many times over, also by QEMU in between; QEMU is the judge.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where a step fails, and says its seed")]

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::judge::in_place::{Change, assert_is, assert_sound, rounds, target};
use crate::judge::{Random, open, open_chain, path_in, qemu_img, qemu_img_says, read_all};
use image::NewClusters;
use storage::{FileStorage, ReadAt};
use tempfile::TempDir;

const VARIANTS: [(&str, &[&str]); 12] = [
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
    ("compat=1.1,extended_l2=on", &[]),
    ("compat=1.1,extended_l2=on", &["-c"]),
];

#[expect(clippy::disallowed_methods, reason = "the other writer is another program")]
fn qemu_io(path: &Path, command: &str) -> bool {
    let output = std::process::Command::new("qemu-io").arg("-c").arg(command).arg(path).output();
    output.expect("qemu-io is needed").status.success()
}

/// An image that we and QEMU change in turn, and what its disk and its snapshots have to be.
struct Shared<'a> {
    folder: &'a TempDir,
    random: &'a mut Random,
    disk: Vec<u8>,
    snapshots: BTreeMap<String, Vec<u8>>,
    cluster_size: usize,
    is_v2: bool,
    /// Refcounts are wide enough for snapshots.
    has_snapshots: bool,
    /// Refcounts are so narrow that a cluster may have too many streams for a snapshot.
    may_refuse_snapshots: bool,
}

impl<'a> Shared<'a> {
    fn new(
        folder: &'a TempDir,
        random: &'a mut Random,
        (cluster_size, options, flags): (&str, &str, &[&str]),
        disk_bytes: usize,
    ) -> Self {
        let size = disk_bytes / 512 * 512 + 512 * random.below(300) as usize;
        let disk = random.disk(size);
        let (raw_path, raw) = path_in(folder, "base.raw");
        let (_, image) = path_in(folder, "image.qcow2");
        std::fs::write(&raw_path, &disk).unwrap();
        let is_v2 = options.contains("0.10");
        let has_snapshots = !["bits=1", "bits=2"].iter().any(|narrow| options.ends_with(narrow));
        let may_refuse_snapshots = options.contains("refcount_bits=4,");
        let options = format!("cluster_size={cluster_size},{options}");
        qemu_img(&[&["convert", "-f", "raw", "-O", "qcow2", "-o", &options][..], flags, &[&raw, &image]].concat());
        let cluster_size = open(&folder.path().join("image.qcow2")).info().qcow2.unwrap().cluster_size_bytes as usize;
        let snapshots = BTreeMap::new();
        Self { folder, random, disk, snapshots, cluster_size, is_v2, has_snapshots, may_refuse_snapshots }
    }

    fn edit(&mut self) {
        let (path, _) = path_in(self.folder, "image.qcow2");
        // A snapshot of version 2 does not record its disk's size.
        let may_grow = self.snapshots.is_empty() || !self.is_v2;
        let change = Change::random(open(&path), &mut self.disk, self.random, may_grow);
        println!("{:?}", change.commit_to(&path));
    }

    /// QEMU writes, makes zeros, throws away, or compresses.
    fn write_with_qemu(&mut self) {
        let (path, _) = path_in(self.folder, "image.qcow2");
        let at = self.random.below(self.disk.len() as u64) as usize / 512 * 512;
        let length = (512usize << self.random.below(9)).min(self.disk.len() - at);
        let byte = self.random.below(255) as u8 + 1;
        match self.random.below(4) {
            0 => {
                assert!(qemu_io(&path, &format!("write -z -u {at} {length}")));
                self.disk[at..at + length].fill(0);
            }
            1 if at / self.cluster_size * self.cluster_size + self.cluster_size <= self.disk.len() => {
                let (at, length) = (at / self.cluster_size * self.cluster_size, self.cluster_size);
                // Where the refcounts have no room QEMU may refuse: then nothing changed.
                if qemu_io(&path, &format!("write -c -P {byte} {at} {length}")) {
                    self.disk[at..at + length].fill(byte);
                } else {
                    self.disk = read_all(&open(&path));
                }
            }
            _ => {
                assert!(qemu_io(&path, &format!("write -P {byte} {at} {length}")));
                self.disk[at..at + length].fill(byte);
            }
        }
    }

    fn snapshot(&mut self) {
        let (_, image) = path_in(self.folder, "image.qcow2");
        let names: Vec<String> = self.snapshots.keys().cloned().collect();
        match self.random.below(5) {
            0 if !names.is_empty() => {
                let name = &names[self.random.below(names.len() as u64) as usize];
                qemu_img(&["snapshot", "-d", name, &image]);
                self.snapshots.remove(name);
            }
            1 if !names.is_empty() => {
                let name = &names[self.random.below(names.len() as u64) as usize];
                if self.takes_snapshot(&["snapshot", "-a", name, &image]) {
                    self.disk = self.snapshots[name].clone();
                }
            }
            _ if names.len() < 3 => {
                let name = format!("snapshot{:x}", self.random.below(1 << 40));
                if self.takes_snapshot(&["snapshot", "-c", &name, &image]) {
                    self.snapshots.insert(name, self.disk.clone());
                }
            }
            _ => {}
        }
    }

    /// Whether QEMU did it, which it has to where there is room for one more reference to each cluster.
    fn takes_snapshot(&mut self, arguments: &[&str]) -> bool {
        let (done, text) = qemu_img_says(arguments);
        let has_no_room = self.may_refuse_snapshots && text.contains("nvalid argument");
        assert!(done || has_no_room, "qemu-img {}: {text}", arguments.join(" "));
        if !done {
            // It leaves the counts of what it had come to, and the disk in the size that the snapshot's had.
            let (path, _) = path_in(self.folder, "image.qcow2");
            let common = self.disk.len().min(open(&path).size_bytes() as usize);
            let left = read_all(&open(&path));
            assert!(left[..common] == self.disk[..common] && left[common..].iter().all(|&byte| byte == 0));
            image::repair(&open(&path), &target(&path)).unwrap();
            self.disk = left;
        }
        done
    }

    fn assert_right(&self) {
        let (path, image) = path_in(self.folder, "image.qcow2");
        assert_is(&path, &self.disk);
        let (raw_path, raw) = path_in(self.folder, "snapshot.raw");
        for (name, disk) in &self.snapshots {
            qemu_img(&["convert", "-l", name, "-O", "raw", &image, &raw]);
            // It comes in the size that the disk has now.
            let found = std::fs::read(&raw_path).unwrap();
            let both = found.len().min(disk.len());
            assert!(found[..both] == disk[..both], "the snapshot {name} is another one");
        }
    }
}

/// Some steps of each of us for each kind of image.
fn sequences(cluster_size: &str, disk_bytes: usize, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    // Clusters with subclusters have at least 16 KiB.
    let has_subclusters = ["64k", "2M"].contains(&cluster_size);
    for (options, flags) in VARIANTS {
        if options.contains("extended_l2") && !has_subclusters {
            continue;
        }
        println!("cluster_size={cluster_size} {options} {flags:?} seed={:#x}", random.0);
        let mut shared = Shared::new(&folder, &mut random, (cluster_size, options, flags), disk_bytes);
        for _ in 0..rounds(if cluster_size == "2M" { 2 } else { 5 }) {
            match shared.random.below(4) {
                0 => shared.write_with_qemu(),
                1 if shared.has_snapshots => shared.snapshot(),
                _ => shared.edit(),
            }
            shared.assert_right();
        }
    }
}

#[test]
fn clusters_of_512_bytes() {
    sequences("512", 400_000, 1);
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
    sequences("2M", 9 << 20, 4);
}

#[test]
fn a_difference_to_another_file_is_edited_and_that_file_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(41);
    for options in ["compat=1.1", "compat=0.10", "compat=1.1,extended_l2=on", "compat=1.1,cluster_size=4k"] {
        println!("{options} seed={:#x}", random.0);
        let (base_path, base) = path_in(&folder, "base.raw");
        let (path, image) = path_in(&folder, "image.qcow2");
        let base_disk = random.disk(2 << 20);
        let mut disk = base_disk.clone();
        std::fs::write(&base_path, &base_disk).unwrap();
        qemu_img(&["create", "-f", "qcow2", "-b", &base, "-F", "raw", "-o", options, &image]);
        for round in 0..rounds(4) {
            // Zeros over data of the backing file need an entry, and the disk may grow over that data.
            let change = Change::random(open_chain(&path).unwrap(), &mut disk, &mut random, true);
            let at = (round as usize % 8) * 200_000;
            disk[at..at + 150_000].fill(0);
            change.put(at, &[0; 150_000], false);
            println!("{:?}", change.commit_to(&path));
            assert_is(&path, &disk);
            assert!(qemu_io(&path, &format!("write -P 9 {} 3k", 512 * random.below(2000))));
            disk = read_all(&open_chain(&path).unwrap());
            assert_is(&path, &disk);
        }
        assert!(std::fs::read(&base_path).unwrap() == base_disk);
        // A larger backing file would appear after the old end.
        qemu_img(&["create", "-f", "qcow2", "-b", &base, "-F", "raw", &image, "1M"]);
        let larger = Change::none(open_chain(&path).unwrap(), 2 << 20).commit(&target(&path)).unwrap_err();
        assert!(larger.to_string().contains("larger backing file"), "{larger}");
    }
}

#[test]
fn ten_edits_take_the_room_of_two() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(11);
    for (new_clusters, options) in [
        (NewClusters::Plain, "cluster_size=64k"),
        (NewClusters::Plain, "cluster_size=512,refcount_bits=64"),
        (NewClusters::Compressed { level: 1 }, "cluster_size=64k"),
        (NewClusters::Compressed { level: 1 }, "cluster_size=4k,compression_type=zstd"),
        (NewClusters::Compressed { level: 1 }, "cluster_size=64k,refcount_bits=2"),
    ] {
        let (path, image) = path_in(&folder, "image.qcow2");
        qemu_img(&["create", "-f", "qcow2", "-o", options, &image, "16M"]);
        let mut sizes = Vec::new();
        for _ in 0..10 {
            let mut change = Change::none(open(&path), 16 << 20);
            change.options.new_clusters = new_clusters;
            // Noise and words, half of which stay.
            let noise: Vec<u8> = (0..1 << 20).map(|_| random.next() as u8 & 0x77).collect();
            change.put((3 << 20) + 4096 * random.below(8) as usize, &noise, false);
            change.commit_to(&path);
            assert_sound(&path);
            sizes.push(path.metadata().unwrap().len());
        }
        println!("{options} {new_clusters:?} {sizes:?}");
        assert!(sizes[9] <= sizes[0] * 2 + (512 << 10), "{sizes:?}");
        assert!(sizes[9] <= sizes[3] + sizes[3] / 8, "{sizes:?}");
    }
}

#[test]
fn threads_do_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(21);
    let mut disk = random.disk(5 << 20);
    let (raw_path, raw) = path_in(&folder, "base.raw");
    std::fs::write(&raw_path, &disk).unwrap();
    let (path, image) = path_in(&folder, "image.qcow2");
    qemu_img(&["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=16k", &raw, &image]);
    for _ in 0..rounds(3) {
        let before = std::fs::read(&path).unwrap();
        let mut change = Change::random(open(&path), &mut disk, &mut random, true);
        change.options.new_clusters = NewClusters::Compressed { level: 3 };
        let mut first: Option<Vec<u8>> = None;
        for threads in [1, 2, 5] {
            std::fs::write(&path, &before).unwrap();
            change.options.threads = std::num::NonZeroUsize::new(threads).unwrap();
            change.commit_to(&path);
            let after = std::fs::read(&path).unwrap();
            assert!(*first.get_or_insert_with(|| after.clone()) == after, "threads={threads}");
        }
        assert_is(&path, &disk);
    }
}

#[test]
fn a_dirty_image_is_right_and_clean_after_an_edit() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(31);
    for round in 0..rounds(4) {
        println!("seed={:#x}", random.0);
        let options = ["64k", "4k", "512"][round as usize % 3];
        let variant = (options, "compat=1.1,lazy_refcounts=on", &["-c"][..]);
        let mut shared = Shared::new(&folder, &mut random, variant, 1 << 20);
        let (path, _) = path_in(&folder, "image.qcow2");
        let at = shared.random.below(shared.disk.len() as u64 - 300_000) as usize / 512 * 512;
        // QEMU dies with refcounts that it has in memory only.
        dies_while_writing(&path, at);
        shared.disk[at..at + (200 << 10)].fill(7);
        assert!(open(&path).info().qcow2.unwrap().features.contains(&"dirty".to_string()));
        shared.edit();
        shared.assert_right();
        assert!(!open(&path).info().qcow2.unwrap().features.contains(&"dirty".to_string()));
        shared.edit();
        shared.assert_right();
    }
}

#[expect(clippy::disallowed_methods, reason = "the other writer is another program")]
fn dies_while_writing(path: &Path, at: usize) {
    let write = format!("write -P 7 {at} 200k");
    let arguments = ["-c", &write, "-c", "flush", "-c", "abort"];
    let output = std::process::Command::new("qemu-io").args(arguments).arg(path).output().unwrap();
    assert!(!output.status.success());
}

#[test]
fn an_edit_without_a_change_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = path_in(&folder, "image.qcow2");
    qemu_img(&["create", "-f", "qcow2", &image, "8M"]);
    let before = std::fs::read(&path).unwrap();
    let change = Change::none(open(&path), 8 << 20);
    change.put(70_000, &[0; 100_000], false);
    let recorder = storage::Recorder::from(before.clone());
    let edited = change.commit(&recorder).unwrap();
    assert_eq!(edited.clusters_zero, 2);
    assert_eq!(recorder.events(), vec![]);
}

#[test]
fn what_was_past_the_old_end_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = path_in(&folder, "image.qcow2");
    let (raw_path, raw) = path_in(&folder, "base.raw");
    std::fs::write(&raw_path, vec![0x5a; 2 << 20]).unwrap();
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2", &raw, &image]);
    // The disk ends inside a cluster, and clusters after it have bytes.
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&((1u64 << 20) + 1024).to_be_bytes(), 24).unwrap();
    let change = Change::none(open(&path), 3 << 20);
    let edited = change.commit_to(&path);
    assert!(edited.host_clusters_freed >= 15, "{edited:?}");
    let mut disk = vec![0x5a; (1 << 20) + 1024];
    disk.resize(3 << 20, 0);
    assert_is(&path, &disk);
}

#[test]
fn unknown_autoclear_bits_are_cleared_and_the_rest_of_the_header_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = path_in(&folder, "image.qcow2");
    qemu_img(&["create", "-f", "qcow2", "-o", "cluster_size=512", &image, "1M"]);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&(1u64 << 40 | 1 << 63).to_be_bytes(), 88).unwrap();
    let before = std::fs::read(&path).unwrap();
    let change = Change::none(open(&path), 1 << 20);
    change.put(5000, b"graft", false);
    change.commit_to(&path);
    let after = std::fs::read(&path).unwrap();
    assert_eq!(after[88..96], [0; 8]);
    // The L1 table's place and the refcount table's are new ones.
    for same in [0..40, 64..88, 96..512] {
        assert_eq!(before[same.clone()], after[same]);
    }
    assert_sound(&path);
}

#[test]
fn a_payload_is_plain_in_one_piece() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = path_in(&folder, "image.qcow2");
    qemu_img(&["create", "-f", "qcow2", &image, "64M"]);
    let mut change = Change::none(open(&path), 64 << 20);
    change.options.new_clusters = NewClusters::Plain;
    let payload: Vec<u8> = (0..20 << 20).map(|at: u32| (at % 251) as u8).collect();
    change.put(1 << 20, &payload, true);
    let edited = change.commit_to(&path);
    assert_eq!(edited.clusters_plain, 320);
    let map = qemu_img(&["map", "--output=json", &image]);
    assert_eq!(map.matches("\"data\": true").count(), 1, "{map}");
    let mut disk = vec![0; 64 << 20];
    disk[1 << 20..21 << 20].copy_from_slice(&payload);
    assert_is(&path, &disk);
}

#[test]
fn what_cannot_be_edited_in_place_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = path_in(&folder, "image.qcow2");
    let refusal = |size_bytes: usize| {
        let before = std::fs::read(&path).unwrap();
        let error = Change::none(open(&path), size_bytes).commit(&target(&path)).unwrap_err();
        assert!(std::fs::read(&path).unwrap() == before, "{error}");
        error.to_string()
    };
    qemu_img(&["create", "-f", "qcow2", &image, "4M"]);
    qemu_img(&["bitmap", "--add", &image, "marks"]);
    assert!(refusal(4 << 20).contains("persistent bitmaps"));
    qemu_img(&["create", "-f", "qcow2", "-o", "compat=0.10", &image, "4M"]);
    qemu_img(&["snapshot", "-c", "one", &image]);
    assert!(refusal(5 << 20).contains("version 2 with internal snapshots, snapshots=1"));
    let mut raw = vec![0; 4 << 20];
    raw[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(&path, raw).unwrap();
    assert!(refusal(4 << 20).contains("raw image"));
    let raw = open(&path);
    let storage: FileStorage = target(&path);
    assert!(!image::repair(&raw, &storage).unwrap().any());
    assert_eq!(storage.size_bytes(), 4 << 20);
}
