//! File systems with changed metadata under checksums that are right again, read and edited: whatever the bytes are, nothing
//! panics, hangs or takes all memory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::{FileStorage, Overlay, WriteAt};
use testkit::hostile::{Piece, Random, confined, mutated, xfs_group_pieces, xfs_pieces};
use xfs::{Expectations, Expected, FileKind, FileSystem};

use crate::support::{KINDS, attributes, make, open};

/// Without root, in `./test`, and in `./test long`.
const ROUNDS: [u64; 3] = [40, 250, 5000];

type Disk = FileSystem<Arc<Overlay<FileStorage>>>;

/// A disk with something of everything.
fn filled(folder: &Path, options: &[&str]) -> PathBuf {
    let path = make(folder, "filled", options);
    let mut disk = open(&path);
    let root = disk.superblock().root();
    let content = vec![9; 40_000];
    for (index, count) in [3, 60, 900].into_iter().enumerate() {
        let directory = disk.create_directory(root, format!("directory{index}").as_bytes(), &attributes(1)).unwrap();
        for number in 0..count {
            let name = format!("a name of some length {number}");
            disk.create_file(directory, name.as_bytes(), &attributes(2), 5, &mut &b"bytes"[..]).unwrap();
        }
    }
    let sparse = disk.create_file(root, b"sparse", &attributes(3), 0, &mut &b""[..]).unwrap();
    for number in 0..400 {
        disk.write_file_at(sparse, number * 140_000, b"data").unwrap();
    }
    let file = disk.create_file(root, b"file", &attributes(4), 40_000, &mut &content[..]).unwrap();
    disk.create_symlink(root, b"link", &[b'l'; 900], &attributes(5)).unwrap();
    for number in 0..60 {
        disk.set_xattr(file, format!("user.n{number}").as_bytes(), &content[..number * 90]).unwrap();
    }
    disk.flush().unwrap();
    path
}

/// All names, with their directories, a part of them.
fn names(disk: &Disk) -> Vec<(u64, Vec<u8>, u64)> {
    let mut found = Vec::new();
    let mut left = vec![disk.superblock().root()];
    while let (Some(directory), true) = (left.pop(), found.len() < 3000) {
        for entry in disk.read_directory(directory).unwrap_or_default() {
            if entry.kind == Some(FileKind::Directory) {
                left.push(entry.inode);
            }
            found.push((directory, entry.name, entry.inode));
        }
    }
    found
}

/// Edits what is there, as far as it goes.
fn edit(disk: &mut Disk, random: &mut Random) {
    let names = names(disk);
    let root = disk.superblock().root();
    let content = vec![1; 30_000];
    let _ = disk.create_file(root, b"new", &attributes(1), 30_000, &mut &content[..]);
    let _ = disk.create_directory(root, b"new directory", &attributes(1));
    for _ in 0..12 {
        let Some((directory, name, inode)) = names.get(random.below(names.len().max(1))) else { break };
        let (directory, inode) = (*directory, *inode);
        let _ = match random.below(9) {
            0 => disk.remove_file(directory, name),
            1 => disk.remove_tree(directory, name),
            2 => disk.rename((directory, name), (root, b"renamed")),
            3 => disk.write_file_at(inode, random.number() % 3_000_000, &content),
            4 => disk.truncate(inode, random.number() % 300_000),
            5 => disk.set_xattr(inode, b"trusted.new", &content[..random.below(3000)]),
            6 => disk.set_attributes(inode, &attributes(7)),
            7 => disk.link(inode, root, b"linked"),
            _ => disk.create_file(directory, b"one more", &attributes(8), 9, &mut &content[..9]).map(drop),
        };
    }
    if random.below(4) == 0 {
        let _ = disk.grow(disk.superblock().blocks() + 100_000);
    }
    let _ = disk.flush();
}

fn survive(path: &Path, pieces: &[Piece]) {
    assert!(pieces.len() > 15, "only {} pieces of metadata were found", pieces.len());
    let (mut opened, rounds) = (0, testkit::rounds(cfg!(feature = "full-tests"), ROUNDS));
    for round in 1..=rounds {
        let mut random = Random(round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let overlay = || {
            let file = FileStorage::new(File::open(path).unwrap()).unwrap();
            Arc::new(Overlay::new(file, 64 << 20, Box::new(|| Err(std::io::ErrorKind::Unsupported.into()))))
        };
        let disk = overlay();
        let read = |offset: u64, bytes: &mut [u8]| storage::ReadAt::read_at(&disk, offset, bytes).unwrap();
        for (offset, bytes) in mutated(pieces, &mut random, &read) {
            disk.write_at(offset, &bytes).unwrap();
        }
        let Ok(mut mutant) = FileSystem::open(Arc::clone(&disk)) else { continue };
        opened += 1;
        edit(&mut mutant, &mut random);
        let before = FileSystem::open(overlay()).unwrap();
        let inode = |_, number: u64| if number.is_multiple_of(3) { Expected::Nothing } else { Expected::Anything };
        let all = 0..mutant.superblock().blocks().min(200_000);
        let _ = xfs::account(&before, &mutant, &[all], &Expectations { inode: &inode, is_strict: true });
    }
    assert!(opened > rounds / 2, "only {opened} of {rounds} could be opened");
}

#[test]
fn mutated_files_and_directories() {
    confined("hostile::mutated_files_and_directories", || {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path(), KINDS[1].1);
        survive(&path, &xfs_pieces(&fs::read(&path).unwrap()));
    });
}

#[test]
fn mutated_groups_and_trees() {
    confined("hostile::mutated_groups_and_trees", || {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path(), KINDS[1].1);
        survive(&path, &xfs_group_pieces(&fs::read(&path).unwrap()));
    });
}
