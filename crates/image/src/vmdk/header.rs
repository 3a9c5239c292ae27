//! The header, or the footer that a stream has instead, validated.

use storage::ReadAt;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::descriptor::{DESCRIPTOR_MAX_BYTES, Descriptor};
use super::layout::*;
use crate::error::{Error, Result};

/// The largest grain in sectors: 2 MiB, twice as much as in QEMU.
const GRAIN_MAX_SECTORS: u64 = 4096;
/// The most entries of a grain table, as in QEMU; every writer makes as many.
pub(crate) const TABLE_MAX_ENTRIES: u32 = 512;
/// The most grain tables, because their directory is kept in memory. With grains of 64 KiB they are for 128 TiB.
pub(crate) const TABLES_MAX: u64 = 1 << 22;

/// The fields of a valid header.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) capacity_sectors: u64,
    pub(crate) grain_sectors: u64,
    pub(crate) table_entries: u64,
    /// Where the grain directory is, in bytes.
    pub(crate) directory_offset: u64,
    pub(crate) compressed: bool,
    pub(crate) zero_grains: bool,
    pub(crate) unclean: bool,
    pub(crate) create_type: String,
}

impl Header {
    pub(crate) fn read(file: &dyn ReadAt) -> Result<Self> {
        let raw = read_raw(file, 0, "VMDK header")?;
        let descriptor = read_descriptor(file, &raw)?;
        if raw.gd_offset.get() != GD_AT_END {
            return Self::parse(&raw, descriptor, "VMDK header");
        }
        let footer = read_footer(file)?;
        let header = Self::parse(&footer, descriptor, "VMDK footer")?;
        if footer.capacity != raw.capacity || footer.grain_size != raw.grain_size {
            let problem = format!("capacity={} grainSize={}", footer.capacity, footer.grain_size);
            let expected = format!("those of the header, {} and {}", raw.capacity, raw.grain_size);
            return Err(Error::corrupt("VMDK footer", format!("{problem}, expected {expected}")));
        }
        Ok(header)
    }

    fn parse(raw: &RawHeader, descriptor: Descriptor, object: &str) -> Result<Self> {
        let corrupt = |problem: String| Err(Error::corrupt(object, problem));
        let flags = raw.flags.get();
        if !(1..=3).contains(&raw.version.get()) {
            return Err(Error::unsupported(format!("a VMDK image of version={}", raw.version)));
        }
        let unknown = flags & FLAGS_INCOMPATIBLE & !(FLAG_COMPRESSED | FLAG_MARKERS);
        if unknown != 0 {
            return Err(Error::unsupported(format!("a VMDK image with flags={unknown:#x}")));
        }
        if flags & FLAG_NEWLINES != 0 && raw.newlines != NEWLINES {
            return corrupt("its newlines were changed: the file was transferred as text".into());
        }
        let compressed = match raw.compress_algorithm.get() {
            COMPRESS_NONE => false,
            COMPRESS_DEFLATE => true,
            other => return Err(Error::unsupported(format!("a VMDK image with compressAlgorithm={other}"))),
        };
        if compressed != (flags & FLAG_COMPRESSED != 0) {
            return corrupt(format!("flags={flags:#x} does not match compressAlgorithm={}", raw.compress_algorithm));
        }
        if compressed && flags & FLAG_MARKERS == 0 {
            return Err(Error::unsupported("a compressed VMDK image without markers"));
        }
        let grain_sectors = raw.grain_size.get();
        if !grain_sectors.is_power_of_two() || !(8..=GRAIN_MAX_SECTORS).contains(&grain_sectors) {
            return corrupt(format!(
                "grainSize={grain_sectors} sectors, expected a power of two from 8 to {GRAIN_MAX_SECTORS}"
            ));
        }
        let table_entries = raw.num_gtes_per_gt.get();
        if !(1..=TABLE_MAX_ENTRIES).contains(&table_entries) {
            return corrupt(format!("numGTEsPerGT={table_entries}, expected 1 to {TABLE_MAX_ENTRIES}"));
        }
        let capacity_sectors = raw.capacity.get();
        let header = Self {
            capacity_sectors,
            grain_sectors,
            table_entries: table_entries.into(),
            directory_offset: sectors(raw.gd_offset.get(), object, "gdOffset")?,
            compressed,
            zero_grains: flags & FLAG_ZERO_GRAINS != 0,
            unclean: raw.unclean_shutdown != 0,
            create_type: descriptor.create_type,
        };
        if header.tables() > TABLES_MAX || capacity_sectors > u64::MAX / SECTOR_BYTES {
            return Err(Error::unsupported(format!("a VMDK image of capacity={capacity_sectors} sectors")));
        }
        Ok(header)
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.capacity_sectors * SECTOR_BYTES
    }

