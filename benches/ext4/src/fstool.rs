use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use fstool::block::{BlockDevice, FileBackend};
use fstool::fs::FileMeta;
use fstool::fs::ext::Ext;

use crate::tool::{Meta, Result, Tool};

pub struct Fstool {
    device: FileBackend,
    filesystem: Ext,
}

const ROOT: u32 = 2;

/// From here on a directory gets an index, which fstool makes only for names that it is told beforehand.
const INDEXED_FROM_NAMES: usize = 1000;

impl Tool for Fstool {
    type Directory = u32;

    fn open(image: &Path) -> Result<Self> {
        let mut device = FileBackend::open(image)?;
        let filesystem = Ext::open(&mut device)?;
        filesystem.check_writable()?;
        Ok(Self { device, filesystem })
    }

    fn root(&self) -> u32 {
        ROOT
    }

    fn create_directory(&mut self, parent: u32, name: &[u8], meta: &Meta, names: &[Vec<u8>]) -> Result<u32> {
        let (device, meta) = (&mut self.device, file_meta(meta));
        Ok(if names.len() < INDEXED_FROM_NAMES {
            self.filesystem.add_dir_to(device, parent, name, meta)?
        } else {
            let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            self.filesystem.add_dir_indexed(device, parent, name, meta, &names)?
        })
    }

    fn create_file(&mut self, parent: u32, name: &[u8], meta: &Meta, content: File, size_bytes: u64) -> Result<()> {
        // It asks for a block at a time.
        let mut content = BufReader::with_capacity(size_bytes.clamp(1, 1 << 20) as usize, content);
        let meta = file_meta(meta);
        self.filesystem.add_file_to_streaming(&mut self.device, parent, name, &mut content, size_bytes, meta)?;
        Ok(())
    }

    fn remove_tree(&mut self, name: &[u8]) -> Result<()> {
        let inode = self.filesystem.lookup_dir_entry(&mut self.device, ROOT, name)?.ok_or("no such name")?;
        self.remove(inode, &format!("/{}", std::str::from_utf8(name)?))
    }

    fn finish(mut self) -> Result<()> {
        self.filesystem.flush(&mut self.device)?;
        Ok(self.device.sync()?)
    }
}

impl Fstool {
    /// Removes what `path` names, which is `inode`, children first.
    fn remove(&mut self, inode: u32, path: &str) -> Result<()> {
        if self.filesystem.read_inode(&mut self.device, inode)?.mode & 0o170_000 == 0o040_000 {
            for child in self.filesystem.list_inode(&mut self.device, inode)? {
                if child.name != "." && child.name != ".." {
                    self.remove(child.inode, &format!("{path}/{}", child.name))?;
                }
            }
        }
        Ok(self.filesystem.remove_path(&mut self.device, path)?)
    }
}

fn file_meta(meta: &Meta) -> FileMeta {
    let modified_s = meta.modified_s.clamp(0, i64::from(u32::MAX)) as u32;
    FileMeta {
        mode: meta.permissions,
        uid: meta.uid,
        gid: meta.gid,
        mtime: modified_s,
        atime: modified_s,
        ctime: modified_s,
    }
}
