//! What is in a file of any size: what was never written takes no memory.

use std::collections::BTreeMap;
use std::ops::Range;

use testkit::tree::crc32c_append_zeros;

/// How much is kept together, in bytes.
const CHUNK_BYTES: u64 = 4096;

type Chunk = Box<[u8; CHUNK_BYTES as usize]>;

/// The bytes of a file.
#[derive(Clone, Default)]
pub(crate) struct Content {
    size_bytes: u64,
    /// Number of the chunk → its bytes; what is not there is zeros, and so is what is past the size.
    chunks: BTreeMap<u64, Chunk>,
}

impl Content {
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Writes `data` at `offset`; the file grows as far as needed.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        for (number, part) in chunks_of(offset..end) {
            let chunk = self.chunks.entry(number).or_insert_with(|| Box::new([0; CHUNK_BYTES as usize]));
            let from = (number * CHUNK_BYTES + part.start as u64 - offset) as usize;
            chunk[part.clone()].copy_from_slice(&data[from..from + part.len()]);
        }
        self.size_bytes = self.size_bytes.max(end);
    }

    /// Cuts the file, or makes it grow by zeros.
    pub(crate) fn resize(&mut self, size_bytes: u64) {
        if size_bytes < self.size_bytes {
            self.zero(size_bytes..self.size_bytes);
            self.chunks.split_off(&size_bytes.div_ceil(CHUNK_BYTES));
        }
        self.size_bytes = size_bytes;
    }

    /// Makes a range zeros; the size stays.
    pub(crate) fn zero(&mut self, range: Range<u64>) {
        let range = range.start..range.end.min(self.size_bytes);
        if range.is_empty() {
            return;
        }
        let whole = range.start.div_ceil(CHUNK_BYTES)..range.end / CHUNK_BYTES;
        if whole.start < whole.end {
            let after = self.chunks.split_off(&whole.end);
            self.chunks.split_off(&whole.start);
            self.chunks.extend(after);
        }
        for number in [range.start / CHUNK_BYTES, (range.end - 1) / CHUNK_BYTES] {
            let first = number * CHUNK_BYTES;
            let part = range.start.max(first)..range.end.min(first + CHUNK_BYTES);
            if let Some(chunk) = self.chunks.get_mut(&number) {
                chunk[(part.start - first) as usize..(part.end - first) as usize].fill(0);
            }
        }
    }

    pub(crate) fn crc32c(&self) -> u32 {
        let (mut crc, mut at) = (0, 0);
        for (offset, bytes) in self.written() {
            crc = crc32c_append_zeros(crc, offset - at);
            crc = crc32c::crc32c_append(crc, bytes);
            at = offset + bytes.len() as u64;
        }
        crc32c_append_zeros(crc, self.size_bytes - at)
    }

    /// The parts that are kept, each with its offset.
    pub(crate) fn written(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.chunks.iter().map(|(number, chunk)| {
            let offset = number * CHUNK_BYTES;
            (offset, &chunk[..(self.size_bytes - offset).min(CHUNK_BYTES) as usize])
        })
    }
}

/// The chunks that a range of bytes touches, each with the range within it.
fn chunks_of(range: Range<u64>) -> impl Iterator<Item = (u64, Range<usize>)> {
    let end = if range.is_empty() { range.start / CHUNK_BYTES } else { range.end.div_ceil(CHUNK_BYTES) };
    (range.start / CHUNK_BYTES..end).map(move |number| {
        let first = number * CHUNK_BYTES;
        let part = range.start.max(first)..range.end.min(first + CHUNK_BYTES);
        (number, (part.start - first) as usize..(part.end - first) as usize)
    })
}

/// Bytes that are made from a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) seed: u64,
    pub(crate) length_bytes: u64,
}

impl Pattern {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let words = (0..self.length_bytes.div_ceil(8)).flat_map(|word| {
            let mut mixed = (self.seed << 20 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            mixed ^= mixed >> 29;
            mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9).to_le_bytes()
        });
        words.take(self.length_bytes as usize).collect()
    }
}

#[test]
fn a_content_is_the_vector_that_was_edited_in_the_same_way() {
    let mut random = crate::support::Random(77);
    let mut content = Content::default();
    let mut bytes = Vec::new();
    for seed in 0..2000 {
        let (at, length) = (random.below(40_000), random.below(9_000));
        let end = (at + length) as usize;
        match random.below(4) {
            0 | 1 if length > 0 => {
                let data = Pattern { seed, length_bytes: length }.bytes();
                content.write(at, &data);
                bytes.resize(bytes.len().max(end), 0);
                bytes[at as usize..end].copy_from_slice(&data);
            }
            2 => {
                content.resize(at);
                bytes.resize(at as usize, 0);
            }
            _ => {
                content.zero(at..end as u64);
                let end = end.min(bytes.len());
                bytes[(at as usize).min(end)..end].fill(0);
            }
        }
        assert_eq!((content.size_bytes(), content.crc32c()), (bytes.len() as u64, crc32c::crc32c(&bytes)), "{seed}");
    }
}
