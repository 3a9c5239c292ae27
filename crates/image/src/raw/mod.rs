//! Raw images: the file is the disk.
//!
//! # How it works, by an example
//!
//! There is no header and no table. In the disk of 1 MiB that the [qcow2 example](crate::qcow2) has, the guest's byte
//! 0xa1234 is the file's byte 0xa1234. What such a file costs is decided by the host's file system:
//!
//! ```console
//! $ stat -c '%s bytes, %b blocks of %B' disk.raw
//! 1048576 bytes, 136 blocks of 512
//! ```
//!
//! 136 × 512 is 68 KiB: 64 KiB for the cluster of letters at 0x30000 and 4 KiB around `graft`, at 0xa1000. Everything
//! else is a hole, which takes no room and reads as zeros. A new file keeps that: each 4 KiB of zeros
//! ([`write_but_zeros`]) are left out, and the file's size is set at the beginning. `SEEK_HOLE` finds the holes of a
//! base, so that they are neither read nor copied.
//!
//! Because any file could be a raw image, [`probe`](crate::probe()) asks for what a disk begins with: a partition
//! table or a file system.

mod edit;
mod write;

use std::sync::Arc;

use storage::ReadAt;

use crate::{Format, Info};

pub(crate) use edit::write_to_copy;
pub(crate) use write::{write, write_but_zeros};

/// A raw image.
pub(crate) struct Raw {
    file: Arc<dyn ReadAt>,
}

impl Raw {
    pub(crate) fn open(file: Arc<dyn ReadAt>) -> Self {
        Self { file }
    }

    pub(crate) fn file(&self) -> &dyn ReadAt {
        &*self.file
    }

    pub(crate) fn info(&self) -> Info {
        let size_bytes = self.file.size_bytes();
        Info::new(Format::Raw, size_bytes, size_bytes)
    }
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raw").field("size_bytes", &self.file.size_bytes()).finish_non_exhaustive()
    }
}
