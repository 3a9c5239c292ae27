//! The bytes of a VHD file's footer, as Microsoft's "Virtual Hard Disk Image Format Specification" lays
//! them out. All numbers are big-endian.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "Hard Disk Footer Format": the file's last 512 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawFooter {
    /// 0: `conectix`.
    pub(crate) cookie: [u8; 8],
    /// 8: bit 1 is always set.
    pub(crate) features: U32,
    /// 12: major and minor version, 16 bits each: 1.0.
    pub(crate) file_format_version: U32,
    /// 16: where the dynamic disk header is; all ones in a fixed disk.
    pub(crate) data_offset: U64,
    /// 24: when the disk was made, in seconds since the year 2000.
    pub(crate) time_stamp: U32,
    /// 28: the program that made it.
    pub(crate) creator_application: [u8; 4],
    /// 32: that program's version.
    pub(crate) creator_version: U32,
    /// 36: the system that it ran on.
    pub(crate) creator_host_os: U32,
    /// 40: size of the disk in bytes when it was made.
    pub(crate) original_size: U64,
    /// 48: size of the disk in bytes.
    pub(crate) current_size: U64,
    /// 56: "Disk Geometry": cylinders.
    pub(crate) cylinders: U16,
    /// 58: heads.
    pub(crate) heads: u8,
    /// 59: sectors of a track.
    pub(crate) sectors_per_track: u8,
    /// 60: one of the `TYPE_` numbers.
    pub(crate) disk_type: U32,
    /// 64: the complement of the sum of all the footer's other bytes.
    pub(crate) checksum: U32,
    /// 68: the UUID by which a differencing disk refers to this one.
    pub(crate) unique_id: [u8; 16],
    /// 84: 1 for a virtual machine that is suspended.
    pub(crate) saved_state: u8,
    /// 85: zeros.
    pub(crate) reserved: [u8; 427],
}

const _: () = {
    assert!(size_of::<RawFooter>() == 512);
    assert!(core::mem::offset_of!(RawFooter, creator_application) == 28);
    assert!(core::mem::offset_of!(RawFooter, current_size) == 48);
    assert!(core::mem::offset_of!(RawFooter, disk_type) == 60);
    assert!(core::mem::offset_of!(RawFooter, unique_id) == 68);
};

pub(crate) const FOOTER_BYTES: u64 = size_of::<RawFooter>() as u64;
pub(crate) const COOKIE: [u8; 8] = *b"conectix";
pub(crate) const FEATURES_RESERVED: u32 = 2;
pub(crate) const VERSION: u32 = 0x1_0000;
pub(crate) const NO_DATA_OFFSET: u64 = u64::MAX;

pub(crate) const TYPE_FIXED: u32 = 2;
pub(crate) const TYPE_DYNAMIC: u32 = 3;
pub(crate) const TYPE_DIFFERENCING: u32 = 4;

impl RawFooter {
    /// The checksum that the footer should have.
    pub(crate) fn computed_checksum(&self) -> u32 {
        let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
        !(sum(self.as_bytes()) - sum(self.checksum.as_bytes()))
    }
}
