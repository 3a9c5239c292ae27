//! Reading the guest's disk.

use std::sync::{Arc, PoisonError};

use flate2::{Decompress, FlushDecompress};
use storage::{Extent, ExtentKind};
use zerocopy::{FromZeros, IntoBytes};

use super::header::read_inside;
use super::layout::*;
use super::{Vmdk, read_entries};
use crate::claim::{self, claim_max};
use crate::error::{Error, Result};

/// The most tables that are read to find one extent.
const EXTENT_TABLES_MAX: u64 = 1 << 16;

/// The entry of a grain in its grain table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    Zero,
    /// The grain is there, or the marker before it.
    At {
        offset: u64,
    },
}

impl Vmdk {
    /// Fills `buffer` with the guest's bytes from `offset` on. All of them are inside the disk.
    pub(crate) fn read_guest(&self, mut offset: u64, mut buffer: &mut [u8]) -> Result<()> {
        let grain_bytes = self.header.grain_bytes();
        while !buffer.is_empty() {
            let (number, into) = (offset / grain_bytes, offset % grain_bytes);
            let length = (grain_bytes - into).min(buffer.len() as u64);
            let (part, rest) = buffer.split_at_mut(length as usize);
            match self.grain(number)? {
                Grain::Zero => part.fill(0),
                Grain::At { offset: at } if !self.header.compressed => {
                    read_inside(self.file(), at + into, part, || self.grain_name(number))?;
                }
                Grain::At { offset: at } if length == grain_bytes => self.decompress(number, at, part)?,
                Grain::At { offset: at } => {
                    part.copy_from_slice(&self.whole_grain(number, at)?[into as usize..][..length as usize]);
                }
            }
            offset += length;
            buffer = rest;
        }
        Ok(())
    }

    /// The run of guest bytes from `offset` on that are all zeros, or all have to be read.
    pub(crate) fn guest_extent(&self, offset: u64) -> Result<Extent> {
        let (grain_bytes, entries) = (self.header.grain_bytes(), self.header.table_entries);
        let first = offset / grain_bytes;
        let is_zero = self.grain(first)? == Grain::Zero;
        let mut end = first + 1;
        for _ in 0..EXTENT_TABLES_MAX {
            if end >= self.header.grains() {
                break;
            }
            let index = end / entries;
            let table_end = (index + 1) * entries;
            end = match self.table(index)? {
                None if is_zero => table_end,
                None => break,
                Some(table) => {
                    let same = |entry: &&u32| (self.parse_entry(**entry) == Grain::Zero) == is_zero;
                    let rest = &table[(end % entries) as usize..];
                    end + rest.iter().take_while(same).count() as u64
                }
            };
            if end < table_end {
                break;
            }
        }
        let kind = if is_zero { ExtentKind::Zero } else { ExtentKind::Data };
        let end = (u128::from(end) * u128::from(grain_bytes)).min(u128::from(self.size_bytes())) as u64;
        Ok(Extent { kind, length_bytes: end - offset })
    }

    /// The place of the grain `number`.
    pub(crate) fn grain(&self, number: u64) -> Result<Grain> {
        let index = number / self.header.table_entries;
        let Some(table) = self.table(index)? else {
            return Ok(Grain::Zero);
        };
        Ok(self.parse_entry(table[(number % self.header.table_entries) as usize]))
    }

    /// The meaning of an entry of a grain table.
    pub(crate) fn parse_entry(&self, entry: u32) -> Grain {
        match entry {
            0 => Grain::Zero,
            1 if self.header.zero_grains => Grain::Zero,
            sector => Grain::At { offset: u64::from(sector) * SECTOR_BYTES },
        }
    }

