//! Digests of what cells read of the host, each file once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::record::sha256;
use crate::failure::Failure;
use crate::report::ImageFile;

/// The digests that are known.
#[derive(Debug, Default)]
pub(super) struct Digests(Mutex<BTreeMap<PathBuf, String>>);

impl Digests {
    /// The digest of the file or the tree at `path`: of content and modes, as both go into an image.
    pub(super) fn of(&self, path: &Path) -> Result<String, Failure> {
        // Whoever else wants the same waits, and does not read it again.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = known.get(path) {
            return Ok(digest.clone());
        }
        let failed = |error: &io::Error| Failure::because(format!("`{}` cannot be read", path.display()), error);
        let mut lines = String::new();
        add(path, Path::new(""), &mut lines).map_err(|error| failed(&error))?;
        let digest = sha256(&lines);
        known.insert(path.to_owned(), digest.clone());
        Ok(digest)
    }
}

/// Adds a line for what is at `path`, and those of what is in it.
fn add(path: &Path, name: &Path, lines: &mut String) -> io::Result<()> {
    // What is put itself may be a symlink that stands for something else; in a tree, it is a symlink.
    let is_root = name.as_os_str().is_empty();
    let metadata = if is_root { fs::metadata(path)? } else { fs::symlink_metadata(path)? };
    let content = if metadata.is_dir() {
        String::new()
    } else if metadata.is_symlink() {
        format!("{:?}", fs::read_link(path)?.as_os_str().as_bytes())
    } else if metadata.is_file() {
        let file = ImageFile::of(path, None).map_err(|failure| io::Error::other(failure.in_one_line()))?;
        file.sha256.unwrap_or_default()
    } else {
        return Err(io::Error::other(format!("{} is neither a file nor a folder", path.display())));
    };
    lines.push_str(&format!("{:?} {:o} {content}\n", name.as_os_str().as_bytes(), metadata.mode()));
    if metadata.is_dir() {
        let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            add(&entry.path(), &name.join(entry.file_name()), lines)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn whatever_goes_into_an_image_changes_the_digest() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("a")).unwrap();
        fs::write(tree.join("a/b"), "1").unwrap();
        let digest = || Digests::default().of(&tree).unwrap();
        let mut seen = vec![digest()];
        let [b, c, link] = ["a/b", "a/c", "link"].map(|name| tree.join(name));
        let relink = || {
            fs::remove_file(&link).unwrap();
            symlink("a/b", &link).unwrap();
        };
        let changes: [&dyn Fn(); 5] = [
            &|| fs::write(&b, "2").unwrap(),
            &|| fs::set_permissions(&b, fs::Permissions::from_mode(0o755)).unwrap(),
            &|| fs::rename(&b, &c).unwrap(),
            &|| symlink("a/c", &link).unwrap(),
            &relink,
        ];
        for change in changes {
            assert_eq!(Some(&digest()), seen.last());
            change();
            let now = digest();
            assert!(!seen.contains(&now));
            seen.push(now);
        }
        assert!(Digests::default().of(Path::new("/dev/null")).is_err());
        assert!(Digests::default().of(&folder.path().join("none")).is_err());
    }
}
