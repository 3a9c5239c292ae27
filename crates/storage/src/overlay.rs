//! The copy-on-write overlay: it keeps changed blocks only, in memory up to a bound and then in a file.
//!
//! Each changed block has a *slot*; slots are given out in the order of first writes. The newest slots are in
//! memory (`tail`). When the tail reaches the bound, it is written at once to the spill file, at
//! `slot * OVERLAY_BLOCK_BYTES`. The map from block to slot holds runs, so that a large file written from front
//! to back needs a few entries, whatever its size. The blocks of a run may also be in a source that was passed
//! as a whole: then no byte is copied before it is read.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::{
    COPY_STEP_BYTES, Error, Extent, ExtentKind, Operation, ReadAt, Reason, Result, WriteAt, check_range, copy, file,
    in_steps,
};

/// The unit in which the overlay keeps changes, in bytes.
pub const OVERLAY_BLOCK_BYTES: u64 = 4096;
const BLOCK: usize = OVERLAY_BLOCK_BYTES as usize;
/// The most sources that are kept instead of their bytes: each may be an open file.
const MAX_SOURCES: usize = 64;

/// Makes the file for changes that do not fit into memory. It is called at most once, when the bound is reached.
pub type SpillFile = Box<dyn Fn() -> std::io::Result<File> + Send + Sync>;

/// A storage that reads from a base and keeps every write itself, so that the base never changes.
pub struct Overlay<B> {
    base: B,
    memory_blocks: usize,
    spill_file: SpillFile,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// First block of a run of changed blocks → the run.
    runs: BTreeMap<u64, Run>,
    /// Slots `..spilled_slots` are in `spill`, the others in `tail`.
    spilled_slots: u64,
    spill: Option<File>,
    tail: Vec<u8>,
    sources: Vec<Arc<dyn ReadAt>>,
}

#[derive(Clone, Copy)]
struct Run {
    blocks: u64,
    place: Place,
}

/// Where a run of changed blocks is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the slots from this one on.
    Slots(u64),
    /// In a source, from this byte on.
    Source { index: usize, offset: u64 },
}

impl Place {
    /// The place of the block that is `blocks` further on.
    fn plus(self, blocks: u64) -> Self {
        match self {
            Self::Slots(first) => Self::Slots(first + blocks),
            Self::Source { index, offset } => Self::Source { index, offset: offset + blocks * OVERLAY_BLOCK_BYTES },
        }
    }
}

/// A part of a range of blocks. If it was changed, it has the place of its first block.
struct Segment {
    blocks: Range<u64>,
    place: Option<Place>,
}

impl<B: ReadAt> Overlay<B> {
    /// An overlay without changes over `base`, which keeps up to `memory_bytes` of changes in memory and
    /// writes the others to the file that `spill_file` makes.
    pub fn new(base: B, memory_bytes: u64, spill_file: SpillFile) -> Self {
        let memory_blocks = usize::try_from(memory_bytes / OVERLAY_BLOCK_BYTES).unwrap_or(usize::MAX).max(1);
        Self { base, memory_blocks, spill_file, state: RwLock::default() }
    }

    /// The storage that is not changed.
    pub fn base(&self) -> &B {
        &self.base
    }

    /// The byte ranges that were written, even if with the base's own bytes: sorted, not adjacent, in whole blocks
    /// of [`OVERLAY_BLOCK_BYTES`] (the last one may be cut by the end).
    pub fn changed(&self) -> Vec<Range<u64>> {
        self.ranges(|_| true)
    }

    /// Those of [`changed`](Self::changed) whose bytes are still in a source, because they were not copied.
    pub fn kept_in_sources(&self) -> Vec<Range<u64>> {
        self.ranges(|place| matches!(place, Place::Source { .. }))
    }

    fn ranges(&self, is_wanted: impl Fn(Place) -> bool) -> Vec<Range<u64>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (&first, run) in state.runs.iter().filter(|(_, run)| is_wanted(run.place)) {
            let start = first * OVERLAY_BLOCK_BYTES;
            let end = ((first + run.blocks) * OVERLAY_BLOCK_BYTES).min(self.base.size_bytes());
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        ranges
    }

    /// Fills `bytes` with the base's block, as far as the base goes.
    fn read_base_block(&self, block: u64, bytes: &mut [u8]) -> Result<()> {
        let start = block * OVERLAY_BLOCK_BYTES;
        let inside = (self.base.size_bytes() - start).min(OVERLAY_BLOCK_BYTES);
        self.base.read_at(start, &mut bytes[..inside as usize])
    }

