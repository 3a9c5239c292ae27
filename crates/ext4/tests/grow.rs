//! Growing, judged by e2fsprogs: `e2fsck -fn` says nothing, the tree is the same, and what `dumpe2fs`
//! says is what it says of a copy that `resize2fs` has grown.

#![allow(clippy::print_stdout, reason = "what is about to be tried is printed, to be had again")]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::support::Random;
use ext4::{Attributes, Error, FileSystem, InodeNumber, Time};
use storage::{FileStorage, Memory};
use testkit::judge::{assert_e2fsck_clean, judge};

/// Options of `mke2fs`, and sizes in KiB to begin with and to grow to.
const MATRIX: &[(&str, u64, u64)] = &[
    // A group that gets longer, no more than that.
    ("-t ext4 -b 4096", 40 << 10, 100 << 10),
    // Short last groups: kept, and left off.
    ("-t ext4 -b 4096", 64 << 10, (512 << 10) + 3000),
    ("-t ext4 -b 4096", 64 << 10, (384 << 10) + 2000),
    ("-t ext4 -b 4096 -i 8192 -O 64bit,metadata_csum,^orphan_file,^metadata_csum_seed", 300 << 10, 3 << 20),
    ("-t ext4 -b 4096 -G 4 -O ^64bit", 300 << 10, 3 << 20),
    ("-t ext4 -b 4096 -G 1", 64 << 10, 1 << 20),
    ("-t ext4 -b 4096 -G 64", 300 << 10, 10 << 20),
    ("-t ext4 -b 4096 -O ^flex_bg", 64 << 10, 1 << 20),
    ("-t ext4 -b 4096 -O ^flex_bg,^metadata_csum,uninit_bg", 200 << 10, 1 << 20),
    ("-t ext4 -b 4096 -O ^metadata_csum,^uninit_bg", 200 << 10, 1 << 20),
    ("-t ext4 -b 4096 -I 128 -O ^64bit,^metadata_csum,uninit_bg", 200 << 10, 2 << 20),
    ("-t ext4 -b 1024", 16 << 10, 300 << 10),
    ("-t ext4 -b 1024 -O ^64bit,^metadata_csum,uninit_bg,^flex_bg", 20 << 10, 500 << 10),
    ("-t ext4 -b 1024 -g 4096", 10 << 10, 100 << 10),
    ("-t ext4 -b 2048 -O metadata_csum_seed", 40 << 10, 600 << 10),
    ("-t ext4 -b 2048 -O ^metadata_csum,uninit_bg -O ^resize_inode", 40 << 10, 600 << 10),
    ("-t ext4 -b 1024 -O quota,project,inline_data,orphan_file,ea_inode,large_dir", 20 << 10, 200 << 10),
    ("-t ext2 -b 1024", 7 << 10, 90 << 10),
    ("-t ext2 -b 1024 -O ^sparse_super,^resize_inode", 20 << 10, 90 << 10),
    ("-t ext3 -b 4096", 100 << 10, 1 << 20),
    ("-t ext4 -b 4096 -O sparse_super2", 300 << 10, 2 << 20),
    ("-t ext4 -b 1024 -O sparse_super2", 7 << 10, 60 << 10),
    ("-t ext4 -b 1024 -O sparse_super2,meta_bg,^resize_inode", 64 << 10, 300 << 10),
    ("-t ext4 -b 1024 -O meta_bg,^resize_inode", 16 << 10, 400 << 10),
    ("-t ext4 -b 1024 -O meta_bg,^resize_inode,^flex_bg,^metadata_csum", 16 << 10, 400 << 10),
    ("-t ext4 -b 1024 -O meta_bg,^resize_inode,^64bit,^sparse_super", 16 << 10, 400 << 10),
];

/// As [`MATRIX`], but with more descriptors than there is room kept free for.
const CROWDED: &[(&str, u64, u64)] = &[
    ("-t ext4 -b 1024 -E resize=140000", 16 << 10, 600 << 10),
    ("-t ext4 -b 1024 -E resize=140000 -O ^flex_bg,^metadata_csum,uninit_bg", 16 << 10, 600 << 10),
    ("-t ext4 -b 1024 -O ^resize_inode", 16 << 10, 300 << 10),
    ("-t ext4 -b 1024 -O ^resize_inode,sparse_super2", 60 << 10, 300 << 10),
    ("-t ext2 -b 1024 -O ^resize_inode", 200 << 10, 600 << 10),
];

