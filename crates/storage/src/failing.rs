use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Extent, Operation, ReadAt, Reason, Result, Target, WriteAt};

/// A storage, for tests, in which one read, write, sync or change of the size fails.
///
/// Later operations succeed again: so code that goes on in spite of the error is found.
pub struct Failing<S> {
    inner: S,
    /// The number of operations up to the one that fails, including it; 0 after it has failed.
    left: AtomicU64,
}

impl<S> Failing<S> {
    /// `inner`, whose operation `number` fails; the first is 1.
    pub fn new(inner: S, number: u64) -> Self {
        Self { inner, left: AtomicU64::new(number) }
    }

    /// The storage that does the work.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Whether an operation has failed.
    pub fn has_failed(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    fn count(&self, operation: Operation, offset: u64, length_bytes: u64) -> Result<()> {
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if before != Ok(1) {
            return Ok(());
        }
        let reason = Reason::Io(std::io::Error::other("made to fail"));
        Err(Error { operation, offset, length_bytes, reason })
    }
}

impl<S: ReadAt> ReadAt for Failing<S> {
    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.count(Operation::Read, offset, buffer.len() as u64)?;
        self.inner.read_at(offset, buffer)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.inner.extent_at(offset)
    }
}

impl<S: WriteAt> WriteAt for Failing<S> {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.count(Operation::Write, offset, data.len() as u64)?;
        self.inner.write_at(offset, data)
    }
}

impl<S: Target> Target for Failing<S> {
    fn set_size(&self, size_bytes: u64) -> Result<()> {
        self.count(Operation::Write, size_bytes, 0)?;
        self.inner.set_size(size_bytes)
    }

    fn sync(&self) -> Result<()> {
        self.count(Operation::Write, 0, 0)?;
        self.inner.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    #[test]
    fn one_operation_fails_and_no_other() {
        let storage = Failing::new(Memory::from(vec![0; 10]), 3);
        storage.write_at(0, &[1]).unwrap();
        storage.read_at(0, &mut [0]).unwrap();
        assert!(!storage.has_failed());
        let error = storage.write_at(4, &[1; 2]).unwrap_err();
        assert_eq!((error.operation, error.offset, error.length_bytes), (Operation::Write, 4, 2));
        assert!(error.host_error().is_some() && storage.has_failed());
        storage.write_at(4, &[1; 2]).unwrap();
    }
}
