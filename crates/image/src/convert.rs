//! A new file in any of the formats that are written.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::str::FromStr;

use storage::{Extended, Operation, ReadAt, check_range};

use crate::claim::refuse_false_claims;
use crate::error::{Error, Result};
use crate::{BackingName, CompressionType, Image, Info, Kind, WriteOptions, Written, gce, qcow2, raw, vhd, vmdk};

/// What a new file is made from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub(crate) disk: &'a dyn ReadAt,
    /// The image that `disk` is an edit of. Its clusters may be copied without decompressing them.
    pub(crate) base: Option<&'a Image>,
    /// The ranges of bytes in which `disk` differs from `base`.
    pub(crate) changed: &'a [Range<u64>],
    /// Whether clusters of the base are copied even if they are not stored as new ones are to be.
    pub(crate) keeps_all: bool,
}

impl<'a> Source<'a> {
    /// The bytes of `disk`, wherever they come from.
    pub fn disk(disk: &'a dyn ReadAt) -> Self {
        Self { disk, base: None, changed: &[], keeps_all: false }
    }

    /// The disk of `image`, without its internal snapshots and bitmaps. Its clusters are copied without decompressing
    /// them if they are stored as new ones are to be: all compressed, or none.
    pub fn image(image: &'a Image) -> Self {
        Self { disk: image, base: Some(image), changed: &[], keeps_all: false }
    }

    /// `disk`, which is an edit of `base`: it may differ in the ranges of bytes that `changed` lists, in any order.
    /// Bytes after the base's end that are not in these ranges are zeros. Clusters of the base are copied without
    /// decompressing them wherever that is possible.
    pub fn edited(base: &'a Image, disk: &'a dyn ReadAt, changed: &'a [Range<u64>]) -> Self {
        Self { disk, base: Some(base), changed, keeps_all: true }
    }

    /// Refuses an edited image that has something that the new one would lose.
    pub(crate) fn refuse_losses(&self) -> Result<()> {
        match self.base {
            Some(Image { kind: Kind::Qcow2(base) }) if self.keeps_all => base.refuse_losses(),
            _ => Ok(()),
        }
    }

    /// Refuses ranges that are not inside the disk, and a base that claims more than its file can hold.
    ///
    /// # Panics
    ///
    /// If the disk is smaller than the base.
    pub(crate) fn validate(&self) -> Result<()> {
        let size_bytes = self.disk.size_bytes();
        assert!(self.base.is_none_or(|base| size_bytes >= base.size_bytes()), "the disk is an edit of the base");
        for range in self.changed {
            check_range(Operation::Read, range.start, range.end.saturating_sub(range.start), size_bytes)?;
        }
        self.base.map_or(Ok(()), refuse_false_claims)
    }
}

/// The format of a new file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Container {
    /// The disk byte for byte, with holes for zeros.
    Raw,
    /// QEMU's format.
    Qcow2(Qcow2Options),
    /// VMware's format as a compressed stream, `streamOptimized`.
    Vmdk,
    /// A fixed VHD, which Azure takes, with zeros after the disk up to a whole number of MiB.
    Vhd {
        /// When the disk was made, in seconds since 1970.
        time: i64,
    },
    /// The archive that Google Compute Engine takes: `disk.raw` in a tar file, compressed with gzip, with
    /// zeros after the disk up to a whole number of GiB.
    Gce {
        /// The time of the file in the archive, in seconds since 1970.
        time: i64,
    },
}

impl Container {
    /// The size of the disk in the container where the source's has `size_bytes` bytes.
    pub fn disk_size_bytes(&self, size_bytes: u64) -> u64 {
        let unit_bytes = match self {
            Self::Raw | Self::Qcow2(_) => return size_bytes,
            Self::Vmdk => vmdk::SIZE_UNIT_BYTES,
            Self::Vhd { .. } => vhd::SIZE_UNIT_BYTES,
            Self::Gce { .. } => gce::SIZE_UNIT_BYTES,
        };
        // A size that overflows is too large for each of these formats, and is refused later.
        size_bytes.checked_next_multiple_of(unit_bytes).unwrap_or(size_bytes)
    }
}

/// An unknown name of a format, a version or a compression type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct UnknownName {
    text: String,
    /// What it should be, and the known names.
    expected: &'static str,
}

fn named<T>(text: &str, found: Option<T>, expected: &'static str) -> std::result::Result<T, UnknownName> {
    found.ok_or_else(|| UnknownName { text: text.to_owned(), expected })
}

/// By the format's name, with the usual options and the time 0.
impl FromStr for Container {
    type Err = UnknownName;

