//! Bytes that are sent: known by their digest, and read again for each attempt.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use catalogue::Digest;
use catalogue::cache::{Algorithm, Hasher};

/// The bytes that are read at a time for a digest.
const STEP_BYTES: usize = 256 << 10;

/// Some bytes of a blob.
#[derive(Clone, Debug)]
pub enum Part {
    /// These.
    Bytes(Vec<u8>),
    /// Those of a file, from its beginning.
    File {
        /// The file.
        file: Arc<File>,
        /// How many.
        size_bytes: u64,
    },
}

impl Part {
    fn size_bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size_bytes, .. } => *size_bytes,
        }
    }

    /// Reads from `offset`, which is inside.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let length = (self.size_bytes() - offset).min(buffer.len() as u64) as usize;
        let buffer = &mut buffer[..length];
        match self {
            Self::Bytes(bytes) => {
                let begin = offset as usize;
                buffer.copy_from_slice(&bytes[begin..begin + length]);
                Ok(length)
            }
            Self::File { file, .. } => match file.read_at(buffer, offset)? {
                0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file was made shorter meanwhile")),
                count => Ok(count),
            },
        }
    }
}

/// Bytes, and their digest.
#[derive(Clone, Debug)]
pub struct Blob {
    parts: Arc<[Part]>,
    digest: Digest,
    size_bytes: u64,
}

impl Blob {
    /// The bytes of `parts`, which are read once for their digest; `progress` gets how many were.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn new(parts: Vec<Part>, progress: &dyn Fn(u64)) -> io::Result<Self> {
        let size_bytes = parts.iter().map(Part::size_bytes).sum();
        let mut reader = BlobReader { parts: &parts, part: 0, offset: 0, done_bytes: 0, progress };
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut buffer = vec![0; STEP_BYTES];
        loop {
            match reader.read(&mut buffer)? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        Ok(Self { parts: parts.into(), digest: hasher.finish(), size_bytes })
    }

    /// These bytes.
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        let (digest, size_bytes) = (Digest::of(Algorithm::Sha256, &bytes), bytes.len() as u64);
        Self { parts: Arc::new([Part::Bytes(bytes)]), digest, size_bytes }
    }

    /// Their digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How many there are.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The bytes from the beginning; `progress` gets how many were read.
    pub fn reader<'a>(&'a self, progress: &'a dyn Fn(u64)) -> impl Read + 'a {
        BlobReader { parts: &self.parts, part: 0, offset: 0, done_bytes: 0, progress }
    }
}

struct BlobReader<'a> {
    parts: &'a [Part],
    part: usize,
    offset: u64,
    done_bytes: u64,
    progress: &'a dyn Fn(u64),
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(part) = self.parts.get(self.part) {
            if self.offset < part.size_bytes() {
                let count = part.read(self.offset, buffer)?;
                self.offset += count as u64;
                self.done_bytes += count as u64;
                (self.progress)(self.done_bytes);
                return Ok(count);
            }
            (self.part, self.offset) = (self.part + 1, 0);
        }
        Ok(0)
    }
}
