//! `tar`: unpacks an archive of the host in the guest.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use guest::resolve::{LastLink, Lookup};
use guest::{Attributes, FileKind, GuestPath, PathProblem, Printable, Special, Time};
use recipe::{ByteSize, SyntaxError};
use storage::{ReadAt, Window};
use tar::{Archive, EntryType, Header};

use super::{Apply, Flag, StepForm, Verb, path};
use crate::carry_out::{KEPT_SOURCE_BYTES, Work, join};
use crate::error::Error;
use crate::report::Report;
use crate::source::{Digest, Source, SourceKind};

/// The largest headers before one file, with its name and its attributes, in bytes.
const EXTENSION_LIMIT_BYTES: u64 = 1 << 20;
/// The prefix of an extended attribute's name in a pax header.
const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// Nanoseconds of a second.
const NANOSECONDS: u32 = 1_000_000_000;

/// Unpacks an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tar {
    /// The archive on the host, which must not be compressed.
    pub source: PathBuf,
    /// The directory in the guest, which is made if it is missing.
    pub directory: GuestPath,
}

impl Tar {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "tar",
            value: Some("FILE:DIR"),
            help: "Unpack an archive in a directory; owners are kept, by number",
            parse: |text, _| Tar::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "tar",
            value: "INPUT",
            keys: &["to"],
            read: |step| {
                let (source, to) = (step.input("tar"), step.to());
                Some(Tar { source: source?, directory: to?.path }.into())
            },
        },
    }];

    /// Reads `FILE:DIR`. The directory begins at the first `:/`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if there is no directory.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let bytes = text.as_bytes();
        let colon = bytes.windows(2).position(|pair| pair == b":/").filter(|&colon| colon > 0);
        let colon = colon.ok_or_else(|| SyntaxError::form("FILE:DIR", "rootfs.tar:/srv"))?;
        Ok(Self { source: PathBuf::from(OsStr::from_bytes(&bytes[..colon])), directory: path(&bytes[colon + 1..])? })
    }
}

/// The extended headers before a file.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Vec<(Vec<u8>, Vec<u8>)>,
    /// The size of all of them.
    size_bytes: u64,
}

impl Extension {
    /// The pax value of `key`. The last one counts, and an empty one removes it.
    fn pax(&self, key: &str) -> Option<&[u8]> {
        let last = self.pax.iter().rev().find(|(name, _)| name == key.as_bytes());
        last.map(|(_, value)| value.as_slice()).filter(|value| !value.is_empty())
    }

    fn number(&self, key: &str) -> Option<u64> {
        std::str::from_utf8(self.pax(key)?).ok()?.parse().ok()
    }
}

