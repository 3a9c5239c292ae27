//! Who uses a block, against `debugfs`; and the account of what differs: everything that an edit did is
//! explained by it, and whatever was changed behind its back is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ext4::{
    Account, Attributes, BlockKind, Expectations, Expected, FileSystem, InodeNumber, Owner, Role, Side, Time, account,
};
use storage::FileStorage;
use testkit::judge::{assert_e2fsck_clean, judge};

const ATTRIBUTES: Attributes =
    Attributes { permissions: 0o640, uid: 7, gid: 8, modified: Time { seconds: 1_600_000_000, nanoseconds: 0 } };

const MATRIX: &[&[&str]] = &[
    &["-t", "ext4", "-b", "4096"],
    &["-t", "ext4", "-b", "1024"],
    &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg,^64bit"],
    &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^uninit_bg"],
    &["-t", "ext4", "-b", "1024", "-O", "^flex_bg,meta_bg,^resize_inode"],
    &["-t", "ext4", "-b", "2048", "-O", "^flex_bg"],
    &["-t", "ext4", "-b", "1024", "-O", "inline_data"],
    &["-t", "ext4", "-b", "4096", "-O", "ea_inode"],
    &["-t", "ext4", "-b", "1024", "-O", "quota,project", "-E", "quotatype=usrquota:grpquota:prjquota"],
    &["-t", "ext4", "-b", "4096", "-O", "orphan_file,metadata_csum_seed"],
    &["-t", "ext4", "-b", "4096", "-O", "sparse_super2"],
    &["-t", "ext3", "-b", "1024"],
    &["-t", "ext2", "-b", "1024", "-I", "128"],
    &["-t", "ext4", "-b", "1024", "-O", "^dir_index"],
];

/// A file system with some files in it, and a copy that is to be changed.
struct Pair {
    folder: tempfile::TempDir,
}

impl Pair {
    fn new(options: &[&str]) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let pair = Self { folder };
        let tree = pair.folder.path().join("tree");
        fs::create_dir_all(tree.join("keep/deep")).unwrap();
        fs::create_dir(tree.join("many")).unwrap();
        fs::write(tree.join("keep/large"), vec![3; 300_000]).unwrap();
        fs::write(tree.join("keep/gone"), vec![4; 100_000]).unwrap();
        fs::write(tree.join("keep/deep/small"), "small\n").unwrap();
        for number in 0..200 {
            fs::write(tree.join(format!("many/file-{number}")), [b'x'; 100]).unwrap();
        }
        fs::hard_link(tree.join("keep/large"), tree.join("keep/link")).unwrap();
        judge("mke2fs").args(["-q", "-F"]).args(options).arg("-d").args([&tree, &pair.old()]).arg("48m").succeed();
        fs::copy(pair.old(), pair.new_image()).unwrap();
        pair
    }

    fn old(&self) -> PathBuf {
        self.folder.path().join("old")
    }

    fn new_image(&self) -> PathBuf {
        self.folder.path().join("new")
    }

    /// Changes `count` bytes of the copy from `offset` on, each in another way.
    fn tamper(&self, offset: u64, count: usize) {
        let file = File::options().read(true).write(true).open(self.new_image()).unwrap();
        let mut bytes = vec![0; count];
        file.read_exact_at(&mut bytes, offset).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
        file.write_all_at(&bytes, offset).unwrap();
    }

    fn account(&self, expected: &dyn Fn(Side, InodeNumber) -> Expected) -> Account {
        let (old, new) = (open(&self.old()), open(&self.new_image()));
        let differing = differing(&self.old(), &self.new_image(), u64::from(new.superblock().block_size_bytes()));
        account(&old, &new, &differing, &Expectations { inode: expected, is_strict: true }).unwrap()
    }
}

fn open(image: &Path) -> FileSystem<FileStorage> {
    let file = File::options().read(true).write(true).open(image).unwrap();
    FileSystem::open(FileStorage::new(file).unwrap()).unwrap()
}

fn debugfs(image: &Path, request: &str) -> String {
    judge("debugfs").args(["-R", request]).arg(image).succeed().stdout
}

/// The blocks in which two files differ, a range each.
fn differing(old: &Path, new: &Path, block_bytes: u64) -> Vec<Range<u64>> {
    let (old, new) = (fs::read(old).unwrap(), fs::read(new).unwrap());
    let size = block_bytes as usize;
    let blocks = old.chunks(size).zip(new.chunks(size)).enumerate();
    blocks.filter(|(_, (old, new))| old != new).map(|(at, _)| at as u64..at as u64 + 1).collect()
}

