//! What a partition holds, told by the signatures that file systems carry.

use storage::ReadAt;

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signature {
    /// ext2, ext3 or ext4.
    Ext4,
    /// FAT12, FAT16 or FAT32.
    Fat {
        /// The volume's serial number, which stands for a UUID.
        serial: u32,
    },
    /// Something known that is not read or written yet, by name.
    Other(&'static str),
    /// Nothing that is known.
    None,
}

/// Offset in bytes, signature, name.
const OTHERS: [(u64, &[u8], &str); 12] = [
    (0, b"XFSB", "xfs"),
    (0x10040, b"_BHRfS_M", "btrfs"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    (0x218, b"LVM2 001", "LVM2"),
    (0x18, b"LVM2 001", "LVM2"),
    (4086, b"SWAPSPACE2", "swap"),
    (1024, &[0x10, 0x20, 0xf5, 0xf2], "f2fs"),
    (1024, &[0xe2, 0xe1, 0xf5, 0xe0], "erofs"),
    (0, b"hsqs", "squashfs"),
    (3, b"NTFS    ", "ntfs"),
    (3, b"EXFAT   ", "exfat"),
    (0x8001, b"CD001", "iso9660"),
];

/// The signature of the file system on `storage`.
///
/// # Errors
///
/// What reading says.
pub(crate) fn probe(storage: &dyn ReadAt) -> storage::Result<Signature> {
    for (offset, bytes, name) in OTHERS {
        if has(storage, offset, bytes)? {
            return Ok(Signature::Other(name));
        }
    }
    if has(storage, 0x438, &[0x53, 0xef])? {
        return Ok(Signature::Ext4);
    }
    // FAT32 has its extended boot record, with serial number and type, further on.
    for (serial_offset, type_offset, name) in [(0x43, 0x52, b"FAT32".as_slice()), (0x27, 0x36, b"FAT1")] {
        if has(storage, type_offset, name)? && has(storage, 0x1fe, &[0x55, 0xaa])? {
            let mut serial = [0; 4];
            storage.read_at(serial_offset, &mut serial)?;
            return Ok(Signature::Fat { serial: u32::from_le_bytes(serial) });
        }
    }
    Ok(Signature::None)
}

fn has(storage: &dyn ReadAt, offset: u64, signature: &[u8]) -> storage::Result<bool> {
    if storage.size_bytes() < offset + signature.len() as u64 {
        return Ok(false);
    }
    let mut found = vec![0; signature.len()];
    storage.read_at(offset, &mut found)?;
    Ok(found == signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::{Memory, WriteAt};

    fn disk(parts: &[(u64, &[u8])]) -> Signature {
        let memory = Memory::from(vec![0; 128 << 10]);
        for (offset, bytes) in parts {
            memory.write_at(*offset, bytes).unwrap();
        }
        probe(&memory).unwrap()
    }

    #[test]
    fn each_file_system_has_its_name() {
        assert_eq!(disk(&[(0x438, &[0x53, 0xef])]), Signature::Ext4);
        let fat32 = disk(&[(0x43, &[4, 3, 2, 1]), (0x52, b"FAT32   "), (0x1fe, &[0x55, 0xaa])]);
        assert_eq!(fat32, Signature::Fat { serial: 0x0102_0304 });
        let fat16 = disk(&[(0x27, &[4, 3, 2, 1]), (0x36, b"FAT16   "), (0x1fe, &[0x55, 0xaa])]);
        assert_eq!(fat16, Signature::Fat { serial: 0x0102_0304 });
        assert_eq!(disk(&[(0, b"XFSB")]), Signature::Other("xfs"));
        assert_eq!(disk(&[(0x10040, b"_BHRfS_M")]), Signature::Other("btrfs"));
        assert_eq!(disk(&[(0x200, b"LABELONE"), (0x218, b"LVM2 001")]), Signature::Other("LVM2"));
    }

    #[test]
    fn nothing_known_is_nothing() {
        assert_eq!(disk(&[]), Signature::None);
        assert_eq!(disk(&[(0x52, b"FAT32   ")]), Signature::None);
        assert_eq!(probe(&Memory::from(vec![0; 100])).unwrap(), Signature::None);
    }
}
