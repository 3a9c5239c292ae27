use std::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian, little_endian};

use super::{BothU16, BothU32};

pub(crate) const STANDARD_ID: [u8; 5] = *b"CD001";
pub(crate) const DESCRIPTOR_BOOT: u8 = 0;
pub(crate) const DESCRIPTOR_PRIMARY: u8 = 1;
pub(crate) const DESCRIPTOR_SUPPLEMENTARY: u8 = 2;
pub(crate) const DESCRIPTOR_TERMINATOR: u8 = 255;

/// Joliet Specification, "SVD Escape Sequences": UCS-2 level 1, 2 and 3.
pub(crate) const JOLIET_ESCAPES: [[u8; 3]; 3] = [*b"%/@", *b"%/C", *b"%/E"];

/// ECMA-119, "Primary Volume Descriptor" and "Supplementary Volume Descriptor".
#[derive(Clone, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawVolumeDescriptor {
    /// 0x000
    pub(crate) volume_descriptor_type: u8,
    /// 0x001: `CD001`.
    pub(crate) standard_identifier: [u8; 5],
    /// 0x006: 1.
    pub(crate) volume_descriptor_version: u8,
    /// 0x007: 0 in a primary one.
    pub(crate) volume_flags: u8,
    /// 0x008
    pub(crate) system_identifier: [u8; 32],
    /// 0x028
    pub(crate) volume_identifier: [u8; 32],
    /// 0x048
    pub(crate) unused_48: [u8; 8],
    /// 0x050: in logical blocks.
    pub(crate) volume_space_size: BothU32,
    /// 0x058: zeros in a primary one.
    pub(crate) escape_sequences: [u8; 32],
    /// 0x078
    pub(crate) volume_set_size: BothU16,
    /// 0x07c
    pub(crate) volume_sequence_number: BothU16,
    /// 0x080: 2048.
    pub(crate) logical_block_size: BothU16,
    /// 0x084: in bytes.
    pub(crate) path_table_size: BothU32,
    /// 0x08c
    pub(crate) location_of_l_path_table: little_endian::U32,
    /// 0x090
    pub(crate) location_of_optional_l_path_table: little_endian::U32,
    /// 0x094
    pub(crate) location_of_m_path_table: big_endian::U32,
    /// 0x098
    pub(crate) location_of_optional_m_path_table: big_endian::U32,
    /// 0x09c: a directory record, whose name is one zero.
    pub(crate) root_directory_record: [u8; 34],
    /// 0x0be
    pub(crate) volume_set_identifier: [u8; 128],
    /// 0x13e
    pub(crate) publisher_identifier: [u8; 128],
    /// 0x1be
    pub(crate) data_preparer_identifier: [u8; 128],
    /// 0x23e
    pub(crate) application_identifier: [u8; 128],
    /// 0x2be
    pub(crate) copyright_file_identifier: [u8; 37],
    /// 0x2e3
    pub(crate) abstract_file_identifier: [u8; 37],
    /// 0x308
    pub(crate) bibliographic_file_identifier: [u8; 37],
    /// 0x32d
    pub(crate) volume_creation: [u8; 17],
    /// 0x33e
    pub(crate) volume_modification: [u8; 17],
    /// 0x34f
    pub(crate) volume_expiration: [u8; 17],
    /// 0x360
    pub(crate) volume_effective: [u8; 17],
    /// 0x371: 1.
    pub(crate) file_structure_version: u8,
    /// 0x372
    pub(crate) reserved_372: u8,
    /// 0x373
    pub(crate) application_use: [u8; 512],
    /// 0x573
    pub(crate) reserved_573: [u8; 653],
}

const _: () = assert!(size_of::<RawVolumeDescriptor>() == 2048);
const _: () = assert!(offset_of!(RawVolumeDescriptor, volume_space_size) == 0x50);
const _: () = assert!(offset_of!(RawVolumeDescriptor, root_directory_record) == 0x9c);
const _: () = assert!(offset_of!(RawVolumeDescriptor, volume_creation) == 0x32d);
const _: () = assert!(offset_of!(RawVolumeDescriptor, application_use) == 0x373);
