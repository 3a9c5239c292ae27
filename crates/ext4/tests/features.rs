//! Feature sets beside the usual ones, as `mke2fs` and `debugfs` make them: what is read, what is
//! edited so that `e2fsck` has nothing to say, and what is refused by name.

use crate::support;
use std::path::{Path, PathBuf};

use ext4::{Attributes, FileSystem, InodeNumber, Time};
use storage::FileStorage;
use testkit::judge::{assert_e2fsck_clean, judge};

const ATTRIBUTES: Attributes =
    Attributes { permissions: 0o640, uid: 7, gid: 8, modified: Time { seconds: 1_600_000_000, nanoseconds: 0 } };

fn mke2fs(options: &[&str], tree: Option<&Path>, size: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let mut command = judge("mke2fs").args(["-q", "-F"]).args(options);
    if let Some(tree) = tree {
        command = command.arg("-d").arg(tree);
    }
    command.arg(&image).arg(size).succeed();
    (folder, image)
}

fn open(image: &Path) -> FileSystem<FileStorage> {
    let file = std::fs::File::options().read(true).write(true).open(image).unwrap();
    FileSystem::open(FileStorage::new(file).unwrap()).unwrap()
}

fn debugfs(image: &Path, command: &str) -> String {
    judge("debugfs").args(["-w", "-R", command]).arg(image).succeed().stdout
}

fn flushed(mut filesystem: FileSystem<FileStorage>, image: &Path) {
    filesystem.flush().unwrap();
    assert_eq!(filesystem.check().unwrap(), Vec::new());
    drop(filesystem);
    assert_e2fsck_clean(image, 0);
}

fn find<S: storage::WriteAt>(filesystem: &FileSystem<S>, path: &str) -> InodeNumber {
    path.split('/').fold(InodeNumber::ROOT, |parent, name| {
        filesystem.lookup(parent, name.as_bytes()).unwrap().unwrap_or_else(|| panic!("no {path}"))
    })
}

fn content<S: storage::WriteAt>(filesystem: &FileSystem<S>, path: &str) -> Vec<u8> {
    let number = find(filesystem, path);
    let mut bytes = vec![0xEE; filesystem.inode(number).unwrap().size_bytes() as usize];
    assert_eq!(filesystem.read_file_at(number, 0, &mut bytes).unwrap(), bytes.len());
    bytes
}

fn names<S: storage::WriteAt>(filesystem: &FileSystem<S>, path: &str) -> Vec<String> {
    let entries = filesystem.read_directory(find(filesystem, path)).unwrap();
    let mut names: Vec<_> = entries.into_iter().map(|entry| String::from_utf8(entry.name).unwrap()).collect();
    names.sort();
    names
}

fn is_inline(image: &Path, path: &str) -> bool {
    debugfs(image, &format!("stat {path}")).contains("Flags: 0x10000000")
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 % 251) as u8 + 1).collect()
}

/// Sizes in bytes around the 60 that `i_block` has, and around all that the inode has.
const SIZES: [usize; 9] = [0, 1, 59, 60, 61, 100, 132, 133, 1000];

/// Options that inline data comes with: blocks, inodes, checksums.
const INLINE_MATRIX: [&[&str]; 3] = [
    &["-t", "ext4", "-b", "4096", "-I", "256", "-O", "inline_data,metadata_csum,64bit"],
    &["-t", "ext4", "-b", "1024", "-I", "1024", "-O", "inline_data,metadata_csum"],
    &["-t", "ext4", "-b", "1024", "-I", "256", "-O", "inline_data,^metadata_csum,^64bit"],
];

/// An image of inline files, symbolic links and directories, which `debugfs` and `mke2fs` wrote.
fn inline_image(options: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    for size in SIZES {
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join(format!("file-{size}")), pattern(size)).unwrap();
    }
    for (name, files) in [("none", 0), ("few", 3), ("some", 6), ("many", 60)] {
        std::fs::create_dir_all(tree.join(name)).unwrap();
        for number in 0..files {
            std::fs::write(tree.join(name).join(format!("f{number}")), format!("{number}")).unwrap();
        }
    }
    std::fs::create_dir_all(tree.join("outer/inner/innermost")).unwrap();
    for length in [1, 59, 60, 61, 90] {
        std::os::unix::fs::symlink("l".repeat(length), tree.join(format!("link-{length}"))).unwrap();
    }
    let (image_folder, image) = mke2fs(options, Some(&tree), "16M");
    assert_e2fsck_clean(&image, 0);
    (image_folder, image)
}

