//! Two disks compared: path by path, and what is outside file systems.
//!
//! What is compared is what a mount would show: a journal that was left dirty has been replayed. Times of
//! access, of change and of creation are not compared, nor are the sizes and link counts of directories:
//! the first come with any use, the others follow from what is in a directory.

mod account;
mod content;
mod fat_account;
mod places;
mod ranges;
pub(crate) mod touched;
mod tree;

use std::ops::Range;
use std::sync::Arc;

use partition::{Partition, Table};
use serde::Serialize;
use storage::{ReadAt, WriteAt};

use crate::error::Error;
use crate::file_system::FileSystem;
use crate::guest::{Guest, open_volumes};
use crate::path::GuestPath;
use crate::volume::Volume;

pub use account::{Asked, BlockAccount, Count, UnexplainedPlace, VolumeAccount, account_for_edits, account_for_listed};
pub use places::{OutsideChange, Property, TableChange, VolumeChange};
pub use ranges::{differing, union, without};
pub use touched::Listed;
pub use tree::{Facts, PathChange, PathChangeKind};

/// Which of two disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The one that is compared with.
    Base,
    /// The one that is asked about.
    Image,
}

/// A disk as it is compared.
pub struct View {
    disk: Arc<dyn WriteAt>,
    table: Table,
    content: Content,
}

enum Content {
    Guest(Box<Guest>),
    Volumes(Vec<Volume>),
}

impl View {
    /// Opens what is on `disk`, whether or not there is a guest.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] and [`Error::Partition`], and what the host says.
    pub fn open(disk: Arc<dyn WriteAt>) -> Result<Self, Error> {
        let content = match Guest::open(Arc::clone(&disk)) {
            Ok(guest) => Content::Guest(Box::new(guest)),
            Err(error @ (Error::Storage(_) | Error::Partition(_))) => return Err(error),
            Err(_) => Content::Volumes(open_volumes(&disk)?),
        };
        let table = partition::read(&disk)?;
        Ok(Self { disk, table, content })
    }

    /// The partitions, or the whole disk.
    pub fn volumes(&self) -> &[Volume] {
        match &self.content {
            Content::Guest(guest) => guest.volumes(),
            Content::Volumes(volumes) => volumes,
        }
    }

    fn volumes_mut(&mut self) -> &mut [Volume] {
        match &mut self.content {
            Content::Guest(guest) => &mut guest.volumes,
            Content::Volumes(volumes) => volumes,
        }
    }

    fn guest(&self) -> Option<&Guest> {
        match &self.content {
            Content::Guest(guest) => Some(guest),
            Content::Volumes(_) => None,
        }
    }

    /// The first mount point of a volume, where there is a guest that mounts it.
    fn mount_point(&self, volume: usize) -> Option<GuestPath> {
        self.guest()?.mount_points(volume).into_iter().next()
    }

    /// Finishes deletions that were left unfinished in the file systems that `like` has them finished in.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn recover_like(&mut self, like: &Guest) -> Result<(), Error> {
        let like = like.volumes();
        for volume in self.volumes_mut() {
            let other = like.iter().find(|other| is_same_place(other, volume));
            let is_finished = other.and_then(Volume::file_system).is_some_and(|other| !other.has_orphans());
            let name = volume.to_string();
            if let crate::volume::Content::FileSystem(file_system) = &mut volume.content
                && is_finished
                && file_system.has_orphans()
            {
                file_system.allow_errors();
                file_system.recover().map_err(|error| Error::FileSystem { volume: name, path: None, error })?;
            }
        }
        Ok(())
    }
}

/// Whether two volumes are in the same slot of their tables.
fn is_same_place(one: &Volume, other: &Volume) -> bool {
    one.partition().map(|partition| partition.number) == other.partition().map(|partition| partition.number)
}

/// What a comparison finds, one by one, in the order of the disk's parts.
#[allow(clippy::large_enum_variant, reason = "told one by one and not kept")]
pub enum Found {
    /// In the partition table.
    Table(TableChange),
    /// In bytes outside partitions.
    Outside(OutsideChange),
    /// In a partition as a whole.
    Volume(VolumeChange),
    /// In a file.
    Path(PathChange),
}

