//! The L1 table and the L2 tables, which lead from a guest cluster to its bytes.

use std::sync::{Arc, PoisonError};

use storage::ReadAt;

use super::Qcow2;
use super::header::Header;
use super::layout::{FLAG_COMPRESSED, FLAG_COPIED, FLAG_ZERO, OFFSET_MASK, SUBCLUSTERS};
use crate::error::{Error, Result};
use crate::shared::shared;

/// The bytes of an L2 table that are read and cached at a time.
const SLICE_BYTES: u64 = 16 << 10;

/// The unit in bytes in which L2 entries count the length of a compressed cluster.
pub(crate) const SECTOR_BYTES: u64 = 512;

/// The meaning of an L2 entry for its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The image does not have the cluster: it reads as the backing file does, or as zeros without one.
    Unallocated,
    /// Zeros, with or without a reserved host cluster.
    Zero { reserved: Option<u64> },
    /// A host cluster.
    Plain { offset: u64 },
    /// A compressed stream at `offset`, of at most `length_bytes` bytes: its exact length is not stored.
    Compressed { offset: u64, length_bytes: u64 },
    /// Subclusters of more than one kind, or a reserved host cluster without data.
    Pieces { offset: Option<u64>, subclusters: Subclusters },
}

/// "Extended L2 Entries": the kinds of a cluster's subclusters, the first one at the least significant bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subclusters {
    /// Bits of the subclusters that are in the host cluster.
    pub(crate) allocated: u32,
    /// Bits of the subclusters that read as zeros. The others are unallocated.
    pub(crate) zero: u32,
}

impl Subclusters {
    /// Whether the subcluster is allocated, and whether it is zero.
    pub(crate) fn kind(self, subcluster: u32) -> (bool, bool) {
        (self.allocated >> subcluster & 1 != 0, self.zero >> subcluster & 1 != 0)
    }
}

/// An L2 entry, not parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawEntry {
    /// "L2 table entry".
    pub(crate) descriptor: u64,
    /// "Subcluster Allocation Bitmap"; 0 if entries are not extended.
    pub(crate) bitmap: u64,
}

impl From<u64> for RawEntry {
    fn from(descriptor: u64) -> Self {
        Self { descriptor, bitmap: 0 }
    }
}

impl Entry {
    /// Reads an L2 entry. The error describes the problem, without the entry's place.
    pub(crate) fn parse(raw: RawEntry, header: &Header) -> std::result::Result<Self, String> {
        let RawEntry { descriptor: raw, bitmap } = raw;
        if raw & FLAG_COMPRESSED != 0 && bitmap != 0 {
            return Err(format!("l2_entry={raw:#018x} is compressed and has subclusters, bitmap={bitmap:#018x}"));
        }
        if raw & FLAG_COMPRESSED != 0 {
            let size_shift = 62 - (header.cluster_bits - 8);
            let offset = raw & ((1 << size_shift) - 1);
            let sectors = (raw >> size_shift) & ((1 << (header.cluster_bits - 8)) - 1);
            let length_bytes = (sectors + 1) * SECTOR_BYTES - offset % SECTOR_BYTES;
            return Ok(Self::Compressed { offset, length_bytes });
        }
        let offset = raw & OFFSET_MASK;
        let zero = raw & FLAG_ZERO != 0;
        if raw & !(OFFSET_MASK | FLAG_COPIED | FLAG_ZERO) != 0 {
            return Err(format!("l2_entry={raw:#018x} has reserved bits set"));
        }
        if zero && (header.version < 3 || header.has_extended_l2()) {
            let kind = if header.version < 3 { "version 2 does" } else { "extended L2 entries do" };
            return Err(format!("l2_entry={raw:#018x} has the zero flag, which {kind} not have"));
        }
        if !offset.is_multiple_of(header.cluster_size()) {
            return Err(format!(
                "l2_entry={raw:#018x}: the offset {offset:#x} is not a multiple of the cluster size {:#x}",
                header.cluster_size()
            ));
        }
        if header.has_extended_l2() {
            return Self::extended(raw, offset, bitmap);
        }
        Ok(match (zero, offset) {
            (true, 0) => Self::Zero { reserved: None },
            (true, offset) => Self::Zero { reserved: Some(offset) },
            (false, 0) => Self::Unallocated,
            (false, offset) => Self::Plain { offset },
        })
    }

