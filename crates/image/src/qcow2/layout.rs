//! The bytes of a qcow2 file, as "The QCOW2 image format" in QEMU's `docs/interop/qcow2.txt` lays
//! them out. All numbers are big-endian.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "Header": the fields of every version.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawHeader {
    /// 0: `QFI\xfb`.
    pub(crate) magic: [u8; 4],
    /// 4: 2 or 3.
    pub(crate) version: U32,
    /// 8: offset of the backing file's name, 0 without a backing file.
    pub(crate) backing_file_offset: U64,
    /// 16: length of the backing file's name in bytes.
    pub(crate) backing_file_size: U32,
    /// 20: binary logarithm of the cluster size.
    pub(crate) cluster_bits: U32,
    /// 24: size of the guest's disk in bytes.
    pub(crate) size: U64,
    /// 32: 0 for no encryption, 1 for AES, 2 for LUKS.
    pub(crate) crypt_method: U32,
    /// 36: number of entries in the active L1 table.
    pub(crate) l1_size: U32,
    /// 40: offset of the active L1 table.
    pub(crate) l1_table_offset: U64,
    /// 48: offset of the refcount table.
    pub(crate) refcount_table_offset: U64,
    /// 56: length of the refcount table in clusters.
    pub(crate) refcount_table_clusters: U32,
    /// 60: number of internal snapshots.
    pub(crate) nb_snapshots: U32,
    /// 64: offset of the snapshot table.
    pub(crate) snapshots_offset: U64,
}

/// "Header": the fields from version 3 on, which follow [`RawHeader`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawHeaderV3 {
    /// 72: features without which the image must not be opened.
    pub(crate) incompatible_features: U64,
    /// 80: features that may be ignored.
    pub(crate) compatible_features: U64,
    /// 88: features whose bits are cleared by a writer that does not know them.
    pub(crate) autoclear_features: U64,
    /// 96: binary logarithm of the width of a refcount in bits.
    pub(crate) refcount_order: U32,
    /// 100: length of the header in bytes, from the file's start.
    pub(crate) header_length: U32,
    /// 104: 0 for zlib, 1 for zstd; there if `header_length` is more than 104.
    pub(crate) compression_type: u8,
    /// 105: zeros.
    pub(crate) padding: [u8; 7],
}

/// "Header extensions": the start of each; the data follows, padded to 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawExtension {
    /// 0: one of the `EXTENSION_` numbers, or another.
    pub(crate) kind: U32,
    /// 4: length of the data in bytes, without the padding.
    pub(crate) length: U32,
}

/// "Feature name table": one entry.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawFeatureName {
    /// 0: 0 for incompatible, 1 for compatible, 2 for autoclear.
    pub(crate) kind: u8,
    /// 1: number of the bit.
    pub(crate) bit: u8,
    /// 2: the name, padded with zeros.
    pub(crate) name: [u8; 46],
}

/// "Bitmaps extension": its data.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawBitmaps {
    /// 0: number of bitmaps.
    pub(crate) nb_bitmaps: U32,
    /// 4: zeros.
    pub(crate) reserved: U32,
    /// 8: length of the bitmap directory in bytes.
    pub(crate) bitmap_directory_size: U64,
    /// 16: offset of the bitmap directory.
    pub(crate) bitmap_directory_offset: U64,
}

/// "Bitmap directory": the start of each entry; extra data and the name follow, padded to 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawBitmap {
    /// 0: offset of the bitmap table.
    pub(crate) bitmap_table_offset: U64,
    /// 8: number of entries in the bitmap table.
    pub(crate) bitmap_table_size: U32,
    /// 12: flags.
    pub(crate) flags: U32,
    /// 16: 1 for a dirty tracking bitmap.
    pub(crate) kind: u8,
    /// 17: binary logarithm of the granularity.
    pub(crate) granularity_bits: u8,
    /// 18: length of the name in bytes.
    pub(crate) name_size: U16,
    /// 20: length of the extra data in bytes.
    pub(crate) extra_data_size: U32,
}

