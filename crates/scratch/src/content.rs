//! The content of a changed file: runs of pages in the [spill file](crate::spill), with holes between them.
//!
//! A file of 10,000 bytes to which the bytes 8,192 to 9,999 were written has one run: page 2 of the file is, say, page
//! 700 of the spill file. Pages 0 and 1 are a hole and read as zeros. The bytes of the last page after the end of the
//! file are zeros always, so that a file that grows again has zeros there.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use storage::{Extent, ExtentKind, Operation, ReadAt, Reason};

use crate::spill::{PAGE_BYTES, Spill};

/// Pages of the file that are kept one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// The first of them in the spill file.
    page: u64,
    pages: u64,
}

/// The content of a regular file.
#[derive(Debug)]
pub(crate) struct Content {
    spill: Arc<Spill>,
    size_bytes: u64,
    /// By the first page in the file. Runs do not overlap.
    runs: BTreeMap<u64, Run>,
    pages: u64,
}

impl Content {
    pub(crate) fn new(spill: &Arc<Spill>) -> Self {
        Self { spill: Arc::clone(spill), size_bytes: 0, runs: BTreeMap::new(), pages: 0 }
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// How many pages it takes.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// The run that `page` is in: its first page, and what it is.
    fn run_at(&self, page: u64) -> Option<(u64, Run)> {
        let (&first, &run) = self.runs.range(..=page).next_back()?;
        (page < first + run.pages).then_some((first, run))
    }

    /// Where the hole ends that `page` is in, at most at `end`.
    fn hole_end(&self, page: u64, end: u64) -> u64 {
        self.runs.range(page..end).next().map_or(end, |(&first, _)| first)
    }

    /// How many pages of `pages` are holes.
    pub(crate) fn missing(&self, bytes: Range<u64>) -> u64 {
        let (mut page, end) = (bytes.start / PAGE_BYTES, bytes.end.div_ceil(PAGE_BYTES));
        let mut missing = 0;
        while page < end {
            match self.run_at(page) {
                Some((first, run)) => page = first + run.pages,
                None => {
                    let next = self.hole_end(page, end);
                    missing += next - page;
                    page = next;
                }
            }
        }
        missing
    }

    /// Takes room for all pages that `bytes` touches.
    pub(crate) fn allocate(&mut self, bytes: Range<u64>) {
        let (mut page, end) = (bytes.start / PAGE_BYTES, bytes.end.div_ceil(PAGE_BYTES));
        while page < end {
            if let Some((first, run)) = self.run_at(page) {
                page = first + run.pages;
                continue;
            }
            let next = self.hole_end(page, end);
            let pages = next - page;
            let kept = self.spill.allocate(pages);
            self.pages += pages;
            // A file that is written from front to back is one run.
            let before = self.runs.range_mut(..page).next_back();
            match before {
                Some((&first, run)) if first + run.pages == page && run.page + run.pages == kept => run.pages += pages,
                _ => {
                    self.runs.insert(page, Run { page: kept, pages });
                }
            }
            page = next;
        }
    }

    /// Writes `data` at `offset`; the file grows if it ends before that.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset + data.len() as u64;
        self.allocate(offset..end);
        self.each_part(offset..end, |spill, at, place| match place {
            Some(place) => spill.write(place, &data[(at.start - offset) as usize..(at.end - offset) as usize]),
            None => Ok(()),
        })?;
        self.size_bytes = self.size_bytes.max(end);
        Ok(())
    }