#[test]
fn inline_files_links_and_directories_are_read() {
    for options in INLINE_MATRIX {
        let (_folder, image) = inline_image(options);
        assert!(is_inline(&image, "file-59") && is_inline(&image, "file-100") && is_inline(&image, "few"));
        assert!(is_inline(&image, "outer/inner") && is_inline(&image, "link-90"), "{options:?}");
        let filesystem = open(&image);
        assert_eq!(filesystem.check().unwrap(), Vec::new(), "{options:?}");
        for size in SIZES {
            let path = format!("file-{size}");
            assert_eq!(content(&filesystem, &path), pattern(size), "{options:?}");
            let mut part = [0; 7];
            let number = find(&filesystem, &path);
            for offset in [0, 57, 60, 99, 5000] {
                let count = filesystem.read_file_at(number, offset as u64, &mut part).unwrap();
                assert_eq!(part[..count], pattern(size)[offset.min(size)..(offset + 7).min(size)], "{path} {offset}");
            }
            assert_eq!(filesystem.xattrs(number).unwrap(), Vec::new(), "system.data is none of the file's own");
        }
        for length in [1, 59, 60, 61, 90] {
            let number = find(&filesystem, &format!("link-{length}"));
            assert_eq!(filesystem.read_link(number).unwrap(), "l".repeat(length).into_bytes());
        }
        for (name, files) in [("none", 0), ("few", 3), ("some", 6), ("many", 60)] {
            let mut expected: Vec<_> = (0..files).map(|number| format!("f{number}")).collect();
            expected.sort();
            assert_eq!(names(&filesystem, name), expected);
            for number in 0..files {
                assert_eq!(content(&filesystem, &format!("{name}/f{number}")), number.to_string().into_bytes());
            }
            assert_eq!(find(&filesystem, &format!("{name}/.")), find(&filesystem, name));
            assert_eq!(find(&filesystem, &format!("{name}/..")), InodeNumber::ROOT);
            assert_eq!(filesystem.lookup(find(&filesystem, name), b"not there").unwrap(), None);
        }
        assert_eq!(find(&filesystem, "outer/inner/innermost/.."), find(&filesystem, "outer/inner"));
    }
}

#[test]
fn an_inline_file_that_is_longer_than_what_is_there_goes_on_in_zeros() {
    // The kernel and e2fsck take it as this, too.
    let (_folder, image) = inline_image(INLINE_MATRIX[0]);
    debugfs(&image, "sif file-59 size 300");
    let filesystem = open(&image);
    assert_eq!(content(&filesystem, "file-59"), [pattern(59), vec![0; 300 - 59]].concat());
    flushed(filesystem, &image);
}

#[test]
fn an_inline_directory_gets_blocks_when_names_come_or_go() {
    for options in INLINE_MATRIX {
        let (_folder, image) = inline_image(options);
        // An attribute beside the one that holds entries stays.
        debugfs(&image, "ea_set some user.kept value");
        let mut filesystem = open(&image);
        for name in ["none", "few", "some", "many", "outer", "outer/inner"] {
            let directory = find(&filesystem, name);
            filesystem.create_file(directory, b"new", &ATTRIBUTES, 9, &mut &b"new bytes"[..]).unwrap();
            filesystem.create_directory(directory, b"sub", &ATTRIBUTES).unwrap();
        }
        for name in ["few", "some"] {
            let directory = find(&filesystem, name);
            filesystem.remove_file(directory, b"f1").unwrap();
        }
        assert_eq!(content(&filesystem, "few/new"), b"new bytes");
        assert_eq!(names(&filesystem, "few"), ["f0", "f2", "new", "sub"]);
        assert_eq!(names(&filesystem, "outer"), ["inner", "new", "sub"]);
        assert_eq!(find(&filesystem, "outer/inner/.."), find(&filesystem, "outer"));
        flushed(filesystem, &image);
        assert!(debugfs(&image, "ea_list some").contains("user.kept (5) = \"value\""));
        let listed = debugfs(&image, "ls -p some");
        for name in ["f0", "f2", "f5", "new", "sub"] {
            assert!(listed.contains(&format!("/{name}/")), "{listed}");
        }
        assert!(!listed.contains("/f1/") && !is_inline(&image, "some"), "{listed}");
        assert!(is_inline(&image, "outer/inner/innermost"), "what was not changed stays as it was");
    }
}

