//! Structure that is made to cost: sharing, cycles, floods and claims of size. Each ends in findings or an error
//! within the limit, which is generous: without its bound each takes many times as long, or has no end.

use std::path::Path;
use std::time::{Duration, Instant};

use ext4::{Error, FileSystem, InodeNumber};
use storage::Memory;
use testkit::judge::judge;

/// What each may take, opening and checking together.
const LIMIT: Duration = Duration::from_secs(30);
const BLOCK: usize = 1024;
/// Size in bytes of the inodes here.
const INODE: usize = 128;

/// An image with blocks of 1 KiB and inodes of 128 bytes, and where things are in it.
struct Image {
    bytes: Vec<u8>,
}

impl Image {
    fn make(options: &[&str], size: &str, commands: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        let base = ["-q", "-F", "-b", "1024", "-I", "128"];
        judge("mke2fs").args(base).args(options).arg(&image).arg(size).succeed();
        debugfs(&image, commands);
        Self { bytes: std::fs::read(&image).unwrap() }
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn blocks(&self) -> u32 {
        self.u32(1024 + 4)
    }

    fn inodes(&self) -> u32 {
        self.u32(1024)
    }

    /// Offset of an inode; descriptors are of 32 bytes, from block 2 on.
    fn inode(&self, number: u32) -> usize {
        let per_group = self.u32(1024 + 0x28);
        let (group, index) = ((number - 1) / per_group, (number - 1) % per_group);
        self.u32(2 * BLOCK + group as usize * 32 + 8) as usize * BLOCK + index as usize * INODE
    }

    /// Makes an inode one of `mode` with one link, a size and what `i_block` begins with.
    fn write_inode(&mut self, number: u32, mode: u16, size: u32, flags: u32, map: &[u8]) {
        let at = self.inode(number);
        self.put(at, &[0; INODE]);
        self.put(at, &mode.to_le_bytes());
        self.put(at + 0x04, &size.to_le_bytes());
        self.put(at + 0x1A, &1u16.to_le_bytes());
        self.put(at + 0x20, &flags.to_le_bytes());
        self.put(at + 0x28, map);
    }

    /// What a check finds, within the limit; an error is one finding.
    fn findings(&self) -> Vec<String> {
        let begun = Instant::now();
        let found = match FileSystem::open(Memory::from(self.bytes.clone())) {
            Ok(filesystem) => {
                // The walk of who uses what ends as well.
                let mut used = 0u64;
                let all = 0..u64::from(self.blocks());
                filesystem.uses(std::slice::from_ref(&all), &mut |_| used += 1).unwrap();
                assert!(used < 40 * u64::from(self.blocks()), "{used} uses");
                filesystem.check().unwrap().iter().map(ToString::to_string).collect()
            }
            Err(error @ (Error::Corrupt { .. } | Error::Unsupported { .. })) => vec![error.to_string()],
            Err(error) => panic!("{error}"),
        };
        assert!(begun.elapsed() < LIMIT, "it took {:?}", begun.elapsed());
        found
    }

    fn assert_finds(&self, expected: &str) {
        let findings = self.findings();
        assert!(findings.iter().any(|finding| finding.contains(expected)), "{expected}: {findings:#?}");
    }
}

fn debugfs(image: &Path, commands: &str) {
    let script = image.with_extension("commands");
    std::fs::write(&script, commands).unwrap();
    judge("debugfs").arg("-w").arg("-f").arg(&script).arg(image).succeed();
}

fn pointers(block: u32, count: usize) -> Vec<u8> {
    block.to_le_bytes().repeat(count)
}

#[test]
fn a_pointer_block_that_points_to_itself_is_followed_once_for_all_inodes() {
    let mut image = Image::make(&["-t", "ext2", "-N", "100000"], "32M", "");
    let shared = image.blocks() - 10;
    image.put(shared as usize * BLOCK, &pointers(shared, BLOCK / 4));
    let map = [vec![0; 12 * 4], pointers(shared, 3)].concat();
    for number in 12..=image.inodes() {
        image.write_inode(number, 0o100_644, 1 << 20, 0, &map);
    }
    image.assert_finds(&format!("block {shared} of its map is in this or another inode's map already"));
}

#[test]
fn extents_over_the_whole_file_system_are_claimed_a_limited_number_of_times() {
    let options = ["-t", "ext4", "-N", "100000", "-O", "^metadata_csum,^64bit,^uninit_bg,^has_journal"];
    let mut image = Image::make(&options, "32M", "");
    let length = (image.blocks() - 2).min(32768) as u16;
    let mut map = [&[0x0A, 0xF3, 4, 0, 4, 0, 0, 0][..], &[0; 4]].concat();
    for extent in 0u32..4 {
        map.extend((extent * u32::from(length)).to_le_bytes());
        map.extend(length.to_le_bytes());
        map.extend([0; 2]);
        map.extend(2u32.to_le_bytes());
    }
    for number in 12..=image.inodes() {
        image.write_inode(number, 0o100_644, 1 << 28, 0x8_0000, &map);
    }
    image.assert_finds("not looked at: blocks are claimed again and again");
}

#[test]
fn an_extent_tree_that_points_back_into_itself_ends() {
    let options = ["-t", "ext4", "-O", "^metadata_csum,^64bit,^uninit_bg,^has_journal"];
    let mut image = Image::make(&options, "8M", "");
    let node = image.blocks() - 10;
    let index = |depth: u8, count: u8| {
        let mut bytes = vec![0x0A, 0xF3, count, 0, 84, 0, depth, 0, 0, 0, 0, 0];
        for first in 0..u32::from(count) {
            bytes.extend(first.to_le_bytes());
            bytes.extend(node.to_le_bytes());
            bytes.extend([0; 4]);
        }
        bytes
    };
    // It is its own child.
    image.put(node as usize * BLOCK, &index(4, 84));
    let mut root = index(5, 1);
    root[4] = 4;
    image.write_inode(12, 0o100_644, 1 << 20, 0x8_0000, &root);
    image.assert_finds(&format!("block {node} of its map is in this or another inode's map already"));
}

#[test]
fn directories_of_holes_are_not_walked_beyond_the_blocks_that_there_are() {
    let mut image = Image::make(&["-t", "ext2", "-N", "2000"], "32M", "");
    // The root gets twelve blocks with as many names as there is room for.
    let first = image.blocks() - 20;
    let mut number = 12u32;
    for block in 0..12usize {
        let mut bytes = Vec::new();
        if block == 0 {
            for name in [&b"."[..], b".."] {
                bytes.extend(2u32.to_le_bytes());
                bytes.extend([12, 0, name.len() as u8, 2]);
                bytes.extend(name);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
        }
        while bytes.len() + 16 <= BLOCK {
            let last = bytes.len() + 32 > BLOCK;
            let record = if last { BLOCK - bytes.len() } else { 16 };
            bytes.extend(number.to_le_bytes());
            bytes.extend([record as u8, (record >> 8) as u8, 6, 2]);
            bytes.extend(format!("d{number:05}").bytes());
            bytes.resize(bytes.len() + record - 14, 0);
            number += 1;
        }
        image.put((first as usize + block) * BLOCK, &bytes);
    }
    let map: Vec<u8> = (first..first + 12).flat_map(u32::to_le_bytes).collect();
    image.write_inode(2, 0o40_755, 12 * BLOCK as u32, 0, &map);
    let size = (image.blocks() - 1) * BLOCK as u32;
    for number in 12..number {
        image.write_inode(number, 0o40_755, size, 0, &[]);
    }
    image.assert_finds("directories have more blocks than the file system");
}

#[test]
fn directories_in_a_circle_and_with_many_names_are_walked_once() {
    let commands = "mkdir a\nmkdir a/b\ncd a/b\nln /a c\nln /a/b d\nln / e\n";
    let image = Image::make(&["-t", "ext2"], "8M", commands);
    image.assert_finds("a directory with two names");
}

#[test]
fn an_index_that_points_to_its_own_root_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (tree, path) = (folder.path().join("tree"), folder.path().join("image"));
    std::fs::create_dir_all(tree.join("many")).unwrap();
    for number in 0..200 {
        std::fs::write(tree.join(format!("many/{number}-{}", "x".repeat(60))), "").unwrap();
    }
    let options = ["-q", "-F", "-t", "ext4", "-b", "1024", "-I", "128", "-O", "^metadata_csum,^64bit,^has_journal"];
    judge("mke2fs").args(options).arg("-d").arg(&tree).arg(&path).arg("8M").succeed();
    judge("e2fsck").arg("-fyD").arg(&path).run();
    let listed = judge("debugfs").args(["-R", "blocks many"]).arg(&path).succeed().stdout;
    let root: usize = listed.split_whitespace().next().unwrap().parse().unwrap();
    let mut image = Image { bytes: std::fs::read(&path).unwrap() };
    let count = usize::from(u16::from_le_bytes([image.bytes[root * BLOCK + 34], image.bytes[root * BLOCK + 35]]));
    assert!(count > 3, "an index of {count}");
    // Every entry leads to the root, which says that a level of index blocks is below it.
    image.put(root * BLOCK + 30, &[1]);
    for entry in 0..count {
        image.put(root * BLOCK + 32 + entry * 8 + 4, &[0; 4]);
    }
    let number = {
        let filesystem = FileSystem::open(Memory::from(image.bytes.clone())).unwrap();
        let number = filesystem.lookup(InodeNumber::ROOT, b"many").unwrap().unwrap();
        // A name is looked for in a way or not at all; either ends.
        let _ = filesystem.lookup(number, b"no such name");
        number
    };
    image.assert_finds(&format!("directory inode {number}, block 0"));
}

#[test]
fn orphans_in_a_circle_are_an_error() {
    let commands = "write /dev/null a\nsif a dtime 12\nsif a links_count 1\nssv last_orphan 12\n";
    let image = Image::make(&["-t", "ext2"], "8M", commands);
    let mut filesystem = FileSystem::open(Memory::from(image.bytes)).unwrap();
    let begun = Instant::now();
    let _ = filesystem.recover();
    assert!(begun.elapsed() < LIMIT, "it took {:?}", begun.elapsed());
}

/// A journal that is dirty from its first block on.
fn with_journal() -> (Image, usize) {
    let mut image = Image::make(&["-t", "ext3", "-O", "^64bit"], "16M", "feature +needs_recovery\n");
    let journal = (0..image.blocks() as usize)
        .find(|block| image.bytes[block * BLOCK..].starts_with(&[0xC0, 0x3B, 0x39, 0x98, 0, 0, 0, 4]))
        .unwrap();
    image.put(journal * BLOCK + 0x18, &1u32.to_be_bytes());
    image.put(journal * BLOCK + 0x1C, &1u32.to_be_bytes());
    (image, journal)
}

fn log_block(kind: u32, rest: &[u8]) -> Vec<u8> {
    let header = [0xC03B_3998u32, kind, 1].map(u32::to_be_bytes).concat();
    let mut block = [header, rest.to_vec()].concat();
    block.resize(BLOCK, 0);
    block
}

#[test]
fn a_revoke_block_that_claims_more_than_a_block_is_an_error() {
    let (mut image, journal) = with_journal();
    image.put((journal + 1) * BLOCK, &log_block(5, &u32::MAX.to_be_bytes()));
    let commit = log_block(2, &[]);
    image.put((journal + 2) * BLOCK, &commit);
    image.assert_finds("r_count=4294967295");
}

#[test]
fn a_journal_of_nothing_but_descriptors_ends() {
    let (mut image, journal) = with_journal();
    // As many tags as there is room for, none of which is the last.
    let tags = [7u32, 2].map(u32::to_be_bytes).concat().repeat(126);
    // The pointer block of the journal is behind the first twelve.
    for block in 1..12 {
        image.put((journal + block) * BLOCK, &log_block(1, &tags));
    }
    // Nothing was committed, so nothing is replayed.
    assert_eq!(image.findings(), Vec::<String>::new());
}

#[test]
fn an_attribute_that_claims_more_than_its_block_is_an_error() {
    let value = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(value.path(), [b'v'; 300]).unwrap();
    let commands = format!("write /dev/null a\nea_set -f {} a user.large\n", value.path().display());
    let mut image = Image::make(&["-t", "ext2"], "8M", &commands);
    let block = image.u32(image.inode(12) + 0x68) as usize;
    image.put(block * BLOCK + 32 + 8, &u32::MAX.to_le_bytes());
    image.assert_finds("e_value_size=4294967295 is outside the 1024 bytes");
}

#[test]
fn a_small_file_that_claims_to_be_a_large_file_system_is_refused() {
    let mut image = Image::make(&["-t", "ext2"], "8M", "");
    image.put(1024 + 4, &u32::MAX.to_le_bytes());
    image.assert_finds("4294967295 blocks of 1024 bytes do not fit the partition of 8388608 bytes");
    // Groups of eight blocks, whose descriptors would fill the disk.
    let mut image = Image::make(&["-t", "ext2"], "8M", "");
    image.put(1024 + 0x20, &8u32.to_le_bytes());
    assert!(!image.findings().is_empty());
}
