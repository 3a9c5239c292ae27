//! A new fixed VHD: the disk, with holes for zeros, and the footer.

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};
use storage::ReadAt;
use zerocopy::{FromZeros, IntoBytes};

use super::geometry::Geometry;
use super::layout::*;
use crate::Written;
use crate::error::{Error, Result};
use crate::in_order::InOrder;
use crate::raw::write_but_zeros;
use crate::units::{DataUnits, read_units};
use crate::write::Progress;
use crate::zeros::is_zero;

/// Azure takes disks whose size is a multiple of this number of bytes.
pub(crate) const SIZE_UNIT_BYTES: u64 = 1 << 20;
/// The largest disk in bytes, as in Hyper-V.
const SIZE_MAX_BYTES: u64 = 2040 << 30;
/// The bytes that one thread reads at a time. Each step has its own hash.
const STEP_BYTES: u64 = 1 << 20;
/// The year 2000, in seconds since 1970.
const YEAR_2000: i64 = 946_684_800;
/// "Wi2k", which stands for Windows. The only other value stands for a Macintosh.
const HOST_OS: u32 = u32::from_be_bytes(*b"Wi2k");

/// Writes `disk`, and after it `footer` with the fields that depend on the disk.
pub(crate) fn write(
    disk: &dyn ReadAt,
    mut footer: RawFooter,
    target: &File,
    threads: NonZeroUsize,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Written> {
    let size_bytes = disk.size_bytes();
    if size_bytes > SIZE_MAX_BYTES || !size_bytes.is_multiple_of(512) {
        return Err(Error::unsupported(format!("a VHD image of a disk of {size_bytes:#x} bytes")));
    }
    let progress = Progress::new(progress, size_bytes);
    let file_size_bytes = size_bytes + FOOTER_BYTES;
    target.set_len(file_size_bytes).map_err(|error| Error::writing(file_size_bytes, 0, error))?;
    let mut content = Sha256::new();
    content.update(size_bytes.to_be_bytes());
    std::thread::scope(|scope| {
        let make_worker = move || Ok(move |steps: Result<Range<u64>>| Step::read(disk, steps?));
        for step in InOrder::start(scope, threads, DataUnits::new(disk, STEP_BYTES, STEP_BYTES), make_worker) {
            let Step { number, data } = step?;
            let offset = number * STEP_BYTES;
            if let Some((mut bytes, hash)) = data {
                content.update(offset.to_be_bytes());
                content.update(hash);
                bytes.truncate((size_bytes - offset).min(STEP_BYTES) as usize);
                write_but_zeros(target, offset, &bytes)?;
            }
            progress.reach(offset + STEP_BYTES);
        }
        Ok::<(), Error>(())
    })?;
    update(&mut footer, size_bytes, content.finalize().into());
    // The footer comes last: before that the file is not an image.
    target
        .write_all_at(footer.as_bytes(), size_bytes)
        .map_err(|error| Error::writing(size_bytes, FOOTER_BYTES, error))?;
    progress.reach(size_bytes);
    Ok(Written { file_size_bytes, ..Written::default() })
}

/// A part of the disk.
struct Step {
    number: u64,
    /// Its bytes and their hash; `None` if all are zeros.
    data: Option<(Vec<u8>, [u8; 32])>,
}

impl Step {
    fn read(disk: &dyn ReadAt, steps: Range<u64>) -> Result<Self> {
        let number = steps.start;
        let bytes = read_units(disk, STEP_BYTES, steps)?;
        let data = (!is_zero(&bytes)).then(|| {
            let hash = Sha256::digest(&bytes).into();
            (bytes, hash)
        });
        Ok(Self { number, data })
    }
}

/// The footer of a new `disk` made at `time`, in seconds since 1970.
pub(crate) fn new_footer(disk: &dyn ReadAt, time: i64) -> RawFooter {
    let mut footer = RawFooter::new_zeroed();
    footer.cookie = COOKIE;
    footer.features = FEATURES_RESERVED.into();
    footer.file_format_version = VERSION.into();
    footer.data_offset = NO_DATA_OFFSET.into();
    footer.time_stamp = (time.saturating_sub(YEAR_2000).clamp(0, u32::MAX.into()) as u32).into();
    footer.creator_host_os = HOST_OS.into();
    footer.original_size = disk.size_bytes().into();
    footer.disk_type = TYPE_FIXED.into();
    footer
}

/// Sets the fields that depend on the disk, whose hash is `content`.
fn update(footer: &mut RawFooter, size_bytes: u64, content: [u8; 32]) {
    // QEMU writes this name if readers are to use the size and not the geometry. With a name that it does not know, QEMU
    // uses the geometry; Azure takes this name.
    footer.creator_application = *b"qem2";
    footer.creator_version = 0x5_0003.into();
    footer.current_size = size_bytes.into();
    let geometry = Geometry::of(size_bytes / 512);
    footer.cylinders = geometry.cylinders.into();
    footer.heads = geometry.heads;
    footer.sectors_per_track = geometry.sectors_per_track;
    footer.unique_id.copy_from_slice(&content[..16]);
    // "UUID Version 8" of RFC 9562: the bits are the writer's choice.
    footer.unique_id[6] = footer.unique_id[6] & 0x0f | 0x80;
    footer.unique_id[8] = footer.unique_id[8] & 0x3f | 0x80;
    footer.checksum = footer.computed_checksum().into();
}
