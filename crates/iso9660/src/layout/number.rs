use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian, little_endian};

/// ECMA-119, "Both-byte orders": a number of 16 bits, little-endian and then big-endian.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct BothU16 {
    little: little_endian::U16,
    big: big_endian::U16,
}

/// Like [`BothU16`], with 32 bits.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct BothU32 {
    little: little_endian::U32,
    big: big_endian::U32,
}

impl BothU16 {
    /// The little-endian half, which Linux reads. In some images the other half is wrong.
    pub(crate) fn get(self) -> u16 {
        self.little.get()
    }
}

impl BothU32 {
    /// Like [`BothU16::get`].
    pub(crate) fn get(self) -> u32 {
        self.little.get()
    }
}

impl From<u16> for BothU16 {
    fn from(number: u16) -> Self {
        Self { little: number.into(), big: number.into() }
    }
}

impl From<u32> for BothU32 {
    fn from(number: u32) -> Self {
        Self { little: number.into(), big: number.into() }
    }
}