/// `resize2fs` 1.47.0 leaves this one with a block that is in use and free in the bitmap.
const MISCOUNTED: (&str, u64, u64) = ("-t ext4 -b 1024 -O sparse_super2,^metadata_csum,^flex_bg", 64 << 10, 100 << 10);

/// What the two must say alike, of what `dumpe2fs -h` prints.
const FIELDS: &[&str] = &[
    "Filesystem features",
    "Inode count",
    "Block count",
    "Reserved block count",
    "Overhead clusters",
    "Free blocks",
    "Free inodes",
    "First block",
    "Reserved GDT blocks",
    "Inodes per group",
    "Flex block group size",
    "First meta block group",
    "Journal inode",
    "Journal backup",
];

fn open(image: &Path) -> FileSystem<FileStorage> {
    FileSystem::open(FileStorage::new(File::options().read(true).write(true).open(image).unwrap()).unwrap()).unwrap()
}

fn make(options: &str, size_kib: u64, image: &Path) {
    let options: Vec<&str> = options.split(' ').collect();
    judge("mke2fs")
        .args(["-q", "-F", "-U", "01234567-89ab-4cde-8f01-23456789abcd"])
        .args(options)
        .arg(image)
        .arg(format!("{size_kib}k"))
        .succeed();
}

/// Fills the file system by `debugfs`, up to its last group, so that growing has to keep something.
fn populate(image: &Path, folder: &Path) {
    let size_kib = image.metadata().unwrap().size() >> 10;
    let content = folder.join("content");
    let bytes: Vec<u8> = (0..(size_kib / 16) << 10).map(|at| (at / 1024 * 31 + at) as u8).collect();
    std::fs::write(&content, bytes).unwrap();
    let content = content.display();
    let script = format!("mkdir a\nmkdir a/b\nwrite {content} one\nwrite {content} a/two\nsymlink a/link /etc\n");
    let script_file = folder.join("script");
    std::fs::write(&script_file, script).unwrap();
    judge("debugfs").args(["-w", "-f"]).arg(script_file).arg(image).succeed();
}

/// `Field: value` of `dumpe2fs -h`.
fn fields(image: &Path) -> BTreeMap<String, String> {
    let text = judge("dumpe2fs").arg("-h").arg(image).succeed().stdout;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// What `debugfs` takes out: path → size and digest.
fn tree(image: &Path) -> BTreeMap<String, (u64, u32)> {
    let folder = work_folder();
    judge("debugfs").arg("-R").arg(format!("rdump / {}", folder.path().display())).arg(image).succeed();
    let mut tree = BTreeMap::new();
    let mut left = vec![folder.path().to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
            let digest = if metadata.is_file() { crc32c::crc32c(&std::fs::read(&path).unwrap()) } else { 0 };
            tree.insert(name, (metadata.len(), digest));
            if metadata.is_dir() {
                left.push(path);
            }
        }
    }
    tree
}

/// From each backup of the super block, as `dumpe2fs` lists them, `e2fsck` gets the whole back.
///
/// Where descriptors have checksums it does not trust "never used" in a backup and has to write
/// bitmaps; without, there is nothing that it would change.
fn assert_backups_usable(image: &Path, block_size: &str, before: &BTreeMap<String, (u64, u32)>) {
    let said = judge("dumpe2fs").arg(image).succeed().stdout;
    let features = said.lines().find(|line| line.starts_with("Filesystem features")).unwrap();
    let has_checksums = ["metadata_csum", "uninit_bg"].iter().any(|name| features.contains(name));
    let backups = said.lines().filter_map(|line| line.trim().strip_prefix("Backup superblock at "));
    let mut backups: Vec<&str> = backups.map(|rest| rest.split(',').next().unwrap()).collect();
    // Past the first descriptor blocks, e2fsprogs do not find them from the backup of a later group.
    if said.lines().any(|line| line.starts_with("First meta block group")) {
        backups.truncate(1);
    }
    for block in backups.iter().filter(|_| !has_checksums) {
        judge("e2fsck").args(["-fn", "-b", block, "-B", block_size]).arg(image).succeed();
    }
    let Some(block) = backups.last() else { return };
    let copy = image.with_extension("backup");
    judge("cp").arg("--sparse=always").args([image, &copy]).succeed();
    // The primaries are gone: super block and descriptors.
    let (first, length) =
        if block_size == "1024" { (1024, 2048) } else { (0, 2 * block_size.parse::<usize>().unwrap()) };
    File::options().write(true).open(&copy).unwrap().write_all_at(&vec![0xA5; length], first).unwrap();
    let verdict = judge("e2fsck").args(["-fy", "-b", block, "-B", block_size]).arg(&copy).run();
    assert_eq!(verdict.status.code().unwrap() & !1, 0, "{verdict}");
    assert_e2fsck_clean(&copy, 0);
    assert_eq!(&tree(&copy), before);
}