#[test]
fn an_inline_file_gets_blocks_when_its_content_changes() {
    for options in INLINE_MATRIX {
        let (_folder, image) = inline_image(options);
        let mut filesystem = open(&image);
        let mut expected = Vec::new();
        for size in SIZES {
            let number = find(&filesystem, &format!("file-{size}"));
            let mut model = pattern(size);
            match size % 4 {
                0 => {
                    filesystem.write_file_at(number, 50, b"changed").unwrap();
                    model.resize(model.len().max(57), 0);
                    model[50..57].copy_from_slice(b"changed");
                }
                1 => {
                    filesystem.truncate(number, size as u64 / 2).unwrap();
                    filesystem.truncate(number, 5000).unwrap();
                    model.truncate(size / 2);
                    model.resize(5000, 0);
                }
                2 => {
                    filesystem.punch_hole(number, 10..20).unwrap();
                    model.iter_mut().take(20).skip(10).for_each(|byte| *byte = 0);
                }
                _ => filesystem.preallocate(number, 0..3000).map(|()| model.resize(3000, 0)).unwrap(),
            }
            expected.push((format!("file-{size}"), model));
        }
        for (path, model) in &expected {
            assert_eq!(&content(&filesystem, path), model, "{options:?} {path}");
        }
        flushed(filesystem, &image);
        for (path, model) in &expected {
            let said = judge("debugfs").args(["-R", &format!("cat {path}")]).arg(&image).succeed();
            assert!(&said.stdout_bytes == model, "{options:?} {path}");
        }
    }
}

#[test]
fn inline_directories_are_renamed_and_removed() {
    for options in INLINE_MATRIX {
        let (_folder, image) = inline_image(options);
        let mut filesystem = open(&image);
        let (outer, few) = (find(&filesystem, "outer"), find(&filesystem, "few"));
        filesystem.rename(outer, b"inner", few, b"moved").unwrap();
        assert_eq!(find(&filesystem, "few/moved/.."), few);
        filesystem.rename(InodeNumber::ROOT, b"none", outer, b"none").unwrap();
        filesystem.rename(few, b"f0", few, b"f1").unwrap();
        filesystem.link(find(&filesystem, "file-100"), find(&filesystem, "outer/none"), b"link").unwrap();
        filesystem.remove_directory(find(&filesystem, "few/moved"), b"innermost").unwrap();
        filesystem.remove_tree(InodeNumber::ROOT, b"some").unwrap();
        assert_eq!(names(&filesystem, "few"), ["f1", "f2", "moved"]);
        assert_eq!(content(&filesystem, "outer/none/link"), pattern(100));
        assert!(matches!(filesystem.rename(outer, b"none", few, b"moved/"), Err(ext4::Error::BadName)));
        flushed(filesystem, &image);
    }
}

#[test]
fn an_inline_file_is_removed_and_given_attributes_as_it_is() {
    for options in INLINE_MATRIX {
        let (_folder, image) = inline_image(options);
        let mut filesystem = open(&image);
        for path in ["file-100", "link-90", "none"] {
            filesystem.set_attributes(find(&filesystem, path), &ATTRIBUTES).unwrap();
        }
        for name in ["file-0", "file-61", "link-61"] {
            filesystem.remove_file(InodeNumber::ROOT, name.as_bytes()).unwrap();
        }
        assert_eq!(content(&filesystem, "file-100"), pattern(100));
        flushed(filesystem, &image);
        for path in ["file-100", "link-90", "none"] {
            assert!(is_inline(&image, path), "{path}");
            assert!(debugfs(&image, &format!("stat {path}")).contains("User:     7   Group:     8"));
        }
        assert_eq!(judge("debugfs").args(["-R", "cat file-100"]).arg(&image).succeed().stdout_bytes, pattern(100));
    }
}

#[test]
fn the_check_finds_inline_data_that_cannot_be() {
    for (command, found) in [
        ("sif few size 61", "i_size=61, but 60 bytes are in the inode"),
        ("sif link-90 size 91", "i_size=91, but 90 bytes are in the inode"),
        ("sif outer/inner block[0] 2", "its entry 2 is not `..` with inode"),
        ("sif outer/inner block[2] 0x02010003", "entry at offset"),
        ("feature ^inline_data", "but the file system is without inline_data"),
    ] {
        let (_folder, image) = inline_image(INLINE_MATRIX[0]);
        debugfs(&image, command);
        let verdict = judge("e2fsck").arg("-fn").arg(&image).run();
        assert!(!verdict.status.success(), "{command}: e2fsck does not mind: {verdict}");
        let findings = open(&image).check().unwrap();
        assert!(findings.iter().any(|finding| finding.to_string().contains(found)), "{command}: {findings:?}");
    }
}

