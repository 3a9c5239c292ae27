//! A file system made from nothing, with files in its root: their clusters are in a row, so that it is
//! headers and the files' content one after the other.

mod layout;
mod slot;

use std::collections::BTreeSet;
use std::sync::Arc;

use storage::{ReadAt, Sequence};

use crate::boot_sector::FatType;
use crate::{Error, Resource, Time, name};
use layout::{FIRST_CLUSTER, Layout, SECTOR_BYTES};
use slot::SLOT_BYTES;

/// The size of the smallest file system that is made, in bytes.
const MIN_SIZE_BYTES: u64 = 128 << 10;
/// Sizes are multiples of that.
const SIZE_STEP_BYTES: u64 = 64 << 10;

/// What a file system is besides its files.
#[derive(Clone, Copy, Debug)]
pub struct NewVolume<'a> {
    /// Its label: one to eleven characters of ASCII.
    pub label: &'a str,
    /// Its serial number.
    pub serial: u32,
    /// The time of everything in it.
    pub modified: Time,
}

/// A file system with `files` in its root, as large as they need, but at least 128 KiB. The content is
/// not copied, so it must not change as long as the file system is used.
///
/// # Errors
///
/// [`Error::InvalidName`], also of a label; [`Error::Exists`] for names that differ in case alone;
/// [`Error::TooLarge`] for a file of 4 GiB; [`Error::NoSpace`] for more names than a root has slots for.
pub fn create(files: &[(&str, Arc<dyn ReadAt>)], volume: &NewVolume<'_>) -> Result<Sequence, Error> {
    let label = slot::label(volume.label)?;
    check(files)?;
    let layout =
        Layout::for_sizes(files.iter().map(|(_, content)| content.size_bytes()), MIN_SIZE_BYTES, SIZE_STEP_BYTES)?;

    // FAT32's root is the first cluster.
    let mut next = FIRST_CLUSTER + u32::from(layout.fat_type == FatType::Fat32);
    let mut chains = Vec::new();
    let mut root = slot::volume_label(&label, volume.modified);
    let mut aliases = BTreeSet::new();
    for (name, content) in files {
        let clusters = layout.clusters_of(content.size_bytes());
        let first = if clusters == 0 { 0 } else { next };
        chains.extend((clusters > 0).then_some(next..next + clusters));
        next += clusters;
        root.extend(slot::file(name, &mut aliases, first, content.size_bytes() as u32, volume.modified));
    }
    if root.len() as u64 > layout.root_bytes() {
        let (needed, available) = (root.len() as u64 / SLOT_BYTES, layout.root_bytes() / SLOT_BYTES);
        return Err(Error::NoSpace { needed, available, what: Resource::DirectorySlots });
    }
    root.resize(layout.root_bytes() as usize, 0);

    let mut image = Sequence::new();
    image.push_bytes(layout.reserved_sectors(&label, volume.serial, next));
    let table = Arc::new(storage::Memory::from(layout.table(&chains)));
    image.push(Arc::clone(&table) as Arc<dyn ReadAt>);
    image.push(table);
    image.push_bytes(root);
    for (_, content) in files {
        image.push(Arc::clone(content));
        let clusters = layout.clusters_of(content.size_bytes());
        image.push_zeros(u64::from(clusters) * layout.cluster_bytes() - content.size_bytes());
    }
    image.push_zeros(layout.sectors * SECTOR_BYTES - image.size_bytes());
    Ok(image)
}

fn check(files: &[(&str, Arc<dyn ReadAt>)]) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    for (name, content) in files {
        name::to_create(name.as_bytes())?;
        if !names.insert(name.to_lowercase()) {
            return Err(Error::Exists { path: (*name).to_owned() });
        }
        if content.size_bytes() > u64::from(u32::MAX) {
            return Err(Error::TooLarge { size_bytes: content.size_bytes() });
        }
    }
    Ok(())
}
