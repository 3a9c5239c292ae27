//! The image's consistency: every reference to a host cluster is counted and held against the
//! refcounts in the file.
//!
//! Memory is bounded by [`CLUSTERS_MAX`] counts and [`FINDINGS_MAX`] findings. Time is bounded by
//! the tables' size: an L1 table that lies on something else, and an L2 table that the walk has
//! been through, are findings and are not walked again.

use std::ops::Range;
use std::thread;

use storage::Finding;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::Qcow2;
use super::compress::Decoder;
use super::header::L1_MAX_BYTES;
use super::layout::*;
use super::table::{Entry, RawEntry, cluster_name, numbers, parse_l1_entry, raw_entries};
use crate::error::{Error, Result};

/// The most host clusters of a file that is checked: 4 TiB in clusters of 64 KiB.
const CLUSTERS_MAX: u64 = 1 << 26;
/// The most findings that are listed.
const FINDINGS_MAX: usize = 1000;
/// Table bytes that are read at once.
const STEP_BYTES: u64 = 64 << 10;
/// Compressed clusters that are decompressed together, on all threads.
const BATCH_STREAMS: usize = 512;
/// The most threads that decompress.
const THREADS_MAX: usize = 8;
/// The longest snapshot or bitmap entry in bytes, beyond which it is not believed.
const ENTRY_MAX_BYTES: u64 = 1 << 20;
/// The most bitmaps that there may be, as in QEMU.
const BITMAPS_MAX: u32 = 65535;

/// What a host cluster is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Use {
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

    /// Whether two references for these two uses can both be right.
    fn goes_with(self, other: Self) -> bool {
        self == Self::None
            || (self == other && matches!(self, Self::L2Table | Self::Plain | Self::Compressed))
            || (self == Self::WalkedL2Table && other == Self::L2Table)
    }
}

/// A compressed cluster that is still to be decompressed.
struct Stream {
    cluster: u64,
    offset: u64,
    length_bytes: u64,
}

struct Check<'a> {
    image: &'a Qcow2,
    clusters: u64,
    /// References by host cluster; pages that are never touched cost nothing.
    expected: Vec<u32>,
    /// Refcounts in the file by host cluster; more than 32 bits have is as much as they have.
    actual: Vec<u32>,
    uses: Vec<u8>,
    streams: Vec<Stream>,
    findings: Vec<Finding>,
    unlisted: u64,
}

impl Qcow2 {
    /// What is not consistent in the image.
    pub(crate) fn check(&self) -> Result<Vec<Finding>> {
        let header = self.header();
        let clusters = self.file().size_bytes().div_ceil(header.cluster_size());
        if clusters > CLUSTERS_MAX {
            return Err(Error::unsupported(format!(
                "checking a qcow2 file of {clusters} clusters (more than {CLUSTERS_MAX})"
            )));
        }
        let mut check = Check {
            image: self,
            clusters,
            expected: vec![0; clusters as usize],
            actual: vec![0; clusters as usize],
            uses: vec![0; clusters as usize],
            streams: Vec::new(),
            findings: Vec::new(),
            unlisted: 0,
        };
        check.run()?;
        let mut findings = check.findings;
        if check.unlisted > 0 {
            findings.push(Finding::new("qcow2 image", format!("{} more findings are not listed", check.unlisted)));
        }
        Ok(findings)
    }
}