/// The number after `label` in what `debugfs` says of a file.
fn field(image: &Path, path: &str, label: &str) -> u32 {
    let said = debugfs(image, &format!("stat {path}"));
    let rest = said.split(label).nth(1).unwrap_or_else(|| panic!("no {label} in {said}"));
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// Writes inode numbers into the last places of the orphan file's last block, with its checksum.
fn put_into_orphan_file(image: &Path, numbers: &[u32]) {
    let mut bytes = std::fs::read(image).unwrap();
    let u32_at = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|index| bytes[at + index]));
    let file = u32_at(1024 + 0x280);
    let has_checksums = u32_at(1024 + 0x64) & 0x400 != 0;
    let blocks = debugfs(image, &format!("blocks <{file}>"));
    let block: u64 = blocks.split_whitespace().last().unwrap().parse().unwrap();
    let generation = field(image, &format!("<{file}>"), "Generation: ");
    let uuid = bytes[1024 + 0x68..][..16].to_vec();
    let at = block as usize * 1024;
    assert_eq!(bytes[at + 1016..at + 1020], 0x0B10_CA04_u32.to_le_bytes());
    for (place, number) in numbers.iter().enumerate() {
        bytes[at + 1012 - place * 4..][..4].copy_from_slice(&number.to_le_bytes());
    }
    let parts = [&uuid[..], &file.to_le_bytes(), &generation.to_le_bytes(), &block.to_le_bytes()];
    let checksum = !crc32c::crc32c(&[&parts.concat()[..], &bytes[at..at + 1016]].concat());
    bytes[at + 1020..at + 1024].copy_from_slice(&if has_checksums { checksum } else { 0 }.to_le_bytes());
    std::fs::write(image, bytes).unwrap();
}

/// A file that was being deleted and one that was being cut to 10,000 bytes, in the orphan file.
fn image_with_orphans(features: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deleted"), vec![1; 50_000]).unwrap();
    std::fs::write(folder.path().join("cut"), vec![2; 50_000]).unwrap();
    let (image_folder, image) =
        mke2fs(&["-t", "ext4", "-b", "1024", "-O", features, "-N", "64"], Some(folder.path()), "16M");
    let (deleted, cut) = (field(&image, "deleted", "Inode: "), field(&image, "cut", "Inode: "));
    debugfs(&image, "unlink deleted");
    debugfs(&image, &format!("sif <{deleted}> links_count 0"));
    debugfs(&image, "sif cut size 10000");
    put_into_orphan_file(&image, &[deleted, cut]);
    debugfs(&image, "feature orphan_present");
    (image_folder, image)
}

#[test]
fn what_is_in_the_orphan_file_is_finished_before_the_first_edit() {
    for features in ["orphan_file,metadata_csum,^metadata_csum_seed", "orphan_file,^metadata_csum"] {
        let (folder, image) = image_with_orphans(features);
        // What e2fsck makes of it.
        let theirs = folder.path().join("theirs");
        std::fs::copy(&image, &theirs).unwrap();
        let verdict = judge("e2fsck").arg("-p").arg(&theirs).run();
        assert!(verdict.status.code().is_some_and(|code| code <= 1), "{verdict}");
        assert_e2fsck_clean(&theirs, 0);

        let mut filesystem = open(&image);
        let findings = filesystem.check().unwrap();
        assert!(findings.iter().any(|finding| finding.to_string().contains("orphan_present")), "{findings:?}");
        let number = find(&filesystem, "cut");
        filesystem.set_attributes(number, &ATTRIBUTES).unwrap();
        assert_eq!(filesystem.superblock().free_blocks(), open(&theirs).superblock().free_blocks(), "{features}");
        assert_eq!(filesystem.superblock().free_inodes(), open(&theirs).superblock().free_inodes(), "{features}");
        // What was cut off is not seen again when the file grows.
        filesystem.truncate(number, 10_300).unwrap();
        assert_eq!(content(&filesystem, "cut"), [vec![2; 10_000], vec![0; 300]].concat());
        flushed(filesystem, &image);
        let block = 10_000 / 1024;
        let physical = debugfs(&image, &format!("bmap cut {block}"));
        let at = physical.trim().parse::<usize>().unwrap() * 1024;
        let bytes = std::fs::read(&image).unwrap();
        assert!(bytes[at + 10_000 % 1024..at + 1024].iter().all(|&byte| byte == 0), "the last block's rest is zeros");
    }
}