/// "Snapshots": the start of each entry; extra data, the identifier and the name follow, padded to 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawSnapshot {
    /// 0: offset of the snapshot's L1 table.
    pub(crate) l1_table_offset: U64,
    /// 8: number of entries in it.
    pub(crate) l1_size: U32,
    /// 12: length of the identifier in bytes.
    pub(crate) id_str_size: U16,
    /// 14: length of the name in bytes.
    pub(crate) name_size: U16,
    /// 16: when it was taken, in seconds since 1970.
    pub(crate) date_sec: U32,
    /// 20: and the rest in nanoseconds.
    pub(crate) date_nsec: U32,
    /// 24: how long the guest had run, in nanoseconds.
    pub(crate) vm_clock_nsec: U64,
    /// 32: size of the machine's state in bytes.
    pub(crate) vm_state_size: U32,
    /// 36: length of the extra data in bytes.
    pub(crate) extra_data_size: U32,
}

const _: () = {
    assert!(size_of::<RawHeader>() == 72);
    assert!(size_of::<RawHeaderV3>() == 40);
    assert!(size_of::<RawExtension>() == 8);
    assert!(size_of::<RawFeatureName>() == 48);
    assert!(size_of::<RawBitmaps>() == 24);
    assert!(size_of::<RawBitmap>() == 24);
    assert!(size_of::<RawSnapshot>() == 40);
    assert!(std::mem::offset_of!(RawHeader, snapshots_offset) == 64);
    assert!(std::mem::offset_of!(RawHeaderV3, compression_type) == 104 - 72);
};

/// Length in bytes of a version 2 header, and of the part that every version has.
pub(crate) const HEADER_V2_BYTES: usize = 72;
/// The least length in bytes of a version 3 header, which then has no compression type.
pub(crate) const HEADER_V3_MIN_BYTES: usize = 104;

/// No extension follows.
pub(crate) const EXTENSION_END: u32 = 0;
/// The backing file's format.
pub(crate) const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
/// Names for feature bits.
pub(crate) const EXTENSION_FEATURE_NAMES: u32 = 0x6803_f857;
/// Persistent bitmaps.
pub(crate) const EXTENSION_BITMAPS: u32 = 0x2385_2875;
/// Where the LUKS header is.
pub(crate) const EXTENSION_ENCRYPTION: u32 = 0x0537_be77;
/// The external data file's name.
pub(crate) const EXTENSION_DATA_FILE: u32 = 0x4441_5441;

/// The refcounts may be out of date.
pub(crate) const INCOMPATIBLE_DIRTY: u64 = 1 << 0;
/// A data structure may be corrupt.
pub(crate) const INCOMPATIBLE_CORRUPT: u64 = 1 << 1;
/// The guest's data is in another file.
pub(crate) const INCOMPATIBLE_DATA_FILE: u64 = 1 << 2;
/// The compression type is not zlib.
pub(crate) const INCOMPATIBLE_COMPRESSION: u64 = 1 << 3;
/// L2 entries are 128 bits wide.
pub(crate) const INCOMPATIBLE_EXTENDED_L2: u64 = 1 << 4;
/// Refcounts may be written late.
pub(crate) const COMPATIBLE_LAZY_REFCOUNTS: u64 = 1 << 0;
/// The bitmaps are consistent.
pub(crate) const AUTOCLEAR_BITMAPS: u64 = 1 << 0;

/// "L1 table entry", "Standard Cluster Descriptor": bits 9-55 are an offset in the file.
pub(crate) const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
/// "L1 table entry", "L2 table entry": the refcount is exactly one.
pub(crate) const FLAG_COPIED: u64 = 1 << 63;
/// "L2 table entry": the cluster is compressed.
pub(crate) const FLAG_COMPRESSED: u64 = 1 << 62;
/// "Extended L2 Entries": the number of subclusters of a cluster.
pub(crate) const SUBCLUSTERS: u32 = 32;
/// "Standard Cluster Descriptor": the cluster reads as zeros, from version 3 on.
pub(crate) const FLAG_ZERO: u64 = 1 << 0;
