//! The checksums of metadata (`metadata_csum`): crc32c without the usual final inversion.
//!
//! Each kind of block has its checksum in another place, but all are made alike: crc32c over what tells the block apart
//! from its like, then over its bytes with zeros in place of the checksum. It begins with the file system's seed:
//! crc32c of the UUID, or `s_checksum_seed`, which stays when the UUID changes. In the example the UUID is
//! 00112233-4455-6677-8899-aabbccddeeff:
//!
//! ```text
//! seed           crc32c(0xffffffff, the UUID's 16 bytes)        = 0xb720167d
//! of inode 12    crc32c(seed, 0c00 0000)                        the number, then
//!                crc32c(that, 0000 0000)                        i_generation, 0: the inode's own seed
//!                crc32c(that, the inode's 256 bytes)            = 0x687df7f3, half at 0x7c, half at 0x82
//! of a block of the directory or of the extent tree of inode 12: from the inode's own seed on
//! of a bitmap    crc32c(seed, its bytes up to the last bit that counts), in the group's descriptor
//! of a descriptor  crc32c(seed, the group's number), then its bytes; the low 16 bits are kept
//! ```
//!
//! So a block that was written to another's place is found out, although its own bytes are whole. The super block's
//! own checksum begins with 0xffffffff and no seed. File systems with `uninit_bg` and without `metadata_csum` have
//! checksums in descriptors only, by CRC-16.

/// crc32c over `data`, continued from `crc`, without the final inversion.
pub(crate) fn crc32c(crc: u32, data: &[u8]) -> u32 {
    !crc32c::crc32c_append(!crc, data)
}

/// CRC-16 (polynomial 0x8005, reflected) over `data`, continued from `crc`: descriptors of
/// `uninit_bg` file systems without `metadata_csum`.
pub(crate) fn crc16(crc: u16, data: &[u8]) -> u16 {
    data.iter().fold(crc, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the CRC catalogue for the nine digits: CRC-32/ISCSI and CRC-16/ARC.
    #[test]
    fn the_catalogue_agrees() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(crc32c(!0, b"1234"), b"56789"), crc32c(!0, b"123456789"));
        assert_eq!(crc16(0, b"123456789"), 0xBB3D);
    }
}
