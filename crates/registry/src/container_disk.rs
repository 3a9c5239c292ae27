//! KubeVirt's container disks: an image whose one layer has the disk in `/disk`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use catalogue::cache::{Algorithm, Claim, Hasher};
use catalogue::{Cache, Digest, Entry};
use flate2::read::MultiGzDecoder;
use image::pax;
use serde::Serialize;
use tar::{EntryType, Header};

use crate::blob::{Blob, Part};
use crate::error::Error;
use crate::manifest::{CONFIG, Descriptor, Manifest, TAR};

/// The user and group that KubeVirt runs QEMU as.
const QEMU_ID: u64 = 107;
/// The folder of the disk.
const FOLDER: &str = "disk/";
const BLOCK_BYTES: u64 = 512;

/// The most headers of a layer.
const HEADERS_MAX: u32 = 1024;
/// The largest disk in a layer, in bytes.
const DISK_MAX_BYTES: u64 = 256 << 30;
/// The most that all other files of a layer have, in bytes: they are read only to get past them.
const OTHERS_MAX_BYTES: u64 = 1 << 30;
/// The longest `pax` records and long names that are read, in bytes.
const RECORDS_MAX_BYTES: u64 = 64 << 10;
/// The bytes that are read at a time.
const STEP_BYTES: usize = 256 << 10;

/// How a layer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A tar archive.
    Tar,
    /// One in gzip.
    Gzip,
}

/// The configuration of an image that is never run.
#[derive(Serialize)]
struct Config<'a> {
    architecture: &'a str,
    os: &'a str,
    config: BTreeMap<String, String>,
    rootfs: RootFs,
}

#[derive(Serialize)]
struct RootFs {
    r#type: &'static str,
    diff_ids: Vec<String>,
}

