//! Extended attributes, case by case: what is shared, what is given back, what the first one sets, and
//! what is made of damaged ones.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::support::Random;
use ext4::{Attributes, Error, FileSystem, InodeNumber, Time};
use storage::{FileStorage, Memory, ReadAt, WriteAt};
use testkit::judge::{assert_e2fsck_clean, judge};

const ATTRIBUTES: Attributes =
    Attributes { permissions: 0o640, uid: 7, gid: 70_000, modified: Time { seconds: 1_600_000_000, nanoseconds: 0 } };

const MATRIX: &[&[&str]] = &[
    &["-t", "ext4", "-b", "4096", "-I", "256", "-O", "metadata_csum,64bit"],
    &["-t", "ext4", "-b", "1024", "-I", "128", "-O", "^metadata_csum,uninit_bg,^64bit"],
    &["-t", "ext2", "-b", "1024", "-I", "256"],
    &["-t", "ext4", "-b", "4096", "-I", "256", "-O", "metadata_csum,64bit,ea_inode,metadata_csum_seed"],
    &["-t", "ext4", "-b", "1024", "-I", "256", "-O", "^metadata_csum,^64bit,^extent,ea_inode"],
    &["-t", "ext4", "-b", "1024", "-I", "128", "-O", "metadata_csum,ea_inode"],
    &["-t", "ext4", "-b", "2048", "-I", "512", "-O", "metadata_csum,inline_data"],
    &["-t", "ext4", "-b", "1024", "-I", "256", "-O", "metadata_csum,ea_inode,quota"],
];

const EA_INODE: usize = 3;
const INLINE_DATA: usize = 6;

fn make(options: &[&str], size: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    // Room for the attributes, not for a journal.
    let options = options
        .iter()
        .map(|option| if option.contains(',') { format!("{option},^has_journal") } else { (*option).to_owned() });
    judge("mke2fs").args(["-q", "-F", "-N", "512"]).args(options).arg(&image).arg(size).succeed();
    (folder, image)
}

fn open(image: &Path) -> FileSystem<FileStorage> {
    let file = File::options().read(true).write(true).open(image).unwrap();
    FileSystem::open(FileStorage::new(file).unwrap()).unwrap()
}

#[track_caller]
fn assert_sound<S: WriteAt>(filesystem: &mut FileSystem<S>, image: &Path) {
    filesystem.flush().unwrap();
    assert_eq!(filesystem.check().unwrap(), Vec::new());
    assert_e2fsck_clean(image, 0);
}

fn debugfs(image: &Path, commands: &str) -> String {
    let script = image.with_extension("debugfs");
    std::fs::write(&script, commands).unwrap();
    let said = judge("debugfs").arg("-w").arg("-f").arg(&script).arg(image).succeed();
    assert!(!said.stderr.contains("while"), "{said}");
    said.stdout
}

fn file(filesystem: &mut FileSystem<impl WriteAt>, name: &str) -> InodeNumber {
    let content = b"content";
    filesystem.create_file(InodeNumber::ROOT, name.as_bytes(), &ATTRIBUTES, 7, &mut &content[..]).unwrap()
}

fn xattrs<S: ReadAt>(filesystem: &FileSystem<S>, number: InodeNumber) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let listed = filesystem.xattrs(number).unwrap();
    let count = listed.len();
    let xattrs: BTreeMap<_, _> = listed.into_iter().collect();
    assert_eq!(xattrs.len(), count, "no name is listed twice");
    xattrs
}

/// What `debugfs` says the value of an attribute is, of each file and name.
fn debugfs_values(image: &Path, wanted: &[(String, &[u8])]) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let output = |index: usize| folder.path().join(index.to_string());
    let mut commands = String::new();
    for (index, (file, name)) in wanted.iter().enumerate() {
        let name = std::str::from_utf8(name).unwrap();
        commands.push_str(&format!("ea_get -f {} {file} {name}\n", output(index).display()));
    }
    debugfs(image, &commands);
    (0..wanted.len()).map(|index| std::fs::read(output(index)).unwrap()).collect()
}

/// An ACL in Linux' form, of (tag, permissions, id).
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    entries.iter().fold(2u32.to_le_bytes().to_vec(), |mut bytes, (tag, permissions, id)| {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes
    })
}