/// Compares two disks and gives `report` every difference.
///
/// `differing` are the byte ranges in which the disks differ, as [`differing()`] finds them: files that are
/// all outside of these are not looked at.
///
/// # Errors
///
/// What cannot be read and is no file's: a file that cannot be compared is reported.
pub fn diff(
    base: &View,
    image: &View,
    differing: &[Range<u64>],
    report: &mut dyn FnMut(Found),
) -> Result<Listed, Error> {
    places::compare_tables(&base.table, &image.table, &mut |change| report(Found::Table(change)));
    places::compare_outside(base, image, differing, &mut |change| report(Found::Outside(change)))?;
    let mut listed = Listed::new(base.volumes().len(), image.volumes().len());
    for (index, volume) in image.volumes().iter().enumerate() {
        let other = base.volumes().iter().position(|other| is_same_place(other, volume));
        match other {
            None => report(Found::Volume(VolumeChange::only(volume, Side::Image))),
            Some(other) => compare_volumes(base, other, image, index, differing, &mut listed, report)?,
        }
    }
    for volume in base.volumes() {
        if !image.volumes().iter().any(|other| is_same_place(other, volume)) {
            report(Found::Volume(VolumeChange::only(volume, Side::Base)));
        }
    }
    Ok(listed)
}

fn compare_volumes(
    base: &View,
    base_index: usize,
    image: &View,
    image_index: usize,
    differing: &[Range<u64>],
    listed: &mut Listed,
    report: &mut dyn FnMut(Found),
) -> Result<(), Error> {
    let (one, two) = (&base.volumes()[base_index], &image.volumes()[image_index]);
    let within = ranges_of(one, two, differing);
    if within.as_ref().is_some_and(Vec::is_empty) && one.size_bytes() == two.size_bytes() {
        return Ok(());
    }
    let change = VolumeChange::between(base, one, image, two, within.as_deref())?;
    if let Some(change) = change {
        report(Found::Volume(change));
    }
    let (Some(old), Some(new)) = (one.file_system(), two.file_system()) else { return Ok(()) };
    let mount_point = image.mount_point(image_index).or_else(|| base.mount_point(base_index));
    let mut compared = tree::Comparison::new(old, new, within.as_deref()).map_err(|error| Error::FileSystem {
        volume: two.to_string(),
        path: None,
        error,
    })?;
    compared.run(two, mount_point.as_ref(), &mut |change| {
        listed.note(base_index, image_index, &change);
        report(Found::Path(change.change));
    });
    Ok(())
}

/// The differing ranges in two partitions, counted from their beginning; `None` where these do not lie in
/// the same place.
fn ranges_of(one: &Volume, two: &Volume, differing: &[Range<u64>]) -> Option<Vec<Range<u64>>> {
    let (one, two) = (place_of(one), place_of(two));
    (one.start == two.start).then(|| relative(differing, &(two.start..one.end.max(two.end))))
}

/// Where a volume is on its disk.
fn place_of(volume: &Volume) -> Range<u64> {
    let first = volume.partition().map_or(0, |partition| partition.first_byte);
    first..first.saturating_add(volume.size_bytes())
}

/// The parts of sorted `ranges` that are in `place`, counted from its beginning.
fn relative(differing: &[Range<u64>], place: &Range<u64>) -> Vec<Range<u64>> {
    let mut within = ranges::clipped(differing, place);
    within.iter_mut().for_each(|range| *range = range.start - place.start..range.end - place.start);
    within
}

/// A partition's name in words.
fn partition_name(partition: &Partition) -> String {
    format!("partition {}", partition.number)
}

/// Fills `bytes` from `offset` on; what is past the end of `disk` is zeros.
fn read_padded(disk: &dyn ReadAt, offset: u64, bytes: &mut [u8]) -> storage::Result<()> {
    let inside = disk.size_bytes().saturating_sub(offset).min(bytes.len() as u64) as usize;
    let (there, past) = bytes.split_at_mut(inside);
    past.fill(0);
    if there.is_empty() { Ok(()) } else { disk.read_at(offset, there) }
}

/// The file system of a volume that has one.
fn ext4_of(volume: &Volume) -> Option<&ext4::FileSystem<crate::volume::Bytes>> {
    match volume.file_system() {
        Some(FileSystem::Ext4(ext4)) => Some(ext4),
        _ => None,
    }
}
