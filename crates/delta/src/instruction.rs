//! The instructions of a delta, one by one.

use std::io::{self, BufRead, Read, Write};

use zstd::stream::read::Decoder;

use crate::Summary;
use crate::error::{Error, Result};
use crate::layout::Header;

/// The largest window of the zstd frame, as a power of two: 8 MiB.
const MAX_WINDOW_LOG: u32 = 23;
/// How much zstd works: its default.
const LEVEL: i32 = 3;
/// The fewest bytes that are copied at once.
pub(crate) const MIN_COPY_BYTES: u64 = 32;
/// The unit of zeros.
pub(crate) const ZERO_BLOCK_BYTES: u64 = 4096;
/// The size of a word of a table.
pub(crate) const WORD_BYTES: u64 = 8;
/// An instruction makes so many bytes on average, but for the first [`SPARE_INSTRUCTIONS`].
const MEAN_BYTES: u64 = 16;
const SPARE_INSTRUCTIONS: u64 = 1024;
/// A number of 64 bits, seven in a byte.
const MAX_NUMBER_BYTES: u32 = 10;

const END: u8 = 0;
const COPY: u8 = 1;
const LITERAL: u8 = 2;
const ZEROS: u8 = 3;
const WORDS: u8 = 4;

/// What the next bytes of the file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instruction {
    /// Bytes of the base.
    Copy { base_offset: u64, length_bytes: u64 },
    /// Bytes that follow in the delta.
    Literal { length_bytes: u64 },
    /// Zeros.
    Zeros { length_bytes: u64 },
    /// Words of the base, to each of which the one that follows in the delta is added.
    Words { base_offset: u64, length_bytes: u64 },
}

/// Writes instructions.
pub(crate) struct Writer<W: Write> {
    frame: zstd::stream::write::Encoder<'static, W>,
    /// The end of what was last copied.
    expected: u64,
    pub(crate) summary: Summary,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(target: W) -> io::Result<Self> {
        let mut frame = zstd::stream::write::Encoder::new(target, LEVEL)?;
        // The same cluster may be there again far behind.
        frame.window_log(MAX_WINDOW_LOG)?;
        frame.long_distance_matching(true)?;
        Ok(Self { frame, expected: 0, summary: Summary::default() })
    }

    pub(crate) fn copy(&mut self, base_offset: u64, length_bytes: u64) -> io::Result<()> {
        self.summary.copied_bytes += length_bytes;
        self.add_from_base(COPY, base_offset, length_bytes)
    }

    pub(crate) fn literal(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.summary.literal_bytes += bytes.len() as u64;
        self.begin(LITERAL, bytes.len() as u64)?;
        self.frame.write_all(bytes)
    }

    pub(crate) fn zeros(&mut self, length_bytes: u64) -> io::Result<()> {
        self.summary.zero_bytes += length_bytes;
        self.begin(ZEROS, length_bytes)
    }

    /// `words` are the image's, `base` those of the base at `base_offset`.
    pub(crate) fn words(&mut self, base_offset: u64, base: &[u8], words: &[u8]) -> io::Result<()> {
        self.summary.table_bytes += words.len() as u64;
        self.add_from_base(WORDS, base_offset, words.len() as u64)?;
        let mut differences = words.to_vec();
        combine(&mut differences, base, u64::wrapping_sub);
        self.frame.write_all(&differences)
    }

    pub(crate) fn end(mut self) -> io::Result<(W, Summary)> {
        self.frame.write_all(&[END])?;
        Ok((self.frame.finish()?, self.summary))
    }

    fn add_from_base(&mut self, kind: u8, base_offset: u64, length_bytes: u64) -> io::Result<()> {
        self.begin(kind, length_bytes)?;
        // Both are below 2^63: offsets in files.
        let distance = base_offset.wrapping_sub(self.expected).cast_signed();
        self.expected = base_offset + length_bytes;
        self.number(((distance << 1) ^ (distance >> 63)).cast_unsigned())
    }

    fn begin(&mut self, kind: u8, length_bytes: u64) -> io::Result<()> {
        self.summary.instructions += 1;
        self.frame.write_all(&[kind])?;
        self.number(length_bytes)
    }

    fn number(&mut self, mut number: u64) -> io::Result<()> {
        while number >= 0x80 {
            self.frame.write_all(&[number as u8 | 0x80])?;
            number >>= 7;
        }
        self.frame.write_all(&[number as u8])
    }
}

/// Each big-endian word of `words` combined with the one of `base` in its place.
pub(crate) fn combine(words: &mut [u8], base: &[u8], how: impl Fn(u64, u64) -> u64) {
    let (words, _) = words.as_chunks_mut();
    for (word, base) in words.iter_mut().zip(base.as_chunks().0) {
        *word = how(u64::from_be_bytes(*word), u64::from_be_bytes(*base)).to_be_bytes();
    }
}

