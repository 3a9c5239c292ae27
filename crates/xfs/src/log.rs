//! The log: whether it was left clean. A dirty one is not replayed here.
//!
//! Worked example: a log of 64 MiB has 131,072 sectors of 512 bytes. The first 4 bytes of each sector are the number
//! of the lap in which it was written, or stand in a record's header next to it. Writing is in lap 3 and has come to
//! sector 500: sectors 0 to 499 say 3, and 500 to the end say 2. The last record in front of 500 has to be the one
//! that an unmount writes, with a single operation and its flag.

use storage::ReadAt;

use crate::error::{Error, Object, Result};
use crate::layout::be32;
use crate::superblock::Superblock;

const SECTOR_BYTES: u64 = 512;
/// `XLOG_HEADER_MAGIC_NUM`.
const XLOG_HEADER_MAGIC_NUM: u32 = 0xfeed_babe;
/// `XLOG_UNMOUNT_TRANS`, in `oh_flags`.
const XLOG_UNMOUNT_TRANS: u8 = 0x20;
/// How far back from its end the last record is looked for: records have at most 256 KiB.
const MAX_RECORD_SECTORS: u64 = 1024;
const DIRTY: &str = "its log has changes that were not carried out: mount it once with a kernel, or run `xfs_repair`";

/// Why the log keeps the file system from being edited, if so.
pub(crate) fn refusal(storage: &dyn ReadAt, superblock: &Superblock) -> Result<Option<String>> {
    let raw = &superblock.raw;
    if raw.sb_logstart.get() == 0 {
        return Ok(Some("its log is on another device".to_owned()));
    }
    let blocks = u64::from(raw.sb_logblocks.get());
    let Some(first) = superblock.run_offset(raw.sb_logstart.get(), blocks).filter(|_| blocks > 0) else {
        let problem = format!("sb_logstart={} sb_logblocks={blocks}", raw.sb_logstart.get());
        return Err(Error::corrupt(Object::Log, problem));
    };
    let log = Log { storage, first, sectors: blocks * superblock.block_bytes() / SECTOR_BYTES };
    Ok((!log.is_clean()?).then(|| DIRTY.to_owned()))
}

struct Log<'a> {
    storage: &'a dyn ReadAt,
    first: u64,
    sectors: u64,
}

impl Log<'_> {
    fn sector(&self, number: u64) -> Result<[u8; SECTOR_BYTES as usize]> {
        let mut bytes = [0; SECTOR_BYTES as usize];
        self.storage.read_at(self.first + number * SECTOR_BYTES, &mut bytes)?;
        Ok(bytes)
    }

    /// The lap in which a sector was written.
    fn lap(&self, number: u64) -> Result<u32> {
        let bytes = self.sector(number)?;
        Ok(if be32(&bytes, 0) == XLOG_HEADER_MAGIC_NUM { be32(&bytes, 4) } else { be32(&bytes, 0) })
    }

    /// The sector that would be written next.
    fn head(&self) -> Result<u64> {
        let lap = self.lap(0)?;
        if self.lap(self.sectors - 1)? == lap {
            return Ok(self.sectors);
        }
        let (mut low, mut high) = (0, self.sectors - 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.lap(middle)? == lap { low = middle } else { high = middle }
        }
        Ok(high)
    }

    fn is_clean(&self) -> Result<bool> {
        let lap = self.lap(0)?;
        if lap == 0 {
            // Never written, as some tools leave it. A kernel takes it as clean only after it has made it anew.
            return Ok(false);
        }
        let head = self.head()?;
        let mut at = head;
        for _ in 0..MAX_RECORD_SECTORS.min(head) {
            at -= 1;
            let header = self.sector(at)?;
            if be32(&header, 0) != XLOG_HEADER_MAGIC_NUM {
                continue;
            }
            // `h_len`, `h_num_logops` and `h_size`: how large the writer's buffers were, which takes one header for
            // each 32 KiB.
            let (length, operations, size) = (be32(&header, 12), be32(&header, 40), be32(&header, 320));
            let headers = u64::from(size.div_ceil(32 << 10)).clamp(1, 8);
            let end = at + headers + u64::from(length).div_ceil(SECTOR_BYTES);
            if operations != 1 || end != head || at + headers >= head {
                return Ok(false);
            }
            // `xlog_op_header`: transaction, length, client, flags.
            return Ok(self.sector(at + headers)?[9] & XLOG_UNMOUNT_TRANS != 0);
        }
        Ok(false)
    }
}
