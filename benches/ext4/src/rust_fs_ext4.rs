use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use fs_ext4::Filesystem;
use fs_ext4::block_io::{BlockDevice, CallbackDevice};

use crate::tool::{Meta, Result, Tool};

/// Times stay what the library gives: setting them would be a transaction more for each file.
pub struct RustFsExt4 {
    image: Arc<File>,
    filesystem: Filesystem,
}

const ROOT: u32 = 2;

/// How much is written in one call. The library makes a transaction of it, or several.
const STEP_BYTES: u64 = 16 << 20;

impl Tool for RustFsExt4 {
    type Directory = u32;

    fn open(image: &Path) -> Result<Self> {
        let image = Arc::new(File::options().read(true).write(true).open(image)?);
        let filesystem = Filesystem::mount(device(&image)?)?;
        Ok(Self { image, filesystem })
    }

    fn root(&self) -> u32 {
        ROOT
    }

    fn create_directory(&mut self, parent: u32, name: &[u8], meta: &Meta, _names: &[Vec<u8>]) -> Result<u32> {
        Ok(self.filesystem.apply_mkdir_at(parent, name, meta.permissions)?)
    }

    fn create_file(&mut self, parent: u32, name: &[u8], meta: &Meta, mut content: File, size_bytes: u64) -> Result<()> {
        let inode = self.filesystem.apply_create_at(parent, name, meta.permissions)?;
        if (meta.uid, meta.gid) != (0, 0) {
            self.filesystem.apply_chown_ino(inode, meta.uid, meta.gid)?;
        }
        let mut step = vec![0; size_bytes.min(STEP_BYTES) as usize];
        let mut done = 0;
        while done < size_bytes {
            let step = &mut step[..(size_bytes - done).min(STEP_BYTES) as usize];
            content.read_exact(step)?;
            self.filesystem.apply_pwrite_ino(inode, done, step)?;
            done += step.len() as u64;
        }
        Ok(())
    }

    fn remove_tree(&mut self, name: &[u8]) -> Result<()> {
        self.remove(ROOT, name)
    }

    fn finish(self) -> Result<()> {
        self.filesystem.finish()?;
        Ok(self.image.sync_all()?)
    }
}

impl RustFsExt4 {
    fn remove(&mut self, parent: u32, name: &[u8]) -> Result<()> {
        let inode = self.filesystem.lookup_at(parent, name)?;
        if !self.filesystem.stat_ino(inode)?.is_dir() {
            return Ok(self.filesystem.apply_unlink_at(parent, name)?);
        }
        for child in self.filesystem.read_dir_ino(inode)? {
            if child.name != b"." && child.name != b".." {
                self.remove(inode, &child.name)?;
            }
        }
        Ok(self.filesystem.apply_rmdir_at(parent, name)?)
    }
}

/// The image, without the wait for the disk that the library asks for after each operation: there is one
/// at the end, as for all.
fn device(image: &Arc<File>) -> Result<Arc<dyn BlockDevice>> {
    let (reads, writes) = (Arc::clone(image), Arc::clone(image));
    Ok(Arc::new(CallbackDevice {
        size: image.metadata()?.len(),
        read: Box::new(move |offset, buffer| reads.read_exact_at(buffer, offset)),
        write: Some(Box::new(move |offset, data| writes.write_all_at(data, offset))),
        flush: None,
    }))
}
