use std::fs::File;
use std::path::Path;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What a new file is given, as far as the tool can.
pub struct Meta {
    pub permissions: u16,
    pub uid: u32,
    pub gid: u32,
    pub modified_s: i64,
    pub modified_ns: u32,
}

/// A library that edits ext4, used as its own documentation would have it be used in bulk.
pub trait Tool: Sized {
    /// How it names a directory.
    type Directory: Copy;

    fn open(image: &Path) -> Result<Self>;

    fn root(&self) -> Self::Directory;

    /// Creates a directory in which `names` are going to be created.
    fn create_directory(
        &mut self,
        parent: Self::Directory,
        name: &[u8],
        meta: &Meta,
        names: &[Vec<u8>],
    ) -> Result<Self::Directory>;

    fn create_file(
        &mut self,
        parent: Self::Directory,
        name: &[u8],
        meta: &Meta,
        content: File,
        size_bytes: u64,
    ) -> Result<()>;

    /// Removes `name` from the root, with all that is in it.
    fn remove_tree(&mut self, name: &[u8]) -> Result<()>;

    /// Writes everything to the image and waits until the disk has it.
    fn finish(self) -> Result<()>;
}