    /// "Extended L2 Entries": an entry for the whole cluster if all of its subclusters are of one kind.
    fn extended(raw: u64, offset: u64, bitmap: u64) -> std::result::Result<Self, String> {
        let subclusters = Subclusters { allocated: bitmap as u32, zero: (bitmap >> SUBCLUSTERS) as u32 };
        if subclusters.allocated & subclusters.zero != 0 {
            return Err(format!("l2_entry={raw:#018x} has subclusters of two kinds, bitmap={bitmap:#018x}"));
        }
        let offset = (offset != 0).then_some(offset);
        Ok(match (offset, subclusters.allocated, subclusters.zero) {
            (None, 0, 0) => Self::Unallocated,
            (None, 0, u32::MAX) | (Some(_), 0, u32::MAX) => Self::Zero { reserved: offset },
            (Some(offset), u32::MAX, 0) => Self::Plain { offset },
            (None, 1.., _) => {
                return Err(format!("l2_entry={raw:#018x} has no offset and subclusters, bitmap={bitmap:#018x}"));
            }
            _ => Self::Pieces { offset, subclusters },
        })
    }

    /// The host cluster that belongs to this cluster alone, used or reserved.
    pub(crate) fn host_cluster(self) -> Option<u64> {
        match self {
            Self::Plain { offset } => Some(offset),
            Self::Zero { reserved: offset } | Self::Pieces { offset, .. } => offset,
            Self::Unallocated | Self::Compressed { .. } => None,
        }
    }
}

/// "Compressed Clusters Descriptor": the L2 entry of a stream.
pub(crate) fn compressed_entry(header: &Header, offset: u64, length_bytes: u64) -> Result<u64> {
    let size_shift = 62 - (header.cluster_bits - 8);
    if offset >> size_shift != 0 {
        return Err(Error::unsupported(format!("a compressed qcow2 cluster at offset {offset:#x}")));
    }
    let more_sectors = (offset + length_bytes - 1) / SECTOR_BYTES - offset / SECTOR_BYTES;
    Ok(FLAG_COMPRESSED | more_sectors << size_shift | offset)
}

/// The offset in an L1 entry, 0 if there is no L2 table. The error describes the problem.
pub(crate) fn parse_l1_entry(raw: u64, header: &Header) -> std::result::Result<u64, String> {
    let offset = raw & OFFSET_MASK;
    if raw & !(OFFSET_MASK | FLAG_COPIED) != 0 {
        return Err(format!("l1_entry={raw:#018x} has reserved bits set"));
    }
    if !offset.is_multiple_of(header.cluster_size()) {
        return Err(format!(
            "l1_entry={raw:#018x}: the offset {offset:#x} is not a multiple of the cluster size {:#x}",
            header.cluster_size()
        ));
    }
    Ok(offset)
}

/// Big-endian 64-bit numbers, as all tables are.
pub(crate) fn numbers(bytes: &[u8]) -> impl ExactSizeIterator<Item = u64> {
    bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_be_bytes(*chunk))
}

/// The L2 entries in `bytes`.
pub(crate) fn raw_entries(bytes: &[u8], header: &Header) -> Vec<RawEntry> {
    let mut numbers = numbers(bytes);
    let mut entries = Vec::with_capacity(bytes.len() / header.entry_bytes() as usize);
    while let Some(descriptor) = numbers.next() {
        let bitmap = if header.has_extended_l2() { numbers.next().unwrap_or(0) } else { 0 };
        entries.push(RawEntry { descriptor, bitmap });
    }
    entries
}

/// Part of an L2 table, validated.
#[derive(Debug)]
pub(crate) struct Slice {
    /// The guest cluster of the first entry.
    pub(crate) first_cluster: u64,
    pub(crate) entries: Vec<Entry>,
}

impl Slice {
    /// Whether the entry of `cluster` is in this part.
    pub(crate) fn has(&self, cluster: u64) -> bool {
        cluster >= self.first_cluster && cluster - self.first_cluster < self.entries.len() as u64
    }

    /// The entry of `cluster`, which is in this part.
    pub(crate) fn entry(&self, cluster: u64) -> Entry {
        self.entries[(cluster - self.first_cluster) as usize]
    }
}

