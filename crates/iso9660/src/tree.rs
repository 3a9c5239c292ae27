use std::collections::BTreeMap;
use std::sync::Arc;

use storage::ReadAt;

/// A directory that is to be written.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Its permissions, of 07777.
    pub permissions: u16,
    /// What is in it, by name.
    pub entries: BTreeMap<String, Node>,
}

/// Something in a directory that is to be written.
#[derive(Clone)]
pub enum Node {
    /// A file.
    File {
        /// Its permissions, of 07777.
        permissions: u16,
        /// Its bytes, which are not copied and must not change as long as the image is used.
        content: Arc<dyn ReadAt>,
    },
    /// A directory.
    Directory(Directory),
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { permissions, content } => {
                f.debug_struct("File").field("permissions", permissions).field("bytes", &content.size_bytes()).finish()
            }
            Self::Directory(directory) => directory.fmt(f),
        }
    }
}
