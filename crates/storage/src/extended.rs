use crate::{Extent, ExtentKind, Operation, ReadAt, Result, check_range, file, in_steps};

/// A storage followed by zeros: a disk that was made larger.
#[derive(Clone, Debug)]
pub struct Extended<S> {
    storage: S,
    size_bytes: u64,
}

impl<S: ReadAt> Extended<S> {
    /// The bytes of `storage`, followed by zeros up to a size of `size_bytes`. A storage that is as large already
    /// gets no zeros.
    pub fn new(storage: S, size_bytes: u64) -> Self {
        let size_bytes = size_bytes.max(storage.size_bytes());
        Self { storage, size_bytes }
    }
}

impl<S: ReadAt> ReadAt for Extended<S> {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(Operation::Read, offset, buffer.len() as u64, self.size_bytes)?;
        let inside = self.storage.size_bytes().saturating_sub(offset).min(buffer.len() as u64) as usize;
        let (bytes, zeros) = buffer.split_at_mut(inside);
        zeros.fill(0);
        if bytes.is_empty() { Ok(()) } else { self.storage.read_at(offset, bytes) }
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        check_range(Operation::Read, offset, 1, self.size_bytes)?;
        if offset < self.storage.size_bytes() {
            return self.storage.extent_at(offset);
        }
        Ok(Extent { kind: ExtentKind::Zero, length_bytes: self.size_bytes - offset })
    }

    fn host_file(&self) -> Option<(&std::fs::File, u64)> {
        // The zeros are not in the file.
        self.storage.host_file().filter(|_| self.size_bytes == self.storage.size_bytes())
    }

    fn copy_to(&self, offset: u64, length_bytes: u64, target: &std::fs::File, target_offset: u64) -> Result<()> {
        check_range(Operation::Read, offset, length_bytes, self.size_bytes)?;
        let inside = self.storage.size_bytes().saturating_sub(offset).min(length_bytes);
        if inside > 0 {
            self.storage.copy_to(offset, inside, target, target_offset)?;
        }
        in_steps(length_bytes - inside, |done, zeros| file::write_host(target, target_offset + inside + done, zeros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    #[test]
    fn bytes_after_the_end_read_as_zeros() {
        let extended = Extended::new(Memory::from(vec![7; 10]), 20);
        let mut bytes = [1; 8];
        extended.read_at(6, &mut bytes).unwrap();
        assert_eq!(bytes, [7, 7, 7, 7, 0, 0, 0, 0]);
        extended.read_at(12, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 8]);
        assert!(extended.read_at(13, &mut bytes).is_err());
        assert_eq!(extended.extent_at(4).unwrap(), Extent { kind: ExtentKind::Data, length_bytes: 6 });
        assert_eq!(extended.extent_at(10).unwrap(), Extent { kind: ExtentKind::Zero, length_bytes: 10 });
        assert_eq!(Extended::new(Memory::from(vec![7; 10]), 3).size_bytes(), 10);
    }
}
