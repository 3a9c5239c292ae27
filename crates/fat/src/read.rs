use std::sync::PoisonError;

use hadris_fat::FileEntry;
use storage::{ReadAt, WriteAt};

use crate::filesystem::{FileSystem, Node, components, describe, display};
use crate::{Error, table};

/// A cluster of a file: the `index`-th after `first` is `cluster`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    first: u32,
    index: u64,
    cluster: u32,
}

/// A file's content, from the front on.
pub struct Reader<'a, S: WriteAt> {
    filesystem: &'a FileSystem<S>,
    path: Vec<Vec<u8>>,
    entry: FileEntry,
    position: u64,
}

impl<S: WriteAt> FileSystem<S> {
    /// Reads from `offset` on into `buffer` and returns how much: less than the buffer only at the
    /// end of the file.
    ///
    /// # Errors
    ///
    /// Like [`metadata`](Self::metadata), and [`Error::IsADirectory`].
    pub fn read_file_at<N: AsRef<[u8]>>(&self, path: &[N], offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let path = &components(path);
        let entry = self.file(path)?;
        self.read_entry_at(&entry, path, offset, buffer)
    }

    /// A reader of the file at `path`.
    ///
    /// # Errors
    ///
    /// Like [`read_file_at`](Self::read_file_at).
    pub fn reader<N: AsRef<[u8]>>(&self, path: &[N]) -> Result<Reader<'_, S>, Error> {
        let path = &components(path);
        let entry = self.file(path)?;
        let path = path.iter().map(|name| name.to_vec()).collect();
        Ok(Reader { filesystem: self, path, entry, position: 0 })
    }

    /// The entry of the file at `path`.
    pub(crate) fn file(&self, path: &[&[u8]]) -> Result<FileEntry, Error> {
        match self.resolve(path)? {
            Node::Entry(entry) if entry.is_file() => Ok(*entry),
            _ => Err(Error::IsADirectory { path: display(path) }),
        }
    }

    fn read_entry_at(&self, entry: &FileEntry, path: &[&[u8]], offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let object = || describe("file", path);
        let (size, first) = (entry.len(), entry.cluster().0 as u32);
        let cluster_size = u64::from(self.geometry.cluster_size_bytes);
        let length = size.saturating_sub(offset).min(buffer.len() as u64) as usize;
        if length == 0 {
            return Ok(0);
        }
        if !self.geometry.has(first) || size.div_ceil(cluster_size) > u64::from(self.geometry.clusters) {
            let clusters = self.geometry.clusters;
            return Err(Error::corrupt(
                object(),
                format!("size_bytes={size} and its first cluster, {first}, do not fit {clusters} clusters from 2 on"),
            ));
        }
        let mut done = 0;
        let mut place = self.place_at(first, offset / cluster_size, &object)?;
        loop {
            let skip = (offset + done as u64) % cluster_size;
            let step = (cluster_size - skip).min((length - done) as u64) as usize;
            self.storage.read_at(self.geometry.offset_of(place.cluster) + skip, &mut buffer[done..done + step])?;
            done += step;
            if done == length {
                break;
            }
            place = self.step(place, &object)?;
        }
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        Ok(length)
    }

    /// Goes to the `index`-th cluster after `first`, from the last place on if that is on the way.
    fn place_at(&self, first: u32, index: u64, object: &dyn Fn() -> String) -> Result<Place, Error> {
        let last = *self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let mut place = last.filter(|place| place.first == first && place.index <= index).unwrap_or(Place {
            first,
            index: 0,
            cluster: first,
        });
        while place.index < index {
            place = self.step(place, object)?;
        }
        Ok(place)
    }

    fn step(&self, place: Place, object: &dyn Fn() -> String) -> Result<Place, Error> {
        match table::next(&self.storage, &self.geometry, place.cluster, object)? {
            Some(cluster) => Ok(Place { index: place.index + 1, cluster, ..place }),
            None => {
                let problem = format!("its clusters end after {}, before its size", place.index + 1);
                Err(Error::corrupt(object(), problem))
            }
        }
    }
}

impl<S: WriteAt> Reader<'_, S> {
    /// The size of the file in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.entry.len()
    }
}

impl<S: WriteAt> std::io::Read for Reader<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let path = components(&self.path);
        let length =
            self.filesystem.read_entry_at(&self.entry, &path, self.position, buffer).map_err(std::io::Error::other)?;
        self.position += length as u64;
        Ok(length)
    }
}
