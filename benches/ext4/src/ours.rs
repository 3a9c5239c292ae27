use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use ext4::{Attributes, FileSystem, InodeNumber, Time};
use storage::{FileStorage, ReadAt};

use crate::tool::{Meta, Result, Tool};

pub struct Ours(FileSystem<FileStorage>);

/// From here on a source is handed over as a file, as the product does it.
pub(crate) const LARGE_BYTES: u64 = 1 << 20;

impl Tool for Ours {
    type Directory = InodeNumber;

    fn open(image: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).open(image)?;
        Ok(Self(FileSystem::open(FileStorage::new(file)?)?))
    }

    fn root(&self) -> InodeNumber {
        InodeNumber::ROOT
    }

    fn create_directory(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        meta: &Meta,
        _names: &[Vec<u8>],
    ) -> Result<InodeNumber> {
        Ok(self.0.create_directory(parent, name, &attributes(meta))?)
    }

    fn create_file(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        meta: &Meta,
        mut content: File,
        size_bytes: u64,
    ) -> Result<()> {
        if size_bytes < LARGE_BYTES {
            self.0.create_file(parent, name, &attributes(meta), size_bytes, &mut content)?;
        } else {
            let source: Arc<dyn ReadAt> = Arc::new(FileStorage::new(content)?);
            self.0.create_file_from(parent, name, &attributes(meta), &source)?;
        }
        Ok(())
    }

    fn remove_tree(&mut self, name: &[u8]) -> Result<()> {
        Ok(self.0.remove_tree(InodeNumber::ROOT, name)?)
    }

    fn finish(mut self) -> Result<()> {
        self.0.flush()?;
        Ok(self.0.storage().file().sync_all()?)
    }
}

pub(crate) fn attributes(meta: &Meta) -> Attributes {
    Attributes {
        permissions: meta.permissions,
        uid: meta.uid,
        gid: meta.gid,
        modified: Time { seconds: meta.modified_s, nanoseconds: meta.modified_ns },
    }
}
