//! The one file `disk.raw` of a tar archive.

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::STEP_BYTES;
use super::sink::Sink;
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::gce::MEMBER;
use crate::pax;
use crate::tar::*;
use crate::zeros::is_zero;

/// The longest `pax` records that are read, in bytes.
const RECORDS_MAX_BYTES: u64 = 64 << 10;
/// The most parts of a file with holes.
const PARTS_MAX: usize = 1 << 19;

/// The most headers: the file's, and those of directories and of `pax` records. Usually there are at most four.
const HEADERS_MAX: usize = 1024;

/// Writes the file in the archive `stream`, whose first header is `first`, to `sink`, and reads the archive to its end.
pub(crate) fn extract(stream: &mut Stream<'_>, first: &RawHeader, sink: &mut Sink<'_>, limit_bytes: u64) -> Result<()> {
    let mut header = *first;
    let mut found = false;
    // The next member's size, if `pax` records have it.
    let mut next_size: Option<u64> = None;
    let mut headers = 0;
    loop {
        headers += 1;
        if headers > HEADERS_MAX {
            return Err(Error::unsupported(format!("a tar archive with more than {HEADERS_MAX} headers")));
        }
        let name = header.name();
        let object = || format!("tar archive, member {name:?}");
        let written = number(&header.size).ok_or_else(|| Error::corrupt(object(), "its size is not a number"))?;
        let size = next_size.unwrap_or(written);
        match header.typeflag {
            TYPE_FILE | TYPE_OLD_FILE | TYPE_SPARSE if name == MEMBER && !found => {
                found = true;
                let parts = Parts::read(stream, &header, size)?;
                if parts.size_bytes > limit_bytes {
                    return Err(Error::TooLarge { object: object(), limit_bytes });
                }
                parts.copy(stream, sink)?;
                skip(stream, size.next_multiple_of(BLOCK_BYTES) - size)?;
                next_size = None;
            }
            TYPE_DIRECTORY if size == 0 => next_size = None,
            TYPE_NEXT | TYPE_ALL => {
                let size = read_records(stream, size)?;
                if header.typeflag == TYPE_NEXT {
                    next_size = size;
                }
            }
            _ => {
                let text = format!("a tar archive with {name:?} and not only {MEMBER:?}");
                return Err(Error::unsupported(text));
            }
        }
        let mut block = [0; BLOCK_BYTES as usize];
        if stream.fill(&mut block)? < block.len() {
            return Err(Error::corrupt("tar archive", "it ends without two blocks of zeros"));
        }
        if is_zero(&block) {
            break;
        }
        header = match RawHeader::read_from_bytes(&block) {
            Ok(header) if header.is_valid() => header,
            _ => return Err(Error::corrupt("tar archive", format!("no header follows {name:?}"))),
        };
    }
    // Errors of the compressed stream may come up to its end.
    let mut rest = vec![0; STEP_BYTES];
    loop {
        let length = stream.fill(&mut rest)?;
        if !is_zero(&rest[..length]) {
            return Err(Error::corrupt("tar archive", "its end is followed by bytes other than zeros"));
        }
        if length < rest.len() {
            break;
        }
    }
    if found { Ok(()) } else { Err(Error::unsupported(format!("a tar archive without {MEMBER:?}"))) }
}

/// The parts of a file that are in the archive: the whole file, or the data between its holes.
struct Parts {
    /// The offset of each in the file, and its length in bytes.
    parts: Vec<(u64, u64)>,
    size_bytes: u64,
}

impl Parts {
    fn read(stream: &mut Stream<'_>, header: &RawHeader, size: u64) -> Result<Self> {
        if header.typeflag != TYPE_SPARSE {
            return Ok(Self { parts: vec![(0, size)], size_bytes: size });
        }
        let corrupt = |problem: &str| Error::corrupt("tar archive, member \"disk.raw\"", problem);
        let mut raw = header.parts.to_vec();
        let mut is_extended = header.is_extended != 0;
        while is_extended {
            let mut more = RawParts::new_zeroed();
            if stream.fill(more.as_mut_bytes())? < size_of::<RawParts>() || raw.len() > PARTS_MAX {
                return Err(corrupt("its list of parts does not end"));
            }
            raw.extend(more.parts);
            is_extended = more.is_extended != 0;
        }
        let size_bytes = number(&header.real_size).ok_or_else(|| corrupt("its size is not a number"))?;
        let mut parts = Vec::new();
        let (mut at, mut there) = (0, 0_u64);
        for part in raw.iter().take_while(|part| part.offset[0] != 0) {
            let (Some(offset), Some(length)) = (number(&part.offset), number(&part.length)) else {
                return Err(corrupt("a part's place is not a number"));
            };
            let end = offset.checked_add(length).filter(|&end| offset >= at && end <= size_bytes);
            at = end.ok_or_else(|| corrupt("its parts are not in order or not inside the file"))?;
            there += length;
            parts.push((offset, length));
        }
        if there != size {
            return Err(corrupt("its parts do not have the length of its data in the archive"));
        }
        Ok(Self { parts, size_bytes })
    }

    fn copy(&self, stream: &mut Stream<'_>, sink: &mut Sink<'_>) -> Result<()> {
        let mut buffer = vec![0; STEP_BYTES];
        for &(offset, length) in &self.parts {
            sink.skip_to(offset);
            let end = offset + length;
            while sink.position() < end {
                let step = &mut buffer[..(end - sink.position()).min(STEP_BYTES as u64) as usize];
                if stream.fill(step)? < step.len() {
                    return Err(Error::corrupt("tar archive", "it ends inside \"disk.raw\""));
                }
                sink.append(step)?;
            }
        }
        sink.skip_to(self.size_bytes);
        Ok(())
    }
}

fn skip(stream: &mut Stream<'_>, length: u64) -> Result<()> {
    let mut bytes = vec![0; length as usize];
    if stream.fill(&mut bytes)? < bytes.len() {
        return Err(Error::corrupt("tar archive", "it ends inside a member"));
    }
    Ok(())
}

/// The size in `pax` records of `length` bytes, if they have one. Each record is `LENGTH KEY=VALUE\n`.
fn read_records(stream: &mut Stream<'_>, length: u64) -> Result<Option<u64>> {
    if length > RECORDS_MAX_BYTES {
        return Err(Error::unsupported(format!("a tar archive with {length:#x} bytes of pax records")));
    }
    let mut bytes = vec![0; length.next_multiple_of(BLOCK_BYTES) as usize];
    if stream.fill(&mut bytes)? < bytes.len() {
        return Err(Error::corrupt("tar archive", "it ends inside pax records"));
    }
    let mut size = None;
    for record in pax::records(&bytes[..length as usize]) {
        let (key, value) = record.map_err(|error| Error::corrupt("tar archive", error.to_string()))?;
        let text = || String::from_utf8_lossy(value).into_owned();
        match key {
            b"size" => {
                let value = text().parse().map_err(|_| Error::corrupt("tar archive", "a pax size is not a number"))?;
                size = Some(value);
            }
            b"path" if text().trim_start_matches("./") != MEMBER => {
                return Err(Error::unsupported(format!("a tar archive with {:?}", text())));
            }
            _ if key.starts_with(b"GNU.sparse") => {
                return Err(Error::unsupported("a tar archive with GNU.sparse pax records (`tar --format=pax -S`)"));
            }
            _ => {}
        }
    }
    Ok(size)
}