    /// Reads from `offset` on; returns how many bytes there were before the end.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.size_bytes.saturating_sub(offset).min(buffer.len() as u64);
        let buffer = &mut buffer[..length as usize];
        self.each_part(offset..offset + length, |spill, at, place| {
            let part = &mut buffer[(at.start - offset) as usize..(at.end - offset) as usize];
            match place {
                Some(place) => spill.read(place, part),
                None => {
                    part.fill(0);
                    Ok(())
                }
            }
        })?;
        Ok(length as usize)
    }

    /// Calls `visit` with the parts of `bytes` and where in the spill file they are; `None` is a hole.
    fn each_part(
        &self,
        bytes: Range<u64>,
        mut visit: impl FnMut(&Spill, Range<u64>, Option<u64>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut at = bytes.start;
        while at < bytes.end {
            let page = at / PAGE_BYTES;
            let (end, place) = match self.run_at(page) {
                Some((first, run)) => {
                    let end = (first + run.pages) * PAGE_BYTES;
                    (end, Some((run.page + page - first) * PAGE_BYTES + at % PAGE_BYTES))
                }
                None => (self.hole_end(page, bytes.end.div_ceil(PAGE_BYTES)).saturating_mul(PAGE_BYTES), None),
            };
            let end = end.min(bytes.end);
            visit(&self.spill, at..end, place)?;
            at = end;
        }
        Ok(())
    }

    /// Makes the file `size_bytes` long.
    pub(crate) fn truncate(&mut self, size_bytes: u64) -> io::Result<()> {
        if size_bytes < self.size_bytes {
            self.punch(size_bytes..self.size_bytes.next_multiple_of(PAGE_BYTES))?;
        }
        self.size_bytes = size_bytes;
        // Room after the end, which fallocate can take, goes as well.
        self.free_pages(size_bytes.div_ceil(PAGE_BYTES)..u64::MAX / PAGE_BYTES);
        Ok(())
    }

    /// Makes `bytes` zeros, and a hole where whole pages are.
    pub(crate) fn punch(&mut self, bytes: Range<u64>) -> io::Result<()> {
        let (first, end) = (bytes.start.div_ceil(PAGE_BYTES), bytes.end / PAGE_BYTES);
        let edges = if first > end {
            [bytes.clone(), 0..0]
        } else {
            [bytes.start..first * PAGE_BYTES, end * PAGE_BYTES..bytes.end]
        };
        for edge in edges {
            const ZEROS: [u8; PAGE_BYTES as usize] = [0; PAGE_BYTES as usize];
            self.each_part(edge, |spill, at, place| match place {
                Some(place) => spill.write(place, &ZEROS[..(at.end - at.start) as usize]),
                None => Ok(()),
            })?;
        }
        self.free_pages(first..end);
        Ok(())
    }

    fn free_pages(&mut self, pages: Range<u64>) {
        let mut page = pages.start;
        while page < pages.end {
            let Some((first, run)) = self.run_at(page) else {
                let next = self.hole_end(page, pages.end);
                if next >= pages.end {
                    return;
                }
                page = next;
                continue;
            };
            let end = (first + run.pages).min(pages.end);
            self.runs.remove(&first);
            if first < page {
                self.runs.insert(first, Run { page: run.page, pages: page - first });
            }
            if end < first + run.pages {
                self.runs.insert(end, Run { page: run.page + end - first, pages: first + run.pages - end });
            }
            self.spill.free(run.page + page - first, end - page);
            self.pages -= end - page;
            page = end;
        }
    }

    /// Makes the file `size_bytes` long without touching what is there; it only grows.
    pub(crate) fn grow(&mut self, size_bytes: u64) {
        self.size_bytes = self.size_bytes.max(size_bytes);
    }

    /// Where the next data from `offset` on begin, or the next hole; `None` if there are no data up to the end.
    pub(crate) fn seek(&self, offset: u64, for_data: bool) -> Option<u64> {
        if offset >= self.size_bytes {
            return None;
        }
        let end = self.size_bytes.div_ceil(PAGE_BYTES);
        let mut page = offset / PAGE_BYTES;
        if for_data {
            if self.run_at(page).is_none() {
                page = self.hole_end(page, end);
            }
            return (page < end).then(|| offset.max(page * PAGE_BYTES));
        }
        while let Some((first, run)) = self.run_at(page) {
            page = first + run.pages;
        }
        Some(offset.max(page.saturating_mul(PAGE_BYTES)).min(self.size_bytes))
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        for run in self.runs.values() {
            self.spill.free(run.page, run.pages);
        }
    }
}

/// A content that does not change any more.
#[derive(Debug)]
pub(crate) struct Source(pub(crate) Content);