fn lookup(filesystem: &FileSystem<FileStorage>, path: &str) -> InodeNumber {
    path.split('/').filter(|name| !name.is_empty()).fold(InodeNumber::ROOT, |parent, name| {
        filesystem.lookup(parent, name.as_bytes()).unwrap().unwrap_or_else(|| panic!("{path} is not there"))
    })
}

/// What was changed on purpose.
#[derive(Default)]
struct Asked {
    inodes: BTreeSet<InodeNumber>,
    directories: BTreeSet<InodeNumber>,
}

impl Asked {
    fn expected(&self, number: InodeNumber) -> Expected {
        match () {
            () if self.inodes.contains(&number) => Expected::Anything,
            () if self.directories.contains(&number) => Expected::Entries,
            () => Expected::Nothing,
        }
    }
}

/// Edits of every kind; returns what they were to change.
fn edit(image: &Path) -> Asked {
    let mut filesystem = open(image);
    let mut asked = Asked::default();
    let [keep, many, deep] = ["keep", "many", "keep/deep"].map(|path| lookup(&filesystem, path));
    asked.directories.extend([InodeNumber::ROOT, keep, many]);
    let content = |size: usize| (0..size).map(|at| (at % 253) as u8).collect::<Vec<u8>>();
    let bytes = content(700_000);
    let made = filesystem.create_file(keep, b"made", &ATTRIBUTES, bytes.len() as u64, &mut &bytes[..]).unwrap();
    let directory = filesystem.create_directory(InodeNumber::ROOT, b"directory", &ATTRIBUTES).unwrap();
    asked.inodes.extend([made, directory]);
    for number in 0..300 {
        let name = format!("a-name-that-is-rather-long-{number}");
        let made = filesystem.create_file(many, name.as_bytes(), &ATTRIBUTES, 3, &mut &b"abc"[..]).unwrap();
        asked.inodes.insert(made);
    }
    let target = vec![b't'; 200];
    asked.inodes.insert(filesystem.create_symlink(directory, b"symlink", &target, &ATTRIBUTES).unwrap());
    asked.inodes.insert(lookup(&filesystem, "keep/gone"));
    filesystem.remove_file(keep, b"gone").unwrap();
    // A name less of a file that stays, and another's attributes.
    asked.inodes.insert(lookup(&filesystem, "keep/link"));
    filesystem.remove_file(keep, b"link").unwrap();
    let small = lookup(&filesystem, "keep/deep/small");
    asked.inodes.insert(small);
    // Of what does not fit an inode, a block is made; with ea_inode, an inode.
    filesystem.set_xattr(small, b"user.small", b"value").unwrap();
    filesystem.set_xattr(small, b"user.block", &vec![b'v'; 600]).unwrap();
    let large = lookup(&filesystem, "keep/large");
    filesystem.write_file_at(large, 1 << 20, b"behind a hole").unwrap();
    filesystem.flush().unwrap();
    assert_eq!(filesystem.check().unwrap(), Vec::new());
    let _ = deep;
    asked
}

#[test]
fn who_uses_a_block_is_what_debugfs_says() {
    for options in MATRIX {
        let pair = Pair::new(options);
        edit(&pair.new_image());
        let filesystem = open(&pair.new_image());
        let blocks = filesystem.superblock().blocks();
        let mut owners: BTreeMap<u64, BTreeSet<Option<u32>>> = BTreeMap::new();
        // In pieces, to have borders inside of files.
        let wanted: Vec<Range<u64>> = (0..blocks).step_by(97).map(|first| first..(first + 97).min(blocks)).collect();
        filesystem
            .uses(&wanted, &mut |usage| {
                let number = match usage.owner {
                    Owner::Inode { number, .. } => Some(number.0),
                    _ => None,
                };
                for block in usage.blocks {
                    owners.entry(block).or_default().insert(number);
                }
            })
            .unwrap();
        // Free blocks, and every 13th of the others, which is enough for each file to have some.
        let asked: Vec<u64> = (1..blocks).filter(|block| block % 13 == 0 || block % 1024 < 40).collect();
        for chunk in asked.chunks(1000) {
            let list: Vec<String> = chunk.iter().map(u64::to_string).collect();
            let said = debugfs(&pair.new_image(), &format!("icheck {}", list.join(" ")));
            for (block, inode) in said.lines().skip(1).map(|line| line.split_once('\t').unwrap()) {
                let block: u64 = block.parse().unwrap();
                let ours = owners.get(&block);
                match inode.parse::<u32>() {
                    Ok(inode) => assert!(
                        ours.is_some_and(|ours| ours.contains(&Some(inode))),
                        "{options:?}: block {block} is inode {inode}'s, not {ours:?}'s"
                    ),
                    Err(_) => assert!(
                        ours.is_none_or(|ours| ours.iter().all(Option::is_none)),
                        "{options:?}: block {block} is nobody's, not {ours:?}'s"
                    ),
                }
            }
        }
        // What the bitmaps call free is nobody's, and nothing else is.
        let free = u64::from(filesystem.superblock().block_size_bytes() == 1024);
        let used = owners.len() as u64 + free;
        assert_eq!(blocks - used, filesystem.superblock().free_blocks(), "{options:?}");
    }
}

