use storage::{Printable, ReadAt, Window};
use zerocopy::FromBytes;

use super::rock_ridge::RockRidge;
use super::{Iso, Names};
use crate::layout::{FLAG_ASSOCIATED, FLAG_DIRECTORY, FLAG_MULTI_EXTENT, RECORD_HEADER_BYTES, RawDirectoryRecord};
use crate::{BLOCK_BYTES, Error, time};

/// The largest directory that is read, in bytes, the most entries in it, and their names and targets
/// together, in bytes.
const MAX_DIRECTORY_BYTES: u64 = 16 << 20;
pub(super) const MAX_ENTRIES: usize = 1 << 18;
const MAX_TEXT_BYTES: usize = 16 << 20;

/// A run of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) block: u64,
    pub(crate) size_bytes: u64,
}

impl Extent {
    pub(crate) fn of(record: &RawDirectoryRecord) -> Self {
        let block = u64::from(record.location_of_extent.get()) + u64::from(record.extended_attribute_record_length);
        Self { block, size_bytes: record.data_length.get().into() }
    }
}

/// The type of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link, to this path.
    Symlink(Vec<u8>),
    /// A device, a socket or a named pipe.
    Special,
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name; in UTF-8 if it comes from Joliet.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The size of its content in bytes.
    pub size_bytes: u64,
    /// Permissions, of 07777, owner and group, if Rock Ridge has them.
    pub posix: Option<(u16, u32, u32)>,
    /// When it was last modified, in seconds since 1970, if there is a date.
    pub modified: Option<i64>,
    extents: Vec<Extent>,
    is_compressed: bool,
}

impl Entry {
    pub(super) fn root(extent: Extent) -> Self {
        Self {
            name: Vec::new(),
            kind: Kind::Directory,
            size_bytes: extent.size_bytes,
            posix: None,
            modified: None,
            extents: vec![extent],
            is_compressed: false,
        }
    }

    /// What its name and its target take, in bytes.
    fn text_bytes(&self) -> usize {
        self.name.len() + if let Kind::Symlink(target) = &self.kind { target.len() } else { 0 }
    }

    pub(super) fn first_block(&self) -> u64 {
        self.extents.first().map_or(0, |extent| extent.block)
    }
}

/// A directory in words.
pub(super) fn named(block: u64) -> String {
    format!("directory in block {block}")
}

/// The content of a file.
#[derive(Debug)]
pub struct Content<'a, S> {
    parts: Vec<Window<&'a S>>,
}

impl<S: ReadAt> Content<'_, S> {
    /// Its size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.size_bytes()).sum()
    }

    /// Its parts, one after the other.
    pub fn parts(&self) -> impl Iterator<Item = &dyn ReadAt> {
        self.parts.iter().map(|part| part as &dyn ReadAt)
    }
}

/// A record with what follows it.
pub(super) struct Record<'a> {
    pub(super) raw: RawDirectoryRecord,
    pub(super) name: &'a [u8],
    pub(super) system_use: &'a [u8],
}

