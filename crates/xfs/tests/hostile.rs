//! File systems with changed metadata under checksums that are right again, read and edited: whatever the bytes are,
//! nothing panics, hangs or takes all memory.

#[path = "../../../fuzz/src/input.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of another program")]
mod input;
#[path = "../../../fuzz/src/xfs_edit.rs"]
#[allow(clippy::expect_used, unreachable_pub, missing_docs, reason = "a part of another program")]
mod xfs_edit;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::{FileStorage, Overlay, WriteAt};
use testkit::hostile::{Checksum, Piece, Random, confined, mutated, seal, xfs_group_pieces, xfs_pieces};
use xfs::FileSystem;

use crate::support::{KINDS, attributes, make, open};

/// Without root, in `./test`, and in `./test long`.
const ROUNDS: [u64; 3] = [40, 250, 5000];

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
        xfs_edit::exercise(&mut mutant, 12, &mut |below| random.below(below.max(1)));
        xfs_edit::account(&FileSystem::open(overlay()).unwrap(), &mutant);
    }
    assert!(opened > rounds / 2, "only {opened} of {rounds} could be opened");
}

/// Sectors larger than blocks: the headers of a group that is added would not fit into it.
#[test]
fn sectors_are_not_larger_than_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let path = make(folder.path(), "disk", KINDS[3].1);
    let disk = File::options().read(true).write(true).open(&path).unwrap();
    let mut sector = vec![0; 32768];
    disk.read_exact_at(&mut sector, 0).unwrap();
    // `sb_sectsize` and `sb_sectlog`.
    sector[102..104].copy_from_slice(&32768_u16.to_be_bytes());
    sector[121] = 15;
    seal(&mut sector, Checksum::Within(224));
    disk.write_all_at(&sector, 0).unwrap();
    let error = FileSystem::open(FileStorage::new(disk).unwrap()).err().unwrap().to_string();
    assert!(error.ends_with("sb_sectsize=32768, more than sb_blocksize=1024"), "{error}");
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

/// The inputs that the fuzzer kept, once more, and some that are made up.
#[test]
fn each_input_of_the_corpus_ends_in_an_answer_or_an_error() {
    for number in 0..60 {
        xfs_edit::run(&[number, number / 3, 0, number, 4, 5, 6, 7, 8, 9, number / 2, 1, 1, 1, 1, 1, 1, 1, 1]);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/xfs_tree");
    let mut inputs: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() > 10, "{} has few inputs", folder.display());
    inputs.iter().for_each(|input| xfs_edit::run(&fs::read(input).unwrap()));
}