#[test]
fn an_orphan_file_that_breaks_a_rule_is_refused_and_found() {
    for (change, found) in [
        (0xFFFF_FFFF_u32, "no such inode"),
        (8, "a reserved inode among the orphans"),
        (60, "among the orphans, but free in the bitmap"),
    ] {
        let (_folder, image) = image_with_orphans("orphan_file,metadata_csum,^metadata_csum_seed");
        put_into_orphan_file(&image, &[change, change]);
        let error = open(&image).create_directory(InodeNumber::ROOT, b"new", &ATTRIBUTES).unwrap_err().to_string();
        assert!(error.contains(found), "{change}: {error}");
    }
    let (_folder, image) = image_with_orphans("orphan_file,metadata_csum,^metadata_csum_seed");
    debugfs(&image, "feature ^orphan_present");
    let findings = open(&image).check().unwrap();
    assert!(findings.iter().any(|finding| finding.to_string().contains("2 orphans, but no orphan_present")));
    let file = u32::from_le_bytes(std::fs::read(&image).unwrap()[1024 + 0x280..][..4].try_into().unwrap());
    debugfs(&image, &format!("sif <{file}> generation 77"));
    assert!(!judge("e2fsck").arg("-fn").arg(&image).run().status.success());
    let findings = open(&image).check().unwrap();
    assert!(findings.iter().any(|finding| finding.to_string().contains("ob_checksum=")), "{findings:?}");
}

#[test]
fn noted_errors_refuse_an_edit_until_they_are_allowed_and_stay_noted() {
    for request in ["ssv state 3", "ssv error_count 5"] {
        let (_folder, image) = mke2fs(&["-t", "ext4", "-O", "metadata_csum"], None, "16M");
        debugfs(&image, request);
        let mut filesystem = open(&image);
        assert!(filesystem.superblock().has_errors());
        assert!(filesystem.check().unwrap()[0].to_string().contains("error flags"), "{request}");
        let refused = filesystem.create_directory(InodeNumber::ROOT, b"new", &ATTRIBUTES);
        assert!(matches!(refused, Err(ext4::Error::HasErrors { .. })), "{request}: {refused:?}");
        filesystem.allow_errors();
        filesystem.create_directory(InodeNumber::ROOT, b"new", &ATTRIBUTES).unwrap();
        filesystem.flush().unwrap();
        assert!(open(&image).superblock().has_errors(), "{request}");
        assert_eq!(open(&image).check().unwrap().len(), 1, "{request}: nothing else is wrong");
        // e2fsck ends with 0 where nothing but the note is wrong.
        assert_e2fsck_clean(&image, 0);
    }
}

#[test]
fn new_files_get_the_project_that_a_directory_hands_on() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["heir", "own"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let options = ["-t", "ext4", "-I", "256", "-O", "project,^quota,metadata_csum"];
    let (_image_folder, image) = mke2fs(&options, Some(folder.path()), "16M");
    debugfs(&image, "sif heir projid 4711");
    // 0x20000000 over the flag for extents.
    debugfs(&image, "sif heir flags 0x20080000");
    debugfs(&image, "sif own projid 4711");
    let mut filesystem = open(&image);
    for name in ["heir", "own"] {
        let parent = find(&filesystem, name);
        filesystem.create_file(parent, b"file", &ATTRIBUTES, 4, &mut &b"four"[..]).unwrap();
        filesystem.create_symlink(parent, b"link", b"target", &ATTRIBUTES).unwrap();
        let below = filesystem.create_directory(parent, b"below", &ATTRIBUTES).unwrap();
        filesystem.create_file(below, b"deep", &ATTRIBUTES, 0, &mut std::io::empty()).unwrap();
    }
    assert_eq!(filesystem.inode(find(&filesystem, "heir/below/deep")).unwrap().project(), 4711);
    flushed(filesystem, &image);
    for name in ["file", "link", "below", "below/deep"] {
        assert_eq!(field(&image, &format!("heir/{name}"), "Project:"), 4711, "{name}");
        assert_eq!(field(&image, &format!("own/{name}"), "Project:"), 0, "{name}");
    }
    assert!(debugfs(&image, "stat heir/below").contains("Flags: 0x20080000"));
    assert!(debugfs(&image, "stat heir/file").contains("Flags: 0x80000"));
}

/// An image whose users have quota, and where the blocks of the file with it are.
fn image_with_quota() -> (tempfile::TempDir, PathBuf, Vec<usize>) {
    let (folder, image) = mke2fs(&["-t", "ext4", "-b", "1024", "-O", "quota,^metadata_csum"], None, "8M");
    let blocks = debugfs(&image, "blocks <3>");
    let blocks = blocks.split_whitespace().map(|block| block.parse().unwrap()).collect();
    (folder, image, blocks)
}

