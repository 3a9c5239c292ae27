//! Damage in a FAT, looked for without changing anything.
//!
//! Each cluster is claimed once, by the first chain that comes to it, so that directories which lead to each other end.

use std::collections::BTreeSet;

use storage::{Finding, Printable, ReadAt, WriteAt};

use crate::boot_sector::{Geometry, RawBootSector, Root};
use crate::filesystem::{FileSystem, MAX_DIRECTORY_BYTES};
use crate::table::{self, Link};
use crate::{Error, FatType};

/// The most entries of directories that are looked at, and the most findings.
const MAX_ENTRIES: u64 = 1 << 20;
const MAX_FINDINGS: usize = 1000;

/// FAT specification, "FAT Directory Structure": a slot of 32 bytes.
const SLOT_BYTES: usize = 32;
const ATTR_VOLUME_ID: u8 = 0x08;
const ATTR_DIRECTORY: u8 = 0x10;
const ATTR_LONG_NAME: u8 = 0x0f;
const ATTR_LONG_NAME_MASK: u8 = 0x3f;
/// The first byte of a slot that is free, and of one after which all are.
const FREE: u8 = 0xe5;
const FREE_FROM_HERE: u8 = 0;
/// The first byte of a name that begins with 0xe5.
const KANJI: u8 = 0x05;

/// FAT specification, "FSInfo Sector Structure": where the count of free clusters is, and that nobody knows it.
const FREE_COUNT_OFFSET: u64 = 0x1e8;
const UNKNOWN_COUNT: u32 = u32::MAX;

/// An entry of a directory, as it is stored.
struct Slot<'a> {
    bytes: &'a [u8],
}

impl Slot<'_> {
    fn name(&self) -> &[u8] {
        &self.bytes[..11]
    }

    fn attributes(&self) -> u8 {
        self.bytes[11]
    }

    fn is_directory(&self) -> bool {
        self.attributes() & ATTR_DIRECTORY != 0
    }

    /// Whether it names neither a file nor a directory.
    fn is_no_entry(&self) -> bool {
        self.name()[0] == FREE
            || self.attributes() & ATTR_LONG_NAME_MASK == ATTR_LONG_NAME
            || self.attributes() & ATTR_VOLUME_ID != 0
    }

    fn first_cluster(&self, fat_type: FatType) -> u32 {
        let word = |at: usize| u32::from(u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]));
        match fat_type {
            FatType::Fat32 => word(20) << 16 | word(26),
            FatType::Fat12 | FatType::Fat16 => word(26),
        }
    }

    fn size_bytes(&self) -> u32 {
        u32::from_le_bytes([self.bytes[28], self.bytes[29], self.bytes[30], self.bytes[31]])
    }

    /// The short name as people write it: `SHIMX64.EFI`.
    fn shown(&self) -> String {
        let mut name = self.name().to_vec();
        if name[0] == KANJI {
            name[0] = FREE;
        }
        let (base, extension) = (name[..8].trim_ascii_end(), name[8..].trim_ascii_end());
        match extension {
            [] => Printable(base).to_string(),
            _ => Printable(&[base, b".", extension].concat()).to_string(),
        }
    }
}

/// A directory that is to be looked at.
struct Directory {
    /// `/EFI/UBUNTU`; empty for the root.
    path: String,
    /// Its first cluster; 0 for the root, as `..` has it.
    first: u32,
    parent: u32,
    clusters: Vec<u32>,
}

struct Check<'a> {
    storage: &'a dyn ReadAt,
    geometry: &'a Geometry,
    table_bytes: u64,
    /// A bit for each cluster that is claimed: 32 MiB for the most that a FAT can have.
    claimed: Vec<u64>,
    findings: Vec<Finding>,
    entries: u64,
}

impl<S: WriteAt> FileSystem<S> {
    /// Looks for damage: tables that differ, chains that end in nothing or that two files have, sizes that do not go
    /// with them, clusters that are lost, names that are there twice, a wrong count of free clusters. Nothing is
    /// changed. After 1000 findings it ends.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`]; [`Error::Unsupported`] for more entries of directories than are looked at.
    pub fn check(&self) -> Result<Vec<Finding>, Error> {
        let geometry = &self.geometry;
        let claimed = vec![0; (geometry.clusters as usize + 2).div_ceil(64)];
        let (storage, table_bytes) = (&*self.storage, self.table_bytes());
        let mut check = Check { storage, geometry, table_bytes, claimed, findings: Vec::new(), entries: 0 };
        check.tables_are_the_same()?;
        check.directories()?;
        check.nothing_is_lost()?;
        check.free_clusters_are_counted()?;
        check.findings.truncate(MAX_FINDINGS);
        Ok(check.findings)
    }
}

