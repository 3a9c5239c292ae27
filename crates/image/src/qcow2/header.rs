//! The header: read once, validated once, kept for the new file.

use std::ops::Range;

use storage::{Printable, ReadAt};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::layout::*;
use super::refcount::TABLE_MAX_BYTES as REFCOUNT_TABLE_MAX_BYTES;
use crate::error::{Error, Result};
use crate::probe::QCOW2_MAGIC;
use crate::{BackingName, CompressionType};

/// The most that an L1 table may take in bytes, as in QEMU.
pub(crate) const L1_MAX_BYTES: u64 = 32 << 20;
/// The most snapshots that there may be, as in QEMU.
const SNAPSHOTS_MAX: u32 = 65536;
/// The longest name of a backing file in bytes, as in QEMU.
const BACKING_NAME_MAX_BYTES: u64 = 1023;

/// The least cluster size with extended L2 entries, as a binary logarithm of bytes: that of QEMU.
const EXTENDED_L2_MIN_CLUSTER_BITS: u32 = 14;

/// A valid header.
#[derive(Debug)]
pub(crate) struct Header {
    /// 2 or 3.
    pub(crate) version: u32,
    /// Length of the header in bytes, without extensions.
    pub(crate) header_length: usize,
    /// 9 to 21.
    pub(crate) cluster_bits: u32,
    pub(crate) virtual_size_bytes: u64,
    pub(crate) l1_offset: u64,
    /// Number of entries in the L1 table: at least what the virtual size needs.
    pub(crate) l1_entries: u32,
    pub(crate) refcount_table_offset: u64,
    pub(crate) refcount_table_clusters: u32,
    /// Binary logarithm of the width of a refcount in bits, 0 to 6.
    pub(crate) refcount_order: u32,
    pub(crate) snapshots: u32,
    pub(crate) snapshots_offset: u64,
    pub(crate) incompatible: u64,
    pub(crate) compatible: u64,
    pub(crate) autoclear: u64,
    pub(crate) compression: CompressionType,
    pub(crate) backing: Option<BackingName>,
    pub(crate) extensions: Vec<Extension>,
    /// The header and its extensions as they are in the file.
    pub(crate) bytes: Vec<u8>,
}

/// A header extension: its number, and where its data is in [`Header::bytes`].
#[derive(Debug)]
pub(crate) struct Extension {
    pub(crate) kind: u32,
    pub(crate) data: Range<usize>,
}

fn corrupt(problem: impl Into<String>) -> Error {
    Error::corrupt("qcow2 header", problem)
}

impl Header {
    /// Reads and validates the header of `file`.
    pub(crate) fn read(file: &dyn ReadAt) -> Result<Self> {
        let file_size_bytes = file.size_bytes();
        let mut raw = RawHeader::new_zeroed();
        read_inside(file, 0, raw.as_mut_bytes())?;
        if raw.magic != QCOW2_MAGIC {
            return Err(corrupt(format!("magic={:02x?}, expected={QCOW2_MAGIC:02x?}", raw.magic)));
        }
        let version = raw.version.get();
        if version != 2 && version != 3 {
            return Err(Error::unsupported(format!("qcow2 version {version}")));
        }
        let cluster_bits = raw.cluster_bits.get();
        if !(9..=21).contains(&cluster_bits) {
            return Err(corrupt(format!("cluster_bits={cluster_bits}, expected 9 to 21")));
        }
        let cluster_size = 1u64 << cluster_bits;
        let mut bytes = vec![0; cluster_size.min(file_size_bytes) as usize];
        file.read_at(0, &mut bytes)?;

        let (v3, header_length) = v3_part(file, version, &bytes)?;
        if header_length as u64 > cluster_size {
            return Err(corrupt(format!("header_length={header_length}, expected at most {cluster_size}")));
        }
        let has_backing_file = raw.backing_file_offset.get() != 0;
        let extensions_end =
            if has_backing_file { raw.backing_file_offset.get().min(cluster_size) } else { cluster_size };
        let (extensions, used) = extensions(&bytes, header_length, extensions_end as usize, file_size_bytes)?;
        let mut header = Self {
            version,
            header_length,
            cluster_bits,
            virtual_size_bytes: raw.size.get(),
            l1_offset: raw.l1_table_offset.get(),
            l1_entries: raw.l1_size.get(),
            refcount_table_offset: raw.refcount_table_offset.get(),
            refcount_table_clusters: raw.refcount_table_clusters.get(),
            refcount_order: v3.refcount_order.get(),
            snapshots: raw.nb_snapshots.get(),
            snapshots_offset: raw.snapshots_offset.get(),
            incompatible: v3.incompatible_features.get(),
            compatible: v3.compatible_features.get(),
            autoclear: v3.autoclear_features.get(),
            compression: CompressionType::Zlib,
            backing: None,
            extensions,
            bytes: Vec::new(),
        };
        bytes.truncate(used);
        bytes.shrink_to_fit();
        header.bytes = bytes;
        header.refuse_features(raw.crypt_method.get())?;
        if has_backing_file {
            header.backing = header.backing_file(file, &raw)?;
        }
        header.compression = header.compression_type(v3.compression_type)?;
        header.validate_tables()?;
        Ok(header)
    }

