//! Where the data and the holes of a regular file are.

use std::ops::Range;

use rustix::io::Errno;

use crate::inode::{Data, InodeNumber};
use crate::tree::{Result, Tree};

impl Tree {
    /// Where the data of a regular file are, sorted. What is between them reads as zeros.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn data(&mut self, number: InodeNumber) -> Result<Vec<Range<u64>>> {
        let inode = self.inode(number)?;
        let size_bytes = inode.metadata.size_bytes;
        if let Data::Content(content) = &inode.data {
            let mut data = Vec::new();
            while let Some(from) = content.seek(data.last().map_or(0, |last: &Range<u64>| last.end), true) {
                data.push(from..content.seek(from, false).unwrap_or(size_bytes));
            }
            return Ok(data);
        }
        let Some(origin) = inode.origin.clone() else { return Ok(Vec::new()) };
        let extents = self.base.read(|file_system| file_system.content_extents(&origin));
        let Some(extents) = extents.map_err(|error| self.failed(&error))? else {
            return Ok(std::iter::once(0..size_bytes).collect());
        };
        let ends = extents.into_iter().map(|extent| (extent.offset, extent.offset.saturating_add(extent.length_bytes)));
        let mut data: Vec<_> = ends.map(|(start, end)| start..end.min(size_bytes)).collect();
        data.retain(|part| part.start < part.end);
        data.sort_by_key(|part| part.start);
        Ok(data)
    }

    /// Where the next data of a regular file begin at `offset` or after it, or else the next hole.
    ///
    /// # Errors
    ///
    /// [`Errno::NXIO`] if there is nothing up to the end.
    pub fn seek(&mut self, number: InodeNumber, offset: u64, for_data: bool) -> Result<u64> {
        let inode = self.inode(number)?;
        let size_bytes = inode.metadata.size_bytes;
        if offset >= size_bytes {
            return Err(Errno::NXIO);
        }
        if let Data::Content(content) = &inode.data {
            return content.seek(offset, for_data).ok_or(Errno::NXIO);
        }
        let mut at = offset;
        for part in self.data(number)?.into_iter().filter(|part| part.end > offset) {
            if for_data {
                return Ok(at.max(part.start));
            }
            if part.start > at {
                break;
            }
            at = at.max(part.end);
        }
        if for_data { Err(Errno::NXIO) } else { Ok(at) }
    }
}
