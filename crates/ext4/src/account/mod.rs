//! An account of every block that differs between two states of a file system: what the block is, and whether a
//! known change explains it.
//!
//! What uses a block now, and what used it before, explains it. Blocks that belong to the whole file system (super
//! block, descriptors, bitmaps, inode tables) are looked at in detail: each field, bit and inode that differs must
//! belong to an inode or a block that the change may touch.

mod bitmaps;
mod fields;
mod inodes;
mod metadata;
mod owners;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ::metadata::{Expected, FileKind, Side};
use storage::ReadAt;

use crate::error::{Object, Result};
use crate::features::incompat;
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::superblock::Superblock;
use crate::usage::{InodeSet, Owner, Role, clipped};
use crate::xattr::Value;
use owners::Owners;

/// The most unexplained places that are listed; all are counted.
const MAX_UNEXPLAINED: usize = 1000;
/// The most differing blocks whose owners are in memory at a time: of blocks of 4 KiB, those of 1 GiB.
const WINDOW_BLOCKS: u64 = 1 << 18;

/// The reserved inodes whose content is the file system's own.
const RESIZE_INODE: InodeNumber = InodeNumber(7);

/// What is known of a change.
pub struct Expectations<'a> {
    /// In what an inode may differ; numbers may stand for another file in each state.
    pub inode: &'a dyn Fn(Side, InodeNumber) -> Expected,
    /// Whether this crate alone made the change. If not, the file system's own fields may differ, and
    /// so may its journal: the caller lists these with the change.
    pub is_strict: bool,
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKind {
    /// A super block or a backup of it.
    Superblock,
    /// Group descriptors or a backup of them.
    GroupDescriptors,
    /// A block bitmap.
    BlockBitmap,
    /// An inode bitmap.
    InodeBitmap,
    /// Inodes.
    InodeTable,
    /// A directory's entries.
    Directory,
    /// A file's block map.
    Map,
    /// Extended attributes.
    Attributes,
    /// The journal.
    Journal,
    /// A quota file.
    Quota,
    /// The orphan file.
    OrphanFile,
    /// Room for more descriptors, and the resize inode's map.
    Reserved,
    /// The block of multi-mount protection.
    MultiMount,
    /// A file's content.
    Data,
    /// Not in use now.
    Free,
}

impl BlockKind {
    /// Its name, of words and hyphens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Superblock => "super-block",
            Self::GroupDescriptors => "group-descriptors",
            Self::BlockBitmap => "block-bitmap",
            Self::InodeBitmap => "inode-bitmap",
            Self::InodeTable => "inode-table",
            Self::Directory => "directory",
            Self::Map => "block-map",
            Self::Attributes => "attributes",
            Self::Journal => "journal",
            Self::Quota => "quota",
            Self::OrphanFile => "orphan-file",
            Self::Reserved => "reserved",
            Self::MultiMount => "multi-mount",
            Self::Data => "data",
            Self::Free => "free",
        }
    }
}

/// Blocks that differ and should not, or not in this way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexplained {
    /// The blocks, by the numbers that `debugfs` takes.
    pub blocks: Range<u64>,
    /// Whose they are.
    pub object: Object,
    /// What differs.
    pub problem: String,
}

/// The account of what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Inodes that differ, or that have something that differs.
    pub inodes: u64,
    /// Explained blocks by what they are.
    pub blocks: BTreeMap<BlockKind, u64>,
    /// Unexplained blocks.
    pub unexplained_blocks: u64,
    /// Where they are and why, in the order of what was looked at.
    pub unexplained: Vec<Unexplained>,
    /// Whether this is another file system, made in place of the old one: nothing in the old one explains anything.
    pub is_remade: bool,
}

impl Account {
    /// Blocks of content.
    pub fn data_blocks(&self) -> u64 {
        self.blocks.get(&BlockKind::Data).copied().unwrap_or(0)
    }

    /// Blocks that are not in use now.
    pub fn free_blocks(&self) -> u64 {
        self.blocks.get(&BlockKind::Free).copied().unwrap_or(0)
    }

