//! A change in the image's own file, which takes effect with one write of the header.
//!
//! ```text
//! count      counts every reference and reads every refcount; a damaged image is refused
//! release    takes away the references of changed entries, so that the counts tell which flags are right
//! tables     writes changed clusters and their L2 tables to free clusters
//! l1         writes a new L1 table
//! refcounts  writes the blocks with changed counts, and a new refcount table
//! header     sync, one write, sync; then free clusters at the file's end are cut off
//! ```
//!
//! A cluster is free if its refcount under the old header is zero and nothing refers to it. Only free clusters are
//! written to, so a crash leaves the old image or the new one.
//!
//! This needs memory for three bytes for each host cluster that is used (5 MiB for 100 GiB at the usual cluster size),
//! the L1 table, two L2 tables and a few batches of changed clusters. A file of more than 2^26 clusters is refused.

mod refcounts;
mod space;
mod streams;
mod tables;

use std::ops::Range;

use storage::{Finding, ReadAt, Target};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::Qcow2;
use super::count::Count;
use super::header::L1_MAX_BYTES;
use super::layout::*;
use super::select::cut_by_the_old_end;
use crate::error::{Error, Result};
use crate::write::merged;
use crate::{Edited, Repaired, WriteOptions};
use refcounts::RefcountTable;
use space::Space;

/// The unit in bytes that a disk writes completely or not at all. The header is in the first one.
const SECTOR_BYTES: usize = 512;

/// Makes `disk` the disk of `base`, in its own file; see [`crate::edit()`].
pub(crate) fn edit(
    base: &Qcow2,
    disk: &dyn ReadAt,
    changed: &[Range<u64>],
    target: &dyn Target,
    options: &WriteOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Edited> {
    refuse(base, disk.size_bytes())?;
    let (old_bytes, cluster_size) = (base.header().virtual_size_bytes, base.header().cluster_size());
    let cut = cut_by_the_old_end(old_bytes, disk.size_bytes(), cluster_size);
    let changed: Vec<Range<u64>> = changed.iter().cloned().chain(cut).collect();
    let changed = merged(&changed, cluster_size);
    let mut commit = Commit::new(base, disk.size_bytes(), target, Survey::of(base)?.for_edit()?)?;
    commit.run(|commit| commit.write_tables(disk, &changed, options, progress))?;
    Ok(commit.edited)
}

/// Repairs `base` in its own file; see [`crate::repair`].
pub(crate) fn repair(base: &Qcow2, target: &dyn Target) -> Result<Repaired> {
    let size_bytes = base.header().virtual_size_bytes;
    let survey = Survey::of(base)?;
    let mut repaired = survey.repaired()?;
    let mut commit = Commit::new(base, size_bytes, target, survey.for_repair(repaired.any())?)?;
    commit.run(|commit| commit.set_flags_right())?;
    repaired.old_file_size_bytes = commit.edited.old_file_size_bytes;
    repaired.file_size_bytes = commit.edited.file_size_bytes;
    Ok(repaired)
}

/// Refuses an image that an edit would damage.
fn refuse(base: &Qcow2, size_bytes: u64) -> Result<()> {
    let header = base.header();
    if header.extension(EXTENSION_BITMAPS).is_some() {
        return Err(Error::unsupported(
            "editing in place a qcow2 image with persistent bitmaps, which would miss the change (`qemu-img bitmap \
             --remove` removes them),",
        ));
    }
    if header.extension(EXTENSION_ENCRYPTION).is_some() {
        return Err(Error::unsupported("editing in place a qcow2 image with an encryption header"));
    }
    if size_bytes > header.virtual_size_bytes {
        if header.version < 3 && header.snapshots > 0 {
            return Err(Error::unsupported(format!(
                "enlarging a qcow2 image of version 2 with internal snapshots, snapshots={}, which do not record the \
                 disk's old size,",
                header.snapshots
            )));
        }
        let backing_bytes = base.backing().map_or(0, |backing| backing.size_bytes());
        if backing_bytes > header.virtual_size_bytes {
            return Err(Error::unsupported(format!(
                "enlarging in place a qcow2 image of {:#x} bytes with a larger backing file, of {backing_bytes:#x} bytes,",
                header.virtual_size_bytes
            )));
        }
    }
    Ok(())
}

/// The state of the file before the change.
struct Survey<'a> {
    base: &'a Qcow2,
    count: Count<'a>,
    is_dirty: bool,
}

