//! Changed clusters compressed on several threads, and given back in order.

use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use storage::ReadAt;

use super::compress::Encoder;
use super::header::Header;
use crate::error::{Error, Result};
use crate::zeros::is_zero;

/// The changed bytes that one thread reads and compresses at a time; one cluster where that is more.
const BATCH_BYTES: u64 = 1 << 20;

/// What became of a changed cluster.
pub(crate) enum Packed<'a> {
    /// All zeros.
    Zero,
    /// Compressed to these bytes.
    Compressed(&'a [u8]),
    /// Compressing does not make it smaller.
    Plain,
}

/// The clusters of one batch, packed.
#[derive(Default)]
struct Batch {
    /// A cluster's kind; how many of `bytes` are its own where it is compressed.
    clusters: Vec<Kind>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Kind {
    Zero,
    Compressed { length: usize },
    Plain,
}

/// Gives the changed clusters packed, in the order of the disk.
///
/// Batch number `n` is the work of thread `n % threads`, and each thread has its own channel of one
/// batch: the order needs no sorting, and memory is bounded by a few batches a thread.
pub(crate) struct Packer {
    threads: Vec<Receiver<Result<Batch>>>,
    next_batch: usize,
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
        threads: usize,
    ) -> Self {
        let threads = (0..threads)
            .map(|thread| {
                let (sender, receiver) = sync_channel(1);
                let mine = batches(changed, header.cluster_size()).skip(thread).step_by(threads);
                scope.spawn(move || pack_all(disk, header, mine, level, &sender));
                receiver
            })
            .collect();
        Self { threads, next_batch: 0, batch: Batch::default(), next_cluster: 0, next_byte: 0 }
    }

    /// The next changed cluster.
    pub(crate) fn next(&mut self) -> Result<Packed<'_>> {
        if self.next_cluster == self.batch.clusters.len() {
            let receiver = &self.threads[self.next_batch % self.threads.len()];
            self.batch = receiver.recv().expect("a thread sends each of its batches or an error")?;
            self.next_batch += 1;
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
fn batches(changed: &[Range<u64>], cluster_size: u64) -> impl Iterator<Item = Range<u64>> {
    let clusters = (BATCH_BYTES / cluster_size).max(1);
    changed.iter().flat_map(move |range| {
        let end = range.end;
        range.clone().step_by(clusters as usize).map(move |first| first..(first + clusters).min(end))
    })
}

fn pack_all(
    disk: &dyn ReadAt,
    header: &Header,
    batches: impl Iterator<Item = Range<u64>>,
    level: u32,
    sender: &SyncSender<Result<Batch>>,
) {
    let mut encoder = match Encoder::new(header.compression, level) {
        Ok(encoder) => encoder,
        Err(error) => {
            // An error of sending means that nobody waits any more, here and below.
            let _ = sender.send(Err(Error::writing(0, 0, error)));
            return;
        }
    };
    for clusters in batches {
        let packed = pack(disk, header, clusters, &mut encoder);
        let is_error = packed.is_err();
        if sender.send(packed).is_err() || is_error {
            return;
        }
    }
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
        // One byte less than the cluster: what is not smaller is not kept.
        batch.bytes.resize(from + cluster_size - 1, 0);
        let length = encoder.encode(cluster, &mut batch.bytes[from..]);
        batch.bytes.truncate(from + length.unwrap_or(0));
        batch.clusters.push(length.map_or(Kind::Plain, |length| Kind::Compressed { length }));
    }
    Ok(batch)
}

/// The bytes of `clusters`, the last of them padded with zeros where the disk ends inside it.
pub(crate) fn read_clusters(disk: &dyn ReadAt, header: &Header, clusters: Range<u64>) -> Result<Vec<u8>> {
    let start = clusters.start << header.cluster_bits;
    let mut bytes = vec![0; ((clusters.end - clusters.start) << header.cluster_bits) as usize];
    let there = (disk.size_bytes() - start).min(bytes.len() as u64);
    disk.read_at(start, &mut bytes[..there as usize])?;
    Ok(bytes)
}