    pub(crate) fn grain_bytes(&self) -> u64 {
        self.grain_sectors * SECTOR_BYTES
    }

    pub(crate) fn grains(&self) -> u64 {
        self.capacity_sectors.div_ceil(self.grain_sectors)
    }

    /// The number of grain tables.
    pub(crate) fn tables(&self) -> u64 {
        self.grains().div_ceil(self.table_entries)
    }
}

/// A place that the header has in sectors, in bytes.
fn sectors(sectors: u64, object: &str, name: &str) -> Result<u64> {
    sectors
        .checked_mul(SECTOR_BYTES)
        .ok_or_else(|| Error::corrupt(object, format!("{name}={sectors:#x} sectors is past the end of any file")))
}

fn read_raw(file: &dyn ReadAt, offset: u64, object: &str) -> Result<RawHeader> {
    let mut raw = RawHeader::new_zeroed();
    read_inside(file, offset, raw.as_mut_bytes(), || object.to_owned())?;
    if raw.magic != MAGIC {
        return Err(Error::corrupt(object, format!("magic={:x?}, expected {MAGIC:x?}", raw.magic)));
    }
    Ok(raw)
}

/// The footer, which must have a marker before and after it: the file's last three sectors.
fn read_footer(file: &dyn ReadAt) -> Result<RawHeader> {
    let object = "VMDK footer";
    let file_size_bytes = file.size_bytes();
    let length_bytes = 3 * SECTOR_BYTES;
    let Some(offset) = (file_size_bytes / SECTOR_BYTES * SECTOR_BYTES).checked_sub(length_bytes) else {
        return Err(Error::Truncated { object: object.into(), offset: 0, length_bytes, file_size_bytes });
    };
    for (at, kind) in [(offset, MARKER_FOOTER), (offset + 2 * SECTOR_BYTES, MARKER_END_OF_STREAM)] {
        let mut bytes = [0; SECTOR_BYTES as usize];
        file.read_at(at, &mut bytes)?;
        let found = RawMarker::read_from_bytes(&bytes).map(|marker| (marker.size.get(), marker.kind.get()));
        if found != Ok((0, kind)) {
            // The usual cause is a stream whose end is missing.
            let problem = format!(
                "the file ends at {file_size_bytes} bytes without a footer: it was cut off, or something follows (no \
                 marker of type {kind} at {at:#x})"
            );
            return Err(Error::corrupt(object, problem));
        }
    }
    read_raw(file, offset + SECTOR_BYTES, object)
}

fn read_descriptor(file: &dyn ReadAt, raw: &RawHeader) -> Result<Descriptor> {
    let object = "VMDK descriptor";
    let none = || Error::unsupported("a VMDK extent without a descriptor, one of several files of a disk,");
    if raw.descriptor_offset.get() == 0 {
        return Err(none());
    }
    let offset = sectors(raw.descriptor_offset.get(), object, "descriptorOffset")?;
    let length = sectors(raw.descriptor_size.get(), object, "descriptorSize")?;
    if length > DESCRIPTOR_MAX_BYTES {
        return Err(Error::corrupt(object, format!("length={length:#x}, expected at most {DESCRIPTOR_MAX_BYTES:#x}")));
    }
    let mut bytes = vec![0; length as usize];
    read_inside(file, offset, &mut bytes, || object.to_owned())?;
    if bytes.first().is_none_or(|&byte| byte == 0) { Err(none()) } else { Descriptor::parse(&bytes) }
}

/// Fills `buffer` from `offset` on. If the bytes are not all inside the file, the error names `object`.
pub(crate) fn read_inside(
    file: &dyn ReadAt,
    offset: u64,
    buffer: &mut [u8],
    object: impl FnOnce() -> String,
) -> Result<()> {
    let (length_bytes, file_size_bytes) = (buffer.len() as u64, file.size_bytes());
    match offset.checked_add(length_bytes) {
        Some(end) if end <= file_size_bytes => Ok(file.read_at(offset, buffer)?),
        _ => Err(Error::Truncated { object: object(), offset, length_bytes, file_size_bytes }),
    }
}
