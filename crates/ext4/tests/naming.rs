//! What a file system is called: ext2, ext3 or ext4, as `blkid` calls it.

use ext4::Superblock;
use storage::Memory;
use testkit::judge::judge;

/// Options of `mke2fs`, and what `debugfs` does afterwards.
const MADE: &[(&[&str], &str)] = &[
    (&["-t", "ext2"], ""),
    (&["-t", "ext2", "-O", "dir_index"], ""),
    (&["-t", "ext2", "-O", "^sparse_super,^large_file,^filetype,^resize_inode,^dir_index,^ext_attr"], ""),
    (&["-t", "ext2", "-O", "meta_bg,^resize_inode"], ""),
    (&["-t", "ext2", "-O", "sparse_super2"], ""),
    (&["-t", "ext2", "-r", "0"], ""),
    (&["-t", "ext2", "-O", "extent"], ""),
    (&["-t", "ext2", "-O", "huge_file"], ""),
    (&["-t", "ext2", "-O", "uninit_bg"], ""),
    (&["-t", "ext2", "-O", "inline_data"], ""),
    (&["-t", "ext2", "-O", "64bit,extent"], ""),
    (&["-t", "ext2", "-O", "flex_bg"], ""),
    (&["-t", "ext3"], ""),
    (&["-t", "ext3"], "feature needs_recovery"),
    (&["-t", "ext3", "-O", "^dir_index"], ""),
    (&["-t", "ext3", "-O", "extra_isize"], ""),
    (&["-t", "ext3", "-O", "dir_nlink"], ""),
    (&["-t", "ext3", "-O", "metadata_csum,64bit,extent"], ""),
    (&["-t", "ext4"], ""),
    (&["-t", "ext4"], "feature needs_recovery"),
    (&["-t", "ext4", "-O", "^has_journal"], ""),
    (&["-t", "ext4", "-O", "^extent,^64bit"], ""),
    (&["-t", "ext4", "-O", "^extent,^64bit,^flex_bg,^metadata_csum,^huge_file,^dir_nlink,^extra_isize"], ""),
    (
        &["-t", "ext4", "-O", "^extent,^64bit,^flex_bg,^metadata_csum,^huge_file,^dir_nlink,^extra_isize,^has_journal"],
        "",
    ),
    (&["-t", "ext4", "-O", "bigalloc"], ""),
    (&["-t", "ext4", "-O", "quota"], ""),
    (&["-t", "ext4", "-O", "mmp"], ""),
];

#[test]
fn file_systems_have_the_names_that_blkid_gives_them() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let mut met = std::collections::BTreeSet::new();
    for (options, command) in MADE {
        judge("mke2fs").args(["-q", "-F"]).args(*options).arg(&image).arg("16M").succeed();
        if !command.is_empty() {
            judge("debugfs").args(["-w", "-R", command]).arg(&image).succeed();
        }
        let theirs = judge("blkid").args(["-p", "-o", "value", "-s", "TYPE"]).arg(&image).succeed().stdout;
        let superblock = Superblock::read(&Memory::from(std::fs::read(&image).unwrap())).unwrap();
        assert_eq!(superblock.kind(), theirs.trim(), "{options:?} {command}: {:?}", superblock.features());
        met.insert(superblock.kind());
        std::fs::remove_file(&image).unwrap();
    }
    assert_eq!(met.into_iter().collect::<Vec<_>>(), ["ext2", "ext3", "ext4"]);
}
