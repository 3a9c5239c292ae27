//! Backing chains and extended L2 entries that `qemu-img` and `qemu-io` made, read and written anew.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where a step fails, and says its seed")]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::judge::{Folder, Random, converted, open, open_chain, path_in, qemu_img, qemu_io, read_all, written};
use image::{BackingName, Container, Error, Gate, Image, NewClusters, OpenOptions, Opened, Qcow2Options, Source};
use storage::{Extended, ExtentKind, FileStorage, Overlay, ReadAt, WriteAt};

const PACKED: NewClusters = NewClusters::Compressed { level: 4 };

/// Random writes, zeros and discards of `qemu-io`, of odd sizes. The last of them are a boot sector's.
fn scribble(image: &str, size: u64, random: &mut Random) {
    let mut commands = Vec::new();
    for _ in 0..3 + random.below(12) {
        let at = random.below(size / 512 - 1) * 512;
        let most = 1 << random.below(9);
        let length = ((1 + random.below(most)) * 512).min(size - at);
        let pattern = random.below(255) + 1;
        commands.push(match random.below(5) {
            0 => format!("write -z {at} {length}"),
            1 => format!("write -zu {at} {length}"),
            2 => format!("discard {at} {length}"),
            _ => format!("write -P {pattern} {at} {length}"),
        });
    }
    commands.push("write -P 0x55 510 1".into());
    commands.push("write -P 0xaa 511 1".into());
    qemu_io(image, &commands);
}

/// Compressed clusters, too, in a new image or in one that has none there.
fn scribble_compressed(image: &str, cluster: u64, size: u64, random: &mut Random) {
    // QEMU compresses into clusters that are not there yet only.
    let clusters: BTreeSet<u64> = (0..random.below(4)).map(|_| random.below(size / cluster)).collect();
    let write = |number: u64| format!("write -c -P {} {} {cluster}", number % 255 + 1, number * cluster);
    qemu_io(image, &clusters.into_iter().map(write).collect::<Vec<_>>());
}

/// The disk as `qemu-img` reads it.
fn judged_disk(folder: &tempfile::TempDir, image: &str) -> Vec<u8> {
    let (raw_path, raw) = path_in(folder, "judged.raw");
    qemu_img(&["convert", "-O", "raw", image, &raw]);
    std::fs::read(raw_path).unwrap()
}

fn assert_reads_as(image: &Image, disk: &[u8], random: &mut Random) {
    assert!(read_all(image) == disk, "the whole disk differs");
    for _ in 0..40 {
        let at = random.below(disk.len() as u64) as usize;
        let length = (random.below(200_000) as usize).min(disk.len() - at);
        let mut bytes = vec![1; length];
        image.read_at(at as u64, &mut bytes).unwrap();
        assert!(bytes == disk[at..at + length], "{length} bytes at {at} differ");
        let extent = image.extent_at(at as u64).unwrap();
        let end = at + extent.length_bytes as usize;
        assert!(extent.kind == ExtentKind::Data || disk[at..end].iter().all(|&byte| byte == 0));
    }
}

