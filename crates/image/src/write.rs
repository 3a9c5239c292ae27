//! A new file of the base's own format: the base's bytes, and the edited disk's bytes in the changed ranges.

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use storage::ReadAt;

use crate::convert::Source;
use crate::error::{Error, Result};
use crate::{Image, Kind, qcow2, raw, vhd, vmdk};

/// How changed clusters are stored in a qcow2 file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewClusters {
    /// Compressed with the image's compression type, if that makes them smaller.
    Compressed {
        /// 0 to 9 for zlib, 1 to 22 for zstd; for any other number the nearest of these is used.
        level: u32,
    },
    /// Not compressed.
    Plain,
}

impl NewClusters {
    /// The level for a format in which everything is compressed.
    pub(crate) fn level(self) -> u32 {
        match self {
            Self::Compressed { level } => level,
            Self::Plain => 0,
        }
    }
}

/// How a new file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// How changed clusters are stored. A raw file has only plain bytes.
    pub new_clusters: NewClusters,
    /// The number of threads that compress. The file's bytes do not depend on it.
    pub threads: NonZeroUsize,
}

/// What a new file consists of. Grains of a VMDK count as clusters; raw and VHD files have no clusters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The file's size in bytes.
    pub file_size_bytes: u64,
    /// Clusters copied from the base, still compressed if they were.
    pub clusters_kept: u64,
    /// Changed clusters that are compressed now.
    pub clusters_compressed: u64,
    /// Changed clusters that are not compressed.
    pub clusters_plain: u64,
    /// Changed clusters that are all zeros and take no room.
    pub clusters_zero: u64,
}

/// Tells the caller how much is written. Several threads may use it.
pub(crate) struct Progress<'a> {
    callback: &'a (dyn Fn(u64, u64) + Sync),
    done_bytes: Mutex<u64>,
    total_bytes: u64,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(callback: &'a (dyn Fn(u64, u64) + Sync), total_bytes: u64) -> Self {
        callback(0, total_bytes);
        Self { callback, done_bytes: Mutex::new(0), total_bytes }
    }

    pub(crate) fn advance(&self, bytes: u64) {
        // The lock is held for the call, so that the last call has the highest number.
        let mut done_bytes = self.done_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *done_bytes += bytes;
        (self.callback)(*done_bytes, self.total_bytes);
    }

    /// Everything before `offset` is done. Only for work that one thread does alone.
    pub(crate) fn reach(&self, offset: u64) {
        let done_bytes = *self.done_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        self.advance(offset.min(self.total_bytes).saturating_sub(done_bytes));
    }
}

/// Writes to `target` a new image in the base's own format: the base's bytes, except in the ranges of bytes that
/// `changed` lists, in any order, which come from `disk`. The new image is as large as `disk`, which may be larger than
/// the base: bytes after the base's end that are not in `changed` are zeros.
///
/// Unchanged clusters are copied without decompressing them. The file has the base's version, cluster size and
/// compression type, and refcounts of 16 bits; it does not depend on `options.threads`. `target` must be open for
/// reading and writing; its old content is dropped. The header is written last, so that an incomplete file is not an
/// image. Nothing is synced to disk. `progress` gets the bytes of the disk that are done, and their total.
///
/// # Errors
///
/// [`Error::Unsupported`] if the new file would lose something that the base has (internal snapshots, bitmaps),
/// [`Error::Corrupt`] and [`Error::Truncated`] for a table of the base that breaks the rules or claims more data than
/// the file can hold, [`Error::Storage`] if reading or writing fails or `changed` is not inside the disk:
/// [`Error::host_error`] then tells whether the host's disk is full.
///
/// # Panics
///
/// If `disk` is smaller than `base`.
pub fn write(
    base: &Image,
    disk: &dyn ReadAt,
    changed: &[Range<u64>],
    target: &File,
    options: &WriteOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Written> {
    let source = Source::edited(base, disk, changed);
    source.validate()?;
    source.refuse_losses()?;
    target.set_len(0).map_err(|error| Error::writing(0, 0, error))?;
    match &base.kind {
        Kind::Raw(_) => raw::write(&source, target, options.threads, progress),
        Kind::Qcow2(base) => {
            let header = base.header().of_new_file(disk.size_bytes())?;
            qcow2::write(&header, &source, target, options, progress)
        }
        Kind::Vmdk(_) => vmdk::write(&source, target, options, progress),
        Kind::Vhd(vhd) => vhd::write(disk, *vhd.footer(), target, options.threads, progress),
    }
}

/// As [`write()`], to a `target` that already has the bytes of the raw image `base`, for example because it shares the
/// blocks of its file: only the ranges that `changed` lists are written.
///
/// # Errors
///
/// As [`write()`], and [`Error::Unsupported`] if `base` is not raw.
///
/// # Panics
///
/// If `disk` is smaller than `base`.
pub fn write_to_copy(
    base: &Image,
    disk: &dyn ReadAt,
    changed: &[Range<u64>],
    target: &File,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Written> {
    Source::edited(base, disk, changed).validate()?;
    match &base.kind {
        Kind::Raw(raw) => raw::write_to_copy(raw, disk, &merged(changed, 1), target, progress),
        _ => Err(Error::unsupported("writing changes to a copy of an image that is not raw")),
    }
}

/// `ranges` in whole units of `unit` bytes: sorted, not empty, and with a gap between any two.
pub(crate) fn merged(ranges: &[Range<u64>], unit: u64) -> Vec<Range<u64>> {
    let mut units: Vec<Range<u64>> = ranges
        .iter()
        .filter(|range| !range.is_empty())
        .map(|range| range.start / unit..range.end.div_ceil(unit))
        .collect();
    units.sort_unstable_by_key(|range| range.start);
    units.dedup_by(|next, last| {
        let touches = next.start <= last.end;
        if touches {
            last.end = last.end.max(next.end);
        }
        touches
    });
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_become_one() {
        let ranges = [4096..8192, 0..1, 100..100, 70_000..70_001, 8192..8193, 5000..5001];
        assert_eq!(merged(&ranges, 4096), vec![0..3, 17..18]);
        assert_eq!(merged(&ranges, 65536), vec![0..2]);
        assert_eq!(merged(&[], 512), Vec::<Range<u64>>::new());
    }
}
