//! File systems made here, judged by e2fsprogs: `e2fsck -fn` says nothing, and what `dumpe2fs` says is
//! what it says of one that `mke2fs` made with the same options.

#![allow(clippy::print_stdout, reason = "what is about to be tried is printed, to be had again")]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ext4::{Attributes, CreateOptions, Features, FileSystem, InodeCount, InodeNumber, Time};
use storage::{FileStorage, Memory};
use testkit::judge::{assert_e2fsck_clean, judge};

const UUID: &str = "01234567-89ab-4cde-8f01-23456789abcd";
const UUID_BYTES: [u8; 16] =
    [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4c, 0xde, 0x8f, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd];

/// What differs by time or by how much was written.
const NOT_COMPARED: &[&str] = &["Filesystem created", "Last write time", "Last checked", "Lifetime writes", "Checksum"];

fn options(block_size_bytes: u32, features: Features) -> CreateOptions {
    CreateOptions {
        block_size_bytes,
        features,
        label: b"label".to_vec(),
        uuid: UUID_BYTES,
        hash_seed: UUID_BYTES,
        created: Time { seconds: 1_700_000_000, nanoseconds: 0 },
        ..CreateOptions::default()
    }
}

/// Options of `mke2fs`, the same as ours, and sizes in KiB.
fn matrix() -> Vec<(&'static str, CreateOptions, u64)> {
    let ext4 = Features::EXT4;
    let classic = Features { metadata_csum: false, uninit_bg: true, bit64: false, ..ext4 };
    let plain = Features { metadata_csum: false, flex_bg: false, ..ext4 };
    vec![
        ("-t ext4 -b 4096 -i 16384", options(4096, ext4), 600 << 10),
        ("-t ext4 -b 4096 -i 16384", options(4096, ext4), 5 << 20),
        ("-t ext4 -b 4096 -i 16384", options(4096, ext4), (256 << 10) + 1000),
        ("-t ext4 -b 4096 -i 16384", options(4096, ext4), 4 << 10),
        (
            "-t ext4 -b 1024 -i 4096",
            CreateOptions { inodes: InodeCount::BytesPerInode(4096), ..options(1024, ext4) },
            90 << 10,
        ),
        (
            "-t ext4 -b 2048 -i 8192 -m 1",
            CreateOptions { inodes: InodeCount::BytesPerInode(8192), reserved_percent: 1, ..options(2048, ext4) },
            90 << 10,
        ),
        (
            "-t ext4 -b 4096 -N 1000",
            CreateOptions { inodes: InodeCount::Number(1000), ..options(4096, ext4) },
            200 << 10,
        ),
        ("-t ext4 -b 4096 -i 16384 -O ^64bit,^metadata_csum,uninit_bg", options(4096, classic), 1 << 20),
        (
            "-t ext4 -b 1024 -i 16384 -I 128 -O ^64bit,^metadata_csum,uninit_bg,^extra_isize",
            CreateOptions { inode_size_bytes: 128, ..options(1024, Features { extra_isize: false, ..classic }) },
            100 << 10,
        ),
        ("-t ext4 -b 1024 -i 16384 -O ^metadata_csum,^flex_bg", options(1024, plain), 70 << 10),
        (
            "-t ext4 -b 1024 -i 16384 -O meta_bg,^resize_inode",
            options(1024, Features { meta_bg: true, resize_inode: false, ..ext4 }),
            300 << 10,
        ),
        (
            "-t ext4 -b 1024 -i 16384 -O ^resize_inode,^sparse_super,^has_journal",
            options(1024, Features { sparse_super: false, resize_inode: false, has_journal: false, ..ext4 }),
            60 << 10,
        ),
        ("-t ext3 -b 1024 -i 16384", options(1024, Features::EXT3), 60 << 10),
        ("-t ext3 -b 4096 -i 16384", options(4096, Features::EXT3), 300 << 10),
        ("-t ext2 -b 1024 -i 16384", options(1024, Features::EXT2), 20 << 10),
        ("-t ext2 -b 2048 -i 16384", options(2048, Features::EXT2), 100 << 10),
    ]
}

/// In memory where the host has a place for that: `mke2fs` syncs.
fn work_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn create(image: &Path, options: &CreateOptions) -> FileSystem<FileStorage> {
    let file = File::options().read(true).write(true).open(image).unwrap();
    FileSystem::create(FileStorage::new(file).unwrap(), options).unwrap()
}

/// `Field: value` of `dumpe2fs -h`.
fn fields(image: &Path) -> BTreeMap<String, String> {
    let text = judge("dumpe2fs").arg("-h").arg(image).succeed().stdout;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    fields.filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str())).collect()
}

