//! Compresses changed clusters on several threads; the results come in order.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::thread::Scope;

use storage::ReadAt;

use super::compress::Encoder;
use super::header::Header;
use crate::error::{Error, Result};
use crate::in_order::InOrder;
use crate::zeros::is_zero;

/// The changed bytes that one thread reads and compresses at a time, at least one cluster.
const BATCH_BYTES: u64 = 1 << 20;

/// A changed cluster, packed.
pub(crate) enum Packed<'a> {
    /// All zeros.
    Zero,
    /// Compressed to these bytes.
    Compressed(&'a [u8]),
    /// Not compressed, because that does not make it smaller.
    Plain,
}

/// The clusters of one batch, packed.
#[derive(Default)]
struct Batch {
    /// The kinds of the clusters; a compressed one has the number of its bytes in `bytes`.
    clusters: Vec<Kind>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Kind {
    Zero,
    Compressed { length: usize },
    Plain,
}

/// Returns the changed clusters, packed, in the order of the disk.
pub(crate) struct Packer {
    batches: InOrder<Batch>,
    batch: Batch,
    next_cluster: usize,
    next_byte: usize,
}

impl Packer {
    /// Starts `threads` threads in `scope` on the clusters `changed` of `disk`.
    pub(crate) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        disk: &'env dyn ReadAt,
        header: &'env Header,
        changed: &'env [Range<u64>],
        level: u32,
        threads: NonZeroUsize,
    ) -> Self {
        let make_worker = move || {
            let mut encoder = Encoder::new(header.compression, level).map_err(|error| Error::writing(0, 0, error))?;
            Ok(move |clusters| pack(disk, header, clusters, &mut encoder))
        };
        let batches = InOrder::start(scope, threads, batches(changed, header.cluster_size()), make_worker);
        Self { batches, batch: Batch::default(), next_cluster: 0, next_byte: 0 }
    }

    /// The next changed cluster.
    pub(crate) fn next(&mut self) -> Result<Packed<'_>> {
        if self.next_cluster == self.batch.clusters.len() {
            self.batch = self.batches.next().expect("each batch comes, or an error")?;
            (self.next_cluster, self.next_byte) = (0, 0);
        }
        let kind = self.batch.clusters[self.next_cluster];
        self.next_cluster += 1;
        Ok(match kind {
            Kind::Zero => Packed::Zero,
            Kind::Plain => Packed::Plain,
            Kind::Compressed { length } => {
                let from = self.next_byte;
                self.next_byte += length;
                Packed::Compressed(&self.batch.bytes[from..self.next_byte])
            }
        })
    }
}

/// The changed clusters in batches, in order.
fn batches(changed: &[Range<u64>], cluster_size: u64) -> impl Iterator<Item = Range<u64>> + Clone {
    let clusters = (BATCH_BYTES / cluster_size).max(1);
    changed.iter().flat_map(move |range| {
        let end = range.end;
        range.clone().step_by(clusters as usize).map(move |first| first..(first + clusters).min(end))
    })
}

fn pack(disk: &dyn ReadAt, header: &Header, clusters: Range<u64>, encoder: &mut Encoder) -> Result<Batch> {
    let cluster_size = header.cluster_size() as usize;
    let bytes = read_clusters(disk, header, clusters)?;
    let mut batch = Batch::default();
    for cluster in bytes.chunks_exact(cluster_size) {
        if is_zero(cluster) {
            batch.clusters.push(Kind::Zero);
            continue;
        }
        let from = batch.bytes.len();
        // One byte less than the cluster, so that only a smaller result fits.
        batch.bytes.resize(from + cluster_size - 1, 0);
        let length = encoder.encode(cluster, &mut batch.bytes[from..]);
        batch.bytes.truncate(from + length.unwrap_or(0));
        batch.clusters.push(length.map_or(Kind::Plain, |length| Kind::Compressed { length }));
    }
    Ok(batch)
}

/// The bytes of `clusters`, padded with zeros if the disk ends inside the last one.
pub(crate) fn read_clusters(disk: &dyn ReadAt, header: &Header, clusters: Range<u64>) -> Result<Vec<u8>> {
    let start = clusters.start << header.cluster_bits;
    let mut bytes = vec![0; ((clusters.end - clusters.start) << header.cluster_bits) as usize];
    let there = (disk.size_bytes() - start).min(bytes.len() as u64);
    disk.read_at(start, &mut bytes[..there as usize])?;
    Ok(bytes)
}
