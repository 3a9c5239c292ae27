//! Storage that fails at one read or write, for each there is: every edit says so, and the image behind the
//! overlay stays as it was.

use std::sync::Arc;

use ext4::{Attributes, Error, FileSystem, InodeNumber, Special, Time};
use storage::{Failing, Memory, Overlay, ReadAt, WriteAt};
use testkit::judge::judge;

/// Room for everything that is changed.
const OVERLAY_BYTES: u64 = 64 << 20;

/// A file system with a directory with an index, `/many`, and a file of many extents, `/apart`.
fn image(options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    std::fs::create_dir_all(tree.join("many")).unwrap();
    for number in 0..120 {
        std::fs::write(tree.join(format!("many/file-{number}-{}", "x".repeat(60))), vec![1; number * 10]).unwrap();
    }
    std::fs::create_dir_all(tree.join("below/below")).unwrap();
    std::fs::write(tree.join("below/below/file"), "below").unwrap();
    std::fs::write(tree.join("apart"), vec![3; 700_000]).unwrap();
    std::fs::write(tree.join("whole"), vec![4; 50_000]).unwrap();
    let image = folder.path().join("image");
    judge("mke2fs")
        .args(["-q", "-F", "-b", "1024"])
        .args(options)
        .arg("-d")
        .arg(&tree)
        .arg(&image)
        .arg("4096k")
        .succeed();
    let holes: String = (0..40).map(|at| format!("punch /apart {} {}\n", at * 16 + 3, at * 16 + 5)).collect();
    let script = folder.path().join("holes");
    std::fs::write(&script, holes).unwrap();
    judge("debugfs").arg("-w").arg("-f").arg(&script).arg(&image).succeed();
    // mke2fs makes no indexes; e2fsck does.
    let indexed = judge("e2fsck").args(["-fyD"]).arg(&image).run();
    assert!(indexed.status.code().is_some_and(|code| code <= 1), "{indexed}");
    std::fs::read(&image).unwrap()
}

const ATTRIBUTES: Attributes =
    Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time { seconds: 1_700_000_000, nanoseconds: 0 } };

type Edit<S> = fn(&mut FileSystem<S>) -> Result<(), Error>;

/// One edit of each kind, in an order in which each finds what it needs.
fn edits<S: WriteAt>() -> Vec<Edit<S>> {
    fn inode<S: WriteAt>(filesystem: &FileSystem<S>, name: &str) -> Result<InodeNumber, Error> {
        Ok(filesystem.lookup(InodeNumber::ROOT, name.as_bytes())?.unwrap())
    }
    vec![
        |filesystem| {
            let many = inode(filesystem, "many")?;
            // As many as split a leaf of the index.
            for number in 0..16 {
                let name = format!("new-{number}-{}", "y".repeat(200));
                filesystem.create_file(many, name.as_bytes(), &ATTRIBUTES, 3000, &mut &[7; 3000][..])?;
            }
            Ok(())
        },
        |filesystem| {
            // Larger than any run of free blocks.
            let content: Arc<dyn ReadAt> = Arc::new(Memory::from(vec![8; 1_500_000]));
            filesystem.create_file_from(InodeNumber::ROOT, b"large", &ATTRIBUTES, &content).map(drop)
        },
        |filesystem| filesystem.create_directory(InodeNumber::ROOT, b"directory", &ATTRIBUTES).map(drop),
        |filesystem| filesystem.create_symlink(InodeNumber::ROOT, b"short", b"many", &ATTRIBUTES).map(drop),
        |filesystem| filesystem.create_symlink(InodeNumber::ROOT, b"long", &[b't'; 200], &ATTRIBUTES).map(drop),
        |filesystem| filesystem.create_special(InodeNumber::ROOT, b"fifo", Special::Fifo, &ATTRIBUTES).map(drop),
        |filesystem| filesystem.link(inode(filesystem, "whole")?, inode(filesystem, "many")?, b"another name"),
        |filesystem| filesystem.write_file_at(inode(filesystem, "apart")?, 1000, &[9; 30_000]),
        |filesystem| filesystem.punch_hole(inode(filesystem, "apart")?, 100_500..400_100),
        |filesystem| filesystem.truncate(inode(filesystem, "apart")?, 500_123),
        |filesystem| filesystem.preallocate(inode(filesystem, "whole")?, 40_000..80_000),
        |filesystem| filesystem.set_attributes(inode(filesystem, "whole")?, &ATTRIBUTES),
        |filesystem| filesystem.set_xattr(inode(filesystem, "whole")?, b"user.small", b"in the inode"),
        |filesystem| filesystem.set_xattr(inode(filesystem, "whole")?, b"user.large", &[b'v'; 700]),
        |filesystem| filesystem.remove_xattr(inode(filesystem, "whole")?, b"user.small"),
        |filesystem| {
            let many = inode(filesystem, "many")?;
            let name = format!("file-7-{}", "x".repeat(60));
            filesystem.rename(many, name.as_bytes(), InodeNumber::ROOT, b"whole")
        },
        |filesystem| filesystem.remove_file(InodeNumber::ROOT, b"apart"),
        |filesystem| filesystem.remove_directory(InodeNumber::ROOT, b"directory"),
        |filesystem| filesystem.remove_tree(InodeNumber::ROOT, b"below"),
        |filesystem| filesystem.check().map(drop),
    ]
}

