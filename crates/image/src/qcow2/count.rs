//! Counts every reference to a host cluster, and reads every refcount.
//!
//! Memory is bounded by [`CLUSTERS_MAX`] counts and the limit of [`Findings`]. Time is bounded by
//! the tables' size and [`OVERLAPS_MAX`]: an L1 table that overlaps something else, and an L2 table that was walked
//! before, are findings and are not walked again.

use std::ops::Range;

use storage::Finding;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::Qcow2;
use super::check::decompressed_max;
use super::counts::Counts;
use super::header::L1_MAX_BYTES;
use super::layout::*;
use super::refcount::refcount;
use super::table::{Entry, RawEntry, cluster_name, numbers, parse_l1_entry, raw_entries};
use crate::error::{Error, Result};
use crate::findings::Findings;

/// The most host clusters of a file that is checked: 4 TiB in clusters of 64 KiB.
pub(super) const CLUSTERS_MAX: u64 = 1 << 26;
/// The most clusters with more than one use that are counted in the whole check. After that, counting a reference stops at
/// its first such cluster: tens of thousands of snapshots may refer to one L1 table of tens of thousands of clusters.
const OVERLAPS_MAX: u64 = 1 << 20;
/// The bytes of a table that are read at a time.
const STEP_BYTES: u64 = 64 << 10;
/// Compressed clusters that are decompressed together, on all threads.
const BATCH_STREAMS: usize = 512;
/// The longest snapshot or bitmap entry in bytes; longer ones are damage.
const ENTRY_MAX_BYTES: u64 = 1 << 20;
/// The most bitmaps that there may be, as in QEMU.
const BITMAPS_MAX: u32 = 65535;

/// The use of a host cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Use {
    None = 0,
    Header,
    L1Table,
    RefcountTable,
    RefcountBlock,
    SnapshotTable,
    Bitmaps,
    /// An L2 table that no walk has been through.
    L2Table,
    /// An L2 table that a walk has been through.
    WalkedL2Table,
    Plain,
    Compressed,
}

impl Use {
    fn name(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Header => "the header",
            Self::L1Table => "an l1 table",
            Self::RefcountTable => "the refcount table",
            Self::RefcountBlock => "a refcount block",
            Self::SnapshotTable => "the snapshot table",
            Self::Bitmaps => "bitmaps",
            Self::L2Table | Self::WalkedL2Table => "an l2 table",
            Self::Plain => "a cluster of the disk",
            Self::Compressed => "compressed clusters",
        }
    }

    /// Whether one cluster may have both uses.
    fn goes_with(self, other: Self) -> bool {
        self == Self::None
            || (self == other && matches!(self, Self::L2Table | Self::Plain | Self::Compressed))
            || (self == Self::WalkedL2Table && other == Self::L2Table)
    }
}

/// A compressed cluster that is still to be decompressed.
pub(super) struct Stream {
    pub(super) cluster: u64,
    pub(super) offset: u64,
    pub(super) length_bytes: u64,
}

pub(super) struct Count<'a> {
    pub(super) image: &'a Qcow2,
    /// The number of host clusters of the file; its end may cut the last one.
    pub(super) clusters: u64,
    /// References by host cluster, except those of the refcount structures to themselves.
    pub(super) expected: Counts,
    /// References to the refcount table and to its blocks.
    pub(super) own: Counts,
    /// Refcounts in the file by host cluster.
    pub(super) actual: Counts,
    /// The host clusters whose refcounts cannot be read, in ascending order: their block is cut off, for example.
    unread: Vec<Range<u64>>,
    uses: Vec<u8>,
    /// Whether compressed clusters are decompressed.
    decompress: bool,
    /// How many more bytes streams may become; see [`decompressed_max`].
    pub(super) decompress_bytes: u64,
    /// How many streams were not tried because of that.
    pub(super) untried: u64,
    /// How many more clusters with more than one use are counted.
    overlaps_left: u64,
    pub(super) streams: Vec<Stream>,
    pub(super) findings: Findings,
    /// The first finding that new refcounts and flags cannot repair.
    pub(super) damage: Option<Finding>,
    /// The first finding about the refcount table or a refcount block.
    pub(super) bad_refcounts: Option<Finding>,
    /// How many flags do not match their refcounts.
    pub(super) bad_flags: u64,
    /// Whether two clusters of the active disk are the same host cluster.
    pub(super) has_doubles: bool,
    /// Whether the last sectors of a compressed cluster's stream are in clusters past the file's end.
    pub(super) has_cut_streams: bool,
    /// The refcount blocks with counts of clusters past the file's end.
    pub(super) past_end: Vec<u64>,
}

