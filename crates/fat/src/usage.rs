//! Which bytes of a FAT are used for what.

use std::ops::Range;

use storage::{ReadAt, WriteAt};

use crate::boot_sector::{FatType, Root};
use crate::filesystem::{FileKind, FileSystem, Node, components};
use crate::table;
use crate::{Error, name};

/// The most files that are walked.
const MAX_FILES: u64 = 1 << 20;
/// `FSI_LeadSig`, with which an FSInfo sector begins.
const INFO_SIGNATURE: &[u8; 4] = b"RRaA";

/// What bytes are used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The reserved sectors: boot sector, FSInfo, and those after them.
    Boot,
    /// A file allocation table.
    Table,
    /// A directory; the root's path is empty.
    Directory {
        /// Its path: names joined by slashes.
        path: Vec<u8>,
    },
    /// A file.
    File {
        /// Its path: names joined by slashes.
        path: Vec<u8>,
    },
}

/// Bytes and their use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The bytes, from the beginning of the file system on.
    pub bytes: Range<u64>,
    /// Their use.
    pub owner: Owner,
}

impl<S: WriteAt> FileSystem<S> {
    /// Calls `visit` with every part of the file system that is in use. Chains of clusters that break a rule
    /// are visited as far as they can be followed.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`]; [`Error::Unsupported`] for more files than are walked; [`Error::Corrupt`] of a
    /// directory.
    pub fn walk_uses(&self, visit: &mut dyn FnMut(Usage)) -> Result<(), Error> {
        let geometry = &self.geometry;
        visit(Usage { bytes: 0..geometry.fat_offset, owner: Owner::Boot });
        let tables_end = match geometry.root {
            Root::Fixed { offset, .. } => offset,
            Root::Cluster(_) => geometry.data_offset,
        };
        visit(Usage { bytes: geometry.fat_offset..tables_end, owner: Owner::Table });
        let mut files = 0;
        let mut left: Vec<Vec<Vec<u8>>> = vec![Vec::new()];
        while let Some(path) = left.pop() {
            let names = components(&path);
            let node = self.resolve(&names)?;
            let owner = Owner::Directory { path: path.join(&b'/') };
            match (&node, geometry.root) {
                (Node::Root, Root::Fixed { .. }) => {
                    visit(Usage { bytes: tables_end..geometry.data_offset, owner });
                }
                _ => {
                    for cluster in self.directory_clusters(&node, &names)? {
                        visit(self.cluster(cluster, owner.clone()));
                    }
                }
            }
            for entry in self.read_directory(&path)? {
                files += 1;
                if files > MAX_FILES {
                    return Err(Error::unsupported(format!("a FAT with more than {MAX_FILES} files")));
                }
                let child = [&path[..], &[entry.name.into_bytes()]].concat();
                match entry.metadata.kind {
                    FileKind::Directory => left.push(child),
                    FileKind::Regular => self.file_uses(&child, visit)?,
                }
            }
        }
        Ok(())
    }

    fn cluster(&self, cluster: u32, owner: Owner) -> Usage {
        let start = self.geometry.offset_of(cluster);
        Usage { bytes: start..start + u64::from(self.geometry.cluster_size_bytes), owner }
    }

    fn file_uses(&self, path: &[Vec<u8>], visit: &mut dyn FnMut(Usage)) -> Result<(), Error> {
        let names = components(path);
        // A name that no lookup finds belongs to a damaged entry.
        if names.iter().any(|component| name::to_look_for(component).is_err()) {
            return Ok(());
        }
        let Node::Entry(entry) = self.resolve(&names)? else { return Ok(()) };
        let mut next = Some(entry.cluster().0 as u32).filter(|&cluster| self.geometry.has(cluster));
        let mut left = self.geometry.clusters;
        let mut run: Option<Usage> = None;
        while let Some(cluster) = next
            && left > 0
        {
            left -= 1;
            let usage = self.cluster(cluster, Owner::File { path: path.join(&b'/') });
            run = match run.take() {
                Some(last) if last.bytes.end == usage.bytes.start => {
                    Some(Usage { bytes: last.bytes.start..usage.bytes.end, ..last })
                }
                Some(last) => {
                    visit(last);
                    Some(usage)
                }
                None => Some(usage),
            };
            next = match table::next(&self.storage, &self.geometry, cluster, &String::new) {
                Ok(next) => next,
                Err(error @ Error::Storage(_)) => return Err(error),
                Err(_) => None,
            };
        }
        run.into_iter().for_each(visit);
        Ok(())
    }

    /// Whether tables and clusters of `other` are in the same places.
    pub fn has_layout_of<T: WriteAt>(&self, other: &FileSystem<T>) -> bool {
        self.geometry == other.geometry
    }

    /// The offset of a data cluster in bytes.
    pub fn offset_of(&self, cluster: u32) -> u64 {
        self.geometry.offset_of(cluster.max(2))
    }

    /// Whether the reserved sector at `offset` is an FSInfo sector, which counts what is free.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn is_info_sector(&self, offset: u64) -> Result<bool, Error> {
        let mut signature = [0; 4];
        self.storage.read_at(offset, &mut signature)?;
        Ok(offset > 0 && &signature == INFO_SIGNATURE)
    }

    /// The clusters whose entries in the first table differ from `old`'s and lie in `bytes`, which are of one
    /// of the tables.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn differing_links<T: WriteAt>(&self, old: &FileSystem<T>, bytes: Range<u64>) -> Result<Vec<u32>, Error> {
        let geometry = &self.geometry;
        if geometry != &old.geometry {
            return Ok(Vec::new());
        }
        let in_table = (bytes.start - geometry.fat_offset) % self.table_bytes();
        let length = bytes.end - bytes.start;
        let bits = match geometry.fat_type {
            FatType::Fat12 => 12,
            FatType::Fat16 => 16,
            FatType::Fat32 => 32,
        };
        let first = (in_table * 8 / bits).max(2);
        let past = ((in_table + length) * 8).div_ceil(bits).min(u64::from(geometry.clusters) + 2);
        let mut differing = Vec::new();
        for cluster in (first..past).map(|cluster| cluster as u32) {
            let (one, two) =
                (table::link(&old.storage, geometry, cluster)?, table::link(&self.storage, geometry, cluster)?);
            if one != two {
                differing.push(cluster);
            }
        }
        Ok(differing)
    }

    /// The size of one table in bytes.
    pub(crate) fn table_bytes(&self) -> u64 {
        let tables_end = match self.geometry.root {
            Root::Fixed { offset, .. } => offset,
            Root::Cluster(_) => self.geometry.data_offset,
        };
        ((tables_end - self.geometry.fat_offset) / u64::from(self.geometry.fats)).max(1)
    }
}
