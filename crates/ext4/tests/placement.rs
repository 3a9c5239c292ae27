//! Where names, blocks and indexes are put: the hashes of names, an index that grows, a file in one
//! piece, a file for which there is no room.

use std::fs::File;
use std::path::Path;

use ext4::{Attributes, FileSystem, InodeNumber, Time};
use storage::FileStorage;

fn make(options: &[&str], size_kib: u64, path: &Path) {
    testkit::judge::judge("mke2fs")
        .args([
            "-q",
            "-F",
            "-U",
            "01234567-89ab-4cde-8f01-23456789abcd",
            "-E",
            "hash_seed=01234567-89ab-4cde-8f01-23456789abcd",
        ])
        .args(options)
        .arg(path)
        .arg(format!("{size_kib}k"))
        .succeed();
}

#[test]
fn each_hash_of_names_is_the_one_that_e2fsck_computes() {
    // e2fsck checks that each name is in the leaf its hash belongs in.
    for hash in ["legacy", "half_md4", "tea"] {
        for sign in ["signed_hash", "unsigned_hash"] {
            let folder = tempfile::tempdir().unwrap();
            let image = folder.path().join("image");
            make(&["-t", "ext4", "-b", "1024"], 16384, &image);
            testkit::judge::judge("tune2fs").args(["-E", &format!("hash_alg={hash}")]).arg(&image).succeed();
            let flags = if sign == "signed_hash" { 1 } else { 2 };
            testkit::judge::judge("debugfs").args(["-w", "-R", &format!("ssv flags {flags}")]).arg(&image).succeed();
            let mut filesystem = FileSystem::open(
                FileStorage::new(File::options().read(true).write(true).open(&image).unwrap()).unwrap(),
            )
            .unwrap();
            let attributes = Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time::default() };
            for number in 0..600 {
                let name = format!("Größe {number} {}", "ü".repeat(number % 60));
                filesystem
                    .create_file(InodeNumber::ROOT, name.as_bytes(), &attributes, 0, &mut std::io::empty())
                    .unwrap();
            }
            filesystem.flush().unwrap();
            assert!(filesystem.check().unwrap().is_empty(), "{hash} {sign}");
            testkit::judge::assert_e2fsck_clean(&image, 0);
        }
    }
}

#[test]
fn an_index_grows_a_level_and_splits_its_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(&["-t", "ext4", "-b", "1024", "-N", "40000", "-O", "metadata_csum,64bit"], 65536, &image);
    let open = || FileStorage::new(File::options().read(true).write(true).open(&image).unwrap()).unwrap();
    let mut filesystem = FileSystem::open(open()).unwrap();
    let attributes = Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time::default() };
    let parent = filesystem.create_directory(InodeNumber::ROOT, b"many", &attributes).unwrap();
    let name = |number: u32| format!("{number}-{}", "x".repeat(200));
    for number in 0..20_000 {
        filesystem.create_file(parent, name(number).as_bytes(), &attributes, 0, &mut std::io::empty()).unwrap();
    }
    // With three or four names a leaf, the root alone has no room for them all.
    for number in (0..20_000).step_by(3) {
        filesystem.remove_file(parent, name(number).as_bytes()).unwrap();
    }
    filesystem.flush().unwrap();
    assert_eq!(filesystem.check().unwrap(), Vec::new());
    testkit::judge::assert_e2fsck_clean(&image, 0);
    let levels = testkit::judge::judge("debugfs").args(["-R", "htree_dump /many"]).arg(&image).succeed().stdout;
    assert!(levels.contains("Indirect levels: 1"), "{}", &levels[..levels.len().min(400)]);
    let filesystem = FileSystem::open(open()).unwrap();
    assert_eq!(filesystem.read_directory(parent).unwrap().len(), 20_000 - 6_667);
    assert_eq!(filesystem.lookup(parent, name(3).as_bytes()).unwrap(), None);
    assert!(filesystem.lookup(parent, name(19_999).as_bytes()).unwrap().is_some());
}

#[test]
fn a_large_file_in_empty_groups_is_one_extent() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(&["-t", "ext4", "-b", "4096", "-O", "metadata_csum,64bit"], 600 << 10, &image);
    let storage = FileStorage::new(File::options().read(true).write(true).open(&image).unwrap()).unwrap();
    let mut filesystem = FileSystem::open(storage).unwrap();
    let attributes = Attributes { permissions: 0o755, uid: 0, gid: 0, modified: Time::default() };
    let size = 110 << 20;
    filesystem
        .create_file(InodeNumber::ROOT, b"large", &attributes, size, &mut std::io::Read::take(std::io::repeat(7), size))
        .unwrap();
    filesystem.flush().unwrap();
    testkit::judge::assert_e2fsck_clean(&image, 0);
    let extents = testkit::judge::judge("debugfs").args(["-R", "ex /large"]).arg(&image).succeed().stdout;
    assert_eq!(extents.lines().filter(|line| line.contains(" 0/ 0 ")).count(), 1, "{extents}");
}

#[test]
fn no_space_says_how_much_is_needed_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(&["-t", "ext4", "-b", "4096"], 8192, &image);
    let before = std::fs::read(&image).unwrap();
    let storage = FileStorage::new(File::options().read(true).write(true).open(&image).unwrap()).unwrap();
    let mut filesystem = FileSystem::open(storage).unwrap();
    let free = filesystem.superblock().free_blocks();
    let attributes = Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time::default() };
    let size = (free + 1) * 4096;
    let error =
        filesystem.create_file(InodeNumber::ROOT, b"large", &attributes, size, &mut std::io::repeat(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no space left in the file system: {} blocks ({size} bytes) are needed, {free} ({} bytes) are free",
            free + 1,
            free * 4096
        )
    );
    assert!(std::fs::read(&image).unwrap() == before);
}

#[test]
fn the_same_edits_of_the_same_file_system_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(&["-t", "ext4", "-b", "1024", "-O", "metadata_csum,64bit,ea_inode"], 32768, &image);
    let edited = || {
        let memory = std::sync::Arc::new(storage::Memory::from(std::fs::read(&image).unwrap()));
        let mut filesystem = FileSystem::open(std::sync::Arc::clone(&memory)).unwrap();
        let attributes = Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time::default() };
        let directory = filesystem.create_directory(InodeNumber::ROOT, b"many", &attributes).unwrap();
        for number in 0..600u64 {
            let name = format!("name-{number}-{}", "x".repeat(100));
            let content = vec![number as u8; 40 * number as usize];
            let size = content.len() as u64;
            let file =
                filesystem.create_file(directory, name.as_bytes(), &attributes, size, &mut &content[..]).unwrap();
            filesystem.set_xattr(file, b"user.number", &vec![b'v'; number as usize * 7]).unwrap();
            if number % 3 == 0 {
                filesystem.punch_hole(file, 1024..4096).unwrap();
            }
            if number % 5 == 0 {
                filesystem.remove_file(directory, name.as_bytes()).unwrap();
            }
        }
        filesystem.flush().unwrap();
        assert_eq!(filesystem.check().unwrap(), Vec::new());
        drop(filesystem);
        std::sync::Arc::into_inner(memory).unwrap().into_bytes()
    };
    assert!(edited() == edited());
}