impl<S: ReadAt> Iso<S> {
    /// The entries of `directory`, which was found by the same names, in their stored order.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] for records that break the rules, [`Error::Unsupported`] for a directory of
    /// more than 16 MiB.
    pub fn list(&self, names: Names, directory: &Entry) -> Result<Vec<Entry>, Error> {
        let bytes = self.read_directory(directory)?;
        let object = named(directory.first_block());
        let mut entries: Vec<Entry> = Vec::new();
        // Whether the last entry continues in the next record.
        let mut goes_on = false;
        let mut text_bytes = 0;
        for record in records(&bytes, &object) {
            let record = record?;
            if matches!(record.name, [0] | [1]) || record.raw.file_flags & FLAG_ASSOCIATED != 0 {
                continue;
            }
            if record.raw.file_unit_size != 0 {
                return Err(Error::unsupported("an interleaved file"));
            }
            let extent = Extent::of(&record.raw);
            let continues = std::mem::replace(&mut goes_on, record.raw.file_flags & FLAG_MULTI_EXTENT != 0);
            if let Some(entry) = entries.last_mut().filter(|_| continues) {
                entry.size_bytes += extent.size_bytes;
                entry.extents.push(extent);
                continue;
            }
            let Some(entry) = self.entry(names, &record, extent, &object)? else { continue };
            text_bytes += entry.text_bytes();
            if entries.len() == MAX_ENTRIES || text_bytes > MAX_TEXT_BYTES {
                return Err(Error::unsupported(format!("a {object} with more than {MAX_ENTRIES} entries")));
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    /// The content of `file`.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it is not all inside the image, [`Error::Unsupported`] for a compressed
    /// file.
    pub fn content(&self, file: &Entry) -> Result<Content<'_, S>, Error> {
        let object = format!("file `{}`", Printable(&file.name));
        if file.is_compressed {
            return Err(Error::unsupported(format!("{object}, compressed with zisofs,")));
        }
        let parts = file.extents.iter().filter(|extent| extent.size_bytes > 0);
        let parts = parts.map(|extent| self.window(&object, extent.block, extent.size_bytes));
        Ok(Content { parts: parts.collect::<Result<_, _>>()? })
    }

    /// Whether the first record of the root announces Rock Ridge, and how many bytes of each
    /// system use area belong to others.
    pub(super) fn look_for_rock_ridge(&self) -> Result<Option<u8>, Error> {
        let root = Entry::root(Extent { size_bytes: self.root.size_bytes.min(BLOCK_BYTES), ..self.root.clone() });
        let bytes = self.read_directory(&root)?;
        let object = named(root.first_block());
        let Some(first) = records(&bytes, &object).next().transpose()? else { return Ok(None) };
        let read = RockRidge::read(self, first.system_use, &object)?;
        Ok(read.skipped_bytes.filter(|_| read.mode.is_some()))
    }

    /// The entry that begins with a record; `None` if Rock Ridge moved it here.
    fn entry(&self, names: Names, record: &Record<'_>, extent: Extent, object: &str) -> Result<Option<Entry>, Error> {
        let is_directory = record.raw.file_flags & FLAG_DIRECTORY != 0;
        let mut entry = Entry {
            name: match names {
                Names::Joliet => from_utf16(record.name),
                Names::Plain | Names::RockRidge => without_version(record.name).to_vec(),
            },
            kind: if is_directory { Kind::Directory } else { Kind::Regular },
            size_bytes: extent.size_bytes,
            posix: None,
            modified: time::from_record(record.raw.recording),
            extents: vec![extent],
            is_compressed: false,
        };
        let (Names::RockRidge, Some(skipped)) = (names, self.skipped_bytes) else {
            check_name(&entry.name, object)?;
            return Ok(Some(entry));
        };
        let area = record.system_use.get(usize::from(skipped)..).unwrap_or_default();
        let read = RockRidge::read(self, area, object)?;
        if read.is_relocated {
            return Ok(None);
        }
        if let Some(block) = read.child_link {
            entry.kind = Kind::Directory;
            entry.extents = vec![self.relocated(block.into())?];
            entry.size_bytes = entry.extents[0].size_bytes;
        } else if let Some(mode) = read.mode {
            entry.kind = match mode & 0o170_000 {
                0o120_000 => Kind::Symlink(read.target),
                0o010_000 | 0o020_000 | 0o060_000 | 0o140_000 => Kind::Special,
                // The record decides whether it is a directory.
                _ => entry.kind,
            };
        }
        entry.posix = read.mode.map(|mode| (mode as u16 & 0o7777, read.uid, read.gid));
        entry.modified = read.modified.or(entry.modified);
        entry.is_compressed = read.is_compressed;
        if !read.name.is_empty() {
            entry.name = read.name;
        }
        check_name(&entry.name, object)?;
        Ok(Some(entry))
    }

    /// The directory that begins in `block`, as its first record has it.
    fn relocated(&self, block: u64) -> Result<Extent, Error> {
        let object = named(block);
        let mut bytes = [0; RECORD_HEADER_BYTES];
        self.window(&object, block, RECORD_HEADER_BYTES as u64)?.read_at(0, &mut bytes)?;
        let extent = Extent::of(&zerocopy::transmute!(bytes));
        if extent.block != block {
            let problem = format!("its first record has location_of_extent={}", extent.block);
            return Err(Error::corrupt(object, problem));
        }
        Ok(extent)
    }

    fn read_directory(&self, directory: &Entry) -> Result<Vec<u8>, Error> {
        let object = named(directory.first_block());
        if directory.size_bytes > MAX_DIRECTORY_BYTES {
            return Err(Error::unsupported(format!("a {object} of {} bytes", directory.size_bytes)));
        }
        let mut bytes = Vec::new();
        for extent in &directory.extents {
            let from = bytes.len();
            let part = self.window(&object, extent.block, extent.size_bytes)?;
            bytes.resize(from + extent.size_bytes as usize, 0);
            part.read_at(0, &mut bytes[from..])?;
        }
        Ok(bytes)
    }
}

/// The records of a directory, block by block.
fn records<'a>(bytes: &'a [u8], object: &'a str) -> impl Iterator<Item = Result<Record<'a>, Error>> {
    bytes.chunks(BLOCK_BYTES as usize).enumerate().flat_map(move |(index, block)| {
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = block.get(at..).filter(|rest| rest.first().is_some_and(|&length| length != 0))?;
            let record = record(rest).map_err(|problem| {
                Error::corrupt(object, format!("record at {:#x}: {problem}", index as u64 * BLOCK_BYTES + at as u64))
            });
            // Nothing can be found after a broken one.
            at = if record.is_ok() { at + usize::from(rest[0]) } else { block.len() };
            Some(record)
        })
    })
}