    fn from_str(text: &str) -> std::result::Result<Self, UnknownName> {
        let found = match text {
            "raw" => Some(Self::Raw),
            "qcow2" => Some(Self::Qcow2(Qcow2Options::default())),
            "vmdk" => Some(Self::Vmdk),
            "vhd" => Some(Self::Vhd { time: 0 }),
            "gce" => Some(Self::Gce { time: 0 }),
            _ => None,
        };
        named(text, found, "a format that is written: raw, qcow2, vmdk, vhd or gce")
    }
}

/// By the format's name.
impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Qcow2(_) => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd { .. } => "vhd",
            Self::Gce { .. } => "gce",
        })
    }
}

/// By QEMU's names, `0.10` and `1.1`, or `v2` and `v3`, which it knows, too.
impl FromStr for Compat {
    type Err = UnknownName;

    fn from_str(text: &str) -> std::result::Result<Self, UnknownName> {
        let found = match text {
            "0.10" | "v2" => Some(Self::V2),
            "1.1" | "v3" => Some(Self::V3),
            _ => None,
        };
        named(text, found, "a version of qcow2: 0.10 or 1.1")
    }
}

impl FromStr for CompressionType {
    type Err = UnknownName;

    fn from_str(text: &str) -> std::result::Result<Self, UnknownName> {
        let found = [Self::Zlib, Self::Zstd].into_iter().find(|kind| kind.to_string() == text);
        named(text, found, "a compression type: zlib or zstd")
    }
}

/// The version of a new qcow2 file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// Version 2, `compat=0.10`: for readers from before 2012.
    V2,
    /// Version 3, `compat=1.1`.
    #[default]
    V3,
}

/// The properties of a new qcow2 file. Its refcounts have 16 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qcow2Options {
    /// The version.
    pub compat: Compat,
    /// Size of a cluster in bytes: a power of two from 512 to 2 MiB.
    pub cluster_size_bytes: u32,
    /// How compressed clusters are compressed. zstd needs [`Compat::V3`].
    pub compression_type: CompressionType,
    /// The backing file of the new file, which then holds only the ranges that are changed in [`Source::edited`]. This
    /// needs [`Compat::V3`].
    pub backing: Option<BackingName>,
}

impl Default for Qcow2Options {
    fn default() -> Self {
        Self {
            compat: Compat::V3,
            cluster_size_bytes: 64 << 10,
            compression_type: CompressionType::Zlib,
            backing: None,
        }
    }
}

impl Qcow2Options {
    /// The options of the image that `info` describes; the defaults if it is not a qcow2.
    pub fn like(info: &Info) -> Self {
        let Some(qcow2) = &info.qcow2 else { return Self::default() };
        Self {
            compat: if qcow2.version == 2 { Compat::V2 } else { Compat::V3 },
            cluster_size_bytes: qcow2.cluster_size_bytes,
            compression_type: qcow2.compression_type,
            backing: None,
        }
    }
}

/// Writes to `target` a new file with the bytes of `source`, in the format `container`.
///
/// `target` must be open for reading and writing; its old content is dropped. The header of an image is written last,
/// so that an incomplete file is not an image. Nothing is synced to disk. The file's bytes do not depend on
/// `options.threads`. `progress` gets the bytes of the disk that are done, and their total.
///
/// # Errors
///
/// [`Error::Unsupported`] for options that exclude each other and if the new file of an edited image would lose
/// something that the base has (internal snapshots, bitmaps), [`Error::Corrupt`] and [`Error::Truncated`] for a table
/// of the base that breaks the rules or claims more data than the file can hold, [`Error::Storage`] if reading or
/// writing fails: [`Error::host_error`] then tells whether the host's disk is full.
///
/// # Panics
///
/// If the source's disk is smaller than its base.
pub fn convert(
    source: &Source<'_>,
    target: &File,
    container: &Container,
    options: &WriteOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Written> {
    source.validate()?;
    let is_overlay = matches!(container, Container::Qcow2(Qcow2Options { backing: Some(_), .. }));
    if !is_overlay {
        source.refuse_losses()?;
    }
    target.set_len(0).map_err(|error| Error::writing(0, 0, error))?;
    match container {
        Container::Raw => raw::write(source, target, options.threads, progress),
        Container::Qcow2(qcow2) => {
            let header = qcow2::Header::new(qcow2, source.disk.size_bytes())?;
            qcow2::write(&header, source, target, options, progress)
        }
        Container::Vmdk => vmdk::write(source, target, options, progress),
        Container::Vhd { time } => {
            let disk = Extended::new(source.disk, container.disk_size_bytes(source.disk.size_bytes()));
            vhd::write(&disk, vhd::new_footer(&disk, *time), target, options.threads, progress)
        }
        Container::Gce { time } => gce::write(source.disk, *time, target, options, progress),
    }
}
