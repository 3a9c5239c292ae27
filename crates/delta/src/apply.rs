//! Applying a delta, and what one says about itself.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;

use sha2::{Digest as _, Sha256};
use storage::{ReadAt, Window};

use crate::compare::is_zero;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::instruction::{Instruction, Reader, combine};
use crate::layout::{HEADER_BYTES, Header};
use crate::sparse;
use crate::{Info, Summary};

/// How much is in memory at a time, in bytes. A multiple of a word.
const STEP_BYTES: u64 = 256 << 10;
/// Blocks of the new file that are all zeros and of this size take no room.
const HOLE_BYTES: usize = 4096;

/// Reads all of `delta` and says what is in it.
///
/// # Errors
///
/// As [`apply`], but for what only the base shows.
pub fn info(delta: &dyn ReadAt, limit_bytes: u64) -> Result<Info> {
    let header = Header::read(delta)?;
    let mut instructions = open(delta, header, limit_bytes)?;
    let mut buffer = vec![0; STEP_BYTES as usize];
    while let Some(instruction) = instructions.next()? {
        if let Instruction::Literal { length_bytes } | Instruction::Words { length_bytes, .. } = instruction {
            steps(length_bytes, |_, length| instructions.read(&mut buffer[..length]))?;
        }
    }
    Ok(header.info(instructions.summary))
}

/// Makes in `target`, which has to be empty, the file that `delta` was made of, of at most `limit_bytes`.
///
/// If there is no error, the base is the delta's and the bytes of `target` have the delta's digest.
///
/// # Errors
///
/// A delta that breaks the rules, another base, another result, and what cannot be read or written. `target` then has
/// unspecified bytes.
pub fn apply(base: &dyn ReadAt, delta: &dyn ReadAt, target: &File, limit_bytes: u64) -> Result<Info> {
    let header = Header::read(delta)?;
    let (expected, found) = (header.base_bytes.get(), base.size_bytes());
    if expected != found {
        return Err(Error::BaseSize { expected, found });
    }
    let instructions = open(delta, header, limit_bytes)?;
    let (base_digest, made) = std::thread::scope(|scope| {
        let base_digest = scope.spawn(|| Digest::of(base).map_err(Error::Base));
        let made = carry_out(base, instructions, target);
        (base_digest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), made)
    });
    // First, because it may be why the other failed.
    let (expected, found) = (Digest(header.base_sha256), base_digest?);
    if expected != found {
        return Err(Error::BaseDigest { expected, found });
    }
    let (summary, found) = made?;
    let expected = Digest(header.image_sha256);
    if expected != found {
        return Err(Error::ImageDigest { expected, found });
    }
    target.set_len(header.image_bytes.get()).map_err(Error::Write)?;
    Ok(header.info(summary))
}

fn open(delta: &dyn ReadAt, header: Header, limit_bytes: u64) -> Result<Reader<impl BufRead>> {
    let image_bytes = header.image_bytes.get();
    if image_bytes > limit_bytes {
        return Err(Error::TooLarge { image_bytes, limit_bytes });
    }
    let frame = Window::new(delta, HEADER_BYTES, delta.size_bytes() - HEADER_BYTES).map_err(Error::Delta)?;
    Reader::new(BufReader::new(storage::Reader::new(frame)), header)
}

/// The new file, from front to back.
struct Made<'a> {
    target: &'a File,
    at: u64,
    hasher: Sha256,
}

impl Made<'_> {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        for block in bytes.chunks(STEP_BYTES as usize / 4) {
            // The file is new: what is not written is zeros.
            if block.len() < HOLE_BYTES || !is_zero(block) {
                self.target.write_all_at(block, self.at).map_err(Error::Write)?;
            }
            self.at += block.len() as u64;
        }
        Ok(())
    }
}

fn carry_out<R: BufRead>(base: &dyn ReadAt, mut instructions: Reader<R>, target: &File) -> Result<(Summary, Digest)> {
    let mut made = Made { target, at: 0, hasher: Sha256::new() };
    let mut buffer = vec![0; STEP_BYTES as usize];
    let mut words = vec![0; STEP_BYTES as usize];
    let zeros = vec![0; STEP_BYTES as usize];
    while let Some(instruction) = instructions.next()? {
        match instruction {
            Instruction::Copy { base_offset, length_bytes } => steps(length_bytes, |done, length| {
                sparse::read(base, base_offset + done, &mut buffer[..length]).map_err(Error::Base)?;
                made.push(&buffer[..length])
            })?,
            Instruction::Literal { length_bytes } => steps(length_bytes, |_, length| {
                instructions.read(&mut buffer[..length])?;
                made.push(&buffer[..length])
            })?,
            Instruction::Zeros { length_bytes } => steps(length_bytes, |_, length| made.push(&zeros[..length]))?,
            Instruction::Words { base_offset, length_bytes } => steps(length_bytes, |done, length| {
                base.read_at(base_offset + done, &mut words[..length]).map_err(Error::Base)?;
                instructions.read(&mut buffer[..length])?;
                combine(&mut buffer[..length], &words[..length], u64::wrapping_add);
                made.push(&buffer[..length])
            })?,
        }
    }
    Ok((instructions.summary, Digest(made.hasher.finalize().into())))
}

/// Calls `step` for parts of `length_bytes`, with how much is done and the size of the part.
fn steps(length_bytes: u64, mut step: impl FnMut(u64, usize) -> Result<()>) -> Result<()> {
    let mut done = 0;
    while done < length_bytes {
        let length = (length_bytes - done).min(STEP_BYTES);
        step(done, length as usize)?;
        done += length;
    }
    Ok(())
}