#[test]
fn limits_stay_when_usage_is_counted() {
    let (_folder, image, blocks) = image_with_quota();
    let mut bytes = std::fs::read(&image).unwrap();
    // The sixth block has the entry of root, past its header: 0x20 bytes into it is the hard limit.
    let entry = blocks[5] * 1024 + 16;
    bytes[entry + 0x20..][..8].copy_from_slice(&5000_u64.to_le_bytes());
    std::fs::write(&image, &bytes).unwrap();
    let limit = |said: &str| said.lines().last().unwrap().split_whitespace().nth(3).map(str::to_owned);
    assert_eq!(limit(&debugfs(&image, "get_quota user 0")), Some("5000".to_owned()));
    let mut filesystem = open(&image);
    for uid in 0..40 {
        let name = format!("of-{uid}");
        let attributes = Attributes { uid: uid * 1000, ..ATTRIBUTES };
        filesystem.create_file(InodeNumber::ROOT, name.as_bytes(), &attributes, 4, &mut &b"four"[..]).unwrap();
    }
    flushed(filesystem, &image);
    assert_eq!(limit(&debugfs(&image, "get_quota user 0")), Some("5000".to_owned()));
    assert!(debugfs(&image, "list_quota user").lines().count() > 40);
}

#[test]
fn quota_files_of_any_bytes_end_in_an_answer_or_an_error() {
    let (_folder, image, blocks) = image_with_quota();
    let bytes = std::fs::read(&image).unwrap();
    let mut random = support::Random(0x51_7E);
    let mut noticed = 0;
    for _ in 0..300 {
        let mut bytes = bytes.clone();
        for _ in 0..1 + random.below(6) {
            let block = blocks[random.below(blocks.len() as u64) as usize];
            let within = if random.below(2) == 0 { 32 } else { 1024 };
            let at = block * 1024 + random.below(within) as usize;
            bytes[at] = random.below(256) as u8;
        }
        let mut filesystem = FileSystem::open(storage::Memory::from(bytes)).unwrap();
        noticed += u32::from(filesystem.check().map_or(true, |findings| !findings.is_empty()));
        filesystem.create_directory(InodeNumber::ROOT, b"new", &ATTRIBUTES).unwrap();
        if filesystem.flush().is_ok() {
            assert_eq!(filesystem.check().unwrap(), Vec::new());
        }
    }
    assert!(noticed > 30, "only {noticed} of 300 were noticed");
}

/// A tree with a file of many blocks, a sparse one and many names.
fn some_tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("dir/below")).unwrap();
    std::fs::create_dir_all(folder.path().join("many")).unwrap();
    std::fs::write(folder.path().join("dir/small"), b"small").unwrap();
    std::fs::write(folder.path().join("large"), pattern(200_001)).unwrap();
    let sparse = std::fs::File::create(folder.path().join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 250_000).unwrap();
    sparse.set_len(400_000).unwrap();
    std::os::unix::fs::symlink("t".repeat(100), folder.path().join("link")).unwrap();
    for number in 0..400 {
        std::fs::write(folder.path().join(format!("many/Name-{number}")), b"").unwrap();
    }
    folder
}

#[track_caller]
fn assert_some_tree_is_read(filesystem: &FileSystem<FileStorage>, what: &str) {
    assert_eq!(content(filesystem, "dir/small"), b"small", "{what}");
    assert!(content(filesystem, "large") == pattern(200_001), "{what}");
    let mut sparse = vec![0; 400_000];
    sparse[250_000..250_006].copy_from_slice(b"middle");
    assert!(content(filesystem, "sparse") == sparse, "{what}");
    assert_eq!(filesystem.read_link(find(filesystem, "link")).unwrap(), [b't'; 100], "{what}");
    assert_eq!(names(filesystem, "many").len(), 400, "{what}");
    for number in 0..400 {
        assert_eq!(content(filesystem, &format!("many/Name-{number}")), b"", "{what}");
    }
    assert_eq!(filesystem.lookup(find(filesystem, "many"), b"name-1").unwrap(), None, "{what}");
}