fn overlay<B: ReadAt>(base: B) -> Overlay<B> {
    Overlay::new(base, OVERLAY_BYTES, Box::new(|| Err(std::io::ErrorKind::StorageFull.into())))
}

/// Every edit, each on a file system that is opened anew: nothing is in memory before it.
fn build<S: WriteAt>(storage: &S) -> Result<(), Error> {
    for edit in edits() {
        let mut filesystem = FileSystem::open(storage)?;
        edit(&mut filesystem)?;
        filesystem.flush()?;
    }
    Ok(())
}

/// Runs `build` on storage that fails at its first, second, … operation, until none fails.
fn fail_everywhere<S: WriteAt>(what: &str, storage: impl Fn(u64) -> (Arc<S>, Box<dyn Fn() -> bool>)) {
    for number in 1.. {
        let (storage, has_failed) = storage(number);
        let result = build(&storage);
        if !has_failed() {
            assert!(result.is_ok(), "{what}: {}", result.unwrap_err());
            assert!(number > 50, "{what}: there were {number} operations only");
            return;
        }
        assert!(matches!(result, Err(Error::Storage(_))), "{what}: operation {number}: {result:?}");
    }
}

#[test]
fn each_read_and_each_write_that_fails_is_told_and_the_base_stays() {
    for options in
        [&["-t", "ext4", "-O", "metadata_csum,64bit"][..], &["-t", "ext4", "-O", "^metadata_csum,^has_journal"]]
    {
        let image = image(options);
        let base = Arc::new(Memory::from(image.clone()));
        // Between the file system and the overlay: every read and write that an edit makes.
        fail_everywhere(&format!("{options:?} above"), |number| {
            let storage = Arc::new(Failing::new(overlay(Arc::clone(&base)), number));
            let failing = Arc::clone(&storage);
            (storage, Box::new(move || failing.has_failed()))
        });
        // Below the overlay: every read of the base.
        fail_everywhere(&format!("{options:?} below"), |number| {
            let failing = Arc::new(Failing::new(Arc::clone(&base), number));
            let storage = Arc::new(overlay(Arc::clone(&failing)));
            (storage, Box::new(move || failing.has_failed()))
        });
        let after = Arc::into_inner(base).unwrap().into_bytes();
        assert!(after == image, "{options:?}: the base was written to");
    }
}

#[test]
fn a_dirty_journal_on_storage_that_fails_is_replayed_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (image, content) = (folder.path().join("image"), folder.path().join("content"));
    judge("mke2fs").args(["-q", "-F", "-t", "ext4", "-b", "1024"]).arg(&image).arg("8192k").succeed();
    std::fs::write(&content, [5; 3072]).unwrap();
    let script = folder.path().join("commands");
    std::fs::write(&script, format!("jo -c\njw -b 8000-8002 {}\njc\n", content.display())).unwrap();
    judge("debugfs").arg("-w").arg("-f").arg(&script).arg(&image).succeed();
    let base = Arc::new(Memory::from(std::fs::read(&image).unwrap()));
    let mut replayed = false;
    for number in 1.. {
        let storage = Arc::new(Failing::new(overlay(Arc::clone(&base)), number));
        let result = FileSystem::open(Arc::clone(&storage));
        if !storage.has_failed() {
            replayed = result.unwrap().journal_replayed();
            break;
        }
        assert!(matches!(result, Err(Error::Storage(_))), "operation {number}: {:?}", result.err());
    }
    assert!(replayed);
}
