//! Storage that fails at one read or write, for each there is: every edit says so, and the image behind the overlay
//! stays as it was. And file systems that are full.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use storage::{Failing, FileStorage, Memory, Overlay, ReadAt, WriteAt};
use xfs::{Error, FileKind, FileSystem, Special};

use crate::support::{Disk, Draw, KINDS, attributes, is_sound, make, open};

/// Room for everything that is changed.
const OVERLAY_BYTES: u64 = 64 << 20;

type Edit<S> = fn(&mut FileSystem<S>, u64) -> Result<(), Error>;

/// One edit of each kind, in an order in which each finds what it needs.
fn edits<S: WriteAt>() -> Vec<Edit<S>> {
    fn inode<S: WriteAt>(disk: &FileSystem<S>, root: u64, name: &str) -> Result<u64, Error> {
        Ok(disk.lookup(root, name.as_bytes())?.unwrap().0)
    }
    vec![
        |disk, root| {
            let many = inode(disk, root, "many")?;
            for number in 0..60 {
                let name = format!("new-{number}-{}", "y".repeat(100));
                disk.create_file(many, name.as_bytes(), &attributes(1), 3000, &mut &[7; 3000][..])?;
            }
            Ok(())
        },
        |disk, root| {
            let content: Arc<dyn ReadAt> = Arc::new(Memory::from(vec![8; 1_500_000]));
            disk.create_file_from(root, b"large", &attributes(1), &content).map(drop)
        },
        |disk, root| disk.create_directory(root, b"directory", &attributes(2)).map(drop),
        |disk, root| disk.create_symlink(root, b"long", &[b't'; 800], &attributes(3)).map(drop),
        |disk, root| disk.create_special(root, b"fifo", Special::Fifo, &attributes(4)).map(drop),
        |disk, root| disk.link(inode(disk, root, "whole")?, inode(disk, root, "many")?, b"another name"),
        |disk, root| disk.write_file_at(inode(disk, root, "apart")?, 1000, &[9; 30_000]),
        |disk, root| disk.truncate(inode(disk, root, "apart")?, 500_123),
        |disk, root| disk.set_attributes(inode(disk, root, "whole")?, &attributes(5)),
        |disk, root| disk.set_xattr(inode(disk, root, "whole")?, b"user.large", &[b'v'; 9000]),
        |disk, root| disk.remove_xattr(inode(disk, root, "whole")?, b"user.large"),
        |disk, root| disk.rename((inode(disk, root, "many")?, b"file-7"), (root, b"whole")),
        |disk, root| disk.remove_file(root, b"apart"),
        |disk, root| disk.remove_tree(root, b"many"),
        |disk, _| disk.grow(disk.superblock().blocks() + 20_000),
    ]
}

/// Every edit, each on a file system that is opened anew: nothing is in memory before it.
fn build<S: WriteAt>(storage: &S) -> Result<(), Error> {
    for edit in edits() {
        let mut disk = FileSystem::open(storage)?;
        let root = disk.superblock().root();
        edit(&mut disk, root)?;
        disk.flush()?;
    }
    Ok(())
}

/// Runs `build` on storage that fails at its first operation, then at later ones, until none fails. Of the first
/// ones, each fails once; then every twentieth: reading is the same again and again.
fn fail_everywhere<S: WriteAt>(what: &str, storage: impl Fn(u64) -> (Arc<S>, Box<dyn Fn() -> bool>)) {
    let mut number = 1;
    loop {
        let (storage, has_failed) = storage(number);
        let result = build(&storage);
        if !has_failed() {
            assert!(result.is_ok(), "{what}: {}", result.unwrap_err());
            assert!(number > 100, "{what}: there were {number} operations only");
            return;
        }
        assert!(matches!(result, Err(Error::Storage(_))), "{what}: operation {number}: {result:?}");
        number += if number < 100 { 1 } else { 20 };
    }
}