#[test]
fn what_cannot_be_written_is_read_and_refused_by_name() {
    let tree = some_tree();
    for (feature, options) in [
        ("bigalloc", &["-b", "1024", "-O", "bigalloc", "-C", "16384"][..]),
        ("bigalloc", &["-b", "4096", "-O", "bigalloc,^metadata_csum,^64bit", "-C", "65536"]),
        ("casefold", &["-O", "casefold", "-E", "encoding=utf8"]),
        ("encrypt", &["-O", "encrypt"]),
        ("verity", &["-O", "verity"]),
        ("mmp", &["-O", "mmp"]),
    ] {
        let (_folder, image) = mke2fs(&[&["-t", "ext4"], options].concat(), Some(tree.path()), "32M");
        let mut filesystem = open(&image);
        assert_some_tree_is_read(&filesystem, feature);
        let before = std::fs::read(&image).unwrap();
        let large = find(&filesystem, "large");
        let errors = [
            filesystem.create_directory(InodeNumber::ROOT, b"new", &ATTRIBUTES).map(|_| ()),
            filesystem.remove_file(InodeNumber::ROOT, b"large"),
            filesystem.write_file_at(large, 0, b"x"),
            filesystem.set_attributes(large, &ATTRIBUTES),
        ];
        for error in errors {
            let said = error.unwrap_err().to_string();
            assert_eq!(
                said,
                format!("unsupported ext4 feature: super block: features that imgraft cannot write: {feature}")
            );
        }
        filesystem.flush().unwrap();
        assert!(std::fs::read(&image).unwrap() == before, "{feature}: nothing was written");
        match filesystem.check() {
            Ok(findings) => assert_eq!(findings, Vec::new(), "{feature}"),
            Err(error) => assert!(feature == "bigalloc" && error.to_string().contains("bigalloc"), "{error}"),
        }
    }
}

#[test]
fn an_index_over_names_without_case_is_not_followed_and_not_misjudged() {
    let tree = some_tree();
    let options = ["-t", "ext4", "-b", "1024", "-O", "casefold,metadata_csum", "-E", "encoding=utf8"];
    let (_folder, image) = mke2fs(&options, Some(tree.path()), "32M");
    // The flag for it, over the one for extents.
    debugfs(&image, "sif many flags 0x40080000");
    let indexed = judge("e2fsck").arg("-fyD").arg(&image).run();
    assert!(indexed.status.code().is_some_and(|code| code <= 1), "{indexed}");
    assert_e2fsck_clean(&image, 0);
    assert!(debugfs(&image, "stat many").contains("Flags: 0x40081000"), "it is indexed");
    let filesystem = open(&image);
    assert_some_tree_is_read(&filesystem, "casefold");
    assert_eq!(filesystem.check().unwrap(), Vec::new());
}

#[test]
fn an_index_of_an_unknown_hash_is_not_followed() {
    let tree = some_tree();
    let (_folder, image) = mke2fs(&["-t", "ext4", "-b", "1024", "-O", "^metadata_csum"], Some(tree.path()), "32M");
    let indexed = judge("e2fsck").arg("-fyD").arg(&image).run();
    assert!(indexed.status.code().is_some_and(|code| code <= 1), "{indexed}");
    let block: usize = debugfs(&image, "bmap many 0").trim().parse().unwrap();
    let mut bytes = std::fs::read(&image).unwrap();
    // hash_version, 28 bytes into the root: siphash, of directories that are encrypted and casefolded.
    assert_eq!(bytes[block * 1024 + 28..][..2], [1, 8], "half_md4, and the length of the record");
    bytes[block * 1024 + 28] = 6;
    std::fs::write(&image, bytes).unwrap();
    assert_some_tree_is_read(&open(&image), "siphash");
}

#[test]
fn what_is_encrypted_is_refused_file_by_file() {
    let tree = some_tree();
    let (_folder, image) = mke2fs(&["-t", "ext4", "-O", "encrypt"], Some(tree.path()), "32M");
    debugfs(&image, "symlink short target");
    debugfs(&image, "sif short flags 0x800");
    for path in ["dir", "sparse", "link"] {
        debugfs(&image, &format!("sif {path} flags 0x80800"));
    }
    let filesystem = open(&image);
    assert!(content(&filesystem, "large") == pattern(200_001));
    let dir = find(&filesystem, "dir");
    let errors = [
        filesystem.read_directory(dir).map(|_| ()),
        filesystem.lookup(dir, b"small").map(|_| ()),
        filesystem.read_file_at(find(&filesystem, "sparse"), 0, &mut [0; 8]).map(|_| ()),
        filesystem.read_link(find(&filesystem, "link")).map(|_| ()),
        filesystem.read_link(find(&filesystem, "short")).map(|_| ()),
    ];
    for error in errors {
        let said = error.unwrap_err().to_string();
        assert!(said.contains("encrypt: encrypted "), "{said}");
    }
}

