//! The headers of a tar archive: POSIX's `ustar`, and what GNU tar had before it (`oldgnu`).

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The unit of an archive.
pub(crate) const BLOCK_BYTES: u64 = 512;

/// The header before a member. Numbers are octal digits, or big-endian after a byte of 0x80.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawHeader {
    /// 0: the name, padded with zeros.
    pub(crate) name: [u8; 100],
    /// 100
    pub(crate) mode: [u8; 8],
    /// 108
    pub(crate) uid: [u8; 8],
    /// 116
    pub(crate) gid: [u8; 8],
    /// 124: length of the member's data in bytes.
    pub(crate) size: [u8; 12],
    /// 136: seconds since 1970.
    pub(crate) mtime: [u8; 12],
    /// 148: sum of all the header's bytes, these as spaces.
    pub(crate) chksum: [u8; 8],
    /// 156: one of the `TYPE_` bytes.
    pub(crate) typeflag: u8,
    /// 157
    pub(crate) linkname: [u8; 100],
    /// 257: `ustar`, followed by the version.
    pub(crate) magic: [u8; 8],
    /// 265
    pub(crate) uname: [u8; 32],
    /// 297
    pub(crate) gname: [u8; 32],
    /// 329
    pub(crate) devmajor: [u8; 8],
    /// 337
    pub(crate) devminor: [u8; 8],
    /// 345: `oldgnu`: times and more; `ustar`: the first part of a long name.
    pub(crate) more: [u8; 41],
    /// 386: `oldgnu`: the first parts of a file with holes.
    pub(crate) parts: [RawPart; 4],
    /// 482: `oldgnu`: not 0 if a [`RawParts`] follows.
    pub(crate) is_extended: u8,
    /// 483: `oldgnu`: size of a file with holes in bytes.
    pub(crate) real_size: [u8; 12],
    /// 495
    pub(crate) pad: [u8; 17],
}

/// A part of a file with holes: data that is in the archive.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawPart {
    /// 0: where in the file it is, in bytes.
    pub(crate) offset: [u8; 12],
    /// 12: its length in bytes.
    pub(crate) length: [u8; 12],
}

/// More parts of a file with holes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawParts {
    /// 0
    pub(crate) parts: [RawPart; 21],
    /// 504: not 0 if another one follows.
    pub(crate) is_extended: u8,
    /// 505
    pub(crate) pad: [u8; 7],
}

const _: () = {
    assert!(size_of::<RawHeader>() == 512);
    assert!(core::mem::offset_of!(RawHeader, chksum) == 148);
    assert!(core::mem::offset_of!(RawHeader, magic) == 257);
    assert!(core::mem::offset_of!(RawHeader, parts) == 386);
    assert!(core::mem::offset_of!(RawHeader, real_size) == 483);
    assert!(size_of::<RawParts>() == 512);
};

pub(crate) const TYPE_FILE: u8 = b'0';
/// A file, before there were other types.
pub(crate) const TYPE_OLD_FILE: u8 = 0;
/// A file with holes.
pub(crate) const TYPE_SPARSE: u8 = b'S';
pub(crate) const TYPE_DIRECTORY: u8 = b'5';
/// `pax` records for the next member, and for all.
pub(crate) const TYPE_NEXT: u8 = b'x';
pub(crate) const TYPE_ALL: u8 = b'g';

const OLDGNU_MAGIC: [u8; 8] = *b"ustar  \0";

impl RawHeader {
    /// The header of a file in the format `oldgnu`.
    pub(crate) fn new_file(name: &str, size_bytes: u64, mtime: u64) -> Self {
        let mut header = Self::new_zeroed();
        header.name[..name.len()].copy_from_slice(name.as_bytes());
        header.mode = *b"0000644\0";
        header.uid = *b"0000000\0";
        header.gid = *b"0000000\0";
        header.size = number_field(size_bytes);
        header.mtime = number_field(mtime);
        header.typeflag = TYPE_FILE;
        header.magic = OLDGNU_MAGIC;
        header.uname[..4].copy_from_slice(b"root");
        header.gname[..4].copy_from_slice(b"root");
        let sum = format!("{:06o}\0 ", header.sum());
        header.chksum.copy_from_slice(sum.as_bytes());
        header
    }

    /// Whether this is a header with a valid checksum.
    pub(crate) fn is_valid(&self) -> bool {
        self.magic.starts_with(b"ustar") && number(&self.chksum) == Some(self.sum().into())
    }

    fn sum(&self) -> u32 {
        let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
        sum(self.as_bytes()) - sum(&self.chksum) + 8 * u32::from(b' ')
    }

    /// The name, without `./` at its start.
    pub(crate) fn name(&self) -> String {
        let until_zero = |bytes: &[u8]| {
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        let mut name = until_zero(&self.name);
        if self.magic != OLDGNU_MAGIC && self.more[0] != 0 {
            name = format!("{}/{name}", until_zero(&self.as_bytes()[345..500]));
        }
        name.strip_prefix("./").map(str::to_owned).unwrap_or(name)
    }
}

/// A number as GNU tar writes it: octal if it fits.
fn number_field(value: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if value < 1 << 33 {
        field[..11].copy_from_slice(format!("{value:011o}").as_bytes());
    } else {
        field[0] = 0x80;
        field[4..].copy_from_slice(&value.to_be_bytes());
    }
    field
}

/// The number in a field; `None` if it has something else.
pub(crate) fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, digits @ ..] = field {
        let add = |value: u64, digit: &u8| value.checked_mul(256)?.checked_add(u64::from(*digit));
        return digits.iter().try_fold(0, add);
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_come_back() {
        for value in [0, 7, 8, (1 << 33) - 1, 1 << 33, u64::MAX] {
            assert_eq!(number(&number_field(value)), Some(value));
        }
        assert_eq!(number(b"  644 \0\0"), Some(0o644));
        assert_eq!(number(b"+644\0"), Some(0o644));
        for wrong in [&b"9\0"[..], b"-1\0", &[0xff; 12], &[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_header_that_was_changed_is_none() {
        let mut header = RawHeader::new_file("disk.raw", 5, 0);
        assert!(header.is_valid() && header.name() == "disk.raw");
        header.size[0] ^= 1;
        assert!(!header.is_valid());
        assert!(!RawHeader::new_zeroed().is_valid());
    }
}
