//! The header of a new file.

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::header::{Extension, Header};
use super::layout::*;
use super::refcount::NEW_ORDER;
use crate::error::{Error, Result};
use crate::probe::QCOW2_MAGIC;
use crate::{Compat, CompressionType, Qcow2Options};

/// The cluster sizes that the format allows, as binary logarithms of bytes.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// The longest name of a backing file in bytes.
const BACKING_NAME_MAX_BYTES: usize = 1023;
/// A header in a larger cluster than this has names for feature bits, as QEMU's headers do.
const FEATURE_NAMES_CLUSTER_BYTES: u64 = 4096;
/// The names of the feature bits, for readers that do not know them.
const FEATURE_NAMES: [(u8, u8, &str); 8] = [
    (0, 0, "dirty bit"),
    (0, 1, "corrupt bit"),
    (0, 2, "external data file"),
    (0, 3, "compression type"),
    (0, 4, "extended L2 entries"),
    (1, 0, "lazy refcounts"),
    (2, 0, "bitmaps"),
    (2, 1, "raw external data"),
];

impl Header {
    /// The header of a new file for a disk of `size_bytes` bytes, without the places of its tables.
    pub(crate) fn new(options: &Qcow2Options, size_bytes: u64) -> Result<Self> {
        let Qcow2Options { compat, cluster_size_bytes, compression_type, backing } = options;
        let cluster_bits = cluster_size_bytes.trailing_zeros();
        if !cluster_size_bytes.is_power_of_two() || !CLUSTER_BITS.contains(&cluster_bits) {
            return Err(Error::unsupported(format!(
                "a qcow2 cluster of {cluster_size_bytes} bytes (not a power of two from 512 to 2097152)"
            )));
        }
        for (needs_v3, what) in
            [(*compression_type == CompressionType::Zstd, "zstd"), (backing.is_some(), "a thin overlay")]
        {
            if needs_v3 && *compat == Compat::V2 {
                return Err(Error::unsupported(format!("{what} in qcow2 version 2 (compat 0.10)")));
            }
        }
        let version = if *compat == Compat::V2 { 2 } else { 3 };
        let incompatible = match compression_type {
            CompressionType::Zlib => 0,
            CompressionType::Zstd => INCOMPATIBLE_COMPRESSION,
        };
        let raw = RawHeader {
            magic: QCOW2_MAGIC,
            version: version.into(),
            cluster_bits: cluster_bits.into(),
            size: size_bytes.into(),
            ..RawHeader::new_zeroed()
        };
        let v3 = RawHeaderV3 {
            incompatible_features: incompatible.into(),
            refcount_order: NEW_ORDER.into(),
            header_length: ((size_of::<RawHeader>() + size_of::<RawHeaderV3>()) as u32).into(),
            compression_type: u8::from(*compression_type == CompressionType::Zstd),
            ..RawHeaderV3::new_zeroed()
        };
        let mut fixed = raw.as_bytes().to_vec();
        if version == 3 {
            fixed.extend_from_slice(v3.as_bytes());
        }
        let mut extensions = Vec::new();
        if version == 3 && u64::from(*cluster_size_bytes) > FEATURE_NAMES_CLUSTER_BYTES {
            extensions.push((EXTENSION_FEATURE_NAMES, feature_names()));
        }
        let mut header = Self {
            version,
            header_length: fixed.len(),
            cluster_bits,
            virtual_size_bytes: size_bytes,
            l1_offset: 0,
            l1_entries: 0,
            refcount_table_offset: 0,
            refcount_table_clusters: 0,
            refcount_order: NEW_ORDER,
            snapshots: 0,
            snapshots_offset: 0,
            incompatible,
            compatible: 0,
            autoclear: 0,
            compression: *compression_type,
            backing: backing.clone(),
            extensions: Vec::new(),
            bytes: Vec::new(),
        };
        header.assemble(fixed, extensions)?;
        Ok(header)
    }