/// The subject of a finding.
enum About {
    /// Something that new refcounts and flags cannot repair.
    Data,
    Refcounts,
    Flag,
}

impl<'a> Count<'a> {
    pub(super) fn new(image: &'a Qcow2, decompress: bool) -> Result<Self> {
        let clusters = image.file().size_bytes().div_ceil(image.header().cluster_size());
        if clusters > CLUSTERS_MAX {
            return Err(Error::unsupported(format!(
                "checking a qcow2 file of {clusters} clusters (more than {CLUSTERS_MAX})"
            )));
        }
        Ok(Self {
            image,
            clusters,
            expected: Counts::default(),
            own: Counts::default(),
            actual: Counts::default(),
            unread: Vec::new(),
            uses: vec![0; clusters as usize],
            decompress,
            decompress_bytes: decompressed_max(image),
            untried: 0,
            overlaps_left: OVERLAPS_MAX,
            streams: Vec::new(),
            findings: Findings::new("qcow2", image.file().size_bytes()),
            damage: None,
            bad_refcounts: None,
            bad_flags: 0,
            has_doubles: false,
            has_cut_streams: false,
            past_end: Vec::new(),
        })
    }

    /// Counts every reference and reads every refcount.
    pub(super) fn walk(&mut self) -> Result<()> {
        let header = self.image.header();
        if header.incompatible & INCOMPATIBLE_DIRTY != 0 {
            self.findings.push(Finding::new("qcow2 header", "the dirty bit is set: the refcounts may be out of date"));
        }
        self.refer(&|| "qcow2 header".into(), 0, header.cluster_size(), Use::Header);
        self.read_refcounts()?;
        // All L1 tables come before the L2 tables, so that the number of references to an L2 table is known when it is
        // walked.
        let l1 = (header.l1_offset, header.l1_entries);
        self.walk_l1("active", l1.0, l1.1, true)?;
        self.walk_snapshots()?;
        self.walk_bitmaps()?;
        self.walk_active_l2()?;
        self.walk_snapshot_l2()
    }

    pub(super) fn report(&mut self, object: impl Into<String>, problem: impl Into<String>) {
        self.report_about(About::Data, object, problem);
    }

    fn report_about(&mut self, about: About, object: impl Into<String>, problem: impl Into<String>) {
        let finding = Finding::new(object, problem);
        self.remember(about, &finding);
        self.findings.push(finding);
    }

    /// Reports that the host bytes `offset..end` are not all in the file.
    fn report_outside(&mut self, about: About, object: impl Into<String>, offset: u64, end: u64) {
        let finding = self.findings.push_outside(object, offset, end);
        self.remember(about, &finding);
    }

    /// Reports an error of reading; an error of the host remains one.
    pub(super) fn report_error(&mut self, error: Error) -> Result<()> {
        let finding = self.findings.push_error(error)?;
        self.remember(About::Data, &finding);
        Ok(())
    }

    fn remember(&mut self, about: About, finding: &Finding) {
        match about {
            About::Data => _ = self.damage.get_or_insert_with(|| finding.clone()),
            About::Refcounts => _ = self.bad_refcounts.get_or_insert_with(|| finding.clone()),
            About::Flag => self.bad_flags += 1,
        }
    }

    /// Counts a reference of `object` to the host bytes from `offset` on. Returns whether they are all in the file and
    /// have no other use.
    fn refer(&mut self, object: &dyn Fn() -> String, offset: u64, length_bytes: u64, purpose: Use) -> bool {
        self.refer_times(object, offset, length_bytes, purpose, 1)
    }

