//! Volume groups: what the metadata on their physical volumes says.

use std::collections::{BTreeMap, BTreeSet};

use storage::ReadAt;

use crate::error::{Error, Result};
use crate::label::{Label, SECTOR_BYTES};
use crate::mapped::{Mapped, Piece};
use crate::text::{Section, Value, parse};

/// What a segment of a snapshot names: `snapshot_import` of LVM2's `lib/snapshot/snapshot.c`.
const SNAPSHOT_KEYS: [&str; 3] = ["origin", "cow_store", "merging_store"];
/// The most physical or logical volumes of a group that is read.
const MAX_VOLUMES: usize = 1024;

/// A physical volume as its group's metadata has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalVolume {
    /// Its name in the metadata: `pv0`.
    pub name: String,
    /// The UUID, 32 characters without hyphens.
    pub uuid: String,
    /// Where its first extent begins, in bytes.
    pub first_extent: u64,
    /// How many extents it has.
    pub extents: u64,
    /// Which of the storages that were looked at it is on; `None` if it is missing.
    pub storage: Option<usize>,
}

/// A part of a logical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first of its extents in the logical volume.
    pub first_extent: u64,
    /// How many it has.
    pub extents: u64,
    /// What it is made of: `striped`, which a linear one is, too, `thin-pool`, `raid1`, `snapshot`.
    pub kind: String,
    /// How many bytes go to one stripe before the next one's turn; 0 if there is one.
    pub stripe_bytes: u64,
    /// The physical volume of each stripe, by its number in [`VolumeGroup::physical_volumes`], and the first extent there.
    pub stripes: Vec<(usize, u64)>,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalVolume {
    /// Its name: `root`.
    pub name: String,
    /// The UUID, 32 characters without hyphens.
    pub uuid: String,
    /// Whether it is meant for users. Others are parts of what other volumes are made of.
    pub is_visible: bool,
    /// Whether it is the origin of a snapshot, or holds what differs from that. What is written to one of the two changes
    /// the other.
    pub has_snapshot: bool,
    /// Its parts, in order.
    pub segments: Vec<Segment>,
}

/// A volume group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeGroup {
    /// Its name.
    pub name: String,
    /// The UUID, 32 characters without hyphens.
    pub uuid: String,
    /// Counts the changes of its metadata.
    pub sequence: u64,
    /// Size of an extent in bytes.
    pub extent_bytes: u64,
    /// Its physical volumes.
    pub physical_volumes: Vec<PhysicalVolume>,
    /// Its logical volumes.
    pub logical_volumes: Vec<LogicalVolume>,
    /// What is wrong with copies of the metadata that do not count.
    pub damage: Vec<Damage>,
}

/// A copy of the metadata that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which of the storages that were looked at it is on.
    pub storage: usize,
    /// What is wrong.
    pub problem: String,
}

/// The volume groups on these storages, by name: of each the newest metadata counts. Those that are no physical volumes
/// are passed over.
///
/// # Errors
///
/// [`Error::Corrupt`] if a label breaks a rule, or no copy of the metadata of a group can be read;
/// [`Error::Unsupported`] if a group has more than 1024 volumes of a kind; [`Error::Storage`].
pub fn groups(storages: &[&dyn ReadAt]) -> Result<Vec<VolumeGroup>> {
    Ok(Found::read(storages)?.groups.into_iter().map(|(group, _)| group).collect())
}

/// What is on storages.
pub(crate) struct Found {
    /// The label of each storage that is a physical volume.
    pub(crate) labels: Vec<Option<Label>>,
    /// The groups, by name, and the text of their newest metadata.
    pub(crate) groups: Vec<(VolumeGroup, Vec<u8>)>,
}