/// A file of an archive.
struct Entry {
    name: Vec<u8>,
    link: Vec<u8>,
    kind: EntryType,
    attributes: Attributes,
    device: (u32, u32),
    /// The range of its content in the archive.
    content: std::ops::Range<u64>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What was unpacked so far.
#[derive(Default)]
struct Unpacked {
    files: u64,
    directories: u64,
    links: u64,
    others: u64,
    size_bytes: u64,
    /// Directories that were made for a file in them, and that the archive has not described yet.
    undescribed: BTreeSet<String>,
    /// Directories that were among these until the archive described them.
    described: BTreeSet<String>,
}

impl Apply for Tar {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        if work.options.existing_parents {
            work.existing(&self.directory)?;
        }
        let source = Source::follow(&self.source)?;
        let SourceKind::File { size_bytes } = source.kind else {
            return Err(Error::SourceKind { path: self.source.clone(), kind: "a directory" });
        };
        let file = source.open()?;
        let storage = source.storage(file)?;
        check_is_plain(&source.path, &storage)?;
        work.progress.expect(size_bytes);
        let (directory, mut parents) = match work.guest.lookup(&self.directory, LastLink::Follow)? {
            Lookup::Found(found) if found.node.kind() == FileKind::Directory => (found.path, Vec::new()),
            Lookup::Found(found) => {
                let problem = PathProblem::NotADirectory { at: found.path };
                return Err(guest::Error::Path { path: self.directory.clone(), problem }.into());
            }
            Lookup::Missing { directory, names } => work.make_directories(directory.path, &names)?,
        };
        let mut unpacked = Unpacked::default();
        let mut archive = Archive::new(storage::Reader::new(&storage));
        let broken = |error: std::io::Error| unreadable(&source.path, &error);
        let mut extension = Extension::default();
        let mut done_bytes = 0;
        for entry in archive.entries().map_err(broken)?.raw(true) {
            let mut entry = entry.map_err(broken)?;
            let content = entry.raw_file_position()..entry.raw_file_position().saturating_add(entry.size());
            if content.end > size_bytes {
                let end = content.end;
                return Err(broken(std::io::Error::other(format!(
                    "a file ends at byte {end}, and the archive at byte {size_bytes}"
                ))));
            }
            work.progress.add(content.end.saturating_sub(done_bytes));
            done_bytes = content.end.max(done_bytes);
            let header = entry.header().clone();
            if read_extension(&mut extension, &header, &mut entry).map_err(broken)? {
                continue;
            }
            let entry = work.entry(&header, &std::mem::take(&mut extension), content).map_err(broken)?;
            work.unpack(&source, &storage, &directory, &entry, &mut unpacked, &mut parents)?;
        }
        work.progress.add(size_bytes.saturating_sub(done_bytes));
        if work.options.digests {
            work.read.push(Digest::of(&source)?.read(&self.source, &self.source));
        }
        work.kept.push(source);
        // Once at the end, because an archive may have thousands of files before their directories.
        parents.retain(|parent| !unpacked.described.contains(parent));
        let facts: Vec<String> = [
            words::count(unpacked.files, "file", "files"),
            words::count(unpacked.directories, "directory", "directories"),
            words::count(unpacked.links, "link", "links"),
            words::count(unpacked.others, "special file", "special files"),
            Some(ByteSize(unpacked.size_bytes).to_string()),
        ]
        .into_iter()
        .flatten()
        .collect();
        let text = format!("unpacked {} at {directory} ({})", self.source.display(), facts.join(", "));
        Ok(Report::new("tar", text, vec![directory.to_string()], parents))
    }

    fn source_mut(&mut self) -> Option<&mut PathBuf> {
        Some(&mut self.source)
    }
}

