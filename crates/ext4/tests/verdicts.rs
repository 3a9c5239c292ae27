//! Each verdict of the check that [`check`](crate::check)'s commands do not reach: the damage is made by hand, the
//! check names it, and `e2fsck -fn` finds it too, except where it does not look.

use std::cell::RefCell;
use std::path::PathBuf;

use testkit::judge::judge;

use crate::check::{debugfs, make, our_findings};

/// What `e2fsck -fn` says of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theirs {
    Finds,
    /// Nothing, and why.
    Nothing(&'static str),
}
use Theirs::{Finds, Nothing};

/// Blocks of 1 KiB without checksums in inodes and blocks, so that bytes can be changed as they are.
const PLAIN: &[&str] = &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg,^64bit,^orphan_file"];
const SUMS: &[&str] = &["-t", "ext4", "-b", "1024", "-O", "metadata_csum,64bit,^orphan_file"];
const BLOCK: usize = 1024;

/// A sound file system, to be copied and damaged.
struct Sound {
    folder: tempfile::TempDir,
    path: PathBuf,
    /// What was not as expected.
    failures: RefCell<Vec<String>>,
}

impl Drop for Sound {
    fn drop(&mut self) {
        let failures = self.failures.take();
        assert!(failures.is_empty() || std::thread::panicking(), "{}", failures.join("\n"));
    }
}

impl Sound {
    /// With the tree of [`make`], `commands` of `debugfs` carried out.
    fn new(options: &[&str], commands: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sound");
        make(options, &path);
        for (name, bytes) in [("150", 150), ("huge", 1000)] {
            std::fs::write(folder.path().join(name), vec![b'v'; bytes]).unwrap();
        }
        debugfs(&path, &commands.replace("FOLDER", folder.path().to_str().unwrap()));
        judge("e2fsck").arg("-fyD").arg(&path).run();
        testkit::judge::assert_e2fsck_clean(&path, 0);
        assert_eq!(our_findings(&path), Vec::<String>::new());
        Self { folder, path, failures: RefCell::default() }
    }

    /// Damages a copy by `damage`, and holds what the check says of it against `expected` and `theirs`.
    fn case(&self, what: &str, damage: impl FnOnce(&mut Victim), expected: &str, theirs: Theirs) {
        let path = self.folder.path().join("damaged");
        std::fs::copy(&self.path, &path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let mut victim = Victim { bytes, path };
        damage(&mut victim);
        std::fs::write(&victim.path, &victim.bytes).unwrap();
        let ours = our_findings(&victim.path);
        if !ours.iter().any(|finding| finding.contains(expected)) {
            self.failures.borrow_mut().push(format!("{what}: expected `{expected}`: {ours:#?}"));
        }
        let verdict = judge("e2fsck").arg("-fn").arg(&victim.path).run();
        let asks = |said: &str| said.contains("? no");
        let finds = !verdict.status.success() || asks(&verdict.stdout) || asks(&verdict.stderr);
        if finds != (theirs == Finds) {
            self.failures.borrow_mut().push(format!("{what}: {theirs:?} was expected of {verdict}"));
        }
    }
}

/// A file system that is being damaged.
struct Victim {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Victim {
    /// Carries out commands of `debugfs`.
    fn debugfs(&mut self, commands: &str) {
        std::fs::write(&self.path, &self.bytes).unwrap();
        debugfs(&self.path, commands);
        self.bytes = std::fs::read(&self.path).unwrap();
    }

    fn ask(&self, request: &str) -> String {
        judge("debugfs").args(["-R", request]).arg(&self.path).succeed().stdout
    }

    /// The number after `label` in what `debugfs` says to `request`.
    fn number(&self, request: &str, label: &str) -> usize {
        let said = self.ask(request);
        let after = said.split(label).nth(1).unwrap_or_else(|| panic!("no `{label}` in {said}")).trim_start();
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    }

    /// Offset of an inode.
    fn inode(&self, path: &str) -> usize {
        let said = self.ask(&format!("imap {path}"));
        let offset = said.trim_end().rsplit("0x").next().unwrap();
        self.number(&format!("imap {path}"), "located at block ") * BLOCK + usize::from_str_radix(offset, 16).unwrap()
    }

