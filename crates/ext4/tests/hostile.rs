//! Bytes of no good will: reading, checking and editing end in an answer or an error, never in a
//! panic or without an end.

use std::path::Path;

use crate::support::Random;
use ext4::{Attributes, Error, FileKind, FileSystem, InodeNumber, Time};
use storage::{Memory, OVERLAY_BLOCK_BYTES, Overlay, WriteAt};

/// A file system with a bit of everything, of 8 MiB.
fn make(options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    std::fs::create_dir_all(tree.join("etc/many")).unwrap();
    for number in 0..200 {
        std::fs::write(tree.join(format!("etc/many/file-{number}-{}", "x".repeat(60))), vec![1; number * 10]).unwrap();
    }
    std::fs::write(tree.join("large"), vec![3; 900_000]).unwrap();
    std::fs::write(tree.join("small"), "small").unwrap();
    std::os::unix::fs::symlink("t".repeat(300), tree.join("long")).unwrap();
    std::os::unix::fs::symlink("etc", tree.join("short")).unwrap();
    let image = folder.path().join("image");
    testkit::judge::judge("mke2fs")
        .args(["-q", "-F", "-b", "1024"])
        .args(options)
        .arg("-d")
        .arg(&tree)
        .arg(&image)
        .arg("8192k")
        .succeed();
    // mke2fs makes no indexes; e2fsck does.
    let indexed = testkit::judge::judge("e2fsck").args(["-fyD"]).arg(&image).run();
    assert!(indexed.status.code().is_some_and(|code| code <= 1), "{indexed}");
    fragment(&image);
    std::fs::read(&image).unwrap()
}

/// Gives `/large` a map with blocks of its own, by freeing every other block after it.
fn fragment(image: &Path) {
    let commands: String = (0..20).map(|at| format!("punch /large {} {}\n", at * 40 + 5, at * 40 + 7)).collect();
    let script = image.with_extension("debugfs");
    std::fs::write(&script, commands).unwrap();
    testkit::judge::judge("debugfs").arg("-w").arg("-f").arg(&script).arg(image).succeed();
}

/// Reads, checks and edits; returns whether the check found something.
fn visit(bytes: Vec<u8>) -> Result<bool, Error> {
    let overlay = Overlay::new(
        Memory::from(bytes),
        4096 * OVERLAY_BLOCK_BYTES,
        Box::new(|| Err(std::io::ErrorKind::StorageFull.into())),
    );
    let mut filesystem = FileSystem::open(overlay)?;
    let findings = filesystem.check();
    let mut left = vec![(InodeNumber::ROOT, 0)];
    let mut visited = 0;
    while let Some((directory, depth)) = left.pop() {
        let Ok(entries) = filesystem.read_directory(directory) else { continue };
        for entry in entries {
            visited += 1;
            let Ok(inode) = filesystem.inode(entry.inode) else { continue };
            let _ = filesystem.xattrs(entry.inode);
            let _ = filesystem.lookup(directory, &entry.name);
            match inode.kind() {
                Ok(FileKind::Directory) if depth < 8 && visited < 5000 => left.push((entry.inode, depth + 1)),
                Ok(FileKind::Symlink) => drop(filesystem.read_link(entry.inode)),
                Ok(FileKind::Regular) => {
                    let mut buffer = vec![0; 4096];
                    for offset in [0, inode.size_bytes() / 2, inode.size_bytes().saturating_sub(100)] {
                        let _ = filesystem.read_file_at(entry.inode, offset, &mut buffer);
                    }
                }
                _ => {}
            }
        }
    }
    edit(&mut filesystem)?;
    filesystem.flush()?;
    let sound = findings.is_ok_and(|findings| findings.is_empty());
    // A file system that was right before is right after.
    if sound {
        assert_eq!(filesystem.check()?, Vec::new());
    }
    Ok(!sound)
}

/// Edits of every kind.
fn edit<S: WriteAt>(filesystem: &mut FileSystem<S>) -> Result<(), Error> {
    let attributes = Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time::default() };
    let root = InodeNumber::ROOT;
    let parent = filesystem.lookup(root, b"etc")?.unwrap_or(root);
    let many = filesystem.lookup(parent, b"many")?.unwrap_or(root);
    let small = filesystem.lookup(root, b"small")?.ok_or(Error::NotFound)?;
    let large = filesystem.lookup(root, b"large")?.ok_or(Error::NotFound)?;
    for number in 0..40 {
        let name = format!("new-{number}-{}", "y".repeat(100));
        filesystem.create_file(many, name.as_bytes(), &attributes, 3000, &mut &[7; 3000][..])?;
    }
    // In the inode, past it in a block, and in an encoding of its own.
    filesystem.set_xattr(small, b"user.small", b"value")?;
    filesystem.set_xattr(small, b"user.large", &[b'v'; 600])?;
    filesystem.set_xattr(small, b"user.large", &[b'w'; 500])?;
    filesystem.set_xattr(
        large,
        b"security.capability",
        &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    )?;
    filesystem.remove_xattr(small, b"user.small")?;
    filesystem.write_file_at(small, 3, b"longer than what it had")?;
    filesystem.write_file_at(large, 123_456, &[8; 70_000])?;
    filesystem.punch_hole(large, 200_100..300_500)?;
    if filesystem.superblock().features().iter().any(|feature| feature == "extent") {
        filesystem.preallocate(large, 250_000..280_000)?;
    }
    filesystem.truncate(large, 600_123)?;
    filesystem.truncate(small, 2)?;
    filesystem.link(small, many, b"another name of it")?;
    filesystem.create_directory(parent, b"new", &attributes)?;
    filesystem.rename(root, b"small", parent, b"moved")?;
    filesystem.rename(parent, b"new", root, b"new")?;
    filesystem.rename(root, b"long", root, b"short")?;
    filesystem.remove_file(root, b"large")?;
    filesystem.remove_directory(root, b"new")?;
    filesystem.remove_tree(root, b"etc")
}

