//! The image's consistency: what [`count`](super::count) finds, every refcount held against the references,
//! and every compressed cluster decompressed.

use std::ops::Range;
use std::thread;

use storage::Finding;

use super::Qcow2;
use super::compress::Decoder;
use super::count::{Count, FINDINGS_MAX, Stream};
use crate::error::{Error, Result};

/// The most threads that decompress.
const THREADS_MAX: usize = 8;

impl Qcow2 {
    /// What is not consistent in the image.
    pub(crate) fn check(&self) -> Result<Vec<Finding>> {
        let mut count = Count::new(self, true)?;
        count.walk()?;
        count.decompress_streams()?;
        count.compare();
        let cut_off = count.cut_off();
        let mut findings: Vec<Finding> = cut_off.into_iter().chain(count.findings).collect();
        if findings.len() > FINDINGS_MAX {
            findings.truncate(FINDINGS_MAX);
            count.unlisted += 1;
        }
        if count.unlisted > 0 {
            findings.push(Finding::new("qcow2 image", format!("{} more findings are not listed", count.unlisted)));
        }
        Ok(findings)
    }
}

impl Count<'_> {
    /// Decompresses the streams that have come together, on several threads.
    pub(super) fn decompress_streams(&mut self) -> Result<()> {
        let streams = std::mem::take(&mut self.streams);
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let image = self.image;
        let part = streams.len().div_ceil(threads).max(1);
        let errors: Vec<Error> = thread::scope(|scope| {
            let work = |part| scope.spawn(move || decompress_all(image, part));
            let threads: Vec<_> = streams.chunks(part).map(work).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("decompressing does not panic")).collect()
        });
        for error in errors {
            match error {
                Error::Corrupt { object, problem } => self.report(object, problem),
                Error::Truncated { ref object, .. } => self.report(object.clone(), error.to_string()),
                other => return Err(other),
            }
        }
        Ok(())
    }

    /// Holds the refcounts against the references, neighbours with the same difference together.
    fn compare(&mut self) {
        let bits = self.image.header().cluster_bits;
        let mut run: Option<(Range<u64>, u64, u64)> = None;
        for cluster in 0..=self.clusters {
            let is_inside = cluster < self.clusters;
            let found = if is_inside { self.actual.get(cluster) } else { 0 };
            let expected = if is_inside { self.references(cluster) } else { 0 };
            match &mut run {
                Some((range, last_found, last_expected)) if (*last_found, *last_expected) == (found, expected) => {
                    range.end = cluster + 1;
                    continue;
                }
                _ => {}
            }
            if let Some((range, found, expected)) = run.take() {
                let kind = if found > expected { "leaked" } else { "too low" };
                let object = match range.end - range.start {
                    1 => format!("host cluster at {:#x}", range.start << bits),
                    count => format!("{count} host clusters from {:#x} on", range.start << bits),
                };
                self.list(Finding::new(object, format!("refcount={found}, expected {expected} ({kind})")));
            }
            if found != expected {
                run = Some((cluster..cluster + 1, found, expected));
            }
        }
    }
}

fn decompress_all(image: &Qcow2, streams: &[Stream]) -> Vec<Error> {
    let mut decoder = Decoder::new(image.header().compression);
    let mut bytes = vec![0; image.header().cluster_size() as usize];
    let mut decompress = |stream: &Stream| {
        image.decompress_with(&mut decoder, stream.cluster, stream.offset, stream.length_bytes, &mut bytes).err()
    };
    streams.iter().filter_map(&mut decompress).collect()
}