impl Check<'_> {
    fn report(&mut self, object: &str, problem: String) {
        self.findings.push(Finding::new(object, problem));
    }

    fn is_full(&self) -> bool {
        self.findings.len() >= MAX_FINDINGS
    }

    fn tables_are_the_same(&mut self) -> Result<(), Error> {
        if self.geometry.fats < 2 {
            return Ok(());
        }
        let copy = self.geometry.fat_offset + self.table_bytes;
        if let Some(cluster) = table::first_difference(self.storage, self.geometry, copy)? {
            self.report("file allocation table", format!("its copy differs, first for cluster {cluster}"));
        }
        Ok(())
    }

    fn directories(&mut self) -> Result<(), Error> {
        let clusters = match self.geometry.root {
            Root::Fixed { .. } => Vec::new(),
            Root::Cluster(first) => self.chain("root directory", first, MAX_DIRECTORY_BYTES)?,
        };
        let mut left = vec![Directory { path: String::new(), first: 0, parent: 0, clusters }];
        while let Some(directory) = left.pop() {
            if self.is_full() {
                return Ok(());
            }
            let bytes = self.content(&directory)?;
            self.directory(&directory, &bytes, &mut left)?;
        }
        Ok(())
    }

    /// The slots of a directory, up to [`MAX_DIRECTORY_BYTES`].
    fn content(&self, directory: &Directory) -> Result<Vec<u8>, Error> {
        if let (Root::Fixed { offset, size_bytes }, "") = (self.geometry.root, directory.path.as_str()) {
            let mut bytes = vec![0; size_bytes as usize];
            self.storage.read_at(offset, &mut bytes)?;
            return Ok(bytes);
        }
        let cluster_bytes = self.geometry.cluster_size_bytes as usize;
        let mut bytes = vec![0; directory.clusters.len() * cluster_bytes];
        for (cluster, part) in directory.clusters.iter().zip(bytes.chunks_mut(cluster_bytes)) {
            self.storage.read_at(self.geometry.offset_of(*cluster), part)?;
        }
        Ok(bytes)
    }

    fn directory(&mut self, directory: &Directory, bytes: &[u8], left: &mut Vec<Directory>) -> Result<(), Error> {
        let is_root = directory.path.is_empty();
        let object = if is_root { "root directory".to_owned() } else { format!("directory {}", directory.path) };
        let mut names = BTreeSet::new();
        for (index, bytes) in bytes.chunks_exact(SLOT_BYTES).enumerate() {
            let slot = Slot { bytes };
            let dots = if is_root { None } else { [b".          ", b"..         "].get(index) };
            if let Some(&name) = dots {
                self.dots(&object, directory, &slot, name);
                continue;
            }
            if slot.name()[0] == FREE_FROM_HERE {
                break;
            }
            if slot.is_no_entry() {
                continue;
            }
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(Error::unsupported(format!("a FAT with more than {MAX_ENTRIES} files")));
            }
            if self.is_full() {
                return Ok(());
            }
            if !names.insert(slot.name().to_vec()) {
                self.report(&object, format!("two entries are named `{}`", slot.shown()));
            }
            let path = format!("{}/{}", directory.path, slot.shown());
            if slot.is_directory() {
                self.subdirectory(path, directory.first, &slot, left)?;
            } else {
                self.file(&path, &slot)?;
            }
        }
        Ok(())
    }

    /// The first two entries of a directory below the root.
    fn dots(&mut self, object: &str, directory: &Directory, slot: &Slot<'_>, name: &[u8; 11]) {
        let shown = if name[1] == b'.' { ".." } else { "." };
        if slot.name() != name || !slot.is_directory() {
            self.report(object, format!("`{shown}` is missing"));
            return;
        }
        let (found, expected) = match shown {
            "." => (slot.first_cluster(self.geometry.fat_type), directory.first),
            _ => (slot.first_cluster(self.geometry.fat_type), directory.parent),
        };
        // Some write the root's own number where the specification has 0.
        let is_root = expected == 0 && matches!(self.geometry.root, Root::Cluster(root) if root == found);
        if found != expected && !is_root {
            self.report(object, format!("`{shown}` leads to cluster {found}, not to {expected}"));
        }
    }

    fn subdirectory(
        &mut self,
        path: String,
        parent: u32,
        slot: &Slot<'_>,
        left: &mut Vec<Directory>,
    ) -> Result<(), Error> {
        let object = format!("directory {path}");
        let first = slot.first_cluster(self.geometry.fat_type);
        if slot.size_bytes() != 0 {
            self.report(&object, format!("its size is {}, a directory's is 0", slot.size_bytes()));
        }
        let clusters = self.chain(&object, first, MAX_DIRECTORY_BYTES)?;
        if !clusters.is_empty() {
            left.push(Directory { path, first, parent, clusters });
        }
        Ok(())
    }

    fn file(&mut self, path: &str, slot: &Slot<'_>) -> Result<(), Error> {
        let object = format!("file {path}");
        let size_bytes = slot.size_bytes();
        let first = slot.first_cluster(self.geometry.fat_type);
        if size_bytes == 0 && first == 0 {
            return Ok(());
        }
        let known = self.findings.len();
        let clusters = self.chain(&object, first, u64::from(u32::MAX))?.len() as u64;
        let needed = u64::from(size_bytes).div_ceil(u64::from(self.geometry.cluster_size_bytes));
        // A chain that is broken has been told of.
        if clusters != needed && self.findings.len() == known {
            let each = self.geometry.cluster_size_bytes;
            self.report(&object, format!("its size is {size_bytes}, and it has {clusters} clusters of {each} bytes"));
        }
        Ok(())
    }

    /// Claims the chain from `first` on, which may have `limit_bytes` bytes, and says what is wrong with it.
    fn chain(&mut self, object: &str, first: u32, limit_bytes: u64) -> Result<Vec<u32>, Error> {
        let limit = limit_bytes.div_ceil(u64::from(self.geometry.cluster_size_bytes)) as usize;
        let mut clusters = Vec::new();
        if !self.geometry.has(first) {
            self.report(object, format!("its first cluster is {first}, and there is none of this number"));
            return Ok(clusters);
        }
        let mut next = Some(first);
        while let Some(cluster) = next {
            let (word, bit) = (cluster as usize / 64, 1 << (cluster % 64));
            if self.claimed[word] & bit != 0 {
                self.report(object, format!("its cluster {cluster} belongs to something else too"));
                break;
            }
            if clusters.len() == limit {
                self.report(object, format!("it has more than {limit} clusters"));
                break;
            }
            self.claimed[word] |= bit;
            clusters.push(cluster);
            next = match table::link(self.storage, self.geometry, cluster)? {
                Link::Next(next) => Some(next),
                Link::End => None,
                Link::Free => {
                    self.report(object, format!("its cluster {cluster} is marked as free"));
                    None
                }
                Link::Invalid(entry) => {
                    self.report(
                        object,
                        format!("its cluster {cluster} is followed by {entry:#x}, which is no cluster"),
                    );
                    None
                }
            };
        }
        Ok(clusters)
    }

    fn nothing_is_lost(&mut self) -> Result<(), Error> {
        let mut lost: Option<(u32, u64)> = None;
        let claimed = &self.claimed;
        table::for_each(self.storage, self.geometry, &mut |cluster, link| {
            let is_claimed = claimed[cluster as usize / 64] & 1 << (cluster % 64) != 0;
            let is_bad = matches!(link, Link::Invalid(entry) if table::is_bad(self.geometry, entry));
            if !is_claimed && !is_bad && link != Link::Free {
                let (first, count) = lost.unwrap_or((cluster, 0));
                lost = Some((first, count + 1));
            }
        })?;
        match lost {
            None => {}
            Some((first, 1)) => {
                self.report("file allocation table", format!("cluster {first} is in use and belongs to nothing"));
            }
            Some((first, count)) => self.report(
                "file allocation table",
                format!("{count} clusters are in use and belong to nothing, the first is {first}"),
            ),
        }
        Ok(())
    }

    /// FAT32 keeps the number of free clusters.
    fn free_clusters_are_counted(&mut self) -> Result<(), Error> {
        if self.geometry.fat_type != FatType::Fat32 {
            return Ok(());
        }
        let mut bytes = [0; 512];
        self.storage.read_at(0, &mut bytes)?;
        let boot: RawBootSector = zerocopy::transmute!(bytes);
        let info = u64::from(boot.bpb_fs_info.get()) * u64::from(boot.bpb_byts_per_sec.get());
        let mut count = [0; 4];
        self.storage.read_at(info + FREE_COUNT_OFFSET, &mut count)?;
        let (stored, counted) = (u32::from_le_bytes(count), table::count_free(self.storage, self.geometry)?);
        if stored != UNKNOWN_COUNT && stored != counted {
            self.report("FSInfo sector", format!("fsi_free_count={stored}, but {counted} clusters are free"));
        }
        Ok(())
    }
}
