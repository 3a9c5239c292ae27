//! Deltas there and back, and deltas that mean harm.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod hostile;
mod round_trip;

use std::fs::File;
use std::os::unix::fs::FileExt;

use delta::{DEFAULT_LIMIT_BYTES, Error, Summary};
use storage::{FileStorage, Memory};

/// A delta's bytes.
fn make(base: &[u8], image: &[u8]) -> (Vec<u8>, Summary) {
    let file = tempfile::tempfile().unwrap();
    let summary = delta::make(&Memory::from(base.to_vec()), &Memory::from(image.to_vec()), &file).unwrap().summary;
    (content(&file), summary)
}

fn apply(base: &[u8], delta: &[u8]) -> Result<Vec<u8>, Error> {
    let file = tempfile::tempfile().unwrap();
    let (base, delta) = (Memory::from(base.to_vec()), Memory::from(delta.to_vec()));
    delta::apply(&base, &delta, &file, DEFAULT_LIMIT_BYTES)?;
    Ok(content(&file))
}

fn content(file: &File) -> Vec<u8> {
    let storage = FileStorage::new(file.try_clone().unwrap()).unwrap();
    let mut bytes = vec![0; storage::ReadAt::size_bytes(&storage) as usize];
    storage.file().read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Bytes that look like nothing, the same ones for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}