/// Makes a chain of `depth` images over a base, and returns the path of the top one.
fn chain(folder: &tempfile::TempDir, depth: usize, random: &mut Random) -> String {
    let (raw_path, raw) = path_in(folder, "bottom.raw");
    let size = (2 << 20) + random.below(2000) as usize * 512;
    std::fs::write(raw_path, random.disk(size)).unwrap();
    let cluster_sizes = ["4k", "64k", "64k", "2M", "512"];
    let mut below = ("bottom.raw".to_string(), "raw");
    if random.below(3) > 0 {
        let (_, qcow2) = path_in(folder, "bottom.qcow2");
        let options = format!("cluster_size={}", cluster_sizes[random.below(5) as usize]);
        let flags = [&["-c"][..], &[]][random.below(2) as usize];
        qemu_img(&[&["convert", "-f", "raw", "-O", "qcow2", "-o", &options][..], flags, &[&raw, &qcow2]].concat());
        below = ("bottom.qcow2".to_string(), "qcow2");
    }
    for layer in 0..depth {
        let name = format!("layer{layer}.qcow2");
        let (_, path) = path_in(folder, &name);
        let cluster_size = cluster_sizes[random.below(5) as usize];
        let is_extended = cluster_size != "4k" && cluster_size != "512" && random.below(2) == 0;
        let compression = ["zlib", "zstd"][random.below(2) as usize];
        let options = format!(
            "cluster_size={cluster_size},extended_l2={},compression_type={compression}",
            if is_extended { "on" } else { "off" }
        );
        // Smaller and larger than the image below.
        let size = (1 << 20) + random.below(6000) * 512;
        let text = size.to_string();
        println!("{name}: {options} size={size} over {below:?}");
        qemu_img(&[
            "create",
            "-f",
            "qcow2",
            "-o",
            &options,
            "-b",
            &in_folder(folder, &below.0),
            "-F",
            below.1,
            &path,
            &text,
        ]);
        qemu_img(&["rebase", "-u", "-b", &below.0, "-F", below.1, &path]);
        let cluster = if cluster_size == "4k" { 4096 } else { 65536 };
        if cluster_size == "4k" || cluster_size == "64k" {
            scribble_compressed(&path, cluster, size, random);
        }
        scribble(&path, size, random);
        below = (name, "qcow2");
    }
    in_folder(folder, &below.0)
}

fn in_folder(folder: &tempfile::TempDir, name: &str) -> String {
    path_in(folder, name).1
}

/// Edits the image and writes it anew, alone, in its own format and in others.
fn rewrite(folder: &tempfile::TempDir, image: &Arc<Image>, disk: &[u8], random: &mut Random) {
    let mut disk = disk.to_vec();
    disk.resize(disk.len() + random.below(2) as usize * 512 * random.below(900) as usize, 0);
    let extended = Extended::new(Arc::clone(image), disk.len() as u64);
    let overlay = Overlay::new(extended, 1 << 20, Box::new(tempfile::tempfile));
    for _ in 0..random.below(8) {
        let at = random.below(disk.len() as u64) as usize;
        let length = (1usize << random.below(18)).min(disk.len() - at);
        random.fill(&mut disk[at..at + length]);
        overlay.write_at(at as u64, &disk[at..at + length]).unwrap();
    }
    let (raw_path, raw) = path_in(folder, "expected.raw");
    std::fs::write(raw_path, &disk).unwrap();
    let (new_path, new) = path_in(folder, "new.qcow2");
    let changed = overlay.changed();
    let new_clusters = [PACKED, NewClusters::Plain][random.below(2) as usize];
    let judge = || {
        let said = qemu_img(&["check", &new]);
        assert!(said.contains("No errors were found"), "{said}");
        qemu_img(&["compare", "-f", "qcow2", "-F", "raw", &new, &raw]);
        // It opens without any gate.
        assert!(read_all(&open(&new_path)) == disk);
        assert!(!qemu_img(&["info", &new]).contains("extended l2: true"));
    };
    written(image, &overlay, &changed, &new_path, (new_clusters, 2));
    judge();
    let options = Qcow2Options {
        cluster_size_bytes: [4096, 65536, 65536, 2 << 20][random.below(4) as usize],
        ..Qcow2Options::default()
    };
    converted(&Source::edited(image, &overlay, &changed), &Container::Qcow2(options), &new_path, (new_clusters, 3));
    judge();
    let (back_path, _) = path_in(folder, "back.raw");
    converted(&Source::edited(image, &overlay, &changed), &Container::Raw, &back_path, (new_clusters, 3));
    assert!(std::fs::read(back_path).unwrap() == disk);
}

#[test]
fn chains_read_as_qemu_reads_them_and_become_one_image() {
    let rounds = testkit::rounds(cfg!(feature = "full-tests"), [12, 40, 200]) as usize;
    let mut random = Random(201);
    for round in 0..rounds {
        println!("seed={:#x}", random.0);
        let folder = tempfile::tempdir().unwrap();
        let top = chain(&folder, 1 + round % 4, &mut random);
        let image = Arc::new(open_chain(Path::new(&top)).unwrap());
        let disk = judged_disk(&folder, &top);
        assert_reads_as(&image, &disk, &mut random);
        assert_eq!(image.check().unwrap(), vec![]);
        rewrite(&folder, &image, &disk, &mut random);
    }
}

