//! A seed as a tar archive, in POSIX's `ustar` interchange format.
//!
//! An archive consists of blocks of 512 bytes: for each file a header and then its content, padded with zeros. In a
//! header, numbers are octal digits. That of a `user-data` of 28 bytes:
//!
//! ```text
//! 0x000  "user-data"         the name
//! 0x064  "0000644"           the mode; then owner and group, both 0
//! 0x07c  "00000000034"       the size: 0o34 = 28 bytes
//! 0x088  "14524770400"       the time: 1,700,000,000 seconds since 1970
//! 0x094  "0011424"           the sum of all bytes of the header, with blanks in this field
//! 0x09c  "0"                 a file; `5` would be a directory
//! 0x101  "ustar" 00 "00"     the format and its version
//! 0x200                      the content: 28 bytes, then 484 zeros
//! ```
//!
//! Two blocks of zeros end the archive. cloud-init itself reads no archives: it is for unpacking the seed in a guest,
//! below `/var/lib/cloud/seed/nocloud`.

use std::sync::Arc;

use storage::{ReadAt, Sequence};
use tar::{EntryType, Header};

use crate::{Error, Seed};

const BLOCK_BYTES: u64 = 512;
/// Archives end with a whole record of 20 blocks, as those of `tar` do.
const RECORD_BYTES: u64 = 20 * BLOCK_BYTES;
/// The largest number that eleven octal digits can express.
const MAX_SIZE_BYTES: u64 = (8 << 30) - 1;

/// The archive with the files of `seed` in `folder`. Folder and files belong to root.
pub(crate) fn archive(seed: &Seed, folder: &str, seconds: u32) -> Result<Sequence, Error> {
    let mut archive = Sequence::new();
    if !folder.is_empty() {
        archive.push_bytes(header(&format!("{folder}/"), EntryType::Directory, 0o755, 0, seconds)?);
    }
    for (name, content) in seed.files() {
        let size_bytes = content.size_bytes();
        if size_bytes > MAX_SIZE_BYTES {
            return Err(Error::TooLarge { name, size_bytes, limit: "the limit in an archive is 8 GiB" });
        }
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        archive.push_bytes(header(&path, EntryType::Regular, 0o644, size_bytes, seconds)?);
        archive.push(Arc::clone(content));
        archive.pad_to(BLOCK_BYTES);
    }
    archive.push_zeros(2 * BLOCK_BYTES);
    archive.pad_to(RECORD_BYTES);
    Ok(archive)
}

fn header(path: &str, kind: EntryType, mode: u32, size_bytes: u64, seconds: u32) -> Result<Vec<u8>, Error> {
    let mut header = Header::new_ustar();
    let fill = |header: &mut Header| {
        header.set_path(path)?;
        header.set_username("root")?;
        header.set_groupname("root")
    };
    fill(&mut header).map_err(|error| Error::Medium { what: "a name in the archive", source: Box::new(error) })?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size_bytes);
    header.set_mtime(seconds.into());
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}

/// A file in an archive.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    /// Where its content begins, in bytes.
    pub(crate) offset: u64,
}

/// The most members that are looked at.
const MAX_MEMBERS: usize = 10_000;

/// The files in the archive `storage`, up to its end or to the first block that is not a header.
pub(crate) fn entries(storage: &dyn ReadAt) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let mut at = 0;
    for _ in 0..MAX_MEMBERS {
        let mut header = Header::new_old();
        if storage.size_bytes().saturating_sub(at) < BLOCK_BYTES {
            break;
        }
        storage.read_at(at, header.as_mut_bytes())?;
        let is_header = header.as_ustar().is_some() || header.as_gnu().is_some();
        let Some(size_bytes) = header.entry_size().ok().filter(|_| is_header) else { break };
        let offset = at + BLOCK_BYTES;
        if storage.size_bytes() - offset < size_bytes {
            break;
        }
        if header.entry_type().is_file() {
            let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
            entries.push(Entry { name, size_bytes, offset });
        }
        at = offset + size_bytes.next_multiple_of(BLOCK_BYTES);
    }
    Ok(entries)
}
