//! The journal: a dirty one is replayed before anything else is read.
//!
//! Before the kernel changes metadata in its place, it writes the new blocks to the journal, a file that is inode 8.
//! After a crash the journal is read from its start, and what was written there whole is copied to where it belongs.
//! Its numbers are big endian. In the example `debugfs` (`jo -c`, `jw -b 1172 /dev/zero`, `jc`) has put one transaction
//! there:
//!
//! ```text
//! block 0  c03b 3998 0000 0004  a super block of the second version
//!          0x0c 0000 0400  s_blocksize = 1024     0x18 0000 0001  s_sequence = 1: the first transaction
//!          0x10 0000 0400  s_maxlen = 1024        0x1c 0000 0001  s_start = 1: it begins in block 1
//! block 1  c03b 3998 0000 0001 0000 0001  a descriptor of transaction 1, and a tag for each block that follows:
//!          0000 0494  block 1172                  0000 0008  flags: the last tag
//! block 2  the 1,024 bytes for block 1172
//! block 3  c03b 3998 0000 0002 0000 0001  a commit: transaction 1 is whole
//! block 4  something else: the log ends here
//! ```
//!
//! A transaction without its commit block counts for nothing. A revoke block (kind 5) lists blocks that were freed:
//! what earlier transactions have for them is not copied. So there are three passes, as the kernel makes them: find the
//! last commit, collect the revoked blocks, copy. Block 2 would not be told from a block of the journal's own if it
//! began with the magic 0xc03b3998: then its first four bytes are zeros and a flag says so. A clean journal has
//! `s_start` = 0.

use std::collections::HashMap;

use zerocopy::{FromBytes, IntoBytes};

use storage::{ReadAt, WriteAt};

use crate::checksum::crc32c;
use crate::error::{Error, Object, Result};
use crate::features::{compat, incompat};
use crate::filesystem::FileSystem;
use crate::group;
use crate::inode::{Inode, InodeNumber};
use crate::layout::jbd2::{
    JBD2_COMMIT_BLOCK, JBD2_DESCRIPTOR_BLOCK, JBD2_FEATURE_INCOMPAT_64BIT, JBD2_FEATURE_INCOMPAT_ASYNC_COMMIT,
    JBD2_FEATURE_INCOMPAT_CSUM_V2, JBD2_FEATURE_INCOMPAT_CSUM_V3, JBD2_FEATURE_INCOMPAT_FAST_COMMIT,
    JBD2_FEATURE_INCOMPAT_REVOKE, JBD2_FLAG_ESCAPE, JBD2_FLAG_LAST_TAG, JBD2_FLAG_SAME_UUID, JBD2_MAGIC_NUMBER,
    JBD2_REVOKE_BLOCK, JBD2_SUPERBLOCK_V1, JBD2_SUPERBLOCK_V2, RawBlockTag, RawBlockTag3, RawJournalHeader,
    RawJournalSuperblock,
};
use crate::superblock::Superblock;

const KNOWN_INCOMPAT: u32 = JBD2_FEATURE_INCOMPAT_REVOKE
    | JBD2_FEATURE_INCOMPAT_64BIT
    | JBD2_FEATURE_INCOMPAT_ASYNC_COMMIT
    | JBD2_FEATURE_INCOMPAT_CSUM_V2
    | JBD2_FEATURE_INCOMPAT_CSUM_V3
    | JBD2_FEATURE_INCOMPAT_FAST_COMMIT;

fn corrupt(problem: impl Into<String>) -> Error {
    Error::corrupt(Object::Journal, problem)
}

/// Replays the journal into `storage` if it is dirty, and returns whether it was. [`mark_clean`] clears the flag in
/// the super block that says so.
pub(crate) fn replay<S: WriteAt>(storage: &S, superblock: &Superblock) -> Result<bool> {
    if !superblock.has_incompat(incompat::RECOVER) {
        return Ok(false);
    }
    if !superblock.has_compat(compat::HAS_JOURNAL) {
        return Err(Error::corrupt(Object::Superblock, "needs_recovery without has_journal"));
    }
    if superblock.raw.s_journal_inum.get() == 0 {
        return Err(Error::unsupported(Object::Journal, "journal_dev: a dirty journal on another device"));
    }
    let groups = group::read_groups(&storage, superblock)?;
    let filesystem = FileSystem::unwritable(storage, superblock.clone(), groups);
    let mut log = Log::open(&filesystem)?;
    if log.superblock.s_start.get() != 0 {
        log.replay()?;
        filesystem.storage.flush()?;
    }
    Ok(true)
}

