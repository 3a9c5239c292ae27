use std::io::Read;

use hadris_fat::{FatVolumeWriteExt, FileEntry};
use storage::{ReadAt, WriteAt};

use crate::boot_sector::Root;
use crate::filesystem::{FileSystem, MAX_DIRECTORY_BYTES, Node, components, display};
use crate::time::GivenTime;
use crate::{Error, Resource, Time, name, table};

const SLOT_BYTES: usize = 32;
/// How much of a file's content is held at once.
const CONTENT_BUFFER_BYTES: usize = 64 << 10;

impl<S: WriteAt> FileSystem<S> {
    /// Creates a file of `size_bytes` bytes that are read from `content`, in a directory that
    /// exists; all its times are `modified`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], before anything was written; [`Error::Content`], after which the file is
    /// not there; [`Error::Exists`], [`Error::TooLarge`], and as [`metadata`](Self::metadata).
    pub fn create_file<N: AsRef<[u8]>>(
        &mut self,
        path: &[N],
        modified: Time,
        size_bytes: u64,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        let path = &components(path);
        self.forget_place();
        let (parent, name) = self.vacancy(path)?;
        self.require(&parent, &path[..path.len() - 1], name, self.clusters_of(size_bytes)?)?;
        GivenTime::set(modified);
        let directory = self.open_directory(&parent, &path[..path.len() - 1])?;
        let entry = self.volume.create_file(&directory, name).map_err(|error| self.explain(error, path))?;
        let written = self.write_content(&entry, path, size_bytes, content);
        if let Err(Error::Content(_)) = written {
            // The clusters that it has got so far are freed with it.
            let entry = self.file(path)?;
            self.volume.delete(&entry).map_err(|error| self.explain(error, path))?;
        }
        written
    }

    /// Replaces the content of the file at `path` by `size_bytes` bytes that are read from
    /// `content`; its modification time becomes `modified`, and its name and creation time stay.
    ///
    /// # Errors
    ///
    /// Like [`create_file`](Self::create_file), and [`Error::IsADirectory`]. After
    /// [`Error::Content`], the file has a part of its new content.
    pub fn replace_file<N: AsRef<[u8]>>(
        &mut self,
        path: &[N],
        modified: Time,
        size_bytes: u64,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        let path = &components(path);
        self.forget_place();
        let mut entry = self.file(path)?;
        let needed = self.clusters_of(size_bytes)?;
        let available = u64::from(self.free_clusters()?) + self.clusters_of(entry.len())?;
        if needed > available {
            return Err(Error::NoSpace { needed, available, what: Resource::Clusters });
        }
        GivenTime::set(modified);
        if !entry.is_empty() {
            self.volume.truncate(&entry, 0).map_err(|error| self.explain(error, path))?;
            entry = self.file(path)?;
        }
        self.write_content(&entry, path, size_bytes, content)
    }

    /// Creates an empty directory, in a directory that exists; all its times are `modified`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], before anything was written; [`Error::Exists`], and as
    /// [`metadata`](Self::metadata).
    pub fn create_directory<N: AsRef<[u8]>>(&mut self, path: &[N], modified: Time) -> Result<(), Error> {
        let path = &components(path);
        self.forget_place();
        let (parent, name) = self.vacancy(path)?;
        self.require(&parent, &path[..path.len() - 1], name, 1)?;
        GivenTime::set(modified);
        let directory = self.open_directory(&parent, &path[..path.len() - 1])?;
        self.volume.create_dir(&directory, name).map(drop).map_err(|error| self.explain(error, path))
    }

    /// Removes the file at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::IsADirectory`], and as [`metadata`](Self::metadata).
    pub fn remove_file<N: AsRef<[u8]>>(&mut self, path: &[N]) -> Result<(), Error> {
        let path = &components(path);
        self.forget_place();
        let entry = self.file(path)?;
        self.volume.delete(&entry).map_err(|error| self.explain(error, path))
    }

    /// Removes the directory at `path`, which must be empty and not the root.
    ///
    /// # Errors
    ///
    /// [`Error::NotEmpty`], and as [`metadata`](Self::metadata).
    pub fn remove_directory<N: AsRef<[u8]>>(&mut self, path: &[N]) -> Result<(), Error> {
        let path = &components(path);
        self.forget_place();
        let Node::Entry(entry) = self.resolve(path)? else {
            return Err(Error::InvalidName { name: String::new(), problem: "means the root directory" });
        };
        if entry.is_file() {
            return Err(Error::NotADirectory { path: display(path) });
        }
        if !self.read_directory(path)?.is_empty() {
            return Err(Error::NotEmpty { path: display(path) });
        }
        self.volume.delete(&entry).map_err(|error| self.explain(error, path))
    }

