//! Bytes that nobody should trust: every one is an answer or an error, and never more than that.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod exercise;

use exercise::{broken, image, read_all};
use iso9660::{Iso, Names};
use storage::Memory;

#[test]
fn any_byte_can_be_any_other() {
    let image = image();
    assert_eq!(read_all(image.clone()), 18);
    for at in (16 * 2048..image.len()).filter(|&at| image[at] != 0 || at % 64 < 2) {
        for value in [0, 1, 0x7f, 0x80, 0xff, image[at] ^ 1, image[at].wrapping_add(1)] {
            let mut changed = image.clone();
            changed[at] = value;
            read_all(changed);
        }
    }
}

#[test]
fn an_image_can_end_anywhere() {
    let image = image();
    for end in (0..image.len()).step_by(97) {
        read_all(image[..end].to_vec());
    }
}

#[test]
fn a_directory_that_is_in_itself_is_met_once() {
    let mut image = image();
    let root = u32::from_le_bytes(image[16 * 2048 + 0x9e..][..4].try_into().unwrap());
    // Plain names are sorted: `.`, `..`, `A`.
    let directory = root as usize * 2048;
    let second = directory + usize::from(image[directory]);
    let third = second + usize::from(image[second]);
    assert_eq!(image[third + 33], b'A');
    image[third + 2..third + 6].copy_from_slice(&root.to_le_bytes());
    let iso = Iso::open(Memory::from(image)).unwrap();
    let error = iso.walk(Names::RockRidge, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.to_string(), format!("directory in block {root}: the tree contains it more than once"));
}

#[test]
fn a_continuation_of_itself_ends() {
    let mut image = image();
    // The entry that continues the long name's record becomes one that is continued by itself.
    let at = image.windows(4).rposition(|window| window == b"CE\x1c\x01").unwrap();
    let entry: [u8; 28] = image[at..at + 28].try_into().unwrap();
    let block = u32::from_le_bytes(entry[4..8].try_into().unwrap()) as usize;
    let offset = u32::from_le_bytes(entry[12..16].try_into().unwrap()) as usize;
    image[block * 2048 + offset..][..28].copy_from_slice(&entry);
    let iso = Iso::open(Memory::from(image)).unwrap();
    let error = iso.walk(Names::RockRidge, &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("continuation number 9"), "{error}");
}

/// What the fuzzer found to be different from all else.
#[test]
fn the_corpus_breaks_nothing() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/iso9660");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        broken(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0);
}
