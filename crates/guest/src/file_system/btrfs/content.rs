//! The content of a file: its extents, which are looked up once, and their bytes, whose checksums are verified.
//!
//! The crate reads content, too, but looks each extent of a file up again for each piece that is read of it, so that the
//! time grows with the square of the size. An `EXTENT_DATA` item of the file's tree is a run of the file:
//!
//! ```text
//!  0 generation   8 ram_bytes   16 compression, encryption, other   20 type
//! 21 the content itself (type 0), or
//! 21 disk_bytenr  29 disk_num_bytes  37 offset  45 num_bytes (type 1; type 2 was reserved, and never written)
//! ```
//!
//! `num_bytes` of the file begin `offset` bytes into the extent, once that is decompressed. The extent's address is
//! logical: the chunk map says where on the disk it is, once or, if there are copies, several times. The checksums are
//! those of the bytes on the disk, one a sector.

use fs_btrfs::btree::{Tree, TreeGeometry};
use fs_btrfs::chunk::DiskKey;
use fs_btrfs::compression::{Compression, ShortDecode, decompress};
use fs_btrfs::csum::{EXTENT_CSUM_KEY, EXTENT_CSUM_OBJECTID};
use fs_btrfs::fs::EXTENT_DATA_KEY;
use fs_btrfs::{ChunkMap, Error, Result, Superblock};
use fs_core::BlockRead;

use crate::file_system::ContentExtent;
use crate::file_system::fence::Fence;

/// The types of an extent.
const INLINE: u8 = 0;
const REGULAR: u8 = 1;
/// The length of an item without content.
const ITEM_BYTES: usize = 53;
/// Where the content of an inline extent begins.
const INLINE_AT: usize = 21;

/// What content is read from.
pub(super) struct Disk<'a> {
    pub(super) fence: &'a Fence,
    pub(super) superblock: &'a Superblock,
    pub(super) map: &'a ChunkMap,
    /// The root of the tree of checksums.
    pub(super) checksums: Option<u64>,
}

/// A run of a file that is not a hole.
#[derive(Debug)]
pub(super) struct Extent {
    /// Where it begins in the file, in bytes.
    offset: u64,
    length_bytes: u64,
    data: Data,
}

#[derive(Debug)]
enum Data {
    /// As it is.
    Inline(Vec<u8>),
    /// On the disk as it is.
    Plain { logical: u64 },
    /// On the disk in `disk_bytes` bytes that become `plain_bytes`; the run begins `skip` bytes into these.
    Compressed { logical: u64, disk_bytes: u64, plain_bytes: u64, skip: u64, method: Compression },
}

fn damaged(inode: u64, problem: impl std::fmt::Display) -> Error {
    Error::BadSuperblock(format!("inode {inode}: {problem}"))
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
}