    /// Keeps whole blocks of a source instead of their bytes; `false` if that is not possible.
    fn keep_source(&self, blocks: &Range<u64>, source: &Arc<dyn ReadAt>, source_offset: u64) -> bool {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if blocks.is_empty()
            || state.runs.range(blocks.clone()).next().is_some()
            || state.segment(blocks.clone()).place.is_some()
        {
            return false;
        }
        let known = state.sources.iter().position(|kept| Arc::ptr_eq(kept, source));
        let index = match known {
            Some(index) => index,
            None if state.sources.len() < MAX_SOURCES => {
                state.sources.push(Arc::clone(source));
                state.sources.len() - 1
            }
            None => return false,
        };
        let place = Place::Source { index, offset: source_offset };
        state.runs.insert(blocks.start, Run { blocks: blocks.end - blocks.start, place });
        true
    }
}

impl State {
    /// The next part of `blocks`, which is not empty.
    fn segment(&self, blocks: Range<u64>) -> Segment {
        if let Some((&first, run)) = self.runs.range(..=blocks.start).next_back()
            && first + run.blocks > blocks.start
        {
            let end = (first + run.blocks).min(blocks.end);
            return Segment { blocks: blocks.start..end, place: Some(run.place.plus(blocks.start - first)) };
        }
        let end = self.runs.range(blocks.clone()).next().map_or(blocks.end, |(&first, _)| first);
        Segment { blocks: blocks.start..end, place: None }
    }

    /// Reads from inside a run of slots; `skip` is the offset in bytes into the first one.
    fn read_slots(&self, first_slot: u64, skip: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let start = first_slot * OVERLAY_BLOCK_BYTES + skip;
        let spilled_bytes = self.spilled_slots * OVERLAY_BLOCK_BYTES;
        let from_spill = spilled_bytes.saturating_sub(start).min(buffer.len() as u64) as usize;
        let (spilled, kept) = buffer.split_at_mut(from_spill);
        if let (false, Some(spill)) = (spilled.is_empty(), &self.spill) {
            spill.read_exact_at(spilled, start)?;
        }
        if !kept.is_empty() {
            let at = (start + from_spill as u64 - spilled_bytes) as usize;
            kept.copy_from_slice(&self.tail[at..][..kept.len()]);
        }
        Ok(())
    }

    /// Writes into slots that exist.
    fn write_slots(&mut self, first_slot: u64, skip: u64, data: &[u8]) -> std::io::Result<()> {
        let start = first_slot * OVERLAY_BLOCK_BYTES + skip;
        let spilled_bytes = self.spilled_slots * OVERLAY_BLOCK_BYTES;
        let to_spill = spilled_bytes.saturating_sub(start).min(data.len() as u64) as usize;
        let (spilled, kept) = data.split_at(to_spill);
        if let (false, Some(spill)) = (spilled.is_empty(), &self.spill) {
            spill.write_all_at(spilled, start)?;
        }
        if !kept.is_empty() {
            let at = (start + to_spill as u64 - spilled_bytes) as usize;
            self.tail[at..][..kept.len()].copy_from_slice(kept);
        }
        Ok(())
    }

    /// Gives the next slot to `block`, which consists of `bytes`.
    fn add(&mut self, block: u64, bytes: &[u8]) {
        let slot = self.spilled_slots + (self.tail.len() / BLOCK) as u64;
        self.tail.extend_from_slice(bytes);
        if let Some((&first, run)) = self.runs.range_mut(..block).next_back()
            && first + run.blocks == block
            && run.place.plus(run.blocks) == Place::Slots(slot)
        {
            run.blocks += 1;
            return;
        }
        self.runs.insert(block, Run { blocks: 1, place: Place::Slots(slot) });
    }

    /// Reads from inside a run; `skip` is the offset in bytes into its first block.
    fn read_place(&self, place: Place, skip: u64, buffer: &mut [u8]) -> Result<()> {
        match place {
            Place::Slots(first) => {
                let length = buffer.len() as u64;
                self.read_slots(first, skip, buffer).map_err(|error| Error::reading(skip, length, Reason::Io(error)))
            }
            Place::Source { index, offset } => self.sources[index].read_at(offset + skip, buffer),
        }
    }

    /// Removes one block from the run of a source that it is in.
    fn cut_out(&mut self, block: u64) {
        let Some((&first, &run)) = self.runs.range(..=block).next_back() else { return };
        let before = block - first;
        if before == 0 {
            self.runs.remove(&first);
        } else {
            self.runs.insert(first, Run { blocks: before, ..run });
        }
        if run.blocks > before + 1 {
            let after = Run { blocks: run.blocks - before - 1, place: run.place.plus(before + 1) };
            self.runs.insert(block + 1, after);
        }
    }

