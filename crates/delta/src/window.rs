//! A part of a storage in memory, for reads that are near each other.

use storage::ReadAt;

use crate::sparse;

/// How much is in memory, in bytes, where much of it is read in a row.
pub(crate) const LONG_BYTES: u64 = 1 << 20;
/// The same where places are looked at here and there.
pub(crate) const SHORT_BYTES: u64 = 160 << 10;
/// How much of it is before what was asked for.
const BEFORE_BYTES: u64 = 64 << 10;

/// The most that a long window has at once, in bytes.
pub(crate) const MAX_READ_BYTES: u64 = LONG_BYTES - BEFORE_BYTES;

/// A part of a storage in memory.
pub(crate) struct Window<'a> {
    storage: &'a dyn ReadAt,
    window_bytes: u64,
    begin: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(storage: &'a dyn ReadAt, window_bytes: u64) -> Self {
        Self { storage, window_bytes, begin: 0, bytes: Vec::new() }
    }

    /// The `length` bytes at `offset`, fewer of them at the end of the storage or if they are more than the window has.
    pub(crate) fn get(&mut self, offset: u64, length: u64) -> storage::Result<&[u8]> {
        let size_bytes = self.storage.size_bytes();
        let offset = offset.min(size_bytes);
        let length = length.min(self.window_bytes - BEFORE_BYTES).min(size_bytes - offset);
        if offset < self.begin || offset + length > self.begin + self.bytes.len() as u64 {
            let begin = offset.saturating_sub(BEFORE_BYTES);
            self.bytes.resize((size_bytes - begin).min(self.window_bytes) as usize, 0);
            self.begin = begin;
            if let Err(error) = sparse::read(self.storage, begin, &mut self.bytes) {
                self.bytes.clear();
                return Err(error);
            }
        }
        let at = (offset - self.begin) as usize;
        Ok(&self.bytes[at..at + length as usize])
    }
}