fn sized_copy(image: &Path, copy: &Path, size_kib: u64) {
    judge("cp").arg("--sparse=always").args([image, copy]).succeed();
    File::options().write(true).open(copy).unwrap().set_len(size_kib << 10).unwrap();
}

/// In memory where the host has a place for that: `resize2fs` and `e2fsck` sync.
fn work_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Grows a copy; returns what `dumpe2fs` says of it and of one that `resize2fs` grew.
fn grow(options: &str, from_kib: u64, to_kib: u64) -> [BTreeMap<String, String>; 2] {
    println!("mke2fs {options}, {from_kib} KiB, to {to_kib} KiB");
    let folder = work_folder();
    let [image, ours, theirs] = ["image", "ours", "theirs"].map(|name| folder.path().join(name));
    make(options, from_kib, &image);
    populate(&image, folder.path());
    let before = tree(&image);
    sized_copy(&image, &ours, to_kib);
    sized_copy(&image, &theirs, to_kib);
    judge("resize2fs").arg(&theirs).succeed();

    let mut filesystem = open(&ours);
    let block_size = u64::from(filesystem.superblock().block_size_bytes());
    filesystem.grow((to_kib << 10) / block_size).unwrap();
    assert_eq!(filesystem.check().unwrap(), Vec::new());
    drop(filesystem);
    assert_e2fsck_clean(&ours, 0);
    assert_eq!(tree(&ours), before);
    assert_backups_usable(&ours, &block_size.to_string(), &before);
    let said = [fields(&ours), fields(&theirs)];

    // What was grown can be edited, and grown again by somebody else.
    let mut filesystem = open(&ours);
    let attributes = Attributes { permissions: 0o755, uid: 0, gid: 0, modified: Time::default() };
    for number in 0..40 {
        let name = format!("after-{number}");
        let made = filesystem.create_symlink(InodeNumber::ROOT, name.as_bytes(), b"one", &attributes);
        made.unwrap();
    }
    filesystem.flush().unwrap();
    drop(filesystem);
    assert_e2fsck_clean(&ours, 0);
    if options != MISCOUNTED.0 {
        File::options().write(true).open(&ours).unwrap().set_len((to_kib << 10) * 2).unwrap();
        judge("resize2fs").arg(&ours).succeed();
        assert_e2fsck_clean(&ours, 0);
    }
    said
}

#[test]
fn what_is_grown_is_what_resize2fs_makes() {
    for (options, from_kib, to_kib) in MATRIX {
        let [ours, theirs] = grow(options, *from_kib, *to_kib);
        for field in FIELDS {
            assert_eq!(ours.get(*field), theirs.get(*field), "{options}: {field}");
        }
    }
}

#[test]
fn the_last_groups_backup_moves_without_flexible_groups_too() {
    let (options, from_kib, to_kib) = MISCOUNTED;
    let [ours, theirs] = grow(options, from_kib, to_kib);
    for field in ["Inode count", "Block count", "Backup block groups"] {
        assert_eq!(ours.get(field), theirs.get(field), "{options}: {field}");
    }
}

#[test]
fn descriptors_without_room_go_into_their_own_groups() {
    for (options, from_kib, to_kib) in CROWDED {
        let [ours, theirs] = grow(options, *from_kib, *to_kib);
        for field in ["Inode count", "Block count", "Reserved block count", "Free inodes"] {
            assert_eq!(ours.get(field), theirs.get(field), "{options}: {field}");
        }
        assert!(ours["Filesystem features"].contains("meta_bg"), "{options}");
        assert!(!ours["Filesystem features"].contains("resize_inode"), "{options}");
        assert_eq!(ours.get("Reserved GDT blocks"), None);
    }
}