impl Found {
    pub(crate) fn read(storages: &[&dyn ReadAt]) -> Result<Self> {
        let mut labels = Vec::new();
        let mut newest: BTreeMap<String, (VolumeGroup, Vec<u8>)> = BTreeMap::new();
        let mut damaged: Vec<(usize, Error)> = Vec::new();
        for (index, storage) in storages.iter().enumerate() {
            let Some(label) = Label::read(*storage)? else {
                labels.push(None);
                continue;
            };
            for text in label.texts(*storage)? {
                match text.and_then(|text| Ok((VolumeGroup::parse(&text)?, text))) {
                    Ok((group, text)) => {
                        let other = newest.get(&group.uuid);
                        if other.is_none_or(|(other, _)| other.sequence < group.sequence) {
                            newest.insert(group.uuid.clone(), (group, text));
                        }
                    }
                    Err(error) => damaged.push((index, error)),
                }
            }
            labels.push(Some(label));
        }
        let mut by_uuid = BTreeMap::new();
        for (index, label) in labels.iter().enumerate().filter_map(|(index, label)| Some((index, label.as_ref()?))) {
            if by_uuid.insert(label.uuid.clone(), index).is_some() {
                let problem = format!("another physical volume of this image has the UUID {}, too", label.uuid);
                return Err(Error::corrupt("label", problem));
            }
        }
        let mut groups: Vec<(VolumeGroup, Vec<u8>)> = newest.into_values().collect();
        groups.sort_by(|(one, _), (other, _)| (&one.name, &one.uuid).cmp(&(&other.name, &other.uuid)));
        for (group, _) in &mut groups {
            for volume in &mut group.physical_volumes {
                // No two groups have one physical volume.
                volume.storage = by_uuid.remove(&volume.uuid);
            }
            let members: Vec<Option<usize>> = group.physical_volumes.iter().map(|volume| volume.storage).collect();
            let of_group = damaged.extract_if(.., |(index, _)| members.contains(&Some(*index)));
            group.damage = of_group.map(|(storage, error)| Damage { storage, problem: error.to_string() }).collect();
        }
        // Nothing says which group such a physical volume is of.
        match damaged.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(Self { labels, groups }),
        }
    }
}

/// The name and the section of the volume group.
pub(crate) fn of_group(all: &Section) -> Result<(&str, &Section)> {
    let group = all.sections().find(|(_, section)| section.get("seqno").is_some());
    group.ok_or_else(|| Error::corrupt("metadata", "no volume group"))
}

/// A UUID without its hyphens.
fn uuid(section: &Section) -> Option<String> {
    section.text("id").map(|id| id.replace('-', ""))
}

