//! A new stream: `streamOptimized`, written from front to back.
//!
//! The header and the descriptor come first. Then follow the grains in the order of the disk, each after its marker. Each
//! table follows its last grain. After the last table come the grain directory, the footer and the end marker. Grains of
//! zeros are left out.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use flate2::Crc;
use storage::ReadAt;
use zerocopy::{FromZeros, IntoBytes};

use super::Vmdk;
use super::descriptor::new_descriptor;
use super::header::TABLES_MAX;
use super::layout::*;
use super::read::Grain;
use crate::append::Appender;
use crate::convert::Source;
use crate::deflate::Deflate;
use crate::error::{Error, Result};
use crate::in_order::InOrder;
use crate::units::{DataUnits, read_units};
use crate::write::{Progress, merged};
use crate::zeros::is_zero;
use crate::{Image, Kind, WriteOptions, Written};

/// The bytes of the disk that one thread reads and compresses at a time.
const BATCH_BYTES: u64 = 1 << 20;
/// Size of a grain in sectors. Every program expects this size, and the number of entries below.
const GRAIN_SECTORS: u64 = 128;
const GRAIN_BYTES: u64 = GRAIN_SECTORS * SECTOR_BYTES;
const TABLE_ENTRIES: usize = 512;
/// Length of the descriptor's place in sectors.
const DESCRIPTOR_SECTORS: u64 = 20;
/// Where the first grain's marker may be, in sectors.
const OVERHEAD_SECTORS: u64 = 128;

/// Writes the disk of `source`. If the base is such a stream, too, its unchanged grains are copied without decompressing
/// them.
pub(crate) fn write(
    source: &Source<'_>,
    target: &File,
    options: &WriteOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Written> {
    let disk = source.disk;
    let size_bytes = disk.size_bytes();
    let capacity = size_bytes.div_ceil(SECTOR_BYTES);
    let tables = capacity.div_ceil(GRAIN_SECTORS).div_ceil(TABLE_ENTRIES as u64);
    if tables > TABLES_MAX {
        return Err(Error::unsupported(format!("a VMDK image of a disk of {size_bytes:#x} bytes")));
    }
    let mut stream = Stream {
        out: Appender::new(target, OVERHEAD_SECTORS * SECTOR_BYTES),
        directory: vec![0; tables as usize],
        table: [0; TABLE_ENTRIES],
        table_index: 0,
        content: Crc::new(),
        written: Written::default(),
    };
    let progress = Progress::new(progress, size_bytes);
    let grains = Grains::new(source);
    std::thread::scope(|scope| {
        let (grains, level) = (&grains, options.new_clusters.level());
        let make_worker = move || {
            let mut deflate = Deflate::new(level, true);
            Ok(move |numbers: Result<Range<u64>>| grains.pack(numbers?, &mut deflate))
        };
        let batches = DataUnits::new(disk, GRAIN_BYTES, BATCH_BYTES);
        for batch in InOrder::start(scope, options.threads, batches, make_worker) {
            let batch = batch?;
            stream.append_batch(&batch)?;
            progress.reach((batch.first_grain + batch.grains.len() as u64) * GRAIN_BYTES);
        }
        Ok::<(), Error>(())
    })?;
    progress.reach(size_bytes);
    stream.finish(target, capacity)
}

/// Where grains come from.
struct Grains<'a> {
    disk: &'a dyn ReadAt,
    /// The image whose grains can be kept, and the grains that changed, sorted.
    kept: Option<(&'a Vmdk, Vec<Range<u64>>)>,
}

/// Some grains, compressed.
struct Batch {
    first_grain: u64,
    grains: Vec<Packed>,
    bytes: Vec<u8>,
}

/// How a grain is stored, and how many of the batch's bytes it has.
enum Packed {
    Zero,
    Compressed { length: usize },
    Kept { length: usize },
}

impl<'a> Grains<'a> {
    fn new(source: &Source<'a>) -> Self {
        let kept = match source.base {
            Some(Image { kind: Kind::Vmdk(base) })
                if base.header.compressed && base.header.grain_sectors == GRAIN_SECTORS =>
            {
                let mut changed = source.changed.to_vec();
                // The base's last grain may have any bytes after the disk's end.
                if source.disk.size_bytes() > base.size_bytes() {
                    changed.push(base.size_bytes().saturating_sub(1)..source.disk.size_bytes());
                }
                Some((&**base, merged(&changed, GRAIN_BYTES)))
            }
            _ => None,
        };
        Self { disk: source.disk, kept }
    }

    /// The base, if it has the grain's bytes.
    fn keeper(&self, grain: u64) -> Option<&'a Vmdk> {
        let (base, changed) = self.kept.as_ref()?;
        let next = changed.partition_point(|range| range.end <= grain);
        changed.get(next).is_none_or(|range| grain < range.start).then_some(*base)
    }

    fn pack(&self, grains: Range<u64>, deflate: &mut Deflate) -> Result<Batch> {
        let mut batch = Batch { first_grain: grains.start, grains: Vec::new(), bytes: Vec::new() };
        for grain in grains {
            let packed = match self.keeper(grain) {
                Some(base) => match base.grain(grain)? {
                    Grain::Zero => Packed::Zero,
                    Grain::At { offset } => {
                        let stream = base.stream(grain, offset)?;
                        batch.bytes.extend_from_slice(&stream);
                        Packed::Kept { length: stream.len() }
                    }
                },
                None => {
                    let bytes = read_units(self.disk, GRAIN_BYTES, grain..grain + 1)?;
                    if is_zero(&bytes) {
                        Packed::Zero
                    } else {
                        let from = batch.bytes.len();
                        deflate.append_stream(&bytes, &mut batch.bytes).map_err(|error| Error::writing(0, 0, error))?;
                        Packed::Compressed { length: batch.bytes.len() - from }
                    }
                }
            };
            batch.grains.push(packed);
        }
        Ok(batch)
    }
}

