use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::BothU32;

/// IEEE P1281, "System Use Entry".
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawSuspHeader {
    /// 0x0
    pub(crate) signature: [u8; 2],
    /// 0x2: of the whole entry.
    pub(crate) length: u8,
    /// 0x3: 1.
    pub(crate) version: u8,
}

/// "CE": the entries go on elsewhere.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawContinuation {
    /// 0x04: the logical block.
    pub(crate) block: BothU32,
    /// 0x0c: in the block.
    pub(crate) offset: BothU32,
    /// 0x14
    pub(crate) length: BothU32,
}

/// IEEE P1282, "PX", as of 1.09. Since 1.12 a serial number follows.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawPosix {
    /// 0x04: with the file's type.
    pub(crate) mode: BothU32,
    /// 0x0c
    pub(crate) links: BothU32,
    /// 0x14
    pub(crate) uid: BothU32,
    /// 0x1c
    pub(crate) gid: BothU32,
}

/// "CL" and "PL": the place of a directory that was moved because of the limit of depth.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawChildLink {
    /// 0x04: the logical block.
    pub(crate) location: BothU32,
}

/// "SP": there are system use areas, and how many bytes of each belong to others.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawPosixStart {
    /// 0x4: 0xbe, 0xef.
    pub(crate) check: [u8; 2],
    /// 0x6
    pub(crate) skipped: u8,
}

const _: () = assert!(size_of::<RawSuspHeader>() == 4);
const _: () = assert!(size_of::<RawContinuation>() == 28 - 4);
const _: () = assert!(size_of::<RawPosix>() == 36 - 4);

/// Flags of "NM" and of a component of "SL".
pub(crate) const NAME_CONTINUE: u8 = 1 << 0;
pub(crate) const NAME_CURRENT: u8 = 1 << 1;
pub(crate) const NAME_PARENT: u8 = 1 << 2;
/// Of a component of "SL" alone.
pub(crate) const SL_ROOT: u8 = 1 << 3;

/// "TF": the time of the last modification is there. Times are in the order of the bits.
pub(crate) const TF_MODIFY: u8 = 1 << 1;
