//! `IMAGE.cell.json`: what the image of a cell was made of.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use catalogue::cache::{Algorithm, Hasher};
use graft::{Author, Folder, OutputFile, Report};
use serde::{Deserialize, Serialize};

/// The largest record that is read, in bytes.
const RECORD_LIMIT_BYTES: u64 = 1 << 20;
/// The mode of a record, less what the umask takes.
const MODE: u32 = 0o644;
/// Changes with what the fields mean.
const VERSION: u32 = 1;

/// What an image is made of. Two images that were made of the same have the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Made {
    /// Of this record.
    pub(super) version: u32,
    /// The imgraft that built it.
    pub(super) imgraft: String,
    /// The cell: `base=debian:13,arch=arm64`.
    pub(super) cell: String,
    /// The SHA-256 of what the recipe says for the cell, however it is written.
    pub(super) recipe: String,
    /// The SHA-256 of the base's file.
    pub(super) base: String,
    /// The SHA-256 of each file or tree of the host, by the name that the recipe has for it.
    pub(super) inputs: BTreeMap<String, String>,
    /// What SOURCE_DATE_EPOCH was, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<i64>,
}

impl Made {
    pub(super) fn new(cell: String, recipe: String, base: String, time: Option<i64>) -> Self {
        let imgraft = env!("CARGO_PKG_VERSION").to_owned();
        Self { version: VERSION, imgraft, cell, recipe, base, inputs: BTreeMap::new(), time }
    }
}

/// An image, and what it is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) made: Made,
    /// The image's name, without its folder.
    pub(super) image: String,
    /// The SHA-256 of its file.
    pub(super) sha256: String,
    /// The size of its file.
    pub(super) size_bytes: u64,
}

impl Record {
    /// Where the record of `image` is.
    pub(super) fn path(image: &Path) -> PathBuf {
        let mut path = OsString::from(image);
        path.push(".cell.json");
        path.into()
    }

    /// The record of `image`; nothing if there is none that can be read.
    pub(super) fn read(image: &Path) -> Option<Self> {
        let (path, mut text) = (Self::path(image), Vec::new());
        // Nobody may ever write to a FIFO.
        std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
        std::fs::File::open(path).ok()?.take(RECORD_LIMIT_BYTES).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Whether `image` is there with the size that it had.
    pub(super) fn is_there(&self, image: &Path) -> bool {
        std::fs::metadata(image).is_ok_and(|metadata| metadata.is_file() && metadata.len() == self.size_bytes)
    }
}

/// Writes the record of an image, which is there with it or not at all.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) made: Made,
    pub(super) image: PathBuf,
}

impl Author for Recorder {
    fn paths(&self) -> Vec<PathBuf> {
        vec![Record::path(&self.image)]
    }

    fn tells_contents(&self) -> bool {
        false
    }

    fn write(&self, report: &Report) -> Result<Vec<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        let sha256 = report.sha256.clone().ok_or("the image has no digest")?;
        let size_bytes = report.file_size_bytes.ok_or("the image has no size")?;
        Ok(vec![self.text(sha256, size_bytes)?])
    }
}

impl Recorder {
    fn text(&self, sha256: String, size_bytes: u64) -> serde_json::Result<Vec<u8>> {
        let image = self.image.file_name().unwrap_or_default().display().to_string();
        let record = Record { made: self.made.clone(), image, sha256, size_bytes };
        let mut text = serde_json::to_vec_pretty(&record)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Removes the record, so that what gets its image's name next is not taken for what it tells of.
    pub(super) fn remove(&self) -> io::Result<()> {
        match std::fs::remove_file(Record::path(&self.image)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes the record of what is there already: without it, that counts as missing.
    pub(super) fn write_after(&self, sha256: String, size_bytes: u64) -> io::Result<()> {
        let path = Record::path(&self.image);
        let folder = Folder::open(path.parent().unwrap_or(Path::new(".")))?;
        let output = OutputFile::create(folder, path.file_name().unwrap_or_default(), MODE)?;
        output.file().write_all(&self.text(sha256, size_bytes)?)?;
        output.publish()
    }
}

/// The SHA-256 of a text.
pub(super) fn sha256(text: &str) -> String {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(text.as_bytes());
    hasher.finish().hex()
}
