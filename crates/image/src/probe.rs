use storage::ReadAt;

use crate::error::{Error, Result};
use crate::{Format, vhd, vmdk};

/// The first bytes of a qcow2 file.
pub(crate) const QCOW2_MAGIC: [u8; 4] = *b"QFI\xfb";

const EXPECTED: &str = "the header of a qcow2, VMDK or VHD image, or a partition table or a file system at the start of a whole number of \
                        512-byte sectors";

/// The number of bytes from the file's start that are read: the magic of btrfs ends there.
const PROBED_BYTES: u64 = 0x10048;

/// The start of a disk: a partition table, or a file system on the whole disk. Other crates decide whether they support
/// it.
const DISKS: [(usize, &[u8]); 9] = [
    (510, &[0x55, 0xaa]),
    (512, b"EFI PART"),
    // ext2, ext3, ext4
    (1080, &[0x53, 0xef]),
    // xfs
    (0, b"XFSB"),
    // btrfs
    (0x10040, b"_BHRfS_M"),
    // LVM2, in the second sector or the first
    (0x218, b"LVM2 001"),
    (0x18, b"LVM2 001"),
    // f2fs
    (1024, &[0x10, 0x20, 0xf5, 0xf2]),
    // A GPT that counts in sectors of 4096 bytes
    (4096, b"EFI PART"),
];

/// A format that is recognised by its magic and not read.
struct Foreign {
    offset: usize,
    magic: &'static [u8],
    name: &'static str,
}

const FOREIGN: &[Foreign] = &[
    Foreign { offset: 0, magic: b"COWD", name: "a VMDK image of ESX (vmfsSparse)" },
    Foreign { offset: 0, magic: b"vhdxfile", name: "a VHDX image" },
    Foreign { offset: 0x40, magic: &[0x7f, 0x10, 0xda, 0xbe], name: "a VDI image" },
    Foreign { offset: 0, magic: b"QED\0", name: "a QED image" },
    Foreign { offset: 0, magic: b"LUKS\xba\xbe", name: "a LUKS container" },
    Foreign { offset: 0, magic: &[0x1f, 0x8b], name: "a gzip file (an image may be inside)" },
    Foreign { offset: 0, magic: b"\xfd7zXZ\0", name: "an xz file (an image may be inside)" },
    Foreign { offset: 0, magic: &[0x28, 0xb5, 0x2f, 0xfd], name: "a zstd file (an image may be inside)" },
    Foreign { offset: 0, magic: b"BZh", name: "a bzip2 file (an image may be inside)" },
    Foreign { offset: 0x8001, magic: b"CD001", name: "an ISO 9660 image, not a disk image," },
];

/// Finds the format of `file` from its magic numbers alone.
///
/// A file of no other format is raw if it begins with a partition table or a file system.
///
/// # Errors
///
/// [`Error::Unsupported`] with the name of a format that is recognised and not read, [`Error::NotAnImage`] with what was
/// found instead of a disk, [`Error::Storage`] if reading fails.
pub fn probe(file: &dyn ReadAt) -> Result<Format> {
    let size_bytes = file.size_bytes();
    let mut start = vec![0; size_bytes.min(PROBED_BYTES) as usize];
    file.read_at(0, &mut start)?;
    let has = |offset: usize, magic: &[u8]| start.get(offset..).is_some_and(|bytes| bytes.starts_with(magic));

    if has(0, &QCOW2_MAGIC) {
        return Ok(Format::Qcow2);
    }
    if has(0, &vmdk::MAGIC) {
        return Ok(Format::Vmdk);
    }
    if has(0, vmdk::DESCRIPTOR_MAGIC) {
        return Err(describe_descriptor(&start));
    }
    // A dynamic VHD begins with a copy of its footer, and a fixed one with the disk.
    if has(0, &vhd::COOKIE) || vhd::has_footer(file)? {
        return Ok(Format::Vhd);
    }
    if let Some(foreign) = FOREIGN.iter().find(|foreign| has(foreign.offset, foreign.magic)) {
        return Err(Error::unsupported(foreign.name));
    }
    let is_disk = DISKS.iter().any(|&(offset, magic)| has(offset, magic));
    if is_disk && size_bytes.is_multiple_of(512) {
        return Ok(Format::Raw);
    }
    let found = if is_disk {
        format!("a disk cut off in the middle of a sector, file_size={size_bytes:#x}")
    } else {
        describe(&start)
    };
    Err(Error::NotAnImage { found, expected: EXPECTED })
}

