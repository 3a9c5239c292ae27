//! Built images: directories that share their blocks, that are in themselves, and claims of size.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use iso9660::{Iso, Names};
use storage::Memory;

const BLOCK: usize = 2048;
/// Where the root directory is.
const ROOT: usize = 18;

/// A directory record; ECMA-119, 9.1.
fn record(name: &[u8], block: usize, size_bytes: u32, is_directory: bool) -> Vec<u8> {
    let padding = usize::from(name.len().is_multiple_of(2));
    let mut bytes = vec![0; 33 + name.len() + padding];
    bytes[0] = bytes.len() as u8;
    bytes[2..6].copy_from_slice(&(block as u32).to_le_bytes());
    bytes[6..10].copy_from_slice(&(block as u32).to_be_bytes());
    bytes[10..14].copy_from_slice(&size_bytes.to_le_bytes());
    bytes[14..18].copy_from_slice(&size_bytes.to_be_bytes());
    bytes[25] = if is_directory { 2 } else { 0 };
    bytes[28..32].copy_from_slice(&[1, 0, 0, 1]);
    bytes[32] = name.len() as u8;
    bytes[33..33 + name.len()].copy_from_slice(name);
    bytes
}

/// An image of `blocks` whose root has `entries`, a block or more of them.
fn image(blocks: usize, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut directory = Vec::new();
    for entry in [record(&[0], ROOT, 0, true), record(&[1], ROOT, 0, true)].iter().chain(entries) {
        let left = BLOCK - directory.len() % BLOCK;
        if entry.len() > left {
            directory.resize(directory.len() + left, 0);
        }
        directory.extend(entry);
    }
    directory.resize(directory.len().next_multiple_of(BLOCK), 0);
    let size_bytes = directory.len() as u32;
    let mut bytes = vec![0; blocks * BLOCK];
    let primary = &mut bytes[16 * BLOCK..17 * BLOCK];
    primary[..7].copy_from_slice(b"\x01CD001\x01");
    primary[128..132].copy_from_slice(&[0, 8, 8, 0]);
    let root = record(&[0], ROOT, size_bytes, true);
    primary[156..156 + root.len()].copy_from_slice(&root);
    bytes[17 * BLOCK..][..7].copy_from_slice(b"\xffCD001\x01");
    bytes[ROOT * BLOCK..][..directory.len()].copy_from_slice(&directory);
    bytes
}

fn walk(bytes: Vec<u8>) -> Result<usize, String> {
    let iso = Iso::open(Memory::from(bytes)).map_err(|error| error.to_string())?;
    let mut count = 0;
    iso.walk(Names::Plain, &mut |_, _| count += 1).map_err(|error| error.to_string())?;
    Ok(count)
}

#[test]
fn what_is_built_here_is_an_image() {
    let entries = [record(b"A", 40, 2048, true), record(b"B.;1", 41, 3, false)];
    assert_eq!(walk(image(64, &entries)), Ok(2));
}

/// Without a bound, 3,000 times 12 MiB.
#[test]
fn directories_that_share_their_blocks_are_read_up_to_a_bound() {
    let size_bytes = 12 << 20;
    let entries: Vec<Vec<u8>> =
        (0..3000_usize).map(|number| record(format!("D{number}").as_bytes(), 200 + number, size_bytes, true)).collect();
    let error = walk(image(10_000, &entries)).unwrap_err();
    assert!(error.contains("bytes of directories"), "{error}");
}

#[test]
fn a_directory_that_is_in_itself_or_in_two_others_is_refused() {
    for block in [ROOT, 40] {
        let entries = [record(b"A", 40, 2048, true), record(b"B", block, 2048, true)];
        let error = walk(image(64, &entries)).unwrap_err();
        assert_eq!(error, format!("directory in block {block}: the tree contains it more than once"));
    }
}

#[test]
fn claims_of_size_are_refused_before_anything_is_made_for_them() {
    for (block, size_bytes) in [(40, u32::MAX), (u32::MAX as usize, 2048), (40, 64 << 20), (63, 4096)] {
        let bytes = image(64, &[record(b"A", block, size_bytes, true)]);
        assert!(walk(bytes).is_err(), "{block} {size_bytes}");
        let iso = Iso::open(Memory::from(image(64, &[record(b"A", block, size_bytes, false)]))).unwrap();
        let file = iso.find(Names::Plain, &["A"]).unwrap();
        assert!(iso.content(&file).is_err(), "{block} {size_bytes}");
    }
}
