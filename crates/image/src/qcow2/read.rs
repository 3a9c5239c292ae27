//! Reading the guest's disk.

use storage::{Extent, ExtentKind};

use super::Qcow2;
use super::table::{Entry, cluster_name};
use crate::error::{Error, Result};

/// The most L2 entries that one question for an extent looks at: missing L2 tables count as one.
const EXTENT_ENTRIES_MAX: u64 = 1 << 20;

/// Guest bytes from one place.
struct Run {
    from: From,
    length_bytes: u64,
}

enum From {
    Zeros,
    Host { offset: u64 },
    Compressed { offset: u64, length_bytes: u64 },
}

impl Qcow2 {
    /// Fills `buffer` with the guest's bytes from `offset` on, all of which are inside the disk.
    pub(crate) fn read_guest(&self, mut offset: u64, mut buffer: &mut [u8]) -> Result<()> {
        let cluster_size = self.header().cluster_size();
        while !buffer.is_empty() {
            let run = self.run_at(offset, buffer.len() as u64)?;
            let (part, rest) = buffer.split_at_mut(run.length_bytes as usize);
            let cluster = offset / cluster_size;
            match run.from {
                From::Zeros => part.fill(0),
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
            return Ok(Run { from: From::Zeros, length_bytes: length_bytes.min(most) });
        };
        let entries = &slice.entries[(cluster - slice.first_cluster) as usize..];
        let (from, clusters) = match entries[0] {
            Entry::Unallocated | Entry::Zero { .. } => {
                (From::Zeros, entries.iter().take_while(|entry| entry.is_zero()).count() as u64)
            }
            Entry::Plain { offset } => {
                let follows = |(place, entry): &(u64, &Entry)| **entry == Entry::Plain { offset: *place };
                let places = (0..).map(|index| offset + (index << header.cluster_bits));
                let clusters = places.zip(entries).take_while(follows).count() as u64;
                (From::Host { offset: offset + into }, clusters)
            }
            Entry::Compressed { offset, length_bytes } => (From::Compressed { offset, length_bytes }, 1),
        };
        Ok(Run { from, length_bytes: ((clusters << header.cluster_bits) - into).min(most) })
    }

    /// The run of guest bytes from `offset` on that is all zero or all to be read.
    pub(crate) fn guest_extent(&self, offset: u64) -> Result<Extent> {
        let header = self.header();
        let last = header.guest_clusters();
        let mut cluster = offset >> header.cluster_bits;
        let mut kind = None;
        let mut looked_at = 0;
        while cluster < last && looked_at < EXTENT_ENTRIES_MAX {
            let slice = self.slice(cluster)?;
            let zero_here = match &slice {
                None => true,
                Some(slice) => slice.entries[(cluster - slice.first_cluster) as usize].is_zero(),
            };
            if *kind.get_or_insert(zero_here) != zero_here {
                break;
            }
            let Some(slice) = slice else {
                cluster = ((cluster >> header.l2_bits()) + 1) << header.l2_bits();
                continue;
            };
            let entries = &slice.entries[(cluster - slice.first_cluster) as usize..];
            let same = entries.iter().take_while(|entry| entry.is_zero() == zero_here).count() as u64;
            cluster += same;
            looked_at += same;
            if same < entries.len() as u64 {
                break;
            }
        }
        let end = u128::from(cluster.min(last)) << header.cluster_bits;
        let end = end.min(u128::from(header.virtual_size_bytes)) as u64;
        let kind = if kind == Some(true) { ExtentKind::Zero } else { ExtentKind::Data };
        Ok(Extent { kind, length_bytes: end - offset })
    }
}
