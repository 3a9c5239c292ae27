//! The file beside an image that says the image's SHA-256, as `sha256sum -c` reads it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::commit::NEW_IMAGE_MODE;
use crate::error::{Error, TargetProblem};
use crate::job::Job;
use crate::output::{Folder, OutputFile};
use crate::target;

/// What the name of such a file ends in.
const SUFFIX: &str = ".sha256";
/// How much is read at a time, in bytes.
const STEP_BYTES: usize = 1 << 20;

/// Where a file goes that is about a new image.
pub(crate) struct Beside {
    /// As the user calls it.
    pub(crate) path: PathBuf,
    folder: Folder,
    name: OsString,
}

impl Beside {
    /// The one of the image that `job` makes, if it is asked for.
    ///
    /// # Errors
    ///
    /// What could not be written in the end.
    pub(crate) fn of(job: &Job) -> Result<Option<Self>, Error> {
        if !job.checksum || job.in_place {
            return Ok(None);
        }
        let mut path = job.target_name.clone().into_os_string();
        path.push(SUFFIX);
        Self::at(PathBuf::from(path), job).map(Some)
    }

    /// A file about the image of `job`.
    ///
    /// # Errors
    ///
    /// What could not be written in the end.
    pub(crate) fn at(path: PathBuf, job: &Job) -> Result<Self, Error> {
        let real = target::resolve(&path, &job.base)?;
        let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(Error::Target { path, problem: TargetProblem::NoName });
        };
        let folder = Folder::open(folder).map_err(Error::folder(folder))?;
        Ok(Self { path, name: name.to_owned(), folder })
    }

    /// The file that says `digest`, which has no name yet.
    pub(crate) fn write(self, image_name: &Path, digest: &str) -> Result<OutputFile, Error> {
        self.write_bytes(&line(digest, image_name.file_name().unwrap_or_default()))
    }

    /// The file with these bytes, which has no name yet.
    pub(crate) fn write_bytes(self, bytes: &[u8]) -> Result<OutputFile, Error> {
        let written = OutputFile::create(self.folder, &self.name, NEW_IMAGE_MODE).and_then(|output| {
            output.file().write_all(bytes)?;
            Ok(output)
        });
        written.map_err(Error::unwritable(&self.path))
    }
}

/// The SHA-256 of a file, in hexadecimal digits.
pub(crate) fn sha256(mut file: &File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; STEP_BYTES];
    file.rewind()?;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A line as `sha256sum` writes it: one that begins with a backslash has the name with escapes in it.
fn line(digest: &str, name: &OsStr) -> Vec<u8> {
    let mut escaped = Vec::new();
    for &byte in name.as_bytes() {
        match byte {
            b'\\' => escaped.extend(br"\\"),
            b'\n' => escaped.extend(br"\n"),
            b'\r' => escaped.extend(br"\r"),
            _ => escaped.push(byte),
        }
    }
    let mark: &[u8] = if escaped == name.as_bytes() { b"" } else { br"\" };
    [mark, digest.as_bytes(), b"  ", &escaped, b"\n"].concat()
}
