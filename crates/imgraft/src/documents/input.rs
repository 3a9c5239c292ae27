//! What a build read of the host, by digest, and what it is called in documents.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use catalogue::cache::{Algorithm, Hasher};
use customize::ReadFile;
use provenance::Input;

use crate::failure::Failure;
use crate::report::ImageFile;

/// What paths of the host are called: where a checkout is, is nobody's business, and two have the same documents.
#[derive(Debug)]
pub(super) struct Names {
    /// The recipe's folder, or the one in which paths are typed.
    folder: PathBuf,
}

impl Names {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: absolute(folder) }
    }

    /// The path from the folder, or the name alone of what is not in it.
    pub(super) fn of(&self, path: &Path) -> String {
        let whole = absolute(path);
        let inside = whole.strip_prefix(&self.folder).ok();
        let inside = inside.filter(|path| path.components().all(|part| matches!(part, Component::Normal(_))));
        let name = inside.filter(|path| !path.as_os_str().is_empty()).or(path.file_name().map(Path::new));
        name.unwrap_or(Path::new("input")).display().to_string()
    }

    /// `text`, which names `path` first, with the name in its place.
    pub(super) fn within(&self, text: &str, path: &Path) -> String {
        text.replacen(&path.display().to_string(), &self.of(path), 1)
    }
}

/// Without looking at symlinks.
fn absolute(path: &Path) -> PathBuf {
    // An empty path is the folder in which paths are typed.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What was read, a file or tree that operations name each, in the order of their paths. `given` are the names that they
/// were given for. A file that was read several times, with different content, is an error.
pub(super) fn inputs(
    read: &[ReadFile],
    given: &BTreeMap<String, PathBuf>,
    names: &Names,
) -> Result<Vec<Input>, String> {
    let mut sources: BTreeMap<&Path, BTreeMap<&Path, &ReadFile>> = BTreeMap::new();
    for file in read {
        let known = sources.entry(&file.source).or_default().insert(&file.path, file);
        if known.is_some_and(|known| known.sha256 != file.sha256) {
            return Err(format!("`{}` changed between two readings of it", file.path.display()));
        }
    }
    let inputs = sources.into_iter().map(|(source, files)| {
        let name = given.iter().find(|(_, path)| *path == source).map(|(name, _)| name.clone());
        let (kind, sha256) = match files.get(source) {
            Some(file) => ("file", file.sha256.clone()),
            None => ("tree", tree(source, files.values())),
        };
        let path = names.of(source);
        Input {
            name: name.unwrap_or_else(|| path.clone()),
            path,
            kind: kind.to_owned(),
            sha256,
            size_bytes: files.values().map(|file| file.size_bytes).sum(),
        }
    });
    Ok(inputs.collect())
}

/// The digest of the lines that `sha256sum` prints of a tree's files, sorted by path. A symlink has the digest of its
/// target.
fn tree<'a>(root: &Path, files: impl Iterator<Item = &'a &'a ReadFile>) -> String {
    let mut lines: Vec<(&[u8], &str)> = files
        .map(|file| (file.path.strip_prefix(root).unwrap_or(&file.path).as_os_str().as_bytes(), file.sha256.as_str()))
        .collect();
    lines.sort_unstable();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for (name, sha256) in lines {
        hasher.update(&[sha256.as_bytes(), b"  ", name, b"\n"].concat());
    }
    hasher.finish().hex()
}

/// The SHA-256 of a text.
pub(super) fn sha256_of_text(text: &str) -> String {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(text.as_bytes());
    hasher.finish().hex()
}

/// The SHA-256 of a file.
pub(super) fn sha256_of(path: &Path) -> Result<String, Failure> {
    Ok(ImageFile::of(path, None)?.sha256.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_say_where_a_checkout_is() {
        let names = Names::new(Path::new("/home/me/project"));
        for (path, name) in [
            ("/home/me/project/dist/app", "dist/app"),
            ("/home/me/project/../other/app", "app"),
            ("/home/me/project", "project"),
            ("/home/me/projects/app", "app"),
            ("/etc/app", "app"),
            ("/", "input"),
        ] {
            assert_eq!(names.of(Path::new(path)), name, "{path}");
        }
        assert_eq!(Names::new(Path::new("")).of(Path::new("dist/app")), "dist/app");
        assert_eq!(Names::new(Path::new("")).of(Path::new("../dist/app")), "app");
        let text = "put /home/me/project/a at /home/me/project/a (1 B)";
        assert_eq!(names.within(text, Path::new("/home/me/project/a")), "put a at /home/me/project/a (1 B)");
    }
}
