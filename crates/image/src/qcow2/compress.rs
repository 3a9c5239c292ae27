//! One cluster compressed and decompressed.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::small_deflate::SmallDeflate;
use crate::CompressionType;

/// The window that QEMU inflates with, as a binary logarithm of bytes. To QEMU, a stream that refers back further is
/// corrupt.
const DEFLATE_WINDOW_BITS: u8 = 12;
/// The largest window of raw deflate, which writers other than QEMU may have used.
const INFLATE_WINDOW_BITS: u8 = 15;
/// The largest zstd window that is accepted, as a binary logarithm of bytes: the format expects 8 MiB of every decoder,
/// and a hostile frame may demand more than there is memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// From this level on, our own deflate is used. With the window of 4 KiB its level 6 gives smaller clusters than zlib-rs
/// at level 9, in half of the CPU time.
const SMALL_DEFLATE_LEVEL: u32 = 5;

/// Decompresses one cluster at a time; keeps its buffers.
pub(crate) struct Decoder {
    method: DecodeMethod,
    input: Vec<u8>,
}

enum DecodeMethod {
    Zlib(Decompress),
    Zstd(DCtx<'static>),
}

impl Decoder {
    pub(crate) fn new(compression: CompressionType) -> Self {
        let method = match compression {
            CompressionType::Zlib => DecodeMethod::Zlib(Decompress::new_with_window_bits(false, INFLATE_WINDOW_BITS)),
            CompressionType::Zstd => DecodeMethod::Zstd(DCtx::create()),
        };
        Self { method, input: Vec::new() }
    }

    /// Room for `length` bytes of input, which the caller fills before [`decode`](Self::decode).
    pub(crate) fn input(&mut self, length: usize) -> &mut [u8] {
        self.input.clear();
        self.input.resize(length, 0);
        &mut self.input
    }

    /// Decompresses the input until `output` is full. The rest of the input is ignored.
    pub(crate) fn decode(&mut self, output: &mut [u8]) -> Result<(), String> {
        let produced = match &mut self.method {
            DecodeMethod::Zlib(inflate) => {
                inflate.reset(false);
                inflate
                    .decompress(&self.input, output, FlushDecompress::Finish)
                    .map_err(|error| format!("not valid deflate: {error}"))?;
                inflate.total_out() as usize
            }
            DecodeMethod::Zstd(context) => decode_zstd(context, &self.input, output)?,
        };
        if produced != output.len() {
            return Err(format!("ends after {produced:#x} bytes, expected {:#x}", output.len()));
        }
        Ok(())
    }
}

fn decode_zstd(context: &mut DCtx<'static>, input: &[u8], output: &mut [u8]) -> Result<usize, String> {
    let problem = |code| format!("not valid zstd: {}", zstd::zstd_safe::get_error_name(code));
    context.init().map_err(problem)?;
    context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(problem)?;
    let expected = output.len();
    let mut source = InBuffer::around(input);
    let mut target = OutBuffer::around(output);
    while target.pos() < expected {
        let before = (source.pos(), target.pos());
        context.decompress_stream(&mut target, &mut source).map_err(problem)?;
        if (source.pos(), target.pos()) == before {
            break;
        }
    }
    Ok(target.pos())
}

/// Compresses one cluster at a time; keeps its buffers.
pub(crate) enum Encoder {
    /// Raw deflate with QEMU's window, at the fast levels.
    Zlib { deflate: Compress, level: u32 },
    /// The same at the levels for a small size.
    SmallDeflate(Box<SmallDeflate>),
    /// One frame a cluster.
    Zstd(Box<zstd::bulk::Compressor<'static>>),
}

impl Encoder {
    /// An encoder at `level`, or at the nearest level that the method has.
    pub(crate) fn new(compression: CompressionType, level: u32) -> std::io::Result<Self> {
        Ok(match compression {
            CompressionType::Zlib if level >= SMALL_DEFLATE_LEVEL => {
                Self::SmallDeflate(Box::new(SmallDeflate::new(level)))
            }
            CompressionType::Zlib => Self::Zlib { deflate: new_deflate(level), level },
            CompressionType::Zstd => {
                let level = level.clamp(1, 22) as i32;
                Self::Zstd(Box::new(zstd::bulk::Compressor::new(level)?))
            }
        })
    }

