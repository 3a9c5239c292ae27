//! The bytes of a sparse VMDK file, as VMware's "Virtual Disk Format 5.0" lays them out. All numbers
//! are little-endian, and all places and lengths are in sectors of 512 bytes unless stated otherwise.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The unit of places in the file.
pub(crate) const SECTOR_BYTES: u64 = 512;

/// "Hosted Sparse Extent Header": the file's first sector, and the footer of a stream.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawHeader {
    /// 0: `KDMV`.
    pub(crate) magic: [u8; 4],
    /// 4: 1, 2 with grains of zeros, 3 for streams.
    pub(crate) version: U32,
    /// 8: the `FLAG_` bits.
    pub(crate) flags: U32,
    /// 12: size of the disk.
    pub(crate) capacity: U64,
    /// 20: size of a grain, a power of two.
    pub(crate) grain_size: U64,
    /// 28: where the embedded descriptor is, 0 if there is none.
    pub(crate) descriptor_offset: U64,
    /// 36: length of the embedded descriptor.
    pub(crate) descriptor_size: U64,
    /// 44: number of entries in a grain table.
    pub(crate) num_gtes_per_gt: U32,
    /// 48: where the redundant grain directory is.
    pub(crate) rgd_offset: U64,
    /// 56: where the grain directory is; [`GD_AT_END`] if the footer has its place.
    pub(crate) gd_offset: U64,
    /// 64: the sectors before the first grain.
    pub(crate) over_head: U64,
    /// 72: not 0 while a program has the disk open for writing.
    pub(crate) unclean_shutdown: u8,
    /// 73: [`NEWLINES`], which a transfer as text changes.
    pub(crate) newlines: [u8; 4],
    /// 77: 0 if grains are not compressed, 1 for deflate.
    pub(crate) compress_algorithm: U16,
    /// 79: zeros.
    pub(crate) pad: [u8; 433],
}

/// "Markers": the marker before a compressed grain, whose bytes follow, padded to a sector.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawGrainMarker {
    /// 0: the grain's first sector on the disk.
    pub(crate) lba: U64,
    /// 8: length of the compressed bytes in bytes, never 0.
    pub(crate) size_bytes: U32,
}

/// "Markers": the sector before each table of a stream.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawMarker {
    /// 0: length of the table that follows.
    pub(crate) sectors: U64,
    /// 8: 0.
    pub(crate) size: U32,
    /// 12: one of the `MARKER_` numbers.
    pub(crate) kind: U32,
    /// 16: zeros.
    pub(crate) pad: [u8; 496],
}

const _: () = {
    assert!(size_of::<RawHeader>() == 512);
    assert!(core::mem::offset_of!(RawHeader, capacity) == 12);
    assert!(core::mem::offset_of!(RawHeader, num_gtes_per_gt) == 44);
    assert!(core::mem::offset_of!(RawHeader, over_head) == 64);
    assert!(core::mem::offset_of!(RawHeader, compress_algorithm) == 77);
    assert!(size_of::<RawGrainMarker>() == 12);
    assert!(size_of::<RawMarker>() == 512);
};

pub(crate) const MAGIC: [u8; 4] = *b"KDMV";
/// The start of a descriptor. If the disk is in other files, the descriptor is a file of its own.
pub(crate) const DESCRIPTOR_MAGIC: &[u8] = b"# Disk DescriptorFile";
pub(crate) const NEWLINES: [u8; 4] = *b"\n \r\n";
pub(crate) const GD_AT_END: u64 = u64::MAX;

/// [`RawHeader::newlines`] has to be checked.
pub(crate) const FLAG_NEWLINES: u32 = 1 << 0;
/// An entry of 1 in a grain table means a grain of zeros.
pub(crate) const FLAG_ZERO_GRAINS: u32 = 1 << 2;
/// Grains are compressed.
pub(crate) const FLAG_COMPRESSED: u32 = 1 << 16;
/// There is a marker before each compressed grain and each table.
pub(crate) const FLAG_MARKERS: u32 = 1 << 17;
/// The flags that a reader must know to open the disk.
pub(crate) const FLAGS_INCOMPATIBLE: u32 = 0xffff_0000;

pub(crate) const COMPRESS_NONE: u16 = 0;
pub(crate) const COMPRESS_DEFLATE: u16 = 1;

pub(crate) const MARKER_END_OF_STREAM: u32 = 0;
pub(crate) const MARKER_GRAIN_TABLE: u32 = 1;
pub(crate) const MARKER_GRAIN_DIRECTORY: u32 = 2;
pub(crate) const MARKER_FOOTER: u32 = 3;