#[test]
fn every_block_that_edits_change_is_explained_by_them() {
    for options in MATRIX {
        let pair = Pair::new(options);
        let asked = edit(&pair.new_image());
        assert_e2fsck_clean(&pair.new_image(), 0);
        let found = pair.account(&|_, number| asked.expected(number));
        assert!(found.unexplained.is_empty(), "{options:?}: {:#?}", found.unexplained);
        assert_eq!(found.unexplained_blocks, 0);
        let size = u64::from(open(&pair.old()).superblock().block_size_bytes());
        let differing = differing(&pair.old(), &pair.new_image(), size).len() as u64;
        assert_eq!(found.data_blocks() + found.metadata_blocks() + found.free_blocks(), differing, "{options:?}");
        assert!(found.data_blocks() >= 700_000 / size && found.blocks[&BlockKind::InodeTable] > 0);
    }
}

#[test]
fn a_change_that_was_not_asked_for_is_named_with_its_inode() {
    let pair = Pair::new(MATRIX[0]);
    let asked = edit(&pair.new_image());
    let filesystem = open(&pair.new_image());
    for path in ["keep/large", "keep/made", "keep/deep/small", "keep/gone"] {
        let number = if path == "keep/gone" { lookup(&open(&pair.old()), path) } else { lookup(&filesystem, path) };
        let found = pair.account(&|_, other| if other == number { Expected::Nothing } else { asked.expected(other) });
        assert!(found.unexplained_blocks > 0, "{path}");
        let names_it = |object: &ext4::Object| *object == ext4::Object::Inode(number);
        assert!(found.unexplained.iter().any(|place| names_it(&place.object)), "{path}: {:?}", found.unexplained);
    }
    // A directory whose entries were to stay, and one whose own times changed with them.
    let many = lookup(&filesystem, "many");
    let found = pair.account(&|_, other| if other == many { Expected::Nothing } else { asked.expected(other) });
    assert!(found.unexplained.iter().any(|place| place.object == ext4::Object::Inode(many)));
    drop(filesystem);
    let mut filesystem = open(&pair.new_image());
    filesystem.set_attributes(many, &ATTRIBUTES).unwrap();
    filesystem.flush().unwrap();
    let found = pair.account(&|_, other| asked.expected(other));
    let problem = &found.unexplained.iter().find(|place| place.object == ext4::Object::Inode(many)).unwrap().problem;
    assert!(problem.contains("i_mtime"), "{problem}");
}

/// Where debugfs says that an inode is, in bytes.
fn inode_offset(image: &Path, path: &str, block_bytes: u64) -> u64 {
    let said = debugfs(image, &format!("imap {path}"));
    let (_, rest) = said.split_once("located at block ").unwrap();
    let (block, offset) = rest.trim().split_once(", offset 0x").unwrap();
    block.parse::<u64>().unwrap() * block_bytes + u64::from_str_radix(offset, 16).unwrap()
}

/// A number that `dumpe2fs` says behind `name`, at its first place.
fn dumped(image: &Path, name: &str) -> u64 {
    let said = judge("dumpe2fs").arg(image).succeed().stdout;
    let rest = said.split_once(name).unwrap_or_else(|| panic!("no {name}: {said}")).1.trim_start();
    rest.split(|character: char| !character.is_ascii_digit()).next().unwrap().parse().unwrap()
}

