//! Bytes at offsets: the one interface between imgraft's layers.
//!
//! Every format reads through [`ReadAt`] and writes through [`WriteAt`]. No format knows whether the bytes come
//! from a file, from memory, from a part of a disk ([`Window`]) or from the copy-on-write [`Overlay`] that keeps
//! edits apart from the base image until they are committed.
//!
//! ```
//! use std::sync::Arc;
//! use storage::{Memory, Overlay, ReadAt, WriteAt};
//!
//! let base = Arc::new(Memory::from(vec![0u8; 8192]));
//! let overlay = Overlay::new(base, 1 << 20, Box::new(|| Err(std::io::ErrorKind::Unsupported.into())));
//! overlay.write_at(4096, b"graft")?;
//! let mut five = [0; 5];
//! overlay.read_at(4096, &mut five)?;
//! assert_eq!(&five, b"graft");
//! assert_eq!(overlay.changed(), vec![4096..8192]);
//! # Ok::<(), storage::Error>(())
//! ```

mod cache;
mod error;
mod extended;
#[cfg(any(test, feature = "failing"))]
mod failing;
mod file;
mod finding;
mod memory;
mod overlay;
mod printable;
mod reader;
#[cfg(any(test, feature = "failing"))]
mod recorder;
mod sequence;
mod target;
mod window;

use std::sync::Arc;

pub use cache::Cache;
pub use error::{Error, Operation, Reason, Result};
pub use extended::Extended;
#[cfg(any(test, feature = "failing"))]
pub use failing::Failing;
pub use file::{FileStorage, copy};
pub use finding::Finding;
pub use memory::Memory;
pub use overlay::{OVERLAY_BLOCK_BYTES, Overlay, SpillFile};
pub use printable::Printable;
pub use reader::Reader;
#[cfg(any(test, feature = "failing"))]
pub use recorder::{Event, Recorder};
pub use sequence::Sequence;
pub use target::Target;
pub use window::Window;

/// Something that can be read at byte offsets, by several threads at once.
pub trait ReadAt: Send + Sync {
    /// Size in bytes. A read past it is an error.
    fn size_bytes(&self) -> u64;

    /// Fills `buffer` with the bytes that begin at `offset`.
    ///
    /// # Errors
    ///
    /// [`Reason::PastEnd`] if `offset + buffer.len()` is past [`size_bytes`](Self::size_bytes), otherwise the error
    /// of the layer below. The buffer's content is unspecified after an error.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;

    /// The kind and length of the run from `offset` on that is of one kind, as far as that is known without reading
    /// it. The length is at least 1, and the run ends inside [`size_bytes`](Self::size_bytes).
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at); `offset` must be inside the storage.
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        check_range(Operation::Read, offset, 1, self.size_bytes())?;
        Ok(Extent { kind: ExtentKind::Data, length_bytes: self.size_bytes() - offset })
    }

    /// The host file that has this storage's bytes, if there is one, and the offset in it at which they begin: so
    /// [`copy`] can leave the copying to the kernel.
    fn host_file(&self) -> Option<(&std::fs::File, u64)> {
        None
    }

    /// Copies the `length_bytes` bytes from `offset` on to the host file `target`, inside the kernel if they are in a
    /// host file. Call [`copy`] instead.
    ///
    /// # Errors
    ///
    /// The error of the read or the write; a part may have been written.
    fn copy_to(&self, offset: u64, length_bytes: u64, target: &std::fs::File, target_offset: u64) -> Result<()> {
        check_range(Operation::Read, offset, length_bytes, self.size_bytes())?;
        let in_kernel = match self.host_file() {
            Some((file, first)) => file::copy_in_kernel(file, first + offset, target, target_offset, length_bytes),
            None => 0,
        };
        in_steps(length_bytes - in_kernel, |done, step| {
            self.read_at(offset + in_kernel + done, step)?;
            file::write_host(target, target_offset + in_kernel + done, step)
        })
    }
}

/// Something that can be written at byte offsets, by several threads at once.
pub trait WriteAt: ReadAt {
    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    ///
    /// [`Reason::PastEnd`] if the range is not inside a storage of fixed size, otherwise the error of the layer
    /// below.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()>;

    /// Writes the `length_bytes` bytes of `source` from `source_offset` on at `offset`. A storage that keeps changes
    /// apart may keep `source` instead of its bytes: `source` must not change as long as this storage is used.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at), and an error of reading `source`. A part may have been written.
    fn write_from(&self, offset: u64, source: &Arc<dyn ReadAt>, source_offset: u64, length_bytes: u64) -> Result<()> {
        check_range(Operation::Read, source_offset, length_bytes, source.size_bytes())?;
        in_steps(length_bytes, |done, step| {
            source.read_at(source_offset + done, step)?;
            self.write_at(offset + done, step)
        })
    }
}

/// The bytes that are in memory at a time while one storage is copied to another.
pub(crate) const COPY_STEP_BYTES: u64 = 1 << 20;

/// Calls `copy` for `length_bytes` bytes in steps, with the number of bytes done and a buffer for the next ones.
pub(crate) fn in_steps(length_bytes: u64, mut copy: impl FnMut(u64, &mut [u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; length_bytes.min(COPY_STEP_BYTES) as usize];
    let mut done = 0;
    while done < length_bytes {
        let step = &mut buffer[..(length_bytes - done).min(COPY_STEP_BYTES) as usize];
        copy(done, step)?;
        done += step.len() as u64;
    }
    Ok(())
}

/// A run of bytes of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Whether the bytes have to be read.
    pub kind: ExtentKind,
    /// Length in bytes, at least 1.
    pub length_bytes: u64,
}

/// What is known of a run of bytes without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentKind {
    /// Any bytes: they have to be read.
    Data,
    /// Zeros that take no room.
    Zero,
}

macro_rules! forward_storage {
    ($($pointer:ty),*) => {$(
        impl<T: ReadAt + ?Sized> ReadAt for $pointer {
            fn size_bytes(&self) -> u64 {
                (**self).size_bytes()
            }
            fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
                (**self).read_at(offset, buffer)
            }
            fn extent_at(&self, offset: u64) -> Result<Extent> {
                (**self).extent_at(offset)
            }
            fn host_file(&self) -> Option<(&std::fs::File, u64)> {
                (**self).host_file()
            }
            fn copy_to(&self, offset: u64, length_bytes: u64, target: &std::fs::File, target_offset: u64) -> Result<()> {
                (**self).copy_to(offset, length_bytes, target, target_offset)
            }
        }
        impl<T: WriteAt + ?Sized> WriteAt for $pointer {
            fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
                (**self).write_at(offset, data)
            }
            fn write_from(&self, offset: u64, source: &Arc<dyn ReadAt>, source_offset: u64, length_bytes: u64) -> Result<()> {
                (**self).write_from(offset, source, source_offset, length_bytes)
            }
        }
    )*};
}

forward_storage!(&T, Arc<T>, Box<T>);

/// Refuses a range that is not inside `size_bytes`.
///
/// # Errors
///
/// [`Reason::PastEnd`].
pub fn check_range(operation: Operation, offset: u64, length_bytes: u64, size_bytes: u64) -> Result<()> {
    match offset.checked_add(length_bytes) {
        Some(end) if end <= size_bytes => Ok(()),
        _ => Err(Error { operation, offset, length_bytes, reason: Reason::PastEnd { size_bytes } }),
    }
}
