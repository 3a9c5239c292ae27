//! What was made of an image.

use std::sync::Arc;

use audit::Finding;
use customize::{FileLabel, Room};
use guest::diff::BlockAccount;
use guest::{OperatingSystem, Packages, Time};
use image::{Edited, Written};
use serde::Serialize;

use crate::comparison::Comparison;

/// What was made. Sizes are in bytes; as JSON, this is what `--json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The image, as the user calls it.
    pub output: String,
    /// The image that it was made from: its name, or the file as the user calls it.
    pub base: String,
    /// The size of that image's file.
    pub base_file_size_bytes: u64,
    /// Whether nothing was written: it is what would be made.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The image's format: `qcow2`.
    pub format: String,
    /// The file that the image is a difference to, as it names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backing_file: Option<String>,
    /// The file's size; none where nothing was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size_bytes: Option<u64>,
    /// The disk's size.
    pub virtual_size_bytes: u64,
    /// What grew, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grown: Option<Grown>,
    /// What each operation came to, in their order.
    pub operations: Vec<customize::Report>,
    /// What that takes of the guest's file systems.
    pub room: Vec<Room>,
    /// The labels for SELinux that new files got, as the guest's policy says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<FileLabel>,
    /// The packages that had to be installed in the end, and are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept_packages: Vec<String>,
    /// The file systems that were changed and then checked, before the image got its name.
    pub checked: Vec<String>,
    /// Every block that changed, accounted for.
    pub changed: BlockAccount,
    /// What differs, path by path, where that was asked for; `imgraft report --json` prints it.
    #[serde(skip)]
    pub comparison: Option<Arc<Comparison>>,
    /// What the new guest has, where somebody wants to know it.
    #[serde(skip)]
    pub inventory: Option<Inventory>,
    /// What was read of the host for it, where somebody wants to know it.
    #[serde(skip)]
    pub read: Vec<customize::ReadFile>,
    /// The documents about the image that were written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<String>,
    /// What may not be what is wanted.
    pub warnings: Vec<String>,
    /// What was put and does not fit the guest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fit: Vec<Finding>,
    /// What was left in the guest that the base does not have, and that no image should have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hygiene: Vec<Finding>,
    /// What became of a file that changed in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_place: Option<InPlace>,
    /// What had to be copied of an image that changed in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copied_bytes: Option<u64>,
    /// The file's SHA-256, where it was built twice or has a file beside it that says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether it was built twice, and is the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reproducible: bool,
    /// The file beside the image that says its SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum_file: Option<String>,
    /// What the file consists of, if it is a qcow2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clusters: Option<Clusters>,
}

impl Report {
    /// Whether there was nothing to do, and nothing was written.
    pub fn is_unchanged(&self) -> bool {
        !self.dry_run && self.file_size_bytes.is_none()
    }

    /// Whether disk and root are as large as they were.
    pub(crate) fn has_grown_nothing(&self) -> bool {
        self.grown.as_ref().is_some_and(|grown| !grown.disk_bytes.is_change() && !grown.root_bytes.is_change())
    }
}

/// What a new guest has.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// Its operating system, where it says so.
    pub system: Option<OperatingSystem>,
    /// Its packages.
    pub packages: Packages,
    /// The time of what is new in it: that of the job, or the last one at which the root was written to.
    pub time: Option<Time>,
}

/// What grew.
#[derive(Clone, Debug, Serialize)]
pub struct Grown {
    /// The disk.
    pub disk_bytes: Change,
    /// The root's partition and file system, for people.
    pub root: String,
    /// The root's file system.
    pub root_bytes: Change,
}

/// A number before and after.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Change {
    /// Before.
    pub from: u64,
    /// After.
    pub to: u64,
}

impl Change {
    /// Whether they differ.
    pub fn is_change(self) -> bool {
        self.from != self.to
    }
}

/// What a new qcow2 file consists of, in clusters of the disk.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Clusters {
    /// Those that a new file has from its base, as they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<u64>,
    /// Those that were compressed.
    pub compressed: u64,
    /// Those that were not.
    pub plain: u64,
    /// Those that read as zeros and take no room.
    pub zero: u64,
}

impl Clusters {
    pub(crate) fn of(written: &Written) -> Self {
        Self {
            kept: Some(written.clusters_kept),
            compressed: written.clusters_compressed,
            plain: written.clusters_plain,
            zero: written.clusters_zero,
        }
    }

    pub(crate) fn of_edit(edited: &Edited) -> Self {
        Self {
            kept: None,
            compressed: edited.clusters_compressed,
            plain: edited.clusters_plain,
            zero: edited.clusters_zero,
        }
    }
}

/// A qcow2 file that changed in place. Host clusters are the file's, its tables included.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct InPlace {
    /// The file's size before.
    pub old_file_size_bytes: u64,
    /// Clusters of the file that were free and are used now.
    pub host_clusters_reused: u64,
    /// Clusters that the file grew by.
    pub host_clusters_appended: u64,
    /// Clusters of the file that are free now.
    pub host_clusters_freed: u64,
}

impl InPlace {
    pub(crate) fn of(edited: &Edited) -> Self {
        Self {
            old_file_size_bytes: edited.old_file_size_bytes,
            host_clusters_reused: edited.host_clusters_reused,
            host_clusters_appended: edited.host_clusters_appended,
            host_clusters_freed: edited.host_clusters_freed,
        }
    }
}