    /// Refuses features that this crate lacks, each by its name.
    fn refuse_features(&self, crypt_method: u32) -> Result<()> {
        match crypt_method {
            0 => {}
            1 => return Err(Error::unsupported("qcow2 encryption (AES)")),
            2 => return Err(Error::unsupported("qcow2 encryption (LUKS)")),
            other => return Err(Error::unsupported(format!("qcow2 encryption, crypt_method={other},"))),
        }
        if self.incompatible & INCOMPATIBLE_CORRUPT != 0 {
            return Err(corrupt("the corrupt bit is set: `qemu-img check -r all` has to repair the image first"));
        }
        if self.incompatible & INCOMPATIBLE_DATA_FILE != 0 {
            let name = match self.extension(EXTENSION_DATA_FILE) {
                Some(name) => format!("{:?}", String::from_utf8_lossy(name)),
                None => "a file that is not named".into(),
            };
            return Err(Error::unsupported(format!(
                "a qcow2 image with its data in an external file, data_file={name},"
            )));
        }
        if self.has_extended_l2() && self.cluster_bits < EXTENDED_L2_MIN_CLUSTER_BITS {
            return Err(corrupt(format!(
                "cluster_bits={}, expected at least {EXTENDED_L2_MIN_CLUSTER_BITS} with extended L2 entries",
                self.cluster_bits
            )));
        }
        let known = INCOMPATIBLE_DIRTY | INCOMPATIBLE_COMPRESSION | INCOMPATIBLE_EXTENDED_L2;
        let unknown = self.incompatible & !known;
        if unknown != 0 {
            let bit = unknown.trailing_zeros();
            let name = self.feature_name(0, bit as u8).map(|name| format!(" (`{name}`)")).unwrap_or_default();
            return Err(Error::unsupported(format!("the incompatible qcow2 feature of bit {bit}{name}")));
        }
        Ok(())
    }

    fn compression_type(&self, number: u8) -> Result<CompressionType> {
        let has_bit = self.incompatible & INCOMPATIBLE_COMPRESSION != 0;
        match (number, has_bit) {
            (0, false) => Ok(CompressionType::Zlib),
            (1, true) => Ok(CompressionType::Zstd),
            (0 | 1, _) => Err(corrupt(format!(
                "compression_type={number} does not match incompatible_features={:#x}",
                self.incompatible
            ))),
            (other, _) => Err(Error::unsupported(format!("qcow2 compression_type={other}"))),
        }
    }

    /// Validates the sizes and places of the tables. Whether the refcount table and the snapshot table are inside the file
    /// is only checked by [`Image::check`](crate::Image::check), because reading does not need them.
    fn validate_tables(&self) -> Result<()> {
        let needed = self.l1_entries_needed();
        if u64::from(self.l1_entries) < needed {
            return Err(corrupt(format!(
                "l1_size={}, expected at least {needed} for a disk of {:#x} bytes",
                self.l1_entries, self.virtual_size_bytes
            )));
        }
        if u64::from(self.l1_entries) * 8 > L1_MAX_BYTES {
            return Err(corrupt(format!("l1_size={}, expected at most {}", self.l1_entries, L1_MAX_BYTES / 8)));
        }
        let table_bytes = u64::from(self.refcount_table_clusters) << self.cluster_bits;
        if table_bytes > REFCOUNT_TABLE_MAX_BYTES.max(self.cluster_size()) {
            return Err(corrupt(format!(
                "refcount_table_clusters={}, expected at most {}",
                self.refcount_table_clusters,
                (REFCOUNT_TABLE_MAX_BYTES >> self.cluster_bits).max(1)
            )));
        }
        if self.snapshots > SNAPSHOTS_MAX {
            return Err(corrupt(format!("nb_snapshots={}, expected at most {SNAPSHOTS_MAX}", self.snapshots)));
        }
        if self.refcount_order > 6 {
            return Err(corrupt(format!("refcount_order={}, expected at most 6", self.refcount_order)));
        }
        let places = [
            ("l1_table_offset", self.l1_offset),
            ("refcount_table_offset", self.refcount_table_offset),
            ("snapshots_offset", if self.snapshots > 0 { self.snapshots_offset } else { 0 }),
        ];
        for (name, offset) in places {
            if !offset.is_multiple_of(self.cluster_size()) || offset > i64::MAX as u64 - (128 << 20) {
                return Err(corrupt(format!(
                    "{name}={offset:#x}, expected a multiple of the cluster size {:#x} inside a file",
                    self.cluster_size()
                )));
            }
        }
        Ok(())
    }

