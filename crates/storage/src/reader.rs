use std::io;

use crate::ReadAt;

/// A storage read from its first byte to its last.
#[derive(Debug)]
pub struct Reader<S> {
    storage: S,
    position: u64,
}

impl<S: ReadAt> Reader<S> {
    /// A reader at the first byte of `storage`.
    pub fn new(storage: S) -> Self {
        Self { storage, position: 0 }
    }
}

impl<S: ReadAt> io::Read for Reader<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = (self.storage.size_bytes() - self.position).min(buffer.len() as u64) as usize;
        self.storage.read_at(self.position, &mut buffer[..length]).map_err(io::Error::other)?;
        self.position += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;
    use std::io::Read;

    #[test]
    fn a_storage_is_read_to_its_end() {
        let mut bytes = Vec::new();
        Reader::new(Memory::from(vec![7; 100_000])).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, vec![7; 100_000]);
    }
}
