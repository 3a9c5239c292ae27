//! LVM2 in user space: the label and the metadata of physical volumes, and logical volumes as [`storage`].
//!
//! What is read: metadata as text, in all its copies, each with its checksum; the newest one counts. Logical volumes
//! that are linear or striped are storage that can be read and written. Others (thin, cache, RAID, snapshots, mirrors)
//! are named, and so is what is missing if a group has physical volumes that are not there.
//!
//! [`grow`] lets a physical volume and a logical one take the room of a larger disk. Nothing else of the metadata is
//! written.
//!
//! The formats are described in LVM2's `lib/format_text/layout.h` and `lib/label/label.h`.

mod checksum;
mod error;
mod group;
mod grow;
mod label;
mod mapped;
mod text;

pub use error::{Error, Result};
pub use group::{Damage, LogicalVolume, PhysicalVolume, Segment, VolumeGroup, groups};
pub use grow::grow;
pub use label::{Label, is_physical_volume};
pub use mapped::{Mapped, Piece};
