//! One cluster compressed and decompressed.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use crate::CompressionType;

/// The window that QEMU inflates with, as a binary logarithm of bytes: a stream that refers back
/// further than that reads as corrupt there.
const DEFLATE_WINDOW_BITS: u8 = 12;
/// The largest window of raw deflate, which other writers than QEMU may have used.
const INFLATE_WINDOW_BITS: u8 = 15;
/// The largest zstd window that is accepted, as a binary logarithm of bytes: the format asks every
/// decoder for 8 MiB, and a hostile frame may ask for more than there is memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

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

    /// Room for `length` bytes of input, to be filled before [`decode`](Self::decode).
    pub(crate) fn input(&mut self, length: usize) -> &mut [u8] {
        self.input.clear();
        self.input.resize(length, 0);
        &mut self.input
    }

    /// Decompresses the input until `output` is full. What follows in the input is not looked at.
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
    /// Raw deflate with QEMU's window.
    Zlib(Compress),
    /// One frame a cluster.
    Zstd(Box<zstd::bulk::Compressor<'static>>),
}

impl Encoder {
    /// An encoder at `level`, taken to the nearest that the method has.
    pub(crate) fn new(compression: CompressionType, level: u32) -> std::io::Result<Self> {
        Ok(match compression {
            CompressionType::Zlib => {
                Self::Zlib(Compress::new_with_window_bits(Compression::new(level.min(9)), false, DEFLATE_WINDOW_BITS))
            }
            CompressionType::Zstd => {
                let level = level.clamp(1, 22) as i32;
                Self::Zstd(Box::new(zstd::bulk::Compressor::new(level)?))
            }
        })
    }

    /// Compresses `cluster` into `output` and gives the length; `None` where it does not fit.
    pub(crate) fn encode(&mut self, cluster: &[u8], output: &mut [u8]) -> Option<usize> {
        match self {
            Self::Zlib(deflate) => {
                deflate.reset();
                let status = deflate.compress(cluster, output, FlushCompress::Finish).ok()?;
                (status == Status::StreamEnd).then(|| deflate.total_out() as usize)
            }
            // The only error that a sound encoder gives here is that there is no room.
            Self::Zstd(compressor) => compressor.compress_to_buffer(cluster, output).ok(),
        }
    }
}