#[test]
fn quota_is_what_e2fsck_counts_after_every_edit() {
    for options in [
        &["-t", "ext4", "-b", "1024", "-O", "quota,metadata_csum"][..],
        &["-t", "ext4", "-b", "4096", "-O", "project,quota", "-E", "quotatype=usrquota:grpquota:prjquota"],
        &["-t", "ext4", "-b", "4096", "-O", "quota,^metadata_csum", "-E", "quotatype=grpquota"],
    ] {
        let tree = some_tree();
        let (_folder, image) = mke2fs(options, Some(tree.path()), "32M");
        // mke2fs counts before it fills the tree in.
        let findings = open(&image).check().unwrap();
        assert!(findings.iter().any(|finding| finding.to_string().contains("quota of ")), "{findings:?}");
        assert!(!judge("e2fsck").arg("-fn").arg(&image).run().status.success(), "e2fsck minds");
        let repaired = judge("e2fsck").arg("-fy").arg(&image).run();
        assert!(repaired.status.code().is_some_and(|code| code <= 1), "{repaired}");
        assert_eq!(open(&image).check().unwrap(), Vec::new(), "{options:?}");

        let mut filesystem = open(&image);
        for number in 0..100u32 {
            // Ids with each of the tree's four levels different.
            let id = [number, number << 8, number << 16, number << 24][number as usize % 4];
            let attributes = Attributes { uid: id, gid: id / 3, ..ATTRIBUTES };
            let (name, bytes) = (format!("file-{number}"), pattern(number as usize * 50));
            let many = find(&filesystem, "many");
            filesystem.create_file(many, name.as_bytes(), &attributes, bytes.len() as u64, &mut &bytes[..]).unwrap();
        }
        flushed(filesystem, &image);
        // Fewer ids, other owners, less space.
        let mut filesystem = open(&image);
        filesystem.remove_file(InodeNumber::ROOT, b"large").unwrap();
        filesystem.set_attributes(find(&filesystem, "sparse"), &ATTRIBUTES).unwrap();
        for number in 10..90 {
            filesystem.remove_file(find(&filesystem, "many"), format!("file-{number}").as_bytes()).unwrap();
        }
        flushed(filesystem, &image);
    }
}

#[test]
fn attributes_beside_inline_content_come_and_go() {
    for options in INLINE_MATRIX {
        let (_folder, image) = inline_image(options);
        let mut filesystem = open(&image);
        for path in ["file-0", "file-60", "file-100", "some", "link-90"] {
            let number = find(&filesystem, path);
            filesystem.set_xattr(number, b"trusted.small", b"value").unwrap();
            filesystem.set_xattr(number, b"trusted.large", &pattern(600)).unwrap();
            filesystem.set_xattr(number, b"trusted.gone", b"soon").unwrap();
            filesystem.remove_xattr(number, b"trusted.gone").unwrap();
        }
        filesystem.write_file_at(find(&filesystem, "file-60"), 60, b"more").unwrap();
        filesystem.create_directory(find(&filesystem, "some"), b"new", &ATTRIBUTES).unwrap();
        assert_eq!(content(&filesystem, "file-100"), pattern(100), "{options:?}");
        assert_eq!(content(&filesystem, "file-60"), [&pattern(60)[..], b"more"].concat());
        assert_eq!(names(&filesystem, "some"), ["f0", "f1", "f2", "f3", "f4", "f5", "new"]);
        assert_eq!(filesystem.read_link(find(&filesystem, "link-90")).unwrap(), [b'l'; 90]);
        flushed(filesystem, &image);
        for path in ["file-0", "file-60", "file-100", "some", "link-90"] {
            let listed = debugfs(&image, &format!("ea_list {path}"));
            assert!(
                listed.contains("trusted.small (5) = \"value\"") && listed.contains("trusted.large (600)"),
                "{listed}"
            );
            assert!(!listed.contains("gone"), "{listed}");
        }
    }
}

/// Found by fuzzing: after a flush that had no room for the count of a new owner, the next one left the
/// count out and said that all was well.
#[test]
fn a_flush_that_has_no_room_for_quota_does_not_succeed_when_it_is_tried_again() {
    let (_folder, image, _) = image_with_quota();
    let mut filesystem = open(&image);
    let file = filesystem.create_file(InodeNumber::ROOT, b"file", &ATTRIBUTES, 0, &mut std::io::empty()).unwrap();
    filesystem.flush().unwrap();
    let all = filesystem.superblock().free_blocks() * 1024;
    // The map of a file in many pieces takes some blocks too: the largest that fits.
    let fits = (0..40).find(|less| {
        let size = all - less * 1024;
        filesystem
            .create_file(
                InodeNumber::ROOT,
                b"filler",
                &ATTRIBUTES,
                size,
                &mut std::io::Read::take(std::io::repeat(1), size),
            )
            .is_ok()
    });
    assert!(fits.is_some() && filesystem.superblock().free_blocks() < 3);
    // An id that differs in its highest byte needs three new blocks of the tree.
    filesystem.set_attributes(file, &Attributes { uid: 0xF000_0000, ..ATTRIBUTES }).unwrap();
    for _ in 0..2 {
        assert!(matches!(filesystem.flush(), Err(ext4::Error::NoSpace { .. })));
    }
}