    /// Blocks that are neither content nor free.
    pub fn metadata_blocks(&self) -> u64 {
        self.blocks.values().sum::<u64>() - self.data_blocks() - self.free_blocks()
    }
}

/// Accounts for `differing`, the blocks that differ between `old` and `new`: sorted ranges of block
/// numbers of `new` that do not overlap. A block in it that does not differ counts as one that does.
///
/// Both have been flushed, and a journal replayed. `new` may have grown.
///
/// # Errors
///
/// [`Error::Unsupported`](crate::Error::Unsupported) with `bigalloc`,
/// [`Error::Storage`](crate::Error::Storage).
pub fn account<A: ReadAt, B: ReadAt>(
    old: &FileSystem<A>,
    new: &FileSystem<B>,
    differing: &[Range<u64>],
    expectations: &Expectations<'_>,
) -> Result<Account> {
    let is_remade = !is_same_layout(old.superblock(), new.superblock());
    let mut accountant = Accountant {
        old,
        new,
        expectations,
        differing,
        account: Account { is_remade, ..Account::default() },
        inodes: InodeSet::default(),
        values: [InodeSet::default(), InodeSet::default()],
        wrong_bitmaps: BTreeSet::new(),
        is_grown: new.superblock().blocks() != old.superblock().blocks(),
    };
    accountant.run()?;
    accountant.account.inodes = accountant.inodes.count();
    Ok(accountant.account)
}

/// Whether inodes and groups are in the same places.
fn is_same_layout(old: &Superblock, new: &Superblock) -> bool {
    let layout = |superblock: &Superblock| {
        (
            (superblock.block_size_bytes(), superblock.inode_size_bytes(), superblock.descriptor_size_bytes()),
            (superblock.blocks_per_group(), superblock.inodes_per_group(), superblock.first_data_block()),
            (superblock.has_incompat(incompat::FLEX_BG), superblock.has_incompat(incompat::BIT64)),
        )
    };
    layout(old) == layout(new)
}

/// What is wrong, and where.
type Problem = (Object, String);

/// Bits of block bitmaps that differ, as blocks.
#[derive(Debug, Default)]
struct Flips {
    taken: Vec<Range<u64>>,
    freed: Vec<Range<u64>>,
}

struct Accountant<'a, A, B> {
    old: &'a FileSystem<A>,
    new: &'a FileSystem<B>,
    expectations: &'a Expectations<'a>,
    differing: &'a [Range<u64>],
    account: Account,
    /// Inodes that differ.
    inodes: InodeSet,
    /// Inodes that hold values of attributes of inodes that may differ, by side.
    values: [InodeSet; 2],
    /// Bitmaps with bits that nothing explains: their blocks.
    wrong_bitmaps: BTreeSet<u64>,
    is_grown: bool,
}

