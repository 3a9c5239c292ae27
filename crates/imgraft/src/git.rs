//! The commit that a folder's repository has checked out, read from its files: git itself is not started.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The largest `HEAD`, reference or pointer to a folder that is read, in bytes.
const SMALL_FILE_LIMIT_BYTES: u64 = 4096;
/// How much of `packed-refs` is read, in bytes: a million references.
const PACKED_REFS_LIMIT_BYTES: u64 = 64 << 20;
/// How many references may name one another: as many as git follows.
const MAX_REFERENCES: usize = 5;

/// Why there is no commit, for people.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoCommit(pub(crate) String);

/// The digits of the commit that is checked out where `folder` is.
///
/// # Errors
///
/// No repository, and one that has no commit or keeps its references in a way that is not read here.
pub(crate) fn commit(folder: &Path) -> Result<String, NoCommit> {
    let start = std::fs::canonicalize(folder).map_err(|error| unreadable(folder, &error))?;
    let repository = start.ancestors().find_map(repository).transpose()?;
    let Some(repository) = repository else {
        return Err(NoCommit(format!("`{}` is in no git repository", start.display())));
    };
    // A linked worktree has its own HEAD, and its references are where the repository is.
    let common = match small_file(&repository.join("commondir"))? {
        Some(text) => repository.join(text),
        None => repository.clone(),
    };
    let head = small_file(&repository.join("HEAD"))?;
    let mut value = head.ok_or_else(|| NoCommit(format!("`{}` has no HEAD", repository.display())))?;
    for _ in 0..MAX_REFERENCES {
        let Some(name) = value.strip_prefix("ref:").map(str::trim) else { return digits(&value) };
        value = reference(name, &repository, &common)?;
    }
    Err(NoCommit(format!("HEAD of `{}` is a reference to a reference, over and over", repository.display())))
}

/// The repository whose files are worked on in `folder`, if there is one.
fn repository(folder: &Path) -> Option<Result<PathBuf, NoCommit>> {
    let path = folder.join(".git");
    if path.is_dir() {
        return Some(Ok(path));
    }
    // A worktree or a submodule: the file says where the repository is.
    let text = small_file(&path).transpose()?;
    Some(text.and_then(|text| match text.strip_prefix("gitdir:") {
        Some(target) => Ok(folder.join(target.trim())),
        None => Err(NoCommit(format!("`{}` does not say where the repository is", path.display()))),
    }))
}

/// What the reference `name` says.
fn reference(name: &str, repository: &Path, common: &Path) -> Result<String, NoCommit> {
    let is_plain = name.starts_with("refs/") && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !is_plain || name.contains('\0') {
        return Err(NoCommit(format!("HEAD is the reference {name:?}, which is not a valid name")));
    }
    if common.join("reftable").is_dir() {
        return Err(NoCommit(format!("`{}` keeps its references in a reftable, which is not read", common.display())));
    }
    for folder in [repository, common] {
        if let Some(value) = small_file(&folder.join(name))? {
            return Ok(value);
        }
    }
    match packed(name, &common.join("packed-refs"))? {
        Some(value) => Ok(value),
        None => {
            let branch = name.strip_prefix("refs/heads/").unwrap_or(name);
            Err(NoCommit(format!("the branch `{branch}` has no commit yet")))
        }
    }
}

/// What `packed-refs` says of a reference: lines of digits and a name.
fn packed(name: &str, path: &Path) -> Result<Option<String>, NoCommit> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    for line in BufReader::new(file.take(PACKED_REFS_LIMIT_BYTES)).split(b'\n') {
        let line = line.map_err(|error| unreadable(path, &error))?;
        let Ok(line) = std::str::from_utf8(&line) else { continue };
        if let Some((value, packed)) = line.split_once(' ')
            && packed.trim_end() == name
        {
            return Ok(Some(value.to_owned()));
        }
    }
    Ok(None)
}

/// The digits of a SHA-1 or a SHA-256.
fn digits(value: &str) -> Result<String, NoCommit> {
    let is_digest = matches!(value.len(), 40 | 64) && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { Ok(value.to_ascii_lowercase()) } else { Err(NoCommit(format!("{value:?} is not a commit of git"))) }
}

/// The text of a small file without the blanks around it; nothing if there is no such file.
fn small_file(path: &Path) -> Result<Option<String>, NoCommit> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(SMALL_FILE_LIMIT_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(Some(text.trim().to_owned())),
        // A folder `refs/heads/a` where the reference `refs/heads/a` is packed.
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

fn unreadable(path: &Path, error: &io::Error) -> NoCommit {
    NoCommit(format!("`{}` cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    fn world(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    fn told(files: &[(&str, &str)]) -> String {
        let folder = world(files);
        let told = commit(folder.path()).unwrap_err().0;
        told.replace(fs::canonicalize(&folder).unwrap().to_str().unwrap(), "…")
    }

    #[test]
    fn a_reference_is_loose_before_it_is_packed() {
        let head = (".git/HEAD", "ref: refs/heads/main\n");
        let packed = format!("# pack-refs with: peeled\n{TWO} refs/heads/main2\n{ONE} refs/heads/main\n^{TWO}\n");
        let packed = (".git/packed-refs", packed.as_str());
        let loose = (".git/refs/heads/main", TWO);
        for (files, expected) in [(vec![head, packed], ONE), (vec![head, packed, loose], TWO)] {
            assert_eq!(commit(world(&files).path()).as_deref(), Ok(expected));
        }
        // `main` may be a folder of branches where the branch of that name is packed.
        let nested = (".git/refs/heads/main/x", TWO);
        assert_eq!(commit(world(&[head, packed, nested]).path()).as_deref(), Ok(ONE));
    }

    #[test]
    fn what_is_no_commit_is_said() {
        let head = (".git/HEAD", "ref: refs/heads/main\n");
        assert_eq!(told(&[head]), "the branch `main` has no commit yet");
        assert_eq!(
            told(&[(".git/HEAD", "ref: ../../etc/passwd\n")]),
            "HEAD is the reference \"../../etc/passwd\", which is not a valid name"
        );
        assert_eq!(
            told(&[(".git/HEAD", "ref: refs/../x\n")]),
            "HEAD is the reference \"refs/../x\", which is not a valid name"
        );
        assert_eq!(told(&[(".git/HEAD", "x\n")]), "\"x\" is not a commit of git");
        assert_eq!(told(&[(".git/config", "")]), "`…/.git` has no HEAD");
        assert_eq!(told(&[(".git", "nothing\n")]), "`…/.git` does not say where the repository is");
        assert_eq!(
            told(&[head, (".git/reftable/tables.list", "")]),
            "`…/.git` keeps its references in a reftable, which is not read"
        );
        let endless = (".git/refs/heads/main", "ref: refs/heads/main\n");
        assert_eq!(told(&[head, endless]), "HEAD of `…/.git` is a reference to a reference, over and over");
    }
}
