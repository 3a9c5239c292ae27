//! Damage that `e2fsck -fn` finds is found by our own check, and where the one finds nothing, neither
//! does the other.

use std::fs::File;
use std::path::Path;

use ext4::FileSystem;
use storage::{FileStorage, WriteAt};
use testkit::judge::judge;

/// What is done to a sound file system, in the words of `debugfs -w`, and what our check says of it.
const DAMAGE: &[(&str, &str, &str)] = &[
    ("a link count", "sif file links_count 7", "i_links_count=7, but it has 1"),
    ("a block count", "sif file blocks 99", "i_blocks=49 blocks, but it has 3"),
    ("a file without a name", "unlink file", "in use, but no directory names it"),
    ("a name without a file", "clri file", "which is not in use"),
    ("a mode without a type", "sif file mode 0644", "i_mode=0o644 has no file type"),
    (
        "a kind that the name does not say",
        "sif file mode 0010644",
        "`file` is listed as a regular file, but inode 14 is a FIFO",
    ),
    ("a time of deletion", "sif file dtime 1700000000", "in use, but i_dtime=1700000000"),
    (
        "a size that is less than the content",
        "sif large size 5000",
        "i_size=5000 bytes, but it has content in block 195",
    ),
    (
        "a size past 2 GiB without large_file",
        "feature -large_file\nsif sparse size 3000000000",
        "i_size=3000000000, but the file system is without large_file",
    ),
    ("extents without the feature", "feature -extents", "has an extent tree, but the file system is without extents"),
    (
        "an index that only directories have",
        "sif file flags 0x81000",
        "has an index, which only directories with dir_index have",
    ),
    ("a short link longer than it is", "sif short size 50", "its target is not 50 bytes long"),
    ("a long link longer than it is", "sif long size 350", "its target is not 350 bytes long"),
    ("a fifo with a size", "sif fifo size 5", "a fifo with a size or a block map"),
    ("a directory's size", "sif many size 2048", "i_size=2048 bytes, but it has content in block"),
    ("a hole in a directory", "punch many 3 3", "a directory with 1 blocks missing or unwritten"),
    ("a directory's parent", "ln many/inner other/inner\nunlink many/inner", "its entry 2 is not `..` with inode"),
    ("a directory with two names", "ln many twice", "a directory with two names"),
    (
        "a block that is used twice",
        "sif file block[4] 1\nsif file block[5] 60",
        "1 of its blocks are claimed by something else too",
    ),
    ("blocks free in the bitmap, but used", "freeb 60 300", "blocks in use, but free in the bitmap, from"),
    (
        "blocks used in the bitmap, but free",
        "setb 7000 5",
        "5 blocks taken in the bitmap, but not in use, from 7000 to 7004",
    ),
    ("an inode free in the bitmap, but used", "freei file", "1 inodes in use, but free in the bitmap"),
    (
        "an inode used in the bitmap, but free",
        "seti <700>",
        "1 inodes taken in the bitmap, but not in use, from 700 to 700",
    ),
    ("a count of free blocks", "ssv free_blocks_count 77", "s_free_blocks_count=77, but"),
    ("a count of free inodes", "ssv free_inodes_count 77", "s_free_inodes_count=77, but"),
    (
        "a group's count of free blocks",
        "set_bg 0 free_blocks_count 9\nset_bg 0 checksum calc",
        "bg_free_blocks_count=9, but",
    ),
    (
        "a group's count of directories",
        "set_bg 0 used_dirs_count 90\nset_bg 0 checksum calc",
        "bg_used_dirs_count=90, but there are",
    ),
    ("a group's checksum", "set_bg 0 checksum 1", "bg_checksum="),
    ("an attribute block's place", "sif attributes file_acl 60", "h_magic="),
    (
        "a name for one of the file system's own inodes",
        "ln <8> journal",
        "`journal` names inode 8, which the file system keeps for itself",
    ),
    ("a name for the root", "ln / again", "inode 2: a directory with two names"),
    ("no journal where it is to be", "ssv journal_inum 12", "journal: "),
];

const OPTIONS: &[&[&str]] = &[
    &["-t", "ext4", "-b", "1024", "-O", "metadata_csum,64bit,^orphan_file"],
    &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg,^64bit,^orphan_file"],
];