    /// Length in bytes of the version 3 fields that are in the file and that we know.
    pub(crate) fn v3_bytes(&self) -> usize {
        (self.header_length - HEADER_V2_BYTES).min(size_of::<RawHeaderV3>())
    }

    /// Size of a cluster in bytes.
    pub(crate) fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Binary logarithm of the number of entries in an L2 table.
    pub(crate) fn l2_bits(&self) -> u32 {
        self.cluster_bits - self.entry_bytes().trailing_zeros()
    }

    /// Length of an L2 entry in bytes.
    pub(crate) fn entry_bytes(&self) -> u64 {
        if self.has_extended_l2() { 16 } else { 8 }
    }

    /// "Extended L2 Entries": whether clusters have subclusters.
    pub(crate) fn has_extended_l2(&self) -> bool {
        self.incompatible & INCOMPATIBLE_EXTENDED_L2 != 0
    }

    /// Number of clusters of the guest's disk, whose end may cut the last one.
    pub(crate) fn guest_clusters(&self) -> u64 {
        self.virtual_size_bytes.div_ceil(self.cluster_size())
    }

    /// Number of L1 entries that the virtual size needs.
    pub(crate) fn l1_entries_needed(&self) -> u64 {
        self.guest_clusters().div_ceil(1 << self.l2_bits())
    }

    /// The data of the extension `kind`.
    pub(crate) fn extension(&self, kind: u32) -> Option<&[u8]> {
        let extension = self.extensions.iter().find(|extension| extension.kind == kind)?;
        self.bytes.get(extension.data.clone())
    }

    /// The backing file as the header names it.
    fn backing_file(&self, file: &dyn ReadAt, raw: &RawHeader) -> Result<Option<BackingName>> {
        let (offset, length) = (raw.backing_file_offset.get(), u64::from(raw.backing_file_size.get()));
        if length == 0 {
            return Ok(None);
        }
        if length > BACKING_NAME_MAX_BYTES || offset > self.cluster_size() - length.min(self.cluster_size()) {
            return Err(corrupt(format!(
                "backing_file_offset={offset:#x} backing_file_size={length}, expected at most \
                 {BACKING_NAME_MAX_BYTES} bytes in the first cluster"
            )));
        }
        let text = |bytes: &[u8]| {
            let name = std::str::from_utf8(bytes).map(str::to_owned);
            name.map_err(|_| Error::unsupported(format!("a backing file whose name is not UTF-8 ({bytes:02x?})")))
        };
        let mut name = vec![0; length as usize];
        read_inside(file, offset, &mut name)?;
        let format = self.extension(EXTENSION_BACKING_FORMAT).map(text).transpose()?;
        Ok(Some(BackingName { name: text(&name)?, format: format.filter(|format| !format.is_empty()) }))
    }

    /// The name of a feature bit in the image's own table.
    fn feature_name(&self, kind: u8, bit: u8) -> Option<String> {
        let table = self.extension(EXTENSION_FEATURE_NAMES)?;
        table.chunks_exact(size_of::<RawFeatureName>()).find_map(|entry| {
            let entry = RawFeatureName::read_from_bytes(entry).ok()?;
            let name = entry.name.split(|&byte| byte == 0).next()?;
            (entry.kind == kind && entry.bit == bit).then(|| Printable(name).to_string())
        })
    }