fn base(folder: &Path) -> std::path::PathBuf {
    let path = make(folder, "disk", KINDS[1].1);
    let mut disk = open(&path);
    let root = disk.superblock().root();
    let many = disk.create_directory(root, b"many", &attributes(1)).unwrap();
    for number in 0..200 {
        disk.create_file(many, format!("file-{number}").as_bytes(), &attributes(2), 9, &mut &b"some text"[..]).unwrap();
    }
    disk.create_file(root, b"whole", &attributes(3), 50_000, &mut &[4; 50_000][..]).unwrap();
    let apart = disk.create_file(root, b"apart", &attributes(4), 0, &mut &b""[..]).unwrap();
    for number in 0..300 {
        disk.write_file_at(apart, number * 9000, b"data").unwrap();
    }
    disk.flush().unwrap();
    File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    path
}

fn overlay<B: ReadAt>(base: B) -> Overlay<B> {
    Overlay::new(base, OVERLAY_BYTES, Box::new(|| Err(std::io::ErrorKind::StorageFull.into())))
}

#[test]
fn every_read_and_write_that_fails_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = base(folder.path());
    let file = || FileStorage::new(File::open(&path).unwrap()).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fail_everywhere("below the overlay", |number| {
        let base = Arc::new(Failing::new(file(), number));
        let failing = Arc::clone(&base);
        (Arc::new(overlay(base)), Box::new(move || failing.has_failed()))
    });
    fail_everywhere("above it", |number| {
        let failing = Arc::new(Failing::new(overlay(file()), number));
        (Arc::clone(&failing), Box::new(move || failing.has_failed()))
    });
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified);
}

/// Fills a file system with everything that takes room until nothing goes any more. What is refused has changed
/// nothing, and all of it can be stored.
#[test]
fn a_full_file_system_refuses_and_stays_sound() {
    let folder = tempfile::tempdir().unwrap();
    // Much of a disk is written.
    let kinds = if cfg!(feature = "full-tests") { &KINDS[..] } else { &KINDS[1..2] };
    for (what, options) in kinds {
        let path = make(folder.path(), "disk", options);
        let mut disk = open(&path);
        let root = disk.superblock().root();
        let mut draw = Draw(7);
        // Most of it at once.
        let block = u64::from(disk.superblock().block_size_bytes());
        let most = disk.free_blocks() * 9 / 10 * block;
        disk.create_file(root, b"most", &attributes(1), most, &mut std::io::Read::take(std::io::repeat(1), most))
            .unwrap();
        let directory = disk.create_directory(root, b"directory", &attributes(1)).unwrap();
        let (mut refused, mut made, mut number) = (0, 0, 0);
        while refused < 40 {
            number += 1;
            let name = format!("a name that takes some room of its own {number}");
            let before = (disk.free_blocks(), made);
            let length = draw.below(20) * block;
            let done = match number % 5 {
                0 => disk.create_directory(directory, name.as_bytes(), &attributes(2)).map(drop),
                1 => disk.create_symlink(directory, name.as_bytes(), &[b's'; 900], &attributes(2)).map(drop),
                _ => {
                    let mut content = std::io::Read::take(std::io::repeat(2), length);
                    disk.create_file(directory, name.as_bytes(), &attributes(2), length, &mut content).map(drop)
                }
            };
            match done {
                Ok(()) => made += 1,
                Err(Error::NoSpace { needed, available, .. }) => {
                    refused += 1;
                    assert!(needed > available, "{what}: {needed} needed, {available} free");
                    let after = (disk.free_blocks(), disk.read_directory(directory).unwrap().len());
                    assert_eq!(after, before, "{what}: refused, but something has changed");
                }
                Err(error) => panic!("{what}: {error}"),
            }
            if number % 300 == 0 {
                disk.flush().unwrap();
                disk = open(&path);
            }
        }
        disk.flush().unwrap();
        is_sound(&path, &format!("{what}: full"));
        assert!(number > 60, "{what}: {number} edits only");
        empty(&path, what);
    }
}

/// What was put into a full file system can be removed again.
fn empty(path: &Path, what: &str) {
    let mut disk: Disk = open(path);
    let root = disk.superblock().root();
    for entry in disk.read_directory(root).unwrap() {
        match entry.kind {
            Some(FileKind::Directory) => disk.remove_tree(root, &entry.name).unwrap(),
            _ => disk.remove_file(root, &entry.name).unwrap(),
        }
    }
    disk.flush().unwrap();
    is_sound(path, &format!("{what}: emptied"));
}