/// The starting point of a change.
struct Start {
    space: Space,
    /// Whether all refcounts are written anew.
    rebuild: bool,
    /// Whether every L2 table is checked for wrong flags.
    every_table: bool,
}

impl<'a> Survey<'a> {
    fn of(base: &'a Qcow2) -> Result<Self> {
        let mut count = Count::new(base, false)?;
        count.walk()?;
        if let Some(damage) = count.damage.take() {
            return Err(corrupt(damage));
        }
        Ok(Self { base, count, is_dirty: base.header().incompatible & INCOMPATIBLE_DIRTY != 0 })
    }

    /// Starts from the refcounts in the file, if they are right.
    fn for_edit(mut self) -> Result<Start> {
        // Sectors past the file's end exist as soon as the file is longer.
        let rebuild = self.is_dirty || self.count.has_cut_streams;
        let every_table = rebuild || self.count.has_doubles || self.count.bad_flags > 0;
        if rebuild {
            return self.rebuilt(every_table);
        }
        if let Some(finding) = self.count.bad_refcounts.take() {
            return Err(corrupt(finding));
        }
        let header = self.base.header();
        for cluster in 0..self.count.clusters {
            let (found, expected) = (self.count.actual.get(cluster), self.count.references(cluster));
            if found < expected {
                let place = cluster << header.cluster_bits;
                return Err(corrupt(Finding::new(
                    format!("host cluster at {place:#x}"),
                    format!("refcount={found}, expected {expected}: the image has to be repaired first"),
                )));
            }
        }
        let mut space = Space::new(header, self.count.clusters, self.count.actual);
        space.changed_blocks.extend(self.count.past_end);
        Ok(Start { space, rebuild, every_table })
    }

    fn for_repair(self, rebuild: bool) -> Result<Start> {
        if rebuild {
            return self.rebuilt(true);
        }
        let space = Space::new(self.base.header(), self.count.clusters, self.count.actual);
        Ok(Start { space, rebuild, every_table: false })
    }

    /// Starts from the references instead of the refcounts. The new image does not use the old refcount structures.
    fn rebuilt(self, every_table: bool) -> Result<Start> {
        let header = self.base.header();
        let mut space = Space::new(header, self.count.clusters, self.count.expected);
        for cluster in (0..self.count.clusters).filter(|&cluster| self.count.own.get(cluster) != 0) {
            space.take(cluster..cluster + 1);
        }
        for cluster in 0..space.end() {
            let count = space.count(cluster);
            if count > space.count_max {
                let place = cluster << header.cluster_bits;
                return Err(Error::unsupported(format!(
                    "a qcow2 image with {count} references to the host cluster at {place:#x} and refcounts of {} bits",
                    1 << header.refcount_order
                )));
            }
        }
        space.changed_blocks.extend(0..=space.block_of(space.end()));
        Ok(Start { space, rebuild: true, every_table })
    }

    /// The changes that a repair has to make.
    fn repaired(&self) -> Result<Repaired> {
        let mut repaired = Repaired {
            flags_set_right: self.count.bad_flags,
            refcount_table_rebuilt: self.count.bad_refcounts.is_some(),
            dirty_bit_cleared: self.is_dirty,
            ..Repaired::default()
        };
        for cluster in 0..self.count.clusters {
            let (found, expected) = (self.count.actual.get(cluster), self.count.references(cluster));
            repaired.refcounts_lowered += u64::from(found > expected);
            repaired.refcounts_raised += u64::from(found < expected);
        }
        Ok(repaired)
    }
}

fn corrupt(finding: Finding) -> Error {
    Error::corrupt(finding.object, finding.problem)
}

/// A change in progress.
struct Commit<'a> {
    base: &'a Qcow2,
    target: &'a dyn Target,
    size_bytes: u64,
    space: Space,
    rebuild: bool,
    every_table: bool,
    /// The new L1 table.
    l1: Vec<u64>,
    edited: Edited,
}

impl<'a> Commit<'a> {
    fn new(base: &'a Qcow2, size_bytes: u64, target: &'a dyn Target, start: Start) -> Result<Self> {
        let header = base.header();
        let needed = size_bytes.div_ceil(header.cluster_size()).div_ceil(1 << header.l2_bits());
        if needed * 8 > L1_MAX_BYTES {
            let cluster_size = header.cluster_size();
            return Err(Error::unsupported(format!(
                "a qcow2 disk of {size_bytes} bytes in clusters of {cluster_size}"
            )));
        }
        let mut l1 = base.l1().to_vec();
        l1.resize(l1.len().max(needed as usize), 0);
        let Start { space, rebuild, every_table } = start;
        let edited = Edited { old_file_size_bytes: base.file().size_bytes(), ..Edited::default() };
        Ok(Self { base, target, size_bytes, space, rebuild, every_table, l1, edited })
    }

