//! Reading. Bounds: a directory has at most 16 MiB and 262,144 entries, a record at most eight
//! continuations of a block each; a tree's directories are each walked once.

mod directory;
mod rock_ridge;

use std::collections::BTreeSet;

use storage::{Printable, ReadAt, Window};
use zerocopy::FromBytes;

use crate::layout::{
    DESCRIPTOR_BOOT, DESCRIPTOR_PRIMARY, DESCRIPTOR_SUPPLEMENTARY, DESCRIPTOR_TERMINATOR, JOLIET_ESCAPES,
    RECORD_HEADER_BYTES, RawDirectoryRecord, RawVolumeDescriptor, STANDARD_ID,
};
use crate::{BLOCK_BYTES, Error, FIRST_DESCRIPTOR_BLOCK};

pub use directory::{Content, Entry, Kind};
use directory::{Extent, MAX_ENTRIES};

/// The most descriptors that are read.
const MAX_DESCRIPTORS: u64 = 64;
/// The most directories in a tree that is walked.
const MAX_DIRECTORIES: usize = 0x1_0000;
/// The most bytes of a tree's directories together: more than the records of the most entries.
const MAX_TREE_BYTES: u64 = 256 << 20;

/// Which names are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Those of ECMA-119, without version numbers.
    Plain,
    /// Those for POSIX systems, with modes, owners and links.
    RockRidge,
    /// Those in Unicode.
    Joliet,
}

/// An ISO 9660 file system.
#[derive(Debug)]
pub struct Iso<S> {
    storage: S,
    volume_id: String,
    root: Extent,
    joliet_root: Option<Extent>,
    /// With Rock Ridge, how many bytes of each system use area belong to others.
    skipped_bytes: Option<u8>,
}

impl<S: ReadAt> Iso<S> {
    /// Reads the volume descriptors, and whether there is Rock Ridge.
    ///
    /// # Errors
    ///
    /// [`Error::NotAnIso`]; [`Error::Corrupt`] and [`Error::Unsupported`] for a descriptor or a root that
    /// breaks the rules or cannot be read here.
    pub fn open(storage: S) -> Result<Self, Error> {
        let mut primary = None;
        let mut joliet_root = None;
        for block in FIRST_DESCRIPTOR_BLOCK..FIRST_DESCRIPTOR_BLOCK + MAX_DESCRIPTORS {
            let Some(raw) = descriptor(&storage, block)? else {
                // Other readers accept a missing terminator, too.
                break;
            };
            match raw.volume_descriptor_type {
                DESCRIPTOR_BOOT => {}
                DESCRIPTOR_PRIMARY if primary.is_none() => primary = Some(raw),
                DESCRIPTOR_SUPPLEMENTARY if is_joliet(&raw) && joliet_root.is_none() => {
                    joliet_root = Some(root(&storage, &raw, "supplementary volume descriptor")?);
                }
                DESCRIPTOR_TERMINATOR => break,
                _ => {}
            }
        }
        let primary = primary.ok_or(Error::NotAnIso)?;
        let root = root(&storage, &primary, "primary volume descriptor")?;
        let volume_id = String::from_utf8_lossy(&primary.volume_identifier);
        let volume_id = volume_id.trim_end_matches([' ', '\0']).to_owned();
        let mut iso = Self { storage, volume_id, root, joliet_root, skipped_bytes: None };
        iso.skipped_bytes = iso.look_for_rock_ridge()?;
        Ok(iso)
    }

    /// The volume's name.
    pub fn volume_id(&self) -> &str {
        &self.volume_id
    }

    /// Whether the image has such names.
    pub fn has(&self, names: Names) -> bool {
        match names {
            Names::Plain => true,
            Names::RockRidge => self.skipped_bytes.is_some(),
            Names::Joliet => self.joliet_root.is_some(),
        }
    }

    /// The entry at `path`, from the root on; links are not followed.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], also if a component is not a directory or the image has no such names;
    /// [`Error::Corrupt`].
    pub fn find<N: AsRef<[u8]>>(&self, names: Names, path: &[N]) -> Result<Entry, Error> {
        let mut found = self.root(names)?;
        for (index, name) in path.iter().enumerate() {
            let entries = if found.kind == Kind::Directory { self.list(names, &found)? } else { Vec::new() };
            let entry = entries.into_iter().find(|entry| entry.name == name.as_ref());
            found = entry.ok_or_else(|| {
                let followed: Vec<&[u8]> = path[..=index].iter().map(AsRef::as_ref).collect();
                Error::NotFound { path: Printable(&followed.join(&b'/')).to_string() }
            })?;
        }
        Ok(found)
    }

