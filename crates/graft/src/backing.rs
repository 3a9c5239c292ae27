//! Backing files: which ones are opened, and where they are.

use std::error::Error;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use image::{BackingName, Gate, Opened};

use crate::error::{self, Error as Failure};
use crate::source::OpenedFile;
use crate::watch::Watcher;

/// A file that an image is read from.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its path.
    pub path: PathBuf,
    /// What it was when it was opened.
    pub metadata: Metadata,
}

/// Opens the files of the host that images name, as QEMU finds them: a relative name begins at the folder
/// that the image was named in, be that a symlink or not.
pub(crate) struct HostGate {
    folder: PathBuf,
    layers: Arc<Mutex<Vec<Layer>>>,
    /// Who is told that a file is in use, where they are only looked at.
    looker: Option<Watcher>,
}

/// Why a file is not opened.
#[derive(Debug)]
enum Refusal {
    /// The name is not one of a file of the host.
    Protocol(String),
    /// The file is in the chain already.
    Loop(PathBuf),
    /// It cannot be read, for these reasons.
    Unreadable(String),
}

impl HostGate {
    /// A gate for the image that was opened as `path`. Every file that comes through is added to `layers`,
    /// in which that image is.
    pub(crate) fn new(path: &Path, layers: Arc<Mutex<Vec<Layer>>>, looker: Option<Watcher>) -> Self {
        Self { folder: path.parent().unwrap_or(Path::new("")).to_owned(), layers, looker }
    }

    fn path_of(&self, name: &str) -> Result<PathBuf, Refusal> {
        // As QEMU: the name of a protocol has no slash. What is behind `file:` is taken as it is.
        match name.find([':', '/']).map(|at| name.split_at(at)) {
            Some(("file", path)) if path.starts_with(':') => Ok(PathBuf::from(&path[1..])),
            Some((protocol, rest)) if rest.starts_with(':') => Err(Refusal::Protocol(protocol.to_owned())),
            _ => Ok(self.folder.join(name)),
        }
    }
}

impl Gate for HostGate {
    fn open(&self, file: &BackingName) -> Result<Opened, Box<dyn Error + Send + Sync>> {
        let path = self.path_of(&file.name)?;
        let opened = match &self.looker {
            Some(watcher) => OpenedFile::look(&path, watcher),
            None => OpenedFile::open(&path),
        };
        let unreadable = |failure: Failure| Refusal::Unreadable(error::in_one_line(&failure));
        let opened = opened.map_err(unreadable)?;
        let storage = opened.storage().map_err(unreadable)?;
        let layer = opened.layer();
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = |metadata: &Metadata| (metadata.dev(), metadata.ino());
        if layers.iter().any(|other| identity(&other.metadata) == identity(&layer.metadata)) {
            return Err(Refusal::Loop(path).into());
        }
        let gate = Self::new(&path, Arc::clone(&self.layers), self.looker.clone());
        layers.push(layer);
        Ok(Opened { file: Arc::new(storage), gate: Box::new(gate) })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(protocol) => {
                write!(f, "`{protocol}:` is a protocol of QEMU's: imgraft opens files of this host only")
            }
            Self::Loop(path) => write!(f, "`{}` is in its own chain of backing files", path.display()),
            Self::Unreadable(text) => f.write_str(text),
        }
    }
}

impl Error for Refusal {}

/// The name by which an image in `target_folder` finds the file at `base`: as it is where that is absolute,
/// else from folder to folder.
///
/// # Errors
///
/// What the host says to a question for where a folder is.
pub(crate) fn name_from(target_folder: &Path, base: &Path) -> std::io::Result<PathBuf> {
    if base.is_absolute() {
        return Ok(base.to_owned());
    }
    let here = |folder: &Path| {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        std::fs::canonicalize(folder)
    };
    // The base itself may be a symlink, which is what the user wants to name.
    let from = here(target_folder)?;
    let to = here(base.parent().unwrap_or(Path::new("")))?;
    let shared = from.components().zip(to.components()).take_while(|(one, other)| one == other).count();
    let up = from.components().skip(shared).map(|_| std::path::Component::ParentDir);
    let name: PathBuf =
        up.chain(to.components().skip(shared)).collect::<PathBuf>().join(base.file_name().unwrap_or_default());
    // Not to be taken for a protocol.
    let is_like_protocol =
        name.to_string_lossy().find([':', '/']).is_some_and(|at| name.to_string_lossy()[at..].starts_with(':'));
    Ok(if is_like_protocol { Path::new(".").join(name) } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_qemu_finds_them() {
        let gate = HostGate::new(Path::new("images/over.qcow2"), Arc::default(), None);
        let said = |name: &str| match gate.path_of(name) {
            Ok(path) => path.display().to_string(),
            Err(refusal) => refusal.to_string(),
        };
        assert_eq!(said("base.img"), "images/base.img");
        assert_eq!(said("../a:b/base.img"), "images/../a:b/base.img");
        assert_eq!(said("/srv/base.img"), "/srv/base.img");
        assert_eq!(said("file:base.img"), "base.img");
        assert_eq!(said("file:/srv/a:b"), "/srv/a:b");
        for name in ["nbd:localhost:10809", "json:{\"driver\":\"raw\"}", "http://example.com/base.img", "x:y"] {
            let protocol = name.split(':').next().unwrap();
            assert!(said(name).starts_with(&format!("`{protocol}:` is a protocol of QEMU's")), "{}", said(name));
        }
        assert_eq!(
            HostGate::new(Path::new("over.qcow2"), Arc::default(), None).path_of("base").unwrap(),
            Path::new("base")
        );
    }

    #[test]
    fn a_base_is_named_from_the_new_images_folder() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out/deep");
        std::fs::create_dir_all(&out).unwrap();
        assert_eq!(name_from(&out, Path::new("/srv/base.img")).unwrap(), Path::new("/srv/base.img"));
        assert_eq!(name_from(Path::new(""), Path::new("base.img")).unwrap(), Path::new("base.img"));
        assert_eq!(name_from(Path::new("."), Path::new("a:b.img")).unwrap(), Path::new("./a:b.img"));
        assert_eq!(name_from(Path::new("src"), Path::new("base.img")).unwrap(), Path::new("../base.img"));
        assert_eq!(name_from(Path::new(""), Path::new("src/base.img")).unwrap(), Path::new("src/base.img"));
    }
}