    /// The directory that `path` would be in, and its name there, which is free.
    fn vacancy<'p>(&self, path: &[&'p [u8]]) -> Result<(Node, &'p str), Error> {
        let Some((last, above)) = path.split_last() else {
            return Err(Error::Exists { path: String::new() });
        };
        let name = name::to_create(last)?;
        let parent = self.resolve(above)?;
        let found = self.open_directory(&parent, above)?.find(name);
        match found.map_err(|error| self.explain(error, above))? {
            Some(_) => Err(Error::Exists { path: display(path) }),
            None => Ok((parent, name)),
        }
    }

    /// How many clusters a file of this size has.
    fn clusters_of(&self, size_bytes: u64) -> Result<u64, Error> {
        if size_bytes > u64::from(u32::MAX) {
            return Err(Error::TooLarge { size_bytes });
        }
        Ok(size_bytes.div_ceil(u64::from(self.geometry.cluster_size_bytes)))
    }

    fn free_clusters(&self) -> Result<u32, Error> {
        table::count_free(&self.storage, &self.geometry)
    }

    /// Makes sure that there is room for `clusters` clusters and for a name in `parent`.
    fn require(&self, parent: &Node, path: &[&[u8]], name: &str, clusters: u64) -> Result<(), Error> {
        let growth = self.directory_growth(parent, path, name::slots(name))?;
        let (needed, available) = (clusters + growth, u64::from(self.free_clusters()?));
        if needed > available {
            return Err(Error::NoSpace { needed, available, what: Resource::Clusters });
        }
        Ok(())
    }

    /// By how many clusters a directory grows when it takes an entry of `slots` slots.
    fn directory_growth(&self, node: &Node, path: &[&[u8]], slots: usize) -> Result<u64, Error> {
        let cluster_size = self.geometry.cluster_size_bytes as usize;
        let ranges: Vec<(u64, usize)> = match (node, self.geometry.root) {
            (Node::Root, Root::Fixed { offset, size_bytes }) => vec![(offset, size_bytes as usize)],
            _ => {
                let clusters = self.directory_clusters(node, path)?;
                clusters.iter().map(|&cluster| (self.geometry.offset_of(cluster), cluster_size)).collect()
            }
        };
        let fixed = matches!((node, self.geometry.root), (Node::Root, Root::Fixed { .. }));
        let (mut run, mut longest, mut ended) = (0, 0, false);
        for &(offset, length) in &ranges {
            let mut bytes = vec![0; length];
            self.storage.read_at(offset, &mut bytes)?;
            for slot in bytes.chunks_exact(SLOT_BYTES) {
                ended |= slot[0] == 0;
                run = if ended || slot[0] == 0xe5 { run + 1 } else { 0 };
                longest = longest.max(run);
            }
        }
        if longest >= slots {
            return Ok(0);
        }
        // Free slots at the end are used; the rest needs new clusters.
        let growth = ((slots - run) * SLOT_BYTES).div_ceil(cluster_size) as u64;
        let grown_bytes = (ranges.len() as u64 + growth) * cluster_size as u64;
        if fixed || grown_bytes > MAX_DIRECTORY_BYTES {
            let what = Resource::DirectorySlots;
            return Err(Error::NoSpace { needed: slots as u64, available: longest as u64, what });
        }
        Ok(growth)
    }

    /// Writes the content of an empty file. After an error, the allocated clusters still belong to the file.
    fn write_content(
        &self,
        entry: &FileEntry,
        path: &[&[u8]],
        size_bytes: u64,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        let mut writer = self.volume.write_file(entry).map_err(|error| self.explain(error, path))?;
        let mut buffer = vec![0; size_bytes.min(CONTENT_BUFFER_BYTES as u64) as usize];
        let mut rest = size_bytes;
        let mut result = Ok(());
        while rest > 0 {
            let step = rest.min(buffer.len() as u64) as usize;
            if let Err(error) = content.read_exact(&mut buffer[..step]) {
                result = Err(Error::Content(error));
                break;
            }
            if let Err(error) = writer.write(&buffer[..step]) {
                result = Err(self.explain(error, path));
                break;
            }
            rest -= step as u64;
        }
        let finished = writer.finish().map_err(|error| self.explain(error, path));
        result.and(finished)
    }
}