    /// Moves the tail to the spill file when it is full.
    fn spill_if_full(&mut self, memory_blocks: usize, spill_file: &SpillFile) -> std::io::Result<()> {
        if self.tail.len() / BLOCK < memory_blocks {
            return Ok(());
        }
        if self.spill.is_none() {
            self.spill = Some(spill_file()?);
        }
        if let Some(spill) = &self.spill {
            spill.write_all_at(&self.tail, self.spilled_slots * OVERLAY_BLOCK_BYTES)?;
        }
        self.spilled_slots += (self.tail.len() / BLOCK) as u64;
        self.tail.clear();
        Ok(())
    }
}

/// The blocks that `length` bytes at `offset` touch.
fn blocks_of(offset: u64, length: u64) -> Range<u64> {
    offset / OVERLAY_BLOCK_BYTES..(offset + length).div_ceil(OVERLAY_BLOCK_BYTES)
}

impl<B: ReadAt> ReadAt for Overlay<B> {
    fn size_bytes(&self) -> u64 {
        self.base.size_bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let length = buffer.len() as u64;
        check_range(Operation::Read, offset, length, self.size_bytes())?;
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut blocks = blocks_of(offset, length);
        while !blocks.is_empty() {
            let segment = state.segment(blocks.clone());
            let from = (segment.blocks.start * OVERLAY_BLOCK_BYTES).max(offset);
            let to = (segment.blocks.end * OVERLAY_BLOCK_BYTES).min(offset + length);
            let part = &mut buffer[(from - offset) as usize..(to - offset) as usize];
            match segment.place {
                Some(place) => state.read_place(place, from - segment.blocks.start * OVERLAY_BLOCK_BYTES, part)?,
                None => self.base.read_at(from, part)?,
            }
            blocks.start = segment.blocks.end;
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        check_range(Operation::Read, offset, 1, self.size_bytes())?;
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let segment = state.segment(blocks_of(offset, self.size_bytes() - offset));
        let rest = (segment.blocks.end * OVERLAY_BLOCK_BYTES).min(self.size_bytes()) - offset;
        if segment.place.is_some() {
            return Ok(Extent { kind: ExtentKind::Data, length_bytes: rest });
        }
        let extent = self.base.extent_at(offset)?;
        Ok(Extent { length_bytes: extent.length_bytes.min(rest), ..extent })
    }

    fn copy_to(&self, offset: u64, length_bytes: u64, target: &File, target_offset: u64) -> Result<()> {
        check_range(Operation::Read, offset, length_bytes, self.size_bytes())?;
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut blocks = blocks_of(offset, length_bytes);
        while length_bytes > 0 && !blocks.is_empty() {
            let segment = state.segment(blocks.clone());
            let start_byte = segment.blocks.start * OVERLAY_BLOCK_BYTES;
            let from = start_byte.max(offset);
            let length = (segment.blocks.end * OVERLAY_BLOCK_BYTES).min(offset + length_bytes) - from;
            let to = target_offset + (from - offset);
            match segment.place {
                Some(Place::Source { index, offset }) => {
                    copy(&state.sources[index], offset + (from - start_byte), target, to, length)?;
                }
                Some(place) => in_steps(length, |done, step| {
                    state.read_place(place, from - start_byte + done, step)?;
                    file::write_host(target, to + done, step)
                })?,
                None => copy(&self.base, from, target, to, length)?,
            }
            blocks.start = segment.blocks.end;
        }
        Ok(())
    }
}

impl<B: ReadAt> WriteAt for Overlay<B> {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let length = data.len() as u64;
        check_range(Operation::Write, offset, length, self.size_bytes())?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let host_error = |error| Error::writing(offset, length, Reason::Io(error));
        let mut blocks = blocks_of(offset, length);
        while !blocks.is_empty() {
            let segment = state.segment(blocks.clone());
            // A new block is added by itself, so that the tail never passes its bound.
            let in_slots = matches!(segment.place, Some(Place::Slots(_)));
            let end = if in_slots { segment.blocks.end } else { segment.blocks.start + 1 };
            let start_byte = segment.blocks.start * OVERLAY_BLOCK_BYTES;
            let from = start_byte.max(offset);
            let to = (end * OVERLAY_BLOCK_BYTES).min(offset + length);
            let part = &data[(from - offset) as usize..(to - offset) as usize];
            match segment.place {
                Some(Place::Slots(slot)) => state.write_slots(slot, from - start_byte, part).map_err(host_error)?,
                place => {
                    let mut bytes = vec![0; BLOCK];
                    match place {
                        _ if part.len() == BLOCK => {}
                        Some(place) => state.read_place(place, 0, &mut bytes)?,
                        None => self.read_base_block(segment.blocks.start, &mut bytes)?,
                    }
                    bytes[(from - start_byte) as usize..][..part.len()].copy_from_slice(part);
                    if place.is_some() {
                        state.cut_out(segment.blocks.start);
                    }
                    state.add(segment.blocks.start, &bytes);
                }
            }
            state.spill_if_full(self.memory_blocks, &self.spill_file).map_err(host_error)?;
            blocks.start = end;
        }
        Ok(())
    }

