//! The places of clusters in the files that a new file is made from.

use std::ops::Range;
use std::sync::Arc;

use storage::ReadAt;

use super::Qcow2;
use super::check::decompressed_max;
use super::header::Header;
use super::table::{Entry, Slice};
use crate::claim::{self, claim_max};
use crate::error::{Error, Result};
use crate::{CompressionType, Image, Kind};

/// The images whose clusters can be copied to a new file, because they have the new file's cluster size.
#[derive(Clone)]
pub(crate) struct Layers<'a> {
    /// From the top down.
    images: Vec<&'a Qcow2>,
    /// Whether another image is under all of them.
    have_rest: bool,
    compression: CompressionType,
}

/// Where a cluster's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// No file has it: it is zeros.
    Zero,
    /// A host cluster of the layer number `layer`.
    Plain { layer: usize, offset: u64 },
    /// A stream in the layer number `layer`.
    Compressed { layer: usize, offset: u64, length_bytes: u64 },
    /// The bytes have to be read: the cluster is in pieces, in a file of another format, or compressed in another way.
    Read,
}

impl<'a> Layers<'a> {
    /// The layers of `base` for a file with the header `new`.
    pub(crate) fn new(base: Option<&'a Image>, new: &Header) -> Self {
        let mut images = Vec::new();
        let mut next = base;
        while let Some(Image { kind: Kind::Qcow2(image) }) = next
            && image.header().cluster_bits == new.cluster_bits
        {
            images.push(&**image);
            next = image.backing();
        }
        Self { have_rest: images.is_empty() || next.is_some(), images, compression: new.compression }
    }

    /// No layers: no cluster is copied.
    pub(crate) fn none() -> Self {
        Self { images: Vec::new(), have_rest: false, compression: CompressionType::Zlib }
    }

    /// Whether every cluster can be copied to the new file.
    pub(crate) fn are_like_the_new_file(&self) -> bool {
        let is_like =
            |image: &&Qcow2| image.header().compression == self.compression && !image.header().has_extended_l2();
        !self.have_rest && self.images.len() == 1 && self.images.iter().all(is_like)
    }

    pub(crate) fn image(&self, layer: usize) -> &'a Qcow2 {
        self.images[layer]
    }

    /// The layers' files, in their order.
    pub(crate) fn files(&self) -> Vec<&'a dyn ReadAt> {
        self.images.iter().map(|image| image.file()).collect()
    }

    /// Whether a layer has an L2 table for one of `clusters`.
    pub(crate) fn have_tables(&self, clusters: &Range<u64>) -> Result<bool> {
        for image in &self.images {
            let header = image.header();
            let end = clusters.end.min(header.guest_clusters());
            if clusters.start >= end {
                continue;
            }
            for index in clusters.start >> header.l2_bits()..=(end - 1) >> header.l2_bits() {
                if image.l2_table(index)?.is_some() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// A cursor for clusters in ascending order.
    pub(crate) fn cursor(&self) -> Cursor<'a> {
        Cursor { layers: Arc::new(self.clone()), slices: vec![None; self.images.len()] }
    }
}

impl Qcow2 {
    /// Refuses an image with more clusters than its file can hold; see [`claim`].
    pub(crate) fn refuse_false_claims(&self) -> Result<()> {
        let (header, file_size_bytes) = (self.header(), self.file().size_bytes());
        let (plain_max, compressed_max) = (claim_max(file_size_bytes, 1), decompressed_max(self));
        if header.virtual_size_bytes <= plain_max.min(compressed_max) {
            return Ok(());
        }
        let (mut plain, mut compressed) = (0, 0);
        let slice_entries = header.slice_entries();
        for index in 0..header.l1_entries_needed() {
            // A table that cannot be read claims nothing, and is an error when it is used.
            let Ok(Some(table)) = self.l2_table(index) else { continue };
            for first in (0..1 << header.l2_bits()).step_by(slice_entries as usize) {
                let cluster = (index << header.l2_bits()) + first;
                let slice = self.read_slice(cluster, table + first * header.entry_bytes(), slice_entries);
                let entries = match slice {
                    Ok(slice) => slice.entries,
                    Err(error @ Error::Storage(_)) => return Err(error),
                    Err(_) => continue,
                };
                for entry in entries {
                    match entry {
                        Entry::Compressed { offset, .. } => compressed += u64::from(offset < file_size_bytes),
                        other => plain += u64::from(other.host_cluster().is_some_and(|at| at < file_size_bytes)),
                    }
                }
            }
            claim::refuse("qcow2 image", plain.saturating_mul(header.cluster_size()), plain_max)?;
            claim::refuse("qcow2 image", compressed.saturating_mul(header.cluster_size()), compressed_max)?;
        }
        Ok(())
    }
}

/// Finds the places of clusters in ascending order.
pub(crate) struct Cursor<'a> {
    layers: Arc<Layers<'a>>,
    /// The part of an L2 table that was used last, for each layer.
    slices: Vec<Option<Arc<Slice>>>,
}

impl Cursor<'_> {
    /// Where `cluster` is.
    pub(crate) fn place(&mut self, cluster: u64) -> Result<Place> {
        let layers = Arc::clone(&self.layers);
        let disk_bytes = layers.images.first().map_or(0, |image| image.header().virtual_size_bytes);
        for (layer, image) in layers.images.iter().enumerate() {
            let header = image.header();
            if cluster >= header.guest_clusters() {
                // Bytes after a layer's end are zeros, whatever the layers below have.
                return Ok(Place::Zero);
            }
            let is_cut = cluster + 1 == header.guest_clusters() && header.virtual_size_bytes < disk_bytes;
            match self.entry(layer, cluster)? {
                Entry::Zero { .. } => return Ok(Place::Zero),
                // Bytes of the cluster past a layer's end, and bytes below them, do not belong to the disk.
                _ if is_cut && !header.virtual_size_bytes.is_multiple_of(header.cluster_size()) => {
                    return Ok(Place::Read);
                }
                Entry::Unallocated => {}
                Entry::Plain { offset } => return Ok(Place::Plain { layer, offset }),
                Entry::Compressed { offset, length_bytes } if header.compression == layers.compression => {
                    return Ok(Place::Compressed { layer, offset, length_bytes });
                }
                Entry::Compressed { .. } | Entry::Pieces { .. } => return Ok(Place::Read),
            }
        }
        Ok(if layers.have_rest { Place::Read } else { Place::Zero })
    }

    fn entry(&mut self, layer: usize, cluster: u64) -> Result<Entry> {
        let slice = &mut self.slices[layer];
        if slice.as_ref().is_none_or(|slice| !slice.has(cluster)) {
            *slice = self.layers.images[layer].slice(cluster)?;
        }
        Ok(slice.as_ref().map_or(Entry::Unallocated, |slice| slice.entry(cluster)))
    }
}
