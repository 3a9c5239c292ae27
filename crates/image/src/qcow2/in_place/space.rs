//! Host clusters: which of them are free under the old header, and how often the new image refers to each.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::qcow2::count::CLUSTERS_MAX;
use crate::qcow2::counts::Counts;
use crate::qcow2::header::Header;

/// The host clusters of an image that is being changed.
///
/// A cluster that the old image uses stays taken even if the new image does not use it: until the header is written, the
/// file has the old image.
pub(super) struct Space {
    /// References of the new image by host cluster.
    counts: Counts,
    /// A bit for each host cluster that the old image or this change uses.
    taken: Vec<u64>,
    /// All clusters before this one are taken.
    lowest: u64,
    /// Host clusters that the old file has.
    old_clusters: u64,
    cluster_bits: u32,
    /// Binary logarithm of the number of counts in a refcount block.
    counts_a_block_bits: u32,
    /// The highest refcount that fits its width.
    pub(super) count_max: u64,
    /// The refcount blocks with a changed count.
    pub(super) changed_blocks: BTreeSet<u64>,
    /// How many clusters inside the old file are used now and were not before.
    pub(super) reused: u64,
    /// How many clusters after the old file's end are used now.
    pub(super) appended: u64,
    /// How many clusters were used and are not any more.
    pub(super) freed: u64,
}

impl Space {
    /// The space of an image with `old_clusters` clusters. The new image starts with the refcounts `counts`.
    pub(super) fn new(header: &Header, old_clusters: u64, counts: Counts) -> Self {
        let end = old_clusters.max(counts.end());
        let mut space = Self {
            counts,
            taken: vec![0; end.div_ceil(64) as usize],
            lowest: 0,
            old_clusters,
            cluster_bits: header.cluster_bits,
            counts_a_block_bits: header.cluster_bits + 3 - header.refcount_order,
            count_max: u64::MAX >> (64 - (1 << header.refcount_order)),
            changed_blocks: BTreeSet::new(),
            reused: 0,
            appended: 0,
            freed: 0,
        };
        for cluster in 0..end {
            if space.counts.get(cluster) != 0 {
                space.take(cluster..cluster + 1);
            }
        }
        space
    }

    pub(super) fn count(&self, cluster: u64) -> u64 {
        self.counts.get(cluster)
    }

    /// The end of the clusters that the new image refers to.
    pub(super) fn end(&self) -> u64 {
        self.counts.end()
    }

    /// The end of the clusters that the old image or this change uses.
    pub(super) fn taken_end(&self) -> u64 {
        let last = self.taken.iter().rposition(|&bits| bits != 0);
        last.map_or(0, |word| word as u64 * 64 + u64::from(64 - self.taken[word].leading_zeros()))
    }

    /// The refcount block that has the count of `cluster`.
    pub(super) fn block_of(&self, cluster: u64) -> u64 {
        cluster >> self.counts_a_block_bits
    }

    /// The clusters whose counts are in a refcount block.
    pub(super) fn clusters_of(&self, block: u64) -> Range<u64> {
        block << self.counts_a_block_bits..(block + 1) << self.counts_a_block_bits
    }

    fn is_taken(&self, cluster: u64) -> bool {
        self.taken.get(cluster as usize / 64).is_some_and(|bits| bits >> (cluster % 64) & 1 != 0)
    }

    /// Marks `clusters` as taken.
    pub(super) fn take(&mut self, clusters: Range<u64>) {
        let words = clusters.end.div_ceil(64) as usize;
        if words > self.taken.len() {
            self.taken.resize(words, 0);
        }
        for cluster in clusters {
            self.taken[cluster as usize / 64] |= 1 << (cluster % 64);
        }
    }

    /// Frees `clusters`, which [`reserve`](Self::reserve) returned and nothing refers to.
    pub(super) fn give_back(&mut self, clusters: Range<u64>) {
        self.lowest = self.lowest.min(clusters.start);
        for cluster in clusters {
            self.taken[cluster as usize / 64] &= !(1 << (cluster % 64));
        }
    }

    /// Takes the lowest free clusters that follow one another, at least one and at most `most`.
    /// Nothing refers to them yet.
    pub(super) fn reserve(&mut self, most: u64) -> Result<Range<u64>> {
        while self.is_taken(self.lowest) {
            let bits = self.taken[self.lowest as usize / 64] >> (self.lowest % 64);
            self.lowest += u64::from(bits.trailing_ones());
        }
        let start = self.lowest;
        let more = (start + 1..start + most).take_while(|&cluster| !self.is_taken(cluster)).count() as u64;
        self.reserve_range(start..start + 1 + more)
    }

    fn reserve_range(&mut self, clusters: Range<u64>) -> Result<Range<u64>> {
        if clusters.end > CLUSTERS_MAX {
            return Err(Error::unsupported(format!("a qcow2 file of more than {CLUSTERS_MAX} clusters")));
        }
        self.take(clusters.clone());
        Ok(clusters)
    }

    /// As [`reserve`](Self::reserve), and counts one reference to each of them.
    pub(super) fn allocate(&mut self, most: u64) -> Result<Range<u64>> {
        let clusters = self.reserve(most)?;
        clusters.clone().for_each(|cluster| self.refer(cluster));
        Ok(clusters)
    }

    /// Takes the lowest `clusters` free clusters that follow one another, and counts one reference to each.
    pub(super) fn allocate_together(&mut self, clusters: u64) -> Result<Range<u64>> {
        let mut start = self.lowest;
        // The loop ends after the last taken cluster at the latest.
        while let Some(taken) = (start..start + clusters).rev().find(|&cluster| self.is_taken(cluster)) {
            start = taken + 1;
        }
        let clusters = self.reserve_range(start..start + clusters)?;
        clusters.clone().for_each(|cluster| self.refer(cluster));
        Ok(clusters)
    }

    /// Counts a reference to a cluster that this change has taken, up to [`count_max`](Self::count_max).
    pub(super) fn refer(&mut self, cluster: u64) {
        if self.counts.get(cluster) == 0 {
            *if cluster < self.old_clusters { &mut self.reused } else { &mut self.appended } += 1;
        }
        self.counts.add(cluster, 1);
        self.changed_blocks.insert(self.block_of(cluster));
    }

    /// Takes away one reference from each of the clusters with the `length_bytes` bytes from `offset` on.
    pub(super) fn release(&mut self, offset: u64, length_bytes: u64) -> Result<()> {
        for cluster in offset >> self.cluster_bits..=(offset + length_bytes - 1) >> self.cluster_bits {
            let count = self.counts.get(cluster);
            let Some(less) = count.checked_sub(1) else {
                let place = cluster << self.cluster_bits;
                return Err(Error::corrupt(format!("host cluster at {place:#x}"), "refcount=0, expected at least 1"));
            };
            self.counts.set(cluster, less);
            self.freed += u64::from(less == 0);
            self.changed_blocks.insert(self.block_of(cluster));
        }
        Ok(())
    }
}