    /// This header for a new file with a disk of `size_bytes` bytes: without a backing file, with L2
    /// entries of the standard kind, and clean.
    pub(crate) fn of_new_file(&self, size_bytes: u64) -> Result<Self> {
        let incompatible = self.incompatible & !(INCOMPATIBLE_DIRTY | INCOMPATIBLE_EXTENDED_L2);
        let mut fixed = self.bytes[..self.header_length.min(self.bytes.len())].to_vec();
        let (raw, rest) = RawHeader::mut_from_prefix(&mut fixed).expect("the header was read from these bytes");
        raw.size = size_bytes.into();
        raw.nb_snapshots = 0.into();
        raw.snapshots_offset = 0.into();
        if self.version >= 3 {
            let length = self.v3_bytes();
            let mut v3 = RawHeaderV3::new_zeroed();
            v3.as_mut_bytes()[..length].copy_from_slice(&rest[..length]);
            v3.incompatible_features = incompatible.into();
            v3.autoclear_features = 0.into();
            v3.refcount_order = NEW_ORDER.into();
            rest[..length].copy_from_slice(&v3.as_bytes()[..length]);
        }
        let kept = self.extensions.iter().filter(|extension| extension.kind != EXTENSION_BACKING_FORMAT);
        let extensions = kept.map(|extension| (extension.kind, self.bytes[extension.data.clone()].to_vec())).collect();
        let mut header = Self {
            virtual_size_bytes: size_bytes,
            snapshots: 0,
            snapshots_offset: 0,
            incompatible,
            autoclear: 0,
            refcount_order: NEW_ORDER,
            backing: None,
            extensions: Vec::new(),
            bytes: Vec::new(),
            ..*self
        };
        header.assemble(fixed, extensions)?;
        Ok(header)
    }

    /// Makes the header's bytes out of its fields, its extensions and the backing file's name.
    fn assemble(&mut self, fixed: Vec<u8>, mut extensions: Vec<(u32, Vec<u8>)>) -> Result<()> {
        self.bytes = fixed;
        if let Some(format) = self.backing.as_ref().and_then(|backing| backing.format.as_ref()) {
            extensions.insert(0, (EXTENSION_BACKING_FORMAT, format.as_bytes().to_vec()));
        }
        for (kind, data) in extensions {
            let raw = RawExtension { kind: kind.into(), length: (data.len() as u32).into() };
            self.bytes.extend_from_slice(raw.as_bytes());
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&data);
            self.extensions.push(Extension { kind, data: start..self.bytes.len() });
            self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        }
        let end = RawExtension { kind: EXTENSION_END.into(), length: 0.into() };
        self.bytes.extend_from_slice(end.as_bytes());
        let name = self.backing.as_ref().map(|backing| backing.name.as_bytes()).unwrap_or_default();
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(name);
        if self.bytes.len() as u64 > self.cluster_size() || name.len() > BACKING_NAME_MAX_BYTES {
            let (header_bytes, cluster_size) = (self.bytes.len(), self.cluster_size());
            return Err(Error::unsupported(format!(
                "a qcow2 header of {header_bytes} bytes, {} of them a backing file's name, in clusters of {cluster_size}",
                name.len()
            )));
        }
        let is_named = !name.is_empty();
        let length = name.len() as u32;
        let (raw, _) = RawHeader::mut_from_prefix(&mut self.bytes).expect("the header begins with it");
        raw.backing_file_offset = if is_named { offset as u64 } else { 0 }.into();
        raw.backing_file_size = length.into();
        Ok(())
    }
}

/// "Feature name table".
fn feature_names() -> Vec<u8> {
    let entry = |&(kind, bit, text): &(u8, u8, &str)| {
        let mut name = [0; 46];
        name[..text.len()].copy_from_slice(text.as_bytes());
        RawFeatureName { kind, bit, name }
    };
    FEATURE_NAMES.iter().map(entry).flat_map(|entry| entry.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BackingName;

    fn refusal(options: Qcow2Options) -> String {
        Header::new(&options, 1 << 20).unwrap_err().to_string()
    }

    #[test]
    fn options_that_do_not_go_together_are_refused_by_name() {
        let v2 = Qcow2Options { compat: Compat::V2, ..Qcow2Options::default() };
        let zstd = Qcow2Options { compression_type: CompressionType::Zstd, ..v2.clone() };
        assert_eq!(refusal(zstd), "zstd in qcow2 version 2 (compat 0.10) is not supported");
        let backing = Some(BackingName { name: "base.img".into(), format: Some("qcow2".into()) });
        let overlay = Qcow2Options { backing, ..v2 };
        assert_eq!(refusal(overlay), "a thin overlay in qcow2 version 2 (compat 0.10) is not supported");
        for cluster_size_bytes in [0, 256, 1000, 4 << 20] {
            let text = refusal(Qcow2Options { cluster_size_bytes, ..Qcow2Options::default() });
            assert!(text.starts_with(&format!("a qcow2 cluster of {cluster_size_bytes} bytes")), "{text}");
        }
        let backing = Some(BackingName { name: "x".repeat(500), format: Some("raw".into()) });
        let text = refusal(Qcow2Options { backing, cluster_size_bytes: 512, ..Qcow2Options::default() });
        assert!(text.contains("500 of them a backing file's name"), "{text}");
    }
}
