//! Comparing what is not in a file: the partition table, bytes outside partitions, and file systems as a whole.

use std::ops::Range;

use partition::{Gpt, MbrTable, Table};
use serde::Serialize;
use storage::Printable;

use super::{SECTOR_BYTES, Side, View, differing, ranges};
use crate::error::Error;
use crate::volume::Volume;

/// The size of a GPT's entries: there are 128, of 128 bytes each.
const TABLE_ENTRIES_BYTES: u64 = 16 << 10;

/// A difference in the partition table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableChange {
    /// The partition; `None` if the property is of the table itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// The property that differs.
    #[serde(flatten)]
    pub property: Property,
}

/// A property that differs: its name, how it was and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Property {
    /// Its name: `size`, `label`. Of a super block, the names of its fields.
    pub name: String,
    /// How it was; empty if it is only known that it differs.
    pub base: String,
    /// How it is; empty as well then.
    pub image: String,
}

/// Bytes outside partitions that differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutsideChange {
    /// What they are: `boot sector`, `GPT`, `backup GPT`, `extended boot records`, `between partitions`.
    pub place: &'static str,
    /// Offset on the disk of the first sector that differs, in bytes.
    pub first_byte: u64,
    /// Sectors of 512 bytes that differ.
    pub sectors: u64,
}

/// A difference that concerns a partition as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeChange {
    /// The partition and its file system.
    pub volume: String,
    /// Which disk has it, if only one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_in: Option<Side>,
    /// The properties that differ.
    pub properties: Vec<Property>,
    /// If imgraft cannot read its files: how many sectors of 512 bytes differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sectors: Option<u64>,
}

fn property(name: &str, base: impl ToString, image: impl ToString) -> Option<Property> {
    let (base, image) = (base.to_string(), image.to_string());
    let text = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    (base != image).then(|| Property { name: name.to_owned(), base: text(base), image: text(image) })
}

/// Compares two partition tables, and the partitions that both have.
pub(super) fn compare_tables(base: &Table, image: &Table, report: &mut dyn FnMut(TableChange)) {
    let kind = |table: &Table| match table {
        Table::None => "none",
        Table::Gpt(_) => "gpt",
        Table::Mbr(_) => "mbr",
    };
    let mut own = |property: Option<Property>| {
        property.into_iter().for_each(|property| report(TableChange { partition: None, property }));
    };
    own(property("kind", kind(base), kind(image)));
    match (base, image) {
        (Table::Gpt(base), Table::Gpt(image)) => {
            own(property("disk guid", base.disk_guid, image.disk_guid));
            own(property("sector size", base.sector_size_bytes, image.sector_size_bytes));
            own(property("primary copy", copy(base), copy(image)));
        }
        (Table::Mbr(base), Table::Mbr(image)) => {
            let signature = |mbr: &MbrTable| format!("{:#010x}", mbr.disk_signature);
            own(property("disk signature", signature(base), signature(image)));
        }
        _ => return,
    }
    for new in image.partitions() {
        let Some(old) = base.partition(new.number) else { continue };
        for property in [
            property("first byte", old.first_byte, new.first_byte),
            property("size", old.size_bytes, new.size_bytes),
            property("type", old.kind, new.kind),
            property("guid", &old.partuuid, &new.partuuid),
            property("name", Printable(old.name.as_bytes()), Printable(new.name.as_bytes())),
        ]
        .into_iter()
        .flatten()
        {
            report(TableChange { partition: Some(new.number), property });
        }
    }
}

fn copy(gpt: &Gpt) -> &'static str {
    if gpt.from_backup { "damaged" } else { "whole" }
}

/// Finds bytes that differ and are in no partition of either disk.
pub(super) fn compare_outside(
    base: &View,
    image: &View,
    differing: &[Range<u64>],
    report: &mut dyn FnMut(OutsideChange),
) -> Result<(), Error> {
    let sizes = [base.disk.size_bytes(), image.disk.size_bytes()];
    for (place, ranges) in outside([&base.table, &image.table], sizes, differing) {
        if let Some(first) = ranges.first() {
            report(OutsideChange { place, first_byte: first.start, sectors: sectors(&ranges) });
        }
    }
    Ok(())
}

pub(super) fn sectors(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end.div_ceil(SECTOR_BYTES) - range.start / SECTOR_BYTES).sum()
}