/// Clears the flag that asks for recovery.
pub(crate) fn mark_clean(storage: &dyn WriteAt, superblock: &mut Superblock) -> Result<()> {
    let flags = superblock.raw.s_feature_incompat.get() & !incompat::RECOVER;
    superblock.raw.s_feature_incompat.set(flags);
    superblock.write(storage)
}

/// The journal's inode and its super block, validated.
pub(crate) fn read_superblock<S: ReadAt>(filesystem: &FileSystem<S>) -> Result<(Inode, RawJournalSuperblock)> {
    let number = InodeNumber(filesystem.superblock.raw.s_journal_inum.get());
    let inode = filesystem.inode(number)?;
    let mut bytes = vec![0; filesystem.block_size() as usize];
    if filesystem.read_content(&inode, 0, &mut bytes)? < bytes.len() {
        return Err(corrupt(format!("journal inode {number} has {} bytes", inode.size_bytes())));
    }
    let (superblock, _) = RawJournalSuperblock::read_from_prefix(&bytes).map_err(|_| corrupt("no super block"))?;
    let header = &superblock.s_header;
    if header.h_magic.get() != JBD2_MAGIC_NUMBER
        || ![JBD2_SUPERBLOCK_V1, JBD2_SUPERBLOCK_V2].contains(&header.h_blocktype.get())
    {
        return Err(corrupt(format!("h_magic={:#x} h_blocktype={}", header.h_magic, header.h_blocktype)));
    }
    let is_v2 = header.h_blocktype.get() == JBD2_SUPERBLOCK_V2;
    let features = if is_v2 { superblock.s_feature_incompat.get() } else { 0 };
    if features & !KNOWN_INCOMPAT != 0 {
        return Err(Error::unsupported(Object::Journal, format!("s_feature_incompat={features:#x}")));
    }
    let (first, length) = (superblock.s_first.get(), superblock.s_maxlen.get());
    if u64::from(superblock.s_blocksize.get()) != filesystem.block_size()
        || u64::from(length) > inode.size_bytes() / filesystem.block_size()
        || first == 0
        || first >= length
    {
        return Err(corrupt(format!(
            "s_blocksize={} s_maxlen={length} s_first={first}, the journal has {} bytes",
            superblock.s_blocksize,
            inode.size_bytes()
        )));
    }
    if features & (JBD2_FEATURE_INCOMPAT_CSUM_V2 | JBD2_FEATURE_INCOMPAT_CSUM_V3) != 0 {
        let mut unsealed = superblock.clone();
        unsealed.s_checksum.set(0);
        let computed = crc32c(!0, unsealed.as_bytes());
        if computed != superblock.s_checksum.get() {
            return Err(corrupt(format!("s_checksum={:#010x}, computed {computed:#010x}", superblock.s_checksum)));
        }
    }
    Ok((inode, superblock))
}

/// The journal's blocks as a log.
struct Log<'a, S> {
    filesystem: &'a FileSystem<&'a S>,
    inode: Inode,
    superblock: RawJournalSuperblock,
    /// The block after the log's last. The area of fast commits, if there is one, follows.
    end: u32,
}

/// What a walk over the log meets.
enum Item {
    /// A data block: where it is in the log, and its tag.
    Data { log_block: u32, tag: Tag },
    /// A revoked block.
    Revoked(u64),
    /// A commit block, whose checksum was right.
    Commit,
}

#[derive(Clone, Copy)]
struct Tag {
    block: u64,
    flags: u32,
    checksum: u32,
}

impl<'a, S: WriteAt> Log<'a, S> {
    fn open(filesystem: &'a FileSystem<&'a S>) -> Result<Self> {
        let (inode, superblock) = read_superblock(filesystem)?;
        let end = superblock.s_maxlen.get();
        let log = Self { filesystem, inode, superblock, end };
        if log.has(JBD2_FEATURE_INCOMPAT_FAST_COMMIT) && log.superblock.s_start.get() != 0 {
            return Err(Error::unsupported(Object::Journal, "fast_commit: a dirty journal with fast commits"));
        }
        Ok(log)
    }

    fn has(&self, feature: u32) -> bool {
        self.superblock.s_header.h_blocktype.get() == JBD2_SUPERBLOCK_V2
            && self.superblock.s_feature_incompat.get() & feature != 0
    }

