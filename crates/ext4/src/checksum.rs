//! The checksums of metadata: crc32c without the usual final inversion, seeded by the volume.
//!
//! Kernel documentation, "Checksums".

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