/// A container disk with the image in `file`, as `/disk/NAME`: its manifest, and the blobs that it names. Nothing in it
/// depends on the time or on the file's owner.
///
/// # Errors
///
/// If the file cannot be read.
pub fn container_disk(
    file: Arc<File>,
    size_bytes: u64,
    name: &str,
    architecture: &str,
    annotations: BTreeMap<String, String>,
    progress: &dyn Fn(u64),
) -> io::Result<(Manifest, Vec<Blob>)> {
    let mut headers = header(FOLDER, EntryType::Directory, 0o755, 0)?;
    headers.extend(header(&format!("{FOLDER}{name}"), EntryType::Regular, 0o440, size_bytes)?);
    let end_bytes = size_bytes.next_multiple_of(BLOCK_BYTES) - size_bytes + 2 * BLOCK_BYTES;
    let end = Part::Bytes(vec![0; end_bytes as usize]);
    let layer = Blob::new(vec![Part::Bytes(headers), Part::File { file, size_bytes }, end], progress)?;
    let rootfs = RootFs { r#type: "layers", diff_ids: vec![layer.digest().to_string()] };
    let config = Config { architecture, os: "linux", config: BTreeMap::new(), rootfs };
    let config = Blob::of_bytes(serde_json::to_vec(&config).map_err(io::Error::other)?);
    let manifest = Manifest::new(Descriptor::of(CONFIG, &config), Descriptor::of(TAR, &layer), annotations);
    Ok((manifest, vec![layer, config]))
}

fn header(path: &str, entry_type: EntryType, mode: u32, size_bytes: u64) -> io::Result<Vec<u8>> {
    let mut header = Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(entry_type);
    header.set_mode(mode);
    header.set_uid(QEMU_ID);
    header.set_gid(QEMU_ID);
    header.set_mtime(0);
    header.set_size(size_bytes);
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}

/// Puts the disk of the layer in `layer` into the cache, under its own digest, and calls it `name` there. The layer is
/// read twice, unless the cache has the disk: first for the digest.
///
/// # Errors
///
/// A layer that is not a tar archive with one file in `/disk`, a disk of more than 256 GiB, errors of the cache.
pub fn unpack(layer: &File, kind: Layer, cache: &Cache, name: &str) -> Result<Entry, Error> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    read(layer, kind, name, &mut |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    let digest: Digest = hasher.finish();
    let mut part = match cache.claim(&digest, &mut |_, _| {})? {
        Claim::Entry(entry) => return Ok(entry),
        Claim::Part(part) => part,
    };
    part.restart()?;
    read(layer, kind, name, &mut |bytes| Ok(part.append(bytes)?))?;
    let found = part.hasher()?.finish();
    if found != digest {
        let (found, expected) = (Box::new(found), Box::new(digest));
        return Err(Error::WrongDigest { what: name.to_owned(), found, expected });
    }
    Ok(part.finish(name)?)
}

/// Gives `take` the bytes of the one disk of a layer.
fn read(layer: &File, kind: Layer, name: &str, take: Take<'_>) -> Result<(), Error> {
    let whole = Whole { file: layer, offset: 0 };
    match kind {
        Layer::Tar => Archive { reader: whole, name, skipped_bytes: 0 }.read(take),
        Layer::Gzip => {
            let reader = MultiGzDecoder::new(io::BufReader::with_capacity(STEP_BYTES, whole));
            Archive { reader, name, skipped_bytes: 0 }.read(take)
        }
    }
}

type Take<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Error>;

/// A file from its beginning, wherever its handle is.
struct Whole<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = std::os::unix::fs::FileExt::read_at(self.file, buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

struct Archive<'a, R> {
    reader: R,
    name: &'a str,
    /// What was read of files that are not the disk, in bytes.
    skipped_bytes: u64,
}

impl<R: Read> Archive<'_, R> {
    fn read(&mut self, take: Take<'_>) -> Result<(), Error> {
        let (mut found, mut next_path, mut next_size): (bool, Option<Vec<u8>>, Option<u64>) = (false, None, None);
        for _ in 0..HEADERS_MAX {
            let mut block = [0; BLOCK_BYTES as usize];
            self.exactly(&mut block)?;
            if block.iter().all(|&byte| byte == 0) {
                return if found { Ok(()) } else { Err(self.problem("has no disk: no file in `/disk`")) };
            }
            let header = Header::from_byte_slice(&block);
            if header.cksum().ok() != Some(sum(&block)) {
                return Err(self.problem("has a layer that is not a tar archive"));
            }
            let size = next_size.take().or(header.entry_size().ok());
            let size = size.filter(|&size| size <= DISK_MAX_BYTES);
            let size = size.ok_or_else(|| self.problem("has a file of more than 256 GiB, or of no size"))?;
            match header.entry_type() {
                EntryType::XHeader => {
                    let records = self.small(size)?;
                    for record in pax::records(&records) {
                        let (key, value) =
                            record.map_err(|error| self.problem(&format!("has pax records: {error}")))?;
                        match key {
                            b"path" => next_path = Some(value.to_vec()),
                            b"size" => next_size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
                            _ => {}
                        }
                    }
                    continue;
                }
                EntryType::GNULongName => {
                    let mut path = self.small(size)?;
                    path.retain(|&byte| byte != 0);
                    next_path = Some(path);
                    continue;
                }
                EntryType::Regular => {
                    let path = next_path.take().unwrap_or_else(|| header.path_bytes().into_owned());
                    if !is_disk(&path) {
                        self.skip(size)?;
                        continue;
                    }
                    if std::mem::replace(&mut found, true) {
                        return Err(self.problem("has several files in `/disk`, and a container disk has one"));
                    }
                    self.content(size, take)?;
                }
                _ => {
                    next_path = None;
                    self.skip(size)?;
                }
            }
        }
        Err(self.problem(&format!("has a layer of more than {HEADERS_MAX} files")))
    }

    fn problem(&self, problem: &str) -> Error {
        Error::document(self.name, problem)
    }

    fn exactly(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        self.reader.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.problem("has a layer that ends too early"),
            _ => self.problem(&format!("has a layer that cannot be read: {error}")),
        })
    }

    /// Reads past a member that is not the disk. Zeros without end are a few bytes of gzip.
    fn skip(&mut self, size: u64) -> Result<(), Error> {
        self.skipped_bytes = self.skipped_bytes.saturating_add(size);
        if self.skipped_bytes > OTHERS_MAX_BYTES {
            return Err(self.problem("has a layer with more than 1 GiB beside the disk"));
        }
        self.content(size, &mut |_| Ok(()))
    }

    /// The content of a member that is about the next one.
    fn small(&mut self, size: u64) -> Result<Vec<u8>, Error> {
        if size > RECORDS_MAX_BYTES {
            return Err(self.problem(&format!("has a layer with {size} bytes of pax records")));
        }
        let mut bytes = Vec::new();
        self.content(size, &mut |more| {
            bytes.extend_from_slice(more);
            Ok(())
        })?;
        Ok(bytes)
    }

    fn content(&mut self, size: u64, take: Take<'_>) -> Result<(), Error> {
        let mut buffer = vec![0; STEP_BYTES];
        let mut left = size;
        while left > 0 {
            let step = &mut buffer[..left.min(STEP_BYTES as u64) as usize];
            self.exactly(step)?;
            take(step)?;
            left -= step.len() as u64;
        }
        let rest = size.next_multiple_of(BLOCK_BYTES) - size;
        self.exactly(&mut buffer[..rest as usize])
    }
}