    fn has_checksums(&self) -> bool {
        self.has(JBD2_FEATURE_INCOMPAT_CSUM_V2) || self.has(JBD2_FEATURE_INCOMPAT_CSUM_V3)
    }

    fn checksum_seed(&self) -> u32 {
        crc32c(!0, &self.superblock.s_uuid)
    }

    fn read(&self, log_block: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.filesystem.block_size() as usize];
        self.filesystem.read_content(&self.inode, u64::from(log_block) * bytes.len() as u64, &mut bytes)?;
        Ok(bytes)
    }

    fn next(&self, log_block: u32) -> u32 {
        if log_block + 1 >= self.end { self.superblock.s_first.get() } else { log_block + 1 }
    }

    fn replay(&mut self) -> Result<()> {
        // Which transactions were committed is known only at the end of the log.
        let first = self.superblock.s_sequence.get();
        let mut committed = 0u32;
        self.walk(u32::MAX, &mut |_, _, item| {
            committed += u32::from(matches!(item, Item::Commit));
            Ok(())
        })?;
        // A block revoked in a transaction is not replayed from that one or any before.
        let mut revoked: HashMap<u64, u32> = HashMap::new();
        self.walk(committed, &mut |_, transaction, item| {
            if let Item::Revoked(block) = item {
                revoked.insert(block, transaction);
            }
            Ok(())
        })?;
        self.walk(committed, &mut |log, transaction, item| {
            if let Item::Data { log_block, tag } = item
                && revoked.get(&tag.block).is_none_or(|&last| transaction > last)
            {
                log.replay_block(log_block, &tag, first.wrapping_add(transaction))?;
            }
            Ok(())
        })?;
        self.mark_empty(first.wrapping_add(committed))
    }

    /// Walks the first `transactions` transactions, or all that are whole if there are fewer.
    fn walk(&self, transactions: u32, visit: &mut dyn FnMut(&Self, u32, Item) -> Result<()>) -> Result<()> {
        let mut at = self.superblock.s_start.get();
        if at < self.superblock.s_first.get() || at >= self.end {
            return Err(corrupt(format!("s_start={at}, expected {} to {}", self.superblock.s_first, self.end - 1)));
        }
        let first = self.superblock.s_sequence.get();
        let mut transaction = 0;
        // The log cannot be longer than the journal.
        let mut left = self.end;
        while transaction < transactions && left > 0 {
            left -= 1;
            let bytes = self.read(at)?;
            let Ok((header, _)) = RawJournalHeader::read_from_prefix(&bytes) else { break };
            if header.h_magic.get() != JBD2_MAGIC_NUMBER || header.h_sequence.get() != first.wrapping_add(transaction) {
                break;
            }
            match header.h_blocktype.get() {
                JBD2_DESCRIPTOR_BLOCK => {
                    if !self.block_checksum_is_right(&bytes) {
                        break;
                    }
                    for tag in self.tags(&bytes)? {
                        at = self.next(at);
                        left = left.saturating_sub(1);
                        visit(self, transaction, Item::Data { log_block: at, tag })?;
                    }
                }
                JBD2_REVOKE_BLOCK => {
                    if !self.block_checksum_is_right(&bytes) {
                        break;
                    }
                    for block in self.revoked_blocks(&bytes)? {
                        visit(self, transaction, Item::Revoked(block))?;
                    }
                }
                JBD2_COMMIT_BLOCK => {
                    if !self.commit_checksum_is_right(&bytes) {
                        break;
                    }
                    visit(self, transaction, Item::Commit)?;
                    transaction += 1;
                }
                _ => break,
            }
            at = self.next(at);
        }
        Ok(())
    }

    /// Whether the checksum in a descriptor's or revoke block's last four bytes is right.
    fn block_checksum_is_right(&self, bytes: &[u8]) -> bool {
        if !self.has_checksums() {
            return true;
        }
        let (body, stored) = bytes.split_at(bytes.len() - 4);
        crc32c(crc32c(self.checksum_seed(), body), &[0; 4]).to_be_bytes() == stored
    }

    /// Whether the checksum at offset 16 of a commit block is right.
    fn commit_checksum_is_right(&self, bytes: &[u8]) -> bool {
        if !self.has_checksums() {
            return true;
        }
        let crc = crc32c(crc32c(self.checksum_seed(), &bytes[..16]), &[0; 4]);
        crc32c(crc, &bytes[20..]).to_be_bytes() == bytes[16..20]
    }

    fn tags(&self, bytes: &[u8]) -> Result<Vec<Tag>> {
        let end = bytes.len() - if self.has_checksums() { 4 } else { 0 };
        let is_v3 = self.has(JBD2_FEATURE_INCOMPAT_CSUM_V3);
        let is_64bit = self.has(JBD2_FEATURE_INCOMPAT_64BIT);
        // The second version of checksums has two unused bytes.
        let tag_bytes = match (is_v3, is_64bit) {
            (true, _) => 16,
            (false, true) => 12,
            (false, false) => 8,
        } + if !is_v3 && self.has(JBD2_FEATURE_INCOMPAT_CSUM_V2) { 2 } else { 0 };
        let mut tags = Vec::new();
        let mut at = size_of::<RawJournalHeader>();
        while at + tag_bytes <= end {
            let high = |value: u32| if is_64bit { u64::from(value) << 32 } else { 0 };
            let mut padded = [0; 16];
            padded[..tag_bytes].copy_from_slice(&bytes[at..at + tag_bytes]);
            let tag = if is_v3 {
                let raw = RawBlockTag3::read_from_bytes(&padded).map_err(|_| corrupt("block tag"))?;
                let block = u64::from(raw.t_blocknr.get()) | high(raw.t_blocknr_high.get());
                Tag { block, flags: raw.t_flags.get(), checksum: raw.t_checksum.get() }
            } else {
                let (raw, _) = RawBlockTag::read_from_prefix(&padded).map_err(|_| corrupt("block tag"))?;
                let block = u64::from(raw.t_blocknr.get()) | high(raw.t_blocknr_high.get());
                Tag { block, flags: u32::from(raw.t_flags.get()), checksum: u32::from(raw.t_checksum.get()) }
            };
            at += tag_bytes;
            if tag.flags & JBD2_FLAG_SAME_UUID == 0 {
                at += 16;
            }
            tags.push(tag);
            if tag.flags & JBD2_FLAG_LAST_TAG != 0 {
                break;
            }
        }
        Ok(tags)
    }

    fn revoked_blocks(&self, bytes: &[u8]) -> Result<Vec<u64>> {
        let used = u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize;
        let end = bytes.len() - if self.has_checksums() { 4 } else { 0 };
        if !(16..=end).contains(&used) {
            return Err(corrupt(format!("revoke block r_count={used}, expected 16 to {end}")));
        }
        let number_bytes = if self.has(JBD2_FEATURE_INCOMPAT_64BIT) { 8 } else { 4 };
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        Ok(bytes[16..used].chunks_exact(number_bytes).map(number).collect())
    }

    fn replay_block(&self, log_block: u32, tag: &Tag, sequence: u32) -> Result<()> {
        let mut bytes = self.read(log_block)?;
        if self.has_checksums() {
            let computed = crc32c(crc32c(self.checksum_seed(), &sequence.to_be_bytes()), &bytes);
            let is_v3 = self.has(JBD2_FEATURE_INCOMPAT_CSUM_V3);
            let computed = if is_v3 { computed } else { computed & 0xFFFF };
            if computed != tag.checksum {
                return Err(corrupt(format!(
                    "log block {log_block} for block {}: checksum={:#x}, computed {computed:#x}",
                    tag.block, tag.checksum
                )));
            }
        }
        if tag.flags & JBD2_FLAG_ESCAPE != 0 {
            bytes[..4].copy_from_slice(&JBD2_MAGIC_NUMBER.to_be_bytes());
        }
        if tag.block >= self.filesystem.superblock.blocks() {
            return Err(corrupt(format!(
                "log block {log_block} is for block {}, the file system has {}",
                tag.block,
                self.filesystem.superblock.blocks()
            )));
        }
        self.filesystem.write_block(tag.block, &bytes)
    }

    /// Writes the journal's super block with an empty log whose next transaction follows `sequence`.
    fn mark_empty(&mut self, sequence: u32) -> Result<()> {
        self.superblock.s_start.set(0);
        self.superblock.s_sequence.set(sequence.wrapping_add(1));
        if self.has_checksums() {
            self.superblock.s_checksum.set(0);
            let computed = crc32c(!0, self.superblock.as_bytes());
            self.superblock.s_checksum.set(computed);
        }
        let Some(block) = self.filesystem.map_block(&self.inode, 0)?.physical else {
            return Err(corrupt("its super block is in a hole"));
        };
        let offset = block * self.filesystem.block_size();
        Ok(self.filesystem.storage.write_at(offset, self.superblock.as_bytes())?)
    }
}
