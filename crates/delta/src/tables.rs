//! Tables of a qcow2 whose words are like those of a table of the base.
//!
//! Where clusters are moved within a file, each entry of the L2 tables changes, by the same number in long runs: as
//! differences the tables take next to no room. This is only where to look: words that are not alike cost what they
//! would have cost as they are.

use storage::ReadAt;

use crate::window::{SHORT_BYTES, Window};

/// `QFI` and 0xfb.
const QCOW2_MAGIC: [u8; 4] = *b"QFI\xfb";
/// How many entries of an L1 table are looked at: 32 TiB in clusters of 64 KiB.
const MAX_L1_ENTRIES: u64 = 65_536;
/// The bits of an entry that are an offset.
const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;

/// A table of the image, and the one of the base that is for the same part of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TablePair {
    pub(crate) image_offset: u64,
    pub(crate) base_offset: u64,
    pub(crate) length_bytes: u64,
}

/// What a qcow2 header says about its L1 table.
struct L1 {
    cluster_bytes: u64,
    offset: u64,
    entries: u64,
}

impl L1 {
    fn of(storage: &dyn ReadAt) -> storage::Result<Option<Self>> {
        let mut header = [0; 48];
        if storage.size_bytes() < header.len() as u64 {
            return Ok(None);
        }
        storage.read_at(0, &mut header)?;
        let number = |at: usize, length: usize| header[at..at + length].iter().fold(0, |n, &b| n << 8 | u64::from(b));
        let (cluster_bits, entries, offset) = (number(20, 4), number(36, 4), number(40, 8));
        let is_known = header[..4] == QCOW2_MAGIC && (9..=21).contains(&cluster_bits);
        Ok(is_known.then(|| Self { cluster_bytes: 1 << cluster_bits, offset, entries: entries.min(MAX_L1_ENTRIES) }))
    }
}

/// The pairs of tables, in the order of the image's file; no two of them overlap there.
pub(crate) fn pairs(base: &dyn ReadAt, image: &dyn ReadAt) -> storage::Result<Vec<TablePair>> {
    let (Some(of_base), Some(of_image)) = (L1::of(base)?, L1::of(image)?) else { return Ok(Vec::new()) };
    if of_base.cluster_bytes != of_image.cluster_bytes {
        return Ok(Vec::new());
    }
    let length_bytes = of_base.cluster_bytes;
    let (mut base_window, mut image_window) = (Window::new(base, SHORT_BYTES), Window::new(image, SHORT_BYTES));
    let mut pairs = Vec::new();
    for entry in 0..of_base.entries.min(of_image.entries) {
        let base_offset = table(&mut base_window, base.size_bytes(), &of_base, entry)?;
        let image_offset = table(&mut image_window, image.size_bytes(), &of_image, entry)?;
        if let (Some(base_offset), Some(image_offset)) = (base_offset, image_offset) {
            pairs.push(TablePair { image_offset, base_offset, length_bytes });
        }
    }
    pairs.sort_unstable_by_key(|pair| pair.image_offset);
    let mut end = 0;
    pairs.retain(|pair| {
        let is_after = pair.image_offset >= end;
        end = if is_after { pair.image_offset + length_bytes } else { end };
        is_after
    });
    Ok(pairs)
}

/// Where the L2 table of this entry is, if it is in the file.
fn table(window: &mut Window<'_>, size_bytes: u64, l1: &L1, entry: u64) -> storage::Result<Option<u64>> {
    let Some(at) = l1.offset.checked_add(entry * 8) else { return Ok(None) };
    let Some(bytes) = window.get(at, 8)?.first_chunk() else { return Ok(None) };
    let offset = u64::from_be_bytes(*bytes) & OFFSET_MASK;
    Ok((offset != 0 && offset.saturating_add(l1.cluster_bytes) <= size_bytes).then_some(offset))
}
