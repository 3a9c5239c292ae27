//! An encoder of raw deflate for clusters, with QEMU's window of 4 KiB.
//!
//! Encoders for streams of any length are made for a window of 32 KiB and compress less well with one of 4 KiB. This
//! one gets whole clusters. It looks for a better match one byte later before it takes a match ([`mod@matches`]), ends a
//! block where the kind of its symbols changes ([`split`]), and gives each block the code that makes it smallest
//! ([`block`]).
//!
//! After "DEFLATE Compressed Data Format Specification", RFC 1951.

mod bits;
mod block;
mod huffman;
mod matches;
mod split;

use bits::BitWriter;
use block::Block;
use matches::{Effort, Finder, MIN_MATCH};
use split::Splitter;

/// Compresses one cluster at a time; keeps its buffers.
pub(crate) struct SmallDeflate {
    finder: Finder,
    block: Block,
    splitter: Splitter,
    effort: Effort,
}

impl SmallDeflate {
    /// An encoder at `level`, from 5 on.
    pub(crate) fn new(level: u32) -> Self {
        let effort = match level {
            ..=5 => Effort { chain: 5, good: 12, nice: 48 },
            6 => Effort { chain: 12, good: 16, nice: 64 },
            7 => Effort { chain: 40, good: 32, nice: 160 },
            8 => Effort { chain: 200, good: 64, nice: 258 },
            9.. => Effort { chain: 4096, good: 258, nice: 258 },
        };
        Self { finder: Finder::new(), block: Block::new(), splitter: Splitter::default(), effort }
    }

    /// Compresses `cluster` into `output` and returns the length; `None` if it does not fit.
    pub(crate) fn encode(&mut self, cluster: &[u8], output: &mut [u8]) -> Option<usize> {
        let mut writer = BitWriter::new(output);
        self.finder.begin(cluster.len());
        let mut at = 0;
        let mut found = self.finder.find(cluster, at, MIN_MATCH - 1, self.effort.chain, &self.effort);
        while at < cluster.len() {
            // A better match that begins one byte later is preferred.
            let mut next = None;
            if let Some(here) = found {
                if here.length < self.effort.nice {
                    let chain = if here.length >= self.effort.good { self.effort.chain / 4 } else { self.effort.chain };
                    let least = here.length.saturating_sub(1).max(MIN_MATCH - 1);
                    let later = self.finder.find(cluster, at + 1, least, chain.max(1), &self.effort);
                    next = later.filter(|later| later.is_better_than(&here));
                    if next.is_none() {
                        // The next byte is in the tables already.
                        self.finder.skip(cluster, at + 2..at + here.length);
                    }
                } else {
                    self.finder.skip(cluster, at + 1..at + here.length);
                }
            }
            match (found, next) {
                (Some(here), None) => {
                    self.block.add_match(here.length, here.distance);
                    self.splitter.add_match(here.length);
                    at += here.length;
                    found = self.finder.find(cluster, at, MIN_MATCH - 1, self.effort.chain, &self.effort);
                }
                (_, next) => {
                    self.block.add_literal(cluster[at]);
                    self.splitter.add_literal(cluster[at]);
                    at += 1;
                    found = match next {
                        Some(next) => Some(next),
                        None => self.finder.find(cluster, at, MIN_MATCH - 1, self.effort.chain, &self.effort),
                    };
                }
            }
            if self.splitter.ends_block(self.block.length(), cluster.len() - at) {
                self.end_block(&mut writer, cluster, at, false);
                if writer.is_full() {
                    self.block.clear();
                    return None;
                }
            }
        }
        self.end_block(&mut writer, cluster, at, true);
        writer.finish()
    }

    fn end_block(&mut self, writer: &mut BitWriter<'_>, cluster: &[u8], end: usize, is_last: bool) {
        let start = end - self.block.length();
        self.block.write(writer, &cluster[start..end], is_last);
        self.block.clear();
        self.splitter.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Decompress, FlushDecompress, Status};

    /// Noise, text, runs and copies from near and far, of many lengths.
    fn cluster(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        let mut bytes: Vec<u8> = Vec::new();
        while bytes.len() < length {
            let count = 1 + random() % (1 << (random() % 13));
            match random() % 5 {
                0 => (0..count).for_each(|_| bytes.push(random() as u8)),
                1 => (0..count).for_each(|_| bytes.push(b"etaoin shrdlu"[random() % 13])),
                2 => bytes.resize(bytes.len() + count, (random() % 3) as u8),
                _ if bytes.is_empty() => {}
                _ => {
                    let back = 1 + random() % bytes.len().min(6000);
                    (0..count).for_each(|_| bytes.push(bytes[bytes.len() - back]));
                }
            }
        }
        bytes.truncate(length);
        bytes
    }

    /// The bytes that a reader with QEMU's window gets from a stream.
    fn decoded(stream: &[u8], length: usize) -> Vec<u8> {
        let mut output = vec![0; length];
        let mut inflate = Decompress::new_with_window_bits(false, 12);
        let status = inflate.decompress(stream, &mut output, FlushDecompress::Finish).unwrap();
        assert_eq!((status, inflate.total_out() as usize), (Status::StreamEnd, length));
        assert_eq!(inflate.total_in() as usize, stream.len());
        output
    }

    #[test]
    fn every_cluster_comes_back_at_every_level() {
        for level in 5..=9 {
            let mut encoder = SmallDeflate::new(level);
            for seed in 0..60 {
                for length in [512, 4096, 65536, 1 << (9 + seed % 10)] {
                    let cluster = cluster(length, seed * 977 + u64::from(level));
                    let mut output = vec![0; length + 100];
                    let written = encoder.encode(&cluster, &mut output).unwrap();
                    assert!(
                        decoded(&output[..written], length) == cluster,
                        "level={level} seed={seed} length={length}"
                    );
                    // With the room that it takes, and with one byte less.
                    assert_eq!(encoder.encode(&cluster, &mut output[..written]), Some(written));
                    assert_eq!(encoder.encode(&cluster, &mut output[..written - 1]), None);
                }
            }
        }
    }

    #[test]
    fn it_is_smaller_than_zlib_in_the_same_window() {
        let cluster = cluster(1 << 20, 7);
        let mut output = vec![0; 2 << 20];
        let ours = SmallDeflate::new(6).encode(&cluster, &mut output).unwrap();
        let mut zlib = flate2::Compress::new_with_window_bits(flate2::Compression::new(9), false, 12);
        zlib.compress(&cluster, &mut output, flate2::FlushCompress::Finish).unwrap();
        assert!(ours as u64 <= zlib.total_out(), "{ours} {}", zlib.total_out());
    }

    #[test]
    fn places_are_counted_anew_before_they_run_out() {
        let mut encoder = SmallDeflate::new(6);
        encoder.finder.begin(0);
        encoder.finder.skip_places(u32::MAX - 200_000);
        let cluster = cluster(65536, 3);
        let mut output = vec![0; 70_000];
        let mut first = None;
        for _ in 0..6 {
            let written = encoder.encode(&cluster, &mut output).unwrap();
            assert!(decoded(&output[..written], 65536) == cluster);
            assert_eq!(*first.get_or_insert(written), written, "earlier clusters show");
        }
    }
}
