//! VMDK in one file, after VMware's "Virtual Disk Format 5.0": `streamOptimized`, which tools pass
//! around, and `monolithicSparse`, which is read only.
//!
//! A disk is divided into grains, and a grain directory of grain tables says where each is in the file.
//! In a stream they are compressed, and their tables come behind them.

mod check;
mod descriptor;
mod header;
mod layout;
mod read;
mod write;

use std::sync::{Arc, Mutex};

use flate2::Decompress;
use storage::ReadAt;
use zerocopy::IntoBytes;
use zerocopy::little_endian::U32;

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::shared::shared;
use crate::{Format, Info, VmdkInfo};
use header::{Header, TABLE_MAX_ENTRIES, read_inside};

pub(crate) use descriptor::Descriptor;
pub(crate) use layout::{DESCRIPTOR_MAGIC, MAGIC, SECTOR_BYTES as SIZE_UNIT_BYTES};
pub(crate) use write::write;

/// The memory that the decompressed grains may take, and that the tables may, in bytes.
const CACHE_BYTES: u64 = 4 << 20;

/// A sparse VMDK image.
pub(crate) struct Vmdk {
    file: Arc<dyn ReadAt>,
    header: Header,
    /// Where each grain table is, in sectors; 0 where there is none.
    directory: Vec<u32>,
    /// The tables that more than one entry of the directory has, sorted: none in a sound image.
    shared_tables: Vec<u32>,
    /// A table's place in sectors → its entries.
    tables: Mutex<Cache<Vec<u32>>>,
    /// A compressed grain's number → its bytes.
    grains: Mutex<Cache<Vec<u8>>>,
    /// Decoders that no thread uses now.
    decoders: Mutex<Vec<Decompress>>,
}

impl Vmdk {
    /// Validates the header and the descriptor of `file` and reads the grain directory.
    pub(crate) fn open(file: Arc<dyn ReadAt>) -> Result<Self> {
        let header = Header::read(&*file)?;
        let directory =
            read_entries(&*file, header.directory_offset, header.tables(), || "VMDK grain directory".into())?;
        Ok(Self {
            shared_tables: shared(directory.iter().copied()),
            directory,
            tables: Mutex::new(Cache::new(CACHE_BYTES / (u64::from(TABLE_MAX_ENTRIES) * 4))),
            grains: Mutex::new(Cache::new(CACHE_BYTES / header.grain_bytes())),
            decoders: Mutex::default(),
            header,
            file,
        })
    }

    pub(crate) fn file(&self) -> &dyn ReadAt {
        &*self.file
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.header.size_bytes()
    }

    pub(crate) fn info(&self) -> Info {
        Info {
            vmdk: Some(VmdkInfo {
                create_type: self.header.create_type.clone(),
                grain_size_bytes: self.header.grain_bytes() as u32,
            }),
            ..Info::new(Format::Vmdk, self.size_bytes(), self.file.size_bytes())
        }
    }
}

/// `count` entries of a directory or a table.
fn read_entries(file: &dyn ReadAt, offset: u64, count: u64, object: impl FnOnce() -> String) -> Result<Vec<u32>> {
    let length_bytes = count * 4;
    let file_size_bytes = file.size_bytes();
    // Before there is memory for it.
    if offset.checked_add(length_bytes).is_none_or(|end| end > file_size_bytes) {
        return Err(Error::Truncated { object: object(), offset, length_bytes, file_size_bytes });
    }
    let mut entries = vec![U32::new(0); count as usize];
    read_inside(file, offset, entries.as_mut_bytes(), object)?;
    Ok(entries.into_iter().map(U32::get).collect())
}

impl std::fmt::Debug for Vmdk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vmdk").field("header", &self.header).finish_non_exhaustive()
    }
}
