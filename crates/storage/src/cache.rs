//! Pages kept in memory, written back together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{COPY_STEP_BYTES, Extent, ExtentKind, Operation, ReadAt, Result, WriteAt, check_range};

/// The unit that is kept, in bytes.
const PAGE_BYTES: u64 = 4096;
const PAGE: usize = PAGE_BYTES as usize;
/// Reads and writes of this length in bytes or more bypass the cache: they are content, not metadata.
const LARGE_BYTES: usize = 64 << 10;

/// A storage that keeps pages of another one in memory, changed ones until [`flush`](Self::flush) or until
/// there is no more room.
///
/// Metadata is read and written again and again, a few bytes at a time; with the cache, each time costs a copy
/// in memory. The storage below gets the changed pages in order and in as few writes as possible. A cache that is
/// dropped without `flush` loses the pages that it has not written.
pub struct Cache<S> {
    base: S,
    pages: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Page → slot.
    slots: HashMap<u64, usize>,
    /// By slot; a slot with `None` is not in use.
    pages: Vec<Option<Page>>,
    unused: Vec<usize>,
    /// By slot, [`PAGE`] bytes each.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Page {
    number: u64,
    dirty: bool,
    /// Whether it was used again after it was read or after room was last made.
    used: bool,
}

/// A part of a range of bytes that lies within one page.
struct Part {
    page: u64,
    /// Where it begins in the page.
    skip: usize,
    /// Where it is in the range.
    range: std::ops::Range<usize>,
}

fn parts(offset: u64, length: usize) -> impl Iterator<Item = Part> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let skip = (at % PAGE_BYTES) as usize;
        let step = (PAGE - skip).min(length - done);
        let part = Part { page: at / PAGE_BYTES, skip, range: done..done + step };
        done += step;
        (step > 0).then_some(part)
    })
}

impl State {
    fn slot_bytes(&mut self, slot: usize) -> &mut [u8] {
        &mut self.bytes[slot * PAGE..][..PAGE]
    }

    /// Adds a page whose bytes the caller fills in.
    fn add(&mut self, number: u64) -> usize {
        let slot = self.unused.pop().unwrap_or_else(|| {
            self.pages.push(None);
            self.bytes.resize(self.bytes.len() + PAGE, 0);
            self.pages.len() - 1
        });
        self.pages[slot] = Some(Page { number, dirty: false, used: false });
        self.slots.insert(number, slot);
        slot
    }

    fn remove(&mut self, number: u64) {
        if let Some(slot) = self.slots.remove(&number) {
            self.pages[slot] = None;
            self.unused.push(slot);
        }
    }

    fn set_dirty(&mut self, slot: usize, dirty: bool) {
        if let Some(page) = &mut self.pages[slot] {
            page.dirty = dirty;
        }
    }

    fn set_used(&mut self, slot: usize) {
        if let Some(page) = &mut self.pages[slot] {
            page.used = true;
        }
    }

    /// Drops unchanged pages: those that were not used again, and if these are too few, all of them. So pages that
    /// are written once do not displace those that are read again and again.
    fn make_room(&mut self, pages: usize) {
        self.drop_clean(false);
        if self.slots.len() > pages / 4 * 3 {
            self.drop_clean(true);
        }
    }

    fn drop_clean(&mut self, used_too: bool) {
        for slot in 0..self.pages.len() {
            let Some(page) = &mut self.pages[slot] else { continue };
            let goes = !page.dirty && (used_too || !page.used);
            page.used = false;
            let number = page.number;
            if goes {
                self.remove(number);
            }
        }
    }
}

impl<S> Cache<S> {
    /// A cache of up to `memory_bytes` over `base`.
    pub fn new(base: S, memory_bytes: u64) -> Self {
        let pages = usize::try_from(memory_bytes / PAGE_BYTES).unwrap_or(usize::MAX).max(1);
        Self { base, pages, state: Mutex::default() }
    }

