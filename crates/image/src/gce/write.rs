//! A new archive, compressed as one gzip member whose parts many threads make.
//!
//! The disk is cut into parts of [`PART_BYTES`] bytes, and each part is compressed by itself. The cuts are always at the
//! same places, so the file's bytes do not depend on the number of threads. A part of zeros always has the same bytes,
//! which are made once.

use std::fs::File;
use std::ops::Range;

use flate2::Crc;
use storage::ReadAt;
use zerocopy::IntoBytes;

use super::MEMBER;
use crate::append::Appender;
use crate::deflate::Deflate;
use crate::error::{Error, Result};
use crate::in_order::InOrder;
use crate::tar::{BLOCK_BYTES, RawHeader};
use crate::units::{DataUnits, read_units};
use crate::write::Progress;
use crate::zeros::is_zero;
use crate::{WriteOptions, Written};

/// The size of a disk is a multiple of this number of bytes.
pub(crate) const SIZE_UNIT_BYTES: u64 = 1 << 30;
/// Size of a part in bytes; the disk is a whole number of them.
const PART_BYTES: u64 = 1 << 20;
/// GNU tar fills an archive up to a multiple of this number of bytes.
const RECORD_BYTES: u64 = 20 * BLOCK_BYTES;

/// "Member header" of RFC 1952: deflate, no name, no time, no particular system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// An empty last block of deflate.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Writes `disk`, with zeros after it up to a multiple of [`SIZE_UNIT_BYTES`]. The file in the archive has the time
/// `time`, in seconds since 1970.
pub(crate) fn write(
    disk: &dyn ReadAt,
    time: i64,
    target: &File,
    options: &WriteOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Written> {
    let Some(size_bytes) = disk.size_bytes().checked_next_multiple_of(SIZE_UNIT_BYTES) else {
        return Err(Error::unsupported(format!("an archive of a disk of {:#x} bytes", disk.size_bytes())));
    };
    let progress = Progress::new(progress, size_bytes);
    let level = options.new_clusters.level();
    let zeros = Part::new(&vec![0; PART_BYTES as usize], &mut Deflate::new(level, false))?;
    let mut stream = Stream { out: Appender::new(target, 0), content: Crc::new(), length_bytes: 0 };
    stream.out.append(&GZIP_HEADER)?;
    let header = RawHeader::new_file(MEMBER, size_bytes, time.max(0) as u64);
    stream.append(&Part::new(header.as_bytes(), &mut Deflate::new(level, false))?)?;
    let mut next = 0;
    std::thread::scope(|scope| {
        let make_worker = move || {
            let mut deflate = Deflate::new(level, false);
            Ok(move |number: Result<Range<u64>>| read_part(disk, number?, &mut deflate))
        };
        for part in InOrder::start(scope, options.threads, DataUnits::new(disk, PART_BYTES, PART_BYTES), make_worker) {
            let (number, part) = part?;
            for _ in next..number {
                stream.append(&zeros)?;
            }
            stream.append(part.as_ref().unwrap_or(&zeros))?;
            next = number + 1;
            progress.reach(next * PART_BYTES);
        }
        Ok::<(), Error>(())
    })?;
    for _ in next..size_bytes / PART_BYTES {
        stream.append(&zeros)?;
    }
    // Two blocks of zeros end an archive.
    let end = stream.length_bytes + 2 * BLOCK_BYTES;
    let padding = end.next_multiple_of(RECORD_BYTES) - stream.length_bytes;
    stream.append(&Part::new(&vec![0; padding as usize], &mut Deflate::new(level, false))?)?;
    progress.reach(size_bytes);
    stream.finish()
}

/// The part `number`; `None` if it is all zeros.
fn read_part(disk: &dyn ReadAt, number: Range<u64>, deflate: &mut Deflate) -> Result<(u64, Option<Part>)> {
    let start = number.start;
    let bytes = read_units(disk, PART_BYTES, number)?;
    let part = (!is_zero(&bytes)).then(|| Part::new(&bytes, deflate)).transpose()?;
    Ok((start, part))
}

/// A part of the archive, compressed.
struct Part {
    bytes: Vec<u8>,
    content: Crc,
    length_bytes: u64,
}

impl Part {
    fn new(bytes: &[u8], deflate: &mut Deflate) -> Result<Self> {
        let mut content = Crc::new();
        content.update(bytes);
        let mut compressed = Vec::new();
        deflate.append_part(bytes, &mut compressed).map_err(|error| Error::writing(0, 0, error))?;
        Ok(Self { bytes: compressed, content, length_bytes: bytes.len() as u64 })
    }
}

/// The new file.
struct Stream<'a> {
    out: Appender<'a>,
    /// The sum of the bytes that were compressed so far.
    content: Crc,
    length_bytes: u64,
}

impl Stream<'_> {
    fn append(&mut self, part: &Part) -> Result<()> {
        self.content.combine(&part.content);
        self.length_bytes += part.length_bytes;
        self.out.append(&part.bytes)
    }

    /// "Member trailer" of RFC 1952: the sum, and the low 32 bits of the length.
    fn finish(mut self) -> Result<Written> {
        self.out.append(&LAST_BLOCK)?;
        self.out.append(&self.content.sum().to_le_bytes())?;
        self.out.append(&(self.length_bytes as u32).to_le_bytes())?;
        self.out.flush()?;
        Ok(Written { file_size_bytes: self.out.position(), ..Written::default() })
    }
}