    /// The root directory.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the image has no such names.
    pub fn root(&self, names: Names) -> Result<Entry, Error> {
        let root = match names {
            Names::Plain | Names::RockRidge => Some(&self.root).filter(|_| self.has(names)),
            Names::Joliet => self.joliet_root.as_ref(),
        };
        match root {
            Some(root) => Ok(Entry::root(root.clone())),
            None => Err(Error::NotFound { path: String::new() }),
        }
    }

    /// Calls `visit` with everything below the root, each with its path: a directory before what is in
    /// it.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] for a directory that is in the tree twice; as [`find`](Self::find).
    pub fn walk(&self, names: Names, visit: &mut dyn FnMut(&[u8], &Entry)) -> Result<(), Error> {
        let root = self.root(names)?;
        let mut seen = BTreeSet::from([root.first_block()]);
        let mut pending = vec![(Vec::new(), root)];
        let mut entries = 0;
        // Directories that begin in different blocks may share the others.
        let mut read_bytes = 0;
        while let Some((path, directory)) = pending.pop() {
            read_bytes += directory.size_bytes;
            if read_bytes > MAX_TREE_BYTES {
                return Err(Error::unsupported(format!("a tree of more than {MAX_TREE_BYTES} bytes of directories")));
            }
            for entry in self.list(names, &directory)? {
                entries += 1;
                let path = if path.is_empty() { entry.name.clone() } else { [&path[..], &entry.name].join(&b'/') };
                visit(&path, &entry);
                if entry.kind == Kind::Directory {
                    let block = entry.first_block();
                    if !seen.insert(block) {
                        return Err(Error::corrupt(directory::named(block), "the tree contains it more than once"));
                    }
                    pending.push((path, entry));
                }
                if entries > MAX_ENTRIES || seen.len() > MAX_DIRECTORIES {
                    return Err(Error::unsupported(format!("a tree of more than {MAX_DIRECTORIES} directories")));
                }
            }
        }
        Ok(())
    }

    fn window(&self, object: &str, block: u64, size_bytes: u64) -> Result<Window<&S>, Error> {
        Window::new(&self.storage, block * BLOCK_BYTES, size_bytes).map_err(|_| {
            let end = self.storage.size_bytes();
            Error::corrupt(object, format!("block={block} size_bytes={size_bytes:#x}, past the end at {end:#x}"))
        })
    }
}

/// The volume descriptor in `block`, if there is one.
fn descriptor(storage: &dyn ReadAt, block: u64) -> Result<Option<RawVolumeDescriptor>, Error> {
    if storage.size_bytes() < (block + 1) * BLOCK_BYTES {
        return Ok(None);
    }
    let mut bytes = [0; BLOCK_BYTES as usize];
    storage.read_at(block * BLOCK_BYTES, &mut bytes)?;
    let raw: RawVolumeDescriptor = zerocopy::transmute!(bytes);
    Ok(Some(raw).filter(|raw| raw.standard_identifier == STANDARD_ID))
}

fn is_joliet(raw: &RawVolumeDescriptor) -> bool {
    JOLIET_ESCAPES.iter().any(|escape| raw.escape_sequences.starts_with(escape))
}

/// The root directory that a descriptor names.
fn root(storage: &dyn ReadAt, raw: &RawVolumeDescriptor, object: &str) -> Result<Extent, Error> {
    let block_size = raw.logical_block_size.get();
    if u64::from(block_size) != BLOCK_BYTES {
        return Err(Error::unsupported(format!("an ISO 9660 with logical_block_size={block_size}")));
    }
    let (record, _) = RawDirectoryRecord::read_from_prefix(&raw.root_directory_record)
        .map_err(|_| Error::corrupt(object, format!("no root directory record of {RECORD_HEADER_BYTES} bytes")))?;
    let extent = Extent::of(&record);
    Window::new(storage, extent.block * BLOCK_BYTES, extent.size_bytes)
        .map_err(|_| Error::corrupt(object, format!("root directory in block {}, past the end", extent.block)))?;
    Ok(extent)
}