/// Why a VMDK descriptor in a file of its own cannot be read as an image.
fn describe_descriptor(start: &[u8]) -> Error {
    match vmdk::Descriptor::parse(start) {
        Ok(_) => Error::unsupported("a VMDK descriptor, whose disk is in other files,"),
        Err(error) => error,
    }
}

/// The start of a file, in words.
fn describe(start: &[u8]) -> String {
    let head = &start[..start.len().min(16)];
    if start.is_empty() {
        return "an empty file".into();
    }
    if start.iter().all(|&byte| byte == 0) {
        return "zeros only".into();
    }
    match std::str::from_utf8(head) {
        Ok(text) if !text.chars().any(|c| c.is_control() && !c.is_ascii_whitespace()) => {
            format!("text that begins with {text:?}")
        }
        _ => {
            let bytes: Vec<String> = head.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("a file that begins with the bytes {}", bytes.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::Memory;

    fn probed(bytes: Vec<u8>) -> String {
        match probe(&Memory::from(bytes)) {
            Ok(format) => format.to_string(),
            Err(error) => error.to_string(),
        }
    }

    fn with(size: usize, offset: usize, magic: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; size];
        bytes[offset..][..magic.len()].copy_from_slice(magic);
        bytes
    }

    #[test]
    fn disks_are_known_by_what_they_begin_with() {
        assert_eq!(probed(with(512, 0, b"QFI\xfb")), "qcow2");
        assert_eq!(probed(with(512, 510, &[0x55, 0xaa])), "raw");
        assert_eq!(probed(with(1024, 512, b"EFI PART")), "raw");
        assert_eq!(probed(with(2048, 1080, &[0x53, 0xef])), "raw");
        assert_eq!(probed(with(512, 0, b"XFSB")), "raw");
        // Everything before the magic is zeros.
        assert_eq!(probed(with(128 << 10, 0x10040, b"_BHRfS_M")), "raw");
        assert_eq!(probed(with(4096, 0x218, b"LVM2 001")), "raw");
        assert_eq!(probed(with(512, 0, b"KDMV")), "vmdk");
        assert_eq!(probed(with(512, 0, b"conectix")), "vhd");
        assert_eq!(probed(with(4096, 4096 - 512, b"conectix")), "vhd");
    }

    #[test]
    fn known_formats_are_refused_by_name() {
        for foreign in FOREIGN {
            let mut bytes = with(0x9000, foreign.offset, foreign.magic);
            // A hybrid ISO image or a fixed VHD looks like a disk, too.
            bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
            assert_eq!(probed(bytes), format!("{} is not supported", foreign.name));
        }
        assert_eq!(probed(with(0x9000, 0x8001, b"CD001")), "an ISO 9660 image, not a disk image, is not supported");
        let flat = b"# Disk DescriptorFile\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n";
        assert_eq!(
            probed(flat.to_vec()),
            "a VMDK image of createType=\"monolithicFlat\", whose disk is in other files, is not supported"
        );
    }

    #[test]
    fn the_start_of_any_other_file_is_described() {
        let said = |bytes: &[u8], found: &str| {
            assert_eq!(probed(bytes.to_vec()), format!("not a disk image: found {found}, expected {EXPECTED}"));
        };
        said(b"", "an empty file");
        said(&[0; 1024], "zeros only");
        said(b"#cloud-config\nusers: []\n", "text that begins with \"#cloud-config\\nus\"");
        said(b"\x7fELF\x02\x01\x01", "a file that begins with the bytes 7f 45 4c 46 02 01 01");
        said(&with(513, 510, &[0x55, 0xaa]), "a disk cut off in the middle of a sector, file_size=0x201");
    }
}