impl<A: ReadAt, B: ReadAt> Accountant<'_, A, B> {
    fn run(&mut self) -> Result<()> {
        let flips = if self.account.is_remade { Flips::default() } else { self.bitmap_flips()? };
        let mut wanted = merged(&[self.differing, &flips.taken, &flips.freed]);
        loop {
            let rest = split_off(&mut wanted, WINDOW_BLOCKS);
            self.window(&wanted, &flips)?;
            if rest.is_empty() {
                break;
            }
            wanted = rest;
        }
        if !self.account.is_remade {
            self.free_counts();
        }
        self.count_wrong_bitmaps();
        Ok(())
    }

    /// Accounts for the blocks of `wanted` that differ.
    fn window(&mut self, wanted: &[Range<u64>], flips: &Flips) -> Result<()> {
        let mut usages = Vec::new();
        let mut values = Values::default();
        let new = self.new;
        let may_differ = |side, number| (self.expectations.inode)(side, number) != Expected::Nothing;
        new.walk_uses(
            &mut |inode| note_values(new, inode, &mut values, may_differ(Side::New, inode.number())),
            &mut |usage| clipped(&usage, wanted, &mut |part| usages.push(part)),
        )?;
        self.values[1] = values.inodes;
        let new_owners = Owners::new(std::mem::take(&mut usages));
        let mut values = Values::default();
        let old = self.old;
        if !self.account.is_remade {
            old.walk_uses(
                &mut |inode| note_values(old, inode, &mut values, may_differ(Side::Old, inode.number())),
                &mut |usage| clipped(&usage, wanted, &mut |part| usages.push(part)),
            )?;
        }
        self.values[0] = values.inodes;
        let old_owners = Owners::new(usages);
        for range in intersection(self.differing, wanted) {
            let mut at = range.start;
            while at < range.end {
                let (before, before_end) = old_owners.at(at);
                let (after, after_end) = new_owners.at(at);
                let end = before_end.min(after_end).min(range.end);
                self.blocks(at..end, before, after)?;
                at = end;
            }
        }
        self.explain_flips(flips, wanted, &old_owners, &new_owners);
        Ok(())
    }

    /// Accounts for blocks that have the same owners before, and the same after.
    fn blocks(&mut self, blocks: Range<u64>, before: &[Owner], after: &[Owner]) -> Result<()> {
        let fixed = after.iter().find(|owner| !matches!(owner, Owner::Inode { .. }));
        if let Some(owner) = fixed {
            return blocks.into_iter().try_for_each(|block| self.fixed(block, owner));
        }
        let count = blocks.end - blocks.start;
        let (mut kind, mut strangers) = (BlockKind::Free, Vec::new());
        let mut may = Expected::Nothing;
        for (side, owners) in [(Side::Old, before), (Side::New, after)] {
            for owner in owners {
                let Owner::Inode { number, role } = *owner else { continue };
                let expected = self.expected(side, number);
                may = may.max(expected);
                if side == Side::New {
                    kind = self.kind_of(number, role)?;
                }
                self.inodes.insert(number);
                if expected == Expected::Nothing {
                    strangers.push((side, number, role));
                }
            }
        }
        // A block of attributes that several share differs where one of them takes or leaves it.
        let is_shared = before.len().max(after.len()) > 1 && may > Expected::Nothing;
        // What has it now says more than what had it before.
        match strangers.last().filter(|_| !is_shared) {
            None => *self.account.blocks.entry(kind).or_default() += count,
            Some(&(side, number, role)) => {
                let what = match (side, role) {
                    (Side::New, Role::Content) => "its content differs",
                    (Side::New, Role::Map) => "its block map differs",
                    (Side::New, Role::Attributes) => "its attributes differ",
                    (Side::Old, _) => "the block belonged to it before",
                };
                self.account.unexplained_blocks += count;
                self.unexplained(blocks, Object::Inode(number), what.to_owned());
            }
        }
        Ok(())
    }

    /// What a block of an inode is.
    fn kind_of(&self, number: InodeNumber, role: Role) -> Result<BlockKind> {
        let raw = &self.new.superblock().raw;
        Ok(match role {
            Role::Attributes => BlockKind::Attributes,
            _ if number == RESIZE_INODE => BlockKind::Reserved,
            Role::Map => BlockKind::Map,
            Role::Content if number.0 == raw.s_journal_inum.get() => BlockKind::Journal,
            Role::Content if number.0 == raw.s_orphan_file_inum.get() => BlockKind::OrphanFile,
            Role::Content if self.is_quota(number) => BlockKind::Quota,
            Role::Content => match self.new.inode(number).and_then(|inode| inode.kind()) {
                Ok(FileKind::Directory) => BlockKind::Directory,
                Ok(_) | Err(crate::Error::Corrupt { .. } | crate::Error::Unsupported { .. }) => BlockKind::Data,
                Err(error) => return Err(error),
            },
        })
    }

    fn is_quota(&self, number: InodeNumber) -> bool {
        let raw = &self.new.superblock().raw;
        [&raw.s_usr_quota_inum, &raw.s_grp_quota_inum, &raw.s_prj_quota_inum]
            .iter()
            .any(|quota| quota.get() != 0 && quota.get() == number.0)
    }

    /// In what an inode may differ, including those that the file system keeps for itself.
    fn expected(&self, side: Side, number: InodeNumber) -> Expected {
        let raw = &self.new.superblock().raw;
        let own = match number {
            _ if self.account.is_remade => Expected::Anything,
            RESIZE_INODE if self.is_grown => Expected::Anything,
            _ if self.is_quota(number) => Expected::Anything,
            _ if [raw.s_journal_inum.get(), raw.s_orphan_file_inum.get()].contains(&number.0)
                && !self.expectations.is_strict =>
            {
                Expected::Unseen
            }
            _ if self.values[usize::from(side == Side::New)].contains(number) => Expected::Anything,
            _ => Expected::Nothing,
        };
        own.max((self.expectations.inode)(side, number))
    }

    fn unexplained(&mut self, blocks: Range<u64>, object: Object, problem: String) {
        if self.account.unexplained.len() < MAX_UNEXPLAINED {
            self.account.unexplained.push(Unexplained { blocks, object, problem });
        }
    }

    /// Counts one block of a kind, or one that `problems` say why nothing explains.
    fn count(&mut self, block: u64, kind: BlockKind, problems: Vec<Problem>) {
        if problems.is_empty() {
            *self.account.blocks.entry(kind).or_default() += 1;
            return;
        }
        self.account.unexplained_blocks += 1;
        for (object, problem) in problems {
            self.unexplained(block..block + 1, object, problem);
        }
    }
}

