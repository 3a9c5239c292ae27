//! Two disks compared, for a report.

use std::ops::Range;

use customize::PackageChanges;
use guest::diff::{self, Found, Listed, OutsideChange, PathChange, TableChange, View, VolumeChange, is_same_place};
use guest::{Place, Printable, Volume};
use serde::Serialize;

use crate::report::Change;
use crate::state::FileState;

/// How many columns a map of a disk has.
const COLUMNS: u64 = 1000;

/// What differs between two disks, and how much room there was and is.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The disks' sizes.
    pub disk_bytes: Change,
    /// The guest's operating system, as it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The partitions of either disk, in the order of the disk.
    pub partitions: Vec<PartitionChange>,
    /// Where on the disk bytes differ.
    pub map: DiskMap,
    /// The packages that differ; `None` if imgraft cannot read a list of theirs.
    pub packages: Option<PackageChanges>,
    /// What differs in the disks.
    #[serde(flatten)]
    pub differences: Differences,
    /// What each path of the differences is now, where that was asked for.
    #[serde(skip)]
    pub states: Vec<Option<FileState>>,
}

/// What a comparison found, by the place that it is in.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Differences {
    /// In the partition table.
    pub partition_table: Vec<TableChange>,
    /// Outside partitions.
    pub outside: Vec<OutsideChange>,
    /// In partitions as a whole.
    pub volumes: Vec<VolumeChange>,
    /// In files.
    pub paths: Vec<PathChange>,
}

/// A partition or a logical volume before and after.
#[derive(Clone, Debug, Serialize)]
pub struct PartitionChange {
    /// Its number; `None` for a logical volume and for a whole disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// The name of a logical volume: `vg0/root`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logical_volume: Option<String>,
    /// The partition and its file system, for people.
    pub name: String,
    /// What the file system is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_system: Option<&'static str>,
    /// The file system's label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What the partition is for, as the table says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// Where the guest mounts it first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mounted_at: Option<String>,
    /// How it was, if it was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Extent>,
    /// How it is, if it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Extent>,
    /// The bytes in it that differ, in whole sectors.
    pub changed_bytes: u64,
}

/// Where a partition is on its disk, and what of it is in use.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Extent {
    /// Offset of its first byte.
    pub first_byte: u64,
    /// Its size.
    pub size_bytes: u64,
    /// Whether it is in several parts of the disk, as a logical volume can be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_in_parts: bool,
    /// What its file system has in use, if imgraft can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
    /// What is free in its file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
}

/// How many bytes differ in each part of a disk.
#[derive(Clone, Debug, Serialize)]
pub struct DiskMap {
    /// The size of a part.
    pub column_bytes: u64,
    /// The bytes that differ in each.
    pub changed_bytes: Vec<u64>,
}

impl Comparison {
    /// Compares two disks that differ in `differing`.
    ///
    /// # Errors
    ///
    /// If something cannot be read that does not belong to one file.
    pub fn of(
        base: &View,
        image: &View,
        disk_bytes: Change,
        differing: &[Range<u64>],
    ) -> Result<(Self, Listed), guest::Error> {
        let mut differences = Differences::default();
        let listed = diff::diff(base, image, differing, &mut |found| differences.keep(found))?;
        let guests = base.guest().zip(image.guest());
        // What cannot be read was said when the guest was opened; a list of packages is not worth a failure.
        let packages = guests.and_then(|(base, image)| PackageChanges::between(base, image).ok().flatten());
        let system = image.guest().and_then(|guest| guest.operating_system().ok());
        let comparison = Self {
            disk_bytes,
            system: system.map(|system| Printable(system.name.as_bytes()).to_string()),
            partitions: partitions(base, image, differing),
            map: DiskMap::of(disk_bytes.from.max(disk_bytes.to), differing),
            packages,
            differences,
            states: Vec::new(),
        };
        Ok((comparison, listed))
    }
}

