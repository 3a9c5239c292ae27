//! The bytes of one cluster.

use std::sync::{Arc, PoisonError};

use super::Qcow2;
use super::compress::Decoder;
use super::table::cluster_name;
use crate::error::{Error, Result};

impl Qcow2 {
    /// The bytes of the compressed `cluster`, whose stream is at `offset`. They come from the cache if they are there.
    pub(crate) fn compressed_cluster(&self, cluster: u64, offset: u64, length_bytes: u64) -> Result<Arc<Vec<u8>>> {
        if let Some(bytes) = self.clusters.lock().unwrap_or_else(PoisonError::into_inner).get(offset) {
            return Ok(bytes);
        }
        let mut bytes = vec![0; self.header().cluster_size() as usize];
        self.decompress(cluster, offset, length_bytes, &mut bytes)?;
        let bytes = Arc::new(bytes);
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner).insert(offset, Arc::clone(&bytes));
        Ok(bytes)
    }

    /// Decompresses the stream at `offset` into `output`, which has the size of a cluster. No lock is held meanwhile.
    pub(crate) fn decompress(&self, cluster: u64, offset: u64, length_bytes: u64, output: &mut [u8]) -> Result<()> {
        let taken = self.decoders.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut decoder = taken.unwrap_or_else(|| Decoder::new(self.header().compression));
        self.decompress_with(&mut decoder, cluster, offset, length_bytes, output)?;
        self.decoders.lock().unwrap_or_else(PoisonError::into_inner).push(decoder);
        Ok(())
    }

    /// As [`decompress`](Self::decompress), with the caller's decoder.
    pub(crate) fn decompress_with(
        &self,
        decoder: &mut Decoder,
        cluster: u64,
        offset: u64,
        length_bytes: u64,
        output: &mut [u8],
    ) -> Result<()> {
        let file_size_bytes = self.file().size_bytes();
        let object = || format!("compressed {}", cluster_name(cluster, self.header()));
        if offset >= file_size_bytes {
            return Err(Error::Truncated { object: object(), offset, length_bytes, file_size_bytes });
        }
        // The file may end inside the last sector of the last stream, after the stream's end.
        let there = length_bytes.min(file_size_bytes - offset);
        let input = decoder.input(there as usize);
        self.file().read_at(offset, input)?;
        decoder.decode(output).map_err(|problem| {
            if there < length_bytes {
                return Error::Truncated { object: object(), offset, length_bytes, file_size_bytes };
            }
            Error::corrupt(object(), format!("the stream at {offset:#x} of at most {length_bytes:#x} bytes: {problem}"))
        })
    }
}