    fn refer_times(
        &mut self,
        object: &dyn Fn() -> String,
        offset: u64,
        length_bytes: u64,
        purpose: Use,
        times: u64,
    ) -> bool {
        if length_bytes == 0 {
            return true;
        }
        let is_own = matches!(purpose, Use::RefcountTable | Use::RefcountBlock);
        let about = || if is_own { About::Refcounts } else { About::Data };
        let bits = self.image.header().cluster_bits;
        let end = offset.saturating_add(length_bytes);
        if end.div_ceil(1 << bits) > self.clusters {
            self.report_outside(about(), object(), offset, end);
            return false;
        }
        // The first overlap, and how many more clusters overlap: each reference has one finding at most.
        let mut overlap: Option<(u64, Use, u64)> = None;
        for cluster in offset >> bits..=(end - 1) >> bits {
            let at = cluster as usize;
            if is_own { &mut self.own } else { &mut self.expected }.add(cluster, times);
            let before = USES[usize::from(self.uses[at])];
            if before.goes_with(purpose) {
                if before != Use::WalkedL2Table {
                    self.uses[at] = purpose as u8;
                }
                continue;
            }
            match &mut overlap {
                None => overlap = Some((cluster, before, 0)),
                Some((.., more)) => *more += 1,
            }
            if self.overlaps_left == 0 {
                break;
            }
            self.overlaps_left -= 1;
        }
        let Some((first, was, more)) = overlap else { return true };
        let (was, place) = (was.name(), first << bits);
        let others = if more == 0 { String::new() } else { format!(" and in {more} more") };
        let problem = format!("{} overlaps {was} in the host cluster at {place:#x}{others}", purpose.name());
        self.report_about(about(), object(), problem);
        false
    }

    /// Reads the refcount table and every block.
    fn read_refcounts(&mut self) -> Result<()> {
        let header = self.image.header();
        let (offset, cluster_size) = (header.refcount_table_offset, header.cluster_size());
        let length = u64::from(header.refcount_table_clusters) << header.cluster_bits;
        if length == 0 || offset == 0 {
            let problem = format!("refcount_table_offset={offset:#x} length={length:#x}, expected a table");
            self.report_about(About::Refcounts, "refcount table", problem);
            self.unread.push(0..self.clusters);
            return Ok(());
        }
        if !self.refer(&|| "refcount table".into(), offset, length, Use::RefcountTable) {
            self.unread.push(0..self.clusters);
            return Ok(());
        }
        let counts_a_block = (cluster_size * 8) >> header.refcount_order;
        // The file may end inside the table. The missing entries matter if they are for clusters of the file.
        let there = (self.image.file().size_bytes() - offset).min(length) / 8;
        if there < self.clusters.div_ceil(counts_a_block).min(length / 8) {
            self.report_outside(About::Refcounts, "refcount table", offset, offset + length);
            self.add_unread(there * counts_a_block..self.clusters);
        }
        let mut index = 0u64;
        for step in steps(offset, length) {
            for raw in self.read_numbers(step)? {
                let object = || format!("refcount block {index}");
                let first = index * counts_a_block;
                if raw == 0 {
                    // Without a block the counts are zero.
                } else if !raw.is_multiple_of(cluster_size) {
                    let problem = format!("its offset {raw:#x} is not a multiple of {cluster_size:#x}");
                    self.report_about(About::Refcounts, object(), problem);
                    self.add_unread(first..first + counts_a_block);
                } else if self.refer(&object, raw, cluster_size, Use::RefcountBlock) {
                    self.read_block(raw, first, index)?;
                } else {
                    self.add_unread(first..first + counts_a_block);
                }
                index += 1;
            }
        }
        Ok(())
    }

    /// Reads the refcounts from the cluster `first` on out of the block number `index` at `offset`.
    fn read_block(&mut self, offset: u64, first: u64, index: u64) -> Result<()> {
        let header = self.image.header();
        let order = header.refcount_order;
        let mut block = vec![0; header.cluster_size() as usize];
        let there = self.read_there(offset, &mut block)?;
        let counts = (there * 8) >> order;
        if there < header.cluster_size() && first + counts < self.clusters {
            let object = format!("refcount block {index}");
            self.report_outside(About::Refcounts, object, offset, offset + header.cluster_size());
            self.add_unread(first + counts..first + ((header.cluster_size() * 8) >> order));
        }
        for (cluster, at) in (first..self.clusters).zip(0..counts) {
            self.actual.set(cluster, refcount(&block, at, order));
        }
        let past_end = (self.clusters.max(first) - first).min(counts)..counts;
        if past_end.into_iter().any(|at| refcount(&block, at, order) != 0) {
            self.past_end.push(index);
        }
        Ok(())
    }

