//! The image's consistency: the findings of [`count`](super::count), every refcount compared with the references, and
//! every compressed cluster decompressed.

use std::collections::HashSet;
use std::ops::Range;
use std::thread;

use storage::Finding;

use super::Qcow2;
use super::compress::Decoder;
use super::count::{Count, Stream};
use crate::CompressionType;
use crate::claim::claim_max;
use crate::error::{Error, Result};
use crate::findings::CUT_OFF_MAX;

/// The most bytes that deflate can make of one byte. Streams that do not overlap cannot become more than the file's size
/// times this.
const DEFLATE_RATIO_MAX: u64 = 1032;
/// The most bytes that zstd can make of one byte in a sound file with clusters of up to 64 KiB, because each cluster needs
/// a frame and an L2 entry.
const ZSTD_RATIO_MAX: u64 = 4096;

/// The most bytes that the streams of `image` may become in a check or a conversion.
///
/// In a hostile image entries may share a stream, and streams may overlap: one L2 table with clusters of 2 MiB can claim
/// 512 GiB.
pub(super) fn decompressed_max(image: &Qcow2) -> u64 {
    let ratio = match image.header().compression {
        CompressionType::Zlib => DEFLATE_RATIO_MAX,
        CompressionType::Zstd => ZSTD_RATIO_MAX,
    };
    claim_max(image.file().size_bytes(), ratio)
}

/// The most threads that decompress.
const THREADS_MAX: usize = 8;

impl Qcow2 {
    /// Everything that is not consistent in the image.
    pub(crate) fn check(&self) -> Result<Vec<Finding>> {
        let mut count = Count::new(self, true)?;
        count.walk()?;
        count.decompress_streams()?;
        if count.untried > 0 {
            let problem = format!(
                "{} compressed clusters were not checked: the others already decompress to more than {} bytes, which a \
                 file of this size can only hold if clusters share streams",
                count.untried,
                decompressed_max(self)
            );
            count.report("qcow2 image", problem);
        }
        count.compare();
        Ok(count.findings.into_list())
    }
}

impl Count<'_> {
    /// Decompresses the collected streams, on several threads.
    pub(super) fn decompress_streams(&mut self) -> Result<()> {
        let mut streams = std::mem::take(&mut self.streams);
        // A stream that entries share is decompressed once.
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
            self.report_error(error)?;
        }
        Ok(())
    }

    /// Compares the refcounts with the references; neighbours with the same difference are one finding.
    fn compare(&mut self) {
        // The references of a table that is cut off are missing, which says nothing about each refcount.
        let runs_max = if self.findings.is_cut_off() { CUT_OFF_MAX } else { u64::MAX };
        let (mut runs, mut unlisted, mut unread) = (0, 0, 0);
        let mut run: Option<(Range<u64>, u64, u64)> = None;
        for cluster in 0..=self.clusters {
            let is_inside = cluster < self.clusters;
            let refcount = if is_inside { self.refcount(cluster) } else { Some(0) };
            unread += u64::from(refcount.is_none());
            let expected = if is_inside { self.references(cluster) } else { 0 };
            let found = refcount.unwrap_or(expected);
            match &mut run {
                Some((range, last_found, last_expected)) if (*last_found, *last_expected) == (found, expected) => {
                    range.end = cluster + 1;
                    continue;
                }
                _ => {}
            }
            if let Some((range, found, expected)) = run.take() {
                runs += 1;
                if runs > runs_max {
                    unlisted += range.end - range.start;
                } else {
                    self.report_refcount(&range, found, expected);
                }
            }
            if found != expected {
                run = Some((cluster..cluster + 1, found, expected));
            }
        }
        if unlisted > 0 {
            let problem = format!("the refcounts of {unlisted} more host clusters are not those expected");
            self.findings.push(Finding::new("qcow2 file", problem));
        }
        if unread > 0 {
            let problem = format!("the refcounts of {unread} host clusters cannot be read");
            self.findings.push(Finding::new("qcow2 file", problem));
        }
    }

    fn report_refcount(&mut self, clusters: &Range<u64>, found: u64, expected: u64) {
        let kind = if found > expected { "leaked" } else { "too low" };
        let place = clusters.start << self.image.header().cluster_bits;
        let object = match clusters.end - clusters.start {
            1 => format!("host cluster at {place:#x}"),
            count => format!("{count} host clusters from {place:#x} on"),
        };
        self.findings.push(Finding::new(object, format!("refcount={found}, expected {expected} ({kind})")));
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
