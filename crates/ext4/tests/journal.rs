//! Dirty journals that `debugfs` wrote: what we replay is what `e2fsck` replays.

use std::path::Path;

use ext4::FileSystem;
use storage::{FileStorage, Memory};
use testkit::judge::judge;

const BLOCK_BYTES: usize = 1024;

fn debugfs(image: &Path, commands: &str) {
    let script = image.with_extension("commands");
    std::fs::write(&script, commands).unwrap();
    let verdict = judge("debugfs").arg("-w").arg("-f").arg(&script).arg(image).succeed();
    assert!(!verdict.stderr.contains("rror"), "{verdict}");
}

/// Blocks `first` to `last` of an image.
fn blocks(bytes: &[u8], first: usize, last: usize) -> &[u8] {
    &bytes[first * BLOCK_BYTES..(last + 1) * BLOCK_BYTES]
}

#[test]
fn a_dirty_journal_is_replayed_as_e2fsck_replays_it() {
    for (features, open) in [
        ("64bit,metadata_csum", "jo -c -v 3"),
        ("64bit,metadata_csum", "jo -c -v 2"),
        ("64bit,^metadata_csum", "jo"),
        ("^64bit,^metadata_csum", "jo"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        judge("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-b", "1024", "-O", features])
            .arg(&image)
            .arg("32768k")
            .succeed();
        // Blocks 30,000 on are free: the journal is made to write them. One of them begins with the
        // journal's own magic, which has to be escaped; one is written and then revoked.
        let content = folder.path().join("content");
        let mut bytes: Vec<u8> = (0..3 * BLOCK_BYTES).map(|at| (at % 251) as u8 + 1).collect();
        bytes[BLOCK_BYTES..BLOCK_BYTES + 4].copy_from_slice(&[0xC0, 0x3B, 0x39, 0x98]);
        std::fs::write(&content, &bytes).unwrap();
        debugfs(
            &image,
            &format!(
                "{open}\njw -b 30000-30002 {content}\njc\n{open}\njw -b 30010-30012 {content}\njc\n{open}\njw -r 30011\njc\n",
                content = content.display()
            ),
        );
        let dirty = std::fs::read(&image).unwrap();
        assert!(blocks(&dirty, 30000, 30002).iter().all(|&byte| byte == 0), "nothing is replayed yet");

        let memory = std::sync::Arc::new(Memory::from(dirty));
        let filesystem = FileSystem::open(memory.clone()).unwrap();
        assert!(filesystem.journal_replayed(), "{features} {open}");
        drop(filesystem);
        let ours = std::sync::Arc::into_inner(memory).unwrap().into_bytes();

        let replayed = judge("e2fsck").args(["-y", "-E", "journal_only"]).arg(&image).run();
        assert!(replayed.status.code().is_some_and(|code| code <= 1), "{replayed}");
        let theirs = std::fs::read(&image).unwrap();
        assert_eq!(blocks(&theirs, 30000, 30002), &bytes[..], "{features} {open}: e2fsck did replay");
        assert!(blocks(&ours, 30000, 30020) == blocks(&theirs, 30000, 30020), "{features} {open}");

        let ours_path = folder.path().join("ours");
        std::fs::write(&ours_path, &ours).unwrap();
        testkit::judge::assert_e2fsck_clean(&ours_path, 0);
        let again = FileSystem::open(
            FileStorage::new(std::fs::File::options().read(true).write(true).open(&ours_path).unwrap()).unwrap(),
        );
        assert!(!again.unwrap().journal_replayed(), "it is clean now");
    }
}

#[test]
fn a_log_block_with_a_wrong_checksum_is_an_error_that_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    judge("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "1024", "-O", "64bit,metadata_csum"])
        .arg(&image)
        .arg("32768k")
        .succeed();
    let content = folder.path().join("content");
    std::fs::write(&content, [0x5A; BLOCK_BYTES]).unwrap();
    debugfs(&image, &format!("jo -c -v 3\njw -b 30000 {}\njc\n", content.display()));
    let mut bytes = std::fs::read(&image).unwrap();
    let at = bytes.chunks(BLOCK_BYTES).position(|block| block.iter().all(|&byte| byte == 0x5A)).unwrap();
    bytes[at * BLOCK_BYTES] = 0;
    let error = FileSystem::open(Memory::from(bytes)).err().unwrap().to_string();
    assert!(
        error.starts_with("corrupt ext4 file system: journal: log block ")
            && error.contains("for block 30000: checksum="),
        "{error}"
    );
}

#[test]
fn orphans_are_finished_before_the_first_edit() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("deleted"), vec![1; 50_000]).unwrap();
    std::fs::write(tree.join("cut"), vec![2; 50_000]).unwrap();
    let image = folder.path().join("image");
    judge("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "1024", "-O", "metadata_csum,^orphan_file"])
        .arg("-d")
        .arg(&tree)
        .arg(&image)
        .arg("16384k")
        .succeed();
    let number = |name: &str| {
        let stat = judge("debugfs").args(["-R", &format!("stat {name}")]).arg(&image).succeed().stdout;
        stat.split_whitespace().nth(1).unwrap().to_owned()
    };
    let (deleted, cut) = (number("deleted"), number("cut"));
    // The list: the super block → the deleted one → the one to be cut to 10,000 bytes.
    debugfs(
        &image,
        &format!(
            "unlink deleted\nsif <{deleted}> links_count 0\nsif <{deleted}> dtime {cut}\nsif <{cut}> size 10000\nssv last_orphan {deleted}\n"
        ),
    );
    let storage = FileStorage::new(std::fs::File::options().read(true).write(true).open(&image).unwrap()).unwrap();
    let mut filesystem = FileSystem::open(storage).unwrap();
    let free = filesystem.superblock().free_blocks();
    let attributes = ext4::Attributes { permissions: 0o755, uid: 0, gid: 0, modified: ext4::Time::default() };
    filesystem.create_directory(ext4::InodeNumber::ROOT, b"new", &attributes).unwrap();
    filesystem.flush().unwrap();
    // 49 blocks of the one, 39 of the other, one for the new directory.
    assert_eq!(filesystem.superblock().free_blocks(), free + 49 + 39 - 1);
    assert_eq!(filesystem.check().unwrap(), Vec::new());
    testkit::judge::assert_e2fsck_clean(&image, 0);
    let content = judge("debugfs").args(["-R", "cat cut"]).arg(&image).succeed().stdout_bytes;
    assert_eq!(content, vec![2; 10_000]);
}
