//! Where a volume is on its disk.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use lvm::Mapped;
use partition::Partition;

use crate::diff::ranges;
use crate::file_system::Bytes;

/// The name of a place on a disk that can hold a file system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The whole disk.
    Disk,
    /// The partition with this number.
    Partition(u32),
    /// A logical volume of LVM2.
    LogicalVolume(LogicalVolumeName),
}

/// The name of a logical volume: `vg0/root`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogicalVolumeName {
    /// The name of its volume group.
    pub group: String,
    /// Its own name.
    pub name: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk => write!(f, "the whole disk"),
            Self::Partition(number) => write!(f, "partition {number}"),
            Self::LogicalVolume(name) => write!(f, "logical volume {name}"),
        }
    }
}

impl fmt::Display for LogicalVolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.name)
    }
}

impl LogicalVolumeName {
    /// The node that device-mapper makes for it: `/dev/mapper/my--group-root`.
    pub fn mapper_node(&self) -> String {
        let [group, name] = [&self.group, &self.name].map(|name| name.replace('-', "--"));
        format!("/dev/mapper/{group}-{name}")
    }
}

/// A text that cannot name a logical volume.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a logical volume is named by its group and its name: GROUP/NAME, as in vg0/root")]
pub struct LogicalVolumeNameError;

impl FromStr for LogicalVolumeName {
    type Err = LogicalVolumeNameError;

    /// Reads `GROUP/NAME`, also with `/dev/` before it, and `/dev/mapper/GROUP-NAME`, in which hyphens that are parts of
    /// names are doubled.
    fn from_str(text: &str) -> Result<Self, LogicalVolumeNameError> {
        let (group, name) = match text.strip_prefix("/dev/mapper/") {
            Some(mapped) => of_mapper(mapped).ok_or(LogicalVolumeNameError)?,
            None => {
                let text = text.strip_prefix("/dev/").unwrap_or(text);
                let (group, name) = text.split_once('/').ok_or(LogicalVolumeNameError)?;
                (group.to_owned(), name.to_owned())
            }
        };
        // Names of LVM2 have these characters.
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+_.-".contains(&byte))
        };
        if is_name(&group) && is_name(&name) { Ok(Self { group, name }) } else { Err(LogicalVolumeNameError) }
    }
}

/// The group and the name in the name of a node of device-mapper: the first single hyphen is between them.
fn of_mapper(mapped: &str) -> Option<(String, String)> {
    let bytes = mapped.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'-', Some(b'-')) => at += 2,
            (b'-', _) => {
                return Some((mapped[..at].replace("--", "-"), mapped[at + 1..].replace("--", "-")));
            }
            _ => at += 1,
        }
    }
    None
}

/// Where the bytes of a volume are.
pub(crate) enum Site {
    /// They are those of the disk, which is so large.
    Disk { size_bytes: u64 },
    /// They are those of a partition.
    Partition(Partition),
    /// They are those of a logical volume.
    LogicalVolume(LogicalVolume),
}

/// A logical volume.
pub(crate) struct LogicalVolume {
    pub(crate) name: LogicalVolumeName,
    pub(crate) size_bytes: u64,
    /// Its bytes; `None` if it cannot be read.
    pub(crate) mapped: Option<Mapped<Bytes>>,
    /// Where its physical volumes are on the disk, in bytes.
    pub(crate) physical_volumes: Vec<Range<u64>>,
}

impl Site {
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Disk { .. } => Place::Disk,
            Self::Partition(partition) => Place::Partition(partition.number),
            Self::LogicalVolume(volume) => Place::LogicalVolume(volume.name.clone()),
        }
    }

    /// What it has of sorted ranges of the disk, counted from its own beginning; sorted.
    pub(crate) fn within(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        match self {
            Self::Disk { size_bytes } => ranges::relative(ranges, &(0..*size_bytes)),
            Self::Partition(Partition { first_byte, size_bytes, .. }) => {
                ranges::relative(ranges, &(*first_byte..first_byte.saturating_add(*size_bytes)))
            }
            Self::LogicalVolume(volume) => {
                let Some(mapped) = &volume.mapped else { return Vec::new() };
                let on = volume.physical_volumes.iter().enumerate();
                let parts = on.flat_map(|(index, place)| mapped.parts(index, &ranges::relative(ranges, place)));
                ranges::union(&parts.collect::<Vec<_>>(), &[])
            }
        }
    }

    /// Whether the shorter one of two has its bytes where the longer one has them.
    pub(crate) fn begins_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Disk { .. }, Self::Disk { .. }) => true,
            (Self::Partition(one), Self::Partition(other)) => one.first_byte == other.first_byte,
            (Self::LogicalVolume(one), Self::LogicalVolume(other)) => {
                let start = |place: &Range<u64>| place.start;
                let is_like = match (&one.mapped, &other.mapped) {
                    (Some(one), Some(other)) => one.begins_like(other),
                    (one, other) => one.is_none() && other.is_none(),
                };
                is_like && one.physical_volumes.iter().map(start).eq(other.physical_volumes.iter().map(start))
            }
            _ => false,
        }
    }

    /// Whether its bytes are in several parts of the disk.
    pub(crate) fn is_in_parts(&self) -> bool {
        let Self::LogicalVolume(LogicalVolume { mapped: Some(mapped), .. }) = self else { return false };
        mapped.pieces().len() > 1 || mapped.pieces().iter().any(|piece| piece.places.len() > 1)
    }

    /// Offset on the disk of its first byte.
    pub(crate) fn first_byte(&self) -> u64 {
        match self {
            Self::Disk { .. } => 0,
            Self::Partition(partition) => partition.first_byte,
            Self::LogicalVolume(volume) => {
                let first = volume.mapped.as_ref().and_then(|mapped| mapped.pieces().first()?.places.first());
                first.map_or(0, |(index, offset)| volume.physical_volumes[*index].start + offset)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logical_volume_has_the_names_that_device_nodes_have() {
        let parse = |text: &str| text.parse::<LogicalVolumeName>().map(|name| (name.group, name.name));
        let pair = |group: &str, name: &str| Ok((group.to_owned(), name.to_owned()));
        assert_eq!(parse("vg0/root"), pair("vg0", "root"));
        assert_eq!(parse("/dev/vg0/root"), pair("vg0", "root"));
        assert_eq!(parse("/dev/mapper/vg0-root"), pair("vg0", "root"));
        assert_eq!(parse("/dev/mapper/my--vg-a--b--c"), pair("my-vg", "a-b-c"));
        for bad in ["", "root", "vg0/", "/root", "a/b/c", "/dev/mapper/vg0", "/dev/mapper/-x", "/dev/vda1", "vg 0/x"] {
            assert_eq!(parse(bad), Err(LogicalVolumeNameError), "{bad}");
        }
    }
}
