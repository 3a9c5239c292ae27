//! Extended attributes: random edits against a map in memory, over feature sets; afterwards `e2fsck -fn`
//! says nothing, our own check says nothing, and `debugfs` shows the values.
#![allow(clippy::print_stdout, reason = "seeds are printed, to be had again")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use crate::support::Random;
use ext4::{Attributes, Error, FileSystem, InodeNumber, Time};
use storage::FileStorage;
use testkit::judge::judge;

const MATRIX: &[&[&str]] = &[
    &["-t", "ext4", "-b", "4096", "-O", "metadata_csum,64bit"],
    &["-t", "ext4", "-b", "1024", "-O", "metadata_csum,ea_inode"],
    &["-t", "ext4", "-b", "4096", "-O", "^metadata_csum,ea_inode"],
    &["-t", "ext4", "-b", "1024", "-I", "128", "-O", "^metadata_csum"],
    &["-t", "ext3", "-b", "2048", "-I", "256"],
    &["-t", "ext4", "-b", "1024", "-I", "1024", "-O", "metadata_csum,inline_data"],
    &["-t", "ext2", "-b", "1024", "-O", "^ext_attr"],
];

const NAMES: &[&str] = &[
    "user.a",
    "user.somewhat.longer.than.that",
    "user.mime_type",
    "trusted.overlay.opaque",
    "security.selinux",
    "security.capability",
    "user.Größe",
];

fn make(options: &[&str], image: &Path) {
    judge("mke2fs").args(["-q", "-F"]).args(options).arg(image).arg("16384k").succeed();
}

fn open(image: &Path) -> FileSystem<FileStorage> {
    FileSystem::open(FileStorage::new(File::options().read(true).write(true).open(image).unwrap()).unwrap()).unwrap()
}

const ATTRIBUTES: Attributes =
    Attributes { permissions: 0o640, uid: 1, gid: 2, modified: Time { seconds: 1_600_000_000, nanoseconds: 0 } };

/// What `debugfs` says that an attribute's value is.
fn debugfs_value(image: &Path, file: &str, name: &str) -> Vec<u8> {
    let out = image.with_extension("value");
    let command = format!("ea_get -f {} {file} {name}", out.display());
    judge("debugfs").args(["-R", &command]).arg(image).succeed();
    std::fs::read(&out).unwrap()
}

#[test]
fn random_edits_of_attributes_leave_what_the_model_has() {
    for (number, options) in MATRIX.iter().enumerate() {
        let seed = 0x5EED_0001 + number as u64 * 1000;
        println!("{options:?}: seed {seed}");
        let mut random = Random(seed);
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        make(options, &image);
        let mut filesystem = open(&image);
        let mut model: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>> = BTreeMap::new();
        for file in 0..6 {
            let name = format!("file-{file}");
            let content = vec![7; 100 * file];
            let mut content = &content[..];
            let size = content.len() as u64;
            filesystem.create_file(InodeNumber::ROOT, name.as_bytes(), &ATTRIBUTES, size, &mut content).unwrap();
            model.insert(name, BTreeMap::new());
        }
        let free = filesystem.superblock().free_blocks();
        for _ in 0..400 {
            let file = format!("file-{}", random.below(6));
            let inode = filesystem.lookup(InodeNumber::ROOT, file.as_bytes()).unwrap().unwrap();
            let name = NAMES[random.below(NAMES.len() as u64) as usize].as_bytes();
            let had = model.get_mut(&file).unwrap();
            if random.below(3) == 0 {
                match filesystem.remove_xattr(inode, name) {
                    Ok(()) => assert!(had.remove(name).is_some()),
                    Err(Error::NotFound) => assert!(!had.contains_key(name)),
                    Err(error) => panic!("{options:?}: {error}"),
                }
                continue;
            }
            let length = match random.below(8) {
                0 => 0,
                1..=5 => random.below(60),
                6 => random.below(900),
                _ => random.below(9000),
            };
            let value: Vec<u8> = (0..length).map(|at| (at * 13 + length) as u8).collect();
            match filesystem.set_xattr(inode, name, &value) {
                Ok(()) => drop(had.insert(name.to_vec(), value)),
                // As much as an inode and a block can have, and not more.
                Err(Error::TooLarge { .. }) => {
                    let all: usize = had.values().map(Vec::len).sum::<usize>() + value.len();
                    assert!(all > 500 && !options.contains(&"metadata_csum,ea_inode"), "{options:?}: {all} bytes");
                }
                Err(error) => panic!("{options:?}: {error}"),
            }
        }
        filesystem.flush().unwrap();
        assert_eq!(filesystem.check().unwrap(), Vec::new(), "{options:?}");
        testkit::judge::assert_e2fsck_clean(&image, 0);
        let mut filesystem = open(&image);
        for (file, attributes) in &model {
            let inode = filesystem.lookup(InodeNumber::ROOT, file.as_bytes()).unwrap().unwrap();
            let found: BTreeMap<_, _> = filesystem.xattrs(inode).unwrap().into_iter().collect();
            assert_eq!(&found, attributes, "{options:?}: {file}");
            // debugfs does not write out values of no bytes.
            for (name, value) in attributes.iter().filter(|(_, value)| !value.is_empty()) {
                let name = std::str::from_utf8(name).unwrap();
                assert_eq!(&debugfs_value(&image, file, name), value, "{options:?}: {file}: {name}");
            }
        }
        // Without attributes, everything that they took is free again.
        for (file, attributes) in &model {
            let inode = filesystem.lookup(InodeNumber::ROOT, file.as_bytes()).unwrap().unwrap();
            for name in attributes.keys() {
                filesystem.remove_xattr(inode, name).unwrap();
            }
        }
        filesystem.flush().unwrap();
        assert_eq!(filesystem.superblock().free_blocks(), free, "{options:?}");
        assert_eq!(filesystem.check().unwrap(), Vec::new(), "{options:?}");
        testkit::judge::assert_e2fsck_clean(&image, 0);
    }
}