impl Work<'_> {
    /// The file that a header and its extended headers describe.
    fn entry(&self, header: &Header, extension: &Extension, content: std::ops::Range<u64>) -> std::io::Result<Entry> {
        let id = |key: &str, field: u64| u32::try_from(extension.number(key).unwrap_or(field));
        let no_id = |_| std::io::Error::other("the number of a user or a group is too large for Linux");
        if extension.number("size").is_some_and(|size| size != content.end - content.start) {
            return Err(std::io::Error::other("a file is larger than a ustar header can say"));
        }
        let modified = match extension.pax("mtime").and_then(pax_time) {
            Some(time) => time,
            // GNU's numbers in base 256 are signed.
            None => Time { seconds: header.mtime()?.cast_signed(), nanoseconds: 0 },
        };
        let modified = self.options.modified.unwrap_or(modified);
        let attributes = Attributes {
            permissions: (header.mode()? & 0o7777) as u16,
            uid: id("uid", header.uid()?).map_err(no_id)?,
            gid: id("gid", header.gid()?).map_err(no_id)?,
            modified,
        };
        let name = extension.pax("path").or(extension.name.as_deref());
        let link = extension.pax("linkpath").or(extension.link.as_deref());
        let xattrs = extension.pax.iter().filter_map(|(key, value)| {
            let name = key.strip_prefix(XATTR_PREFIX)?;
            let is_kept = name == b"security.capability" || name.starts_with(b"user.");
            is_kept.then(|| (name.to_vec(), value.clone()))
        });
        Ok(Entry {
            name: name.map_or_else(|| header.path_bytes().into_owned(), <[u8]>::to_vec),
            link: match link {
                Some(link) => link.to_vec(),
                None => header.link_name_bytes().map_or_else(Vec::new, std::borrow::Cow::into_owned),
            },
            kind: header.entry_type(),
            attributes,
            device: device(header)?,
            content,
            xattrs: xattrs.collect(),
        })
    }

    fn unpack(
        &mut self,
        source: &Source,
        storage: &Arc<dyn ReadAt>,
        directory: &GuestPath,
        entry: &Entry,
        unpacked: &mut Unpacked,
        parents: &mut Vec<String>,
    ) -> Result<(), Error> {
        let Some(path) = below(directory, &entry.name)? else { return Ok(()) };
        let place = self.place(&path, LastLink::Keep)?;
        unpacked.undescribed.extend(place.parents.iter().cloned());
        parents.extend(place.parents);
        let path = place.path;
        let is_directory = entry.kind == EntryType::Directory;
        if let Some(found) = place.found {
            // An existing directory, or a symlink to one, stays as it is. A directory that was made here, for a file
            // in it that came first, gets its attributes now.
            if is_directory && self.directory_at(&path)?.is_some() {
                if unpacked.undescribed.remove(&path.to_string()) {
                    let volume = self.guest.find(&path, LastLink::Keep)?.node.volume();
                    // A FAT has neither modes nor owners.
                    if self.guest.volumes()[volume].file_system().is_none_or(guest::FileSystem::is_unix) {
                        self.guest.set_attributes(&path, &entry.attributes)?;
                    }
                    self.set_xattrs(&path, entry)?;
                    unpacked.directories += 1;
                    unpacked.described.insert(path.to_string());
                }
                return Ok(());
            }
            if is_directory || found.kind() == FileKind::Directory {
                let name = Printable(&entry.name);
                let not = if is_directory { "" } else { "not " };
                return Err(Error::refused(format!(
                    "`{path}` exists in the guest, and `{name}` in the archive is {not}a directory"
                )));
            }
            self.guest.remove_file(&path)?;
        }
        let attributes = &entry.attributes;
        let (major, minor) = entry.device;
        match entry.kind {
            EntryType::Regular | EntryType::Continuous => {
                let size_bytes = entry.content.end - entry.content.start;
                let window = Window::new(Arc::clone(storage), entry.content.start, size_bytes);
                let content: Arc<dyn ReadAt> = Arc::new(window.map_err(guest::Error::Storage)?);
                if size_bytes >= KEPT_SOURCE_BYTES {
                    self.guest.create_file_from(&path, attributes, &content)?;
                } else {
                    self.guest.create_file(&path, attributes, size_bytes, &mut storage::Reader::new(&content))?;
                }
                self.note_placed(&path, attributes.permissions, false);
                unpacked.files += 1;
                unpacked.size_bytes += size_bytes;
            }
            EntryType::Directory => {
                self.guest.create_directory(&path, attributes)?;
                unpacked.directories += 1;
            }
            EntryType::Symlink => {
                let attributes = Attributes { permissions: 0o777, ..*attributes };
                self.guest.create_symlink(&path, &entry.link, &attributes)?;
                unpacked.links += 1;
            }
            EntryType::Link => {
                let target = below(directory, &entry.link)?.unwrap_or_else(|| directory.clone());
                self.guest.link(&target, &path)?;
                unpacked.links += 1;
                return Ok(());
            }
            EntryType::Char => self.guest.create_special(&path, Special::CharDevice { major, minor }, attributes)?,
            EntryType::Block => self.guest.create_special(&path, Special::BlockDevice { major, minor }, attributes)?,
            EntryType::Fifo => self.guest.create_special(&path, Special::Fifo, attributes)?,
            other => {
                let (name, kind) = (Printable(&entry.name), char::from(other.as_byte()));
                let problem = format!("`{name}` is of type `{kind}`, which imgraft cannot unpack");
                return Err(unreadable(&source.path, &std::io::Error::other(problem)));
            }
        }
        unpacked.others +=
            u64::from(entry.kind.is_character_special() || entry.kind.is_block_special() || entry.kind.is_fifo());
        self.set_xattrs(&path, entry)
    }

    fn set_xattrs(&mut self, path: &GuestPath, entry: &Entry) -> Result<(), Error> {
        for (name, value) in &entry.xattrs {
            self.guest.set_xattr(path, name, value)?;
        }
        Ok(())
    }
}