    /// Compresses `cluster` into `output` and returns the length; `None` if it does not fit.
    pub(crate) fn encode(&mut self, cluster: &[u8], output: &mut [u8]) -> Option<usize> {
        match self {
            Self::Zlib { deflate, level } => {
                deflate.reset();
                if let Ok(Status::StreamEnd) = deflate.compress(cluster, output, FlushCompress::Finish) {
                    return Some(deflate.total_out() as usize);
                }
                // In zlib-rs 0.6.8 a reset does not clear the place of the unwritten output, so that it runs out of room
                // after some unfinished streams.
                *deflate = new_deflate(*level);
                None
            }
            Self::SmallDeflate(deflate) => deflate.encode(cluster, output),
            // The only error of a sound encoder here is that there is no room.
            Self::Zstd(compressor) => compressor.compress_to_buffer(cluster, output).ok(),
        }
    }
}

fn new_deflate(level: u32) -> Compress {
    Compress::new_with_window_bits(Compression::new(level.min(9)), false, DEFLATE_WINDOW_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes without a pattern.
    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let step = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..length).map(step).collect()
    }

    #[test]
    fn clusters_that_do_not_shrink_leave_nothing_behind() {
        // zlib-rs panicked after some unfinished streams, first at the levels 7 to 9.
        for level in 0..=9 {
            let mut encoder = Encoder::new(CompressionType::Zlib, level).unwrap();
            let mut output = vec![0; 4095];
            for seed in 0..40 {
                assert_eq!(encoder.encode(&noise(4096, seed), &mut output), None);
            }
            let length = encoder.encode(&[7; 4096], &mut output);
            assert_eq!(length.is_some(), level > 0);
        }
    }

    #[test]
    fn deflate_refers_back_no_further_than_qemu_looks() {
        // Noise that is repeated: inside the window the second copy takes almost no room.
        for (distance, found) in [(3000, true), (4097, false), (4500, false), (8192, false), (20_000, false)] {
            let piece = noise(distance, 5);
            let cluster = [&piece[..], &piece[..]].concat();
            for level in 1..=9 {
                let mut output = vec![0; cluster.len() * 2];
                let mut encoder = Encoder::new(CompressionType::Zlib, level).unwrap();
                let length = encoder.encode(&cluster, &mut output).unwrap();
                assert_eq!(length < distance * 3 / 2, found, "level={level} distance={distance}");
            }
        }
    }

    #[test]
    fn streams_of_both_kinds_come_back_and_cut_ones_do_not() {
        for compression in [CompressionType::Zlib, CompressionType::Zstd] {
            let mut cluster = noise(2000, 1);
            cluster.resize(65536, 3);
            let mut output = vec![0; 65535];
            let length = Encoder::new(compression, 3).unwrap().encode(&cluster, &mut output).unwrap();
            let mut decoder = Decoder::new(compression);
            let mut decode = |stream: &[u8]| {
                let mut bytes = vec![0; 65536];
                decoder.input(stream.len()).copy_from_slice(stream);
                decoder.decode(&mut bytes).map(|()| bytes)
            };
            // The length in the image is only a bound: other streams follow.
            output[length..length + 300].fill(0xff);
            assert!(decode(&output[..length + 300]).unwrap() == cluster);
            for cut in [0, 1, 100, length / 2, length - 20] {
                assert!(decode(&output[..cut]).is_err(), "{compression} cut at {cut}");
            }
            assert!(decode(&output[..length]).unwrap() == cluster);
        }
    }
}