impl Disk<'_> {
    /// Does something with a tree.
    fn with_trees<T>(&self, work: impl FnOnce(&Tree<'_>) -> Result<T>) -> Result<T> {
        let read = |logical: u64, bytes: &mut [u8]| self.read_copy(0, logical, bytes);
        let copies = |logical: u64| self.map.mirrors_at(logical);
        let read_copy = |logical: u64, copy: usize, bytes: &mut [u8]| self.read_copy(copy, logical, bytes);
        let geometry = TreeGeometry::from_superblock(self.superblock);
        work(&Tree::new(geometry, &read).with_redundancy(&copies, &read_copy))
    }

    /// Reads from a logical address on, from the copy of this number.
    fn read_copy(&self, copy: usize, logical: u64, bytes: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let at = logical.checked_add(done as u64).ok_or(Error::UnmappedLogical(logical))?;
            let mapping = self.map.map_mirror(at, copy)?;
            let length = mapping.len.min((bytes.len() - done) as u64) as usize;
            if length == 0 {
                return Err(Error::UnmappedLogical(at));
            }
            self.fence.read_at(mapping.physical, &mut bytes[done..done + length])?;
            done += length;
        }
        Ok(())
    }

    /// The extents of the file `inode` of the tree whose root is at `root`, in order.
    pub(super) fn extents(&self, root: u64, inode: u64) -> Result<Vec<Extent>> {
        let items = self.with_trees(|tree| tree.find_all(root, inode, EXTENT_DATA_KEY))?;
        let mut extents: Vec<Extent> = Vec::new();
        for item in items {
            let Some(extent) = self.extent(inode, item.key.offset, &item.data)? else { continue };
            let end = extents.last().map_or(0, |last| last.offset.saturating_add(last.length_bytes));
            if extent.offset < end {
                return Err(damaged(inode, format_args!("extents overlap at offset {}", extent.offset)));
            }
            extents.push(extent);
        }
        Ok(extents)
    }

    /// What an item says; `None` of a hole.
    fn extent(&self, inode: u64, offset: u64, item: &[u8]) -> Result<Option<Extent>> {
        if item.len() < INLINE_AT {
            return Err(damaged(inode, format_args!("an extent item has only {} bytes", item.len())));
        }
        let (method, plain_bytes) = (Compression::from_byte(item[16])?, le64(item, 8));
        if item[17..20] != [0; 3] {
            return Err(Error::UnsupportedFeature("an encrypted extent".into()));
        }
        if item[20] == INLINE {
            let bytes = self.plain(method, &item[INLINE_AT..], plain_bytes, ShortDecode::Pad)?;
            return Ok(Some(Extent { offset, length_bytes: bytes.len() as u64, data: Data::Inline(bytes) }));
        }
        if item.len() < ITEM_BYTES {
            return Err(damaged(inode, format_args!("an extent item has only {} bytes", item.len())));
        }
        let [logical, disk_bytes, skip, length_bytes] = [21, 29, 37, 45].map(|at| le64(item, at));
        // A reserved extent reads as zeros, like a hole.
        if item[20] != REGULAR || logical == 0 {
            return Ok(None);
        }
        let sector = u64::from(self.superblock.sectorsize.max(1));
        let is_inside = skip.checked_add(length_bytes).is_some_and(|end| end <= plain_bytes);
        if !is_inside || [logical, disk_bytes, skip, length_bytes].iter().any(|value| value % sector != 0) {
            return Err(damaged(
                inode,
                format_args!("the extent at offset {offset} is not inside of what it refers to"),
            ));
        }
        let data = match method {
            Compression::None => {
                Data::Plain { logical: logical.checked_add(skip).ok_or(Error::UnmappedLogical(logical))? }
            }
            method => Data::Compressed { logical, disk_bytes, plain_bytes, skip, method },
        };
        Ok(Some(Extent { offset, length_bytes, data }))
    }

    fn plain(&self, method: Compression, bytes: &[u8], plain_bytes: u64, short: ShortDecode) -> Result<Vec<u8>> {
        match method {
            Compression::None => Ok(bytes.to_vec()),
            method => {
                let length = usize::try_from(plain_bytes).unwrap_or(usize::MAX);
                decompress(method, bytes, length, self.superblock.sectorsize as usize, short)
            }
        }
    }

    /// Fills `buffer` with what the extents have from `offset` of the file on, which has `size_bytes` bytes. Whether the
    /// file has checksums is `is_verified`.
    pub(super) fn read(
        &self,
        extents: &[Extent],
        size_bytes: u64,
        is_verified: bool,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<()> {
        buffer.fill(0);
        let end = offset + buffer.len() as u64;
        let first = extents.partition_point(|extent| extent.offset + extent.length_bytes <= offset);
        for extent in extents[first..].iter().take_while(|extent| extent.offset < end) {
            let from = extent.offset.max(offset);
            let to = (extent.offset + extent.length_bytes).min(end);
            let part = &mut buffer[(from - offset) as usize..(to - offset) as usize];
            let within = from - extent.offset;
            match &extent.data {
                Data::Inline(bytes) => part.copy_from_slice(&bytes[within as usize..within as usize + part.len()]),
                Data::Plain { logical } => self.read_verified(is_verified, logical + within, part)?,
                Data::Compressed { logical, disk_bytes, plain_bytes, skip, method } => {
                    let most = fs_btrfs::compression::MAX_COMPRESSED;
                    if *disk_bytes > most {
                        let problem = format!("a compressed extent of {disk_bytes} bytes, which are more than {most}");
                        return Err(Error::BadSuperblock(problem));
                    }
                    let mut packed = vec![0; *disk_bytes as usize];
                    self.read_verified(is_verified, *logical, &mut packed)?;
                    // The last sector of a file may be filled in part only.
                    let is_last = extent.offset.saturating_add(*plain_bytes) >= size_bytes;
                    let short = if is_last { ShortDecode::Pad } else { ShortDecode::Refuse };
                    let plain = self.plain(*method, &packed, *plain_bytes, short)?;
                    // That the run is inside was checked when the extent was looked up.
                    let from = (skip + within) as usize;
                    let found = plain.get(from..from + part.len()).ok_or(Error::UnmappedLogical(*logical))?;
                    part.copy_from_slice(found);
                }
            }
        }
        Ok(())
    }

    /// Reads from a logical address on, from the first copy whose checksums are right.
    fn read_verified(&self, is_verified: bool, logical: u64, bytes: &mut [u8]) -> Result<()> {
        let Some(root) = self.checksums.filter(|_| is_verified) else { return self.read_copy(0, logical, bytes) };
        let sector = u64::from(self.superblock.sectorsize.max(1));
        let first = logical - logical % sector;
        let skip = (logical - first) as usize;
        let mut whole = vec![0; (skip + bytes.len()).next_multiple_of(sector as usize)];
        let sums = self.sums(root, first, whole.len() as u64 / sector)?;
        let mut copy = 0;
        loop {
            self.read_copy(copy, first, &mut whole)?;
            let mut sectors = whole.chunks(sector as usize).zip(&sums);
            let bad = sectors
                .position(|(bytes, sum)| sum.as_ref().is_some_and(|sum| !self.superblock.csum_type.verify(bytes, sum)));
            let Some(bad) = bad else { break };
            copy += 1;
            if copy >= self.map.mirrors_at(first)? {
                return Err(Error::ChecksumMismatch { what: "a file's content", offset: first + bad as u64 * sector });
            }
        }
        bytes.copy_from_slice(&whole[skip..skip + bytes.len()]);
        Ok(())
    }

    /// The checksums of `count` sectors from a logical address on, where there are any.
    fn sums(&self, root: u64, first: u64, count: u64) -> Result<Vec<Option<Vec<u8>>>> {
        let sector = u64::from(self.superblock.sectorsize.max(1));
        let length = self.superblock.csum_type.digest_len();
        let end = first.saturating_add(count * sector);
        let mut sums = vec![None; count as usize];
        self.with_trees(|tree| {
            let key = |offset| DiskKey { objectid: EXTENT_CSUM_OBJECTID, key_type: EXTENT_CSUM_KEY, offset };
            // An item has the checksums of many sectors, so the one that is needed may begin long before.
            let leaf = tree.descend(root, &key(first))?;
            let is_sum = |key: &DiskKey| key.objectid == EXTENT_CSUM_OBJECTID && key.key_type == EXTENT_CSUM_KEY;
            let before = leaf.body.items().unwrap_or_default().iter().map(|item| item.key);
            let start = before.rev().find(|key| is_sum(key) && key.offset <= first).unwrap_or_else(|| key(first));
            tree.for_each_from(root, &start, &mut |key, data| {
                if !is_sum(key) || key.offset >= end {
                    return Ok(false);
                }
                for (number, sum) in data.chunks_exact(length).enumerate() {
                    let at = key.offset.saturating_add(number as u64 * sector);
                    if (first..end).contains(&at) {
                        sums[((at - first) / sector) as usize] = Some(sum.to_vec());
                    }
                }
                Ok(true)
            })
        })?;
        Ok(sums)
    }

    /// Where the extents are on the disk, if all of them are there as they are.
    pub(super) fn on_disk(&self, extents: &[Extent]) -> Result<Option<Vec<ContentExtent>>> {
        let mut found = Vec::new();
        for extent in extents {
            let Data::Plain { logical } = extent.data else { return Ok(None) };
            let mut done = 0;
            while done < extent.length_bytes {
                let mapping = self.map.map(logical + done)?;
                let length_bytes = mapping.len.min(extent.length_bytes - done);
                if length_bytes == 0 {
                    return Err(Error::UnmappedLogical(logical + done));
                }
                let (offset, storage_offset) = (extent.offset + done, mapping.physical);
                found.push(ContentExtent { offset, length_bytes, storage_offset });
                done += length_bytes;
            }
        }
        Ok(Some(found))
    }
}
