//! Decides which clusters of a new file are packed anew and which are copied from a layer.

use std::ops::Range;

use storage::{ExtentKind, ReadAt};

use super::header::Header;
use super::layers::{Cursor, Layers, Place};
use crate::convert::Source;
use crate::error::Result;
use crate::write::merged;
use crate::{NewClusters, WriteOptions};

/// The most ranges of clusters that are kept. If there are more, neighbours are merged.
const RANGES_MAX: usize = 1 << 17;

/// The decision for the disk's clusters.
pub(crate) struct Selection<'a> {
    pub(crate) layers: Layers<'a>,
    /// The clusters that are read from the disk and packed, sorted. Any other cluster is copied if a layer has it.
    pub(crate) changed: Vec<Range<u64>>,
}

/// Decides for each cluster of the disk of `source`.
pub(crate) fn select<'a>(new: &Header, source: &Source<'a>, options: &WriteOptions) -> Result<Selection<'a>> {
    let size_bytes = source.disk.size_bytes();
    let mut changed = source.changed.to_vec();
    if new.backing.is_some() {
        // Unchanged data is in the backing file.
        if source.base.is_none() || !source.keeps_all {
            changed.push(0..size_bytes);
        }
        return Ok(Selection { layers: Layers::none(), changed: merged(&changed, new.cluster_size()) });
    }
    if let Some(base) = source.base {
        changed.extend(cut_by_the_old_end(base.size_bytes(), size_bytes, new.cluster_size()));
    }
    let changed = merged(&changed, new.cluster_size());
    let layers = Layers::new(source.base, new);
    if source.keeps_all && layers.are_like_the_new_file() {
        return Ok(Selection { layers, changed });
    }
    let keep = |place: Place| match (place, options.new_clusters) {
        (Place::Zero, _) => true,
        (Place::Read, _) => false,
        (Place::Compressed { .. }, new) => source.keeps_all || new != NewClusters::Plain,
        (Place::Plain { .. }, new) => source.keeps_all || new == NewClusters::Plain,
    };
    let changed = add_what_is_not_kept(new, source.disk, &changed, &mut layers.cursor(), &keep)?;
    Ok(Selection { layers, changed })
}

/// Bytes of the cluster with the disk's old end, if the disk becomes larger and ended inside that cluster: the rest of the
/// cluster did not belong to the disk, and may be anything.
pub(crate) fn cut_by_the_old_end(old_bytes: u64, new_bytes: u64, cluster_size: u64) -> Option<Range<u64>> {
    (new_bytes > old_bytes && !old_bytes.is_multiple_of(cluster_size)).then(|| old_bytes - 1..old_bytes)
}

/// The clusters `changed`, and those with data that are not copied.
fn add_what_is_not_kept(
    new: &Header,
    disk: &dyn ReadAt,
    changed: &[Range<u64>],
    cursor: &mut Cursor<'_>,
    keep: &dyn Fn(Place) -> bool,
) -> Result<Vec<Range<u64>>> {
    let mut ranges = Ranges::default();
    let mut changes = Changes::new(changed);
    let (mut cluster, mut extent) = (0, (ExtentKind::Zero, 0));
    while cluster < new.guest_clusters() {
        if let Some(end) = changes.end_from(cluster) {
            ranges.push(cluster..end);
            cluster = end;
            continue;
        }
        let start = cluster << new.cluster_bits;
        if extent.1 <= start {
            let found = disk.extent_at(start)?;
            extent = (found.kind, start + found.length_bytes);
        }
        let (kind, end) = extent;
        // Up to the next change, or to the disk's end.
        let whole = if end == disk.size_bytes() { new.guest_clusters() } else { end >> new.cluster_bits };
        let zeros_end = whole.min(changes.next_start());
        if kind == ExtentKind::Zero && zeros_end > cluster {
            cluster = zeros_end;
            continue;
        }
        if !keep(cursor.place(cluster)?) {
            ranges.push(cluster..cluster + 1);
        }
        cluster += 1;
    }
    Ok(ranges.ranges)
}

/// Ranges in ascending order, in bounded memory.
#[derive(Default)]
struct Ranges {
    ranges: Vec<Range<u64>>,
    /// Ranges with a gap of at most this many clusters are merged.
    gap: u64,
}

impl Ranges {
    fn push(&mut self, range: Range<u64>) {
        match self.ranges.last_mut() {
            Some(last) if range.start <= last.end + self.gap => last.end = last.end.max(range.end),
            _ => self.ranges.push(range),
        }
        // To pack a cluster that could be copied costs only time.
        while self.ranges.len() > RANGES_MAX {
            self.gap = self.gap * 2 + 1;
            for range in std::mem::take(&mut self.ranges) {
                match self.ranges.last_mut() {
                    Some(last) if range.start <= last.end + self.gap => last.end = range.end,
                    _ => self.ranges.push(range),
                }
            }
        }
    }
}

/// Tells whether a cluster changed, for clusters in ascending order.
pub(crate) struct Changes<'a> {
    rest: &'a [Range<u64>],
}

impl<'a> Changes<'a> {
    pub(crate) fn new(changed: &'a [Range<u64>]) -> Self {
        Self { rest: changed }
    }

    /// The end of the changed range with `cluster`; `None` if the cluster did not change.
    pub(crate) fn end_from(&mut self, cluster: u64) -> Option<u64> {
        if self.rest.first().is_some_and(|range| range.end <= cluster) {
            self.rest = &self.rest[self.rest.partition_point(|range| range.end <= cluster)..];
        }
        self.rest.first().filter(|range| range.start <= cluster).map(|range| range.end)
    }

    /// The start of the next range, after [`end_from`](Self::end_from) returned `None`.
    fn next_start(&self) -> u64 {
        self.rest.first().map_or(u64::MAX, |range| range.start)
    }

    pub(crate) fn contain(&mut self, cluster: u64) -> bool {
        self.end_from(cluster).is_some()
    }

    /// Whether any of `clusters` changed.
    pub(crate) fn touch(&mut self, clusters: &Range<u64>) -> bool {
        self.contain(clusters.start) || self.next_start() < clusters.end
    }

    /// How many of `clusters` changed.
    pub(crate) fn count_in(&mut self, clusters: &Range<u64>) -> u64 {
        self.contain(clusters.start);
        let overlap = |range: &Range<u64>| range.end.min(clusters.end).saturating_sub(range.start.max(clusters.start));
        self.rest.iter().take_while(|range| range.start < clusters.end).map(overlap).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ranges_become_fewer_and_lose_nothing() {
        let mut ranges = Ranges::default();
        let count = RANGES_MAX as u64 * 3;
        for number in 0..count {
            ranges.push(number * 3..number * 3 + 1);
        }
        assert!(ranges.ranges.len() <= RANGES_MAX);
        let mut changes = Changes::new(&ranges.ranges);
        assert!((0..count).all(|number| changes.contain(number * 3)));
        assert!(ranges.ranges.is_sorted_by(|one, next| one.end < next.start));
    }
}
