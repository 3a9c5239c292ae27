//! The one file in which the contents of changed files are kept.
//!
//! Pages are handed out in order and never twice, so that a page that was not written to yet reads as zeros. What is
//! given back becomes a hole in the file. Offsets have 64 bits and do not run out.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, fallocate};

/// The unit in which room is handed out, in bytes.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// A file without a name that contents are kept in.
#[derive(Debug)]
pub struct Spill {
    file: File,
    next: AtomicU64,
}

impl Spill {
    /// Keeps contents in `file`, which must be empty.
    pub fn new(file: File) -> Self {
        Self { file, next: AtomicU64::new(0) }
    }

    /// Room for `pages` pages of zeros; returns the first.
    pub(crate) fn allocate(&self, pages: u64) -> u64 {
        self.next.fetch_add(pages, Ordering::Relaxed)
    }

    /// Gives pages back. That the host cannot make a hole costs room and nothing else.
    pub(crate) fn free(&self, page: u64, pages: u64) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let _ = fallocate(&self.file, flags, page * PAGE_BYTES, pages * PAGE_BYTES);
    }

    pub(crate) fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    /// Fills `buffer`; what is past the end of the file was never written to and is zeros.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => {
                    buffer[done..].fill(0);
                    break;
                }
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