    /// The storage below, which lacks the changes that were not flushed.
    pub fn base(&self) -> &S {
        &self.base
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: ReadAt> Cache<S> {
    /// Reads the part of a page that the storage has.
    fn read_page(&self, number: u64, bytes: &mut [u8]) -> Result<()> {
        let start = number * PAGE_BYTES;
        let inside = (self.base.size_bytes() - start).min(PAGE_BYTES) as usize;
        self.base.read_at(start, &mut bytes[..inside])
    }

    /// Reads a page into the cache, which has room.
    fn load(&self, state: &mut State, number: u64) -> Result<usize> {
        let slot = state.add(number);
        let read = self.read_page(number, state.slot_bytes(slot));
        if read.is_err() {
            state.remove(number);
        }
        read.map(|()| slot)
    }
}

impl<S: ReadAt> ReadAt for Cache<S> {
    fn size_bytes(&self) -> u64 {
        self.base.size_bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(Operation::Read, offset, buffer.len() as u64, self.size_bytes())?;
        let is_large = buffer.len() >= LARGE_BYTES;
        if is_large {
            self.base.read_at(offset, buffer)?;
        }
        let state = &mut *self.state();
        for part in parts(offset, buffer.len()) {
            let slot = match state.slots.get(&part.page) {
                Some(&slot) => {
                    state.set_used(slot);
                    slot
                }
                None if is_large => continue,
                None => {
                    if state.slots.len() >= self.pages {
                        state.make_room(self.pages);
                    }
                    // A read may not write pages back to make room.
                    if state.slots.len() >= self.pages {
                        self.base.read_at(offset + part.range.start as u64, &mut buffer[part.range])?;
                        continue;
                    }
                    self.load(state, part.page)?
                }
            };
            let length = part.range.len();
            buffer[part.range].copy_from_slice(&state.slot_bytes(slot)[part.skip..][..length]);
        }
        Ok(())
    }

    /// Pages that are kept are data, whatever they are below.
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let extent = self.base.extent_at(offset)?;
        if extent.kind == ExtentKind::Data {
            return Ok(extent);
        }
        let state = self.state();
        let first = offset / PAGE_BYTES;
        match state.slots.keys().copied().filter(|&page| page >= first).min() {
            Some(page) if page == first => {
                let rest = (first + 1) * PAGE_BYTES - offset;
                Ok(Extent { kind: ExtentKind::Data, length_bytes: extent.length_bytes.min(rest) })
            }
            Some(page) => Ok(Extent { length_bytes: extent.length_bytes.min(page * PAGE_BYTES - offset), ..extent }),
            None => Ok(extent),
        }
    }
}

impl<S: WriteAt> Cache<S> {
    /// Writes every changed page to the storage below.
    ///
    /// # Errors
    ///
    /// The error of the storage below; the pages then still count as changed.
    pub fn flush(&self) -> Result<()> {
        self.write_back(&mut self.state())
    }

    fn write_back(&self, state: &mut State) -> Result<()> {
        let dirty = |page: &Option<Page>| page.filter(|page| page.dirty).map(|page| page.number);
        let mut numbers: Vec<u64> = state.pages.iter().filter_map(dirty).collect();
        numbers.sort_unstable();
        let mut run = Vec::new();
        for pages in numbers.chunk_by(|before, after| before + 1 == *after) {
            for pages in pages.chunks(COPY_STEP_BYTES as usize / PAGE) {
                run.clear();
                for number in pages {
                    let slot = state.slots[number];
                    run.extend_from_slice(state.slot_bytes(slot));
                }
                let start = pages[0] * PAGE_BYTES;
                let inside = (self.base.size_bytes() - start).min(run.len() as u64) as usize;
                self.base.write_at(start, &run[..inside])?;
                for number in pages {
                    let slot = state.slots[number];
                    state.set_dirty(slot, false);
                }
            }
        }
        Ok(())
    }

    /// Writes to pages in memory, and loads those that are not there yet.
    fn write_pages(&self, offset: u64, data: &[u8]) -> Result<()> {
        let state = &mut *self.state();
        for part in parts(offset, data.len()) {
            let slot = match state.slots.get(&part.page) {
                Some(&slot) => {
                    state.set_used(slot);
                    slot
                }
                None => {
                    if state.slots.len() >= self.pages {
                        self.write_back(state)?;
                        state.make_room(self.pages);
                    }
                    if part.range.len() == PAGE { state.add(part.page) } else { self.load(state, part.page)? }
                }
            };
            let length = part.range.len();
            state.slot_bytes(slot)[part.skip..][..length].copy_from_slice(&data[part.range]);
            state.set_dirty(slot, true);
        }
        Ok(())
    }

    /// Writes whole pages to the storage below, and drops them here.
    fn write_past(&self, pages: std::ops::Range<u64>, write: impl FnOnce() -> Result<()>) -> Result<()> {
        let state = &mut *self.state();
        write()?;
        for number in pages {
            state.remove(number);
        }
        Ok(())
    }
}

/// The whole pages in a range of bytes.
fn whole_pages(offset: u64, length: u64) -> std::ops::Range<u64> {
    offset.div_ceil(PAGE_BYTES)..(offset + length) / PAGE_BYTES
}

impl<S: WriteAt> WriteAt for Cache<S> {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        check_range(Operation::Write, offset, data.len() as u64, self.size_bytes())?;
        if data.len() < LARGE_BYTES {
            return self.write_pages(offset, data);
        }
        let whole = whole_pages(offset, data.len() as u64);
        let (from, to) = ((whole.start * PAGE_BYTES - offset) as usize, (whole.end * PAGE_BYTES - offset) as usize);
        self.write_pages(offset, &data[..from])?;
        self.write_past(whole.clone(), || self.base.write_at(whole.start * PAGE_BYTES, &data[from..to]))?;
        self.write_pages(whole.end * PAGE_BYTES, &data[to..])
    }

