//! A seed as a tar archive, as POSIX's `ustar` interchange format has it.

use std::sync::Arc;

use storage::{ReadAt, Sequence};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Error, Seed};

const BLOCK_BYTES: u64 = 512;
/// Archives end with a whole record of 20 blocks, as those of `tar` do.
const RECORD_BYTES: u64 = 20 * BLOCK_BYTES;
/// What eleven octal digits can say.
const MAX_SIZE_BYTES: u64 = (8 << 30) - 1;

/// POSIX, "ustar Interchange Format". Numbers are octal digits with a NUL behind them.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    /// 0x000
    name: [u8; 100],
    /// 0x064
    mode: [u8; 8],
    /// 0x06c
    uid: [u8; 8],
    /// 0x074
    gid: [u8; 8],
    /// 0x07c
    size: [u8; 12],
    /// 0x088: seconds since 1970.
    mtime: [u8; 12],
    /// 0x094: the sum of all bytes, these taken as blanks.
    chksum: [u8; 8],
    /// 0x09c: `0` for a file, `5` for a directory.
    typeflag: u8,
    /// 0x09d
    linkname: [u8; 100],
    /// 0x101: `ustar` and a NUL.
    magic: [u8; 6],
    /// 0x107: `00`.
    version: [u8; 2],
    /// 0x109
    uname: [u8; 32],
    /// 0x129
    gname: [u8; 32],
    /// 0x149
    devmajor: [u8; 8],
    /// 0x151
    devminor: [u8; 8],
    /// 0x159: goes in front of the name.
    prefix: [u8; 155],
    /// 0x1f4
    padding: [u8; 12],
}

const _: () = assert!(size_of::<RawHeader>() as u64 == BLOCK_BYTES);

/// The archive with the files of `seed` in `folder`, which is root's as they are.
pub(crate) fn archive(seed: &Seed, folder: &str, seconds: u32) -> Result<Sequence, Error> {
    let mut archive = Sequence::new();
    if !folder.is_empty() {
        archive.push_bytes(header(&format!("{folder}/"), b'5', 0o755, 0, seconds));
    }
    for (name, content) in seed.files() {
        let size_bytes = content.size_bytes();
        if size_bytes > MAX_SIZE_BYTES {
            return Err(Error::TooLarge { name, size_bytes, limit: "a file in an archive ends at 8 GiB" });
        }
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        archive.push_bytes(header(&path, b'0', 0o644, size_bytes, seconds));
        archive.push(Arc::clone(content));
        archive.pad_to(BLOCK_BYTES);
    }
    archive.push_zeros(2 * BLOCK_BYTES);
    archive.pad_to(RECORD_BYTES);
    Ok(archive)
}

fn header(path: &str, typeflag: u8, mode: u64, size_bytes: u64, seconds: u32) -> Vec<u8> {
    let mut raw = RawHeader::new_zeroed();
    put(&mut raw.name, path);
    put_octal(&mut raw.mode, mode);
    put_octal(&mut raw.uid, 0);
    put_octal(&mut raw.gid, 0);
    put_octal(&mut raw.size, size_bytes);
    put_octal(&mut raw.mtime, seconds.into());
    raw.chksum = *b"        ";
    raw.typeflag = typeflag;
    put(&mut raw.magic, "ustar");
    raw.version = *b"00";
    put(&mut raw.uname, "root");
    put(&mut raw.gname, "root");
    let sum: u64 = raw.as_bytes().iter().map(|&byte| u64::from(byte)).sum();
    put(&mut raw.chksum, &format!("{sum:06o}\0 "));
    raw.as_bytes().to_vec()
}

/// Puts a text that fits; the paths here have less than 100 bytes.
fn put(field: &mut [u8], text: &str) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
}

fn put_octal(field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    put(field, &format!("{number:0digits$o}"));
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

/// The files in the archive `storage`, up to its end or to where it is none any more.
pub(crate) fn entries(storage: &dyn ReadAt) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let mut at = 0;
    for _ in 0..MAX_MEMBERS {
        let mut raw = RawHeader::new_zeroed();
        if storage.size_bytes().saturating_sub(at) < BLOCK_BYTES {
            break;
        }
        storage.read_at(at, raw.as_mut_bytes())?;
        let Some(size_bytes) = octal(&raw.size).filter(|_| raw.magic.starts_with(b"ustar")) else { break };
        let offset = at + BLOCK_BYTES;
        let is_whole = storage.size_bytes() - offset >= size_bytes;
        if matches!(raw.typeflag, b'0' | 0) && is_whole {
            entries.push(Entry { name: text(&raw.name), size_bytes, offset });
        }
        if !is_whole {
            break;
        }
        at = offset + size_bytes.next_multiple_of(BLOCK_BYTES);
    }
    Ok(entries)
}

fn text(field: &[u8]) -> String {
    let length = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..length]).into_owned()
}

fn octal(field: &[u8]) -> Option<u64> {
    u64::from_str_radix(text(field).trim(), 8).ok()
}
