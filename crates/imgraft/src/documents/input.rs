//! What a build read of the host, by digest.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use catalogue::cache::{Algorithm, Hasher};
use provenance::Input;

use crate::failure::Failure;
use crate::report::ImageFile;

/// A file or tree that operations name.
#[derive(Debug)]
pub(super) struct Given {
    name: String,
    path: PathBuf,
}

impl Given {
    /// Each of `sources` once, by the name that it was given for in `inputs`.
    pub(super) fn all<'a>(sources: impl Iterator<Item = &'a PathBuf>, inputs: &BTreeMap<String, PathBuf>) -> Vec<Self> {
        let sources: BTreeSet<&PathBuf> = sources.collect();
        let named = |path: &&PathBuf| inputs.iter().find(|(_, given)| given == path).map(|(name, _)| name.clone());
        let given = |path: &PathBuf| Self {
            name: named(&path).unwrap_or_else(|| path.display().to_string()),
            path: path.clone(),
        };
        sources.into_iter().map(given).collect()
    }

    /// With its digest.
    pub(super) fn digested(&self) -> io::Result<Input> {
        let is_tree = self.path.is_dir();
        let (sha256, size_bytes) = if is_tree { tree(&self.path)? } else { file(&self.path)? };
        Ok(Input {
            name: self.name.clone(),
            path: self.path.display().to_string(),
            kind: if is_tree { "tree" } else { "file" }.to_owned(),
            sha256,
            size_bytes,
        })
    }
}

/// The SHA-256 of a file.
pub(super) fn sha256_of(path: &Path) -> Result<String, Failure> {
    Ok(ImageFile::of(path, None)?.sha256.unwrap_or_default())
}

fn file(path: &Path) -> io::Result<(String, u64)> {
    let file = ImageFile::of(path, None).map_err(|failure| io::Error::other(failure.in_one_line()))?;
    Ok((file.sha256.unwrap_or_default(), file.file_size_bytes.unwrap_or_default()))
}

fn hash(bytes: &[u8]) -> String {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish().hex()
}

/// The digest of the lines that `sha256sum` prints of a tree's files, sorted by path. A symlink has the digest of its target.
fn tree(root: &Path) -> io::Result<(String, u64)> {
    let (mut found, mut left, mut size_bytes) = (BTreeMap::new(), vec![root.to_owned()], 0);
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let name = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_bytes().to_vec();
            if kind.is_dir() {
                left.push(path);
            } else if kind.is_symlink() {
                found.insert(name, hash(std::fs::read_link(&path)?.as_os_str().as_bytes()));
            } else if kind.is_file() {
                let (sha256, bytes) = file(&path)?;
                size_bytes += bytes;
                found.insert(name, sha256);
            }
        }
    }
    let lines = found.iter().flat_map(|(name, sha256)| [sha256.as_bytes(), b"  ", name, b"\n"].concat());
    Ok((hash(&lines.collect::<Vec<u8>>()), size_bytes))
}