#[test]
fn compressed_clusters_of_every_layer_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (raw_path, raw) = path_in(&folder, "disk.raw");
    std::fs::write(raw_path, Random(211).disk(6 << 20)).unwrap();
    let (_, base) = path_in(&folder, "base.qcow2");
    qemu_img(&["convert", "-c", "-O", "qcow2", &raw, &base]);
    let (top_path, top) = path_in(&folder, "top.qcow2");
    qemu_img(&["create", "-f", "qcow2", "-b", &base, "-F", "qcow2", &top]);
    qemu_io(&top, &["write -P 7 1M 64k".into(), "write -c -P 8 2M 64k".into()]);
    let image = open_chain(&top_path).unwrap();
    let (new_path, new) = path_in(&folder, "new.qcow2");
    let counts = converted(&Source::image(&image), &Container::Qcow2(Qcow2Options::default()), &new_path, (PACKED, 2));
    assert!(counts.clusters_kept > 40 && counts.clusters_compressed <= 20, "{counts:?}");
    qemu_img(&["compare", &new, &top]);
    assert!(qemu_img(&["check", &new]).contains("No errors"));
}

#[test]
fn extended_l2_entries_read_as_qemu_reads_them() {
    let rounds = testkit::rounds(cfg!(feature = "full-tests"), [10, 40, 200]) as usize;
    let mut random = Random(221);
    for round in 0..rounds {
        println!("seed={:#x}", random.0);
        let folder = tempfile::tempdir().unwrap();
        let (path, image) = path_in(&folder, "image.qcow2");
        let cluster_size: u64 = [16 << 10, 64 << 10, 256 << 10, 2 << 20][round % 4];
        let size = (5 << 20) + 512 * random.below(2000);
        let preallocation = ["off", "off", "metadata"][random.below(3) as usize];
        let options = format!("cluster_size={cluster_size},extended_l2=on,preallocation={preallocation}");
        qemu_img(&["create", "-f", "qcow2", "-o", &options, &image, &size.to_string()]);
        if preallocation == "off" {
            scribble_compressed(&image, cluster_size, size, &mut random);
        }
        scribble(&image, size, &mut random);
        let opened = Arc::new(open(&path));
        assert_eq!(opened.info().qcow2.unwrap().features, ["extended L2 entries"]);
        assert_eq!(opened.check().unwrap(), vec![]);
        let disk = judged_disk(&folder, &image);
        assert_reads_as(&opened, &disk, &mut random);
        rewrite(&folder, &opened, &disk, &mut random);
    }
}

/// A gate that opens every file and remembers its name.
struct Recorder {
    folder: std::path::PathBuf,
    asked: Arc<Mutex<Vec<BackingName>>>,
}

impl Gate for Recorder {
    fn open(&self, file: &BackingName) -> Result<Opened, Box<dyn std::error::Error + Send + Sync>> {
        self.asked.lock().unwrap().push(file.clone());
        let gate = Self { folder: self.folder.clone(), asked: Arc::clone(&self.asked) };
        let Opened { file, .. } = Folder(self.folder.clone()).open(file)?;
        Ok(Opened { file, gate: Box::new(gate) })
    }
}

/// Opens with a gate that opens every file; returns the names that the gate got, and the error.
fn open_recorded(path: &Path) -> (Vec<String>, Option<Error>) {
    let asked = Arc::new(Mutex::default());
    let gate = Recorder { folder: path.parent().unwrap().to_owned(), asked: Arc::clone(&asked) };
    let options = OpenOptions { format: None, gate: Some(&gate) };
    let opened = Image::open_with(FileStorage::new(File::open(path).unwrap()).unwrap(), &options);
    let names = asked.lock().unwrap().iter().map(|file: &BackingName| file.name.clone()).collect();
    (names, opened.err())
}