/// Whether a member is in `/disk`, directly.
fn is_disk(path: &[u8]) -> bool {
    let path = path.strip_prefix(b"./").or_else(|| path.strip_prefix(b"/")).unwrap_or(path);
    path.strip_prefix(FOLDER.as_bytes()).is_some_and(|name| {
        // Docker marks removed files by such names.
        !name.is_empty() && !name.contains(&b'/') && !name.starts_with(b".wh.")
    })
}

/// The checksum of a header: its bytes, with blanks in place of the checksum itself.
fn sum(block: &[u8]) -> u32 {
    let byte = |(at, &byte): (usize, &u8)| if (148..156).contains(&at) { 32 } else { u32::from(byte) };
    block.iter().enumerate().map(byte).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    /// A member as its header says it, with as much content as there is.
    fn member(path: &str, entry_type: EntryType, size_bytes: u64, content: &[u8]) -> Vec<u8> {
        let mut member = header(path, entry_type, 0o440, size_bytes).unwrap();
        member.extend_from_slice(content);
        member.resize(member.len().next_multiple_of(512), 0);
        member
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Unpacks a layer, plain and in gzip, with a cache of its own each: what comes of both is the same.
    fn unpacked(layer: &[u8]) -> Result<Vec<u8>, String> {
        let [plain, packed] = [(layer.to_vec(), Layer::Tar), (gzip(layer), Layer::Gzip)].map(|(bytes, kind)| {
            let folder = tempfile::tempdir().unwrap();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let entry = unpack(&file, kind, &Cache::new(folder.path().join("cache")), "disk");
            let entry = entry.map_err(|error| error.to_string())?;
            Ok(std::fs::read(entry.path()).unwrap())
        });
        assert_eq!(plain, packed);
        plain
    }

    #[test]
    fn the_disk_is_found_among_others() {
        let disk = [7; 1000];
        let layer = [
            member("disk/", EntryType::Directory, 0, &[]),
            member("etc/passwd", EntryType::Regular, 5, b"root:"),
            member("disk/.wh.old.img", EntryType::Regular, 0, &[]),
            member("././@LongLink", EntryType::GNULongName, 14, b"disk/long.img\0"),
            member("disk/long", EntryType::Regular, 1000, &disk),
            vec![0; 1024],
        ];
        assert_eq!(unpacked(&layer.concat()), Ok(disk.to_vec()));
    }

    #[test]
    fn floods_and_lies_end_early() {
        let many: Vec<u8> = (0..2000).flat_map(|_| member("etc/x", EntryType::Regular, 0, &[])).collect();
        // Read to their ends, these would take hours.
        let zeros = 200 << 30;
        let huge = member("etc/zeros", EntryType::Regular, zeros, &[]);
        let some = member("etc/zeros", EntryType::Regular, 1 << 20, &vec![0; 1 << 20]);
        let rest = member("etc/zeros", EntryType::Regular, 1 << 30, &[]);
        for (layer, why) in [
            (many, "more than 1024 files"),
            (huge, "more than 1 GiB beside the disk"),
            ([some, rest].concat(), "more than 1 GiB beside the disk"),
            (member("disk/a.img", EntryType::Regular, zeros, b"short"), "ends too early"),
            (member("disk/a.img", EntryType::Regular, 300 << 30, &[]), "more than 256 GiB"),
            (member("x", EntryType::XHeader, 1 << 30, &[]), "1073741824 bytes of pax records"),
            (member("x", EntryType::GNULongName, 1 << 30, &[]), "1073741824 bytes of pax records"),
            (vec![0; 1024], "no file in `/disk`"),
            (vec![1; 4096], "not a tar archive"),
            (Vec::new(), "ends too early"),
            (
                [member("disk/a", EntryType::Regular, 0, &[]), member("disk/b", EntryType::Regular, 0, &[])].concat(),
                "several",
            ),
        ] {
            let error = unpacked(&layer).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}