impl VolumeGroup {
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let all = parse(text)?;
        let (name, group) = of_group(&all)?;
        let object = format!("volume group {name}");
        let lacks = |what: &str| Error::corrupt(&object, format!("no {what}, or an invalid one"));
        let sectors = group.number("extent_size").ok_or_else(|| lacks("extent_size"))?;
        let extent_bytes = sectors.checked_mul(SECTOR_BYTES as u64).filter(|bytes| *bytes > 0);
        let extent_bytes = extent_bytes.ok_or_else(|| lacks("extent_size"))?;
        for key in ["physical_volumes", "logical_volumes"] {
            if group.section(key).is_some_and(|volumes| volumes.sections().count() > MAX_VOLUMES) {
                return Err(Error::Unsupported {
                    what: format!("{object}, which has more than {MAX_VOLUMES} volumes,"),
                });
            }
        }
        let mut found = Self {
            name: name.to_owned(),
            uuid: uuid(group).ok_or_else(|| lacks("id"))?,
            sequence: group.number("seqno").ok_or_else(|| lacks("seqno"))?,
            extent_bytes,
            physical_volumes: Vec::new(),
            logical_volumes: Vec::new(),
            damage: Vec::new(),
        };
        for (name, volume) in group.section("physical_volumes").into_iter().flat_map(Section::sections) {
            let number = |key| volume.number(key).ok_or_else(|| lacks(&format!("{key} of {name}")));
            let first_extent = number("pe_start")?.checked_mul(SECTOR_BYTES as u64);
            found.physical_volumes.push(PhysicalVolume {
                name: name.to_owned(),
                uuid: uuid(volume).ok_or_else(|| lacks(&format!("id of {name}")))?,
                first_extent: first_extent.ok_or_else(|| lacks(&format!("pe_start of {name}")))?,
                extents: number("pe_count")?,
                storage: None,
            });
        }
        let mut in_snapshots = BTreeSet::new();
        for (name, volume) in group.section("logical_volumes").into_iter().flat_map(Section::sections) {
            found.logical_volumes.push(found.logical_volume(name, volume)?);
            let segments = volume.sections().filter(|(_, segment)| segment.text("type") == Some("snapshot"));
            in_snapshots.extend(segments.flat_map(|(_, segment)| SNAPSHOT_KEYS.map(|key| segment.text(key))).flatten());
        }
        for volume in &mut found.logical_volumes {
            volume.has_snapshot = in_snapshots.contains(&volume.name[..]);
        }
        found.check_overlaps()?;
        Ok(found)
    }

    /// No two logical volumes have the same extents: what is written to one would be in the other.
    fn check_overlaps(&self) -> Result<()> {
        let mut uses = Vec::new();
        for volume in &self.logical_volumes {
            for segment in &volume.segments {
                let each = segment.extents / segment.stripes.len().max(1) as u64;
                uses.extend(segment.stripes.iter().map(|(physical, first)| (*physical, *first, each, &volume.name)));
            }
        }
        uses.sort_unstable();
        for pair in uses.windows(2) {
            let [(physical, first, each, name), (other, next, _, other_name)] = pair else { continue };
            if physical == other && first.saturating_add(*each) > *next {
                let object = format!("volume group {}", self.name);
                let problem = format!("{name} and {other_name} have extent {next} of the same physical volume");
                return Err(Error::corrupt(object, problem));
            }
        }
        Ok(())
    }

    fn logical_volume(&self, name: &str, volume: &Section) -> Result<LogicalVolume> {
        let object = format!("logical volume {}/{name}", self.name);
        let lacks = |what: &str| Error::corrupt(&object, format!("no {what}, or an invalid one"));
        let mut segments = Vec::new();
        let mut next = 0;
        for (_, segment) in volume.sections().filter(|(name, _)| name.starts_with("segment")) {
            let number = |key: &str| segment.number(key).ok_or_else(|| lacks(key));
            let (first_extent, extents) = (number("start_extent")?, number("extent_count")?);
            if first_extent != next || extents == 0 {
                return Err(Error::corrupt(&object, format!("a segment from {first_extent} on, expected {next}")));
            }
            next = first_extent.checked_add(extents).ok_or_else(|| lacks("extent_count"))?;
            let mut stripes = Vec::new();
            // Pairs of a physical volume and its first extent.
            for pair in segment.list("stripes").chunks(2) {
                let [Value::Text(name), Value::Number(extent)] = pair else { return Err(lacks("stripes")) };
                let index = self.physical_volumes.iter().position(|volume| volume.name == *name);
                let index = index.ok_or_else(|| lacks(&format!("physical volume {name}")))?;
                stripes.push((index, u64::try_from(*extent).map_err(|_| lacks("stripes"))?));
            }
            let kind = segment.text("type").ok_or_else(|| lacks("type"))?.to_owned();
            let stripe_bytes = segment.number("stripe_size").unwrap_or(0).saturating_mul(SECTOR_BYTES as u64);
            segments.push(Segment { first_extent, extents, kind, stripe_bytes, stripes });
        }
        let is_visible = volume.list("status").iter().any(|status| *status == Value::Text("VISIBLE".to_owned()));
        Ok(LogicalVolume {
            name: name.to_owned(),
            uuid: uuid(volume).ok_or_else(|| lacks("id"))?,
            is_visible,
            has_snapshot: false,
            segments,
        })
    }

    /// Size of a logical volume in bytes.
    pub fn size_bytes(&self, volume: &LogicalVolume) -> u64 {
        let extents = volume.segments.last().map_or(0, |segment| segment.first_extent + segment.extents);
        extents.saturating_mul(self.extent_bytes)
    }

    /// A logical volume as storage. `storages` are those that the group was read from.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if it is of another kind than linear or striped, it belongs to a snapshot, or a physical
    /// volume is missing;
    /// [`Error::Corrupt`] if it has extents that its physical volumes do not have.
    pub fn open<S: ReadAt + Clone>(&self, volume: &LogicalVolume, storages: &[S]) -> Result<Mapped<S>> {
        let object = format!("logical volume {}/{}", self.name, volume.name);
        if volume.has_snapshot {
            return Err(Error::Unsupported { what: format!("{object}, which belongs to a snapshot,") });
        }
        let mut pieces = Vec::new();
        for segment in &volume.segments {
            if segment.kind != "striped" {
                return Err(Error::Unsupported { what: format!("{object}, which is of the kind {},", segment.kind) });
            }
            let corrupt = |problem: &str| Error::corrupt(&object, problem);
            let count = segment.stripes.len() as u64;
            if count == 0 || !segment.extents.is_multiple_of(count) {
                return Err(corrupt("its extents are not the same for all stripes"));
            }
            let bytes = |extents: u64| extents.checked_mul(self.extent_bytes).ok_or_else(|| corrupt("it is too large"));
            let length_bytes = bytes(segment.extents)?;
            bytes(segment.first_extent + segment.extents)?;
            let stripe_bytes = if count == 1 { length_bytes } else { segment.stripe_bytes };
            if stripe_bytes == 0 || !self.extent_bytes.is_multiple_of(stripe_bytes) && count > 1 {
                return Err(corrupt("invalid stripe_size"));
            }
            let mut places = Vec::new();
            for (index, extent) in &segment.stripes {
                let physical = &self.physical_volumes[*index];
                let Some(storage) = physical.storage else {
                    let what = format!("{object}, whose physical volume {} is not in this image,", physical.name);
                    return Err(Error::Unsupported { what });
                };
                let end = extent.checked_add(segment.extents / count).filter(|end| *end <= physical.extents);
                let end = end.ok_or_else(|| corrupt("extents past the end of its physical volume"))?;
                let there = storages.get(storage).map_or(0, |storage| storage.size_bytes());
                if bytes(end)?.checked_add(physical.first_extent).is_none_or(|end| end > there) {
                    return Err(corrupt("extents past the end of the partition"));
                }
                places.push((storage, physical.first_extent + bytes(*extent)?));
            }
            pieces.push(Piece { offset: bytes(segment.first_extent)?, length_bytes, stripe_bytes, places });
        }
        Ok(Mapped::new(storages.to_vec(), pieces))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use storage::Memory;

    pub(crate) const TEXT: &str = r#"vg { id = "aaaaaa-bbbb" seqno = 7 format = "lvm2" status = ["RESIZEABLE", "READ", "WRITE"]
        extent_size = 8192
        physical_volumes { pv0 { id = "pppp-00" pe_start = 2048 pe_count = 10 } }
        logical_volumes {
            plain { id = "l-1" status = ["READ", "WRITE", "VISIBLE"] segment_count = 1
                segment1 { start_extent = 0 extent_count = 2 type = "striped" stripe_count = 1 stripes = ["pv0", 3] } }
            pool { id = "l-2" status = ["READ", "WRITE"] segment_count = 1
                segment1 { start_extent = 0 extent_count = 2 type = "thin-pool" } }
            past { id = "l-3" status = ["VISIBLE"] segment_count = 1
                segment1 { start_extent = 0 extent_count = 2 type = "striped" stripe_count = 1 stripes = ["pv0", 9] } }
            none { id = "l-4" status = ["VISIBLE"] segment_count = 1
                segment1 { start_extent = 0 extent_count = 2 type = "striped" stripe_count = 0 stripes = [] } }
            origin { id = "l-6" status = ["VISIBLE"] segment_count = 1
                segment1 { start_extent = 0 extent_count = 1 type = "striped" stripe_count = 1 stripes = ["pv0", 8] } }
            snapshot0 { id = "l-7" status = ["READ", "WRITE"] segment_count = 1 segment1 { start_extent = 0
                extent_count = 1 type = "snapshot" chunk_size = 8 origin = "origin" cow_store = "cow" } }
            two { id = "l-5" status = ["VISIBLE"] segment_count = 2
                segment1 { start_extent = 0 extent_count = 1 type = "striped" stripe_count = 1 stripes = ["pv0", 0] }
                segment2 { start_extent = 1 extent_count = 1 type = "striped" stripe_count = 1 stripes = ["pv0", 7] } }
        } }
        contents = "Text Format Volume Group" version = 1"#;

    #[test]
    fn other_kinds_are_named_and_lies_about_extents_refused() {
        let mut group = VolumeGroup::parse(TEXT.as_bytes()).unwrap();
        let storages = [std::sync::Arc::new(Memory::from(vec![0; 41 << 20]))];
        let open = |group: &VolumeGroup, index: usize| group.open(&group.logical_volumes[index], &storages);
        let refused = |group: &VolumeGroup, index: usize| open(group, index).err().unwrap().to_string();
        assert_eq!(
            refused(&group, 0),
            "logical volume vg/plain, whose physical volume pv0 is not in this image, is not supported"
        );
        group.physical_volumes[0].storage = Some(0);
        let piece = Piece {
            offset: 0,
            length_bytes: 8 << 20,
            stripe_bytes: 8 << 20,
            places: vec![(0, (1 << 20) + (12 << 20))],
        };
        assert_eq!(open(&group, 0).ok().unwrap().pieces(), [piece]);
        assert_eq!(refused(&group, 1), "logical volume vg/pool, which is of the kind thin-pool, is not supported");
        assert!(!group.logical_volumes[1].is_visible && group.logical_volumes[0].is_visible);
        assert!(refused(&group, 2).ends_with("extents past the end of its physical volume"));
        assert!(refused(&group, 3).ends_with("its extents are not the same for all stripes"));
        assert_eq!(refused(&group, 4), "logical volume vg/origin, which belongs to a snapshot, is not supported");
        for (lie, problem) in [
            ("extent_size = 8192", "no extent_size"),
            ("pe_start = 2048", "no pe_start of pv0"),
            ("start_extent = 0", "a segment from 1 on, expected 0"),
            ("[\"pv0\", 3]", "no physical volume pv9"),
            ("[\"pv0\", 7]", "plain and two have extent 4 of the same physical volume"),
        ] {
            let instead = match lie {
                "extent_size = 8192" => "extent_size = 9223372036854775807",
                "pe_start = 2048" => "pe_start = -1",
                "start_extent = 0" => "start_extent = 1",
                "[\"pv0\", 7]" => "[\"pv0\", 4]",
                _ => "[\"pv9\", 3]",
            };
            let error = VolumeGroup::parse(TEXT.replacen(lie, instead, 1).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    /// Calls `look` with texts that are changed at random.
    pub(crate) fn with_changed_texts(mut look: impl FnMut(&[u8])) {
        let mut number = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = |below: usize| {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            (number >> 7) as usize % below
        };
        let pieces =
            ["9223372036854775807", "0", "{", "}", "[", "]", "\"", "=", "\"striped\"", "-", "#", "2048", "pv0", "1"];
        for _ in 0..20_000 {
            let mut text = TEXT.as_bytes().to_vec();
            for _ in 0..=draw(4) {
                let at = draw(text.len());
                let end = (at + draw(6)).min(text.len());
                text.splice(at..end, pieces[draw(pieces.len())].bytes());
            }
            look(&text);
        }
    }

    /// Whatever the text says, it is an answer or an error.
    #[test]
    fn changed_metadata_ends_in_an_answer_or_an_error() {
        let storages = [std::sync::Arc::new(Memory::from(vec![0; 1 << 20]))];
        with_changed_texts(|text| {
            let Ok(mut group) = VolumeGroup::parse(text) else { return };
            group.physical_volumes.iter_mut().for_each(|volume| volume.storage = Some(0));
            for volume in &group.logical_volumes {
                let Ok(mapped) = group.open(volume, &storages) else { continue };
                let mut bytes = [0; 10];
                for offset in [0, mapped.size_bytes() / 2, mapped.size_bytes().saturating_sub(10)] {
                    let _ = mapped.read_at(offset, &mut bytes);
                }
            }
        });
    }

    #[test]
    fn more_volumes_than_are_read_are_refused() {
        let many: String = (0..1025).map(|number| format!("v{number} {{ id = \"{number}\" }} ")).collect();
        let text = format!("vg {{ id = \"a\" seqno = 1 extent_size = 8 logical_volumes {{ {many} }} }}");
        let error = VolumeGroup::parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, "volume group vg, which has more than 1024 volumes, is not supported");
    }
}