/// Inodes that hold values of attributes, and the attribute blocks that were looked through for them: inodes can share
/// these.
#[derive(Default)]
struct Values {
    inodes: InodeSet,
    blocks: BTreeSet<u64>,
}

/// Notes the inodes that hold values of an inode's attributes.
fn note_values<S: ReadAt>(filesystem: &FileSystem<S>, inode: &Inode, values: &mut Values, may_differ: bool) {
    if !may_differ || !filesystem.superblock().has_incompat(incompat::EA_INODE) {
        return;
    }
    // Attributes that cannot be read name no value that could be found.
    let mut attributes = inode.body_attributes().unwrap_or_default();
    if inode.xattr_block().is_some_and(|block| values.blocks.insert(block)) {
        attributes.extend(filesystem.block_attributes(inode).unwrap_or_default());
    }
    for attribute in attributes {
        if let Value::Inode { number, .. } = attribute.value {
            values.inodes.insert(number);
        }
    }
}

/// All ranges as one sorted list without overlaps.
fn merged(lists: &[&[Range<u64>]]) -> Vec<Range<u64>> {
    let mut all: Vec<Range<u64>> = lists.iter().flat_map(|list| list.iter().cloned()).collect();
    all.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in all {
        match merged.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Takes what is past the first `blocks` blocks off `ranges`.
fn split_off(ranges: &mut Vec<Range<u64>>, blocks: u64) -> Vec<Range<u64>> {
    let mut left = blocks;
    for index in 0..ranges.len() {
        let length = ranges[index].end - ranges[index].start;
        if length > left {
            let mut rest = ranges.split_off(index);
            let middle = rest[0].start + left;
            if left > 0 {
                ranges.push(rest[0].start..middle);
            }
            rest[0].start = middle;
            return rest;
        }
        left -= length;
    }
    Vec::new()
}

/// What is in both of two sorted lists.
fn intersection(one: &[Range<u64>], other: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut both = Vec::new();
    for range in one {
        let from = other.partition_point(|part| part.end <= range.start);
        for part in other[from..].iter().take_while(|part| part.start < range.end) {
            both.push(range.start.max(part.start)..range.end.min(part.end));
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "a list of ranges is meant")]
    fn ranges_are_merged_cut_and_met() {
        let mut ranges = merged(&[&[10..20, 30..40], &[15..25], &[40..41]]);
        assert_eq!(ranges, [10..25, 30..41]);
        assert_eq!(intersection(&ranges, &[0..12, 24..31]), [10..12, 24..25, 30..31]);
        assert_eq!(split_off(&mut ranges, 20), [35..41]);
        assert_eq!(ranges, [10..25, 30..35]);
        assert_eq!(split_off(&mut ranges, 15), [30..35]);
        assert_eq!(split_off(&mut ranges, 15), []);
    }
}