#[test]
fn what_is_made_is_what_mke2fs_makes() {
    for (arguments, options, size_kib) in matrix() {
        println!("mke2fs {arguments}, {size_kib} KiB");
        let folder = work_folder();
        let [ours, theirs] = ["ours", "theirs"].map(|name| folder.path().join(name));
        File::create(&ours).unwrap().set_len(size_kib << 10).unwrap();
        let filesystem = create(&ours, &options);
        assert_eq!(filesystem.check().unwrap(), Vec::new());
        drop(filesystem);
        assert_e2fsck_clean(&ours, 0);
        let seed = format!("hash_seed={UUID}");
        judge("mke2fs")
            .args(["-q", "-F", "-L", "label", "-U", UUID, "-E", &seed])
            .args(arguments.split(' '))
            .arg(&theirs)
            .arg(format!("{size_kib}k"))
            .succeed();
        let (one, other) = (fields(&ours), fields(&theirs));
        for name in one.keys().chain(other.keys()) {
            assert_eq!(one.get(name), other.get(name), "{arguments}, {size_kib} KiB: {name}");
        }
        let stat = |image: &Path, what: &str| {
            let said = judge("debugfs").args(["-R", &format!("stat {what}")]).arg(image).succeed().stdout;
            let wanted = ["Inode:", "User:", "Links:", "Size of extra"];
            said.lines().filter(|line| wanted.iter().any(|start| line.starts_with(start))).map(str::to_owned).collect()
        };
        for what in ["/", "/lost+found", "<7>", "<8>"] {
            let (one, other): (Vec<String>, Vec<String>) = (stat(&ours, what), stat(&theirs, what));
            assert_eq!(one, other, "{arguments}: {what}");
        }
    }
}

#[test]
fn what_was_there_before_does_not_matter() {
    for features in [Features::EXT2, Features::EXT4] {
        let folder = work_folder();
        let [zeros, garbage] = ["zeros", "garbage"].map(|name| folder.path().join(name));
        File::create(&zeros).unwrap().set_len(64 << 20).unwrap();
        std::fs::write(&garbage, vec![0xA5; 64 << 20]).unwrap();
        for image in [&zeros, &garbage] {
            create(image, &options(1024, features));
            assert_e2fsck_clean(image, 0);
        }
        assert_eq!(fields(&zeros), fields(&garbage));
        let mut first = [1; 1024];
        File::open(&garbage).unwrap().read_exact_at(&mut first, 0).unwrap();
        assert_eq!(first, [0; 1024]);
    }
}

#[test]
fn what_is_made_can_be_filled_and_grown() {
    for (arguments, options, size_kib) in matrix() {
        let folder = work_folder();
        let image = folder.path().join("image");
        File::create(&image).unwrap().set_len(size_kib << 11).unwrap();
        let blocks = (size_kib << 10) / u64::from(options.block_size_bytes);
        let mut filesystem = create(&image, &CreateOptions { blocks: Some(blocks), ..options });
        let attributes = Attributes { permissions: 0o755, uid: 0, gid: 0, modified: Time::default() };
        let made = filesystem.create_directory(InodeNumber::ROOT, b"made", &attributes).unwrap();
        for number in 0..200u32 {
            let content = number.to_le_bytes().repeat(300);
            let name = format!("file-{number}");
            let size = content.len() as u64;
            filesystem.create_file(made, name.as_bytes(), &attributes, size, &mut &content[..]).unwrap();
        }
        filesystem.flush().unwrap();
        assert_e2fsck_clean(&image, 0);
        filesystem.grow(blocks * 2).unwrap();
        drop(filesystem);
        assert_e2fsck_clean(&image, 0);
        let listed = judge("debugfs").args(["-R", "ls -p /made"]).arg(&image).succeed().stdout;
        assert_eq!(listed.lines().filter(|line| line.contains("/file-")).count(), 200, "{arguments}");
        let root = judge("debugfs").args(["-R", "ls -p /"]).arg(&image).succeed().stdout;
        assert!(root.contains("/11/040700/0/0/lost+found//"), "{root}");
    }
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let refused = |options: &CreateOptions, bytes: usize| {
        FileSystem::create(Memory::from(vec![0; bytes]), options).err().unwrap().to_string()
    };
    let whole = options(4096, Features::EXT4);
    let error = refused(&CreateOptions { block_size_bytes: 8192, ..whole.clone() }, 64 << 20);
    assert!(error.contains("blocks of 8192 bytes"), "{error}");
    let both = Features { meta_bg: true, ..Features::EXT4 };
    assert!(
        refused(&CreateOptions { features: both, ..whole.clone() }, 64 << 20).contains("meta_bg with resize_inode")
    );
    let error = refused(&CreateOptions { blocks: Some(1 << 20), ..whole.clone() }, 64 << 20);
    assert!(error.contains("1048576 blocks, the storage has room for 16384"), "{error}");
    for bytes in [0, 1024, 4096, 20_000, 100_000] {
        FileSystem::create(Memory::from(vec![0; bytes]), &whole).err().unwrap();
        let _ = FileSystem::create(Memory::from(vec![0; bytes]), &options(1024, Features::EXT2)).err();
    }
    let dense = CreateOptions { inodes: InodeCount::BytesPerInode(1), ..whole };
    assert!(refused(&dense, 64 << 20).contains("inodes in each of"));
}
