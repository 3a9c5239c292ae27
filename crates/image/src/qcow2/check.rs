//! The image's consistency: what [`count`](super::count) finds, every refcount held against the references,
//! and every compressed cluster decompressed.

use std::collections::HashSet;
use std::ops::Range;
use std::thread;

use storage::Finding;

use super::Qcow2;
use super::compress::Decoder;
use super::count::{Count, FINDINGS_MAX, Stream};
use crate::CompressionType;
use crate::error::{Error, Result};

/// The least that streams may become in the whole check, in bytes, whatever the size of the file.
///
/// Entries may share a stream, and streams may lie on each other: one L2 table with clusters of 2 MiB can ask for
/// 512 GiB.
pub(super) const DECOMPRESSED_MIN_BYTES: u64 = 1 << 30;
/// The most that deflate makes of one byte: streams that are apart cannot become more than that times the file.
const DEFLATE_RATIO_MAX: u64 = 1032;
/// The most that zstd makes of one byte of a sound file with clusters of up to 64 KiB, each of which has a frame and an
/// L2 entry.
const ZSTD_RATIO_MAX: u64 = 4096;

/// How many bytes the streams of `image` may become in a check.
pub(super) fn decompressed_max(image: &Qcow2) -> u64 {
    let ratio = match image.header().compression {
        CompressionType::Zlib => DEFLATE_RATIO_MAX,
        CompressionType::Zstd => ZSTD_RATIO_MAX,
    };
    image.file().size_bytes().saturating_mul(ratio).max(DECOMPRESSED_MIN_BYTES)
}

/// The most threads that decompress.
const THREADS_MAX: usize = 8;

impl Qcow2 {
    /// What is not consistent in the image.
    pub(crate) fn check(&self) -> Result<Vec<Finding>> {
        let mut count = Count::new(self, true)?;
        count.walk()?;
        count.decompress_streams()?;
        if count.untried > 0 {
            let problem = format!(
                "{} compressed clusters are not looked at: the others are more than {} bytes already, which a file of \
                 this size has only where they share streams",
                count.untried,
                decompressed_max(self)
            );
            count.report("qcow2 image", problem);
        }
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
        let mut streams = std::mem::take(&mut self.streams);
        // Entries that share a stream share its fate.
        let mut seen = HashSet::new();
        streams.retain(|stream| seen.insert((stream.offset, stream.length_bytes)));
        let cluster_size = self.image.header().cluster_size();
        let affordable = (self.decompress_bytes / cluster_size).min(streams.len() as u64);
        self.untried += streams.len() as u64 - affordable;
        self.decompress_bytes -= affordable * cluster_size;
        streams.truncate(affordable as usize);
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