const NOBODY: u32 = u32::MAX;

#[test]
fn what_debugfs_set_is_what_we_read() {
    let list =
        acl(&[(1, 7, NOBODY), (2, 6, 1000), (4, 5, NOBODY), (8, 0, 70_000), (0x10, 7, NOBODY), (0x20, 1, NOBODY)]);
    for options in MATRIX {
        let (folder, image) = make(options, "4M");
        let mut filesystem = open(&image);
        let number = file(&mut filesystem, "file");
        filesystem.flush().unwrap();
        drop(filesystem);
        let has_value_inodes = options.iter().any(|option| option.contains("ea_inode"));
        let block_bytes: usize = options[3].parse().unwrap();
        let mut expected = BTreeMap::new();
        for (name, value) in [
            ("user.small", &b"value"[..]),
            ("security.capability", &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            ("trusted.large", &[b'l'; 500]),
            ("system.posix_acl_access", &list),
            // debugfs takes no more than a block.
            ("user.huge", &vec![b'h'; block_bytes]),
        ] {
            if value.len() < 1000 || has_value_inodes {
                let source = folder.path().join("value");
                std::fs::write(&source, value).unwrap();
                debugfs(&image, &format!("ea_set -f {} file {name}", source.display()));
                expected.insert(name.as_bytes().to_vec(), value.to_vec());
            }
        }
        // debugfs does not count the blocks of values in inodes of their own, which e2fsck corrects.
        judge("e2fsck").args(["-fy"]).arg(&image).run();
        assert_e2fsck_clean(&image, 0);
        let mut filesystem = open(&image);
        assert_eq!(filesystem.check().unwrap(), Vec::new(), "{options:?}");
        let mut read = xattrs(&filesystem, number);
        // debugfs gives entries that are about nobody the id 0, Linux the highest.
        let of_nobody = read[&b"system.posix_acl_access"[..]].clone();
        assert_eq!(of_nobody, list, "{options:?}");
        read.insert(b"system.posix_acl_access".to_vec(), list.clone());
        assert_eq!(read, expected, "{options:?}");
        // What it set can be edited and removed.
        filesystem.set_xattr(number, b"user.small", &[b's'; 300]).unwrap();
        expected.insert(b"user.small".to_vec(), vec![b's'; 300]);
        assert_eq!(xattrs(&filesystem, number), expected, "{options:?}");
        assert_sound(&mut filesystem, &image);
        filesystem.remove_file(InodeNumber::ROOT, b"file").unwrap();
        assert_sound(&mut filesystem, &image);
    }
}

#[test]
fn an_acl_is_stored_in_ext4s_own_form_and_sets_the_permission_bits() {
    let (_folder, image) = make(MATRIX[0], "4M");
    let mut filesystem = open(&image);
    let number = file(&mut filesystem, "file");
    let directory = filesystem.create_directory(InodeNumber::ROOT, b"directory", &ATTRIBUTES).unwrap();
    let list = acl(&[(1, 7, NOBODY), (2, 6, 1000), (4, 5, NOBODY), (0x10, 4, NOBODY), (0x20, 1, NOBODY)]);
    for (number, name) in [
        (number, "system.posix_acl_access"),
        (directory, "system.posix_acl_access"),
        (directory, "system.posix_acl_default"),
    ] {
        filesystem.set_xattr(number, name.as_bytes(), &list).unwrap();
        assert_eq!(xattrs(&filesystem, number)[name.as_bytes()], list);
    }
    assert_eq!(filesystem.inode(number).unwrap().permissions(), 0o741, "the group's bits are the mask");
    assert_sound(&mut filesystem, &image);
    let raw = debugfs(&image, "ea_get -r -x file system.posix_acl_access\n");
    let disk = "01 00 00 00 01 00 07 00 02 00 06 00 e8 03 00 00 04 00 05 00 10 00 04 00 20 00 01 00";
    assert!(raw.replace('\n', "").contains(disk), "{raw}");

    // What says no more than the permission bits is not stored: it removes what was.
    let plain = acl(&[(1, 6, NOBODY), (4, 4, NOBODY), (0x20, 0, NOBODY)]);
    filesystem.set_xattr(number, b"system.posix_acl_access", &plain).unwrap();
    assert_eq!((xattrs(&filesystem, number).len(), filesystem.inode(number).unwrap().permissions()), (0, 0o640));
    filesystem.set_xattr(directory, b"system.posix_acl_default", &plain).unwrap();
    assert_eq!(xattrs(&filesystem, directory)[&b"system.posix_acl_default"[..]], plain);
    assert_sound(&mut filesystem, &image);
}

#[test]
fn the_first_attribute_sets_the_feature_even_in_the_formats_first_revision() {
    for (options, bytes) in [(&["-r", "0", "-b", "1024"][..], 5), (MATRIX[0], 5), (MATRIX[EA_INODE], 30_000)] {
        let (_folder, image) = make(options, "4M");
        judge("debugfs").args(["-w", "-R", "feature -ext_attr"]).arg(&image).succeed();
        let mut filesystem = open(&image);
        let number = file(&mut filesystem, "file");
        let has_feature =
            |filesystem: &FileSystem<_>| filesystem.superblock().features().contains(&"ext_attr".to_owned());
        assert!(!has_feature(&filesystem));
        filesystem.set_xattr(number, b"user.name", &vec![b'v'; bytes]).unwrap();
        assert!(has_feature(&filesystem), "{options:?}");
        assert_sound(&mut filesystem, &image);
        assert_eq!(debugfs_values(&image, &[("file".to_owned(), b"user.name")]), [vec![b'v'; bytes]]);
    }
}

/// Free blocks and inodes.
fn free<S: WriteAt>(filesystem: &FileSystem<S>) -> (u64, u32) {
    (filesystem.superblock().free_blocks(), filesystem.superblock().free_inodes())
}

#[test]
fn what_attributes_took_is_given_back() {
    for options in MATRIX {
        let (_folder, image) = make(options, "4M");
        let mut filesystem = open(&image);
        let number = file(&mut filesystem, "file");
        let before = free(&filesystem);
        let has_value_inodes = options.iter().any(|option| option.contains("ea_inode"));
        for (name, bytes) in [("user.a", 20), ("user.b", 700), ("user.c", 65536), ("user.d", 5000)] {
            if bytes < 1000 || has_value_inodes {
                filesystem.set_xattr(number, name.as_bytes(), &vec![1; bytes]).unwrap();
            }
        }
        assert_sound(&mut filesystem, &image);
        // Content that grows counts its blocks, those of the attributes stay counted.
        filesystem.write_file_at(number, 100_000, b"end").unwrap();
        assert_sound(&mut filesystem, &image);
        filesystem.truncate(number, 7).unwrap();
        for (name, _) in filesystem.xattrs(number).unwrap() {
            filesystem.remove_xattr(number, &name).unwrap();
        }
        assert_sound(&mut filesystem, &image);
        // What was inline has a block now, and quota files keep the room for an owner.
        let can_grow = options.iter().any(|option| option.contains("inline_data") || option.contains("quota"));
        assert!(can_grow || free(&filesystem) == before, "{options:?}: {before:?}");
    }
}

#[test]
fn no_space_changes_nothing() {
    for options in [MATRIX[0], MATRIX[EA_INODE], MATRIX[4]] {
        let (_folder, image) = make(options, "2M");
        let mut filesystem = open(&image);
        let number = file(&mut filesystem, "file");
        filesystem.set_xattr(number, b"user.kept", b"kept").unwrap();
        // All blocks but two.
        let all = filesystem.superblock().free_blocks() - 2;
        let size = all * u64::from(filesystem.superblock().block_size_bytes());
        let mut rest = size;
        while rest > 0 {
            match filesystem.write_file_at(number, 8192, &vec![1; rest as usize]) {
                Ok(()) => break,
                Err(Error::NoSpace { .. }) => rest -= 1024,
                Err(error) => panic!("{error}"),
            }
        }
        while filesystem.superblock().free_blocks() > 0 {
            let name = format!("filler-{}", filesystem.superblock().free_blocks());
            file(&mut filesystem, &name);
        }
        let before = free(&filesystem);
        for bytes in [600, 3000, 60_000] {
            let refused = filesystem.set_xattr(number, b"user.large", &vec![1; bytes]).unwrap_err();
            assert!(matches!(refused, Error::NoSpace { .. } | Error::TooLarge { .. }), "{options:?}: {refused}");
        }
        assert_eq!((free(&filesystem), xattrs(&filesystem, number).len()), (before, 1), "{options:?}");
        assert_sound(&mut filesystem, &image);
    }
}

/// Two files with one attribute block, as the kernel makes it of two with the same attributes: of a
/// file system without checksums.
fn share_block(image: &Path, block_bytes: u64) {
    let block: u64 = {
        let said = debugfs(image, "stat one\n");
        let field = said.split("File ACL: ").nth(1).unwrap();
        field.split_whitespace().next().unwrap().parse().unwrap()
    };
    let blocks = debugfs(image, "stat one\n");
    let count = blocks.split("Blockcount: ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    debugfs(image, &format!("sif two file_acl {block}\nsif two blocks {count}\n"));
    let storage = FileStorage::new(File::options().read(true).write(true).open(image).unwrap()).unwrap();
    storage.write_at(block * block_bytes + 4, &2u32.to_le_bytes()).unwrap();
}

#[test]
fn a_shared_block_is_copied_before_it_is_changed() {
    for options in [
        &["-t", "ext4", "-b", "1024", "-I", "128", "-O", "^metadata_csum,^64bit"][..],
        &["-t", "ext4", "-b", "1024", "-I", "128", "-O", "^metadata_csum,ea_inode"],
    ] {
        let has_value_inodes = options.iter().any(|option| option.contains("ea_inode"));
        let (_folder, image) = make(options, "4M");
        let mut filesystem = open(&image);
        let numbers = [file(&mut filesystem, "one"), file(&mut filesystem, "two")];
        filesystem.set_xattr(numbers[0], b"user.shared", &[1; 600]).unwrap();
        filesystem.set_xattr(numbers[0], b"security.other", &[2; 100]).unwrap();
        if has_value_inodes {
            filesystem.set_xattr(numbers[0], b"user.large", &[3; 9000]).unwrap();
        }
        filesystem.flush().unwrap();
        let expected = xattrs(&filesystem, numbers[0]);
        drop(filesystem);
        share_block(&image, 1024);
        assert_e2fsck_clean(&image, 0);
        let shared = std::fs::read(&image).unwrap();

        // Changed in one: the other keeps what it had.
        for edit in ["set", "remove", "remove file", "nothing"] {
            std::fs::write(&image, &shared).unwrap();
            let mut filesystem = open(&image);
            assert_eq!(xattrs(&filesystem, numbers[1]), expected);
            assert_eq!(filesystem.check().unwrap(), Vec::new());
            let before = free(&filesystem);
            match edit {
                "set" => filesystem.set_xattr(numbers[0], b"user.new", b"new").unwrap(),
                "remove" => filesystem.remove_xattr(numbers[0], b"security.other").unwrap(),
                "remove file" => filesystem.remove_file(InodeNumber::ROOT, b"one").unwrap(),
                _ => filesystem.set_xattr(numbers[0], b"user.shared", &[1; 600]).unwrap(),
            }
            assert_sound(&mut filesystem, &image);
            assert_eq!(xattrs(&filesystem, numbers[1]), expected, "{edit}");
            match edit {
                "set" | "remove" => assert_eq!(free(&filesystem).0, before.0 - 1, "{edit}: one block more"),
                "nothing" => assert_eq!(free(&filesystem), before, "{edit}"),
                _ => {}
            }
            filesystem.remove_file(InodeNumber::ROOT, b"two").unwrap();
            assert_sound(&mut filesystem, &image);
        }
    }
}

#[test]
fn an_inline_files_content_survives_its_attributes() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("file"), [b'i'; 150]).unwrap();
    let image = folder.path().join("image");
    let command = judge("mke2fs").args(["-q", "-F", "-N", "64"]).args(MATRIX[INLINE_DATA]);
    command.arg("-d").arg(&tree).arg(&image).arg("4M").succeed();
    let mut filesystem = open(&image);
    let number = filesystem.lookup(InodeNumber::ROOT, b"file").unwrap().unwrap();
    for (name, bytes) in [("user.a", 40), ("user.b", 30), ("user.c", 300), ("user.a", 100), ("user.a", 0)] {
        filesystem.set_xattr(number, name.as_bytes(), &vec![b'v'; bytes]).unwrap();
        let mut content = [0; 200];
        assert_eq!(filesystem.read_file_at(number, 0, &mut content).unwrap(), 150);
        assert_eq!(content[..150], [b'i'; 150]);
        assert_sound(&mut filesystem, &image);
    }
    assert!(debugfs(&image, "stat file\n").contains("Flags: 0x10000000"), "it is inline still");
    filesystem.remove_xattr(number, b"user.c").unwrap();
    assert_eq!(debugfs_values(&image, &[("file".to_owned(), b"system.data")]), [[b'i'; 90]]);
    assert_sound(&mut filesystem, &image);
}

