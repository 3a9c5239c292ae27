//! Reading the guest's disk.

use storage::{Extent, ExtentKind};

use super::Qcow2;
use super::layout::SUBCLUSTERS;
use super::table::{Entry, Subclusters, cluster_name};
use crate::error::{Error, Result};
use crate::{Image, Kind};

/// The most runs that are read to find one extent, in all layers together.
const EXTENT_RUNS_MAX: u64 = 1 << 20;

/// Guest bytes that come from one place.
struct Run {
    from: From,
    length_bytes: u64,
}

enum From {
    Zeros,
    /// The image under this one; zeros if there is no such image.
    Backing,
    Host {
        offset: u64,
    },
    Compressed {
        offset: u64,
        length_bytes: u64,
    },
}

impl Qcow2 {
    /// Fills `buffer` with the guest's bytes from `offset` on. All of them are inside the disk.
    pub(crate) fn read_guest(&self, mut offset: u64, mut buffer: &mut [u8]) -> Result<()> {
        let cluster_size = self.header().cluster_size();
        while !buffer.is_empty() {
            let run = self.run_at(offset, buffer.len() as u64)?;
            let (part, rest) = buffer.split_at_mut(run.length_bytes as usize);
            let cluster = offset / cluster_size;
            match run.from {
                From::Zeros => part.fill(0),
                From::Backing => self.read_backing(offset, part)?,
                From::Host { offset: host } => {
                    self.require_inside(cluster, host, run.length_bytes)?;
                    self.file().read_at(host, part)?;
                }
                From::Compressed { offset: stream, length_bytes } if part.len() as u64 == cluster_size => {
                    self.decompress(cluster, stream, length_bytes, part)?;
                }
                From::Compressed { offset: stream, length_bytes } => {
                    let bytes = self.compressed_cluster(cluster, stream, length_bytes)?;
                    part.copy_from_slice(&bytes[(offset % cluster_size) as usize..][..part.len()]);
                }
            }
            offset += run.length_bytes;
            buffer = rest;
        }
        Ok(())
    }

    /// Refuses plain guest bytes at `host` that are not all in the file.
    pub(crate) fn require_inside(&self, cluster: u64, host: u64, length_bytes: u64) -> Result<()> {
        let file_size_bytes = self.file().size_bytes();
        if host + length_bytes <= file_size_bytes {
            return Ok(());
        }
        let object = cluster_name(cluster, self.header());
        Err(Error::Truncated { object, offset: host, length_bytes, file_size_bytes })
    }

    /// The longest run from `offset` on, of at most `most` bytes, that one operation can read.
    fn run_at(&self, offset: u64, most: u64) -> Result<Run> {
        let header = self.header();
        let cluster = offset >> header.cluster_bits;
        let into = offset % header.cluster_size();
        let Some(slice) = self.slice(cluster)? else {
            let next_table = ((cluster >> header.l2_bits()) + 1) << header.l2_bits();
            let length_bytes = ((next_table - cluster) << header.cluster_bits) - into;
            return Ok(Run { from: From::Backing, length_bytes: length_bytes.min(most) });
        };
        let entries = &slice.entries[(cluster - slice.first_cluster) as usize..];
        let alike = |is_alike: fn(&Entry) -> bool| entries.iter().take_while(|entry| is_alike(entry)).count() as u64;
        let (from, clusters) = match entries[0] {
            Entry::Unallocated => (From::Backing, alike(|entry| *entry == Entry::Unallocated)),
            Entry::Zero { .. } => (From::Zeros, alike(|entry| matches!(entry, Entry::Zero { .. }))),
            Entry::Plain { offset } => {
                let follows = |(place, entry): &(u64, &Entry)| **entry == Entry::Plain { offset: *place };
                let places = (0..).map(|index| offset + (index << header.cluster_bits));
                let clusters = places.zip(entries).take_while(follows).count() as u64;
                (From::Host { offset: offset + into }, clusters)
            }
            Entry::Compressed { offset, length_bytes } => (From::Compressed { offset, length_bytes }, 1),
            Entry::Pieces { offset, subclusters } => return Ok(self.piece_at(offset, subclusters, into, most)),
        };
        Ok(Run { from, length_bytes: ((clusters << header.cluster_bits) - into).min(most) })
    }