    /// Offset of a block of a file.
    fn block(&self, path: &str, logical: usize) -> usize {
        self.ask(&format!("bmap {path} {logical}")).trim().parse::<usize>().unwrap() * BLOCK
    }

    /// Offset of the block of attributes of the file `attributes`.
    fn attributes(&self) -> usize {
        self.number("stat attributes", "File ACL: ") * BLOCK
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    /// Offset of the only place that has these bytes.
    fn find(&self, bytes: &[u8]) -> usize {
        let places: Vec<_> = self.bytes.windows(bytes.len()).enumerate().filter(|(_, found)| *found == bytes).collect();
        assert_eq!(places.len(), 1, "{bytes:?}");
        places[0].0
    }
}

/// Two attributes in a block: `user.large` of 700 bytes and `user.other` of 150. Their entries are 24 bytes long.
const TWO_ATTRIBUTES: &str = "ea_set -f FOLDER/150 attributes user.other\n";
/// Where the entries of an attribute block begin.
const ENTRIES: usize = 32;

#[test]
fn attributes() {
    let sound = Sound::new(PLAIN, TWO_ATTRIBUTES);
    let case = |what: &str, damage: &dyn Fn(&mut Victim), expected: &str, theirs| {
        sound.case(what, damage, expected, theirs);
    };
    case("no ext_attr", &|victim| victim.debugfs("feature -ext_attr"), "without ext_attr", Finds);
    case(
        "a block that content claims too",
        &|victim| {
            // Content of `lost+found`, whose inode comes before.
            let block = victim.number("stat attributes", "File ACL: ");
            victim.debugfs(&format!("sif <11> block[5] {block}"));
        },
        "an attribute block that something else claims too",
        Finds,
    );
    case("no prefix", &|victim| victim.put(victim.attributes() + ENTRIES + 1, &[0]), "e_name_index=0", Finds);
    case(
        "values in one place",
        &|victim| {
            let at = victim.attributes() + ENTRIES;
            let offset = [victim.bytes[at + 2], victim.bytes[at + 3]];
            victim.put(at + 24 + 2, &offset);
        },
        "the values of its attributes overlap",
        Finds,
    );
    case(
        "entries that are swapped",
        &|victim| {
            let at = victim.attributes() + ENTRIES;
            victim.bytes[at..at + 48].rotate_left(24);
        },
        "attributes that are not in order",
        Nothing("it reads all entries, while the kernel looks for one in their order"),
    );
    case(
        "a hash",
        &|victim| victim.put(victim.attributes() + ENTRIES + 12, &[1, 2, 3, 4]),
        "attribute `user.large`: e_hash",
        Finds,
    );
    case("a value's inode", &|victim| victim.put(victim.attributes() + ENTRIES + 4, &[14]), "without ea_inode", Finds);
    case("sharing", &|victim| victim.put(victim.attributes() + 4, &[2]), "h_refcount=2, but 1 inodes use it", Finds);
    case(
        "a size",
        &|victim| victim.put(victim.attributes() + ENTRIES + 8, &[0, 0, 1]),
        "e_value_size=65536 is outside",
        Finds,
    );
    case("a number of blocks", &|victim| victim.put(victim.attributes() + 8, &[2]), "h_blocks=2", Finds);
    case(
        "no end of the list",
        &|victim| victim.put(victim.attributes() + ENTRIES + 48, &[255]),
        "e_name_len=118 ends past the area",
        Finds,
    );
    case(
        "the same name in the inode",
        &|victim| {
            // After the 32 bytes of the extra part: the magic, and an entry without a value.
            let at = victim.inode("attributes") + 128 + 32;
            victim.put(at, &[0, 0, 2, 0xEA, 5, 1]);
            victim.put(at + 4 + 16, b"large");
        },
        "two attributes of the same name, in the inode and in its block",
        Nothing("it looks at the two places one by one"),
    );
}

#[test]
fn values_in_inodes_of_their_own() {
    let options = ["-t", "ext4", "-b", "1024", "-O", "ea_inode,^metadata_csum,uninit_bg,^64bit,^orphan_file"];
    let sound = Sound::new(&options, "ea_set -f FOLDER/huge large user.huge\n");
    // The entry is 16 bytes before its name.
    let entry = |victim: &Victim| victim.find(b"huge") - 16;
    let value = |victim: &Victim| victim.u32(entry(victim) + 4);
    let case = |what: &str, damage: &dyn Fn(&mut Victim), expected: &str, theirs| {
        sound.case(what, damage, expected, theirs);
    };
    let set = |victim: &mut Victim, field: &str| victim.debugfs(&format!("sif <{}> {field}", value(victim)));
    case("a link count", &|victim| set(victim, "links_count 2"), "i_links_count=2, expected 1", Finds);
    case("a count", &|victim| set(victim, "version 7"), "counts 7 references, but 1 attributes have it", Finds);
    case(
        "another size",
        &|victim| set(victim, "size 999"),
        "e_value_size=1000, expected 1 to 65536 and the 999 bytes",
        Nothing("the two sizes are not compared"),
    );
    case(
        "a value",
        &|victim| victim.put(victim.block(&format!("<{}>", value(victim)), 0), b"x"),
        "an attribute's value with hash",
        Nothing("the hash that the inode has is taken for the value's"),
    );
    case(
        "an inode of its own",
        &|victim| victim.put(entry(victim) + 4, &[8, 0, 0, 0]),
        "e_value_inum=8, an inode that",
        Finds,
    );
    case(
        "a file",
        &|victim| victim.put(entry(victim) + 4, &[14, 0, 0, 0]),
        "e_value_inum=14, which does not hold",
        Finds,
    );
    case(
        "an entry's hash",
        &|victim| victim.put(entry(victim) + 12, &[1, 2, 3, 4]),
        "does not go with the value in inode",
        Finds,
    );
    case(
        "attributes of a value",
        &|victim| victim.debugfs(&format!("ea_set <{}> user.a b", value(victim))),
        "which holds a value and has attributes of its own",
        Nothing("it does not mind; the kernel refuses such an inode"),
    );
}

#[test]
fn bitmaps() {
    let sound = Sound::new(PLAIN, "");
    let case = |what: &str, damage: &dyn Fn(&mut Victim), expected: &str| sound.case(what, damage, expected, Finds);
    let place = |label: &'static str| move |victim: &Victim| victim_header(victim, label) * BLOCK;
    let (blocks, inodes) = (place("Block bitmap at "), place("Inode bitmap at "));
    // There are 8,191 blocks in the group, which has room for 8,192.
    case("a block past the end", &|victim| victim.put(blocks(victim) + 1023, &[0x7F]), "blocks past the end are free");
    case("an inode past the last", &|victim| victim.put(inodes(victim) + 1023, &[0]), "inodes past the last are free");
    case(
        "a group's count of free inodes",
        &|victim| victim.debugfs("set_bg 0 free_inodes_count 9\nset_bg 0 checksum calc"),
        "bg_free_inodes_count=9, but there are",
    );
    case(
        "bitmaps in one block",
        &|victim| {
            let block = blocks(victim) / BLOCK;
            victim.debugfs(&format!("set_bg 0 inode_bitmap {block}\nset_bg 0 checksum calc"));
        },
        "1 blocks of its metadata overlap other metadata",
    );
    let sums = Sound::new(SUMS, "");
    sums.case(
        "a bitmap's checksum",
        |victim| victim.put(blocks(victim) + 1000, &[0x55]),
        "blocks bitmap checksum=",
        Finds,
    );
}

/// What `dumpe2fs` says of the first group.
fn victim_header(victim: &Victim, label: &str) -> usize {
    let said = judge("dumpe2fs").arg(&victim.path).succeed().stdout;
    let after = said.split(label).nth(1).unwrap();
    after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn directories() {
    let sound = Sound::new(PLAIN, "ln file other/aa\nln file other/bb\nsif file links_count 3\n");
    let case = |what: &str, damage: &dyn Fn(&mut Victim), expected: &str| sound.case(what, damage, expected, Finds);
    case("a root that is a file", &|victim| victim.debugfs("sif <2> mode 0100644"), "the root is not a directory");
    case(
        "a directory's own name",
        &|victim| victim.put(victim.block("other", 0), &[2, 0, 0, 0]),
        "its entry 1 is not `.` with inode",
    );
    case(
        "a name twice",
        &|victim| {
            let at = victim.block("other", 0);
            let name = at + victim.bytes[at..at + BLOCK].windows(2).position(|two| two == b"bb").unwrap();
            victim.put(name, b"aa");
        },
        "two entries are named `aa`",
    );
    case("a name with a slash", &|victim| victim.put(victim.find(b"aa\0\0"), b"a/"), "name with `/` or NUL, or empty");
    case("a length", &|victim| victim.put(victim.block("other", 0) + 4, &[11]), "rec_len=11 name_len=1");
    // Entries of the index, from offset 32 on: a hash and a block, but the first, which has the counts in place of a
    // hash.
    let entry = |victim: &Victim, index: usize| victim.block("many", 0) + 32 + index * 8;
    case(
        "hashes that are swapped",
        &|victim| {
            let at = entry(victim, 1);
            victim.bytes[at..at + 16].rotate_left(8);
        },
        "out of order",
    );
    case(
        "a leaf past the end",
        &|victim| victim.put(entry(victim, 3) + 4, &[200, 0, 0, 0]),
        "in the index, but past the directory's end",
    );
    case("a block that is in no index", &|victim| victim.debugfs("expand_dir many"), "blocks, the directory ");
    case(
        "entries more than there are blocks",
        &|victim| {
            let count = victim.bytes[entry(victim, 0) + 2];
            victim.put(entry(victim, 0) + 2, &[count + 9]);
            for more in 0..9u32 {
                let at = entry(victim, usize::from(count) + more as usize);
                victim.put(at, &(0xFFFF_FF00 + 2 * more).to_le_bytes());
                victim.put(at + 4, &[1, 0, 0, 0]);
            }
        },
        "its index has 20 blocks, the directory 11",
    );
    case(
        "a level of index blocks that is one block",
        &|victim| {
            // Block 1 becomes an index block whose 127 entries lead to block 2, which is empty; the root has it twice.
            victim.put(victim.block("many", 2), &[0, 0, 0, 0, 0, 4, 0, 0]);
            let node = victim.block("many", 1);
            victim.put(node, &[0, 0, 0, 0, 0, 4, 0, 0, 127, 0, 127, 0, 2, 0, 0, 0]);
            for index in 1..127u32 {
                let at = node + 8 + index as usize * 8;
                victim.put(at, &(0x8000_0000 + 2 * index).to_le_bytes());
                victim.put(at + 4, &[2, 0, 0, 0]);
            }
            let root = entry(victim, 0);
            victim.put(root - 2, &[1]);
            victim.put(root + 2, &[2, 0, 1, 0, 0, 0, 0, 0, 0, 0x80, 1, 0, 0, 0]);
        },
        "its index has more blocks than the directory",
    );
    case("a limit", &|victim| victim.put(entry(victim, 0), &[7]), "index limit=7 count=");
    case("levels", &|victim| victim.put(victim.block("many", 0) + 30, &[3]), "indirect_levels=3, expected at most 1");
    case(
        "a name that is elsewhere",
        &|victim| {
            // The first and the last leaf change places.
            let (first, last) = (entry(victim, 0) + 4, entry(victim, 5) + 4);
            let blocks = [victim.u32(first), victim.u32(last)];
            victim.put(first, &blocks[1].to_le_bytes());
            victim.put(last, &blocks[0].to_le_bytes());
        },
        "the index expects",
    );
    let sums = Sound::new(SUMS, "");
    let tail = |victim: &Victim| victim.block("other", 0) + BLOCK - 12;
    sums.case("no checksum", |victim| victim.put(tail(victim) + 7, &[0]), "no checksum", Finds);
    sums.case("a wrong checksum", |victim| victim.put(tail(victim) + 8, &[1, 2]), "det_checksum=", Finds);
    sums.case(
        "a wrong checksum of an index",
        |victim| victim.put(victim.block("many", 0) + 1020, &[1, 2]),
        "dt_checksum=",
        Finds,
    );
}

#[test]
fn names_that_are_encrypted_or_without_case() {
    let options = ["-t", "ext4", "-b", "1024", "-O", "encrypt,casefold,^metadata_csum", "-E", "encoding=utf8"];
    let sound = Sound::new(&options, "");
    // The flags over that for extents.
    sound.case(
        "a short name",
        |victim| victim.debugfs("sif other flags 0x80800\nln file other/short"),
        "`short` has 5 bytes, an encrypted name has 16 or more",
        Finds,
    );
    sound.case(
        "a name that is not UTF-8",
        |victim| {
            victim.debugfs("sif other flags 0x40080000\nln file other/aa\nsif file links_count 2");
            victim.put(victim.find(b"aa\0\0"), &[0xFF, b'a']);
        },
        "is not UTF-8",
        Nothing("only file systems with a strict encoding are looked at"),
    );
    let policy = |victim: &mut Victim, path: &str, version: u8, key: u8| {
        // The body's first attribute, in place of what is there: a name of one byte and a value of 28.
        let at = victim.inode(path) + 128 + 32;
        victim.bytes[at..at + 96].fill(0);
        victim.put(at, &[0, 0, 2, 0xEA, 1, 9, 64, 0, 0, 0, 0, 0, 28]);
        victim.put(at + 20, b"c");
        victim.put(at + 4 + 64, &[&[version, 1, 4, 2][..], &[key; 8], &[7; 16]].concat());
    };
    let encrypted = |victim: &mut Victim| {
        victim.debugfs(
            "sif other flags 0x80800\nsif file flags 0x80800\nsif file links_count 2\nln file other/sixteenlettersok",
        );
    };
    sound.case(
        "no policy",
        |victim| victim.debugfs("sif file flags 0x80800"),
        "encrypted, but no attribute says how",
        Finds,
    );
    let in_two = |first: (u8, u8), second: (u8, u8)| {
        move |victim: &mut Victim| {
            encrypted(victim);
            policy(victim, "other", first.0, first.1);
            policy(victim, "file", second.0, second.1);
        }
    };
    sound.case(
        "a policy of version 2 that is short",
        in_two((1, 1), (2, 1)),
        "the attribute that says how is invalid",
        Finds,
    );
    sound.case("another key", in_two((1, 1), (1, 2)), "is encrypted by another policy than its directory", Finds);
    sound.case(
        "a file that is not encrypted",
        |victim| {
            victim.debugfs("sif other flags 0x80800\nsif file links_count 2\nln file other/sixteenlettersok");
            policy(victim, "other", 1, 1);
        },
        "`sixteenlettersok`: inode 14 is not encrypted, but its directory is",
        Finds,
    );
}

#[test]
fn inodes_and_what_the_super_block_names() {
    let sound = Sound::new(PLAIN, "");
    let case = |what: &str, damage: &dyn Fn(&mut Victim), expected: &str, theirs| {
        sound.case(what, damage, expected, theirs);
    };
    case(
        "never deleted",
        &|victim| victim.debugfs("sif file links_count 0"),
        "i_links_count=0, but it was never deleted",
        Finds,
    );
    case("an extra part", &|victim| victim.put(victim.inode("file") + 128, &[3]), "i_extra_isize=3", Finds);
    case(
        "a short link with extents",
        &|victim| {
            victim.debugfs("sif short flags 0x80000");
        },
        "a short symbolic link with an extent tree",
        Finds,
    );
    case(
        "an extent's magic",
        &|victim| victim.put(victim.inode("file") + 0x28, &[0]),
        "eh_magic=0xf300, expected 0xf30a",
        Finds,
    );
    case(
        "an extent past the end",
        &|victim| victim.debugfs("sif file block[5] 8190"),
        "is outside the 8192 blocks",
        Finds,
    );
    case(
        "records of a node",
        &|victim| victim.put(victim.inode("file") + 0x28 + 2, &[5]),
        "eh_entries=5 eh_max=4",
        Finds,
    );
    case(
        "the list of orphans",
        &|victim| victim.debugfs("ssv last_orphan 14"),
        "s_last_orphan=14",
        Nothing("with -n the list is left alone"),
    );
    case(
        "errors",
        &|victim| victim.debugfs("ssv state 2"),
        "error flags: s_state=0x2",
        Nothing("it repairs the flag and does not ask"),
    );
    case(
        "orphans without a file of them",
        &|victim| victim.debugfs("feature orphan_present"),
        "orphan_present without orphan_file",
        Finds,
    );
    case(
        "a journal without the feature",
        &|victim| victim.debugfs("feature -has_journal"),
        "s_journal_inum=8, but the file system is without has_journal",
        Finds,
    );
    case(
        "no journal",
        &|victim| victim.debugfs("ssv journal_inum 0"),
        "has_journal, but neither an inode nor a device has the journal",
        Finds,
    );
    case(
        "a journal that is a directory",
        &|victim| victim.debugfs("sif <8> mode 0040755"),
        "should be the journal, but is not a file in use",
        Finds,
    );
    // Its fields are big endian.
    let journal = |victim: &Victim| victim.block("<8>", 0);
    case(
        "a journal's first version",
        &|victim| victim.put(journal(victim) + 7, &[3]),
        "a super block of the first version with fields of the second",
        Nothing("the fields are cleared without a question"),
    );
    case(
        "users of a journal",
        &|victim| victim.put(journal(victim) + 0x43, &[49]),
        "s_nr_users=49, expected at most 48",
        Finds,
    );
    case("a journal's magic", &|victim| victim.put(journal(victim), &[1]), "h_magic=0x13b3998", Finds);
    case("a journal's size", &|victim| victim.put(journal(victim) + 0x12, &[0xFF]), "s_maxlen=", Finds);
    let sums = Sound::new(SUMS, "");
    sums.case("an inode's checksum", |victim| victim.put(victim.inode("file") + 0x7C, &[1, 2]), "i_checksum=", Finds);
    sums.case("the super block's checksum", |victim| victim.put(1024 + 1020, &[1, 2]), "s_checksum=", Finds);
}

#[test]
fn the_block_of_multi_mount_protection() {
    let options = ["-t", "ext4", "-b", "1024", "-O", "mmp,metadata_csum,64bit,^orphan_file"];
    let sound = Sound::new(&options, "");
    let block = |victim: &Victim| victim.u32(1024 + 0x168) as usize * BLOCK;
    sound.case("its place", |victim| victim.debugfs("ssv mmp_block 99999"), "s_mmp_block=99999 is outside", Finds);
    sound.case("its magic", |victim| victim.put(block(victim), &[0]), "mmp_magic=[00, 4d, 4d, 00]", Finds);
    sound.case("its checksum", |victim| victim.put(block(victim) + 1020, &[1, 2]), "mmp_checksum=[01, 02", Finds);
}

#[test]
fn content_in_the_inode() {
    let options = ["-t", "ext4", "-b", "1024", "-O", "inline_data,^metadata_csum,^64bit,^orphan_file"];
    let sound = Sound::new(&options, "");
    let said = judge("debugfs").args(["-R", "stat attributes"]).arg(&sound.path).succeed().stdout;
    assert!(said.contains("Flags: 0x10000000"), "{said}");
    sound.case(
        "an extent tree",
        |victim| victim.debugfs("sif attributes flags 0x10080000"),
        "its content is in the inode, but it has an extent tree",
        Finds,
    );
}

#[test]
fn quota() {
    let options = ["-t", "ext4", "-b", "1024", "-O", "quota,^metadata_csum,^64bit,^orphan_file"];
    let sound = Sound::new(&options, "");
    sound.case("an owner", |victim| victim.debugfs("sif file uid 7"), "quota of user 7: 0 bytes in 0 inodes", Finds);
    sound.case(
        "a magic",
        |victim| victim.put(victim.block("<3>", 0), &[0]),
        "dqh_magic=",
        Nothing("a quota file that cannot be read is made anew without a question"),
    );
}