/// Reads instructions, and lets none pass that the header does not allow.
pub(crate) struct Reader<R: BufRead> {
    frame: Decoder<'static, R>,
    header: Header,
    expected: u64,
    /// How many bytes the instructions so far make.
    made_bytes: u64,
    pub(crate) summary: Summary,
}

impl<R: BufRead> Reader<R> {
    pub(crate) fn new(source: R, header: Header) -> Result<Self> {
        let open = || {
            let mut frame = Decoder::with_buffer(source)?.single_frame();
            frame.window_log_max(MAX_WINDOW_LOG)?;
            Ok(frame)
        };
        let frame = open().map_err(unreadable)?;
        Ok(Self { frame, header, expected: 0, made_bytes: 0, summary: Summary::default() })
    }

    /// The next instruction; nothing after the last one. What follows a literal or words has to be read before.
    pub(crate) fn next(&mut self) -> Result<Option<Instruction>> {
        let image_bytes = self.header.image_bytes.get();
        let kind = self.byte()?;
        if kind == END {
            return self.end().map(|()| None);
        }
        let length_bytes = self.number()?;
        self.summary.instructions += 1;
        if length_bytes == 0 || length_bytes > image_bytes - self.made_bytes {
            return Err(self.refuse(format!("an instruction of {length_bytes} bytes, past the end of the file")));
        }
        if self.summary.instructions > image_bytes / MEAN_BYTES + SPARE_INSTRUCTIONS {
            return Err(self.refuse("more instructions than a file of that size may have"));
        }
        let instruction = match kind {
            LITERAL => Instruction::Literal { length_bytes },
            ZEROS if length_bytes >= ZERO_BLOCK_BYTES => Instruction::Zeros { length_bytes },
            COPY if length_bytes >= MIN_COPY_BYTES => {
                Instruction::Copy { base_offset: self.base_offset(length_bytes)?, length_bytes }
            }
            WORDS if length_bytes.is_multiple_of(WORD_BYTES) => {
                Instruction::Words { base_offset: self.base_offset(length_bytes)?, length_bytes }
            }
            ZEROS | COPY | WORDS => {
                return Err(self.refuse(format!("an instruction of {length_bytes} bytes, which its kind cannot have")));
            }
            _ => return Err(self.refuse(format!("an instruction of the unknown kind {kind}"))),
        };
        self.made_bytes += length_bytes;
        *match instruction {
            Instruction::Copy { .. } => &mut self.summary.copied_bytes,
            Instruction::Literal { .. } => &mut self.summary.literal_bytes,
            Instruction::Zeros { .. } => &mut self.summary.zero_bytes,
            Instruction::Words { .. } => &mut self.summary.table_bytes,
        } += length_bytes;
        Ok(Some(instruction))
    }

    /// Fills `bytes` with what follows a literal or words.
    pub(crate) fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.frame.read_exact(bytes).map_err(unreadable)
    }

    fn base_offset(&mut self, length_bytes: u64) -> Result<u64> {
        let number = self.number()?;
        let distance = (number >> 1) ^ (number & 1).wrapping_neg();
        let base_offset = self.expected.wrapping_add(distance);
        match base_offset.checked_add(length_bytes) {
            Some(end) if end <= self.header.base_bytes.get() => {
                self.expected = end;
                Ok(base_offset)
            }
            _ => Err(self.refuse(format!("{length_bytes} bytes at {base_offset} of the base, past its end"))),
        }
    }

    /// Checks that nothing is missing and nothing follows.
    fn end(&mut self) -> Result<()> {
        if self.made_bytes < self.header.image_bytes.get() {
            return Err(self.refuse("the end"));
        }
        // The frame's own end has to be read, too.
        if self.frame.read(&mut [0]).map_err(unreadable)? != 0 {
            return Err(Error::corrupt("bytes follow the last instruction"));
        }
        let rest = self.frame.get_mut().fill_buf().map_err(unreadable)?;
        if rest.is_empty() { Ok(()) } else { Err(Error::corrupt("bytes follow the zstd frame")) }
    }

    fn refuse(&self, what: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("at byte {} of the file that it makes there is {what}", self.made_bytes))
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.read(&mut byte)?;
        Ok(byte[0])
    }

    fn number(&mut self) -> Result<u64> {
        let mut number = 0_u64;
        for at in 0..MAX_NUMBER_BYTES {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if at == MAX_NUMBER_BYTES - 1 && bits > 1 {
                break;
            }
            number |= bits << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.refuse("a number of more than 64 bits"))
    }
}

/// What zstd does not accept is corrupt; what the host cannot read comes with its own error.
fn unreadable(error: io::Error) -> Error {
    match error.downcast::<storage::Error>() {
        Ok(error) => Error::Delta(error),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Error::corrupt("it ends too early"),
        Err(error) => Error::corrupt(format!("zstd: {error}")),
    }
}
