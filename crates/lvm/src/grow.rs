//! Growing: physical volumes take the room that their devices have gained, and a logical volume takes what is free.
//!
//! Of the text of the metadata, only the numbers that change are written anew, and parts that are added. What LVM noted of
//! the machine that wrote it last stays.
//!
//! Worked example: a volume has its last 10 extents from extent 20 of `pv0` on, which had 30 and has 50 now. `pe_count`
//! becomes 50, `extent_count` of the last segment 30, `seqno` one more.

use std::ops::Range;

use storage::{ReadAt, WriteAt};

use crate::error::{Error, Result};
use crate::group::{Found, LogicalVolume, VolumeGroup, of_group};
use crate::label::{Label, SECTOR_BYTES, write_text};
use crate::text::{Section, parse};

/// What is written in place of a part of the text.
struct Edit {
    span: Range<usize>,
    text: String,
}

/// Physical extents that are next to each other: the number of the physical volume, the first one, and how many.
type Run = (usize, u64, u64);

/// Lets the physical volumes of a group take the room that their storages have gained since they were made, and a logical
/// volume all that is free in the group then. Nothing is written if nothing is free.
///
/// # Errors
///
/// [`Error::Unsupported`] if a physical volume is missing, has metadata at its end, or has no room for more metadata, or
/// a volume of the group is moved or mirrored in the way of old LVM; [`Error::Corrupt`] if there is no such group or
/// volume, or a copy of the metadata is damaged; as [`VolumeGroup::open`]. Nothing is written before these were checked,
/// except for the room.
pub fn grow<S: WriteAt + Clone>(storages: &[S], group: &str, volume: &str) -> Result<()> {
    let seen: Vec<&dyn ReadAt> = storages.iter().map(|storage| storage as &dyn ReadAt).collect();
    let found = Found::read(&seen)?;
    let object = format!("logical volume {group}/{volume}");
    let there = found.groups.iter().find(|(one, _)| one.name == group);
    let there =
        there.and_then(|(one, text)| Some((one, text, one.logical_volumes.iter().find(|it| it.name == volume)?)));
    let Some((group, text, volume)) = there else { return Err(Error::corrupt(object, "it is not there")) };
    // What cannot be used as storage cannot grow.
    group.open(volume, storages)?;
    if let Some(damage) = group.damage.first() {
        return Err(Error::corrupt(&object, format!("a copy of the metadata is damaged: {}", damage.problem)));
    }
    if group.logical_volumes.iter().flat_map(|other| &other.segments).any(|segment| segment.kind == "mirror") {
        return Err(Error::Unsupported { what: format!("growing {object} beside a mirror") });
    }

    let mut devices = Vec::new();
    for physical in &group.physical_volumes {
        let Some(index) = physical.storage else {
            let what = format!("growing {object} without the physical volume {}", physical.name);
            return Err(Error::Unsupported { what });
        };
        let label = found.labels[index].as_ref();
        let label = label.ok_or_else(|| Error::corrupt(&object, "a physical volume has no label"))?;
        let size_bytes = storages[index].size_bytes() / SECTOR_BYTES as u64 * SECTOR_BYTES as u64;
        let is_grown = size_bytes > label.device_bytes;
        if is_grown && label.ranges().iter().any(|range| range.end > physical.first_extent) {
            let what = format!("growing the physical volume {}, which has metadata at its end,", physical.name);
            return Err(Error::Unsupported { what });
        }
        let room = size_bytes.saturating_sub(physical.first_extent) / group.extent_bytes;
        if physical.extents > room {
            let problem = format!("{} has {} extents, but room for {room}", physical.name, physical.extents);
            return Err(Error::corrupt(&object, problem));
        }
        let extents = if is_grown { room } else { physical.extents };
        devices.push(Device { index, label, size_bytes, is_grown, extents });
    }
    let free = free_runs(group, &devices);
    if free.is_empty() {
        return Ok(());
    }
    let new = edited(text, group, volume, &devices, &free)?;
    // It must say the same of all other volumes, and be read as it was meant.
    VolumeGroup::parse(&new[..new.len() - 1])?;
    for device in &devices {
        write_text(&storages[device.index], device.label, &new)?;
        if device.is_grown {
            device.label.set_device_bytes(&storages[device.index], device.size_bytes)?;
        }
    }
    Ok(())
}

