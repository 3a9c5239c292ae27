//! The first sector as a master boot record: the protective one of a GPT disk, a real one, or none.

use storage::{ReadAt, WriteAt};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Error;

/// UEFI specification, "Legacy Master Boot Record (MBR)".
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawMbr {
    /// 0x000: code; a FAT without partitions has its parameters here.
    boot_code: [u8; 440],
    /// 0x1b8
    unique_mbr_signature: U32,
    /// 0x1bc
    unknown: U16,
    /// 0x1be
    partition_record: [RawRecord; 4],
    /// 0x1fe: 0xaa55.
    signature: U16,
}

/// UEFI specification, "Legacy MBR Partition Record".
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawRecord {
    /// 0x0: 0x80 for the active partition, else 0.
    boot_indicator: u8,
    /// 0x1
    starting_chs: [u8; 3],
    /// 0x4
    os_type: u8,
    /// 0x5
    ending_chs: [u8; 3],
    /// 0x8
    starting_lba: U32,
    /// 0xc
    size_in_lba: U32,
}

const _: () = assert!(size_of::<RawMbr>() == 512 && size_of::<RawRecord>() == 16);

const SIGNATURE: u16 = 0xaa55;
const GPT_PROTECTIVE: u8 = 0xee;

/// What the first sector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mbr {
    /// No table: zeros, the first sector of a file system, anything else.
    None,
    /// A record that keeps tools without GPT off the disk; it may list real partitions too (hybrid).
    Protective { starting_lba: u32, size_in_lba: u32 },
    /// Partitions, the types of which are listed.
    Partitions { types: Vec<u8> },
}

impl Mbr {
    /// Reads the first sector; a disk smaller than one has none.
    pub(crate) fn read(disk: &dyn ReadAt) -> Result<Self, Error> {
        let mut bytes = [0; 512];
        if disk.size_bytes() < 512 {
            return Ok(Self::None);
        }
        disk.read_at(0, &mut bytes)?;
        Ok(Self::from(&zerocopy::transmute!(bytes)))
    }
}

impl From<&RawMbr> for Mbr {
    fn from(raw: &RawMbr) -> Self {
        // A file system on the whole disk can carry the signature, too: a FAT does, and so does an
        // ext4 with a boot loader in its first sector. Where there is code in place of the records,
        // it does not look like records.
        let records_are_plausible = raw.partition_record.iter().all(|record| record.boot_indicator & 0x7f == 0);
        if raw.signature.get() != SIGNATURE || !records_are_plausible || is_fat(&raw.boot_code) {
            return Self::None;
        }
        let mut types = Vec::new();
        for record in &raw.partition_record {
            if record.os_type == GPT_PROTECTIVE {
                let (starting_lba, size_in_lba) = (record.starting_lba.get(), record.size_in_lba.get());
                return Self::Protective { starting_lba, size_in_lba };
            }
            if record.os_type != 0 && record.starting_lba.get() != 0 && record.size_in_lba.get() != 0 {
                types.push(record.os_type);
            }
        }
        if types.is_empty() { Self::None } else { Self::Partitions { types } }
    }
}

/// Lets the protective record cover a disk of `disk_lbas` sectors, as far as it can count. One beside
/// real partitions (hybrid) stays as it is.
pub(crate) fn protect(disk: &dyn WriteAt, disk_lbas: u64) -> Result<(), Error> {
    let mut bytes = [0; 512];
    disk.read_at(0, &mut bytes)?;
    let mut raw: RawMbr = zerocopy::transmute!(bytes);
    if raw.partition_record.iter().filter(|record| record.os_type != 0).count() != 1 {
        return Ok(());
    }
    let protective = raw.partition_record.iter_mut().find(|record| record.os_type == GPT_PROTECTIVE);
    let Some(record) = protective.filter(|record| record.starting_lba.get() == 1) else { return Ok(()) };
    record.size_in_lba.set(u32::try_from(disk_lbas - 1).unwrap_or(u32::MAX));
    record.ending_chs = cylinder_head_sector(disk_lbas - 1);
    Ok(disk.write_at(0, raw.as_bytes())?)
}

/// The address of a sector in the terms of old disks with 255 heads and 63 sectors a track; all ones
/// where they could not have it.
fn cylinder_head_sector(lba: u64) -> [u8; 3] {
    let (cylinder, head, sector) = (lba / (255 * 63), lba / 63 % 255, lba % 63 + 1);
    if cylinder > 1023 {
        return [0xff; 3];
    }
    [head as u8, sector as u8 | (cylinder >> 8 << 6) as u8, cylinder as u8]
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
        assert_eq!(read(sector(0x83)), Mbr::Partitions { types: vec![0x83] });
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
        assert_eq!(cylinder_head_sector(0), [0, 1, 0]);
        assert_eq!(cylinder_head_sector(1024 * 255 * 63 - 1), [254, 0xff, 0xff]);
        assert_eq!(cylinder_head_sector(1024 * 255 * 63), [0xff; 3]);
    }
}
