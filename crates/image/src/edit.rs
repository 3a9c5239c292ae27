//! The image's own file, changed by one write of its header.

use std::ops::Range;

use storage::{ReadAt, Target};

use crate::error::{Error, Result};
use crate::{Image, Kind, Source, WriteOptions, qcow2};

/// What an edit did to an image's file.
///
/// Clusters of the disk are the guest's; host clusters are the file's, its tables included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edited {
    /// The file's size in bytes as it was.
    pub old_file_size_bytes: u64,
    /// The file's size in bytes as it is: what is free at the end is cut off, where the host lets it be.
    pub file_size_bytes: u64,
    /// Changed clusters of the disk that are compressed now.
    pub clusters_compressed: u64,
    /// Changed clusters of the disk that are there as they are.
    pub clusters_plain: u64,
    /// Changed clusters of the disk that are all zeros.
    pub clusters_zero: u64,
    /// Host clusters that were free inside the file and are used now.
    pub host_clusters_reused: u64,
    /// Host clusters that are used now behind the old end of the file.
    pub host_clusters_appended: u64,
    /// Host clusters that were used and are free now.
    pub host_clusters_freed: u64,
}

/// What a repair did to an image's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// The file's size in bytes as it was.
    pub old_file_size_bytes: u64,
    /// The file's size in bytes as it is: what is free at the end is cut off.
    pub file_size_bytes: u64,
    /// Host clusters with a higher refcount than there are references.
    pub refcounts_lowered: u64,
    /// Host clusters with a lower refcount than there are references.
    pub refcounts_raised: u64,
    /// Flags ("copied") that did not go with their refcounts.
    pub flags_set_right: u64,
    /// Whether the refcount table or a refcount block was not where it can be.
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

/// Makes `disk` the disk of the qcow2 image `base`, in the image's own file: `disk` is the base's with
/// changes in the ranges of bytes that `changed` lists, in any order, and may be larger than it.
///
/// Everything new goes to clusters that the image does not use, or behind the end of the file. Then
/// one write of at most 512 bytes at offset 0, with a sync before and after it, makes that the image:
/// until then the file has the old image, from then on the new one, whatever happens in between.
/// Clusters that only the old image had are free for the next edit, and a free end is cut off. The
/// image keeps its version, cluster size, compression type, refcount width and internal snapshots,
/// and is the same whatever `options.threads` is. Refcounts of an image with the dirty bit are made
/// right by the same write.
///
/// `target` is the file that `base` was opened on, and nobody else writes to it. After a success or
/// [`Error::Undecided`] `base` must not be used any more. `progress` gets the
/// bytes of the disk that are done and that there are to do.
///
/// # Errors
///
/// [`Error::Unsupported`] for an image that would not be right afterwards (persistent bitmaps) and for
/// other formats, [`Error::Corrupt`] and [`Error::Truncated`] for an image that is not sound, which
/// includes refcounts that are too low: [`repair`] comes first. [`Error::Storage`] where reading or
/// writing fails or `changed` is not inside the disk. The image is the old one after each of these; it is
/// the old one or the new one after [`Error::Undecided`], for the header's write and the sync behind it.
///
/// # Panics
///
/// Where `disk` is smaller than `base`.
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
        _ => Err(Error::unsupported(format!("changing a {} image by one write", base.info().format))),
    }
}

/// Makes the refcounts of the image `base` and the flags that depend on them what the references ask
/// for, clears the dirty bit and cuts off a free end: the image's check and `qemu-img check` find
/// nothing afterwards. The disk stays as it is.
///
/// New refcounts go to clusters that nothing refers to, and become the image's by one write of the
/// header, as in [`edit`]. Without anything to repair nothing is written. Images of other formats have
/// nothing to repair.
///
/// # Errors
///
/// [`Error::Corrupt`] for damage that other refcounts do not make right: tables that overlap, entries
/// that point outside the file or break the format's rules. [`Error::Unsupported`] for more references
/// than the refcounts' width can say. [`Error::Storage`] as for [`edit`].
pub fn repair(base: &Image, target: &dyn Target) -> Result<Repaired> {
    match &base.kind {
        Kind::Qcow2(base) => qcow2::repair(base, target),
        _ => {
            let size = base.info().file_size_bytes;
            Ok(Repaired { old_file_size_bytes: size, file_size_bytes: size, ..Repaired::default() })
        }
    }
}