/// Where inode `number` is in an image of 1 KiB blocks.
fn inode_offset(image: &Path, number: InodeNumber) -> usize {
    let said = debugfs(image, &format!("imap <{number}>\n"));
    let block: usize = said.split("located at block ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    let offset = said.split("offset 0x").nth(1).unwrap().trim();
    block * 1024 + usize::from_str_radix(offset, 16).unwrap()
}

/// The only attribute block of an image of 1 KiB blocks.
fn attribute_block(bytes: &[u8]) -> usize {
    bytes.chunks(1024).position(|block| block.starts_with(&0xEA02_0000u32.to_le_bytes())).unwrap()
}

#[test]
fn a_value_that_two_attributes_have_goes_with_the_second() {
    // The kernel gives the same large value one inode. Without checksums, so can we.
    let options = &["-t", "ext4", "-b", "1024", "-I", "128", "-O", "^metadata_csum,^64bit,ea_inode"];
    let (_folder, image) = make(options, "4M");
    let mut filesystem = open(&image);
    let number = file(&mut filesystem, "file");
    let before = free(&filesystem);
    for name in ["user.one", "user.two"] {
        filesystem.set_xattr(number, name.as_bytes(), &[7; 9000]).unwrap();
    }
    filesystem.flush().unwrap();
    drop(filesystem);
    let [first, second] = [InodeNumber(number.0 + 1), InodeNumber(number.0 + 2)];
    debugfs(&image, &format!("clri <{second}>\nsif <{first}> version 2\n"));
    let mut bytes = std::fs::read(&image).unwrap();
    let block = attribute_block(&bytes) * 1024;
    // Of the second entry, `e_value_inum`.
    let at = block + 32 + 20 + 4;
    assert_eq!(bytes[at..at + 4], second.0.to_le_bytes());
    bytes[at..at + 4].copy_from_slice(&first.0.to_le_bytes());
    std::fs::write(&image, &bytes).unwrap();
    // It frees what the other one had.
    judge("e2fsck").args(["-fy"]).arg(&image).run();
    assert_e2fsck_clean(&image, 0);
    let bytes = std::fs::read(&image).unwrap();

    let mut filesystem = open(&image);
    assert_eq!(filesystem.check().unwrap(), Vec::new());
    let both = xattrs(&filesystem, number);
    assert_eq!((both[&b"user.one"[..]].len(), both[&b"user.two"[..]].len()), (9000, 9000));
    filesystem.remove_xattr(number, b"user.one").unwrap();
    assert_sound(&mut filesystem, &image);
    assert_eq!(xattrs(&filesystem, number)[&b"user.two"[..]], [7; 9000]);
    filesystem.remove_xattr(number, b"user.two").unwrap();
    assert_sound(&mut filesystem, &image);
    assert_eq!(free(&filesystem), before);

    // Of a block that is shared besides, each edit in turn.
    std::fs::write(&image, &bytes).unwrap();
    let mut filesystem = open(&image);
    let two = file(&mut filesystem, "two");
    filesystem.flush().unwrap();
    drop(filesystem);
    debugfs(&image, &format!("sif two file_acl {}\nsif two blocks 40\n", block / 1024));
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[block + 4] = 2;
    std::fs::write(&image, &bytes).unwrap();
    assert_e2fsck_clean(&image, 0);
    let mut filesystem = open(&image);
    filesystem.remove_xattr(two, b"user.one").unwrap();
    assert_sound(&mut filesystem, &image);
    assert_eq!(xattrs(&filesystem, number).len(), 2);
    filesystem.remove_file(InodeNumber::ROOT, b"file").unwrap();
    assert_sound(&mut filesystem, &image);
    assert_eq!(xattrs(&filesystem, two)[&b"user.two"[..]], [7; 9000]);
}

#[test]
fn values_inodes_that_refer_to_each_other_are_refused() {
    let (_folder, image) = make(DAMAGED, "2M");
    let mut filesystem = open(&image);
    let numbers = [file(&mut filesystem, "one"), file(&mut filesystem, "two")];
    for number in numbers {
        filesystem.set_xattr(number, b"user.large", &[1; 3000]).unwrap();
    }
    filesystem.flush().unwrap();
    drop(filesystem);
    let values = [InodeNumber(14), InodeNumber(15)];
    let [[one, two], [first, second]] = [numbers, values].map(|pair| pair.map(|number| inode_offset(&image, number)));
    let mut bytes = std::fs::read(&image).unwrap();
    // Each gets the body of the file that refers to the other, and no content that it could lose twice.
    for (from, to) in [(two, first), (one, second)] {
        bytes.copy_within(from + 128..from + 256, to + 128);
        bytes[to + 28..to + 32].fill(0);
        bytes[to + 40..to + 100].fill(0);
        bytes[to + 32..to + 36].copy_from_slice(&0x20_0000u32.to_le_bytes());
    }
    let mut filesystem = FileSystem::open(Memory::from(bytes)).unwrap();
    let refused = filesystem.remove_file(InodeNumber::ROOT, b"one").unwrap_err().to_string();
    assert!(
        refused.contains("inode 12: e_value_inum=14, which holds a value and has attributes of its own"),
        "{refused}"
    );
    assert_ne!(filesystem.check().unwrap(), Vec::new());
}

#[test]
fn a_value_that_is_not_what_its_hash_says_is_refused() {
    let (_folder, image) = make(DAMAGED, "2M");
    let mut filesystem = open(&image);
    let number = file(&mut filesystem, "file");
    filesystem.set_xattr(number, b"user.large", &[0xA5; 3000]).unwrap();
    filesystem.flush().unwrap();
    drop(filesystem);
    let mut bytes = std::fs::read(&image).unwrap();
    let at = bytes.windows(3000).position(|window| window == [0xA5; 3000]).unwrap();
    bytes[at + 1000] ^= 1;
    let filesystem = FileSystem::open(Memory::from(bytes)).unwrap();
    let refused = filesystem.xattrs(number).unwrap_err().to_string();
    assert!(refused.contains("inode 13: an attribute's value with hash"), "{refused}");
    assert_eq!(filesystem.check().unwrap().len(), 1);
}

#[test]
fn what_linux_does_not_list_is_left_as_it_is() {
    let (_folder, image) = make(DAMAGED, "2M");
    let mut filesystem = open(&image);
    let number = file(&mut filesystem, "file");
    filesystem.set_xattr(number, b"user.c", b"context").unwrap();
    filesystem.flush().unwrap();
    drop(filesystem);
    let mut bytes = std::fs::read(&image).unwrap();
    // `e_name_index` 9: an encryption context.
    let entry = inode_offset(&image, number) + 128 + 32 + 4;
    bytes[entry + 1] = 9;
    std::fs::write(&image, &bytes).unwrap();
    let mut filesystem = open(&image);
    assert_eq!(filesystem.xattrs(number).unwrap(), []);
    filesystem.set_xattr(number, b"user.name", b"value").unwrap();
    assert_sound(&mut filesystem, &image);
    let after = std::fs::read(&image).unwrap();
    assert_eq!(after[entry..entry + 2], [1, 9]);
    assert!(after[entry..entry + 100].windows(7).any(|window| window == b"context"));
}

/// An image with attributes in bodies, in a block, and in inodes of their own; and where all of that is.
fn image_to_damage(options: &[&str]) -> (tempfile::TempDir, PathBuf, Vec<usize>) {
    let (folder, image) = make(options, "2M");
    let mut filesystem = open(&image);
    let number = file(&mut filesystem, "file");
    let list = acl(&[(1, 6, NOBODY), (2, 6, 1000), (4, 4, NOBODY), (0x10, 7, NOBODY), (0x20, 0, NOBODY)]);
    filesystem.set_xattr(number, b"user.body", b"in the body").unwrap();
    filesystem.set_xattr(number, b"system.posix_acl_access", &list).unwrap();
    filesystem.set_xattr(number, b"user.block", &[b'b'; 200]).unwrap();
    filesystem.set_xattr(number, b"user.another", &[b'a'; 201]).unwrap();
    filesystem.set_xattr(number, b"security.third", b"").unwrap();
    filesystem.set_xattr(number, b"user.large", &[b'l'; 3000]).unwrap();
    filesystem.flush().unwrap();
    drop(filesystem);
    let bytes = std::fs::read(&image).unwrap();
    let block = attribute_block(&bytes);
    let [owner, value] = [number, InodeNumber(number.0 + 1)].map(|number| inode_offset(&image, number));
    let mut places: Vec<usize> = (owner + 160..owner + 256).collect();
    places.extend(block * 1024..block * 1024 + 160);
    places.extend(block * 1024 + 520..block * 1024 + 1024);
    // The inode that holds the value.
    places.extend(value..value + 48);
    (folder, image, places)
}

const DAMAGED: &[&str] = &["-t", "ext4", "-b", "1024", "-I", "256", "-O", "^metadata_csum,^uninit_bg,^64bit,ea_inode"];

#[test]
fn what_e2fsck_finds_in_attributes_our_check_finds() {
    let (_folder, sound, places) = image_to_damage(DAMAGED);
    assert_e2fsck_clean(&sound, 0);
    let bytes = std::fs::read(&sound).unwrap();
    let image = sound.with_extension("damaged");
    let mut random = Random(0xDA_3A6E);
    let mut found = 0;
    for at in places.iter().step_by(5) {
        let mut damaged = bytes.clone();
        damaged[*at] ^= 1 << random.below(8);
        std::fs::write(&image, &damaged).unwrap();
        let theirs = judge("e2fsck").args(["-fn"]).arg(&image).run();
        let ours = open(&image).check().unwrap();
        if !theirs.status.success() || theirs.stdout.contains("? no") {
            assert_ne!(ours, Vec::new(), "byte {at:#x}: e2fsck says {theirs}");
            found += 1;
        } else {
            // What the kernel does not take either, but e2fsck does not look for.
            let known = ["not in order", "same name", "with hash", "e_value_size"];
            let said = |finding: &String| known.iter().any(|known| finding.contains(known));
            assert!(
                ours.iter().map(ToString::to_string).all(|finding| said(&finding)),
                "byte {at:#x}: {ours:?} {theirs}"
            );
        }
    }
    assert!(found > 50, "only {found} damaged bytes are anything to e2fsck");
}

#[test]
fn damaged_attributes_end_in_an_answer_or_an_error() {
    for options in [DAMAGED, &["-t", "ext4", "-b", "1024", "-I", "256", "-O", "^metadata_csum,^64bit,ea_inode,^extent"]]
    {
        let (_folder, image, places) = image_to_damage(options);
        let bytes = std::fs::read(&image).unwrap();
        let mut random = Random(0xBAD_5EED);
        let mut errors = 0;
        for round in 0..1500 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + random.below(3) {
                let at = places[random.below(places.len() as u64) as usize];
                damaged[at] = match random.below(3) {
                    0 => random.below(256) as u8,
                    1 => 0xFF,
                    _ => damaged[at] ^ 1 << random.below(8),
                };
            }
            let mut filesystem = FileSystem::open(Memory::from(damaged)).unwrap();
            let _ = filesystem.check().unwrap();
            let number = filesystem.lookup(InodeNumber::ROOT, b"file").unwrap().unwrap();
            let read = filesystem.xattrs(number);
            let edited = match round % 4 {
                0 => filesystem.set_xattr(number, b"user.body", &[1; 100]),
                1 => filesystem.set_xattr(number, b"user.large", &[1; 2000]),
                2 => filesystem.remove_xattr(number, b"user.block"),
                _ => filesystem.remove_file(InodeNumber::ROOT, b"file"),
            };
            errors += u32::from(read.is_err() || edited.is_err());
        }
        assert!(errors > 200, "only {errors} of 1500 were noticed");
    }
}
