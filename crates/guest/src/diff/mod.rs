//! Comparing two disks: path by path, and what is outside file systems.
//!
//! Compared is what a mount would show, after the replay of a journal that was left dirty. Some things are left out:
//! times of access, of change and of creation, as any use changes them, and sizes and link counts of directories, as
//! they follow from what is in the directory.
//!
//! # From bytes to paths: an example
//!
//! The example image of the [crate's documentation](crate) gets a line in `/etc/hosts`. The steps of a comparison, and
//! of the account of blocks after it:
//!
//! 1. [`differing()`] finds the sectors of the two disks that are not the same. A block of 4096 bytes with new
//!    content differs in the sectors that were written to; so do the inode, a bitmap and the super block.
//! 2. The ranges in partition 1, which begins at byte 1,074,790,400, are counted from there. The other partitions
//!    have none, and are skipped.
//! 3. [`diff()`] asks the file system which inodes have something in these ranges
//!    ([`may_differ`](crate::FileSystem::may_differ)), walks through both trees, and compares the others by number only.
//!    It reports that `/etc/hosts` has another content.
//! 4. [`account_for_listed`] asks the file system to explain each differing block by a listed file
//!    ([`account`](crate::FileSystem::account)): one block of data, some of metadata, and nothing that is unexplained.
//!
//! A build proves in the same way that it changed nothing else, only that [`account_for_edits`] takes the files that
//! edits were about in place of those that a comparison lists.

mod account;
mod content;
mod places;
pub(crate) mod ranges;
pub(crate) mod touched;
mod tree;

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use partition::Table;
use serde::Serialize;
use storage::{ReadAt, WriteAt};

use crate::error::Error;
use crate::file_system::{KINDS, Kind};
use crate::guest::{Guest, open_volumes_with};
use crate::metadata::FileKind;
use crate::modify::Xattrs;
use crate::path::GuestPath;
use crate::volume::Volume;

pub use account::{
    Accounted, Asked, BlockAccount, Count, Expected, Explanation, UnexplainedPlace, VolumeAccount, account_for_edits,
    account_for_listed,
};
pub(crate) use account::{names_of, past_the_end};
pub use places::{OutsideChange, Property, TableChange, VolumeChange};
pub use ranges::{differing, union, without};
pub use touched::Listed;
pub use tree::{Facts, ImageFile, PathChange, PathChangeKind};

/// The unit in which bytes outside file systems are counted, and those of a FAT.
pub(crate) const SECTOR_BYTES: u64 = 512;

/// Which of two disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The disk as it was.
    Base,
    /// The disk as it is.
    Image,
}

