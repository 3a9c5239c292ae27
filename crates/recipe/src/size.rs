use std::fmt;
use std::str::FromStr;

/// The size of a disk's sectors, in bytes.
const SECTOR_BYTES: u64 = 512;
/// The largest size of a file on the host, in bytes.
const MAX_DISK_BYTES: u64 = i64::MAX as u64;

/// The size of a disk: `10G`, or `+2G` for 2 GiB more than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskSize {
    /// This many bytes.
    To(u64),
    /// This many bytes more.
    By(u64),
}

/// Why a disk cannot have a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskSizeError {
    /// The text is not a size.
    #[error("`{text}` is not a size: expected a number with K, M, G or T, such as `10G` or `+512M`")]
    NotASize {
        /// The text.
        text: String,
    },
    /// The size is larger than any file can be.
    #[error("this is larger than any file can be")]
    TooLarge,
    /// The size is smaller than the disk.
    #[error(
        "the disk has {disk_bytes} bytes ({}) and cannot shrink to {wanted_bytes} ({})",
        ByteSize(*disk_bytes),
        ByteSize(*wanted_bytes)
    )]
    Smaller {
        /// The disk's size in bytes.
        disk_bytes: u64,
        /// The size that was asked for, in bytes.
        wanted_bytes: u64,
    },
}

impl DiskSize {
    /// The new size in bytes of a disk of `disk_bytes` bytes, rounded up to whole sectors.
    ///
    /// # Errors
    ///
    /// [`DiskSizeError::Smaller`], [`DiskSizeError::TooLarge`].
    pub fn of(self, disk_bytes: u64) -> Result<u64, DiskSizeError> {
        let wanted_bytes = match self {
            Self::To(bytes) => Some(bytes),
            Self::By(bytes) => disk_bytes.checked_add(bytes),
        };
        let wanted_bytes = wanted_bytes.filter(|&bytes| bytes <= MAX_DISK_BYTES).ok_or(DiskSizeError::TooLarge)?;
        if wanted_bytes < disk_bytes {
            return Err(DiskSizeError::Smaller { disk_bytes, wanted_bytes });
        }
        // A disk that does not grow stays as it is, even if its last sector is not whole.
        Ok(if wanted_bytes == disk_bytes { disk_bytes } else { wanted_bytes.next_multiple_of(SECTOR_BYTES) })
    }
}

impl FromStr for DiskSize {
    type Err = DiskSizeError;

    fn from_str(text: &str) -> Result<Self, DiskSizeError> {
        let not_a_size = || DiskSizeError::NotASize { text: text.to_owned() };
        let (is_more, rest) = match text.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let digits = rest.trim_end_matches(|character: char| !character.is_ascii_digit());
        let shift = match &rest[digits.len()..] {
            "" => 0,
            "K" | "k" => 10,
            "M" | "m" => 20,
            "G" | "g" => 30,
            "T" | "t" => 40,
            _ => return Err(not_a_size()),
        };
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(not_a_size());
        }
        let number: u64 = digits.parse().map_err(|_| DiskSizeError::TooLarge)?;
        let bytes = number.checked_mul(1 << shift).filter(|&bytes| bytes <= MAX_DISK_BYTES);
        let bytes = bytes.ok_or(DiskSizeError::TooLarge)?;
        Ok(if is_more { Self::By(bytes) } else { Self::To(bytes) })
    }
}

/// A number of bytes, shown as people read it: `110.2 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        // Tenths are rounded down, so that no size looks larger than it is.
        let mut unit = 0;
        while self.0 >> (10 * (unit + 1)) >= 1024 {
            unit += 1;
        }
        let tenths = (u128::from(self.0) * 10) >> (10 * (unit + 1));
        f.pad(&format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_disks_are_read_as_qemu_img_reads_them() {
        for (text, size) in [
            ("10G", DiskSize::To(10 << 30)),
            ("+512M", DiskSize::By(512 << 20)),
            ("1t", DiskSize::To(1 << 40)),
            ("4096", DiskSize::To(4096)),
            ("7k", DiskSize::To(7168)),
        ] {
            assert_eq!(text.parse(), Ok(size));
        }
        for text in ["", "G", "+", "-1G", "1.5G", "10GB", "10 G", "0x10", "++1", "1G2", "ä"] {
            assert!(matches!(text.parse::<DiskSize>(), Err(DiskSizeError::NotASize { .. })), "{text}");
        }
        assert_eq!("8388608T".parse::<DiskSize>(), Err(DiskSizeError::TooLarge));
        assert_eq!("99999999999999999999".parse::<DiskSize>(), Err(DiskSizeError::TooLarge));
    }

    #[test]
    fn a_disk_grows_in_whole_sectors_and_does_not_shrink() {
        assert_eq!(DiskSize::To(1000).of(900), Ok(1024));
        assert_eq!(DiskSize::By(0).of(900), Ok(900));
        assert_eq!(DiskSize::By(u64::MAX).of(900), Err(DiskSizeError::TooLarge));
        let smaller = DiskSizeError::Smaller { disk_bytes: 900, wanted_bytes: 899 };
        assert_eq!(DiskSize::To(899).of(900), Err(smaller));
    }

    #[test]
    fn sizes_are_written_in_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (115_343_360, "110.0 MiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (3_758_096_384, "3.5 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
