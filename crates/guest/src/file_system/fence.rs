//! A fence around file systems that other people's libraries read.
//!
//! Such a library is not written by our rules for bytes that somebody built: it may panic, or follow a structure that
//! refers to itself until the memory is full. Here are the bounds:
//!
//! - it reads the partition through a [`Fence`], which refuses to read more than a stated number of bytes in one call.
//!   A block that it reads a thousand times must count a thousand times: the cache of `rust-fs-xfs` is off, and
//!   `rust-fs-btrfs`, whose cache of tree blocks cannot be switched off, visits each block of a tree once. What they keep
//!   of a block is a small multiple of the block, so this bounds the memory and the time of a call;
//! - a panic is an error of the call. The file system itself is only read, so nothing of it is left half done.
//!
//! An error of the storage is noted on its way and given back as it was, because whether the host could not read or the
//! image is damaged decides what the user is told.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fs_core::BlockRead;
use storage::{Finding, ReadAt};

use super::{Bytes, FileSystemError, FileSystemProblem, Result};

/// How many bytes of metadata one call may read: a directory with a million names, a file with two million extents.
pub(super) const CALL_BYTES: u64 = 64 << 20;
/// How many bytes may be read when a file system is opened: its log may have to be replayed.
pub(super) const OPEN_BYTES: u64 = 1 << 30;

/// A partition that a library reads, within bounds.
pub(super) struct Fence {
    bytes: Bytes,
    call: Mutex<Call>,
}

/// What has happened in the call that is running.
#[derive(Default)]
struct Call {
    left_bytes: u64,
    is_over: bool,
    failed: Option<storage::Error>,
}

impl Fence {
    /// The fence around `bytes`.
    pub(super) fn new(bytes: Bytes) -> Arc<Self> {
        Arc::new(Self { bytes, call: Mutex::default() })
    }

    /// The partition.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    fn state(&self) -> MutexGuard<'_, Call> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the library do something for which it may read `limit_bytes` bytes.
    pub(super) fn call<T, E>(&self, limit_bytes: u64, work: impl FnOnce() -> std::result::Result<T, E>) -> Result<T>
    where
        E: Into<FileSystemError>,
    {
        *self.state() = Call { left_bytes: limit_bytes, ..Call::default() };
        let done = catch_unwind(AssertUnwindSafe(work));
        let Call { is_over, failed, .. } = std::mem::take(&mut *self.state());
        if let Some(error) = failed {
            return Err(error.into());
        }
        match done {
            // Even if the library takes it for a part that cannot be read, and goes on.
            Ok(_) if is_over => {
                let problem = format!("more than {limit_bytes} bytes of metadata would have to be read for one answer");
                Err(damaged("file system", problem))
            }
            Ok(done) => done.map_err(Into::into),
            Err(panic) => Err(damaged("file system", format!("it cannot be understood: {}", words(&*panic)))),
        }
    }
}

impl BlockRead for Fence {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> fs_core::Result<()> {
        let length = buffer.len() as u64;
        {
            let mut call = self.state();
            let Some(left_bytes) = call.left_bytes.checked_sub(length) else {
                call.is_over = true;
                return Err(fs_core::Error::Io(std::io::Error::other("the limit of one call is reached")));
            };
            call.left_bytes = left_bytes;
        }
        let is_inside = offset.checked_add(length).is_some_and(|end| end <= self.bytes.size_bytes());
        if !is_inside {
            return Err(fs_core::Error::Io(std::io::Error::other(format!(
                "{length} bytes at offset {offset} are past the end of the partition"
            ))));
        }
        self.bytes.read_at(offset, buffer).map_err(|error| {
            let words = error.to_string();
            self.state().failed = Some(error);
            fs_core::Error::Io(std::io::Error::other(words))
        })
    }

    fn size_bytes(&self) -> u64 {
        self.bytes.size_bytes()
    }
}

/// An error that says what is damaged.
pub(super) fn damaged(object: impl Into<String>, problem: impl Into<String>) -> FileSystemError {
    FileSystemProblem::Damaged(Finding::new(object, problem)).into()
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason was given")
}