/// A disk that is compared.
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
    /// [`Error::Storage`] and [`Error::Partition`], and [`Error::FileSystem`] if the host could not read.
    pub fn open(disk: Arc<dyn WriteAt>) -> Result<Self, Error> {
        Self::open_with(disk, KINDS)
    }

    /// Does the same as [`open`](Self::open) with another list of the kinds of file systems.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(disk: Arc<dyn WriteAt>, kinds: &'static [Kind]) -> Result<Self, Error> {
        let content = match Guest::open_with(Arc::clone(&disk), kinds) {
            Ok(guest) => Content::Guest(Box::new(guest)),
            Err(error @ (Error::Storage(_) | Error::Partition(_))) => return Err(error),
            Err(_) => Content::Volumes(open_volumes_with(&disk, kinds)?),
        };
        let table = partition::read(&disk)?;
        Ok(Self { disk, table, content })
    }

    /// The partitions and logical volumes, or the whole disk.
    pub fn volumes(&self) -> &[Volume] {
        match &self.content {
            Content::Guest(guest) => guest.volumes(),
            Content::Volumes(volumes) => volumes,
        }
    }

    /// What [`Facts`] do not say of a file of this disk, which is the image of a comparison: the content of a regular file
    /// goes to `content`, and extended attributes, by name, and the flags of the file system are returned.
    ///
    /// # Errors
    ///
    /// [`Error::FileSystem`] if it cannot be read.
    pub fn contents(&self, file: &ImageFile, content: &mut dyn Write) -> Result<(Xattrs, u32), Error> {
        let Some(volume) = self.volumes().get(file.volume) else { return Ok(Default::default()) };
        let Some(file_system) = volume.file_system() else { return Ok(Default::default()) };
        let mut read = || {
            let metadata = file_system.metadata(&file.node)?;
            if metadata.kind == FileKind::Regular {
                // A digest takes all that it is given.
                let _ = file_system.read_to(&file.node, metadata.size_bytes, content)?;
            }
            let xattrs = file_system.xattrs(&file.node)?;
            Ok((xattrs, file_system.extras(&file.node)?.flags))
        };
        read().map_err(|error| volume.failed(error))
    }

    fn volumes_mut(&mut self) -> &mut [Volume] {
        match &mut self.content {
            Content::Guest(guest) => &mut guest.volumes,
            Content::Volumes(volumes) => volumes,
        }
    }

    /// The guest, if there is one.
    pub fn guest(&self) -> Option<&Guest> {
        match &self.content {
            Content::Guest(guest) => Some(guest),
            Content::Volumes(_) => None,
        }
    }

    /// The first mount point of a volume, if there is a guest that mounts it.
    pub fn mount_point(&self, volume: usize) -> Option<GuestPath> {
        self.guest()?.mount_points(volume).into_iter().next()
    }

    /// Finishes deletions that were left unfinished, in those file systems in which `like` has finished them.
    ///
    /// # Errors
    ///
    /// [`Error::FileSystem`].
    pub fn recover_like(&mut self, like: &Guest) -> Result<(), Error> {
        let like = like.volumes();
        for volume in self.volumes_mut() {
            let other = like.iter().find(|other| is_same_place(other, volume));
            let is_finished = other.and_then(Volume::file_system).is_some_and(|other| !other.has_orphans());
            if let Some(file_system) = volume.file_system_mut()
                && is_finished
                && file_system.has_orphans()
            {
                file_system.allow_errors();
                file_system.recover().map_err(|error| volume.failed(error))?;
            }
        }
        Ok(())
    }
}

/// Whether two volumes have the same number in their partition tables, or the same name as logical volumes.
pub fn is_same_place(one: &Volume, other: &Volume) -> bool {
    one.place() == other.place()
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
/// `differing` are the byte ranges in which the disks differ, as [`differing()`] finds them. Files that have nothing in
/// them are not read.
///
/// # Errors
///
/// If something cannot be read that does not belong to one file. A file that cannot be compared is reported.
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
    let within = one.within_both(two, differing);
    if within.as_ref().is_some_and(Vec::is_empty) && one.size_bytes() == two.size_bytes() {
        return Ok(());
    }
    let change = VolumeChange::between(one, two, within.as_deref())?;
    if let Some(change) = change {
        report(Found::Volume(change));
    }
    let (Some(old), Some(new)) = (one.file_system(), two.file_system()) else { return Ok(()) };
    let mount_point = image.mount_point(image_index).or_else(|| base.mount_point(base_index));
    let compared = tree::Comparison::new(old, new, within.as_deref());
    let mut compared = compared.map_err(|error| two.failed(error))?;
    compared.run(two, mount_point.as_ref(), &mut |change| {
        listed.note([base_index, image_index], [old, new], &change);
        let file = change.image.map(|node| ImageFile { volume: image_index, node });
        report(Found::Path(PathChange { file, ..change.change }));
    });
    Ok(())
}

/// Fills `bytes` from `offset` on; what is past the end of `disk` is zeros.
fn read_padded(disk: &dyn ReadAt, offset: u64, bytes: &mut [u8]) -> storage::Result<()> {
    let inside = disk.size_bytes().saturating_sub(offset).min(bytes.len() as u64) as usize;
    let (there, past) = bytes.split_at_mut(inside);
    past.fill(0);
    if there.is_empty() { Ok(()) } else { disk.read_at(offset, there) }
}
