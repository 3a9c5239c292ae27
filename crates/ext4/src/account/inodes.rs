//! Slots of inode tables that differ.

use metadata::{Expected, FileKind, Side};
use storage::ReadAt;

use super::fields::{BODY_ATTRIBUTES, differing_inode, others};
use super::{Accountant, Problem};
use crate::error::{Object, Result};
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::{EXT4_EXTENTS_FL, EXT4_HUGE_FILE_FL, EXT4_INDEX_FL, EXT4_INLINE_DATA_FL};

/// How content is stored.
const LAYOUT_FLAGS: u32 = EXT4_EXTENTS_FL | EXT4_HUGE_FILE_FL | EXT4_INDEX_FL | EXT4_INLINE_DATA_FL;

/// Fields that say where an inode's content is, and the checksum.
const LAYOUT: &[&str] = &["i_block", "i_blocks_lo", "i_blocks_high", "i_checksum_lo", "i_checksum_hi"];
/// Fields that entries of a directory bring with them.
const ENTRIES: &[&str] = &["i_size_lo", "i_size_high", "i_links_count"];
/// Fields that no path shows, and attributes, which a caller that says `Unseen` has compared.
const UNSEEN: &[&str] = &[
    "i_atime",
    "i_atime_extra",
    "i_ctime",
    "i_ctime_extra",
    "i_crtime",
    "i_crtime_extra",
    "i_version",
    "i_version_hi",
    "i_generation",
    "i_file_acl_lo",
    "i_file_acl_high",
    "i_extra_isize",
    BODY_ATTRIBUTES,
];

impl<A: ReadAt, B: ReadAt> Accountant<'_, A, B> {
    /// What is unexplained in a block of an inode table.
    pub(super) fn inode_table(&mut self, block: u64, group: u32) -> Result<Vec<Problem>> {
        let superblock = self.new.superblock();
        let size = usize::from(superblock.inode_size_bytes());
        let table = self.new.groups[group as usize].inode_table(superblock);
        let per_block = superblock.block_size_bytes() / size as u32;
        let first = (block - table) as u32 * per_block;
        let old_table = self.old.groups.get(group as usize).map(|group| group.inode_table(self.old.superblock()));
        let new = self.new.read_block(block)?;
        let old = match old_table {
            Some(table) => self.old.read_block(table + u64::from(first / per_block))?,
            None => vec![0; new.len()],
        };
        let mut problems = Vec::new();
        for (index, (before, after)) in (first..).zip(old.chunks_exact(size).zip(new.chunks_exact(size))) {
            // A table's last block may have room for more inodes than there are.
            if before == after || index >= superblock.inodes_per_group() {
                continue;
            }
            let number = InodeNumber(group * superblock.inodes_per_group() + index + 1);
            let problem = self.slot(number, before, after);
            problems.extend(problem.map(|problem| (Object::Inode(number), problem)));
        }
        Ok(problems)
    }

    /// What is unexplained in one inode's bytes.
    fn slot(&mut self, number: InodeNumber, before: &[u8], after: &[u8]) -> Option<String> {
        let in_use =
            |bytes: &[u8]| Inode::parse(number, bytes).ok().filter(|inode| inode.is_in_use(self.new.superblock()));
        let (old, new) = (in_use(before), in_use(after));
        let mut expected = Expected::Nothing;
        for (side, inode) in [(Side::Old, &old), (Side::New, &new)] {
            if inode.is_some() {
                expected = expected.max(self.expected(side, number));
            }
        }
        let fields = differing_inode(before, after);
        if old.is_none() && new.is_none() {
            // The kernel leaves what it deleted, and zeroes tables when it has time.
            let is_zero = after.iter().all(|&byte| byte == 0);
            let is_deleted = Inode::parse(number, after).is_ok_and(|inode| inode.raw.i_dtime.get() != 0);
            let is_explained = is_zero || (is_deleted && !self.expectations.is_strict);
            return (!is_explained).then(|| format!("it differs, but nothing uses it: {}", fields.join(", ")));
        }
        self.inodes.insert(number);
        let left = match (expected, &old, &new) {
            (Expected::Anything, ..) => return None,
            (Expected::Nothing, ..) => fields,
            (_, None, _) => return Some("it is new".to_owned()),
            (_, _, None) => return Some("it is gone".to_owned()),
            (Expected::Entries | Expected::Unseen, Some(old), Some(new)) => self.unseen(expected, old, new, &fields),
        };
        (!left.is_empty()).then(|| format!("{} differ", left.join(", ")))
    }

    /// The fields in which an inode that is in both may not differ.
    fn unseen<'f>(&self, expected: Expected, old: &Inode, new: &Inode, fields: &[&'f str]) -> Vec<&'f str> {
        let is_directory = new.kind().is_ok_and(|kind| kind == FileKind::Directory);
        let was_inline = old.is_inline() && !new.is_inline();
        let flags: &[&str] = if (old.flags() ^ new.flags()) & !LAYOUT_FLAGS == 0 { &["i_flags"] } else { &[] };
        let entries = if is_directory { ENTRIES } else { &[] };
        let attributes: &[&str] = if was_inline { &[BODY_ATTRIBUTES] } else { &[] };
        let unseen = if expected == Expected::Unseen { UNSEEN } else { &[] };
        others(fields, &[LAYOUT, entries, flags, attributes, unseen])
    }

    /// By how many directories a group has more than before.
    pub(super) fn directories_changed(&self, group: u32) -> Result<i64> {
        let mut change = 0;
        let superblock = self.new.superblock();
        let table = self.new.groups[group as usize].inode_table(superblock);
        let blocks = table..table + superblock.inode_table_blocks();
        let size = usize::from(superblock.inode_size_bytes());
        let per_block = superblock.block_size_bytes() / u32::from(superblock.inode_size_bytes());
        for block in super::intersection(self.differing, std::slice::from_ref(&blocks)).into_iter().flatten() {
            let first = group * superblock.inodes_per_group() + (block - table) as u32 * per_block + 1;
            let directories = |bytes: Vec<u8>| {
                let inodes = (first..).map(InodeNumber).zip(bytes.chunks_exact(size));
                let inodes = inodes.filter_map(|(number, bytes)| Inode::parse(number, bytes).ok());
                let used = inodes.filter(|inode| inode.is_in_use(superblock));
                used.filter(|inode| inode.kind().is_ok_and(|kind| kind == FileKind::Directory)).count() as i64
            };
            change += directories(self.new.read_block(block)?) - directories(self.old_block(block)?);
        }
        Ok(change)
    }
}