/// The new file.
struct Stream<'a> {
    out: Appender<'a>,
    directory: Vec<u32>,
    /// The table number `table_index`, whose grains are being written.
    table: [u32; TABLE_ENTRIES],
    table_index: usize,
    /// The sum of the grains' markers and compressed bytes.
    content: Crc,
    written: Written,
}

impl Stream<'_> {
    fn append_batch(&mut self, batch: &Batch) -> Result<()> {
        let mut bytes = &batch.bytes[..];
        for (grain, packed) in (batch.first_grain..).zip(&batch.grains) {
            let length = match *packed {
                Packed::Zero => {
                    self.written.clusters_zero += 1;
                    continue;
                }
                Packed::Compressed { length } => {
                    self.written.clusters_compressed += 1;
                    length
                }
                Packed::Kept { length } => {
                    self.written.clusters_kept += 1;
                    length
                }
            };
            let (stream, rest) = bytes.split_at(length);
            bytes = rest;
            self.append_grain(grain, stream)?;
        }
        Ok(())
    }

    fn append_grain(&mut self, grain: u64, stream: &[u8]) -> Result<()> {
        let index = grain as usize / TABLE_ENTRIES;
        if index != self.table_index {
            self.end_table()?;
            self.table_index = index;
        }
        self.table[grain as usize % TABLE_ENTRIES] = self.sector()?;
        let mut marker = RawGrainMarker::new_zeroed();
        marker.lba = (grain * GRAIN_SECTORS).into();
        marker.size_bytes = (stream.len() as u32).into();
        for bytes in [marker.as_bytes(), stream] {
            self.content.update(bytes);
            self.out.append(bytes)?;
        }
        self.out.pad_to(self.out.position().next_multiple_of(SECTOR_BYTES))
    }

    /// The sector that comes next.
    fn sector(&self) -> Result<u32> {
        let sector = self.out.position() / SECTOR_BYTES;
        u32::try_from(sector).map_err(|_| Error::unsupported("a VMDK file of more than 2 TiB"))
    }

    /// Writes the table, if it has any grain.
    fn end_table(&mut self) -> Result<()> {
        if self.table.iter().all(|&entry| entry == 0) {
            return Ok(());
        }
        let table = std::mem::replace(&mut self.table, [0; TABLE_ENTRIES]);
        self.directory[self.table_index] = self.append_entries(&table, MARKER_GRAIN_TABLE)?;
        Ok(())
    }

    /// Writes a table or the directory after its marker, and returns its sector.
    fn append_entries(&mut self, entries: &[u32], kind: u32) -> Result<u32> {
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        self.append_marker((bytes.len() as u64).div_ceil(SECTOR_BYTES), kind)?;
        let sector = self.sector()?;
        self.out.append(&bytes)?;
        self.out.pad_to(self.out.position().next_multiple_of(SECTOR_BYTES))?;
        Ok(sector)
    }

    fn append_marker(&mut self, sectors: u64, kind: u32) -> Result<()> {
        let mut marker = RawMarker::new_zeroed();
        marker.sectors = sectors.into();
        marker.kind = kind.into();
        self.out.append(marker.as_bytes())
    }

    /// Writes everything that follows the grains, and then the start of the file, which makes it an image.
    fn finish(mut self, target: &File, capacity: u64) -> Result<Written> {
        self.end_table()?;
        let directory = std::mem::take(&mut self.directory);
        let directory = self.append_entries(&directory, MARKER_GRAIN_DIRECTORY)?;
        self.append_marker(1, MARKER_FOOTER)?;
        self.out.append(new_header(capacity, directory.into()).as_bytes())?;
        self.append_marker(0, MARKER_END_OF_STREAM)?;
        self.out.flush()?;

        let mut start = vec![0; (OVERHEAD_SECTORS * SECTOR_BYTES) as usize];
        let cid = content_id(self.content.sum());
        let descriptor = new_descriptor(capacity, cid);
        start[SECTOR_BYTES as usize..][..descriptor.len()].copy_from_slice(descriptor.as_bytes());
        start[..SECTOR_BYTES as usize].copy_from_slice(new_header(capacity, GD_AT_END).as_bytes());
        target.write_all_at(&start, 0).map_err(|error| Error::writing(0, start.len() as u64, error))?;
        Ok(Written { file_size_bytes: self.out.position(), ..self.written })
    }
}

/// A content ID: the same for the same grains, and not one of the two numbers with a special meaning.
fn content_id(sum: u32) -> u32 {
    if sum >= u32::MAX - 1 { 1 } else { sum }
}

fn new_header(capacity: u64, gd_offset: u64) -> RawHeader {
    let mut header = RawHeader::new_zeroed();
    header.magic = MAGIC;
    header.version = 3.into();
    header.flags = (FLAG_NEWLINES | FLAG_COMPRESSED | FLAG_MARKERS).into();
    header.capacity = capacity.into();
    header.grain_size = GRAIN_SECTORS.into();
    header.descriptor_offset = 1.into();
    header.descriptor_size = DESCRIPTOR_SECTORS.into();
    header.num_gtes_per_gt = (TABLE_ENTRIES as u32).into();
    header.gd_offset = gd_offset.into();
    header.over_head = OVERHEAD_SECTORS.into();
    header.newlines = NEWLINES;
    header.compress_algorithm = COMPRESS_DEFLATE.into();
    header
}
