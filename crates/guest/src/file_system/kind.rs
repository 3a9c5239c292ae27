//! The kinds of file systems, and how the first bytes of a partition tell them apart.

use std::sync::Arc;

use storage::{ReadAt, Window, WriteAt};

use super::{FileSystem, FileSystemError, btrfs, ext4, fat, xfs};

/// The bytes of a partition, or of the whole disk if it has no partitions.
pub type Bytes = Window<Arc<dyn WriteAt>>;

/// Bytes that all file systems of a kind have: the offset, and what is there.
pub type Signature = (u64, &'static [u8]);

/// A kind of file system, or of what else a partition can hold.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name in messages.
    pub name: &'static str,
    /// Bytes that tell it: it is recognised if all signatures of one of these lists are there.
    pub signatures: &'static [&'static [Signature]],
    /// What imgraft can do with it.
    pub support: Support,
}

/// What imgraft can do with a kind of file system.
#[derive(Clone, Copy)]
pub enum Support {
    /// It is read, and perhaps written.
    Opens {
        /// Opens the one that is on these bytes.
        open: fn(Bytes) -> Result<Box<dyn FileSystem>, FileSystemError>,
        /// The name of one that cannot be opened, where the kind has several names: `ext2`, `ext3`.
        name: fn(&Bytes) -> Option<&'static str>,
    },
    /// It may have files, but imgraft only knows its name.
    NameOnly,
    /// It has no files: swap.
    NoFiles,
    /// It is a physical volume of LVM2, whose logical volumes are volumes of their own.
    LogicalVolumes,
}

/// The kinds that imgraft knows, in the order in which they are looked for. FAT comes last: a boot sector with its
/// name in it can be in front of anything.
pub const KINDS: &[Kind] = &[
    xfs::KIND,
    btrfs::KIND,
    named("LUKS", &[&[(0, b"LUKS\xba\xbe")]]),
    Kind {
        name: "LVM2",
        // In one of the first four sectors.
        signatures: &[
            &[(0x200, b"LABELONE"), (0x218, b"LVM2 001")],
            &[(0, b"LABELONE"), (0x18, b"LVM2 001")],
            &[(0x400, b"LABELONE"), (0x418, b"LVM2 001")],
            &[(0x600, b"LABELONE"), (0x618, b"LVM2 001")],
        ],
        support: Support::LogicalVolumes,
    },
    Kind { name: "swap", signatures: &[&[(4086, b"SWAPSPACE2")]], support: Support::NoFiles },
    named("f2fs", &[&[(1024, &[0x10, 0x20, 0xf5, 0xf2])]]),
    named("erofs", &[&[(1024, &[0xe2, 0xe1, 0xf5, 0xe0])]]),
    named("squashfs", &[&[(0, b"hsqs")]]),
    named("ntfs", &[&[(3, b"NTFS    ")]]),
    named("exfat", &[&[(3, b"EXFAT   ")]]),
    named("iso9660", &[&[(0x8001, b"CD001")]]),
    ext4::KIND,
    fat::KIND,
];

/// A kind that is known by name only.
const fn named(name: &'static str, signatures: &'static [&'static [Signature]]) -> Kind {
    Kind { name, signatures, support: Support::NameOnly }
}

/// The first of `kinds` whose signatures are in `bytes`.
///
/// # Errors
///
/// If the bytes cannot be read.
pub(crate) fn recognise<'a>(bytes: &dyn ReadAt, kinds: &'a [Kind]) -> storage::Result<Option<&'a Kind>> {
    for kind in kinds {
        for signatures in kind.signatures {
            if has_all(bytes, signatures)? {
                return Ok(Some(kind));
            }
        }
    }
    Ok(None)
}

fn has_all(bytes: &dyn ReadAt, signatures: &[Signature]) -> storage::Result<bool> {
    for (offset, signature) in signatures {
        if bytes.size_bytes() < offset + signature.len() as u64 {
            return Ok(false);
        }
        let mut found = vec![0; signature.len()];
        bytes.read_at(*offset, &mut found)?;
        if found != *signature {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::Memory;

    fn name(parts: &[(u64, &[u8])]) -> Option<&'static str> {
        let memory = Memory::from(vec![0; 128 << 10]);
        for (offset, bytes) in parts {
            memory.write_at(*offset, bytes).unwrap();
        }
        recognise(&memory, KINDS).unwrap().map(|kind| kind.name)
    }

    #[test]
    fn each_file_system_has_its_name() {
        assert_eq!(name(&[(0x438, &[0x53, 0xef])]), Some("ext4"));
        assert_eq!(name(&[(0x52, b"FAT32   "), (0x1fe, &[0x55, 0xaa])]), Some("fat"));
        assert_eq!(name(&[(0x36, b"FAT16   "), (0x1fe, &[0x55, 0xaa])]), Some("fat"));
        assert_eq!(name(&[(0, b"XFSB")]), Some("xfs"));
        assert_eq!(name(&[(0x10040, b"_BHRfS_M")]), Some("btrfs"));
        assert_eq!(name(&[(0x200, b"LABELONE"), (0x218, b"LVM2 001")]), Some("LVM2"));
        assert_eq!(name(&[(0x36, b"FAT16   "), (0x1fe, &[0x55, 0xaa]), (3, b"NTFS    ")]), Some("ntfs"));
    }

    #[test]
    fn nothing_known_is_nothing() {
        assert_eq!(name(&[]), None);
        assert_eq!(name(&[(0x52, b"FAT32   ")]), None);
        assert!(recognise(&Memory::from(vec![0; 100]), KINDS).unwrap().is_none());
    }
}