fn first_block(image: &Path, path: &str) -> u64 {
    debugfs(image, &format!("blocks {path}")).split_ascii_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn what_is_changed_behind_the_engines_back_is_named() {
    const SIZE: u64 = 1024;
    let options = &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^uninit_bg"];
    let pair = Pair::new(options);
    let asked = edit(&pair.new_image());
    let edited = fs::read(pair.new_image()).unwrap();
    let image = pair.new_image();
    let slot = inode_offset(&image, "/keep/deep", SIZE);
    let bitmap = dumped(&image, "Block bitmap at ");
    let inodes = dumped(&image, "Inode bitmap at ");
    let data = first_block(&image, "/many/file-7");
    let entries = first_block(&image, "/keep/deep");
    let journal = first_block(&image, "<8>");
    let reserved = dumped(&image, "Reserved GDT blocks at ");
    let backup = dumped(&image, "Backup superblock at ");
    let last_inode = SIZE * inodes + dumped(&image, "Inodes per group:") / 8 - 1;
    // Offset, what is named, in which block, and a word of the problem.
    let cases: [(&str, u64, String, u64, &str); 12] = [
        ("a byte of another inode's slot", slot + 0x7E, inode(&image, "/keep/deep"), slot / SIZE, "i_reserved"),
        ("its time of access", slot + 0x08, inode(&image, "/keep/deep"), slot / SIZE, "i_atime"),
        ("bits of the block bitmap", bitmap * SIZE + 1000, "group 0".to_owned(), bitmap, "which nothing uses"),
        ("bits of the inode bitmap", last_inode, "group 0".to_owned(), inodes, "is now taken"),
        ("content of an untouched file", data * SIZE, inode(&image, "/many/file-7"), data, "its content differs"),
        ("entries of an untouched directory", entries * SIZE + 100, inode(&image, "/keep/deep"), entries, "content"),
        ("a field of the super block", 1024 + 0x50, "super block".to_owned(), 1, "s_def_resuid"),
        ("the count of free inodes", 1024 + 0x10, "super block".to_owned(), 1, "s_free_inodes_count"),
        ("a field of a descriptor", 2 * SIZE + 0x14, "group 0".to_owned(), 2, "bg_exclude_bitmap_lo"),
        ("a backup of the super block", backup * SIZE + 0x78, "group 1".to_owned(), backup, "s_volume_name"),
        ("room for descriptors", reserved * SIZE, "group 0".to_owned(), reserved, "room kept"),
        ("the journal", (journal + 1) * SIZE, "inode 8".to_owned(), journal + 1, "its content differs"),
    ];
    for (what, offset, object, block, problem) in cases {
        fs::write(&image, &edited).unwrap();
        pair.tamper(offset, 1);
        let found = pair.account(&|_, number| asked.expected(number));
        assert!(found.unexplained_blocks > 0, "{what} is not noticed");
        let named = found.unexplained.iter().find(|place| {
            place.object.to_string() == object && place.blocks.contains(&block) && place.problem.contains(problem)
        });
        assert!(named.is_some(), "{what}: {object}, block {block}, {problem}: {:#?}", found.unexplained);
    }
    // What nobody has is nobody's change, but it is counted.
    fs::write(&image, &edited).unwrap();
    let free: u64 = debugfs(&image, "ffb 1 40000").split_once(": ").unwrap().1.trim().parse().unwrap();
    pair.tamper(free * SIZE, 1);
    let found = pair.account(&|_, number| asked.expected(number));
    assert_eq!((found.unexplained_blocks, found.unexplained.len()), (0, 0), "{:?}", found.unexplained);
    let before = {
        fs::write(&image, &edited).unwrap();
        pair.account(&|_, number| asked.expected(number)).free_blocks()
    };
    assert_eq!(found.free_blocks(), before + 1);
}

fn inode(image: &Path, path: &str) -> String {
    format!("inode {}", lookup(&open(image), path))
}

#[test]
fn growing_explains_what_it_changes() {
    for options in [MATRIX[0], MATRIX[1], MATRIX[4], MATRIX[3]] {
        let pair = Pair::new(options);
        File::options().write(true).open(pair.new_image()).unwrap().set_len(400 << 20).unwrap();
        let mut filesystem = open(&pair.new_image());
        let size = u64::from(filesystem.superblock().block_size_bytes());
        filesystem.grow((400 << 20) / size).unwrap();
        filesystem.flush().unwrap();
        drop(filesystem);
        assert_e2fsck_clean(&pair.new_image(), 0);
        // What is past the end of the old one counts as zeros.
        File::options().write(true).open(pair.old()).unwrap().set_len(400 << 20).unwrap();
        let found = pair.account(&|_, _| Expected::Nothing);
        assert!(found.unexplained.is_empty(), "{options:?}: {:#?}", found.unexplained);
        assert!(found.metadata_blocks() > 0 && found.data_blocks() == 0, "{options:?}: {found:?}");
    }
}

#[test]
fn what_was_removed_has_no_users_left() {
    let pair = Pair::new(MATRIX[0]);
    let gone = lookup(&open(&pair.old()), "keep/gone");
    edit(&pair.new_image());
    let mut roles = Vec::new();
    for image in [pair.old(), pair.new_image()] {
        let filesystem = open(&image);
        let mut found = 0;
        let all = std::slice::from_ref(&(0..filesystem.superblock().blocks())).to_vec();
        filesystem
            .uses(&all, &mut |usage| {
                if let Owner::Inode { number, role: Role::Content } = usage.owner
                    && number == gone
                    && filesystem.inode(number).unwrap().size_bytes() == 100_000
                {
                    found += usage.blocks.end - usage.blocks.start;
                }
            })
            .unwrap();
        roles.push(found);
    }
    assert_eq!(roles, [100_000_u64.div_ceil(4096), 0]);
}
