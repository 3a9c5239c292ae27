//! What there is in the cache.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::note::{self, EntryNote};
use super::part::Origin;
use super::{Algorithm, Cache, Digest, Error, Found, PART};

/// What there is in a cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The files that are whole, those that were used last first.
    pub entries: Vec<Listed>,
    /// The files that are on their way, or were.
    pub parts: Vec<ListedPart>,
}

/// An entry, as it looks from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What its bytes should come to.
    pub digest: Digest,
    /// Where it is.
    pub path: PathBuf,
    /// What it was called when it was fetched.
    pub name: Option<String>,
    /// Where it came from.
    pub url: Option<String>,
    /// How many bytes it has.
    pub size_bytes: u64,
    /// When it was written.
    pub fetched: SystemTime,
    /// When it was last used.
    pub used: SystemTime,
}

/// A part, as it looks from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPart {
    /// What its bytes should come to once they are all there.
    pub digest: Digest,
    /// Where it is.
    pub path: PathBuf,
    /// Where it comes from.
    pub url: Option<String>,
    /// How many bytes there are.
    pub have_bytes: u64,
    /// How many there are to be.
    pub total_bytes: Option<u64>,
    /// When bytes last came.
    pub written: SystemTime,
}

/// Whether an entry is what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is.
    Right,
    /// Its bytes come to something else.
    Damaged {
        /// What they come to.
        found: Box<Digest>,
    },
    /// It was removed meanwhile.
    Gone,
}

impl Cache {
    /// What there is. Files that are none of the cache's are left out.
    ///
    /// # Errors
    ///
    /// [`Error::File`] where a folder cannot be read.
    pub fn list(&self) -> Result<Listing, Error> {
        let mut listing = Listing::default();
        for algorithm in Algorithm::ALL {
            let folder = self.folder.join(algorithm.name());
            let names = names_in(&folder).map_err(Error::of("reading", &folder))?;
            for name in names {
                let path = folder.join(&name);
                let Some(metadata) = fs::symlink_metadata(&path).ok().filter(|metadata| metadata.is_file()) else {
                    continue;
                };
                let (hex, is_part) = name.strip_suffix(PART).map_or((name.as_str(), false), |hex| (hex, true));
                let Ok(digest) = Digest::from_hex(algorithm, hex) else { continue };
                let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                if is_part {
                    let origin: Option<Origin> = note::read(&self.beside(&digest, super::PART_NOTE));
                    let (url, total_bytes) =
                        origin.map_or((None, None), |origin| (Some(origin.url), origin.total_bytes));
                    let have_bytes = metadata.len();
                    listing.parts.push(ListedPart { digest, path, url, have_bytes, total_bytes, written });
                } else {
                    let note_path = self.note_path(&digest);
                    let note: Option<EntryNote> = note::read(&note_path);
                    let (name, url) = note.map_or((None, None), |note| (note.name, note.url));
                    let used = note::time(&note_path).unwrap_or(written);
                    let size_bytes = metadata.len();
                    listing.entries.push(Listed { digest, path, name, url, size_bytes, fetched: written, used });
                }
            }
        }
        listing.entries.sort_by_key(|entry| (std::cmp::Reverse(entry.used), entry.digest));
        listing.parts.sort_by_key(|part| part.digest);
        Ok(listing)
    }

    /// Reads all of an entry. One that is not right is removed, if `remove`.
    ///
    /// # Errors
    ///
    /// [`Error::File`] where it cannot be read or removed.
    pub fn check(&self, digest: &Digest, remove: bool) -> Result<Verdict, Error> {
        match self.verify(digest)? {
            Found::Nothing => Ok(Verdict::Gone),
            Found::Entry(_) => Ok(Verdict::Right),
            Found::Damaged { found, file } => {
                if remove {
                    self.remove(digest, &file).map_err(Error::of("removing", &self.path_of(digest)))?;
                }
                Ok(Verdict::Damaged { found })
            }
        }
    }
}

/// The names in a folder, in their order; none if the folder is not there.
pub(super) fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        // What is not UTF-8 is none of ours.
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