impl Differences {
    /// Adds what was found to where it belongs.
    pub fn keep(&mut self, found: Found) {
        match found {
            Found::Table(change) => self.partition_table.push(change),
            Found::Outside(change) => self.outside.push(change),
            Found::Volume(change) => self.volumes.push(change),
            Found::Path(change) => self.paths.push(change),
        }
    }
}

impl DiskMap {
    fn of(disk_bytes: u64, differing: &[Range<u64>]) -> Self {
        let column_bytes = disk_bytes.div_ceil(COLUMNS).max(1);
        let mut changed_bytes = vec![0; disk_bytes.div_ceil(column_bytes) as usize];
        for range in differing {
            let mut at = range.start;
            // A step a column: no more than there are columns.
            while at < range.end {
                let column = at / column_bytes;
                let Some(changed) = changed_bytes.get_mut(column as usize) else { break };
                let end = range.end.min((column + 1) * column_bytes);
                *changed += end - at;
                at = end;
            }
        }
        Self { column_bytes, changed_bytes }
    }
}

impl Extent {
    fn of(volume: &Volume) -> Self {
        let space = volume.file_system().and_then(|file_system| file_system.free_space().ok());
        Self {
            first_byte: volume.first_byte(),
            size_bytes: volume.size_bytes(),
            is_in_parts: volume.is_in_parts(),
            used_bytes: space.map(|space| space.size_bytes().saturating_sub(space.free_bytes())),
            free_bytes: space.map(|space| space.free_bytes()),
        }
    }
}

/// The partitions of both disks, those of the image by what they are there.
fn partitions(base: &View, image: &View, differing: &[Range<u64>]) -> Vec<PartitionChange> {
    let of = |view: &View, index: usize, other: Option<&Volume>, is_image: bool| {
        let volume = &view.volumes()[index];
        let (this, other) = (Extent::of(volume), other.map(Extent::of));
        let (base, image) = if is_image { (other, Some(this)) } else { (Some(this), None) };
        let label = volume.file_system().map(|file_system| Printable(file_system.label()).to_string());
        PartitionChange {
            number: volume.partition().map(|partition| partition.number),
            logical_volume: match volume.place() {
                Place::LogicalVolume(name) => Some(name.to_string()),
                Place::Disk | Place::Partition(_) => None,
            },
            name: volume.to_string(),
            file_system: volume.kind(),
            label: label.filter(|label| !label.is_empty()),
            r#type: volume.partition().map(|partition| match partition.kind.name() {
                Some(name) => name.to_owned(),
                None => partition.kind.to_string(),
            }),
            mounted_at: view.mount_point(index).map(|path| path.to_string()),
            base,
            image,
            changed_bytes: volume.within(differing).iter().map(|range| range.end - range.start).sum(),
        }
    };
    let mut partitions: Vec<PartitionChange> = Vec::new();
    for (index, volume) in image.volumes().iter().enumerate() {
        let old = base.volumes().iter().find(|old| is_same_place(old, volume));
        partitions.push(of(image, index, old, true));
    }
    for (index, volume) in base.volumes().iter().enumerate() {
        if !image.volumes().iter().any(|new| is_same_place(new, volume)) {
            partitions.push(of(base, index, None, false));
        }
    }
    partitions.sort_by_key(|partition| partition.image.or(partition.base).map(|extent| extent.first_byte));
    partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_each_byte_that_differs_in_its_column() {
        // Columns of 10 bytes.
        let map = DiskMap::of(10_000, &[0..1, 5..25, 9_990..10_000]);
        assert_eq!((map.column_bytes, map.changed_bytes.len()), (10, 1000));
        assert_eq!((&map.changed_bytes[..4], map.changed_bytes[999]), (&[6, 10, 5, 0][..], 10));
        assert_eq!(map.changed_bytes.iter().sum::<u64>(), 31);
        // A disk of a few bytes, a range past the end.
        let map = DiskMap::of(3, &[1..2, 2..9]);
        assert_eq!((map.column_bytes, &map.changed_bytes[..]), (1, &[0, 1, 1][..]));
        assert!(DiskMap::of(0, &[0..5, 6..7]).changed_bytes.is_empty());
    }
}
