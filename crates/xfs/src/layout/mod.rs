//! The bytes of an XFS of version 5, each structure defined once: names and offsets are those of the kernel's
//! `fs/xfs/libxfs/xfs_format.h` and `xfs_da_format.h`. All numbers are big-endian but the checksums.

pub(crate) mod attribute;
pub(crate) mod directory;
pub(crate) mod group;
pub(crate) mod inode;
pub(crate) mod superblock;
pub(crate) mod tree;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A header at the start of `bytes`.
///
/// # Panics
///
/// If there are fewer bytes than the header has: callers have whole sectors, blocks or inodes.
pub(crate) fn header<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> &T {
    #[allow(clippy::expect_used, reason = "callers have whole blocks, which are larger than any header")]
    let (header, _) = T::ref_from_prefix(bytes).map_err(|_| "too short").expect("a header is shorter than its block");
    header
}

/// The same to be changed.
pub(crate) fn header_mut<T: FromBytes + IntoBytes + KnownLayout>(bytes: &mut [u8]) -> &mut T {
    #[allow(clippy::expect_used, reason = "callers have whole blocks, which are larger than any header")]
    let (header, _) = T::mut_from_prefix(bytes).map_err(|_| "too short").expect("a header is shorter than its block");
    header
}

/// The checksum of a structure whose `crc` field is at byte `at`: CRC-32C with zeros in place of the field.
pub(crate) fn checksum(bytes: &[u8], at: usize) -> u32 {
    let crc = crc32c::crc32c(&bytes[..at]);
    crc32c::crc32c_append(crc32c::crc32c_append(crc, &[0; 4]), &bytes[at + 4..])
}

/// Whether the checksum at byte `at` is right.
pub(crate) fn has_checksum(bytes: &[u8], at: usize) -> bool {
    bytes[at..at + 4] == checksum(bytes, at).to_le_bytes()
}

/// Writes the checksum to byte `at`.
pub(crate) fn set_checksum(bytes: &mut [u8], at: usize) {
    let crc = checksum(bytes, at);
    bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

/// A big-endian number at a byte.
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// A big-endian number at a byte.
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A big-endian number at a byte.
pub(crate) fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from(be32(bytes, at)) << 32 | u64::from(be32(bytes, at + 4))
}