/// Reads a time of a pax header, such as `1234567890.5`. Before 1970 the fraction counts backwards, as the whole
/// number does, while the nanoseconds of a file's time count forwards: `-1.5` is half a second after -2.
fn pax_time(text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let (seconds, nanoseconds) = (seconds.parse::<i64>().ok()?, digits.parse::<u32>().ok()?);
    if !text.starts_with('-') || nanoseconds == 0 {
        return Some(Time { seconds, nanoseconds });
    }
    Some(Time { seconds: seconds.checked_sub(1)?, nanoseconds: NANOSECONDS - nanoseconds })
}

/// The numbers of a device. The fields of other files may be empty.
fn device(header: &Header) -> std::io::Result<(u32, u32)> {
    let kind = header.entry_type();
    match kind.is_character_special() || kind.is_block_special() {
        true => Ok((header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0))),
        false => Ok((0, 0)),
    }
}

/// Adds an extended header to `extension`. Returns whether the header was one.
fn read_extension(
    extension: &mut Extension,
    header: &Header,
    content: &mut dyn std::io::Read,
) -> std::io::Result<bool> {
    let kind = header.entry_type();
    let is_name = kind.is_gnu_longname();
    if !(is_name || kind.is_gnu_longlink() || kind.is_pax_local_extensions() || kind.is_pax_global_extensions()) {
        return Ok(false);
    }
    if kind.is_pax_global_extensions() {
        // git writes a comment there; nothing in it matters.
        return Ok(true);
    }
    let size_bytes = header.entry_size()?;
    extension.size_bytes = extension.size_bytes.saturating_add(size_bytes);
    if extension.size_bytes > EXTENSION_LIMIT_BYTES {
        let said = extension.size_bytes;
        return Err(std::io::Error::other(format!("the headers of one file take {said} bytes, more than 1 MiB")));
    }
    let mut bytes = vec![0; size_bytes as usize];
    content.read_exact(&mut bytes)?;
    if kind.is_pax_local_extensions() {
        for record in image::pax::records(&bytes) {
            let (key, value) = record.map_err(std::io::Error::other)?;
            if key.starts_with(b"GNU.sparse.") {
                return Err(std::io::Error::other("a file has holes as `tar --sparse` writes them"));
            }
            extension.pax.push((key.to_vec(), value.to_vec()));
        }
        return Ok(true);
    }
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    *(if is_name { &mut extension.name } else { &mut extension.link }) = Some(bytes);
    Ok(true)
}

/// The path below `directory` of a name in an archive; `None` for the directory itself.
fn below(directory: &GuestPath, name: &[u8]) -> Result<Option<GuestPath>, Error> {
    let mut path = directory.clone();
    for component in name.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b".")) {
        if component == b".." {
            let name = Printable(name);
            return Err(Error::refused(format!("`{name}` in the archive is outside the directory to unpack in")));
        }
        path = join(&path, component)?;
    }
    Ok((path != *directory).then_some(path))
}

/// Refuses a compressed archive, and names its compression.
fn check_is_plain(path: &Path, storage: &Arc<dyn ReadAt>) -> Result<(), Error> {
    let mut start = [0; 6];
    let length = storage.size_bytes().min(6) as usize;
    storage.read_at(0, &mut start[..length]).map_err(guest::Error::Storage)?;
    let known: [(&[u8], &str, &str); 4] = [
        (&[0x1f, 0x8b], "gzip", "gunzip"),
        (b"BZh", "bzip2", "bunzip2"),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz", "unxz"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", "unzstd"),
    ];
    match known.iter().find(|(magic, ..)| start.starts_with(magic)) {
        Some((_, name, program)) => Err(Error::refused(format!("`{}` is compressed with {name}", path.display()))
            .hint(format!("run `{program} {}` first", path.display()))),
        None => Ok(()),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::refused(format!("cannot unpack `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_before_1970_count_backwards() {
        for (text, seconds, nanoseconds) in [
            ("1.5", 1, 500_000_000),
            ("-1.5", -2, 500_000_000),
            ("-0.25", -1, 750_000_000),
            ("-3", -3, 0),
            ("-3.000", -3, 0),
            ("0.0000000019", 0, 1),
        ] {
            assert_eq!(pax_time(text.as_bytes()), Some(Time { seconds, nanoseconds }), "{text}");
        }
        for wrong in ["", "x", "1.+5", "1.-5", "-9223372036854775808.5", "9223372036854775808"] {
            assert_eq!(pax_time(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
