//! The manifest: what an image is made of, and what was changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// The version of the manifest's form.
pub const VERSION: u32 = 1;
/// The largest manifest that is read or written, in bytes.
pub const LIMIT_BYTES: u64 = 64 << 20;

/// What an image is made of, what was done, and what differs from the base.
///
/// Digests are SHA-256 in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`VERSION`].
    pub manifest_version: u32,
    /// The time that the build gave to what is new in the image, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// What made the image.
    pub tool: Tool,
    /// The recipe's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Digested>,
    /// The base.
    pub base: Base,
    /// What was given for the recipe's inputs, and what operations name.
    pub inputs: Vec<Input>,
    /// What was done, in this order.
    pub operations: Vec<Value>,
    /// The packages that differ from the base's, where the list of the guest can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<Value>,
    /// What differs from the base.
    pub changes: Changes,
    /// The files that were made.
    pub outputs: Vec<Output>,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A file and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digested {
    /// The file, as the user calls it.
    pub name: String,
    /// Its digest.
    pub sha256: String,
}

/// The base of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Its name: the one of the catalogue, or its file's.
    pub name: String,
    /// The digest of its file.
    pub sha256: String,
    /// The size of its file.
    pub size_bytes: u64,
    /// Where it came from, if it goes by a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<Published>,
    /// The lock that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<Digested>,
}

/// Where a base came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Its address at the publisher.
    pub address: String,
    /// The digest that the publisher states: `sha256:…`.
    pub digest: String,
    /// Why that is trusted, for people.
    pub verified: String,
}

/// A file or tree of the host that a build read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name in the recipe, or its path where it has none.
    pub name: String,
    /// Its path, as the user calls it.
    pub path: String,
    /// `file` or `tree`.
    pub kind: String,
    /// The digest of the file; of a tree, that of the lines that `sha256sum` prints of its files, sorted by their paths in
    /// the tree.
    pub sha256: String,
    /// The size of the file, or of all files of the tree.
    pub size_bytes: u64,
}

/// All that differs from the base.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// The disks' sizes, `from` and `to`.
    pub disk_bytes: Value,
    /// In the partition table.
    pub partition_table: Vec<Value>,
    /// Outside partitions.
    pub outside: Vec<Value>,
    /// In partitions as a whole.
    pub volumes: Vec<Value>,
    /// In files.
    pub paths: Vec<PathChange>,
}

/// A path whose file differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathChange {
    /// `added`, `changed`, `removed`.
    pub change: String,
    /// The path in the guest. Bytes that are no text are `\xNN`.
    pub path: String,
    /// The file system that it is on.
    pub volume: String,
    /// What differs, where both have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub what: Vec<String>,
    /// The file in the base.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<File>,
    /// The file in the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<File>,
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// `regular`, `directory`, `symlink`, …
    pub kind: String,
    /// Permission bits, as octal digits.
    pub mode: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Its size, but for a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// When it was modified: seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
    /// How many names it has, but for a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<u32>,
    /// The target of a symlink.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Major and minor number of a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<(u32, u32)>,
    /// The digest of a regular file's content; only of a file of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The digests of its extended attributes' values, by name; only of a file of the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, String>,
    /// The flags that `lsattr` shows; only of a file of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<u32>,
}

/// A file that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The file's name, without a folder.
    pub name: String,
    /// Its format: `qcow2`.
    pub format: String,
    /// Its digest.
    pub sha256: String,
    /// Its size.
    pub size_bytes: u64,
    /// The size of the disk in it.
    pub virtual_size_bytes: u64,
}

/// Why a manifest cannot be used.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// It is larger than one that is read.
    #[error("it is larger than {LIMIT_BYTES} bytes")]
    TooLarge,
    /// It is not one.
    #[error("it is not a manifest of an image: {0}")]
    Form(#[from] serde_json::Error),
    /// It has another version.
    #[error("it has version {0} of the form, and {VERSION} is known")]
    Version(u32),
    /// It is about no image, or about several.
    #[error("it is about {0} images, and one is verified at a time")]
    Outputs(usize),
}

impl Manifest {
    /// The manifest in `bytes`, which may be anything.
    ///
    /// # Errors
    ///
    /// If it is none that can be used.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > LIMIT_BYTES {
            return Err(ManifestError::TooLarge);
        }
        // The version first: a later one may have fields that this one does not know.
        #[derive(Deserialize)]
        struct Version {
            manifest_version: u32,
        }
        let Version { manifest_version } = serde_json::from_slice(bytes)?;
        if manifest_version != VERSION {
            return Err(ManifestError::Version(manifest_version));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        match manifest.outputs.len() {
            1 => Ok(manifest),
            count => Err(ManifestError::Outputs(count)),
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    ///
    /// If it is too large to be read again.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        let bytes = crate::pretty(self);
        if bytes.len() as u64 > LIMIT_BYTES { Err(ManifestError::TooLarge) } else { Ok(bytes) }
    }
}
