//! What makes a partition a physical volume: a label in one of its first four sectors, and the header that it points to.
//!
//! Worked example: the label is in sector 1. It says that its header begins 32 bytes after it, and the header lists where
//! data is, from byte 1,048,576 to the end, and where metadata is: 1,044,480 bytes from byte 4096 on.

use std::fmt;
use std::iter;
use std::ops::Range;

use storage::{ReadAt, WriteAt};

use crate::checksum::crc;
use crate::error::{Error, Result};

pub(crate) const SECTOR_BYTES: usize = 512;
/// The sectors in which a label can be.
const LABEL_SECTORS: u64 = 4;
const LABEL_ID: &[u8] = b"LABELONE";
const LABEL_TYPE: &[u8] = b"LVM2 001";
/// `FMTT_MAGIC`.
const AREA_MAGIC: &[u8] = b" LVM2 x[5A%r0N*>";
/// `FMTT_VERSION`.
const AREA_VERSION: u32 = 1;
/// In a `raw_locn`: this copy does not count.
const RAW_LOCN_IGNORED: u32 = 1;
/// The most bytes of metadata that are read. A thousand logical volumes take 1 MiB.
const MAX_TEXT_BYTES: u64 = 2 << 20;

/// A part of a physical volume, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) offset: u64,
    /// 0: up to the end.
    pub(crate) size: u64,
}

/// The label of a physical volume and its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Which sector it is in.
    sector: u64,
    /// Where the header of the physical volume begins in that sector.
    header: usize,
    /// The UUID, 32 characters without hyphens.
    pub uuid: String,
    /// Size of the device in bytes, as it was when the volume was made.
    pub device_bytes: u64,
    pub(crate) metadata: Vec<Area>,
}

/// Whether there is a label, sound or not.
///
/// # Errors
///
/// If the storage cannot be read.
pub fn is_physical_volume(storage: &dyn ReadAt) -> storage::Result<bool> {
    Ok(find(storage)?.is_some())
}

fn find(storage: &dyn ReadAt) -> storage::Result<Option<(u64, [u8; SECTOR_BYTES])>> {
    let mut bytes = [0; SECTOR_BYTES];
    for sector in 0..LABEL_SECTORS.min(storage.size_bytes() / SECTOR_BYTES as u64) {
        storage.read_at(sector * SECTOR_BYTES as u64, &mut bytes)?;
        if bytes.starts_with(LABEL_ID) && bytes[24..].starts_with(LABEL_TYPE) {
            return Ok(Some((sector, bytes)));
        }
    }
    Ok(None)
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_le_bytes)
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_le_bytes)
}

impl Label {
    /// Reads the label; `None` if this is no physical volume.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the label breaks a rule, [`Error::Storage`].
    pub fn read(storage: &dyn ReadAt) -> Result<Option<Self>> {
        let Some((sector, bytes)) = find(storage)? else { return Ok(None) };
        let corrupt = |problem: String| Err(Error::corrupt("label", problem));
        if le64(&bytes, 8) != sector {
            return corrupt(format!("sector_xl={}, but it is in sector {sector}", le64(&bytes, 8)));
        }
        if le32(&bytes, 16) != crc(&[&bytes[20..]]) {
            return corrupt("wrong crc_xl".to_owned());
        }
        let offset = le32(&bytes, 20) as usize;
        let Some(header) = bytes.get(offset..).filter(|header| header.len() >= 56 && offset >= 32) else {
            return corrupt(format!("offset_xl={offset}"));
        };
        let uuid = String::from_utf8_lossy(&header[..32]).into_owned();
        // Two lists, of data and of metadata, each with zeros at its end.
        let mut lists = [Vec::new(), Vec::new()];
        let mut places = header[40..].chunks_exact(16);
        for list in &mut lists {
            loop {
                let Some(place) = places.next() else { return corrupt("a list of areas without an end".to_owned()) };
                let area = Area { offset: le64(place, 0), size: le64(place, 8) };
                if area.offset == 0 {
                    break;
                }
                list.push(area);
            }
        }
        let [_, metadata] = lists;
        Ok(Some(Self { sector, header: offset, uuid, device_bytes: le64(header, 32), metadata }))
    }

    /// Where the label and the metadata are, as ranges of bytes: what LVM writes to.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        let label = self.sector * SECTOR_BYTES as u64..(self.sector + 1) * SECTOR_BYTES as u64;
        let areas = self.metadata.iter().map(|area| area.offset..area.offset.saturating_add(area.size));
        iter::once(label).chain(areas).collect()
    }

    /// Writes another size of the device to the label.
    pub(crate) fn set_device_bytes(&self, storage: &dyn WriteAt, device_bytes: u64) -> Result<()> {
        let mut bytes = [0; SECTOR_BYTES];
        storage.read_at(self.sector * SECTOR_BYTES as u64, &mut bytes)?;
        bytes[self.header + 32..self.header + 40].copy_from_slice(&device_bytes.to_le_bytes());
        let checksum = crc(&[&bytes[20..]]);
        bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
        Ok(storage.write_at(self.sector * SECTOR_BYTES as u64, &bytes)?)
    }

    /// The copies of the metadata that are on this volume, and what is wrong with those that cannot be read.
    pub(crate) fn texts(&self, storage: &dyn ReadAt) -> Result<Vec<Result<Vec<u8>>>> {
        let mut texts = Vec::new();
        for area in &self.metadata {
            match text_of(storage, *area) {
                Err(error @ Error::Storage(_)) => return Err(error),
                Ok(None) => {}
                Ok(Some(text)) => texts.push(Ok(text)),
                Err(error) => texts.push(Err(error)),
            }
        }
        Ok(texts)
    }
}