impl Check<'_> {
    fn run(&mut self) -> Result<()> {
        let header = self.image.header();
        if header.incompatible & INCOMPATIBLE_DIRTY != 0 {
            self.report("qcow2 header", "the dirty bit is set: the refcounts may be out of date");
        }
        self.refer("qcow2 header", 0, header.cluster_size(), Use::Header);
        self.read_refcounts()?;
        // All L1 tables before any L2 table, so that an L2 table's number of references is known
        // when it is walked.
        let l1 = (header.l1_offset, header.l1_entries);
        self.walk_l1("active", l1.0, l1.1, true)?;
        self.walk_snapshots()?;
        self.walk_bitmaps()?;
        self.walk_active_l2()?;
        self.walk_snapshot_l2()?;
        self.decompress_streams()?;
        self.compare();
        Ok(())
    }

    fn report(&mut self, object: impl Into<String>, problem: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding::new(object, problem));
        } else {
            self.unlisted += 1;
        }
    }

    /// Counts a reference of `object` to the host bytes from `offset` on; whether they are all in the
    /// file and free for this use.
    fn refer(&mut self, object: &str, offset: u64, length_bytes: u64, purpose: Use) -> bool {
        self.refer_times(object, offset, length_bytes, purpose, 1)
    }

    fn refer_times(&mut self, object: &str, offset: u64, length_bytes: u64, purpose: Use, times: u32) -> bool {
        if length_bytes == 0 {
            return true;
        }
        let bits = self.image.header().cluster_bits;
        let end = offset.saturating_add(length_bytes);
        if end.div_ceil(1 << bits) > self.clusters {
            let size = self.image.file().size_bytes();
            self.report(object, format!("{offset:#x}..{end:#x} is not inside the file, file_size={size:#x}"));
            return false;
        }
        let mut free = true;
        for cluster in offset >> bits..=(end - 1) >> bits {
            let at = cluster as usize;
            self.expected[at] = self.expected[at].saturating_add(times);
            let before = USES[usize::from(self.uses[at])];
            if before.goes_with(purpose) {
                if before != Use::WalkedL2Table {
                    self.uses[at] = purpose as u8;
                }
            } else {
                free = false;
                let (was, place) = (before.name(), cluster << bits);
                self.report(object, format!("{} overlaps {was} in the host cluster at {place:#x}", purpose.name()));
            }
        }
        free
    }

    /// Reads the refcount table and every block.
    fn read_refcounts(&mut self) -> Result<()> {
        let header = self.image.header();
        let (offset, cluster_size) = (header.refcount_table_offset, header.cluster_size());
        let length = u64::from(header.refcount_table_clusters) << header.cluster_bits;
        if length == 0 || offset == 0 {
            self.report(
                "refcount table",
                format!("refcount_table_offset={offset:#x} length={length:#x}, expected one"),
            );
            return Ok(());
        }
        if !self.refer("refcount table", offset, length, Use::RefcountTable) {
            return Ok(());
        }
        let counts_a_block = (cluster_size * 8) >> header.refcount_order;
        let mut index = 0u64;
        for step in steps(offset, length) {
            for raw in self.read_numbers(step)? {
                let object = format!("refcount block {index}");
                let first = index * counts_a_block;
                index += 1;
                if raw == 0 {
                    continue;
                }
                if !raw.is_multiple_of(cluster_size) {
                    self.report(object, format!("its offset {raw:#x} is not a multiple of {cluster_size:#x}"));
                } else if self.refer(&object, raw, cluster_size, Use::RefcountBlock) {
                    self.read_block(raw, first)?;
                }
            }
        }
        Ok(())
    }

    /// Reads the refcounts from the cluster `first` on out of the block at `offset`.
    fn read_block(&mut self, offset: u64, first: u64) -> Result<()> {
        let header = self.image.header();
        let order = header.refcount_order;
        let mut block = vec![0; header.cluster_size() as usize];
        let there = self.read_there(offset, &mut block)?;
        let counts = (there * 8) >> order;
        for (cluster, at) in (first..self.clusters).zip(0..counts) {
            self.actual[cluster as usize] = u32::try_from(refcount(&block, at, order)).unwrap_or(u32::MAX);
        }
        Ok(())
    }

    /// Counts what an L1 table refers to; its L2 tables are walked later.
    fn walk_l1(&mut self, of: &str, offset: u64, entries: u32, active: bool) -> Result<()> {
        let header = self.image.header();
        let length = u64::from(entries) * 8;
        let object = format!("l1 table ({of})");
        if !offset.is_multiple_of(header.cluster_size()) || length > L1_MAX_BYTES {
            self.report(
                object,
                format!("offset={offset:#x} entries={entries}, expected a multiple of the cluster size"),
            );
            return Ok(());
        }
        if !self.refer(&object, offset, length, Use::L1Table) {
            return Ok(());
        }
        let mut index = 0u64;
        for step in steps(offset, length) {
            for raw in self.read_numbers(step)? {
                let object = format!("l1 entry {index} ({of})");
                index += 1;
                match parse_l1_entry(raw, header) {
                    Err(problem) => self.report(object, problem),
                    Ok(0) => {}
                    Ok(table) => {
                        self.refer(&object, table, header.cluster_size(), Use::L2Table);
                        if active {
                            self.check_copied(&object, raw, table);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// "copied" says that the refcount is one: only then may a writer write in place.
    fn check_copied(&mut self, object: &str, raw: u64, offset: u64) {
        let cluster = offset >> self.image.header().cluster_bits;
        let Some(&refcount) = self.actual.get(cluster as usize) else {
            return;
        };
        let copied = raw & FLAG_COPIED != 0;
        if copied != (refcount == 1) {
            let found = u8::from(copied);
            self.report(
                object,
                format!("copied={found} does not go with refcount={refcount} of the cluster at {offset:#x}"),
            );
        }
    }

    fn walk_snapshots(&mut self) -> Result<()> {
        let header = self.image.header();
        let mut at = header.snapshots_offset;
        for number in 0..header.snapshots {
            let mut raw = RawSnapshot::new_zeroed();
            let name = format!("snapshot {number}");
            if self.read_there(at, raw.as_mut_bytes())? < size_of::<RawSnapshot>() as u64 {
                self.report(name, format!("its entry at {at:#x} is not inside the file"));
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
        self.refer("snapshot table", header.snapshots_offset, at - header.snapshots_offset, Use::SnapshotTable);
        Ok(())
    }

    /// Counts what the persistent bitmaps refer to.
    fn walk_bitmaps(&mut self) -> Result<()> {
        let header = self.image.header();
        let raw = header.extension(EXTENSION_BITMAPS).and_then(|data| RawBitmaps::read_from_prefix(data).ok());
        let Some((raw, _)) = raw else {
            return Ok(());
        };
        let (mut at, length) = (raw.bitmap_directory_offset.get(), raw.bitmap_directory_size.get());
        if !self.refer("bitmap directory", at, length, Use::Bitmaps) {
            return Ok(());
        }
        for number in 0..raw.nb_bitmaps.get().min(BITMAPS_MAX) {
            let object = format!("bitmap {number}");
            let mut bitmap = RawBitmap::new_zeroed();
            let rest = match self.read_there(at, bitmap.as_mut_bytes())? {
                24 => u64::from(bitmap.extra_data_size.get()) + u64::from(bitmap.name_size.get()),
                _ => u64::MAX,
            };
            if rest > ENTRY_MAX_BYTES {
                self.report(object, format!("its entry at {at:#x} is not inside the file"));
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
                        format!("its l2 table at {table:#x} is another entry's, too"),
                    );
                }
                // Reported when it was counted.
                _ => {}
            }
        }
        Ok(())
    }

    /// Walks the L2 tables that only snapshots have.
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

    /// Counts what an L2 table refers to, once for each reference to the table. The active image's
    /// has `first_cluster`, the guest cluster of its first entry.
    fn walk_l2(&mut self, table: u64, first_cluster: Option<u64>) -> Result<()> {
        let header = self.image.header();
        let host = (table >> header.cluster_bits) as usize;
        self.uses[host] = Use::WalkedL2Table as u8;
        let times = self.expected[host];
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

    fn check_entry(&mut self, raw: RawEntry, (table, index): (u64, u64), first_cluster: Option<u64>, times: u32) {
        let header = self.image.header();
        if raw == RawEntry::default() {
            return;
        }
        let cluster = first_cluster.map(|first| first + index);
        let object = match cluster {
            Some(cluster) => cluster_name(cluster, header),
            None => format!("entry {index} of the snapshots' l2 table at {table:#x}"),
        };
        let entry = match Entry::parse(raw, header) {
            Err(problem) => return self.report(object, problem),
            Ok(entry) => entry,
        };
        let copied = raw.descriptor;
        if let Entry::Compressed { offset, length_bytes } = entry {
            if copied & FLAG_COPIED != 0 {
                self.report(&object, "a compressed cluster has copied=1");
            }
            // The last sector may be cut off behind the stream's end.
            let file_end = self.image.file().size_bytes();
            let there = length_bytes.min(file_end.saturating_sub(offset)).max(1);
            if self.refer_times(&object, offset, there, Use::Compressed, times)
                && let Some(cluster) = cluster
            {
                self.streams.push(Stream { cluster, offset, length_bytes });
            }
        } else if let Some(offset) = entry.host_cluster()
            && self.refer_times(&object, offset, header.cluster_size(), Use::Plain, times)
            && let Some(cluster) = cluster
        {
            self.check_copied(&object, copied, offset);
            self.check_cut(&object, entry, offset, cluster);
        }
    }

    /// The bytes of a plain cluster that the guest sees are all in the file.
    fn check_cut(&mut self, object: &str, entry: Entry, offset: u64, cluster: u64) {
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
            self.report(object, format!("{offset:#x}..{end:#x} is not inside the file, file_size={size:#x}"));
        }
    }

    /// Decompresses the streams that have come together, on several threads.
    fn decompress_streams(&mut self) -> Result<()> {
        let streams = std::mem::take(&mut self.streams);
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let image = self.image;
        let part = streams.len().div_ceil(threads).max(1);
        let errors: Vec<Error> = thread::scope(|scope| {
            let work = |part| scope.spawn(move || decompress_all(image, part));
            let threads: Vec<_> = streams.chunks(part).map(work).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("decompressing does not panic")).collect()
        });
        for error in errors {
            match error {
                Error::Corrupt { object, problem } => self.report(object, problem),
                Error::Truncated { ref object, .. } => self.report(object.clone(), error.to_string()),
                other => return Err(other),
            }
        }
        Ok(())
    }

    /// Holds the refcounts against the references, neighbours with the same difference together.
    fn compare(&mut self) {
        let bits = self.image.header().cluster_bits;
        let mut run: Option<(Range<u64>, u32, u32)> = None;
        for cluster in 0..=self.clusters {
            let at = cluster as usize;
            let found = self.actual.get(at).copied().unwrap_or(0);
            let expected = self.expected.get(at).copied().unwrap_or(0);
            match &mut run {
                Some((range, last_found, last_expected)) if (*last_found, *last_expected) == (found, expected) => {
                    range.end = cluster + 1;
                    continue;
                }
                _ => {}
            }
            if let Some((range, found, expected)) = run.take() {
                let kind = if found > expected { "leaked" } else { "too low" };
                let object = match range.end - range.start {
                    1 => format!("host cluster at {:#x}", range.start << bits),
                    count => format!("{count} host clusters from {:#x} on", range.start << bits),
                };
                self.report(object, format!("refcount={found}, expected {expected} ({kind})"));
            }
            if found != expected {
                run = Some((cluster..cluster + 1, found, expected));
            }
        }
    }

    /// Reads the numbers of a part of a table; zeros where the file ends before it.
    fn read_numbers(&self, bytes: Range<u64>) -> Result<Vec<u64>> {
        let mut buffer = vec![0; (bytes.end - bytes.start) as usize];
        self.read_there(bytes.start, &mut buffer)?;
        Ok(numbers(&buffer).collect())
    }

    /// Reads the L2 entries of a part of a table; zeros where the file ends before it.
    fn read_entries(&self, bytes: Range<u64>) -> Result<Vec<RawEntry>> {
        let mut buffer = vec![0; (bytes.end - bytes.start) as usize];
        self.read_there(bytes.start, &mut buffer)?;
        Ok(raw_entries(&buffer, self.image.header()))
    }

    /// Fills the part of `buffer` that is in the file; says how long it is.
    fn read_there(&self, offset: u64, buffer: &mut [u8]) -> Result<u64> {
        let file = self.image.file();
        let there = file.size_bytes().saturating_sub(offset).min(buffer.len() as u64);
        file.read_at(offset, &mut buffer[..there as usize])?;
        Ok(there)
    }
}

/// Every use at its own number.
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

/// The refcount number `at` of a block: widths below a byte begin at the least significant bit.
fn refcount(block: &[u8], at: u64, order: u32) -> u64 {
    let at = at as usize;
    if order < 3 {
        let in_byte = 8 >> order;
        let shift = (at % in_byte) << order;
        return u64::from(block[at / in_byte] >> shift) & ((1 << (1 << order)) - 1);
    }
    let width = 1 << (order - 3);
    block[at * width..][..width].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn decompress_all(image: &Qcow2, streams: &[Stream]) -> Vec<Error> {
    let mut decoder = Decoder::new(image.header().compression);
    let mut bytes = vec![0; image.header().cluster_size() as usize];
    let mut decompress = |stream: &Stream| {
        image.decompress_with(&mut decoder, stream.cluster, stream.offset, stream.length_bytes, &mut bytes).err()
    };
    streams.iter().filter_map(&mut decompress).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refcounts_of_every_width_are_read() {
        let block = [0b1101_0010, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0];
        assert_eq!((0..8).map(|at| refcount(&block, at, 0)).collect::<Vec<_>>(), [0, 1, 0, 0, 1, 0, 1, 1]);
        assert_eq!((0..4).map(|at| refcount(&block, at, 1)).collect::<Vec<_>>(), [2, 0, 1, 3]);
        assert_eq!([refcount(&block, 0, 2), refcount(&block, 1, 2)], [2, 13]);
        assert_eq!(refcount(&block, 1, 3), 0x34);
        assert_eq!(refcount(&block, 1, 4), 0x5678);
        assert_eq!(refcount(&block, 1, 5), 0x9abc_def0);
        assert_eq!(refcount(&block, 0, 6), 0xd234_5678_9abc_def0);
    }

    #[test]
    fn every_use_has_its_own_number() {
        for (number, purpose) in USES.iter().enumerate() {
            assert_eq!(*purpose as usize, number);
        }
    }
}
