use std::sync::{Arc, Mutex, PoisonError};

use hadris_fat::sync::{Error, ErrorKind, IoResult, Read, Seek, SeekFrom, Write};
use storage::WriteAt;

/// The storage for `hadris-fat`: with a position, and with its poor errors.
pub(crate) struct Device<S> {
    storage: Arc<S>,
    position: u64,
    failure: Failure,
}

/// The storage's own error that caused the last one of `hadris-fat`.
#[derive(Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<storage::Error>>>);

impl Failure {
    pub(crate) fn take(&self) -> Option<storage::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, error: storage::Error) -> Error<ErrorKind> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        Error::from_source(ErrorKind::Other)
    }
}

impl<S: WriteAt> Device<S> {
    pub(crate) fn new(storage: Arc<S>) -> (Self, Failure) {
        let failure = Failure::default();
        (Self { storage, position: 0, failure: failure.clone() }, failure)
    }
}

impl<S: WriteAt> Read for Device<S> {
    type Error = ErrorKind;

    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize, ErrorKind> {
        let rest = self.storage.size_bytes().saturating_sub(self.position);
        let length = rest.min(buffer.len() as u64) as usize;
        self.storage.read_at(self.position, &mut buffer[..length]).map_err(|error| self.failure.keep(error))?;
        self.position += length as u64;
        Ok(length)
    }
}

impl<S: WriteAt> Write for Device<S> {
    type Error = ErrorKind;

    fn write(&mut self, data: &[u8]) -> IoResult<usize, ErrorKind> {
        self.storage.write_at(self.position, data).map_err(|error| self.failure.keep(error))?;
        self.position += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> IoResult<(), ErrorKind> {
        Ok(())
    }
}

impl<S: WriteAt> Seek for Device<S> {
    type Error = ErrorKind;

    fn seek(&mut self, position: SeekFrom) -> IoResult<u64, ErrorKind> {
        let target = match position {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.storage.size_bytes().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(Error::from_source(ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
