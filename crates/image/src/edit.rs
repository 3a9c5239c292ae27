//! An image changed in its own file, by one write of its header.

use std::ops::Range;

use storage::{ReadAt, Target};

use crate::error::{Error, Result};
use crate::{Image, Kind, Source, WriteOptions, qcow2};

/// The result of an edit in an image's own file.
///
/// Clusters of the disk are the guest's. Host clusters are the file's, including its tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edited {
    /// The file's size in bytes before the edit.
    pub old_file_size_bytes: u64,
    /// The file's size in bytes now. Free clusters at its end are cut off, if the host can do that.
    pub file_size_bytes: u64,
    /// Changed clusters of the disk that are compressed now.
    pub clusters_compressed: u64,
    /// Changed clusters of the disk that are not compressed.
    pub clusters_plain: u64,
    /// Changed clusters of the disk that are all zeros.
    pub clusters_zero: u64,
    /// Host clusters that were free inside the file and are used now.
    pub host_clusters_reused: u64,
    /// Host clusters after the old end of the file that are used now.
    pub host_clusters_appended: u64,
    /// Host clusters that were used and are free now.
    pub host_clusters_freed: u64,
}

/// The result of a repair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// The file's size in bytes before the repair.
    pub old_file_size_bytes: u64,
    /// The file's size in bytes now. Free clusters at its end are cut off.
    pub file_size_bytes: u64,
    /// Host clusters whose refcount was higher than the number of references.
    pub refcounts_lowered: u64,
    /// Host clusters whose refcount was lower than the number of references.
    pub refcounts_raised: u64,
    /// Flags ("copied") that did not match their refcounts.
    pub flags_set_right: u64,
    /// Whether the refcount table or a refcount block had an invalid place.
    pub refcount_table_rebuilt: bool,
    /// Whether the dirty bit was set.
    pub dirty_bit_cleared: bool,
}

impl Repaired {
    /// Whether there was anything to repair.
    pub fn any(&self) -> bool {
        let same = Self {
            old_file_size_bytes: self.file_size_bytes,
            file_size_bytes: self.file_size_bytes,
            ..Self::default()
        };
        *self != same
    }
}

/// Makes `disk` the disk of the qcow2 image `base`, in the image's own file. `disk` differs from the base's disk in the
/// ranges of bytes that `changed` lists, in any order, and may be larger.
///
/// New data and tables are written to clusters that the image does not use, or after the end of the file. Then one
/// write of at most 512 bytes at offset 0, with a sync before and after it, changes the image: before that write the
/// file has the old image, afterwards the new one, even if the power is cut. Clusters that only the old image used are
/// free for the next edit, and free clusters at the file's end are cut off. The image keeps its version, cluster size,
/// compression type, refcount width and internal snapshots, and does not depend on `options.threads`. If the dirty bit
/// is set, the same write corrects the refcounts.
///
/// `target` is the file that `base` was opened on, and nothing else may write to it. After a success or
/// [`Error::Undecided`], `base` must not be used any more. `progress` gets the bytes of the disk that are done, and
/// their total.
///
/// # Errors
///
/// [`Error::Unsupported`] for an image that would not be right afterwards (persistent bitmaps) and for other formats,
/// [`Error::Corrupt`] and [`Error::Truncated`] for an image that is damaged or has refcounts that are too low
/// ([`repair`] it first), [`Error::Storage`] if reading or writing fails or `changed` is not inside the disk. After
/// each of these the file has the old image. After [`Error::Undecided`], when the write of the header or the sync after
/// it failed, it has the old image or the new one.
///
/// # Panics
///
/// If `disk` is smaller than `base`.
pub fn edit(
    base: &Image,
    disk: &dyn ReadAt,
    changed: &[Range<u64>],
    target: &dyn Target,
    options: &WriteOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Edited> {
    Source::edited(base, disk, changed).validate()?;
    match &base.kind {
        Kind::Qcow2(base) => qcow2::edit(base, disk, changed, target, options, progress),
        _ => Err(Error::unsupported(format!("changing a {} image in its own file", base.info().format))),
    }
}

/// Corrects the refcounts of the image `base` and the flags that depend on them, clears the dirty bit and cuts off free
/// clusters at the file's end. Afterwards the image's check and `qemu-img check` find nothing. The disk does not change.
///
/// The new refcounts are written to clusters that nothing refers to, and one write of the header makes them the
/// image's, as in [`edit`]. If nothing is wrong, nothing is written. Images of other formats have nothing to repair.
///
/// # Errors
///
/// [`Error::Corrupt`] for damage that new refcounts cannot repair: tables that overlap, entries that point outside the
/// file or break the format's rules. [`Error::Unsupported`] for more references than fit the refcounts' width.
/// [`Error::Storage`] as for [`edit`].
pub fn repair(base: &Image, target: &dyn Target) -> Result<Repaired> {
    match &base.kind {
        Kind::Qcow2(base) => qcow2::repair(base, target),
        _ => {
            let size = base.info().file_size_bytes;
            Ok(Repaired { old_file_size_bytes: size, file_size_bytes: size, ..Repaired::default() })
        }
    }
}
