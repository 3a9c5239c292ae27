//! A disk that remembers that the host could not read it.
//!
//! What looks at a guest to give advice leaves out what it cannot read: a damaged file is no reason to refuse an image.
//! But a host whose disk fails is one, whoever happens to read when it does.

use std::io;
use std::sync::{Arc, OnceLock};

use storage::{Extent, ReadAt, Reason, WriteAt};

/// A disk, and the first error of the host in reading it.
pub(crate) struct Attentive {
    disk: Arc<dyn WriteAt>,
    first: OnceLock<storage::Error>,
}

impl Attentive {
    pub(crate) fn new(disk: Arc<dyn WriteAt>) -> Arc<Self> {
        Arc::new(Self { disk, first: OnceLock::new() })
    }

    /// # Errors
    ///
    /// The first error of the host, if there was one, whether or not somebody went on after it.
    pub(crate) fn host_has_not_failed(&self) -> storage::Result<()> {
        self.first.get().and_then(of_host).map_or(Ok(()), Err)
    }

    fn noting<T>(&self, result: storage::Result<T>) -> storage::Result<T> {
        if let Some(error) = result.as_ref().err().and_then(of_host) {
            let _ = self.first.set(error);
        }
        result
    }
}

/// The same error once more, if it is one of the host.
fn of_host(error: &storage::Error) -> Option<storage::Error> {
    let host = error.host_error()?;
    let host = host.raw_os_error().map_or_else(|| host.kind().into(), io::Error::from_raw_os_error);
    Some(storage::Error { operation: error.operation, reason: Reason::Io(host), ..*error })
}

impl ReadAt for Attentive {
    fn size_bytes(&self) -> u64 {
        self.disk.size_bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> storage::Result<()> {
        self.noting(self.disk.read_at(offset, buffer))
    }

    fn extent_at(&self, offset: u64) -> storage::Result<Extent> {
        self.noting(self.disk.extent_at(offset))
    }

    fn host_file(&self) -> Option<(&std::fs::File, u64)> {
        self.disk.host_file()
    }

    fn copy_to(
        &self,
        offset: u64,
        length_bytes: u64,
        target: &std::fs::File,
        target_offset: u64,
    ) -> storage::Result<()> {
        self.noting(self.disk.copy_to(offset, length_bytes, target, target_offset))
    }
}

impl WriteAt for Attentive {
    fn write_at(&self, offset: u64, data: &[u8]) -> storage::Result<()> {
        self.disk.write_at(offset, data)
    }

    fn write_from(
        &self,
        offset: u64,
        source: &Arc<dyn ReadAt>,
        source_offset: u64,
        length_bytes: u64,
    ) -> storage::Result<()> {
        self.disk.write_from(offset, source, source_offset, length_bytes)
    }
}
