//! New refcount blocks and a new refcount table.

use std::collections::BTreeSet;

use super::Commit;
use crate::error::{Error, Result};
use crate::qcow2::refcount::{TABLE_MAX_BYTES, set_refcount};
use crate::qcow2::table::numbers;

/// The place of the refcount table.
pub(super) struct RefcountTable {
    pub(super) offset: u64,
    pub(super) clusters: u32,
}

impl Commit<'_> {
    /// Writes the blocks with changed counts and a new table, and returns its place.
    ///
    /// The blocks also have counts of themselves and of the table. To place a block changes counts, perhaps in another
    /// block, which then has to be placed, too. Each block is placed at most once.
    pub(super) fn write_refcounts(&mut self) -> Result<RefcountTable> {
        let header = self.base.header();
        let cluster_size = header.cluster_size();
        if self.space.changed_blocks.is_empty() {
            return Ok(RefcountTable {
                offset: header.refcount_table_offset,
                clusters: header.refcount_table_clusters,
            });
        }
        let mut blocks = if self.rebuild { Vec::new() } else { self.old_blocks()? };
        let clusters = self.table_clusters()?;
        if !self.rebuild {
            let old_bytes = u64::from(header.refcount_table_clusters) << header.cluster_bits;
            self.space.release(header.refcount_table_offset, old_bytes)?;
        }
        let table = self.space.allocate_together(clusters)?;

        let entries = (clusters * cluster_size / 8) as usize;
        // Blocks after the new table's end are for clusters that are not used.
        let unused = blocks.split_off(entries.min(blocks.len()));
        for offset in unused.into_iter().filter(|&offset| offset != 0) {
            self.space.release(offset, cluster_size)?;
        }
        blocks.resize(entries, 0);
        let placed = self.place_blocks(&mut blocks)?;
        for block in placed {
            let mut bytes = vec![0; cluster_size as usize];
            for (at, cluster) in (0..).zip(self.space.clusters_of(block)) {
                set_refcount(&mut bytes, at, header.refcount_order, self.space.count(cluster));
            }
            self.target.write_at(blocks[block as usize], &bytes)?;
        }
        let bytes: Vec<u8> = blocks.iter().flat_map(|offset| offset.to_be_bytes()).collect();
        let offset = table.start << header.cluster_bits;
        self.target.write_at(offset, &bytes)?;
        Ok(RefcountTable { offset, clusters: clusters as u32 })
    }

    /// Gives each block with changed counts a new place. A block whose counts are all zero is dropped.
    fn place_blocks(&mut self, blocks: &mut [u64]) -> Result<BTreeSet<u64>> {
        let header = self.base.header();
        let mut placed = BTreeSet::new();
        while let Some(block) = self.space.changed_blocks.pop_first() {
            let is_used = self.space.clusters_of(block).any(|cluster| self.space.count(cluster) != 0);
            let Some(offset) = blocks.get_mut(block as usize) else {
                debug_assert!(!is_used, "the table is long enough");
                continue;
            };
            if placed.contains(&block) {
                continue;
            }
            if *offset != 0 {
                self.space.release(*offset, header.cluster_size())?;
                *offset = 0;
            }
            // The last count of the block may have been its own.
            let is_used = is_used && self.space.clusters_of(block).any(|cluster| self.space.count(cluster) != 0);
            if is_used {
                *offset = self.space.allocate(1)?.start << header.cluster_bits;
                placed.insert(block);
            }
        }
        Ok(placed)
    }

    /// The places of the old refcount blocks.
    fn old_blocks(&self) -> Result<Vec<u64>> {
        let header = self.base.header();
        // At most 8 MiB.
        let mut bytes = vec![0; (u64::from(header.refcount_table_clusters) << header.cluster_bits) as usize];
        self.base.file().read_at(header.refcount_table_offset, &mut bytes)?;
        Ok(numbers(&bytes).collect())
    }

    /// How many clusters the new table has: enough for any places of the blocks.
    fn table_clusters(&self) -> Result<u64> {
        let header = self.base.header();
        // If there is no room before this end, everything that follows is placed after it.
        let end = self.space.taken_end();
        let (mut blocks, mut clusters) = (0, 0);
        loop {
            let needed = self.space.block_of(end + blocks + clusters) + 1;
            if needed <= blocks {
                break;
            }
            blocks = needed;
            clusters = (blocks * 8).div_ceil(header.cluster_size());
        }
        let cluster_size = header.cluster_size();
        if clusters * cluster_size > TABLE_MAX_BYTES.max(cluster_size) {
            let size = end * cluster_size;
            return Err(Error::unsupported(format!("a qcow2 file of {size:#x} bytes in clusters of {cluster_size}")));
        }
        Ok(clusters)
    }
}
