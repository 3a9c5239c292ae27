//! The changed clusters of the disk, and the L2 tables with their entries.

use std::ops::Range;
use std::thread::scope;

use storage::ReadAt;

use super::Commit;
use super::streams::Streams;
use crate::error::{Error, Result};
use crate::qcow2::Qcow2;
use crate::qcow2::header::Header;
use crate::qcow2::layout::{FLAG_COPIED, FLAG_ZERO, OFFSET_MASK, SUBCLUSTERS};
use crate::qcow2::pack::{Packed, Packer, read_clusters};
use crate::qcow2::select::Changes;
use crate::qcow2::table::{Entry, RawEntry, cluster_name, compressed_entry, raw_entries};
use crate::write::Progress;
use crate::zeros::is_zero;
use crate::{NewClusters, WriteOptions};

/// The bytes of a cluster that are checked for zeros before the whole cluster is.
const PROBE_BYTES: u64 = 4096;
/// The bytes of plain clusters that are copied in one step, at least one cluster.
const COPY_STEP_BYTES: u64 = 16 << 20;

/// The source and the destination of the changed clusters.
struct Changed<'a> {
    disk: &'a dyn ReadAt,
    packer: Option<Packer>,
    streams: Streams<'a>,
    progress: Progress<'a>,
}

/// A new L2 table, and the plain clusters of its last entries, which have no place yet.
struct NewTable {
    first_cluster: u64,
    entries: Vec<RawEntry>,
    plain: Range<usize>,
}

impl<'a> Commit<'a> {
    /// Writes the clusters `changed` of `disk`, and the L2 tables that change with them.
    pub(super) fn write_tables(
        &mut self,
        disk: &'a dyn ReadAt,
        changed: &'a [Range<u64>],
        options: &WriteOptions,
        progress: &'a (dyn Fn(u64, u64) + Sync),
    ) -> Result<()> {
        self.release_replaced(changed)?;
        let header = self.base.header();
        let bytes = changed.iter().map(|range| range.end - range.start).sum::<u64>() << header.cluster_bits;
        scope(|scope| {
            let packer = match options.new_clusters {
                // If refcounts cannot exceed one, streams cannot share a cluster, and compression saves nothing.
                NewClusters::Compressed { level } if self.space.count_max > 1 => {
                    Some(Packer::start(scope, disk, header, changed, level, options.threads))
                }
                _ => None,
            };
            let streams = Streams::new(self.target, header.cluster_bits);
            let mut source = Changed { disk, packer, streams, progress: Progress::new(progress, bytes) };
            let mut changes = Changes::new(changed);
            for index in 0..self.l1.len() as u64 {
                if self.has_work(index, &mut changes) {
                    self.write_table(index, &mut changes, Some(&mut source))?;
                }
            }
            source.streams.finish(&mut self.space)
        })
    }

    /// Writes the L2 tables whose flags do not match the refcounts.
    pub(super) fn set_flags_right(&mut self) -> Result<()> {
        let mut changes = Changes::new(&[]);
        for index in 0..self.l1.len() as u64 {
            if self.has_work(index, &mut changes) {
                self.write_table(index, &mut changes, None)?;
            }
        }
        Ok(())
    }

    /// Whether the L2 table of the L1 entry `index` may change.
    fn has_work(&self, index: u64, changes: &mut Changes<'_>) -> bool {
        let clusters = self.clusters_of_table(index);
        let has_table = self.base.l1().get(index as usize).is_some_and(|&raw| raw & OFFSET_MASK != 0);
        let (old_end, new_end) = self.ends();
        let has_new_end = clusters.start < new_end && clusters.end > old_end && old_end < new_end;
        changes.touch(&clusters) || has_table && (self.every_table || has_new_end)
    }

    fn clusters_of_table(&self, index: u64) -> Range<u64> {
        let bits = self.base.header().l2_bits();
        index << bits..(index + 1) << bits
    }

    /// The numbers of clusters of the old and of the new disk.
    fn ends(&self) -> (u64, u64) {
        let header = self.base.header();
        (header.guest_clusters(), self.size_bytes.div_ceil(header.cluster_size()))
    }

    /// Whether `cluster` was past the disk's old end: its old entry does not belong to the guest.
    fn was_past_end(&self, cluster: u64) -> bool {
        let (old_end, new_end) = self.ends();
        (old_end..new_end).contains(&cluster)
    }

