//! The account of what differs: what edits did is explained, and what somebody else did is not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use xfs::{Account, Expectations, Expected, FileKind, Side, account};

use crate::support::{Disk, KINDS, attributes, make, open};

/// What there is to see of an inode, but for content.
pub(crate) type Shown = BTreeMap<u64, String>;

pub(crate) fn shown(disk: &Disk) -> Shown {
    let mut all = BTreeMap::new();
    let root = disk.superblock().root();
    let mut left = vec![(root, root)];
    while let Some((parent, number)) = left.pop() {
        let inode = disk.inode(number).unwrap();
        let mut names = BTreeMap::new();
        let mut above = 0;
        if inode.kind().unwrap() == FileKind::Directory {
            above = parent;
            for entry in disk.read_directory(number).unwrap() {
                names.insert(entry.name, entry.inode);
                left.push((number, entry.inode));
            }
        }
        let own = (inode.permissions(), inode.uid(), inode.gid(), inode.size_bytes(), inode.links(), above);
        let times = (inode.accessed(), inode.modified(), inode.changed());
        let more = (inode.kind().unwrap(), inode.device(), disk.xattrs(number).unwrap());
        all.insert(number, format!("{own:?} {times:?} {more:?} {names:?}"));
    }
    all
}

/// The blocks that differ.
fn differing(old: &Path, new: &Path, block_bytes: u64) -> Vec<Range<u64>> {
    let [old, new] = [old, new].map(|path| File::open(path).unwrap());
    let size = new.metadata().unwrap().len();
    let (mut one, mut two) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut found = Vec::new();
    for start in (0..size).step_by(1 << 20) {
        let length = (size - start).min(1 << 20) as usize;
        let there = old.read_at(&mut one[..length], start).unwrap();
        one[there..].fill(0);
        new.read_exact_at(&mut two[..length], start).unwrap();
        let blocks = one[..length].chunks(block_bytes as usize).zip(two[..length].chunks(block_bytes as usize));
        for (index, _) in blocks.enumerate().filter(|(_, (one, two))| one != two) {
            let block = start / block_bytes + index as u64;
            found.push(block..block + 1);
        }
    }
    found
}

/// The account of two images, in which files may differ that are shown differently.
pub(crate) fn account_of(old: &Path, new: &Path) -> Account {
    let (before, after) = (open(old), open(new));
    let facts = [shown(&before), shown(&after)];
    let inode = |side: Side, number: u64| match facts[usize::from(side == Side::New)].get(&number) {
        Some(_) if facts[0].get(&number) != facts[1].get(&number) => Expected::Anything,
        // A name may have come and gone again.
        Some(facts) if facts.contains("Directory") => Expected::Entries,
        _ => Expected::Nothing,
    };
    let differing = differing(old, new, after.superblock().block_size_bytes().into());
    let found = account(&before, &after, &differing, &Expectations { inode: &inode, is_strict: true }).unwrap();
    assert!(!found.is_remade);
    let explained: u64 = found.blocks.values().sum();
    let count: u64 = differing.iter().map(|range| range.end - range.start).sum();
    assert!(explained + found.unexplained_blocks >= count, "{found:?}: {count} blocks differ");
    found
}

pub(crate) fn assert_explained(old: &Path, new: &Path, what: &str) {
    let found = account_of(old, new);
    assert!(found.unexplained.is_empty() && found.unexplained_blocks == 0, "{what}: {:#?}", found.unexplained);
}

#[test]
fn edits_are_explained_and_what_somebody_else_did_is_not() {
    let folder = tempfile::tempdir().unwrap();
    for (what, options) in KINDS {
        let [base, image] = ["base", "image"].map(|name| folder.path().join(name));
        make(folder.path(), "base", options);
        let mut disk = open(&base);
        let root = disk.superblock().root();
        let content = vec![3; 300_000];
        let kept = disk.create_directory(root, b"kept", &attributes(1)).unwrap();
        let neighbour =
            disk.create_file(kept, b"neighbour", &attributes(2), content.len() as u64, &mut &content[..]).unwrap();
        let gone = disk.create_directory(root, b"gone", &attributes(3)).unwrap();
        for number in 0..900 {
            disk.create_file(gone, format!("{number}").as_bytes(), &attributes(4), 9, &mut &b"some text"[..]).unwrap();
        }
        disk.flush().unwrap();
        let place = disk.content_extents(&disk.inode(neighbour).unwrap()).unwrap()[0].storage_offset;
        drop(disk);
        fs::copy(&base, &image).unwrap();
        let mut disk = open(&image);
        disk.remove_tree(root, b"gone").unwrap();
        let added = disk.create_directory(root, b"added", &attributes(5)).unwrap();
        disk.create_file(added, b"file", &attributes(6), content.len() as u64, &mut &content[..]).unwrap();
        disk.set_xattr(added, b"security.selinux", &[b'x'; 900]).unwrap();
        disk.flush().unwrap();
        drop(disk);
        assert_explained(&base, &image, what);
        // Grown, too.
        let grown = folder.path().join("grown");
        fs::copy(&image, &grown).unwrap();
        File::options().write(true).open(&grown).unwrap().set_len(800 << 20).unwrap();
        let mut disk = open(&grown);
        let block_bytes = u64::from(disk.superblock().block_size_bytes());
        disk.grow((800 << 20) / block_bytes).unwrap();
        disk.flush().unwrap();
        drop(disk);
        assert_explained(&base, &grown, &format!("{what}, grown"));

        let touch = |offset: u64| {
            let file = File::options().read(true).write(true).open(&image).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, offset).unwrap();
            file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
        };
        let said = |offset: u64, object: &str, problem: &str| {
            touch(offset);
            let found = account_of(&base, &image);
            touch(offset);
            let said: Vec<String> =
                found.unexplained.iter().map(|place| format!("{}: {}", place.object, place.problem)).collect();
            assert_eq!(said, [format!("{object}: {problem}")], "{what}");
            assert_eq!(found.unexplained_blocks, 1, "{what}");
        };
        said(place + 5000, &format!("inode {neighbour}"), "its blocks differ");
        assert_explained(&base, &image, what);
        // The last block, which is in no file, is free on both sides.
        let disk = open(&image);
        let end = disk.superblock().blocks() * block_bytes;
        drop(disk);
        touch(end - 1);
        assert_explained(&base, &image, what);
        touch(end - 1);
    }
}