/// A group of 1 KiB blocks is 8 MiB.
fn small(options: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = work_folder();
    let image = folder.path().join("image");
    make(options, 16 << 10, &image);
    File::options().write(true).open(&image).unwrap().set_len(64 << 20).unwrap();
    (folder, image)
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_written() {
    let (_folder, image) = small("-t ext4 -b 1024");
    let before = std::fs::read(&image).unwrap();
    let mut filesystem = open(&image);
    let refused = |result: Result<(), Error>| result.unwrap_err().to_string();
    assert_eq!(
        refused(filesystem.grow(16383)),
        "unsupported ext4 feature: super block: shrinking from 16384 to 16383 blocks"
    );
    assert_eq!(
        refused(filesystem.grow((64 << 10) + 1)),
        "file system of 65537 blocks of 1024 bytes: there is room for 65536"
    );
    filesystem.grow(16384).unwrap();
    drop(filesystem);
    assert!(before == std::fs::read(&image).unwrap());
}

#[test]
fn clusters_are_refused_by_name() {
    let (_folder, image) = small("-t ext4 -b 4096 -O bigalloc -C 16384");
    let before = std::fs::read(&image).unwrap();
    let error = open(&image).grow(16 << 10).unwrap_err().to_string();
    assert!(error.contains("bigalloc"), "{error}");
    assert!(before == std::fs::read(&image).unwrap());
}

#[test]
fn a_rest_too_small_for_a_groups_metadata_is_left_off() {
    let (_folder, image) = small("-t ext4 -b 1024");
    let mut filesystem = open(&image);
    // The second group is one block short of 8192, as block 0 belongs to none.
    filesystem.grow(16384 + 300).unwrap();
    assert_eq!(filesystem.superblock().blocks(), 16385);
    drop(filesystem);
    assert_e2fsck_clean(&image, 0);
}

#[test]
fn without_64bit_there_are_no_more_than_2_to_the_32_blocks() {
    let folder = work_folder();
    let image = folder.path().join("image");
    make("-t ext4 -b 1024 -i 65536 -O ^64bit", 16 << 10, &image);
    File::options().write(true).open(&image).unwrap().set_len((1 << 42) + (1 << 30)).unwrap();
    let mut filesystem = open(&image);
    let error = filesystem.grow((1 << 32) + 10).unwrap_err().to_string();
    assert_eq!(error, "file system of 4294967306 blocks: the limit is 4294967295, without the 64bit feature");
}

#[test]
fn bytes_left_where_inode_tables_go_are_zeroed() {
    for options in ["-t ext4 -b 1024", "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg,^flex_bg"] {
        let (_folder, image) = small(options);
        let garbage = vec![0x5A; 48 << 20];
        File::options().write(true).open(&image).unwrap().write_all_at(&garbage, 16 << 20).unwrap();
        open(&image).grow(64 << 10).unwrap();
        assert_e2fsck_clean(&image, 0);
        assert_eq!(open(&image).check().unwrap(), Vec::new());
        // `e2fsck` believes the flags that say which inodes were never used; without them it looks.
        let table = judge("debugfs").args(["-R", "imap <10000>"]).arg(&image).succeed().stdout;
        let block: u64 = table.split("located at block ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        let mut bytes = [1; 1024];
        File::open(&image).unwrap().read_exact_at(&mut bytes, block << 10).unwrap();
        assert!(bytes.iter().all(|&byte| byte == 0), "{options}");
    }
}

#[test]
fn damaged_bytes_are_errors_and_no_panics() {
    for options in [
        "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg",
        "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg,^flex_bg,sparse_super2",
        "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg,meta_bg,^resize_inode",
    ] {
        let (_folder, image) = small(options);
        let mut whole = std::fs::read(&image).unwrap();
        whole.truncate(24 << 20);
        let mut random = Random(0x5EED);
        for _ in 0..80 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                // Super block, descriptors, and what the resize inode has.
                let length = [1024, 2048, 300 << 10][random.below(3) as usize];
                let at = 1024 + random.below(length) as usize;
                bytes[at] = random.below(256) as u8;
            }
            if let Ok(mut filesystem) = FileSystem::open(Memory::from(bytes)) {
                let _ = filesystem.grow(24 << 10);
            }
        }
    }
}