/// A physical volume as it will be.
struct Device<'a> {
    /// The number of its storage.
    index: usize,
    label: &'a Label,
    size_bytes: u64,
    is_grown: bool,
    extents: u64,
}

/// The extents that no logical volume has.
fn free_runs(group: &VolumeGroup, devices: &[Device<'_>]) -> Vec<Run> {
    let mut used: Vec<Run> = Vec::new();
    for segment in group.logical_volumes.iter().flat_map(|volume| &volume.segments) {
        let each = segment.extents / segment.stripes.len().max(1) as u64;
        used.extend(segment.stripes.iter().map(|&(physical, first)| (physical, first, each)));
    }
    used.sort_unstable();
    let mut free = Vec::new();
    for (physical, device) in devices.iter().enumerate() {
        let mut next = 0;
        for (_, first, count) in used.iter().filter(|(other, ..)| *other == physical) {
            // Another volume may have extents that its physical volume does not have.
            let first = (*first).min(device.extents);
            if first > next {
                free.push((physical, next, first - next));
            }
            next = first.saturating_add(*count);
        }
        if device.extents > next {
            free.push((physical, next, device.extents - next));
        }
    }
    free
}

/// The text with these physical volumes, and with the free extents in the logical volume. It ends with a zero.
fn edited(
    text: &[u8],
    group: &VolumeGroup,
    volume: &LogicalVolume,
    devices: &[Device<'_>],
    free: &[Run],
) -> Result<Vec<u8>> {
    let all = parse(text)?;
    let (_, section) = of_group(&all)?;
    let lacks = |what: &str| Error::corrupt(format!("volume group {}", group.name), format!("no {what}"));
    let mut edits = Vec::new();
    let mut number = |section: &Section, key: &str, value: u64| -> Result<()> {
        let span = section.span(key).ok_or_else(|| lacks(key))?;
        edits.push(Edit { span, text: value.to_string() });
        Ok(())
    };
    number(section, "seqno", group.sequence + 1)?;
    let physical = section.section("physical_volumes").ok_or_else(|| lacks("physical_volumes"))?;
    for (device, (_, physical)) in devices.iter().zip(physical.sections()).filter(|(device, _)| device.is_grown) {
        number(physical, "pe_count", device.extents)?;
        if physical.get("dev_size").is_some() {
            number(physical, "dev_size", device.size_bytes / SECTOR_BYTES as u64)?;
        }
    }
    let volumes = section.section("logical_volumes").ok_or_else(|| lacks("logical_volumes"))?;
    let logical = volumes.section(&volume.name).ok_or_else(|| lacks(&volume.name))?;
    let last = volume.segments.last().zip(logical.sections().filter(|(name, _)| name.starts_with("segment")).last());
    let (last, (_, last_section)) = last.ok_or_else(|| lacks("segments"))?;
    // The room that follows the last extents makes their segment longer.
    let next = match last.stripes[..] {
        [(physical, first)] => Some((physical, first + last.extents)),
        _ => None,
    };
    let (longer, others): (Vec<&Run>, Vec<&Run>) =
        free.iter().partition(|&&(physical, first, _)| next == Some((physical, first)));
    let mut end = last.first_extent + last.extents;
    for (_, _, count) in longer {
        number(last_section, "extent_count", last.extents + count)?;
        end += count;
    }
    number(logical, "segment_count", (volume.segments.len() + others.len()) as u64)?;
    let mut added = String::new();
    for (index, (physical, first, count)) in others.into_iter().enumerate() {
        let (name, number) = (&group.physical_volumes[*physical].name, volume.segments.len() + index + 1);
        added.push_str(&format!(
            "\nsegment{number} {{\nstart_extent = {end}\nextent_count = {count}\n\ntype = \"striped\"\nstripe_count = 1\n\n\
             stripes = [\n\"{name}\", {first}\n]\n}}\n"
        ));
        end += count;
    }
    let span = volumes.span(&volume.name).ok_or_else(|| lacks(&volume.name))?;
    edits.push(Edit { span: span.end..span.end, text: added });

    edits.sort_by_key(|edit| edit.span.start);
    let (mut new, mut at) = (Vec::with_capacity(text.len() + 64), 0);
    for Edit { span, text: part } in edits {
        new.extend_from_slice(&text[at..span.start]);
        new.extend_from_slice(part.as_bytes());
        at = span.end;
    }
    new.extend_from_slice(&text[at..]);
    new.push(0);
    Ok(new)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::group::tests::{TEXT, with_changed_texts};
    use storage::Memory;
    use testkit::lvm::PhysicalVolume;

    const FIRST_EXTENT: usize = 32 << 10;
    const EXTENT: usize = 4 << 10;

    /// [`TEXT`] with small extents, and with the UUID that the label of [`disk`] has.
    fn small(text: &str) -> String {
        text.replace("= 8192", "= 8").replace("= 2048", "= 64").replace("pppp-00", &"p".repeat(32))
    }

    /// A physical volume of ten extents on a disk that has room for fourteen.
    fn disk(text: &str) -> Arc<Memory> {
        let size = |extents: usize| FIRST_EXTENT + extents * EXTENT;
        let volume = PhysicalVolume { letter: 'p', device_bytes: size(10) as u64, first_extent: FIRST_EXTENT as u64 };
        let mut bytes = testkit::lvm::head(&volume, text);
        bytes.resize(size(14), 0);
        Arc::new(Memory::from(bytes))
    }

    fn read(disk: &Arc<Memory>) -> Option<VolumeGroup> {
        Some(Found::read(&[disk as &dyn ReadAt]).ok()?.groups.pop()?.0)
    }

    fn volume<'a>(group: &'a VolumeGroup, name: &str) -> Option<&'a LogicalVolume> {
        group.logical_volumes.iter().find(|volume| volume.name == name)
    }

    #[test]
    fn what_is_free_is_added_in_its_order() {
        let disk = disk(&small(TEXT).replace("[\"pv0\", 9]", "[\"pv0\", 1]"));
        let before = read(&disk).unwrap();
        grow(std::slice::from_ref(&disk), "vg", "plain").unwrap();
        let group = read(&disk).unwrap();
        assert_eq!((group.sequence, group.physical_volumes[0].extents), (8, 14));
        // Extents 3 and 4 were there; 5 and 6 follow them; 0, 1, 2, 7 and 8 are others'.
        let plain = volume(&group, "plain").unwrap();
        let parts = plain.segments.iter().map(|one| (one.first_extent, one.extents, one.stripes[0].1));
        assert_eq!(parts.collect::<Vec<_>>(), [(0, 4, 3), (4, 5, 9)]);
        let others = |group: &VolumeGroup| -> Vec<LogicalVolume> {
            group.logical_volumes.iter().filter(|volume| volume.name != "plain").cloned().collect()
        };
        assert_eq!(others(&group), others(&before));
        let label = Label::read(&disk).unwrap().unwrap();
        assert_eq!(label.device_bytes as usize, FIRST_EXTENT + 14 * EXTENT);
    }

    /// Whatever the metadata say, what had its bytes somewhere has them there afterwards.
    #[test]
    fn changed_metadata_grow_or_are_refused() {
        let mut grown = 0;
        with_changed_texts(|text| {
            let disk = disk(&small(&String::from_utf8_lossy(text)));
            let before = read(&disk);
            if grow(std::slice::from_ref(&disk), "vg", "plain").is_ok() {
                let storages = std::slice::from_ref(&disk);
                let open = |group: &VolumeGroup| group.open(volume(group, "plain").unwrap(), storages).unwrap();
                assert!(open(&before.unwrap()).begins_like(&open(&read(&disk).unwrap())));
                grown += 1;
            }
        });
        assert!(grown > 100, "{grown}");
    }
}
