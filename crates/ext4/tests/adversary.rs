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

/// An image, and where things are in it.
struct Image {
    bytes: Vec<u8>,
    block_bytes: usize,
    inode_bytes: usize,
}

impl Image {
    /// One with blocks of 1 KiB and inodes of 128 bytes.
    fn make(options: &[&str], size: &str, commands: &str) -> Self {
        Self::with_sizes(BLOCK, 128, options, size, commands)
    }

    /// One with group descriptors of 32 bytes: `options` see to that.
    fn with_sizes(block_bytes: usize, inode_bytes: usize, options: &[&str], size: &str, commands: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        let sizes = [block_bytes, inode_bytes].map(|bytes| bytes.to_string());
        let base = ["-q", "-F", "-b", &sizes[0], "-I", &sizes[1]];
        judge("mke2fs").args(base).args(options).arg(&image).arg(size).succeed();
        debugfs(&image, commands);
        Self { bytes: std::fs::read(&image).unwrap(), block_bytes, inode_bytes }
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

    /// Offset of an inode. The descriptors are in the block after the super block's.
    fn inode(&self, number: u32) -> usize {
        let per_group = self.u32(1024 + 0x28);
        let (group, index) = ((number - 1) / per_group, (number - 1) % per_group);
        let descriptors = (1024 / self.block_bytes + 1) * self.block_bytes;
        let table = self.u32(descriptors + group as usize * 32 + 8) as usize;
        table * self.block_bytes + index as usize * self.inode_bytes
    }

    /// Makes an inode one of `mode` with one link, a size and what `i_block` begins with.
    fn write_inode(&mut self, number: u32, mode: u16, size: u32, flags: u32, map: &[u8]) {
        let at = self.inode(number);
        self.bytes[at..at + self.inode_bytes].fill(0);
        self.put(at, &mode.to_le_bytes());
        self.put(at + 0x04, &size.to_le_bytes());
        self.put(at + 0x1A, &1u16.to_le_bytes());
        self.put(at + 0x20, &flags.to_le_bytes());
        self.put(at + 0x28, map);
    }

    /// Fills the last blocks with directories' entries, as many as there is room for, and makes them the content of
    /// the root; they name the inodes from 12 on. Returns the number after the last of these.
    fn fill_root(&mut self, blocks: u32) -> u32 {
        let first = self.blocks() - blocks;
        let mut number = 12u32;
        for block in 0..blocks {
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
            self.put((first + block) as usize * BLOCK, &bytes);
        }
        let mut map: Vec<u8> = (first..first + blocks.min(12)).flat_map(u32::to_le_bytes).collect();
        if blocks > 12 {
            let indirect = first - 1;
            map.extend(indirect.to_le_bytes());
            let below: Vec<u8> = (first + 12..first + blocks).flat_map(u32::to_le_bytes).collect();
            self.put(indirect as usize * BLOCK, &below);
        }
        self.write_inode(2, 0o40_755, blocks * BLOCK as u32, 0, &map);
        number
    }

    /// Fills the blocks from `first` on with a map of two levels below `first`, in which all blocks are `content`.
    fn fill_double_indirect(&mut self, first: u32, content: u32) {
        let below: Vec<u8> = (first + 1..first + 257).flat_map(u32::to_le_bytes).collect();
        self.put(first as usize * BLOCK, &below);
        self.put((first + 1) as usize * BLOCK, &pointers(content, 256 * 256));
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
                filesystem.inodes_in(std::slice::from_ref(&all)).unwrap();
                assert!(used < 40 * u64::from(self.blocks() + self.inodes()), "{used} uses");
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
    let number = image.fill_root(12);
    let size = (image.blocks() - 1) * BLOCK as u32;
    for number in 12..number {
        image.write_inode(number, 0o40_755, size, 0, &[]);
    }
    image.assert_finds("directories have more blocks than the file system");
}

#[test]
fn directories_that_share_a_large_map_are_read_as_far_as_they_go() {
    let mut image = Image::make(&["-t", "ext2", "-N", "18000"], "128M", "");
    let past = image.fill_root(268);
    let shared = image.blocks() - 2000;
    image.fill_double_indirect(shared, shared - 1);
    // One block is all that a directory has, and the map goes on for 65,536 more.
    let map = [pointers(shared - 1, 1), vec![0; 12 * 4], pointers(shared, 1)].concat();
    for number in 12..past {
        image.write_inode(number, 0o40_755, BLOCK as u32, 0, &map);
    }
    assert!(past > 16_000, "only {past} directories");
    image.assert_finds(&format!("block {shared} of its map is in this or another inode's map already"));
}

#[test]
fn a_large_directory_with_a_broken_map_is_mapped_once() {
    let mut image = Image::make(&["-t", "ext2"], "128M", "mkdir large\n");
    let (first, content) = (image.blocks() - 2000, image.blocks() - 2001);
    // A block of entries without any.
    image.put(content as usize * BLOCK, &[0, 0, 0, 0, 0, 4, 0, 0]);
    image.fill_double_indirect(first, content);
    // The last pointer of all leads out of the file system.
    image.put((first as usize + 257) * BLOCK - 4, &[0xFF; 4]);
    let map = [pointers(content, 12), pointers(0, 1), pointers(first, 1)].concat();
    image.write_inode(12, 0o40_755, (12 + 256 + 256 * 256) * BLOCK as u32, 0, &map);
    image.assert_finds("block 4294967295 is outside the 131072 blocks of the file system");
}

const EA_INODE_FL: u32 = 0x20_0000;

/// A block of attributes without names: each has its value in inode 12, whose hash is 0.
fn attributes_in_inode_12(block_bytes: usize, value_bytes: u32) -> Vec<u8> {
    let mut block = [0xEA02_0000u32, 1, 1, 0, 0, 0, 0, 0].map(u32::to_le_bytes).concat();
    while block.len() + 20 <= block_bytes {
        block.extend([0, 1, 0, 0]);
        block.extend([12, value_bytes, 0].map(u32::to_le_bytes).concat());
    }
    block.resize(block_bytes, 0);
    block
}

#[test]
fn an_attribute_block_that_many_inodes_share_is_charged_once() {
    let options = ["-t", "ext4", "-N", "60000", "-O", "quota,ea_inode,^metadata_csum,^64bit,^has_journal,^extent"];
    let mut image = Image::with_sizes(65536, 256, &options, "64M", "");
    let shared = image.blocks() - 10;
    let attributes = attributes_in_inode_12(65536, 1);
    image.put(shared as usize * 65536, &attributes);
    image.write_inode(12, 0o100_600, 1, EA_INODE_FL, &[]);
    for number in 13..=image.inodes() {
        image.write_inode(number, 0o100_644, 0, 0, &[]);
        let at = image.inode(number);
        // Its block and those of 4,093 values, in units of 512 bytes.
        image.put(at + 0x1C, &(4094u32 * 128).to_le_bytes());
        image.put(at + 0x68, &shared.to_le_bytes());
    }
    let sharing = image.inodes() - 12;
    image.assert_finds(&format!("h_refcount=1, but {sharing} inodes use it"));
}

#[test]
fn a_value_inode_that_many_attributes_name_is_read_once() {
    let options = ["-t", "ext4", "-N", "500", "-O", "ea_inode,^metadata_csum,^64bit,^has_journal,^extent"];
    let mut image = Image::with_sizes(65536, 32768, &options, "64M", "");
    // It has attributes of its own, which no such inode has: 2,000 without names or values.
    image.write_inode(12, 0o100_600, 1, EA_INODE_FL, &[]);
    let body = [&[32, 0][..], &[0; 30], &0xEA02_0000u32.to_le_bytes()].concat();
    let at = image.inode(12) + 128;
    image.put(at, &body);
    for entry in 0..2000 {
        image.put(at + 36 + entry * 16, &[0, 1]);
    }
    let attributes = attributes_in_inode_12(65536, 1);
    let first = image.blocks() - 400;
    for number in 13..400 {
        let block = first + number - 13;
        image.put(block as usize * 65536, &attributes);
        image.write_inode(number, 0o100_644, 0, 0, &[]);
        let at = image.inode(number) + 0x68;
        image.put(at, &block.to_le_bytes());
    }
    image.assert_finds("e_value_inum=12, which holds a value and has attributes of its own");
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
    let mut image = Image { bytes: std::fs::read(&path).unwrap(), block_bytes: BLOCK, inode_bytes: 128 };
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
