//! The first sector as a master boot record: the protective one of a GPT disk, a real one, or neither.
//!
//! The sector has room for code, a number of the disk, four records of 16 bytes and a signature. A disk of 64 MiB that
//! `sfdisk` gave one bootable Linux partition and an extended one has, from byte 0x1b8 on:
//!
//! ```text
//! 0x1b8  cdab 3412      the disk's number, 0x1234abcd
//! 0x1be  80             boot_indicator: active
//! 0x1bf  2021 00        cylinder, head and sector of the first sector: of old disks, not used here
//! 0x1c2  83             os_type: Linux
//! 0x1c3  2a28 02        the same of the last sector
//! 0x1c6  0008 0000      starting_lba = 2048
//! 0x1ca  0080 0000      size_in_lba = 32768 sectors of 512 bytes: 16 MiB
//! 0x1ce  00 2a 2902 05 3e 3806 0088 0000 0000 0100   the second: type 5, extended, from sector 34816, 65,536 sectors
//! 0x1fe  55aa           the signature
//! ```
//!
//! Sectors are counted in 32 bits, which ends at 2 TiB. A disk with a GPT has one record of type 0xee from sector 1 to
//! the end, `00 0002 00 ee 28 2008 0100 0000 ffff 0100` on one of 131,072 sectors: for a tool that knows no GPT the
//! disk is full. A hybrid MBR has real partitions beside that record. What is in the extended partition is in
//! [`ebr`](crate::ebr).

use storage::ReadAt;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Error;

/// UEFI specification, "Legacy Master Boot Record (MBR)".
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawMbr {
    /// 0x000: code; a FAT without partitions has its parameters here.
    boot_code: [u8; 440],
    /// 0x1b8
    pub(crate) unique_mbr_signature: U32,
    /// 0x1bc
    unknown: U16,
    /// 0x1be
    pub(crate) partition_record: [RawRecord; 4],
    /// 0x1fe: 0xaa55.
    signature: U16,
}

/// UEFI specification, "Legacy MBR Partition Record".
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawRecord {
    /// 0x0: 0x80 for the active partition, else 0.
    boot_indicator: u8,
    /// 0x1
    pub(crate) starting_chs: [u8; 3],
    /// 0x4
    pub(crate) os_type: u8,
    /// 0x5
    pub(crate) ending_chs: [u8; 3],
    /// 0x8
    pub(crate) starting_lba: U32,
    /// 0xc
    pub(crate) size_in_lba: U32,
}

const _: () = assert!(size_of::<RawMbr>() == 512 && size_of::<RawRecord>() == 16);

const SIGNATURE: u16 = 0xaa55;
pub(crate) const GPT_PROTECTIVE: u8 = 0xee;
/// An MBR counts in these, whatever the disk's sectors are: those of images are 512 bytes.
pub(crate) const SECTOR_BYTES: u64 = 512;

impl RawMbr {
    /// Reads a sector as an MBR or one of the records that are like one. The caller has seen that it is
    /// inside the disk.
    pub(crate) fn read(disk: &dyn ReadAt, lba: u64) -> Result<Self, Error> {
        let mut bytes = [0; SECTOR_BYTES as usize];
        disk.read_at(lba * SECTOR_BYTES, &mut bytes)?;
        Ok(zerocopy::transmute!(bytes))
    }

    pub(crate) fn is_signed(&self) -> bool {
        self.signature.get() == SIGNATURE
    }
}

impl RawRecord {
    /// Whether it is for the partition that has the logical ones in it: by cylinders, by sectors, or Linux's own.
    pub(crate) fn is_extended(&self) -> bool {
        matches!(self.os_type, 0x05 | 0x0f | 0x85)
    }

    /// Whether it is for a partition of the MBR, which cannot begin where the MBR itself is.
    pub(crate) fn is_used(&self) -> bool {
        self.os_type != 0 && self.starting_lba.get() != 0 && self.size_in_lba.get() != 0
    }

    /// First sector, from where the record counts, and number of sectors.
    pub(crate) fn range(&self) -> (u64, u64) {
        (u64::from(self.starting_lba.get()), u64::from(self.size_in_lba.get()))
    }
}

