//! Compressed clusters, one after another in free host clusters.

use storage::Target;

use super::space::Space;
use crate::error::Result;

/// The room in bytes that is reserved for streams at a time, at least one cluster.
const RESERVE_BYTES: u64 = 1 << 20;
/// Streams are written in steps of about this many bytes.
const BUFFER_BYTES: usize = 1 << 20;

/// Places streams and writes them in large steps.
pub(super) struct Streams<'a> {
    target: &'a dyn Target,
    cluster_bits: u32,
    /// Where the next stream goes.
    position: u64,
    /// The end of the room that is reserved for streams.
    end: u64,
    /// The bytes before `position` that are not written yet.
    buffer: Vec<u8>,
}

impl<'a> Streams<'a> {
    pub(super) fn new(target: &'a dyn Target, cluster_bits: u32) -> Self {
        Self { target, cluster_bits, position: 0, end: 0, buffer: Vec::new() }
    }

    /// Writes a stream, which is shorter than a cluster, and returns its place.
    pub(super) fn append(&mut self, space: &mut Space, bytes: &[u8]) -> Result<u64> {
        let length = bytes.len() as u64;
        // Each turn leaves a full cluster or takes a free one, so there are at most three turns.
        loop {
            if self.position + length > self.end {
                self.make_room(space)?;
            } else if space.count(self.position >> self.cluster_bits) == space.count_max {
                self.end_cluster()?;
            } else {
                break;
            }
        }
        let offset = self.position;
        for cluster in offset >> self.cluster_bits..=(offset + length - 1) >> self.cluster_bits {
            space.refer(cluster);
        }
        self.buffer.extend_from_slice(bytes);
        self.position += length;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(offset)
    }

    /// Writes everything that is not written yet, and frees the rest of the room.
    pub(super) fn finish(mut self, space: &mut Space) -> Result<()> {
        self.end_cluster()?;
        self.flush()?;
        space.give_back(self.position >> self.cluster_bits..self.end >> self.cluster_bits);
        Ok(())
    }

    fn make_room(&mut self, space: &mut Space) -> Result<()> {
        let room = space.reserve((RESERVE_BYTES >> self.cluster_bits).max(1))?;
        if room.start << self.cluster_bits != self.end {
            self.end_cluster()?;
            self.flush()?;
            self.position = room.start << self.cluster_bits;
        }
        self.end = room.end << self.cluster_bits;
        Ok(())
    }

    /// Fills the rest of the current cluster with zeros.
    fn end_cluster(&mut self) -> Result<()> {
        let next = self.position.next_multiple_of(1 << self.cluster_bits);
        self.buffer.resize(self.buffer.len() + (next - self.position) as usize, 0);
        self.position = next;
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.target.write_at(self.position - self.buffer.len() as u64, &self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