    /// Does `work`, which writes only to free clusters, and then makes the result the image.
    fn run(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let old_size_bytes = self.edited.old_file_size_bytes;
        let sector = match work(self).and_then(|()| self.prepare()) {
            Ok(sector) => sector,
            Err(error) => {
                // This gives back the room at the file's end. The first error is the one that is reported.
                let _ = self.target.set_size(old_size_bytes);
                return Err(error);
            }
        };
        let mut size_bytes = self.space.end() << self.base.header().cluster_bits;
        if let Some(sector) = sector {
            self.target.write_at(0, &sector).and_then(|()| self.target.sync()).map_err(Error::Undecided)?;
        } else {
            size_bytes = size_bytes.min(old_size_bytes);
        }
        // If the end cannot be cut off, its clusters are free for the next edit.
        if size_bytes < old_size_bytes && self.target.set_size(size_bytes).is_err() {
            size_bytes = old_size_bytes;
        }
        self.edited.file_size_bytes = size_bytes;
        self.edited.host_clusters_reused = self.space.reused;
        self.edited.host_clusters_appended = self.space.appended;
        self.edited.host_clusters_freed = self.space.freed;
        Ok(())
    }

    /// Writes and syncs everything that the new header refers to. Returns the file's first sector with that header, or
    /// `None` if the header does not change.
    fn prepare(&mut self) -> Result<Option<[u8; SECTOR_BYTES]>> {
        let header = self.base.header();
        let has_new_l1 = self.l1 != self.base.l1();
        if !self.rebuild && !has_new_l1 && self.size_bytes == header.virtual_size_bytes {
            return Ok(None);
        }
        let l1_offset = if has_new_l1 { self.write_l1()? } else { header.l1_offset };
        let refcount_table = self.write_refcounts()?;
        let size_bytes = self.space.end() << header.cluster_bits;
        if size_bytes > self.edited.old_file_size_bytes {
            self.target.set_size(size_bytes)?;
        }
        self.target.sync()?;
        self.new_sector(l1_offset, &refcount_table).map(Some)
    }

    fn write_l1(&mut self) -> Result<u64> {
        let header = self.base.header();
        if header.l1_entries > 0 {
            self.space.release(header.l1_offset, u64::from(header.l1_entries) * 8)?;
        }
        let mut bytes: Vec<u8> = self.l1.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        bytes.resize(bytes.len().next_multiple_of(header.cluster_size() as usize), 0);
        let places = self.space.allocate_together(bytes.len() as u64 >> header.cluster_bits)?;
        let offset = places.start << header.cluster_bits;
        self.target.write_at(offset, &bytes)?;
        Ok(offset)
    }

    /// The file's first sector with the new image's header. The rest of the sector stays the same.
    fn new_sector(&self, l1_offset: u64, refcount_table: &RefcountTable) -> Result<[u8; SECTOR_BYTES]> {
        let header = self.base.header();
        let mut sector = [0; SECTOR_BYTES];
        self.base.file().read_at(0, &mut sector)?;
        let (mut raw, _) = RawHeader::read_from_prefix(&sector).map_err(|_| short_header())?;
        raw.size = self.size_bytes.into();
        raw.l1_size = (self.l1.len() as u32).into();
        raw.l1_table_offset = l1_offset.into();
        raw.refcount_table_offset = refcount_table.offset.into();
        raw.refcount_table_clusters = refcount_table.clusters.into();
        sector[..HEADER_V2_BYTES].copy_from_slice(raw.as_bytes());
        if header.version >= 3 {
            let fields = &mut sector[HEADER_V2_BYTES..][..header.v3_bytes()];
            let mut v3 = RawHeaderV3::new_zeroed();
            v3.as_mut_bytes()[..fields.len()].copy_from_slice(fields);
            v3.incompatible_features = (header.incompatible & !INCOMPATIBLE_DIRTY).into();
            // These bits are for structures that this writer does not update.
            v3.autoclear_features = 0.into();
            fields.copy_from_slice(&v3.as_bytes()[..fields.len()]);
        }
        Ok(sector)
    }
}

fn short_header() -> Error {
    Error::corrupt("qcow2 header", "it is shorter than its fields")
}