    /// The names of the features that the header uses.
    pub(crate) fn features(&self) -> Vec<String> {
        let mut features = Vec::new();
        let mut known = |is_set: bool, name: &str| {
            if is_set {
                features.push(name.to_string());
            }
        };
        known(self.incompatible & INCOMPATIBLE_DIRTY != 0, "dirty");
        known(self.incompatible & INCOMPATIBLE_COMPRESSION != 0, "compression type");
        known(self.has_extended_l2(), "extended L2 entries");
        known(self.compatible & COMPATIBLE_LAZY_REFCOUNTS != 0, "lazy refcounts");
        known(self.extension(EXTENSION_BITMAPS).is_some(), "bitmaps");
        let others = [(1, self.compatible & !COMPATIBLE_LAZY_REFCOUNTS), (2, self.autoclear & !AUTOCLEAR_BITMAPS)];
        for (kind, bits) in others {
            for bit in (0..64).filter(|bit| bits >> bit & 1 != 0) {
                let word = if kind == 1 { "compatible" } else { "autoclear" };
                features.push(self.feature_name(kind, bit).unwrap_or_else(|| format!("{word} bit {bit}")));
            }
        }
        features
    }
}

/// Reads bytes of the header. A file that was cut off may lack them.
fn read_inside(file: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> Result<()> {
    let file_size_bytes = file.size_bytes();
    let length_bytes = buffer.len() as u64;
    if offset.checked_add(length_bytes).is_none_or(|end| end > file_size_bytes) {
        return Err(Error::Truncated { object: "qcow2 header".into(), offset, length_bytes, file_size_bytes });
    }
    Ok(file.read_at(offset, buffer)?)
}

/// The version 3 fields and the header's length. For version 2, the fields have the values that it implies.
fn v3_part(file: &dyn ReadAt, version: u32, bytes: &[u8]) -> Result<(RawHeaderV3, usize)> {
    let mut v3 = RawHeaderV3::new_zeroed();
    if version == 2 {
        v3.refcount_order = 4.into();
        return Ok((v3, HEADER_V2_BYTES));
    }
    let minimum = HEADER_V3_MIN_BYTES - HEADER_V2_BYTES;
    read_inside(file, HEADER_V2_BYTES as u64, &mut v3.as_mut_bytes()[..minimum])?;
    let header_length = v3.header_length.get() as usize;
    if header_length < HEADER_V3_MIN_BYTES {
        return Err(corrupt(format!("header_length={header_length}, expected at least {HEADER_V3_MIN_BYTES}")));
    }
    let there = (header_length - HEADER_V2_BYTES).min(size_of::<RawHeaderV3>());
    let Some(part) = bytes.get(HEADER_V2_BYTES..HEADER_V2_BYTES + there) else {
        let file_size_bytes = bytes.len() as u64;
        let length_bytes = header_length as u64;
        return Err(Error::Truncated { object: "qcow2 header".into(), offset: 0, length_bytes, file_size_bytes });
    };
    v3.as_mut_bytes()[..there].copy_from_slice(part);
    Ok((v3, header_length))
}

/// The header extensions from `start` to `end`, and where the last one ends.
fn extensions(bytes: &[u8], start: usize, end: usize, file_size_bytes: u64) -> Result<(Vec<Extension>, usize)> {
    let mut extensions = Vec::new();
    let mut at = start;
    // Each turn reads at least 8 bytes, of at most one cluster.
    while at + size_of::<RawExtension>() <= end {
        let Some(raw) = bytes.get(at..).and_then(|rest| RawExtension::read_from_prefix(rest).ok()) else {
            return Err(Error::Truncated {
                object: "qcow2 header extension".into(),
                offset: at as u64,
                length_bytes: size_of::<RawExtension>() as u64,
                file_size_bytes,
            });
        };
        let (kind, length) = (raw.0.kind.get(), raw.0.length.get() as usize);
        at += size_of::<RawExtension>();
        if kind == EXTENSION_END {
            break;
        }
        if length > end.saturating_sub(at) || at + length > bytes.len() {
            return Err(corrupt(format!(
                "the extension {kind:#x} at {:#x} has length={length:#x}, expected it to end before {end:#x}",
                at - size_of::<RawExtension>()
            )));
        }
        extensions.push(Extension { kind, data: at..at + length });
        at += length.next_multiple_of(8);
    }
    Ok((extensions, at.min(bytes.len())))
}