impl Header {
    /// Number of entries in the part of an L2 table that is read at once.
    pub(crate) fn slice_entries(&self) -> u64 {
        SLICE_BYTES.min(self.cluster_size()) / self.entry_bytes()
    }
}

/// Reads the active L1 table.
pub(crate) fn read_l1(file: &dyn ReadAt, header: &Header) -> Result<Vec<u64>> {
    let length_bytes = u64::from(header.l1_entries) * 8;
    let end = header.l1_offset + length_bytes;
    if end > file.size_bytes() {
        return Err(Error::Truncated {
            object: "l1 table".into(),
            offset: header.l1_offset,
            length_bytes,
            file_size_bytes: file.size_bytes(),
        });
    }
    let mut bytes = vec![0; length_bytes as usize];
    file.read_at(header.l1_offset, &mut bytes)?;
    Ok(numbers(&bytes).collect())
}

/// The offsets that more than one entry of the L1 table has, sorted.
///
/// No program writes such tables, and with them a small file could stand for more L2 tables than can ever be walked.
pub(crate) fn shared_l2_tables(l1: &[u64]) -> Vec<u64> {
    shared(l1.iter().map(|raw| raw & OFFSET_MASK))
}

impl Qcow2 {
    /// The place of the L2 table of the L1 entry `index`; `None` if it has no table.
    pub(crate) fn l2_table(&self, index: u64) -> Result<Option<u64>> {
        let header = self.header();
        let object =
            || format!("l1 entry {index} (guest offset {:#x})", index << (header.l2_bits() + header.cluster_bits));
        let raw = self.l1().get(index as usize).copied().unwrap_or(0);
        let offset = parse_l1_entry(raw, header).map_err(|problem| Error::corrupt(object(), problem))?;
        if offset == 0 {
            return Ok(None);
        }
        let file_size_bytes = self.file().size_bytes();
        if offset + header.cluster_size() > file_size_bytes {
            let object = format!("l2 table of {}", object());
            return Err(Error::Truncated { object, offset, length_bytes: header.cluster_size(), file_size_bytes });
        }
        if self.shared_l2.binary_search(&offset).is_ok() {
            return Err(Error::corrupt(object(), format!("its l2 table at {offset:#x} is shared with another entry")));
        }
        Ok(Some(offset))
    }

    /// The part of an L2 table with the entry of `cluster`; `None` if there is no table.
    pub(crate) fn slice(&self, cluster: u64) -> Result<Option<Arc<Slice>>> {
        let header = self.header();
        let Some(table) = self.l2_table(cluster >> header.l2_bits())? else {
            return Ok(None);
        };
        let slice_entries = header.slice_entries();
        let first_cluster = cluster / slice_entries * slice_entries;
        let offset = table + (first_cluster % (1 << header.l2_bits())) * header.entry_bytes();
        if let Some(slice) = self.slices.lock().unwrap_or_else(PoisonError::into_inner).get(offset) {
            return Ok(Some(slice));
        }
        let slice = Arc::new(self.read_slice(first_cluster, offset, slice_entries)?);
        self.slices.lock().unwrap_or_else(PoisonError::into_inner).insert(offset, Arc::clone(&slice));
        Ok(Some(slice))
    }

    /// Reads and validates `entries` entries of an L2 table, without the cache.
    pub(crate) fn read_slice(&self, first_cluster: u64, offset: u64, entries: u64) -> Result<Slice> {
        let header = self.header();
        let mut bytes = vec![0; (entries * header.entry_bytes()) as usize];
        self.file().read_at(offset, &mut bytes)?;
        let parse = |(cluster, raw)| {
            Entry::parse(raw, header).map_err(|problem| Error::corrupt(cluster_name(cluster, header), problem))
        };
        let entries: Result<Vec<Entry>> = (first_cluster..).zip(raw_entries(&bytes, header)).map(parse).collect();
        Ok(Slice { first_cluster, entries: entries? })
    }
}

/// The name of a guest cluster in messages. `qemu-img map` shows the same offset.
pub(crate) fn cluster_name(cluster: u64, header: &Header) -> String {
    format!("cluster at guest offset {:#x}", u128::from(cluster) << header.cluster_bits)
}
