//! qcow2, versions 2 and 3, after "The QCOW2 image format" in QEMU's `docs/interop/qcow2.txt`.

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

/// The memory that each of the two caches may take, in bytes; of an image under another one half of
/// what that has.
const CACHE_BYTES: u64 = 4 << 20;

/// A qcow2 image.
pub(crate) struct Qcow2 {
    file: Arc<dyn ReadAt>,
    header: Header,
    l1: Vec<u64>,
    /// What unallocated clusters read as.
    backing: Option<Box<Image>>,
    /// The L2 tables that more than one L1 entry has, sorted: none in a sound image.
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

    /// The image that unallocated clusters are read from.
    pub(crate) fn backing(&self) -> Option<&Image> {
        self.backing.as_deref()
    }

    /// What the header says of that image.
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
