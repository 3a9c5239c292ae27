//! The image's consistency: every table is walked and every compressed grain is decompressed.
//!
//! Memory is bounded by the directory, one grain and [`FINDINGS_MAX`] findings, time by the number of
//! entries in the file: a table that two entries of the directory point at is walked for none, and a marker
//! names its grain, so that a stream that two entries point at is one grain's only.

use storage::Finding;

use super::Vmdk;
use super::read::Grain;
use crate::error::{Error, Result};

/// The most findings that are listed.
const FINDINGS_MAX: usize = 1000;

impl Vmdk {
    /// Everything that is wrong.
    pub(crate) fn check(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        if self.header.unclean {
            findings.push(Finding::new("VMDK header", "uncleanShutdown is set: the disk is or was in use"));
        }
        let shared = shared(&self.directory);
        let mut bytes = vec![0; self.header.grain_bytes() as usize];
        for (index, &sector) in (0..).zip(&self.directory) {
            if findings.len() >= FINDINGS_MAX {
                findings.push(Finding::new("image", "more is wrong than is listed"));
                break;
            }
            if shared.binary_search(&sector).is_ok() {
                let object = format!("VMDK grain table {index}");
                findings.push(Finding::new(object, format!("sector={sector:#x} is another table's, too")));
                continue;
            }
            let table = match self.table(index) {
                Ok(None) => continue,
                Ok(Some(table)) => table,
                Err(error) => {
                    findings.push(finding(error)?);
                    continue;
                }
            };
            for (number, entry) in (index * self.header.table_entries..self.header.grains()).zip(table.iter()) {
                if let Grain::At { offset } = self.parse_entry(*entry)
                    && let Err(error) = self.check_grain(number, offset, &mut bytes)
                {
                    findings.push(finding(error)?);
                }
            }
        }
        Ok(findings)
    }

    fn check_grain(&self, number: u64, offset: u64, bytes: &mut [u8]) -> Result<()> {
        if self.header.compressed {
            return self.decompress(number, offset, bytes);
        }
        let rest = self.size_bytes() - number * self.header.grain_bytes();
        let (length_bytes, file_size_bytes) = (rest.min(bytes.len() as u64), self.file().size_bytes());
        if offset + length_bytes <= file_size_bytes {
            return Ok(());
        }
        Err(Error::Truncated { object: self.grain_name(number), offset, length_bytes, file_size_bytes })
    }
}

/// The sectors that more than one entry of the directory has, sorted: none in a sound image.
fn shared(directory: &[u32]) -> Vec<u32> {
    let mut sectors: Vec<u32> = directory.iter().copied().filter(|&sector| sector != 0).collect();
    sectors.sort_unstable();
    let mut shared: Vec<u32> = sectors.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    shared.dedup();
    shared
}

/// What is wrong with the image, as a finding; the host's errors remain errors.
fn finding(error: Error) -> Result<Finding> {
    match error {
        Error::Corrupt { object, problem } => Ok(Finding::new(object, problem)),
        Error::Truncated { object, offset, length_bytes, file_size_bytes } => Ok(Finding::new(
            object,
            format!(
                "offset={offset:#x} length={length_bytes:#x} is not inside the file, file_size={file_size_bytes:#x}"
            ),
        )),
        other => Err(other),
    }
}
