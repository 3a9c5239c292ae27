//! The compressed file as one stream of bytes, however many members it has.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;
use storage::ReadAt;

use super::Compression;
use crate::error::{Error, Result};

/// The memory in bytes that a decoder may take for its window: as much as `xz -9` and `zstd --ultra -20` need.
pub(crate) const WINDOW_MAX_BYTES: u64 = 64 << 20;
const ZSTD_WINDOW_LOG_MAX: u32 = WINDOW_MAX_BYTES.ilog2();
/// The memory in KiB that an xz decoder takes in addition to its dictionary, at most.
const XZ_MEMORY_KIB: u32 = (WINDOW_MAX_BYTES / 1024) as u32 + 1024;
/// The bytes of the file that are read at a time.
const BUFFER_BYTES: u64 = 256 << 10;

/// The file, read from front to back.
pub(crate) struct Input<'a> {
    file: &'a dyn ReadAt,
    buffer: Vec<u8>,
    /// The next byte's place in the buffer.
    at: usize,
    /// Where in the file the buffer begins.
    start: u64,
}

impl<'a> Input<'a> {
    fn new(file: &'a dyn ReadAt) -> Self {
        Self { file, buffer: Vec::new(), at: 0, start: 0 }
    }

    /// Where in the file the next byte is.
    fn position(&self) -> u64 {
        self.start + self.at as u64
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.buffer.len() {
            self.start = self.position();
            self.at = 0;
            self.buffer.clear();
            let length = (self.file.size_bytes() - self.start).min(BUFFER_BYTES);
            self.buffer.resize(length as usize, 0);
            self.file.read_at(self.start, &mut self.buffer).map_err(io::Error::other)?;
        }
        Ok(&self.buffer[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Input<'_> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let length = there.len().min(output.len());
        output[..length].copy_from_slice(&there[..length]);
        self.consume(length);
        Ok(length)
    }
}

/// One gzip member, xz stream or zstd frame.
enum Member<'a> {
    Gzip(Box<GzDecoder<Input<'a>>>),
    Xz(Box<XzReader<Input<'a>>>),
    Zstd(zstd::stream::read::Decoder<'static, Input<'a>>),
}

impl<'a> Member<'a> {
    fn new(compression: Compression, input: Input<'a>) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(Box::new(GzDecoder::new(input))),
            Compression::Xz => Self::Xz(Box::new(XzReader::new_mem_limit(input, false, XZ_MEMORY_KIB))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Self::Zstd(decoder)
            }
        })
    }

    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(output),
            Self::Xz(decoder) => decoder.read(output),
            Self::Zstd(decoder) => decoder.read(output),
        }
    }

    fn input(&self) -> &Input<'a> {
        match self {
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Xz(decoder) => decoder.inner(),
            Self::Zstd(decoder) => decoder.get_ref(),
        }
    }

    fn into_input(self) -> Input<'a> {
        match self {
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Xz(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

/// The content of the compressed file.
pub(crate) struct Stream<'a> {
    compression: Compression,
    /// `None` after the file has been read to its end.
    member: Option<Member<'a>>,
    file_size_bytes: u64,
    /// How many bytes were returned, and how many may be.
    done_bytes: u64,
    limit_bytes: u64,
    progress: &'a (dyn Fn(u64, u64) + Sync),
}

impl<'a> Stream<'a> {
    pub(crate) fn new(
        file: &'a dyn ReadAt,
        compression: Compression,
        limit_bytes: u64,
        progress: &'a (dyn Fn(u64, u64) + Sync),
    ) -> Result<Self> {
        let file_size_bytes = file.size_bytes();
        let member = Member::new(compression, Input::new(file)).map_err(|error| problem(compression, 0, error))?;
        Ok(Self { compression, member: Some(member), file_size_bytes, done_bytes: 0, limit_bytes, progress })
    }

    /// Reads until `output` is full or the file is at its end, and returns the number of bytes.
    pub(crate) fn fill(&mut self, output: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < output.len() {
            let Some(member) = &mut self.member else { break };
            let length = match member.read(&mut output[filled..]) {
                Ok(length) => length,
                Err(error) => return Err(problem(self.compression, member.input().position(), error)),
            };
            if length == 0 {
                self.next_member()?;
            }
            filled += length;
            self.done_bytes += length as u64;
            if self.done_bytes > self.limit_bytes {
                return Err(Error::TooLarge { object: self.compression.file_name(), limit_bytes: self.limit_bytes });
            }
        }
        let position = self.member.as_ref().map_or(self.file_size_bytes, |member| member.input().position());
        (self.progress)(position, self.file_size_bytes);
        Ok(filled)
    }

    /// Continues after a member: with another one, or at the file's end.
    fn next_member(&mut self) -> Result<()> {
        let Some(member) = self.member.take() else { return Ok(()) };
        let mut input = member.into_input();
        let compression = self.compression;
        let failed = |error: storage::Error| Error::from(error);
        if compression == Compression::Xz {
            skip_padding(&mut input).map_err(|error| problem(compression, 0, error))?;
        }
        let position = input.position();
        let mut magic = vec![0; (self.file_size_bytes - position).min(8) as usize];
        input.file.read_at(position, &mut magic).map_err(failed)?;
        if magic.is_empty() {
            return Ok(());
        }
        if !compression.begins(&magic) {
            let text = format!("other bytes follow at offset {position:#x}, file_size={:#x}", self.file_size_bytes);
            return Err(Error::corrupt(compression.file_name(), text));
        }
        self.member = Some(Member::new(compression, input).map_err(|error| problem(compression, position, error))?);
        Ok(())
    }
}

/// "Stream Padding" of xz: zeros, four at a time.
fn skip_padding(input: &mut Input<'_>) -> io::Result<()> {
    loop {
        let there = input.fill_buf()?;
        let zeros = there.iter().take_while(|&&byte| byte == 0).count();
        let is_end = zeros < there.len() || there.is_empty();
        input.consume(zeros);
        if is_end {
            return Ok(());
        }
    }
}

/// The meaning of a decoder's error.
fn problem(compression: Compression, position: u64, error: io::Error) -> Error {
    let object = compression.file_name();
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<storage::Error>())
        && let Some(host) = inner.host_error()
    {
        let host = host.raw_os_error().map_or(host.kind().into(), io::Error::from_raw_os_error);
        let reason = storage::Reason::Io(host);
        return Error::Storage(storage::Error::reading(inner.offset, inner.length_bytes, reason));
    }
    let text = error.to_string();
    if error.kind() == io::ErrorKind::OutOfMemory || text.contains("too much memory") {
        return Error::unsupported(format!("{object} that takes more than {WINDOW_MAX_BYTES:#x} bytes of memory"));
    }
    if error.kind() == io::ErrorKind::Unsupported {
        return Error::unsupported(format!("{object} with {text}"));
    }
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Error::corrupt(object, format!("the file ends inside the stream, file_size={position:#x}"));
    }
    Error::corrupt(object, format!("near offset {position:#x}: {text}"))
}
