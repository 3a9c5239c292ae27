//! The bytes of one cluster, and the small caches in front of them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::Qcow2;
use super::compress::Decoder;
use super::table::cluster_name;
use crate::error::{Error, Result};

/// The most things that a cache keeps, whatever their size: making room looks at all of them.
const CACHE_MAX: u64 = 512;

/// Things by their offset in the file; the one that was not asked for longest goes first.
#[derive(Debug)]
pub(crate) struct Cache<T> {
    things: HashMap<u64, (u64, Arc<T>)>,
    capacity: usize,
    time: u64,
}

impl<T> Cache<T> {
    pub(crate) fn new(capacity: u64) -> Self {
        Self { things: HashMap::new(), capacity: capacity.clamp(1, CACHE_MAX) as usize, time: 0 }
    }

    pub(crate) fn get(&mut self, offset: u64) -> Option<Arc<T>> {
        self.time += 1;
        let (used, thing) = self.things.get_mut(&offset)?;
        *used = self.time;
        Some(Arc::clone(thing))
    }

    pub(crate) fn insert(&mut self, offset: u64, thing: Arc<T>) {
        if self.things.len() >= self.capacity
            && let Some(oldest) = self.things.iter().min_by_key(|(_, (used, _))| *used).map(|(&offset, _)| offset)
        {
            self.things.remove(&oldest);
        }
        self.time += 1;
        self.things.insert(offset, (self.time, thing));
    }
}

impl Qcow2 {
    /// The bytes of the compressed `cluster`, whose stream is at `offset`, from the cache if they
    /// are there.
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

    /// Decompresses the stream at `offset` into `output`, which is one cluster. No lock is held
    /// meanwhile.
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
        // The last sector of the last stream may be cut off behind the stream's end.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_longest_makes_room() {
        let mut cache = Cache::new(2);
        cache.insert(1, Arc::new("one"));
        cache.insert(2, Arc::new("two"));
        assert!(cache.get(1).is_some());
        cache.insert(3, Arc::new("three"));
        assert!(cache.get(2).is_none() && cache.get(1).is_some() && cache.get(3).is_some());
        assert_eq!(cache.things.len(), 2);
    }
}
