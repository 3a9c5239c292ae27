//! New refcount blocks and a new refcount table.

use std::collections::BTreeSet;

use super::Commit;
use crate::error::{Error, Result};
use crate::qcow2::refcount::{TABLE_MAX_BYTES, set_refcount};
use crate::qcow2::table::numbers;

/// Where the refcount table is.
pub(super) struct RefcountTable {
    pub(super) offset: u64,
    pub(super) clusters: u32,
}

impl Commit<'_> {
    /// Writes the blocks with changed counts and a new table, and says where that is.
    ///
    /// The blocks and the table count themselves. Placing a block changes counts, maybe in another
    /// block, which has to be placed, too; each block is placed once at most.
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
        // A block behind the new table's end is for clusters that are not used.
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

    /// Gives each block with changed counts a new place, and none where its counts are all zero.
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
            // Its own count may have been the last.
            let is_used = is_used && self.space.clusters_of(block).any(|cluster| self.space.count(cluster) != 0);
            if is_used {
                *offset = self.space.allocate(1)?.start << header.cluster_bits;
                placed.insert(block);
            }
        }
        Ok(placed)
    }

    /// Where the old refcount blocks are.
    fn old_blocks(&self) -> Result<Vec<u64>> {
        let header = self.base.header();
        // At most 8 MiB.
        let mut bytes = vec![0; (u64::from(header.refcount_table_clusters) << header.cluster_bits) as usize];
        self.base.file().read_at(header.refcount_table_offset, &mut bytes)?;
        Ok(numbers(&bytes).collect())
    }

    /// How many clusters the new table has: as many as are enough whatever place the blocks get.
    fn table_clusters(&self) -> Result<u64> {
        let header = self.base.header();
        // Where there is no room in front of this, what is placed from now on is behind it.
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