    /// The run of subclusters of one kind that begins `into` bytes into a cluster.
    fn piece_at(&self, host: Option<u64>, subclusters: Subclusters, into: u64, most: u64) -> Run {
        let subcluster_bits = self.header().cluster_bits - SUBCLUSTERS.trailing_zeros();
        let first = (into >> subcluster_bits) as u32;
        let kind = subclusters.kind(first);
        let end = (first..SUBCLUSTERS).find(|&other| subclusters.kind(other) != kind).unwrap_or(SUBCLUSTERS);
        let from = match (kind, host) {
            ((true, _), Some(offset)) => From::Host { offset: offset + into },
            ((_, true), _) => From::Zeros,
            _ => From::Backing,
        };
        Run { from, length_bytes: ((u64::from(end) << subcluster_bits) - into).min(most) }
    }

    /// Fills `buffer` with the bytes of the image under this one; with zeros after its end.
    fn read_backing(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let there = self.backing_bytes(offset, buffer.len() as u64) as usize;
        let (part, zeros) = buffer.split_at_mut(there);
        zeros.fill(0);
        match self.backing() {
            Some(image) if there > 0 => image.read(offset, part).map_err(|error| self.in_backing(error)),
            _ => Ok(()),
        }
    }

    /// How many of `length_bytes` bytes from `offset` on are inside the image under this one.
    fn backing_bytes(&self, offset: u64, length_bytes: u64) -> u64 {
        self.backing().map_or(0, |image| storage::ReadAt::size_bytes(image).saturating_sub(offset).min(length_bytes))
    }

    /// The error with the name of the backing file in which it happened.
    fn in_backing(&self, error: Error) -> Error {
        let name = self.backing_name().map(|backing| backing.name.clone()).unwrap_or_default();
        Error::InBackingFile { name, error: Box::new(error) }
    }

    /// The run of guest bytes from `offset` on that are all zeros, or all have to be read.
    pub(crate) fn guest_extent(&self, offset: u64) -> Result<Extent> {
        let mut runs = EXTENT_RUNS_MAX;
        self.extent_within(offset, self.header().virtual_size_bytes - offset, &mut runs)
    }

    /// As [`guest_extent`](Self::guest_extent), for at most `most` bytes. It reads at most `runs` more runs, but at least
    /// one in each layer.
    fn extent_within(&self, offset: u64, most: u64, runs: &mut u64) -> Result<Extent> {
        let mut extent: Option<Extent> = None;
        loop {
            let done = extent.map_or(0, |extent| extent.length_bytes);
            if done == most || (done > 0 && *runs == 0) {
                break;
            }
            let at = offset + done;
            let run = self.run_at(at, most - done)?;
            *runs = runs.saturating_sub(1);
            let next = match run.from {
                From::Zeros => Extent { kind: ExtentKind::Zero, length_bytes: run.length_bytes },
                From::Backing => self.backing_extent(at, run.length_bytes, runs)?,
                From::Host { .. } | From::Compressed { .. } => {
                    Extent { kind: ExtentKind::Data, length_bytes: run.length_bytes }
                }
            };
            match &mut extent {
                None => extent = Some(next),
                Some(extent) if extent.kind == next.kind => extent.length_bytes += next.length_bytes,
                Some(_) => break,
            }
        }
        Ok(extent.unwrap_or(Extent { kind: ExtentKind::Zero, length_bytes: most }))
    }

    /// The extent of the image under this one.
    fn backing_extent(&self, offset: u64, most: u64, runs: &mut u64) -> Result<Extent> {
        let there = self.backing_bytes(offset, most);
        let extent = match self.backing() {
            Some(Image { kind: Kind::Qcow2(image) }) if there > 0 => image.extent_within(offset, there, runs),
            Some(image) if there > 0 => image.extent(offset),
            _ => return Ok(Extent { kind: ExtentKind::Zero, length_bytes: most }),
        };
        let Extent { kind, length_bytes } = extent.map_err(|error| self.in_backing(error))?;
        Ok(Extent { kind, length_bytes: length_bytes.min(there) })
    }
}
