//! Raw images: the file is the disk.

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