#[test]
fn values_in_inodes_of_their_own_go_with_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(&["-t", "ext4", "-b", "1024", "-O", "metadata_csum,ea_inode"], &image);
    let mut filesystem = open(&image);
    let before = (filesystem.superblock().free_blocks(), filesystem.superblock().free_inodes());
    let file = filesystem.create_file(InodeNumber::ROOT, b"file", &ATTRIBUTES, 0, &mut std::io::empty()).unwrap();
    filesystem.set_xattr(file, b"user.large", &[b'v'; 40_000]).unwrap();
    filesystem.flush().unwrap();
    testkit::judge::assert_e2fsck_clean(&image, 0);
    assert_eq!(debugfs_value(&image, "file", "user.large"), [b'v'; 40_000]);
    assert_eq!(filesystem.superblock().free_inodes(), before.1 - 2);
    filesystem.remove_file(InodeNumber::ROOT, b"file").unwrap();
    filesystem.flush().unwrap();
    assert_eq!((filesystem.superblock().free_blocks(), filesystem.superblock().free_inodes()), before);
    testkit::judge::assert_e2fsck_clean(&image, 0);
}

#[test]
fn what_cannot_be_an_attribute_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(&["-t", "ext4", "-b", "1024"], &image);
    let mut filesystem = open(&image);
    let file = filesystem.create_file(InodeNumber::ROOT, b"file", &ATTRIBUTES, 0, &mut std::io::empty()).unwrap();
    let link = filesystem.create_symlink(InodeNumber::ROOT, b"link", b"file", &ATTRIBUTES).unwrap();
    let acl =
        [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255];
    for (inode, name, value, problem) in [
        (file, &b"other.name"[..], &b"v"[..], "`other.name` does not begin with"),
        (file, b"user.", b"v", "`user.` has an invalid name"),
        (file, &[&b"user."[..], &[b'n'; 251]].concat(), b"v", "longer than 255 bytes"),
        (file, b"system.data", b"v", "`system.data` is the file system's own"),
        (link, b"user.name", b"v", "`user.name` is for regular files and directories"),
        (file, b"system.posix_acl_default", &acl, "`system.posix_acl_default` is for directories"),
        (file, b"system.posix_acl_access", &acl[..12], "without exactly one entry each for owner, group and others"),
        (file, b"system.posix_acl_access", b"\x01\0\0\0", "an ACL of version 1, expected 2"),
    ] {
        let error = filesystem.set_xattr(inode, name, value).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    // An ACL that says no more than the mode does becomes the mode.
    filesystem.set_xattr(file, b"system.posix_acl_access", &acl).unwrap();
    assert_eq!(filesystem.xattrs(file).unwrap(), []);
    assert_eq!(filesystem.inode(file).unwrap().permissions(), 0o640);
    let large = filesystem.set_xattr(file, b"user.large", &[0; 2000]).unwrap_err().to_string();
    assert!(large.contains("neither the inode nor a block of 1024 bytes has 2024 bytes left"), "{large}");
}

/// Quota counted a value in an inode of its own for that inode, too; and a short symbolic link with one had
/// its target taken for block numbers.
#[test]
fn values_in_inodes_of_their_own_are_counted_once_and_not_for_short_links() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(&["-t", "ext4", "-b", "4096", "-O", "ea_inode,quota"], &image);
    let mut filesystem = open(&image);
    let file = filesystem.create_file(InodeNumber::ROOT, b"file", &ATTRIBUTES, 0, &mut std::io::empty()).unwrap();
    filesystem.set_xattr(file, b"user.large", &[b'v'; 32_390]).unwrap();
    let short = filesystem.create_symlink(InodeNumber::ROOT, b"short", b"target", &ATTRIBUTES).unwrap();
    let refused = filesystem.set_xattr(short, b"trusted.large", &[b'v'; 32_390]).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
    let long = filesystem.create_symlink(InodeNumber::ROOT, b"long", &[b't'; 60], &ATTRIBUTES).unwrap();
    filesystem.set_xattr(long, b"trusted.large", &[b'v'; 32_390]).unwrap();
    filesystem.flush().unwrap();
    assert_eq!(filesystem.check().unwrap(), Vec::new());
    testkit::judge::assert_e2fsck_clean(&image, 0);
}

/// Found by fuzzing: a value's inode could be given a name by its number.
#[test]
fn the_inode_of_a_value_is_not_edited_as_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(&["-t", "ext4", "-b", "1024", "-O", "ea_inode"], &image);
    let mut filesystem = open(&image);
    let file = filesystem.create_file(InodeNumber::ROOT, b"file", &ATTRIBUTES, 0, &mut std::io::empty()).unwrap();
    filesystem.set_xattr(file, b"user.large", &[b'v'; 4000]).unwrap();
    let value = InodeNumber(file.0 + 1);
    assert_eq!(filesystem.inode(value).unwrap().size_bytes(), 4000, "the next inode holds the value");
    for journal_or_value in [value, InodeNumber(8)] {
        let errors = [
            filesystem.link(journal_or_value, InodeNumber::ROOT, b"name").unwrap_err(),
            filesystem.truncate(journal_or_value, 0).unwrap_err(),
            filesystem.set_attributes(journal_or_value, &ATTRIBUTES).unwrap_err(),
            filesystem.set_xattr(journal_or_value, b"user.name", b"v").unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains("an inode that the file system keeps for itself"), "{error}");
        }
    }
    filesystem.flush().unwrap();
    testkit::judge::assert_e2fsck_clean(&image, 0);
}
