use serde::Serialize;

use crate::put::Put;

/// What a `put` comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PutReport {
    /// The file or directory of the host, as it was asked for.
    pub source: String,
    /// Where it really goes in the guest: no symlink on the way.
    pub destination: String,
    /// The mode that the file gets; none for a tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Number of regular files.
    pub files: u64,
    /// Number of new directories, without those on the way.
    pub directories: u64,
    /// Number of symlinks.
    pub symlinks: u64,
    /// Size of all files in bytes.
    pub size_bytes: u64,
    /// Number of files and symlinks of the guest that this replaces.
    pub replaced: u64,
    /// Directories made on the way.
    pub parents: Vec<String>,
}

impl PutReport {
    pub(crate) fn new(put: &Put, uid: u32, gid: u32) -> Self {
        Self {
            source: put.source.display().to_string(),
            destination: String::new(),
            mode: None,
            uid,
            gid,
            files: 0,
            directories: 0,
            symlinks: 0,
            size_bytes: 0,
            replaced: 0,
            parents: Vec::new(),
        }
    }
}
