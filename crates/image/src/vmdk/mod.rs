//! VMDK in one file, after VMware's "Virtual Disk Format 5.0": `streamOptimized`, which tools pass
//! around, and `monolithicSparse`, which is only read.
//!
//! # How it works, by an example
//!
//! A disk is divided into grains of 64 KiB. A grain directory of grain tables says where each grain is in the file.
//! Places are counted in sectors of 512 bytes. Take the disk of 1 MiB that the [qcow2 example](crate::qcow2) has, with
//! data in grain 3 and `graft` at byte 0xa1234:
//!
//! ```console
//! $ qemu-img convert -O vmdk -o subformat=streamOptimized disk.raw disk.vmdk
//! ```
//!
//! ```text
//! 0x00000 header           capacity=2048 grainSize=128 numGTEsPerGT=512 gdOffset=26
//! 0x00200 descriptor       text: createType="streamOptimized", parentCID=ffffffff, …
//! 0x03400 grain directory  entry 0: 27
//! 0x03600 grain table      entry 3: 128  entry 10: 129  the others: 0
//! 0x10000 marker           lba=384 size=85, then the 85 bytes of a zlib stream
//! 0x10200 marker           lba=1280 size=99, then the 99 bytes of a zlib stream
//! ```
//!
//! Where is the guest's byte 0xa1234? A grain has 128 sectors, 0x10000 bytes, and a table has 512 entries.
//!
//! 1. Its grain is 0xa1234 / 0x10000 = 10, and it lies 0x1234 bytes into that.
//! 2. Directory entry 10 / 512 = 0, at 26 × 512 = 0x3400, leads to the table at sector 27, which is 0x3600.
//! 3. Table entry 10, at 0x3600 + 10 × 4 = 0x3628, leads to the marker at sector 129, which is 0x10200.
//! 4. The marker names the grain by its first sector on the disk, 10 × 128 = 1,280. Its stream decompresses to 65,536
//!    bytes, and the byte is number 0x1234 of these.
//!
//! A `monolithicSparse` file has the same tables, but its grains lie there as they are: entry 10 is 256, so the byte
//! is at 256 × 512 + 0x1234 = 0x21234. A program that writes a stream from front to back knows the tables only at the
//! end: then `gdOffset` is [`GD_AT_END`](layout::GD_AT_END), and a footer, a second header, stands near the file's end.

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
    /// The sector of each grain table; 0 if there is no table.
    directory: Vec<u32>,
    /// The tables that more than one entry of the directory refers to, sorted: empty in a sound image.
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
    // This is checked before memory is allocated.
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
