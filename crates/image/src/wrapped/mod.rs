//! Images as they are passed around: compressed with gzip, xz or zstd, and perhaps in a tar archive.
//!
//! # How it works, by an example
//!
//! The first bytes of a file say how it is compressed. The disk of 1 MiB that the [qcow2 example](crate::qcow2) has
//! becomes:
//!
//! ```text
//! disk.raw.gz   1,077 bytes, begins with 1f 8b              gzip
//! disk.raw.xz     300 bytes, begins with fd 37 7a 58 5a 00  xz
//! disk.raw.zst     83 bytes, begins with 28 b5 2f fd        zstd
//! ```
//!
//! Where the guest's byte 0xa1234 is in one of them cannot be calculated: it is the 0xa1235th byte that comes out. So
//! [`unwrap`] writes what is inside to a file, once and from front to back, with holes for zeros, and that file is
//! opened like any other. A few bytes may become very many: [`UnwrapLimits`] bounds them, and what a file says about
//! its size is not relied on. One wrapping is taken off: if the content is compressed again, it is refused as any
//! compressed file is.
//!
//! If the first 512 bytes that come out are a tar header with a valid checksum, one member `disk.raw` is looked for, as
//! in Google's images and Debian's: its bytes begin at byte 512 if it is the first. Other archives are refused, and
//! the message names what they contain.

mod archive;
mod sink;
mod stream;

use std::fmt;
use std::fs::File;

use serde::{Serialize, Serializer};
use storage::ReadAt;
use zerocopy::FromBytes;

use crate::error::Result;
use crate::tar::{BLOCK_BYTES, RawHeader};
use sink::Sink;
use stream::Stream;

/// The bytes that are decompressed at a time.
const STEP_BYTES: usize = 1 << 20;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// One or more members of RFC 1952.
    Gzip,
    /// One or more `.xz` streams.
    Xz,
    /// One or more frames of RFC 8878.
    Zstd,
}

impl Compression {
    /// Whether `bytes` begin like a file of this kind.
    fn begins(self, bytes: &[u8]) -> bool {
        match self {
            Self::Gzip => bytes.starts_with(&[0x1f, 0x8b]),
            Self::Xz => bytes.starts_with(b"\xfd7zXZ\0"),
            // A frame, or a skippable frame.
            Self::Zstd => {
                bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || matches!(bytes, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
            }
        }
    }

    /// The name of such a file in messages.
    fn file_name(self) -> String {
        format!("{} {self} file", if self == Self::Xz { "an" } else { "a" })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        })
    }
}

/// How an image is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wrapping {
    /// How the file is compressed.
    pub compression: Compression,
    /// Whether the compressed file is a tar archive that contains the image.
    pub archive: bool,
}

impl fmt::Display for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tar = if self.archive { "tar in " } else { "" };
        write!(f, "{tar}{}", self.compression)
    }
}

impl Serialize for Wrapping {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The limits for the content of a compressed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnwrapLimits {
    /// The most bytes, including zeros.
    pub size_bytes: u64,
    /// The most bytes that take room in the new file, in which zeros are holes.
    pub data_bytes: u64,
}

/// How `file` is compressed, if it is. Only its first bytes are read.
///
/// # Errors
///
/// [`Error::Storage`](crate::Error::Storage) if reading fails.
pub fn compression_of(file: &dyn ReadAt) -> Result<Option<Compression>> {
    let mut start = vec![0; file.size_bytes().min(8) as usize];
    file.read_at(0, &mut start)?;
    let all = [Compression::Gzip, Compression::Xz, Compression::Zstd];
    Ok(all.into_iter().find(|compression| compression.begins(&start)))
}

/// Writes the image in `file` to `target`, which is empty. [`compression_of`] finds the `compression`. Zeros become holes.
/// `progress` gets the bytes of `file` that are done, and their total.
///
/// # Errors
///
/// [`Error::TooLarge`](crate::Error::TooLarge) if the content exceeds the limit of size,
/// [`Error::Storage`](crate::Error::Storage) with the error of a full disk if it exceeds the limit of data, and if
/// reading or writing fails, [`Error::Corrupt`](crate::Error::Corrupt) for a file that is cut off, damaged or followed by
/// other bytes, [`Error::Unsupported`](crate::Error::Unsupported) for an archive of other files and for a stream that
/// needs more than 64 MiB of memory.
pub fn unwrap(
    file: &dyn ReadAt,
    compression: Compression,
    target: &File,
    limits: UnwrapLimits,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Wrapping> {
    let mut stream = Stream::new(file, compression, limits.size_bytes, progress)?;
    let mut sink = Sink::new(target, limits.data_bytes);
    let mut buffer = vec![0; STEP_BYTES];
    let mut first = [0; BLOCK_BYTES as usize];
    let length = stream.fill(&mut first)?;
    let header = RawHeader::read_from_bytes(&first[..length]).ok().filter(RawHeader::is_valid);
    if let Some(header) = &header {
        archive::extract(&mut stream, header, &mut sink, limits.size_bytes)?;
    } else {
        // Steps end at multiples of the step's size, so that no hole is split.
        buffer[..length].copy_from_slice(&first[..length]);
        let mut done = length + stream.fill(&mut buffer[length..])?;
        while done > 0 {
            sink.append(&buffer[..done])?;
            done = stream.fill(&mut buffer)?;
        }
    }
    sink.finish()?;
    Ok(Wrapping { compression, archive: header.is_some() })
}