fn record(bytes: &[u8]) -> Result<Record<'_>, String> {
    let length = usize::from(bytes[0]);
    let whole = bytes.get(..length).filter(|whole| whole.len() >= RECORD_HEADER_BYTES);
    let (raw, behind) = whole
        .and_then(|whole| RawDirectoryRecord::read_from_prefix(whole).ok())
        .ok_or_else(|| format!("length={length}, with {} bytes left", bytes.len()))?;
    let name_length = usize::from(raw.length_of_file_identifier);
    if name_length == 0 || name_length > behind.len() {
        return Err(format!("length={length} length_of_file_identifier={name_length}"));
    }
    let (name, behind) = behind.split_at(name_length);
    let padding = usize::from(name_length % 2 == 0);
    Ok(Record { raw, name, system_use: behind.get(padding..).unwrap_or_default() })
}

/// A name that does not lead out of its directory.
fn check_name(name: &[u8], object: &str) -> Result<(), Error> {
    if matches!(name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
        return Err(Error::corrupt(object, format!("the name `{}`", Printable(name))));
    }
    Ok(())
}

/// `FILE.;1` is `FILE`.
fn without_version(name: &[u8]) -> &[u8] {
    let name = name.iter().position(|&byte| byte == b';').map_or(name, |end| &name[..end]);
    name.strip_suffix(b".").unwrap_or(name)
}

fn from_utf16(name: &[u8]) -> Vec<u8> {
    let units = name.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let text: String = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    text.split(';').next().unwrap_or_default().as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_no_part_of_a_name() {
        assert_eq!(without_version(b"USER_DAT.;1"), b"USER_DAT");
        assert_eq!(without_version(b"A.GZ;1"), b"A.GZ");
        assert_eq!(without_version(b"DIR"), b"DIR");
        assert_eq!(from_utf16(&[0, b'a', 0, 0xdf, 0, b';', 0, b'1']), "aß".as_bytes());
    }

    #[test]
    fn a_record_longer_than_its_block_is_corrupt() {
        let mut block = vec![0; 2048];
        block[0] = 34;
        block[32] = 1;
        block[34] = 255;
        assert_eq!(records(&block, "x").filter(Result::is_ok).count(), 1);
        let error = records(&block, "directory in block 20").find_map(Result::err).unwrap();
        assert_eq!(error.to_string(), "directory in block 20: record at 0x22: length=255 length_of_file_identifier=0");
        block[32] = 0;
        assert!(records(&block, "x").next().unwrap().is_err());
    }
}