/// The text in a metadata area: a ring, in which it may go on at the beginning. `None` if there is none that counts.
fn text_of(storage: &dyn ReadAt, area: Area) -> Result<Option<Vec<u8>>> {
    let Some(ring) = Ring::read(storage, area)? else { return Ok(None) };
    let Ring { start, size, text: Text { offset, length, checksum }, .. } = ring;
    let first = length.min(size - offset) as usize;
    let mut text = vec![0; length as usize];
    storage.read_at(start + offset, &mut text[..first])?;
    storage.read_at(start + SECTOR_BYTES as u64, &mut text[first..])?;
    if crc(&[&text]) != checksum {
        return Err(Error::corrupt(area.to_string(), "wrong checksum of the metadata"));
    }
    while text.last() == Some(&0) {
        text.pop();
    }
    Ok(Some(text))
}

/// A metadata area, and where in it the text is that counts.
struct Ring {
    /// The header, `mda_header`.
    header: [u8; SECTOR_BYTES],
    start: u64,
    size: u64,
    text: Text,
}

/// `raw_locn`: where a text is in the area, in bytes, and its CRC.
struct Text {
    offset: u64,
    length: u64,
    checksum: u32,
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metadata area at byte {}", self.offset)
    }
}

impl Ring {
    /// `None` if the area has no text that counts.
    fn read(storage: &dyn ReadAt, area: Area) -> Result<Option<Self>> {
        let object = area.to_string();
        let corrupt = |problem: String| Err(Error::corrupt(&object, problem));
        let mut header = [0; SECTOR_BYTES];
        let fits = |offset: u64, length: u64| offset.checked_add(length).is_some_and(|end| end <= storage.size_bytes());
        if !fits(area.offset, area.size.max(SECTOR_BYTES as u64)) {
            return corrupt(format!("{} bytes are past the end", area.size));
        }
        storage.read_at(area.offset, &mut header)?;
        if le32(&header, 0) != crc(&[&header[4..]]) || header[4..20] != *AREA_MAGIC {
            return corrupt("no header, or a wrong checksum".to_owned());
        }
        let (version, start, size) = (le32(&header, 20), le64(&header, 24), le64(&header, 32));
        if version != AREA_VERSION || start != area.offset || !fits(start, size) || size <= SECTOR_BYTES as u64 {
            return corrupt(format!("version={version} start={start} size={size}"));
        }
        let (offset, length) = (le64(&header, 40), le64(&header, 48));
        let (checksum, flags) = (le32(&header, 56), le32(&header, 60));
        if offset == 0 || flags & RAW_LOCN_IGNORED != 0 {
            return Ok(None);
        }
        let room = size - SECTOR_BYTES as u64;
        if !(SECTOR_BYTES as u64..size).contains(&offset) || length == 0 || length > room.min(MAX_TEXT_BYTES) {
            return corrupt(format!("metadata of {length} bytes at {offset} in an area of {size}"));
        }
        Ok(Some(Self { header, start, size, text: Text { offset, length, checksum } }))
    }

    /// Writes another text behind the one that counts, and then lets it count.
    fn write(mut self, storage: &dyn WriteAt, area: Area, text: &[u8]) -> Result<()> {
        let (sector, length) = (SECTOR_BYTES as u64, text.len() as u64);
        let Text { offset, length: old_length, .. } = self.text;
        let (old_end, is_wrapped) = match offset + old_length {
            end if end > self.size => (end - self.size + sector, true),
            end => (end, false),
        };
        let after = old_end.next_multiple_of(sector);
        // Behind the old text, or at the beginning of the ring: not over the end, and not over the old text.
        let fits_after = after + length <= if is_wrapped { offset } else { self.size };
        let fits_before = !is_wrapped && sector + length <= offset;
        let offset = match (fits_after, fits_before) {
            (true, _) => after,
            (false, true) => sector,
            (false, false) => return Err(Error::Unsupported { what: format!("the {area}, which is full,") }),
        };
        storage.write_at(self.start + offset, text)?;
        self.header[40..48].copy_from_slice(&offset.to_le_bytes());
        self.header[48..56].copy_from_slice(&length.to_le_bytes());
        self.header[56..60].copy_from_slice(&crc(&[text]).to_le_bytes());
        let checksum = crc(&[&self.header[4..]]);
        self.header[..4].copy_from_slice(&checksum.to_le_bytes());
        Ok(storage.write_at(self.start, &self.header)?)
    }
}

/// Writes `text`, which ends with a zero, to the areas of a physical volume whose metadata count.
pub(crate) fn write_text(storage: &dyn WriteAt, label: &Label, text: &[u8]) -> Result<()> {
    for area in &label.metadata {
        if let Some(ring) = Ring::read(&storage, *area)? {
            ring.write(storage, *area, text)?;
        }
    }
    Ok(())
}
