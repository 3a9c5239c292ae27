//! The new file, from front to back: header, L1 table, L2 tables, compressed clusters, plain
//! clusters, refcount blocks, refcount table.
//!
//! ```text
//! survey            finds which L2 tables there will be, and how much work; nothing is written yet
//! place_compressed  writes streams in guest order, and L2 tables with a mark for each plain cluster
//! place_plain       writes plain clusters in guest order, and replaces each mark by the cluster's place
//! refcounts         counts the references of the L2 tables that were just written
//! header            comes last: until then the file is not an image
//! ```
//!
//! Only the L1 table needs memory in proportion to the image (at most 32 MiB; 16 KiB for each TiB at the usual cluster
//! size): the new L2 tables are written in the first pass and read again in the others.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::thread::{Scope, scope};

use storage::ReadAt;
use zerocopy::FromBytes;

use super::Qcow2;
use super::append::Mover;
use super::header::{Header, L1_MAX_BYTES};
use super::layers::{Layers, Place};
use super::layout::*;
use super::pack::{Packed, Packer, read_clusters};
use super::refcount::{self, RefcountPlaces};
use super::select::{Changes, Selection, select};
use super::table::{Entry, cluster_name, compressed_entry, numbers};
use crate::append::Appender;
use crate::convert::Source;
use crate::error::{Error, Result};
use crate::write::Progress;
use crate::zeros::is_zero;
use crate::{NewClusters, WriteOptions, Written};

/// In a new L2 table, the mark for a plain cluster whose place is not known yet.
const PLAIN_MARK: u64 = FLAG_COPIED;
/// The bytes of plain clusters that are read at a time, at least one cluster.
const PLAIN_STEP_BYTES: u64 = 2 << 20;