/// An error and its causes.
fn whole(error: &Error) -> String {
    let first: &dyn std::error::Error = error;
    let all = std::iter::successors(Some(first), |error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[test]
fn nothing_is_opened_but_through_the_gate() {
    let folder = tempfile::tempdir().unwrap();
    let (_, base) = path_in(&folder, "base.qcow2");
    let (middle_path, middle) = path_in(&folder, "middle.qcow2");
    let (top_path, top) = path_in(&folder, "top.qcow2");
    qemu_img(&["create", "-f", "qcow2", &base, "1M"]);
    qemu_img(&["create", "-f", "qcow2", "-b", &base, "-F", "qcow2", &middle]);
    qemu_img(&["create", "-f", "qcow2", "-b", &middle, "-F", "qcow2", &top]);
    let error = Image::open(FileStorage::new(File::open(&top_path).unwrap()).unwrap(), None).unwrap_err();
    assert!(matches!(&error, Error::BackingFile { name } if *name == middle), "{error}");
    assert_eq!(open_recorded(&top_path).0, [middle.clone(), base.clone()]);
    assert!(open_recorded(&top_path).1.is_none());
    // The gate's own reason is told.
    std::fs::remove_file(&middle_path).unwrap();
    let (_, error) = open_recorded(&top_path);
    let error = error.unwrap();
    assert!(
        whole(&error).contains(&format!("backing_file={middle:?} cannot be used: No such file")),
        "{}",
        whole(&error)
    );
    assert!(error.host_error().is_some());
}

#[test]
fn a_format_that_is_not_stated_is_no_way_to_a_third_file() {
    let folder = tempfile::tempdir().unwrap();
    let (_, secret) = path_in(&folder, "secret");
    std::fs::write(&secret, vec![1; 4096]).unwrap();
    // What a guest could write into its raw disk.
    let (disk_path, disk) = path_in(&folder, "disk.raw");
    qemu_img(&["create", "-f", "qcow2", "-b", &secret, "-F", "raw", &disk]);
    let (top_path, top) = path_in(&folder, "top.qcow2");
    qemu_img(&["create", "-f", "qcow2", "-b", &disk, "-F", "raw", &top]);
    // With the format, the disk is raw: those bytes and nothing else.
    let image = open_chain(&top_path).unwrap();
    assert!(read_all(&image)[..4] == *b"QFI\xfb");
    // Without it, it would be an image that names the secret.
    let mut bytes = std::fs::read(&top_path).unwrap();
    let extension = bytes.windows(4).position(|four| four == 0xe279_2acau32.to_be_bytes()).unwrap();
    // An unknown format.
    bytes[extension] = 0x12;
    std::fs::write(&top_path, bytes).unwrap();
    let (asked, error) = open_recorded(&top_path);
    assert_eq!(asked, [disk]);
    let error = whole(&error.unwrap());
    assert!(error.contains("whose format is not stated and which names backing_file="), "{error}");
    // An image that names nothing is read, and so is what begins as a disk does.
    let (raw_path, raw) = path_in(&folder, "sound.raw");
    std::fs::write(&raw_path, Random(231).disk(4096)).unwrap();
    for format in ["qcow2", "raw"] {
        std::fs::remove_file(&disk_path).unwrap();
        qemu_img(&["convert", "-f", "raw", "-O", format, &raw, disk_path.to_str().unwrap()]);
        let image = open_chain(&top_path).unwrap();
        assert!(read_all(&image)[..4096] == std::fs::read(&raw_path).unwrap());
    }
}

#[test]
fn a_loop_and_a_format_that_is_not_read_end_in_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (one_path, one) = path_in(&folder, "one.qcow2");
    let (_, two) = path_in(&folder, "two.qcow2");
    qemu_img(&["create", "-f", "qcow2", &one, "1M"]);
    qemu_img(&["create", "-f", "qcow2", "-b", &one, "-F", "qcow2", &two]);
    qemu_img(&["rebase", "-u", "-b", &two, "-F", "qcow2", &one]);
    let (asked, error) = open_recorded(&one_path);
    assert_eq!(asked.len(), 16);
    let error = whole(&error.unwrap());
    assert!(error.contains("a chain of more than 16 backing files, with"), "{error}");
    qemu_img(&["rebase", "-u", "-b", &two, "-F", "parallels", &one]);
    let (asked, error) = open_recorded(&one_path);
    assert_eq!(asked, Vec::<String>::new());
    let error = whole(&error.unwrap());
    assert!(error.starts_with(&format!("the backing format \"parallels\" of backing_file={two:?}")), "{error}");
}