    /// Takes away the references of old entries that the new tables will not have.
    fn release_replaced(&mut self, changed: &[Range<u64>]) -> Result<()> {
        let header = self.base.header();
        let mut changes = Changes::new(changed);
        for index in 0..self.base.l1().len() as u64 {
            if !self.has_work(index, &mut changes) {
                continue;
            }
            let Some(table) = self.base.l2_table(index)? else { continue };
            for (cluster, raw) in self.clusters_of_table(index).zip(read_table(self.base, table)?) {
                if raw == RawEntry::default() || !(changes.contain(cluster) || self.was_past_end(cluster)) {
                    continue;
                }
                let entry = self.parse(cluster, raw)?;
                if let Entry::Compressed { offset, length_bytes } = entry {
                    self.space.release(offset, length_bytes)?;
                } else if let Some(offset) = entry.host_cluster() {
                    self.space.release(offset, header.cluster_size())?;
                }
            }
        }
        Ok(())
    }

    fn parse(&self, cluster: u64, raw: RawEntry) -> Result<Entry> {
        let header = self.base.header();
        Entry::parse(raw, header).map_err(|problem| Error::corrupt(cluster_name(cluster, header), problem))
    }

    /// Writes a new L2 table for the L1 entry `index`, if it changes.
    fn write_table(
        &mut self,
        index: u64,
        changes: &mut Changes<'_>,
        mut source: Option<&mut Changed<'_>>,
    ) -> Result<()> {
        let header = self.base.header();
        let old_offset = self.base.l2_table(index)?;
        let old = match old_offset {
            Some(offset) => read_table(self.base, offset)?,
            None => vec![RawEntry::default(); 1 << header.l2_bits()],
        };
        let first_cluster = index << header.l2_bits();
        let mut table = NewTable { first_cluster, entries: vec![RawEntry::default(); old.len()], plain: 0..0 };
        for (at, cluster) in self.clusters_of_table(index).enumerate() {
            table.entries[at] = match &mut source {
                Some(source) if changes.contain(cluster) => self.write_cluster(source, &mut table, at, old[at])?,
                _ if self.was_past_end(cluster) => RawEntry::default(),
                _ => self.kept_entry(cluster, old[at])?,
            };
        }
        if let Some(source) = source {
            self.write_plain(source, &mut table)?;
        }
        self.place_table(index, old_offset, &old, &table.entries)
    }

    /// Makes `new` the table of the L1 entry `index`.
    fn place_table(&mut self, index: u64, old_offset: Option<u64>, old: &[RawEntry], new: &[RawEntry]) -> Result<()> {
        let header = self.base.header();
        let entry = &mut self.l1[index as usize];
        if new == old {
            if let Some(offset) = old_offset {
                let copied = self.space.count(offset >> header.cluster_bits) == 1;
                *entry = offset | if copied { FLAG_COPIED } else { 0 };
            }
            return Ok(());
        }
        if let Some(offset) = old_offset {
            self.space.release(offset, header.cluster_size())?;
        }
        if new.iter().all(|&entry| entry == RawEntry::default()) {
            *entry = 0;
            return Ok(());
        }
        let offset = self.space.allocate(1)?.start << header.cluster_bits;
        *entry = offset | FLAG_COPIED;
        let mut bytes = Vec::with_capacity(header.cluster_size() as usize);
        for entry in new {
            bytes.extend_from_slice(&entry.descriptor.to_be_bytes());
            if header.has_extended_l2() {
                bytes.extend_from_slice(&entry.bitmap.to_be_bytes());
            }
        }
        Ok(self.target.write_at(offset, &bytes)?)
    }

    /// An unchanged entry, with the flag that matches its refcount now.
    fn kept_entry(&self, cluster: u64, raw: RawEntry) -> Result<RawEntry> {
        if raw == RawEntry::default() {
            return Ok(raw);
        }
        let entry = self.parse(cluster, raw)?;
        let copied = match (entry, entry.host_cluster()) {
            (_, Some(offset)) => self.space.count(offset >> self.base.header().cluster_bits) == 1,
            (Entry::Compressed { .. }, None) => false,
            (_, None) => return Ok(raw),
        };
        let descriptor = raw.descriptor & !FLAG_COPIED | if copied { FLAG_COPIED } else { 0 };
        Ok(RawEntry { descriptor, ..raw })
    }