/// Writes the disk of `source` with the header `header`, in which the places of tables are not known yet.
pub(crate) fn write(
    header: &Header,
    source: &Source<'_>,
    target: &File,
    options: &WriteOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Written> {
    let selection = select(header, source, options)?;
    let plan = survey(header, &selection)?;
    let progress = Progress::new(progress, plan.work_clusters << header.cluster_bits);
    let mut writer = Writer {
        header,
        layers: selection.layers,
        disk: source.disk,
        changed: &selection.changed,
        target,
        plan,
        progress,
        is_packed: matches!(options.new_clusters, NewClusters::Compressed { .. }),
        written: Written::default(),
    };
    let plain_start = scope(|scope| writer.place_compressed(scope, options))?;
    let data_end = writer.place_plain(plain_start)?;
    let refcounts = writer.write_refcounts(plain_start, data_end)?;
    writer.write_l1_and_header(&refcounts)?;
    writer.written.file_size_bytes = refcounts.file_size_bytes();
    Ok(writer.written)
}

impl Qcow2 {
    /// Refuses a base that has something that the new file would lose.
    pub(crate) fn refuse_losses(&self) -> Result<()> {
        let header = self.header();
        let lost = if header.snapshots > 0 {
            format!("internal snapshots, snapshots={}", header.snapshots)
        } else if header.extension(EXTENSION_BITMAPS).is_some() {
            "persistent bitmaps".into()
        } else if header.extension(EXTENSION_ENCRYPTION).is_some() {
            "an encryption header".into()
        } else {
            return Ok(());
        };
        Err(Error::unsupported(format!("a new file from a qcow2 image with {lost}, which would be lost,")))
    }
}

/// The facts that are known before the first byte is written.
struct Plan {
    /// The new L1 table.
    l1: Vec<u64>,
    l2_start: u64,
    /// The end of the L2 tables, where the clusters begin.
    data_start: u64,
    /// The number of clusters that are copied or changed.
    work_clusters: u64,
}

/// Reads every table of the layers, so that a corrupt one is found before anything is written.
fn survey(header: &Header, selection: &Selection<'_>) -> Result<Plan> {
    let size_bytes = header.virtual_size_bytes;
    let entries = header.l1_entries_needed().max(1);
    if entries * 8 > L1_MAX_BYTES {
        let cluster_size = header.cluster_size();
        return Err(Error::unsupported(format!("a qcow2 disk of {size_bytes} bytes in clusters of {cluster_size}")));
    }
    let mut l1 = vec![0; entries as usize];
    let l2_start = header.cluster_size() + (entries * 8).next_multiple_of(header.cluster_size());
    let mut next_table = l2_start;
    let mut work_clusters = 0;
    let mut changes = Changes::new(&selection.changed);
    for (index, new_entry) in (0u64..).zip(&mut l1) {
        let clusters = index << header.l2_bits()..((index + 1) << header.l2_bits()).min(header.guest_clusters());
        let mut used = changes.count_in(&clusters);
        if selection.layers.have_tables(&clusters)? {
            used += count_kept(header, selection, clusters)?;
        }
        if used > 0 {
            *new_entry = next_table | FLAG_COPIED;
            next_table += header.cluster_size();
            work_clusters += used;
        }
    }
    Ok(Plan { l1, l2_start, data_start: next_table, work_clusters })
}

/// How many of `clusters` have bytes in a layer and did not change. Refuses a cluster that is not inside the file.
fn count_kept(header: &Header, selection: &Selection<'_>, clusters: Range<u64>) -> Result<u64> {
    let mut changes = Changes::new(&selection.changed);
    let mut cursor = selection.layers.cursor();
    let mut kept = 0;
    for cluster in clusters {
        if changes.contain(cluster) {
            continue;
        }
        match cursor.place(cluster)? {
            Place::Zero | Place::Read => continue,
            Place::Plain { layer, offset } => {
                let image = selection.layers.image(layer);
                let rest = image.header().virtual_size_bytes - (cluster << header.cluster_bits);
                image.require_inside(cluster, offset, rest.min(header.cluster_size()))?;
            }
            Place::Compressed { layer, offset, length_bytes } => {
                let file_size_bytes = selection.layers.image(layer).file().size_bytes();
                if offset >= file_size_bytes {
                    let object = format!("compressed {}", cluster_name(cluster, header));
                    return Err(Error::Truncated { object, offset, length_bytes, file_size_bytes });
                }
            }
        }
        kept += 1;
    }
    Ok(kept)
}

/// A part of an L2 table that the new file has.
struct NewSlice {
    first_cluster: u64,
    /// Where it is in the new file.
    offset: u64,
}

struct Writer<'a> {
    header: &'a Header,
    layers: Layers<'a>,
    disk: &'a dyn ReadAt,
    changed: &'a [Range<u64>],
    target: &'a File,
    plan: Plan,
    progress: Progress<'a>,
    /// Whether changed clusters were compressed before they turned out to be plain, which was half of the work.
    is_packed: bool,
    written: Written,
}

impl<'a> Writer<'a> {
    /// The parts of the new L2 tables, in the order of the disk and of the file.
    fn slices(&self) -> impl Iterator<Item = NewSlice> + use<> {
        let (l2_bits, slice_entries) = (self.header.l2_bits(), self.header.slice_entries());
        let slices_a_table = (1 << l2_bits) / slice_entries;
        let tables: Vec<u64> = (0..).zip(&self.plan.l1).filter(|(_, entry)| **entry != 0).map(|(at, _)| at).collect();
        let starts = tables
            .into_iter()
            .flat_map(move |index| (0..slices_a_table).map(move |slice| (index << l2_bits) + slice * slice_entries));
        let l2_start = self.plan.l2_start;
        (0..).zip(starts).map(move |(number, first_cluster): (u64, u64)| NewSlice {
            first_cluster,
            offset: l2_start + number * slice_entries * 8,
        })
    }

