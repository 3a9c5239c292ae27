//! Deltas that are cut, changed, or built to do harm: an error each, and soon.

use std::io::Write;

use delta::{DEFAULT_LIMIT_BYTES, Error};
use storage::Memory;

use super::{apply, make, noise};

const COPY: u8 = 1;
const LITERAL: u8 = 2;
const ZEROS: u8 = 3;
const WORDS: u8 = 4;

/// A delta for a base of 1000 zeros that says it makes `image_bytes` bytes by `instructions`.
fn crafted(image_bytes: u64, instructions: &[u8]) -> Vec<u8> {
    framed(image_bytes, &zstd::bulk::compress(instructions, 3).unwrap())
}

fn framed(image_bytes: u64, frame: &[u8]) -> Vec<u8> {
    let (mut delta, _) = make(&[0; 1000], &[]);
    delta.truncate(96);
    delta[24..32].copy_from_slice(&image_bytes.to_le_bytes());
    delta.extend(frame);
    delta
}

fn number(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// What is said about a delta by those who apply it and by those who look at it.
fn refused(delta: &[u8]) -> String {
    let error = apply(&[0; 1000], delta).unwrap_err();
    let looked = delta::info(&Memory::from(delta.to_vec()), DEFAULT_LIMIT_BYTES);
    match (&error, looked) {
        (Error::ImageDigest { .. }, Ok(_)) => {}
        (_, looked) => assert_eq!(looked.unwrap_err().to_string(), error.to_string()),
    }
    error.to_string()
}

#[test]
fn a_delta_that_is_cut_or_changed_makes_nothing() {
    let base = noise(1, 20_000);
    let image = [&base[500..], &noise(2, 300), &[0; 9000]].concat();
    let (delta, _) = make(&base, &image);
    for length in 0..delta.len() {
        assert!(apply(&base, &delta[..length]).is_err(), "{length}");
    }
    for at in 0..delta.len() {
        let mut changed = delta.clone();
        changed[at] ^= 1 << (at % 8);
        // A bit that nothing reads changes nothing: then the result is the same.
        assert!(apply(&base, &changed).map_or(true, |made| made == image), "{at}");
    }
    assert!(matches!(apply(&base, &[&delta[..], b"x"].concat()), Err(Error::Corrupt { .. })));
}

#[test]
fn another_base_is_said_first() {
    let base = noise(1, 100_000);
    let (delta, _) = make(&base, &base[500..]);
    let mut other = base.clone();
    other[99] ^= 1;
    assert!(matches!(apply(&other, &delta), Err(Error::BaseDigest { .. })));
    assert!(matches!(apply(&base[1..], &delta), Err(Error::BaseSize { expected: 100_000, found: 99_999 })));
}

#[test]
fn each_rule_has_its_words() {
    let of = |kind: u8, numbers: &[u64]| [vec![kind], numbers.iter().flat_map(|&n| number(n)).collect()].concat();
    for (delta, words) in [
        (b"QFI\xfb".to_vec(), "does not begin with `IMGDELTA`"),
        (crafted(100, &[9, 1]), "the unknown kind 9"),
        (crafted(100, &of(LITERAL, &[0])), "an instruction of 0 bytes"),
        (crafted(100, &of(LITERAL, &[101])), "past the end of the file"),
        (crafted(100, &of(LITERAL, &[u64::MAX])), "past the end of the file"),
        (crafted(100, &[LITERAL, 100]), "it ends too early"),
        (crafted(100, &of(COPY, &[100, 901 << 1])), "past its end"),
        (crafted(100, &of(COPY, &[100, 1])), "past its end"),
        (crafted(100, &of(COPY, &[100, u64::MAX])), "past its end"),
        (crafted(100, &of(COPY, &[31, 0])), "which its kind cannot have"),
        (crafted(100, &of(ZEROS, &[100])), "which its kind cannot have"),
        (crafted(100, &of(WORDS, &[100, 0])), "which its kind cannot have"),
        (crafted(100, &[&[LITERAL][..], &[0xff; 11]].concat()), "more than 64 bits"),
        (crafted(100, &[0]), "there is the end"),
        (crafted(0, &[0, 0]), "bytes follow the last instruction"),
        (crafted(8192, &[of(ZEROS, &[8192]), vec![0]].concat()), "the delta says"),
        (crafted(1 << 41, &[]), "at most 274877906944 are allowed"),
        (crafted(u64::MAX, &[]), "more than 64 TiB"),
        (framed(100, b""), "it ends too early"),
        (framed(100, b"not zstd"), "zstd: "),
    ] {
        let said = refused(&delta);
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_million_small_instructions_are_refused_as_too_many() {
    let many = [[LITERAL, 1, 7]; 1_000_000].concat();
    assert!(refused(&crafted(2_000_000, &many)).contains("more instructions than"));
}

#[test]
fn a_window_that_takes_gigabytes_is_refused() {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    for block in 0..20 {
        encoder.write_all(&noise(block, 1 << 20)).unwrap();
    }
    assert!(refused(&framed(32 << 20, &encoder.finish().unwrap())).contains("zstd: "));
}

#[test]
fn a_literal_that_never_ends_is_no_larger_than_the_file() {
    // 64 MiB of zeros in a few KiB: more than the file that it makes.
    let bomb = crafted(4096, &[number_of(LITERAL, 4096), vec![0; 64 << 20]].concat());
    assert!(bomb.len() < 20_000);
    assert!(refused(&bomb).contains("bytes follow the last instruction"));
}

fn number_of(kind: u8, length: u64) -> Vec<u8> {
    [vec![kind], number(length)].concat()
}