    /// Writes the next changed cluster and returns its entry. A plain cluster gets its entry later.
    fn write_cluster(
        &mut self,
        source: &mut Changed<'_>,
        table: &mut NewTable,
        at: usize,
        old: RawEntry,
    ) -> Result<RawEntry> {
        let header = self.base.header();
        let cluster = table.first_cluster + at as u64;
        let packed = match &mut source.packer {
            Some(packer) => packer.next()?,
            None if self.is_zero_cluster(source.disk, cluster)? => Packed::Zero,
            None => Packed::Plain,
        };
        let entry = match packed {
            Packed::Compressed(bytes) => {
                self.edited.clusters_compressed += 1;
                let offset = source.streams.append(&mut self.space, bytes)?;
                compressed_entry(header, offset, bytes.len() as u64)?.into()
            }
            Packed::Zero if self.can_say_zero() => {
                self.edited.clusters_zero += 1;
                self.zero_entry(old)
            }
            Packed::Zero | Packed::Plain => {
                if table.plain.end != at {
                    self.write_plain(source, table)?;
                    table.plain = at..at;
                }
                table.plain.end = at + 1;
                return Ok(RawEntry::default());
            }
        };
        source.progress.advance(header.cluster_size());
        Ok(entry)
    }

    /// Whether an entry can mark its cluster as zeros. An empty entry means the backing file's bytes.
    fn can_say_zero(&self) -> bool {
        let header = self.base.header();
        header.backing.is_none() || header.version >= 3
    }

    /// The entry of a cluster of zeros.
    fn zero_entry(&self, old: RawEntry) -> RawEntry {
        let header = self.base.header();
        let zero = match header.has_extended_l2() {
            true => RawEntry { descriptor: 0, bitmap: u64::from(u32::MAX) << SUBCLUSTERS },
            false => FLAG_ZERO.into(),
        };
        // An entry that already means zeros without a host cluster stays.
        if header.backing.is_some() || old == zero { zero } else { RawEntry::default() }
    }

    /// Copies the plain clusters that have no place yet.
    fn write_plain(&mut self, source: &mut Changed<'_>, table: &mut NewTable) -> Result<()> {
        let header = self.base.header();
        let most = (COPY_STEP_BYTES >> header.cluster_bits).max(1);
        let mut plain = std::mem::take(&mut table.plain);
        self.edited.clusters_plain += plain.len() as u64;
        while !plain.is_empty() {
            let places = self.space.allocate(most.min(plain.len() as u64))?;
            let cluster = table.first_cluster + plain.start as u64;
            self.copy_clusters(source.disk, cluster, places.clone())?;
            for place in places.clone() {
                table.entries[plain.start] = plain_entry(header, place << header.cluster_bits);
                plain.start += 1;
            }
            source.progress.advance((places.end - places.start) << header.cluster_bits);
        }
        Ok(())
    }

    /// Copies clusters of the disk from `first` on to the host clusters `places`.
    fn copy_clusters(&self, disk: &dyn ReadAt, first: u64, places: Range<u64>) -> Result<()> {
        let bits = self.base.header().cluster_bits;
        let (from, to) = (first << bits, places.start << bits);
        let length_bytes = (places.end - places.start) << bits;
        // The disk may end inside the last cluster.
        let there = length_bytes.min(disk.size_bytes() - from);
        self.target.copy_from(to, disk, from, there)?;
        if there < length_bytes {
            self.target.write_at(to + there, &vec![0; (length_bytes - there) as usize])?;
        }
        Ok(())
    }

    fn is_zero_cluster(&self, disk: &dyn ReadAt, cluster: u64) -> Result<bool> {
        let header = self.base.header();
        let start = cluster << header.cluster_bits;
        let mut probe = vec![0; PROBE_BYTES.min(header.cluster_size()).min(disk.size_bytes() - start) as usize];
        disk.read_at(start, &mut probe)?;
        Ok(is_zero(&probe) && is_zero(&read_clusters(disk, header, cluster..cluster + 1)?))
    }
}

/// The entry of a plain cluster with one reference.
fn plain_entry(header: &Header, offset: u64) -> RawEntry {
    let bitmap = if header.has_extended_l2() { u64::from(u32::MAX) } else { 0 };
    RawEntry { descriptor: offset | FLAG_COPIED, bitmap }
}

fn read_table(base: &Qcow2, offset: u64) -> Result<Vec<RawEntry>> {
    let mut bytes = vec![0; base.header().cluster_size() as usize];
    base.file().read_at(offset, &mut bytes)?;
    Ok(raw_entries(&bytes, base.header()))
}