pub(crate) fn make(options: &[&str], image: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path();
    std::fs::create_dir_all(tree.join("many/inner")).unwrap();
    std::fs::create_dir(tree.join("other")).unwrap();
    for number in 0..100 {
        std::fs::write(tree.join(format!("many/name-{number}-{}", "x".repeat(60))), [1; 10]).unwrap();
    }
    std::fs::write(tree.join("file"), [2; 3000]).unwrap();
    std::fs::write(tree.join("large"), vec![3; 200_000]).unwrap();
    std::fs::write(tree.join("sparse"), [4; 2000]).unwrap();
    std::fs::write(tree.join("attributes"), [5; 10]).unwrap();
    std::os::unix::fs::symlink("other", tree.join("short")).unwrap();
    std::os::unix::fs::symlink("t".repeat(300), tree.join("long")).unwrap();
    judge("mkfifo").arg(tree.join("fifo")).succeed();
    judge("mke2fs").args(["-q", "-F"]).args(options).arg("-d").arg(tree).arg(image).arg("8192k").succeed();
    let value = tree.join("value");
    std::fs::write(&value, [b'v'; 700]).unwrap();
    debugfs(image, &format!("ea_set -f {} attributes user.large", value.display()));
    judge("e2fsck").args(["-fyD"]).arg(image).run();
}

pub(crate) fn debugfs(image: &Path, commands: &str) {
    let script = image.with_extension("debugfs");
    std::fs::write(&script, commands).unwrap();
    judge("debugfs").arg("-w").arg("-f").arg(&script).arg(image).succeed();
}

/// What our check says, an image that cannot be opened included.
pub(crate) fn our_findings(image: &Path) -> Vec<String> {
    let storage = FileStorage::new(File::options().read(true).write(true).open(image).unwrap()).unwrap();
    match FileSystem::open(storage) {
        Ok(filesystem) => filesystem.check().unwrap().iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn what_e2fsck_finds_our_check_finds() {
    let folder = tempfile::tempdir().unwrap();
    for options in OPTIONS {
        let sound = folder.path().join("sound");
        make(options, &sound);
        testkit::judge::assert_e2fsck_clean(&sound, 0);
        assert_eq!(our_findings(&sound), Vec::<String>::new(), "{options:?}");
        let mut missed = Vec::new();
        for (damage, commands, expected) in DAMAGE {
            let image = folder.path().join("damaged");
            std::fs::copy(&sound, &image).unwrap();
            debugfs(&image, commands);
            let theirs = judge("e2fsck").args(["-fn"]).arg(&image).run();
            // Of some damage it asks, and says with -n that the answer is no, but ends as if there were none.
            if theirs.status.success() && !theirs.stdout.contains("? no") && !theirs.stderr.contains("? no") {
                missed.push(format!("{damage} is no damage to e2fsck: {theirs}"));
                continue;
            }
            let ours = our_findings(&image);
            if !ours.iter().any(|finding| finding.contains(expected)) {
                missed.push(format!("{damage}: expected `{expected}`: {ours:#?}; e2fsck says {theirs}"));
            }
        }
        assert!(missed.is_empty(), "{options:?}: {}", missed.join("\n"));
    }
}

#[test]
fn flipped_bits_that_e2fsck_finds_our_check_finds() {
    let folder = tempfile::tempdir().unwrap();
    let (sound, image) = (folder.path().join("sound"), folder.path().join("damaged"));
    make(OPTIONS[0], &sound);
    let bytes = std::fs::read(&sound).unwrap();
    // With checksums on everything, a bit that changes anything is found.
    for at in (1024..200 << 10).step_by(7919) {
        std::fs::copy(&sound, &image).unwrap();
        let storage = FileStorage::new(File::options().read(true).write(true).open(&image).unwrap()).unwrap();
        storage.write_at(at, &[bytes[at as usize] ^ 0x10]).unwrap();
        let theirs = judge("e2fsck").args(["-fn"]).arg(&image).run();
        if !theirs.status.success() {
            assert_ne!(our_findings(&image), Vec::<String>::new(), "byte {at:#x}: e2fsck says {theirs}");
        }
    }
}
