use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BothU16, BothU32};

pub(crate) const FLAG_DIRECTORY: u8 = 1 << 1;
pub(crate) const FLAG_ASSOCIATED: u8 = 1 << 2;
pub(crate) const FLAG_MULTI_EXTENT: u8 = 1 << 7;

pub(crate) const RECORD_HEADER_BYTES: usize = size_of::<RawDirectoryRecord>();

/// ECMA-119, "Directory Record". The name follows, a zero if its length is even, and the system use
/// area.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawDirectoryRecord {
    /// 0x00: of the whole record; 0 if a sector has no more of them.
    pub(crate) length: u8,
    /// 0x01: in logical blocks, before the content.
    pub(crate) extended_attribute_record_length: u8,
    /// 0x02
    pub(crate) location_of_extent: BothU32,
    /// 0x0a: in bytes.
    pub(crate) data_length: BothU32,
    /// 0x12: years since 1900, month, day, hour, minute, second, quarters of an hour east of Greenwich.
    pub(crate) recording: [u8; 7],
    /// 0x19
    pub(crate) file_flags: u8,
    /// 0x1a: 0 if the file is not interleaved.
    pub(crate) file_unit_size: u8,
    /// 0x1b
    pub(crate) interleave_gap_size: u8,
    /// 0x1c
    pub(crate) volume_sequence_number: BothU16,
    /// 0x20: of the name.
    pub(crate) length_of_file_identifier: u8,
}

const _: () = assert!(RECORD_HEADER_BYTES == 0x21);

/// ECMA-119, "Path Table Record", whose numbers are little-endian in one table and big-endian in the
/// other. The name follows, and a zero if its length is odd.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawPathTableRecord {
    /// 0x0
    pub(crate) length_of_directory_identifier: u8,
    /// 0x1
    pub(crate) extended_attribute_record_length: u8,
    /// 0x2
    pub(crate) location_of_extent: [u8; 4],
    /// 0x6: the number of a record of this table, from 1 on.
    pub(crate) parent_directory_number: [u8; 2],
}

const _: () = assert!(size_of::<RawPathTableRecord>() == 8);
