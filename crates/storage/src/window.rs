use std::sync::Arc;

use crate::{Extent, Operation, ReadAt, Result, WriteAt, check_range};

/// A part of a storage as a storage of its own: a partition of a disk.
///
/// Offsets in errors count from the window's start if the range was not inside the window, and otherwise from the
/// start of the storage that it is a part of.
#[derive(Clone, Debug)]
pub struct Window<S> {
    storage: S,
    first_byte: u64,
    size_bytes: u64,
}

impl<S: ReadAt> Window<S> {
    /// The `size_bytes` bytes of `storage` from `first_byte` on.
    ///
    /// # Errors
    ///
    /// [`Reason::PastEnd`](crate::Reason::PastEnd) if they are not all inside `storage`.
    pub fn new(storage: S, first_byte: u64, size_bytes: u64) -> Result<Self> {
        check_range(Operation::Read, first_byte, size_bytes, storage.size_bytes())?;
        Ok(Self { storage, first_byte, size_bytes })
    }
}

impl<S: ReadAt> ReadAt for Window<S> {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(Operation::Read, offset, buffer.len() as u64, self.size_bytes)?;
        self.storage.read_at(self.first_byte + offset, buffer)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        check_range(Operation::Read, offset, 1, self.size_bytes)?;
        let extent = self.storage.extent_at(self.first_byte + offset)?;
        Ok(Extent { length_bytes: extent.length_bytes.min(self.size_bytes - offset), ..extent })
    }

    fn host_file(&self) -> Option<(&std::fs::File, u64)> {
        self.storage.host_file().map(|(file, first_byte)| (file, first_byte + self.first_byte))
    }

    fn copy_to(&self, offset: u64, length_bytes: u64, target: &std::fs::File, target_offset: u64) -> Result<()> {
        check_range(Operation::Read, offset, length_bytes, self.size_bytes)?;
        self.storage.copy_to(self.first_byte + offset, length_bytes, target, target_offset)
    }
}

impl<S: WriteAt> WriteAt for Window<S> {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        check_range(Operation::Write, offset, data.len() as u64, self.size_bytes)?;
        self.storage.write_at(self.first_byte + offset, data)
    }

    fn write_from(&self, offset: u64, source: &Arc<dyn ReadAt>, source_offset: u64, length_bytes: u64) -> Result<()> {
        check_range(Operation::Write, offset, length_bytes, self.size_bytes)?;
        self.storage.write_from(self.first_byte + offset, source, source_offset, length_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, Reason};

    #[test]
    fn a_window_neither_reads_nor_writes_its_neighbours() {
        let memory = Memory::from((0..=255).collect::<Vec<u8>>());
        let window = Window::new(&memory, 16, 32).unwrap();
        window.write_at(31, &[99]).unwrap();
        let mut last = [0; 2];
        assert!(matches!(window.read_at(31, &mut last).unwrap_err().reason, Reason::PastEnd { size_bytes: 32 }));
        assert!(window.write_at(u64::MAX, &[1]).is_err());
        let bytes = memory.into_bytes();
        assert_eq!(bytes[46..49], [46, 99, 48]);
    }

    #[test]
    fn a_window_past_the_end_is_refused() {
        assert!(Window::new(Memory::from(vec![0; 8]), 4, 5).is_err());
        assert!(Window::new(Memory::from(vec![0; 8]), u64::MAX, 2).is_err());
    }
}
