//! The image's consistency: every table is walked and every compressed grain is decompressed.
//!
//! Memory is bounded by the directory, one grain and the limit of [`Findings`], time by the number of entries in the
//! file: a table that two entries of the directory point at is not walked, and a marker names its grain, so that a
//! stream that two entries point at belongs to one grain only.

use storage::Finding;

use super::Vmdk;
use super::layout::RawGrainMarker;
use super::read::Grain;
use crate::error::{Error, Result};
use crate::findings::Findings;

impl Vmdk {
    /// All damage in the image.
    pub(crate) fn check(&self) -> Result<Vec<Finding>> {
        let mut findings = Findings::new("VMDK", self.file().size_bytes());
        if self.header.unclean {
            findings.push(Finding::new("VMDK header", "uncleanShutdown is set: the disk is or was in use"));
        }
        let mut bytes = vec![0; self.header.grain_bytes() as usize];
        for index in 0..self.header.tables() {
            let table = match self.table(index) {
                Ok(None) => continue,
                Ok(Some(table)) => table,
                Err(error) => {
                    findings.push_error(error)?;
                    continue;
                }
            };
            for (number, entry) in (index * self.header.table_entries..self.header.grains()).zip(table.iter()) {
                if let Grain::At { offset } = self.parse_entry(*entry)
                    && !findings.has_counted_outside(offset, offset + self.least_bytes(number))
                    && let Err(error) = self.check_grain(number, offset, &mut bytes)
                {
                    findings.push_error(error)?;
                }
            }
        }
        Ok(findings.into_list())
    }

    /// The bytes that a grain needs in the file: its own inside the disk, or those of its marker.
    fn least_bytes(&self, number: u64) -> u64 {
        if self.header.compressed {
            return size_of::<RawGrainMarker>() as u64;
        }
        (self.size_bytes() - number * self.header.grain_bytes()).min(self.header.grain_bytes())
    }

    fn check_grain(&self, number: u64, offset: u64, bytes: &mut [u8]) -> Result<()> {
        if self.header.compressed {
            return self.decompress(number, offset, bytes);
        }
        let (length_bytes, file_size_bytes) = (self.least_bytes(number), self.file().size_bytes());
        if offset + length_bytes <= file_size_bytes {
            return Ok(());
        }
        Err(Error::Truncated { object: self.grain_name(number), offset, length_bytes, file_size_bytes })
    }
}