/// The differing ranges that are in no partition of either disk, sorted by what is in them.
pub(super) fn outside(
    tables: [&Table; 2],
    sizes: [u64; 2],
    differing: &[Range<u64>],
) -> Vec<(&'static str, Vec<Range<u64>>)> {
    if let [Table::None, Table::None] = tables {
        return Vec::new();
    }
    let mut partitions: Vec<Range<u64>> = Vec::new();
    let mut sector = SECTOR_BYTES;
    let mut records: Vec<Range<u64>> = Vec::new();
    for table in tables {
        match table {
            Table::None => {}
            Table::Gpt(gpt) => sector = sector.max(u64::from(gpt.sector_size_bytes)),
            Table::Mbr(mbr) => {
                let offsets = mbr.extended_boot_records.iter();
                let of_disk: Vec<Range<u64>> = offsets.map(|&offset| offset..offset + SECTOR_BYTES).collect();
                records.extend(of_disk);
            }
        }
        let of_disk =
            table.partitions().iter().map(|one| one.first_byte..one.first_byte.saturating_add(one.size_bytes));
        let mut of_disk: Vec<Range<u64>> = of_disk.collect();
        of_disk.sort_by_key(|range| range.start);
        partitions = ranges::union(&partitions, &of_disk);
    }
    let left = ranges::without(differing, &partitions);
    if let [Table::Mbr(_), Table::Mbr(_)] = tables {
        records.sort_by_key(|range| (range.start, range.end));
        records.dedup();
        let boot = std::slice::from_ref(&(0..SECTOR_BYTES));
        let clip = |bounds: &[Range<u64>]| bounds.iter().flat_map(|bounds| ranges::clipped(&left, bounds)).collect();
        return vec![
            ("boot sector", clip(boot)),
            ("extended boot records", clip(&records)),
            ("between partitions", ranges::without(&left, &ranges::union(boot, &records))),
        ];
    }
    let table = |size: u64| size.saturating_sub(sector + TABLE_ENTRIES_BYTES)..size;
    let mut ends = sizes.map(table);
    ends.sort_by_key(|range| range.start);
    let backups = ranges::union(&ends[..1], &ends[1..]);
    let start = 2 * sector + TABLE_ENTRIES_BYTES;
    let clip = |bounds: &[Range<u64>]| -> Vec<Range<u64>> {
        bounds.iter().flat_map(|bounds| ranges::clipped(&left, bounds)).collect()
    };
    let (boot, gpt) = (0..SECTOR_BYTES, SECTOR_BYTES..start);
    let named = ranges::union(&[boot.clone(), gpt.clone()], &backups);
    vec![
        ("boot sector", clip(&[boot])),
        ("GPT", clip(&[gpt])),
        ("backup GPT", ranges::without(&clip(&backups), std::slice::from_ref(&(0..start)))),
        ("between partitions", ranges::without(&left, &named)),
    ]
}

impl VolumeChange {
    pub(super) fn only(volume: &Volume, side: Side) -> Self {
        Self { volume: volume.to_string(), only_in: Some(side), properties: Vec::new(), sectors: None }
    }

    /// Compares the properties of two partitions, but not their files. `within` are the ranges in which they differ, if
    /// they begin in the same place.
    pub(super) fn between(one: &Volume, two: &Volume, within: Option<&[Range<u64>]>) -> Result<Option<Self>, Error> {
        let none = "nothing known";
        let mut properties = Vec::new();
        properties.extend(property("file system", one.kind().unwrap_or(none), two.kind().unwrap_or(none)));
        if one.partition().is_none() {
            properties.extend(property("size", one.size_bytes(), two.size_bytes()));
        }
        let mut sectors = None;
        match (one.file_system(), two.file_system()) {
            (Some(old), Some(new)) => {
                properties.extend(
                    [
                        property("label", Printable(old.label()), Printable(new.label())),
                        property("uuid", old.uuid(), new.uuid()),
                        property("features", old.features().join(","), new.features().join(",")),
                        property("block size", old.block_size_bytes(), new.block_size_bytes()),
                        property("file system size", one.file_system_bytes(), two.file_system_bytes()),
                    ]
                    .into_iter()
                    .flatten(),
                );
                let fields = old.differing_fields(new);
                if !fields.is_empty() {
                    let name = format!("super block: {}", fields.join(", "));
                    properties.push(Property { name, base: String::new(), image: String::new() });
                }
            }
            _ => {
                let problem = |volume: &Volume| volume.problem().map_or("none".to_owned(), ToString::to_string);
                properties.extend(property("problem", problem(one), problem(two)));
                sectors = Some(Self::sectors(one, two, within)?).filter(|&sectors| sectors > 0);
            }
        }
        let change = Self { volume: two.to_string(), only_in: None, properties, sectors };
        Ok((!change.properties.is_empty() || change.sectors.is_some()).then_some(change))
    }

    fn sectors(one: &Volume, two: &Volume, within: Option<&[Range<u64>]>) -> Result<u64, Error> {
        if let Some(within) = within {
            return Ok(sectors(within));
        }
        let whole = 0..one.size_bytes().max(two.size_bytes());
        let found = differing(one.bytes(), two.bytes(), std::slice::from_ref(&whole))?;
        Ok(sectors(&found))
    }
}