    fn write_from(&self, offset: u64, source: &Arc<dyn ReadAt>, source_offset: u64, length_bytes: u64) -> Result<()> {
        check_range(Operation::Write, offset, length_bytes, self.size_bytes())?;
        check_range(Operation::Read, source_offset, length_bytes, source.size_bytes())?;
        let whole = whole_pages(offset, length_bytes);
        let copy = |from: u64, to: u64| -> Result<()> {
            let mut bytes = vec![0; (to - from) as usize];
            source.read_at(source_offset + (from - offset), &mut bytes)?;
            self.write_pages(from, &bytes)
        };
        let end = offset + length_bytes;
        if length_bytes < LARGE_BYTES as u64 {
            return copy(offset, end);
        }
        let (from, to) = (whole.start * PAGE_BYTES, whole.end * PAGE_BYTES);
        copy(offset, from)?;
        self.write_past(whole, || self.base.write_from(from, source, source_offset + (from - offset), to - from))?;
        copy(to, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain vector, with room for so few pages that they are written back all the time,
        /// and a size that is no multiple of a page.
        #[test]
        fn reads_give_what_was_written_last(
            edits in prop::collection::vec((0u64..300_000, 1usize..90_000, any::<u8>(), 0u8..4), 1..60),
        ) {
            let base: Vec<u8> = (0..300_001u32).map(|i| (i % 251) as u8).collect();
            let mut model = base.clone();
            let memory = Arc::new(Memory::from(base));
            let cache = Cache::new(Arc::clone(&memory), 5 * PAGE_BYTES);
            for (offset, length, byte, kind) in edits {
                let length = if kind % 2 == 0 { length.min(9000) } else { length }.min(model.len() - offset as usize);
                let data: Vec<u8> = (0..length).map(|i| byte.wrapping_add(i as u8)).collect();
                if kind == 3 {
                    let source: Arc<dyn ReadAt> = Arc::new(Memory::from([&[0; 3][..], &data].concat()));
                    cache.write_from(offset, &source, 3, length as u64).unwrap();
                } else {
                    cache.write_at(offset, &data).unwrap();
                }
                model[offset as usize..][..length].copy_from_slice(&data);
                let from = (offset as usize).saturating_sub(length / 2);
                let mut bytes = vec![0; (2 * length).min(model.len() - from)];
                cache.read_at(from as u64, &mut bytes).unwrap();
                prop_assert_eq!(&bytes[..], &model[from..][..bytes.len()]);
                prop_assert!(cache.state().slots.len() <= 5);
            }
            cache.flush().unwrap();
            let mut bytes = vec![0; model.len()];
            memory.read_at(0, &mut bytes).unwrap();
            prop_assert_eq!(bytes, model);
        }
    }

    #[test]
    fn nothing_is_below_before_the_flush() {
        let memory = Arc::new(Memory::from(vec![0; 1 << 16]));
        let cache = Cache::new(Arc::clone(&memory), 1 << 16);
        cache.write_at(5000, &[1; 3]).unwrap();
        let mut bytes = [9; 3];
        memory.read_at(5000, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 3]);
        cache.flush().unwrap();
        memory.read_at(5000, &mut bytes).unwrap();
        assert_eq!(bytes, [1; 3]);
    }

    #[test]
    fn zeros_below_are_no_longer_known_to_be_where_something_was_written() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let cache = Cache::new(crate::FileStorage::new(file).unwrap(), 1 << 20);
        cache.write_at(10 * PAGE_BYTES + 5, b"x").unwrap();
        // A host file system may report no holes.
        let kind = |offset: u64| cache.extent_at(offset).unwrap();
        if kind(0).kind == ExtentKind::Zero {
            assert_eq!(kind(100), Extent { kind: ExtentKind::Zero, length_bytes: 10 * PAGE_BYTES - 100 });
            assert_eq!(kind(10 * PAGE_BYTES + 96), Extent { kind: ExtentKind::Data, length_bytes: 4000 });
            assert_eq!(kind(11 * PAGE_BYTES), Extent { kind: ExtentKind::Zero, length_bytes: (1 << 20) - 11 * 4096 });
        }
    }
}
