//! qcow2, versions 2 and 3, after "The QCOW2 image format" in QEMU's `docs/interop/qcow2.txt`.
//!
//! # How it works, by an example
//!
//! A qcow2 file holds only the clusters of the guest's disk that have data, in any order. Two levels of tables say
//! where each one is. Take a disk of 1 MiB with data in two of its sixteen clusters:
//!
//! ```console
//! $ truncate -s 1M disk.raw
//! $ head -c 64K /dev/zero | tr '\0' A | dd of=disk.raw bs=64K seek=3 conv=notrunc
//! $ printf graft | dd of=disk.raw bs=1 seek=$((0xa1234)) conv=notrunc
//! $ qemu-img convert -O qcow2 disk.raw disk.qcow2
//! ```
//!
//! `disk.qcow2` has seven clusters of 64 KiB (`cluster_bits` is 16, so a cluster has 0x10000 bytes):
//!
//! ```text
//! 0x00000 header          size=0x100000 l1_table_offset=0x30000 refcount_table_offset=0x10000
//! 0x10000 refcount table  entry 0: 0x20000
//! 0x20000 refcount block  1 1 1 1 1 1 1 0 …        one count of 16 bits for each cluster of the file
//! 0x30000 L1 table        entry 0: 0x8000000000040000
//! 0x40000 L2 table        entry 3: 0x8000000000050000  entry 10: 0x8000000000060000  the others: 0
//! 0x50000 data            AAAA…
//! 0x60000 data            zeros, and "graft" at 0x61234
//! ```
//!
//! Where is the guest's byte 0xa1234? An L2 table fills a cluster and has 65,536 / 8 = 8,192 entries, enough for
//! 512 MiB of disk.
//!
//! 1. Its cluster is 0xa1234 / 0x10000 = 10, and it lies 0x1234 bytes into that.
//! 2. L1 entry 10 / 8,192 = 0 leads to the L2 table at 0x40000. Bit 63 is the flag "copied": the refcount is 1, so
//!    a writer may write in place. It does not belong to the offset.
//! 3. L2 entry 10, at 0x40000 + 10 × 8 = 0x40050, leads to the cluster at 0x60000.
//! 4. The byte is at 0x60000 + 0x1234 = 0x61234.
//!
//! An entry of 0, such as that of cluster 4, means that the cluster is not there: it reads as the backing file does,
//! or as zeros. With `convert -c` both clusters are compressed and share one cluster of the file, whose refcount is
//! then 2. L2 entry 10 is 0x400000000005004f: bit 62 says "compressed", the low 54 bits are the stream's offset
//! 0x5004f, and the bits between, here 0, are how many sectors of 512 bytes it goes on for after the first.

mod append;
mod check;
mod cluster;
mod compress;
mod count;
mod counts;
mod header;
mod in_place;
mod layers;
mod layout;
mod new_header;
mod pack;
mod read;
mod refcount;
mod select;
mod small_deflate;
mod table;
mod write;

use std::sync::{Arc, Mutex};

use storage::ReadAt;

use crate::cache::Cache;
use crate::error::Result;
use crate::{BackingName, Format, Image, Info, Qcow2Info};
use compress::Decoder;
use table::Slice;

pub(crate) use header::Header;
pub(crate) use in_place::{edit, repair};
pub(crate) use write::write;

/// The memory in bytes that each of the two caches may take. An image under another one has half of the other's.
const CACHE_BYTES: u64 = 4 << 20;

/// A qcow2 image.
pub(crate) struct Qcow2 {
    file: Arc<dyn ReadAt>,
    header: Header,
    l1: Vec<u64>,
    /// The image that unallocated clusters are read from.
    backing: Option<Box<Image>>,
    /// The L2 tables that more than one L1 entry refers to, sorted: empty in a sound image.
    shared_l2: Vec<u64>,
    /// Offset of a part of an L2 table → the part.
    slices: Mutex<Cache<Slice>>,
    /// Offset of a compressed cluster's stream → the cluster.
    clusters: Mutex<Cache<Vec<u8>>>,
    /// Decoders that no thread uses now.
    decoders: Mutex<Vec<Decoder>>,
}

impl Qcow2 {
    /// Reads the L1 table of `file`, which has this header. `backing` is the image that the header
    /// names, and `depth` the number of images that this one is under.
    pub(crate) fn open(file: Arc<dyn ReadAt>, header: Header, backing: Option<Image>, depth: u32) -> Result<Self> {
        let l1 = table::read_l1(&*file, &header)?;
        let cache_bytes = CACHE_BYTES >> depth.min(CACHE_BYTES.trailing_zeros());
        Ok(Self {
            shared_l2: table::shared_l2_tables(&l1),
            slices: Mutex::new(Cache::new(cache_bytes / (header.slice_entries() * size_of::<table::Entry>() as u64))),
            clusters: Mutex::new(Cache::new(cache_bytes / header.cluster_size())),
            decoders: Mutex::default(),
            backing: backing.map(Box::new),
            file,
            header,
            l1,
        })
    }

    /// The image under this one.
    pub(crate) fn backing(&self) -> Option<&Image> {
        self.backing.as_deref()
    }

    /// The name of that image in the header.
    pub(crate) fn backing_name(&self) -> Option<&BackingName> {
        self.header.backing.as_ref()
    }

    pub(crate) fn file(&self) -> &dyn ReadAt {
        &*self.file
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The entries of the active L1 table, as they are in the file.
    pub(crate) fn l1(&self) -> &[u64] {
        &self.l1
    }

    pub(crate) fn info(&self) -> Info {
        let header = &self.header;
        Info {
            qcow2: Some(Qcow2Info {
                version: header.version,
                compat: if header.version == 2 { "0.10" } else { "1.1" },
                cluster_size_bytes: 1 << header.cluster_bits,
                compression_type: header.compression,
                refcount_bits: 1 << header.refcount_order,
                snapshots: header.snapshots,
                backing_file: header.backing.clone(),
                features: header.features(),
            }),
            ..Info::new(Format::Qcow2, header.virtual_size_bytes, self.file.size_bytes())
        }
    }
}

impl std::fmt::Debug for Qcow2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Qcow2").field("header", &self.header).finish_non_exhaustive()
    }
}
