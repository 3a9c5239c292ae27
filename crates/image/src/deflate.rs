//! Deflate for units of any content. A unit that cannot be compressed becomes a little larger.

use flate2::{Compress, Compression, FlushCompress, Status};

/// The room in bytes that the output gets at a time. It is always the same, because the size of a stored block
/// depends on it.
const ROOM_BYTES: usize = 64 << 10;

/// Compresses one unit at a time with the largest window; keeps its buffers.
pub(crate) struct Deflate {
    deflate: Compress,
    room: Vec<u8>,
}

impl Deflate {
    /// An encoder of zlib streams, or of raw deflate, at `level`, or at 9 if that is lower.
    pub(crate) fn new(level: u32, zlib_header: bool) -> Self {
        Self { deflate: Compress::new(Compression::new(level.min(9)), zlib_header), room: vec![0; ROOM_BYTES] }
    }

    /// Appends `unit` to `output` as a stream of its own.
    pub(crate) fn append_stream(&mut self, unit: &[u8], output: &mut Vec<u8>) -> std::io::Result<()> {
        self.append(unit, output, FlushCompress::Finish)
    }

    /// Appends `unit` to `output` as a part of a stream: blocks that end at a whole byte and refer only to this unit.
    /// None of them is marked as the stream's last block.
    pub(crate) fn append_part(&mut self, unit: &[u8], output: &mut Vec<u8>) -> std::io::Result<()> {
        self.append(unit, output, FlushCompress::Full)
    }

    fn append(&mut self, unit: &[u8], output: &mut Vec<u8>, flush: FlushCompress) -> std::io::Result<()> {
        self.deflate.reset();
        // Each turn reads input or fills the room, and the input's length bounds the output's.
        loop {
            let left = &unit[self.deflate.total_in() as usize..];
            let before = self.deflate.total_out();
            let status = self.deflate.compress(left, &mut self.room, flush)?;
            let produced = (self.deflate.total_out() - before) as usize;
            output.extend_from_slice(&self.room[..produced]);
            let is_done = self.deflate.total_in() == unit.len() as u64 && produced < ROOM_BYTES;
            if status == Status::StreamEnd || (is_done && flush != FlushCompress::Finish) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Decompress, FlushDecompress};

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let step = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..length).map(step).collect()
    }

    #[test]
    fn units_of_any_size_and_content_come_back() {
        for level in [0, 1, 6, 9] {
            let (mut whole, mut part) = (Deflate::new(level, true), Deflate::new(level, false));
            for size in [0, 1, 512, 65_500, 65_536, 131_072, 300_000] {
                for unit in [noise(size), vec![0; size], b"graft ".repeat(size / 6)] {
                    let mut stream = vec![9];
                    whole.append_stream(&unit, &mut stream).unwrap();
                    let mut back = Vec::with_capacity(unit.len() + 1);
                    let status = Decompress::new(true).decompress_vec(&stream[1..], &mut back, FlushDecompress::Finish);
                    assert!(back == unit && status.unwrap() == Status::StreamEnd, "level={level} size={size}");
                    assert!(stream.len() <= size + size / 7 + 64, "level={level} size={size}");

                    let mut parts = Vec::new();
                    part.append_part(&unit, &mut parts).unwrap();
                    part.append_part(&unit, &mut parts).unwrap();
                    let mut back = Vec::with_capacity(unit.len() * 2 + 1);
                    Decompress::new(false).decompress_vec(&parts, &mut back, FlushDecompress::Sync).unwrap();
                    assert!(back == [&unit[..], &unit[..]].concat(), "level={level} size={size}");
                }
            }
        }
    }
}