    /// The refcounts of `clusters` cannot be read.
    fn add_unread(&mut self, clusters: Range<u64>) {
        let clusters = clusters.start..clusters.end.min(self.clusters);
        match self.unread.last_mut() {
            _ if clusters.is_empty() => {}
            Some(last) if clusters.start <= last.end => last.end = last.end.max(clusters.end),
            _ => self.unread.push(clusters),
        }
    }

    /// The refcount of a host cluster, unless it cannot be read.
    pub(super) fn refcount(&self, cluster: u64) -> Option<u64> {
        let next = self.unread.partition_point(|range| range.end <= cluster);
        let is_unread = self.unread.get(next).is_some_and(|range| range.start <= cluster);
        (!is_unread).then(|| self.actual.get(cluster))
    }

    /// Counts the references of an L1 table; its L2 tables are walked later.
    fn walk_l1(&mut self, of: &str, offset: u64, entries: u32, active: bool) -> Result<()> {
        let header = self.image.header();
        let length = u64::from(entries) * 8;
        let object = || format!("l1 table ({of})");
        if !offset.is_multiple_of(header.cluster_size()) || length > L1_MAX_BYTES {
            let problem = format!("offset={offset:#x} entries={entries}, expected a multiple of the cluster size");
            self.report(object(), problem);
            return Ok(());
        }
        if !self.refer(&object, offset, length, Use::L1Table) {
            return Ok(());
        }
        let mut index = 0u64;
        for step in steps(offset, length) {
            for raw in self.read_numbers(step)? {
                let object = || format!("l1 entry {index} ({of})");
                match parse_l1_entry(raw, header) {
                    Err(problem) => self.report(object(), problem),
                    Ok(0) => {}
                    Ok(table) => {
                        let end = table + header.cluster_size();
                        if self.refer(&object, table, header.cluster_size(), Use::L2Table)
                            && end > self.image.file().size_bytes()
                        {
                            self.report_outside(About::Data, object(), table, end);
                        }
                        if active {
                            self.check_copied(&object, raw, table);
                        }
                    }
                }
                index += 1;
            }
        }
        Ok(())
    }

    /// Checks the flag "copied", which means that the refcount is one: only then may a writer write in place.
    fn check_copied(&mut self, object: &dyn Fn() -> String, raw: u64, offset: u64) {
        let cluster = offset >> self.image.header().cluster_bits;
        if cluster >= self.clusters {
            return;
        }
        let Some(refcount) = self.refcount(cluster) else { return };
        let copied = raw & FLAG_COPIED != 0;
        if copied != (refcount == 1) {
            let found = u8::from(copied);
            let problem = format!("copied={found} does not match refcount={refcount} of the cluster at {offset:#x}");
            self.report_about(About::Flag, object(), problem);
        }
    }

    fn walk_snapshots(&mut self) -> Result<()> {
        let header = self.image.header();
        let mut at = header.snapshots_offset;
        for number in 0..header.snapshots {
            let mut raw = RawSnapshot::new_zeroed();
            let name = format!("snapshot {number}");
            if self.read_there(at, raw.as_mut_bytes())? < size_of::<RawSnapshot>() as u64 {
                self.report_outside(About::Data, name, at, at + size_of::<RawSnapshot>() as u64);
                break;
            }
            let rest = u64::from(raw.extra_data_size.get())
                + u64::from(raw.id_str_size.get())
                + u64::from(raw.name_size.get());
            if rest > ENTRY_MAX_BYTES {
                self.report(name, format!("its entry at {at:#x} claims {rest:#x} bytes of names and extra data"));
                break;
            }
            at += (size_of::<RawSnapshot>() as u64 + rest).next_multiple_of(8);
            self.walk_l1(&name, raw.l1_table_offset.get(), raw.l1_size.get(), false)?;
        }
        self.refer(
            &|| "snapshot table".into(),
            header.snapshots_offset,
            at - header.snapshots_offset,
            Use::SnapshotTable,
        );
        Ok(())
    }

