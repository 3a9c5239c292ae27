//! Listing the cache.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::note::{self, EntryNote};
use super::part::Origin;
use super::{Algorithm, Cache, Digest, Error, Found, PART};

/// The content of a cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The complete files, the most recently used first.
    pub entries: Vec<Listed>,
    /// The unfinished downloads.
    pub parts: Vec<ListedPart>,
}

/// An entry, from its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The digest that it should have.
    pub digest: Digest,
    /// Where it is.
    pub path: PathBuf,
    /// Its name when it was fetched.
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

/// An unfinished download, from its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPart {
    /// The digest that it should have when it is complete.
    pub digest: Digest,
    /// Where it is.
    pub path: PathBuf,
    /// Where it comes from.
    pub url: Option<String>,
    /// How many bytes there are.
    pub have_bytes: u64,
    /// How many there will be.
    pub total_bytes: Option<u64>,
    /// When bytes last arrived.
    pub written: SystemTime,
}

/// Whether an entry's digest matches its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is.
    Right,
    /// It does not.
    Damaged {
        /// Their digest.
        found: Box<Digest>,
    },
    /// It was removed meanwhile.
    Gone,
}

impl Cache {
    /// The content. Files that do not belong to the cache are left out.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if a folder cannot be read.
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

    /// Reads all of an entry. A damaged one is removed if `remove`.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if it cannot be read or removed.
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

/// The sorted names in a folder; none if the folder does not exist.
pub(super) fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is not UTF-8 is not ours.
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