#[test]
fn mutated_file_systems_end_in_an_answer_or_an_error() {
    for (number, options) in [
        &["-t", "ext4", "-O", "^metadata_csum,^uninit_bg,^64bit"][..],
        &["-t", "ext4", "-O", "metadata_csum,64bit,orphan_file,metadata_csum_seed"],
        &["-t", "ext2"],
        &["-t", "ext3"],
        &["-t", "ext4", "-I", "256", "-O", "inline_data,^metadata_csum"],
        &["-t", "ext4", "-I", "256", "-O", "project,ea_inode,^metadata_csum"],
    ]
    .iter()
    .enumerate()
    {
        let image = make(options);
        match visit(image.clone()) {
            Ok(found) => assert!(!found, "{options:?}: findings before any mutation"),
            Err(error) => panic!("{options:?}: {error}"),
        }
        // Where metadata is: not where every byte is the same, as in the holes and in the files' content.
        let used: Vec<usize> = (1..image.len() / 1024)
            .filter(|block| {
                let bytes = &image[block * 1024..][..1024];
                bytes.iter().any(|&byte| byte != bytes[0])
            })
            .collect();
        let mut random = Random(0xC0FF_EE00 + number as u64);
        let mut noticed = 0;
        for round in 0..250 {
            let mut bytes = image.clone();
            for _ in 0..1 + random.below(4) {
                let block = if round % 4 == 0 {
                    1 + random.below(2) as usize
                } else {
                    used[random.below(used.len() as u64) as usize]
                };
                let at = block * 1024 + random.below(1024) as usize;
                bytes[at] = match random.below(3) {
                    0 => random.below(256) as u8,
                    1 => 0xFF,
                    _ => bytes[at] ^ 1 << random.below(8),
                };
            }
            noticed += u32::from(visit(bytes).unwrap_or(true));
        }
        // Without checksums many bytes may be anything: times, owners, names.
        assert!(noticed > 25, "{options:?}: only {noticed} of 250 mutations were noticed");
    }
}

#[test]
fn a_file_system_cut_short_is_refused() {
    let image = make(&["-t", "ext4"]);
    for length in [0, 1000, 1024, 2047, 2048, 4096, image.len() / 2, image.len() - 1] {
        assert!(visit(image[..length].to_vec()).is_err(), "{length} bytes");
    }
}

#[test]
fn an_unknown_incompatible_feature_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    std::fs::write(&path, make(&["-t", "ext4"])).unwrap();
    testkit::judge::judge("debugfs").args(["-w", "-R", "feature +FEATURE_I29"]).arg(&path).succeed();
    let error = visit(std::fs::read(&path).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unsupported ext4 feature: super block: incompatible features that imgraft cannot read: FEATURE_I29"
    );
}

#[test]
fn features_that_we_would_break_refuse_writing_by_name_and_can_be_read() {
    for (feature, options) in [
        ("bigalloc", &["-t", "ext4", "-O", "bigalloc", "-C", "4096"][..]),
        ("casefold", &["-t", "ext4", "-O", "casefold"]),
        ("mmp", &["-t", "ext4", "-O", "mmp"]),
        ("verity", &["-t", "ext4", "-O", "verity"]),
        ("encrypt", &["-t", "ext4", "-O", "encrypt"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        testkit::judge::judge("mke2fs")
            .args(["-q", "-F", "-b", "1024"])
            .args(options)
            .arg(&path)
            .arg("16384k")
            .succeed();
        let mut filesystem = FileSystem::open(Memory::from(std::fs::read(&path).unwrap())).unwrap();
        assert_eq!(filesystem.read_directory(InodeNumber::ROOT).unwrap().len(), 1, "{feature}: lost+found");
        let attributes = Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time::default() };
        let error = filesystem.create_directory(InodeNumber::ROOT, b"new", &attributes).unwrap_err().to_string();
        assert!(error.contains(feature), "{feature}: {error}");
    }
}
