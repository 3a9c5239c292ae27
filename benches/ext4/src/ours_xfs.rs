use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use storage::{FileStorage, ReadAt};
use xfs::FileSystem;

use crate::ours::{LARGE_BYTES, attributes};
use crate::tool::{Meta, Result, Tool};

/// Our engine for XFS.
pub struct OursXfs(FileSystem<FileStorage>);

impl Tool for OursXfs {
    type Directory = u64;

    fn open(image: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).open(image)?;
        Ok(Self(FileSystem::open(FileStorage::new(file)?)?))
    }

    fn root(&self) -> u64 {
        self.0.superblock().root()
    }

    fn create_directory(&mut self, parent: u64, name: &[u8], meta: &Meta, _names: &[Vec<u8>]) -> Result<u64> {
        Ok(self.0.create_directory(parent, name, &attributes(meta))?)
    }

    fn create_file(&mut self, parent: u64, name: &[u8], meta: &Meta, mut content: File, size_bytes: u64) -> Result<()> {
        if size_bytes < LARGE_BYTES {
            self.0.create_file(parent, name, &attributes(meta), size_bytes, &mut content)?;
        } else {
            let source: Arc<dyn ReadAt> = Arc::new(FileStorage::new(content)?);
            self.0.create_file_from(parent, name, &attributes(meta), &source)?;
        }
        Ok(())
    }

    fn remove_tree(&mut self, name: &[u8]) -> Result<()> {
        Ok(self.0.remove_tree(self.root(), name)?)
    }

    fn finish(mut self) -> Result<()> {
        self.0.flush()?;
        Ok(self.0.storage().file().sync_all()?)
    }
}
