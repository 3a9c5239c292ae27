//! Writing a file from front to back in large steps.

use std::fs::File;
use std::os::unix::fs::FileExt;

use storage::ReadAt;

use crate::error::{Error, Result};

/// The size of a large step in bytes.
const BUFFER_BYTES: usize = 1 << 20;
/// Copies of this length in bytes or more are left to the kernel.
const KERNEL_COPY_BYTES: u64 = 256 << 10;

/// Appends to a file through a buffer.
pub(crate) struct Appender<'a> {
    file: &'a File,
    /// Where in the file the next byte goes.
    position: u64,
    /// The bytes before `position` that are not written yet.
    buffer: Vec<u8>,
}

impl<'a> Appender<'a> {
    pub(crate) fn new(file: &'a File, position: u64) -> Self {
        Self { file, position, buffer: Vec::with_capacity(BUFFER_BYTES) }
    }

    /// Where in the file the next byte goes.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.make_room(bytes.len())?;
        if bytes.len() >= BUFFER_BYTES / 2 {
            self.flush()?;
            let length_bytes = bytes.len() as u64;
            self.file
                .write_all_at(bytes, self.position)
                .map_err(|error| Error::writing(self.position, length_bytes, error))?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Appends zeros up to `position`.
    pub(crate) fn pad_to(&mut self, position: u64) -> Result<()> {
        while self.position < position {
            let step = (position - self.position).min(BUFFER_BYTES as u64 / 4) as usize;
            self.make_room(step)?;
            self.buffer.resize(self.buffer.len() + step, 0);
            self.position += step as u64;
        }
        Ok(())
    }

    /// Appends `length_bytes` bytes of `source` from `offset` on.
    pub(crate) fn copy(&mut self, source: &dyn ReadAt, offset: u64, length_bytes: u64) -> Result<()> {
        if length_bytes >= KERNEL_COPY_BYTES {
            self.flush()?;
            storage::copy(source, offset, self.file, self.position, length_bytes)?;
        } else {
            self.make_room(length_bytes as usize)?;
            let from = self.buffer.len();
            self.buffer.resize(from + length_bytes as usize, 0);
            source.read_at(offset, &mut self.buffer[from..])?;
        }
        self.position += length_bytes;
        Ok(())
    }

    fn make_room(&mut self, length: usize) -> Result<()> {
        if self.buffer.len() + length > BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        let (length_bytes, offset) = (self.buffer.len() as u64, self.position - self.buffer.len() as u64);
        self.file.write_all_at(&self.buffer, offset).map_err(|error| Error::writing(offset, length_bytes, error))?;
        self.buffer.clear();
        Ok(())
    }
}