    /// Counts the references of the persistent bitmaps.
    fn walk_bitmaps(&mut self) -> Result<()> {
        let header = self.image.header();
        let raw = header.extension(EXTENSION_BITMAPS).and_then(|data| RawBitmaps::read_from_prefix(data).ok());
        let Some((raw, _)) = raw else {
            return Ok(());
        };
        let (mut at, length) = (raw.bitmap_directory_offset.get(), raw.bitmap_directory_size.get());
        if !self.refer(&|| "bitmap directory".into(), at, length, Use::Bitmaps) {
            return Ok(());
        }
        for number in 0..raw.nb_bitmaps.get().min(BITMAPS_MAX) {
            let object = || format!("bitmap {number}");
            let mut bitmap = RawBitmap::new_zeroed();
            if self.read_there(at, bitmap.as_mut_bytes())? < size_of::<RawBitmap>() as u64 {
                self.report_outside(About::Data, object(), at, at + size_of::<RawBitmap>() as u64);
                break;
            }
            let rest = u64::from(bitmap.extra_data_size.get()) + u64::from(bitmap.name_size.get());
            if rest > ENTRY_MAX_BYTES {
                self.report(object(), format!("its entry at {at:#x} claims {rest:#x} bytes of names and extra data"));
                break;
            }
            at += (size_of::<RawBitmap>() as u64 + rest).next_multiple_of(8);
            let (table, entries) = (bitmap.bitmap_table_offset.get(), bitmap.bitmap_table_size.get());
            if !self.refer(&object, table, u64::from(entries) * 8, Use::Bitmaps) {
                continue;
            }
            for step in steps(table, u64::from(entries) * 8) {
                for entry in self.read_numbers(step)? {
                    let offset = entry & OFFSET_MASK;
                    if offset != 0 {
                        self.refer(&object, offset, header.cluster_size(), Use::Bitmaps);
                    }
                }
            }
        }
        Ok(())
    }

    fn walk_active_l2(&mut self) -> Result<()> {
        let header = self.image.header();
        for (index, &raw) in (0u64..).zip(self.image.l1()) {
            let Ok(table) = parse_l1_entry(raw, header) else {
                continue;
            };
            let host = (table >> header.cluster_bits) as usize;
            match self.uses.get(host) {
                _ if table == 0 => {}
                Some(&purpose) if purpose == Use::L2Table as u8 => {
                    self.walk_l2(table, Some(index << header.l2_bits()))?;
                }
                Some(&purpose) if purpose == Use::WalkedL2Table as u8 => {
                    self.report(
                        format!("l1 entry {index} (active)"),
                        format!("its l2 table at {table:#x} is shared with another entry"),
                    );
                }
                // This was reported when the reference was counted.
                _ => {}
            }
        }
        Ok(())
    }

    /// Walks the L2 tables that only snapshots refer to.
    fn walk_snapshot_l2(&mut self) -> Result<()> {
        if self.image.header().snapshots == 0 {
            return Ok(());
        }
        for host in 0..self.clusters {
            if self.uses[host as usize] == Use::L2Table as u8 {
                self.walk_l2(host << self.image.header().cluster_bits, None)?;
            }
        }
        Ok(())
    }

    /// Counts the references of an L2 table, once for each reference to the table. `first_cluster` is the guest cluster of
    /// its first entry, if the table belongs to the active image.
    fn walk_l2(&mut self, table: u64, first_cluster: Option<u64>) -> Result<()> {
        let header = self.image.header();
        let host = (table >> header.cluster_bits) as usize;
        self.uses[host] = Use::WalkedL2Table as u8;
        let times = self.expected.get(host as u64);
        let mut index = 0;
        for step in steps(table, header.cluster_size()) {
            for raw in self.read_entries(step)? {
                self.check_entry(raw, (table, index), first_cluster, times);
                index += 1;
            }
            if self.streams.len() >= BATCH_STREAMS {
                self.decompress_streams()?;
            }
        }
        Ok(())
    }

    fn check_entry(&mut self, raw: RawEntry, (table, index): (u64, u64), first_cluster: Option<u64>, times: u64) {
        let header = self.image.header();
        if raw == RawEntry::default() {
            return;
        }
        let cluster = first_cluster.map(|first| first + index);
        let object = || match cluster {
            Some(cluster) => cluster_name(cluster, header),
            None => format!("entry {index} of the snapshots' l2 table at {table:#x}"),
        };
        let entry = match Entry::parse(raw, header) {
            Err(problem) => return self.report(object(), problem),
            Ok(entry) => entry,
        };
        let copied = raw.descriptor;
        if let Entry::Compressed { offset, length_bytes } = entry {
            if copied & FLAG_COPIED != 0 {
                self.report_about(About::Flag, object(), "a compressed cluster has copied=1");
            }
            let there = self.stream_there(offset, length_bytes, times);
            if self.refer_times(&object, offset, there, Use::Compressed, times)
                && let Some(cluster) = cluster
                && self.decompress
            {
                self.streams.push(Stream { cluster, offset, length_bytes });
            }
        } else if let Some(offset) = entry.host_cluster() {
            let before = self.uses.get((offset >> header.cluster_bits) as usize).copied();
            let inside = self.refer_times(&object, offset, header.cluster_size(), Use::Plain, times);
            if let (true, Some(cluster)) = (inside, cluster) {
                // The active tables are walked first.
                self.has_doubles |= before == Some(Use::Plain as u8);
                self.check_copied(&object, copied, offset);
                self.check_cut(&object, entry, offset, cluster);
            }
        }
    }