    /// Writes the compressed clusters and the L2 tables; returns where the plain clusters begin.
    fn place_compressed<'scope>(&mut self, scope: &'scope Scope<'scope, 'a>, options: &WriteOptions) -> Result<u64> {
        let header = self.header;
        let mut packer = match options.new_clusters {
            NewClusters::Compressed { level } => {
                Some(Packer::start(scope, self.disk, header, self.changed, level, options.threads))
            }
            NewClusters::Plain => None,
        };
        let mut tables = Appender::new(self.target, self.plan.l2_start);
        let mut streams = Mover::new(self.target, self.plan.data_start, self.layers.files());
        let mut changes = Changes::new(self.changed);
        let mut cursor = self.layers.cursor();
        for slice in self.slices() {
            for cluster in slice.first_cluster..slice.first_cluster + header.slice_entries() {
                let entry = if cluster >= header.guest_clusters() {
                    0
                } else if changes.contain(cluster) {
                    self.place_changed(packer.as_mut(), &mut streams)?
                } else {
                    self.place_kept(cursor.place(cluster)?, &mut streams)?
                };
                tables.append(&entry.to_be_bytes())?;
            }
        }
        tables.flush()?;
        streams.finish(header.cluster_size())
    }

    /// The L2 entry of the next changed cluster.
    fn place_changed(&mut self, packer: Option<&mut Packer>, streams: &mut Mover<'_>) -> Result<u64> {
        let Some(packer) = packer else {
            return Ok(PLAIN_MARK);
        };
        let entry = match packer.next()? {
            Packed::Plain => {
                // Half of the work is done: the cluster was read and did not shrink, and still has to be copied.
                self.progress.advance(self.header.cluster_size() / 2);
                return Ok(PLAIN_MARK);
            }
            Packed::Zero => {
                self.written.clusters_zero += 1;
                self.zero_entry()
            }
            Packed::Compressed(bytes) => {
                self.written.clusters_compressed += 1;
                let offset = streams.append(bytes)?;
                compressed_entry(self.header, offset, bytes.len() as u64)?
            }
        };
        self.progress.advance(self.header.cluster_size());
        Ok(entry)
    }

    /// The L2 entry of a cluster that a layer has.
    fn place_kept(&mut self, place: Place, streams: &mut Mover<'_>) -> Result<u64> {
        match place {
            // A cluster that would have to be read and is not among the changed ones is zeros.
            Place::Zero | Place::Read => Ok(0),
            Place::Plain { .. } => Ok(PLAIN_MARK),
            Place::Compressed { layer, offset, length_bytes } => {
                let moved = streams.keep(layer, offset, length_bytes)?;
                self.kept();
                compressed_entry(self.header, moved, length_bytes)
            }
        }
    }

    /// The L2 entry of a cluster of zeros. With a backing file it needs the flag, or the backing file would be read.
    fn zero_entry(&self) -> u64 {
        if self.header.backing.is_some() { FLAG_ZERO } else { 0 }
    }

    fn kept(&mut self) {
        self.written.clusters_kept += 1;
        self.progress.advance(self.header.cluster_size());
    }

    /// Writes the plain clusters from `start` on and their L2 entries; returns their end.
    fn place_plain(&mut self, start: u64) -> Result<u64> {
        let header = self.header;
        let cluster_size = header.cluster_size();
        let mut clusters = Mover::new(self.target, start, self.layers.files());
        let mut changes = Changes::new(self.changed);
        let mut cursor = self.layers.cursor();
        let mut bytes = vec![0; header.slice_entries() as usize * 8];
        for slice in self.slices() {
            self.read_back(slice.offset, &mut bytes)?;
            let mut entries: Vec<u64> = numbers(&bytes).collect();
            let mut at = 0;
            let mut any = false;
            while let Some(more) = entries[at..].iter().position(|&entry| entry == PLAIN_MARK) {
                at += more;
                any = true;
                let cluster = slice.first_cluster + at as u64;
                if let Some(end) = changes.end_from(cluster) {
                    let most = (end - cluster).min((PLAIN_STEP_BYTES / cluster_size).max(1)) as usize;
                    let marked = entries[at..].iter().take(most).take_while(|&&entry| entry == PLAIN_MARK).count();
                    self.write_plain(cluster, &mut entries[at..at + marked], &mut clusters)?;
                    at += marked;
                } else if let Place::Plain { layer, offset } = cursor.place(cluster)? {
                    entries[at] = clusters.keep(layer, offset, cluster_size)? | FLAG_COPIED;
                    self.kept();
                    at += 1;
                }
            }
            if any {
                let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_be_bytes()).collect();
                self.write_at(slice.offset, &bytes)?;
            }
        }
        clusters.finish(cluster_size)
    }

    /// Writes the changed clusters from `first` on, one for each of `entries`, without compression.
    fn write_plain(&mut self, first: u64, entries: &mut [u64], clusters: &mut Mover<'_>) -> Result<()> {
        let header = self.header;
        let cluster_size = header.cluster_size();
        let bytes = read_clusters(self.disk, header, first..first + entries.len() as u64)?;
        let zero: Vec<bool> = bytes.chunks_exact(cluster_size as usize).map(is_zero).collect();
        let mut at = 0;
        for run in zero.chunk_by(|one, next| one == next) {
            let part = &bytes[at * cluster_size as usize..][..run.len() * cluster_size as usize];
            let places = &mut entries[at..at + run.len()];
            if run[0] {
                places.fill(self.zero_entry());
                self.written.clusters_zero += run.len() as u64;
            } else {
                let offset = clusters.append(part)?;
                let offsets = (0..).map(|index| offset + (index << header.cluster_bits));
                places.iter_mut().zip(offsets).for_each(|(place, offset)| *place = offset | FLAG_COPIED);
                self.written.clusters_plain += run.len() as u64;
            }
            at += run.len();
            self.progress.advance(part.len() as u64 / if self.is_packed { 2 } else { 1 });
        }
        Ok(())
    }

    /// Writes the refcount blocks and the refcount table after the clusters.
    fn write_refcounts(&self, plain_start: u64, data_end: u64) -> Result<RefcountPlaces> {
        let header = self.header;
        let places = RefcountPlaces::new(data_end, header.cluster_bits)?;
        let mut counts = refcount::Writer::new(self.target, &places);
        counts.add_ones(self.plan.data_start >> header.cluster_bits)?;
        let mut bytes = vec![0; header.slice_entries() as usize * 8];
        let mut at = self.plan.l2_start;
        while at < self.plan.data_start {
            self.read_back(at, &mut bytes)?;
            for raw in numbers(&bytes) {
                // Streams are in guest order, so their places ascend.
                if let Ok(Entry::Compressed { offset, length_bytes }) = Entry::parse(raw.into(), header) {
                    counts.add_stream(offset..offset + length_bytes)?;
                }
            }
            at += bytes.len() as u64;
        }
        counts.end_streams(plain_start)?;
        counts.add_ones((places.file_size_bytes() - plain_start) >> header.cluster_bits)?;
        counts.finish()?;
        Ok(places)
    }

    /// Writes the L1 table and the header with the places of the tables, which makes the file an image.
    fn write_l1_and_header(&self, refcounts: &RefcountPlaces) -> Result<()> {
        let header = self.header;
        let l1: Vec<u8> = self.plan.l1.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        self.write_at(header.cluster_size(), &l1)?;
        let file_size_bytes = refcounts.file_size_bytes();
        self.target.set_len(file_size_bytes).map_err(|error| Error::writing(file_size_bytes, 0, error))?;

        let mut bytes = header.bytes.clone();
        let (raw, _) = RawHeader::mut_from_prefix(&mut bytes).expect("the header begins with it");
        raw.l1_size = (self.plan.l1.len() as u32).into();
        raw.l1_table_offset = header.cluster_size().into();
        raw.refcount_table_offset = refcounts.table_offset().into();
        raw.refcount_table_clusters = refcounts.table_clusters().into();
        self.write_at(0, &bytes)
    }

    fn read_back(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let length_bytes = bytes.len() as u64;
        self.target
            .read_exact_at(bytes, offset)
            .map_err(|error| Error::Storage(storage::Error::reading(offset, length_bytes, storage::Reason::Io(error))))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.target.write_all_at(bytes, offset).map_err(|error| Error::writing(offset, bytes.len() as u64, error))
    }
}