impl ReadAt for Source {
    fn size_bytes(&self) -> u64 {
        self.0.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> storage::Result<()> {
        storage::check_range(Operation::Read, offset, buffer.len() as u64, self.0.size_bytes)?;
        let length_bytes = buffer.len() as u64;
        let failed = |error| storage::Error::reading(offset, length_bytes, Reason::Io(error));
        self.0.read(offset, buffer).map(drop).map_err(failed)
    }

    fn extent_at(&self, offset: u64) -> storage::Result<Extent> {
        let (page, end) = (offset / PAGE_BYTES, self.0.size_bytes.div_ceil(PAGE_BYTES));
        let (kind, next) = match self.0.run_at(page) {
            Some((first, run)) => (ExtentKind::Data, first + run.pages),
            None => (ExtentKind::Zero, self.0.hole_end(page, end)),
        };
        let next = (next * PAGE_BYTES).min(self.0.size_bytes);
        Ok(Extent { kind, length_bytes: next - offset })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is done to a content.
    #[derive(Clone, Debug)]
    enum Step {
        Write { offset: u64, byte: u8, length: usize },
        Truncate(u64),
        Punch(Range<u64>),
        Allocate(Range<u64>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let range = || (0..40_000_u64, 0..20_000_u64).prop_map(|(start, length)| start..start + length);
        prop_oneof![
            (0..40_000_u64, 1..=255_u8, 1..20_000_usize).prop_map(|(offset, byte, length)| Step::Write {
                offset,
                byte,
                length
            }),
            (0..50_000_u64).prop_map(Step::Truncate),
            range().prop_map(Step::Punch),
            range().prop_map(Step::Allocate),
        ]
    }

    proptest! {
        /// A vector is the judge. What was punched or never written to is zeros, also after the file grew again.
        #[test]
        fn it_has_what_was_written(steps in prop::collection::vec(step(), 1..40)) {
            let spill = Arc::new(Spill::new(tempfile::tempfile().unwrap()));
            let (mut content, mut model) = (Content::new(&spill), Vec::new());
            for step in steps {
                match step {
                    Step::Write { offset, byte, length } => {
                        content.write(offset, &vec![byte; length]).unwrap();
                        let end = offset as usize + length;
                        model.resize(model.len().max(end), 0);
                        model[offset as usize..end].fill(byte);
                    }
                    Step::Truncate(size) => {
                        content.truncate(size).unwrap();
                        model.resize(size as usize, 0);
                    }
                    Step::Punch(range) => {
                        content.punch(range.clone()).unwrap();
                        let end = (range.end as usize).min(model.len());
                        if (range.start as usize) < end {
                            model[range.start as usize..end].fill(0);
                        }
                    }
                    Step::Allocate(range) => {
                        let missing = content.missing(range.clone());
                        let before = content.pages();
                        content.allocate(range.clone());
                        prop_assert_eq!(content.pages(), before + missing);
                        prop_assert_eq!(content.missing(range), 0);
                    }
                }
                prop_assert_eq!(content.size_bytes(), model.len() as u64);
                let mut read = vec![0xee; model.len() + 10];
                prop_assert_eq!(content.read(0, &mut read).unwrap(), model.len());
                prop_assert!(read[..model.len()] == model[..]);
                prop_assert!(content.pages() <= content.runs.values().map(|run| run.pages).sum());
            }
            // Data are where something else than zeros is.
            let mut at = 0;
            while let Some(data) = content.seek(at, true) {
                prop_assert!(model[at as usize..data as usize].iter().all(|byte| *byte == 0));
                at = content.seek(data, false).unwrap();
            }
            prop_assert!(model[(at as usize).min(model.len())..].iter().all(|byte| *byte == 0));
            let source = Source(content);
            let mut all = vec![0; model.len()];
            source.read_at(0, &mut all).unwrap();
            prop_assert!(all == model);
            let mut covered = 0;
            while covered < source.size_bytes() {
                covered += source.extent_at(covered).unwrap().length_bytes;
            }
            prop_assert_eq!(covered, source.size_bytes());
        }
    }

    #[test]
    fn a_file_that_is_written_from_front_to_back_is_one_run_and_gives_its_room_back() {
        let file = tempfile::tempfile().unwrap();
        let spill = Arc::new(Spill::new(file.try_clone().unwrap()));
        let mut content = Content::new(&spill);
        for step in 0..100 {
            content.write(step * 10_240, &[1; 10_240]).unwrap();
        }
        assert_eq!((content.runs.len(), content.pages()), (1, 250));
        let taken = || rustix::fs::fstat(&file).unwrap().st_blocks * 512;
        assert!(taken() >= 1_024_000);
        drop(content);
        assert_eq!(taken(), 0);
    }
}