    /// The entries of the grain table number `index`, if there is one.
    ///
    /// A table that another entry of the directory refers to as well is refused: no program writes such a directory, and
    /// with it a small file could stand for a disk of any size.
    pub(crate) fn table(&self, index: u64) -> Result<Option<Arc<Vec<u32>>>> {
        let entry = self.directory[index as usize];
        let sector = u64::from(entry);
        if sector == 0 {
            return Ok(None);
        }
        let name = || format!("VMDK grain table {index}");
        if self.shared_tables.binary_search(&entry).is_ok() {
            return Err(Error::corrupt(name(), format!("sector={sector:#x} is shared with another table")));
        }
        if let Some(table) = self.tables.lock().unwrap_or_else(PoisonError::into_inner).get(sector) {
            return Ok(Some(table));
        }
        let table = read_entries(self.file(), sector * SECTOR_BYTES, self.header.table_entries, name)?;
        let table = Arc::new(table);
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).insert(sector, Arc::clone(&table));
        Ok(Some(table))
    }

    /// Refuses an image with more grains than its file can hold; see [`claim`].
    ///
    /// The marker of a compressed grain names the grain, so two grains cannot share one.
    pub(crate) fn refuse_false_claims(&self) -> Result<()> {
        let file_size_bytes = self.file().size_bytes();
        let most = claim_max(file_size_bytes, 1);
        if self.header.compressed || self.size_bytes() <= most {
            return Ok(());
        }
        let is_inside =
            |entry: &&u32| matches!(self.parse_entry(**entry), Grain::At { offset } if offset < file_size_bytes);
        let mut grains = 0u64;
        for index in 0..self.header.tables() {
            match self.table(index) {
                Ok(Some(table)) => grains += table.iter().filter(is_inside).count() as u64,
                Err(error @ Error::Storage(_)) => return Err(error),
                // A table that cannot be read claims nothing, and is an error when it is used.
                Ok(None) | Err(_) => {}
            }
            claim::refuse("VMDK image", grains.saturating_mul(self.header.grain_bytes()), most)?;
        }
        Ok(())
    }

    /// The decompressed grain, from the cache if it is there.
    fn whole_grain(&self, number: u64, offset: u64) -> Result<Arc<Vec<u8>>> {
        if let Some(bytes) = self.grains.lock().unwrap_or_else(PoisonError::into_inner).get(number) {
            return Ok(bytes);
        }
        let mut bytes = vec![0; self.header.grain_bytes() as usize];
        self.decompress(number, offset, &mut bytes)?;
        let bytes = Arc::new(bytes);
        self.grains.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::clone(&bytes));
        Ok(bytes)
    }

    /// Decompresses the grain whose marker is at `offset` into `output`, which is one grain. No lock is
    /// held meanwhile.
    pub(crate) fn decompress(&self, number: u64, offset: u64, output: &mut [u8]) -> Result<()> {
        let stream = self.stream(number, offset)?;
        let taken = self.decoders.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut inflate = taken.unwrap_or_else(|| Decompress::new(true));
        inflate.reset(true);
        let problem = |text: String| Error::corrupt(self.grain_name(number), format!("marker={offset:#x}: {text}"));
        inflate
            .decompress(&stream, output, FlushDecompress::Finish)
            .map_err(|error| problem(format!("not a valid zlib stream: {error}")))?;
        let produced = inflate.total_out();
        // The disk may end inside the last grain, and the stream of some writers ends there.
        let needed = output.len() as u64;
        let needed = needed.min(self.size_bytes().saturating_sub(number * needed));
        if produced < needed {
            return Err(problem(format!("the stream ends after {produced:#x} bytes, expected {needed:#x}")));
        }
        self.decoders.lock().unwrap_or_else(PoisonError::into_inner).push(inflate);
        output[produced as usize..].fill(0);
        Ok(())
    }

    /// The compressed bytes of the grain whose marker is at `offset`.
    pub(crate) fn stream(&self, number: u64, offset: u64) -> Result<Vec<u8>> {
        let name = || self.grain_name(number);
        let mut marker = RawGrainMarker::new_zeroed();
        read_inside(self.file(), offset, marker.as_mut_bytes(), name)?;
        let (lba, expected) = (marker.lba.get(), number * self.header.grain_sectors);
        if lba != expected {
            return Err(Error::corrupt(name(), format!("marker={offset:#x}: lba={lba:#x}, expected {expected:#x}")));
        }
        let size = u64::from(marker.size_bytes.get());
        // A grain that cannot be compressed becomes at most one seventh larger.
        let most = self.header.grain_bytes() * 2;
        if size == 0 || size > most {
            let problem = format!("marker={offset:#x}: size={size:#x}, expected 1 to {most:#x}");
            return Err(Error::corrupt(name(), problem));
        }
        let mut stream = vec![0; size as usize];
        read_inside(self.file(), offset + size_of::<RawGrainMarker>() as u64, &mut stream, name)?;
        Ok(stream)
    }

    /// The name of a grain in messages. `qemu-img map` shows the same offset.
    pub(crate) fn grain_name(&self, number: u64) -> String {
        format!("VMDK grain at guest offset {:#x}", number * self.header.grain_bytes())
    }
}