    /// How many bytes of a stream's sectors are in the file, which may end after the stream's end and inside its sectors.
    /// References to whole clusters past the file's end are counted here.
    fn stream_there(&mut self, offset: u64, length_bytes: u64, times: u64) -> u64 {
        let bits = self.image.header().cluster_bits;
        let there = length_bytes.min(self.image.file().size_bytes().saturating_sub(offset)).max(1);
        let last = (offset + length_bytes - 1) >> bits;
        // A stream is at most two clusters long.
        if (offset + there - 1) >> bits < self.clusters {
            for cluster in ((offset + there - 1) >> bits) + 1..=last {
                self.has_cut_streams = true;
                self.expected.add(cluster, times);
            }
        }
        there
    }

    /// Checks that those bytes of a plain cluster that the guest can read are all in the file.
    fn check_cut(&mut self, object: &dyn Fn() -> String, entry: Entry, offset: u64, cluster: u64) {
        let header = self.image.header();
        let start = u128::from(cluster) << header.cluster_bits;
        let rest = u128::from(header.virtual_size_bytes).saturating_sub(start).min(header.cluster_size().into()) as u64;
        let seen = match entry {
            Entry::Plain { .. } => rest,
            // Up to the last allocated subcluster.
            Entry::Pieces { subclusters, .. } => {
                let used = u64::from(SUBCLUSTERS - subclusters.allocated.leading_zeros());
                rest.min(used * (header.cluster_size() / u64::from(SUBCLUSTERS)))
            }
            _ => 0,
        };
        let (end, size) = (offset + seen, self.image.file().size_bytes());
        if end > size {
            self.report_outside(About::Data, object(), offset, end);
        }
    }

    /// The number of references to a host cluster.
    pub(super) fn references(&self, cluster: u64) -> u64 {
        self.expected.get(cluster).saturating_add(self.own.get(cluster))
    }

    /// Reads the numbers of a part of a table; zeros past the file's end.
    fn read_numbers(&self, bytes: Range<u64>) -> Result<Vec<u64>> {
        let mut buffer = vec![0; (bytes.end - bytes.start) as usize];
        self.read_there(bytes.start, &mut buffer)?;
        Ok(numbers(&buffer).collect())
    }

    /// Reads the L2 entries of a part of a table; zeros past the file's end.
    fn read_entries(&self, bytes: Range<u64>) -> Result<Vec<RawEntry>> {
        let mut buffer = vec![0; (bytes.end - bytes.start) as usize];
        self.read_there(bytes.start, &mut buffer)?;
        Ok(raw_entries(&buffer, self.image.header()))
    }

    /// Fills the part of `buffer` that is in the file and returns its length.
    fn read_there(&self, offset: u64, buffer: &mut [u8]) -> Result<u64> {
        let file = self.image.file();
        let there = file.size_bytes().saturating_sub(offset).min(buffer.len() as u64);
        file.read_at(offset, &mut buffer[..there as usize])?;
        Ok(there)
    }
}

/// Every use, at the index that is its number.
const USES: [Use; 11] = [
    Use::None,
    Use::Header,
    Use::L1Table,
    Use::RefcountTable,
    Use::RefcountBlock,
    Use::SnapshotTable,
    Use::Bitmaps,
    Use::L2Table,
    Use::WalkedL2Table,
    Use::Plain,
    Use::Compressed,
];

/// The bytes from `offset` on in parts.
fn steps(offset: u64, length_bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let end = offset + length_bytes;
    (offset..end).step_by(STEP_BYTES as usize).map(move |start| start..(start + STEP_BYTES).min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_use_has_its_own_number() {
        for (number, purpose) in USES.iter().enumerate() {
            assert_eq!(*purpose as usize, number);
        }
    }
}