/// What the first sector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mbr {
    /// No table: zeros, the first sector of a file system, anything else.
    None,
    /// A record that keeps tools without GPT off the disk; it may list real partitions too (hybrid).
    Protective { starting_lba: u32, size_in_lba: u32 },
    /// Partitions.
    Partitions,
}

impl Mbr {
    /// Reads the first sector; a disk smaller than one has none.
    pub(crate) fn read(disk: &dyn ReadAt) -> Result<Self, Error> {
        if disk.size_bytes() < SECTOR_BYTES {
            return Ok(Self::None);
        }
        Ok(Self::from(&RawMbr::read(disk, 0)?))
    }
}

impl From<&RawMbr> for Mbr {
    fn from(raw: &RawMbr) -> Self {
        // A file system on the whole disk can carry the signature, too: a FAT does, and so does an
        // ext4 with a boot loader in its first sector. Where there is code in place of the records,
        // it does not look like records.
        let records_are_plausible = raw.partition_record.iter().all(|record| record.boot_indicator & 0x7f == 0);
        if !raw.is_signed() || !records_are_plausible || is_fat(&raw.boot_code) {
            return Self::None;
        }
        let mut has_partitions = false;
        for record in &raw.partition_record {
            if record.os_type == GPT_PROTECTIVE {
                let (starting_lba, size_in_lba) = (record.starting_lba.get(), record.size_in_lba.get());
                return Self::Protective { starting_lba, size_in_lba };
            }
            has_partitions |= record.is_used();
        }
        if has_partitions { Self::Partitions } else { Self::None }
    }
}

/// The address of a sector in the terms of old disks with 255 heads and 63 sectors a track, if they could
/// have it.
pub(crate) fn cylinder_head_sector(lba: u64) -> Option<[u8; 3]> {
    let (cylinder, head, sector) = (lba / (255 * 63), lba / 63 % 255, lba % 63 + 1);
    (cylinder <= 1023).then_some([head as u8, sector as u8 | (cylinder >> 8 << 6) as u8, cylinder as u8])
}

/// Whether the sector is the first of a FAT: a jump, and a sector size, a number of FATs and a
/// media descriptor that one can have.
fn is_fat(sector: &[u8; 440]) -> bool {
    let jump = (sector[0] == 0xeb && sector[2] == 0x90) || sector[0] == 0xe9;
    let sector_size = u16::from_le_bytes([sector[11], sector[12]]);
    jump && matches!(sector_size, 512 | 1024 | 2048 | 4096) && matches!(sector[16], 1 | 2) && sector[21] >= 0xf0
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::Memory;

    fn sector(os_type: u8) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[446 + 4] = os_type;
        bytes[446 + 8] = 1;
        bytes[446 + 12] = 9;
        bytes[510..].copy_from_slice(&[0x55, 0xaa]);
        bytes
    }

    fn read(bytes: Vec<u8>) -> Mbr {
        Mbr::read(&Memory::from(bytes)).unwrap()
    }

    #[test]
    fn a_protective_record_and_a_real_one_are_told_apart() {
        assert_eq!(read(sector(0xee)), Mbr::Protective { starting_lba: 1, size_in_lba: 9 });
        assert_eq!(read(sector(0x83)), Mbr::Partitions);
    }

    #[test]
    fn boot_code_or_a_fat_with_the_signature_is_no_table() {
        let mut code = sector(0x83);
        code[446 + 16] = 0x41;
        assert_eq!(read(code), Mbr::None);
        let mut fat = sector(0x83);
        fat[..3].copy_from_slice(&[0xeb, 0x58, 0x90]);
        fat[11..13].copy_from_slice(&512u16.to_le_bytes());
        fat[16] = 2;
        fat[21] = 0xf8;
        assert_eq!(read(fat), Mbr::None);
        assert_eq!(read(vec![0; 512]), Mbr::None);
        assert_eq!(read(vec![0; 511]), Mbr::None);
    }

    #[test]
    fn sectors_have_old_addresses_up_to_8_gigabytes() {
        assert_eq!(cylinder_head_sector(0), Some([0, 1, 0]));
        assert_eq!(cylinder_head_sector(1024 * 255 * 63 - 1), Some([254, 0xff, 0xff]));
        assert_eq!(cylinder_head_sector(1024 * 255 * 63), None);
    }
}