    fn write_from(&self, offset: u64, source: &Arc<dyn ReadAt>, source_offset: u64, length_bytes: u64) -> Result<()> {
        check_range(Operation::Write, offset, length_bytes, self.size_bytes())?;
        check_range(Operation::Read, source_offset, length_bytes, source.size_bytes())?;
        let first = offset.next_multiple_of(OVERLAY_BLOCK_BYTES).min(offset + length_bytes);
        let blocks = first / OVERLAY_BLOCK_BYTES..(offset + length_bytes) / OVERLAY_BLOCK_BYTES;
        let kept = first.is_multiple_of(OVERLAY_BLOCK_BYTES)
            && self.keep_source(&blocks, source, source_offset + (first - offset));
        let rest =
            if kept { blocks.end * OVERLAY_BLOCK_BYTES..offset + length_bytes } else { offset..offset + length_bytes };
        let before = if kept { offset..first } else { offset..offset };
        let mut buffer = vec![0; (rest.end - rest.start).max(before.end - before.start).min(COPY_STEP_BYTES) as usize];
        for range in [before, rest] {
            let mut at = range.start;
            while at < range.end {
                let step = &mut buffer[..(range.end - at).min(COPY_STEP_BYTES) as usize];
                source.read_at(source_offset + (at - offset), step)?;
                self.write_at(at, step)?;
                at += step.len() as u64;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;
    use proptest::prelude::*;

    fn spilling() -> SpillFile {
        Box::new(tempfile::tempfile)
    }

    proptest! {
        /// Against a plain vector, with a bound of two blocks so that most of it spills, sources kept
        /// instead of bytes, and a size that is not a multiple of the block.
        #[test]
        fn reads_give_what_was_written_last(
            writes in prop::collection::vec((0u64..39_000, 1usize..20_000, any::<u8>(), any::<bool>()), 1..40),
            reads in prop::collection::vec((0u64..39_000, 0usize..20_000), 1..20),
        ) {
            let base: Vec<u8> = (0..40_001u32).map(|i| (i % 251) as u8).collect();
            let mut model = base.clone();
            let overlay = Overlay::new(Memory::from(base.clone()), 2 * OVERLAY_BLOCK_BYTES, spilling());
            for (offset, length, byte, from_source) in writes {
                let length = length.min(model.len() - offset as usize);
                let data: Vec<u8> = (0..length).map(|i| byte.wrapping_add(i as u8)).collect();
                if from_source {
                    let source: Arc<dyn ReadAt> = Arc::new(Memory::from([&[0; 3][..], &data].concat()));
                    overlay.write_from(offset, &source, 3, length as u64).unwrap();
                } else {
                    overlay.write_at(offset, &data).unwrap();
                }
                model[offset as usize..][..length].copy_from_slice(&data);
            }
            for (offset, length) in reads {
                let length = length.min(model.len() - offset as usize);
                let mut bytes = vec![0; length];
                overlay.read_at(offset, &mut bytes).unwrap();
                prop_assert_eq!(&bytes[..], &model[offset as usize..][..length]);
            }
            let changed = overlay.changed();
            for at in 0..model.len() {
                let listed = changed.iter().any(|range| range.contains(&(at as u64)));
                prop_assert!(listed || model[at] == base[at]);
            }
            prop_assert!(changed.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }

    #[test]
    fn a_file_written_from_front_to_back_is_one_run() {
        let overlay = Overlay::new(Memory::from(vec![0; 1 << 20]), 8 * OVERLAY_BLOCK_BYTES, spilling());
        for block in 0..200u64 {
            overlay.write_at(block * OVERLAY_BLOCK_BYTES, &[block as u8; BLOCK]).unwrap();
        }
        assert_eq!(overlay.state.read().unwrap().runs.len(), 1);
        assert_eq!(overlay.changed(), vec![0..200 * OVERLAY_BLOCK_BYTES]);
        assert!(overlay.state.read().unwrap().tail.len() <= 8 * BLOCK);
    }

    #[test]
    fn a_spill_file_that_cannot_be_made_is_an_error_of_the_write() {
        let refuse: SpillFile = Box::new(|| Err(std::io::ErrorKind::StorageFull.into()));
        let overlay = Overlay::new(Memory::from(vec![0; 1 << 16]), OVERLAY_BLOCK_BYTES, refuse);
        let error = overlay.write_at(0, &[1]).unwrap_err();
        assert_eq!(error.host_error().unwrap().kind(), std::io::ErrorKind::StorageFull);
    }
}
