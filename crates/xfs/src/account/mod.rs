//! An account of every block that differs between two states of a file system: what the block is, and whether a known
//! change explains it.
//!
//! Who has a block now, and who had it before, explains it. Only files that may differ have blocks here: a block that
//! differs and that none of them has is not explained. Nor is one that became free, or was taken, without one of them.
//!
//! Worked example: `/etc/motd` is replaced. Its inode may differ, so its old and its new block are claimed, and so
//! are the blocks of the trees of free space, the headers of the group, and the super block, in which only counts may
//! differ. In the block of its inode there are seven others, which may not.

mod claims;
mod fields;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use metadata::{Expected, Side};
use storage::{ReadAt, WriteAt};

use crate::error::{Object, Result};
use crate::filesystem::FileSystem;
use crate::superblock::Superblock;
use claims::{Claim, Owner, State, Sweep};

/// The most unexplained places that are listed; all are counted.
const MAX_UNEXPLAINED: usize = 1000;

/// What is known of a change.
pub struct Expectations<'a> {
    /// In what an inode may differ; numbers may stand for another file in each state.
    pub inode: &'a dyn Fn(Side, u64) -> Expected,
    /// Whether this crate alone made the change. If not, the file system's own fields may differ, and so may its log.
    pub is_strict: bool,
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKind {
    /// The headers of an allocation group, the super block or a copy of it among them.
    Headers,
    /// Trees of free space, and blocks that are kept for them.
    FreeSpace,
    /// Trees of inodes.
    InodeIndex,
    /// The tree of owners.
    Owners,
    /// The tree of shared blocks.
    SharedBlocks,
    /// Inodes.
    Inodes,
    /// A directory's names and its index.
    Directory,
    /// A file's block map.
    Map,
    /// Extended attributes.
    Attributes,
    /// The log.
    Log,
    /// A file's content.
    Data,
    /// Not in use now.
    Free,
}

impl BlockKind {
    /// Its name, of words and hyphens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Headers => "group-headers",
            Self::FreeSpace => "free-space",
            Self::InodeIndex => "inode-index",
            Self::Owners => "owners",
            Self::SharedBlocks => "shared-blocks",
            Self::Inodes => "inodes",
            Self::Directory => "directory",
            Self::Map => "block-map",
            Self::Attributes => "attributes",
            Self::Log => "log",
            Self::Data => "data",
            Self::Free => "free",
        }
    }
}

/// Blocks that differ and should not, or not in this way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexplained {
    /// The blocks, counted from the start of the file system.
    pub blocks: Range<u64>,
    /// Whose they are.
    pub object: Object,
    /// What differs.
    pub problem: String,
}

/// The account of what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Inodes that differ.
    pub inodes: u64,
    /// Explained blocks by what they are.
    pub blocks: BTreeMap<BlockKind, u64>,
    /// Unexplained blocks.
    pub unexplained_blocks: u64,
    /// Where they are and why.
    pub unexplained: Vec<Unexplained>,
    /// Whether this is another file system, made in place of the old one: nothing in the old one explains anything.
    pub is_remade: bool,
}

/// Accounts for `differing`, the blocks that differ between `old` and `new`: sorted ranges that do not overlap, of
/// blocks counted from the start. A block in it that does not differ counts as one that does.
///
/// Both have been flushed. `new` may have grown.
///
/// # Errors
///
/// [`Error::Corrupt`](crate::Error::Corrupt) if a group, or a file that may differ, breaks a rule;
/// [`Error::Storage`](crate::Error::Storage).
pub fn account<A: WriteAt, B: WriteAt>(
    old: &FileSystem<A>,
    new: &FileSystem<B>,
    differing: &[Range<u64>],
    expectations: &Expectations<'_>,
) -> Result<Account> {
    let is_remade = !is_same_layout(&old.superblock, &new.superblock);
    let may_differ = |side| move |number| is_remade || (expectations.inode)(side, number) != Expected::Nothing;
    let before = if is_remade { State::default() } else { State::of(old, &may_differ(Side::Old))? };
    let after = State::of(new, &may_differ(Side::New))?;
    let account = Account { is_remade, ..Account::default() };
    let mut accountant =
        Accountant { old, new, before, after, expectations, account, inodes: BTreeSet::new(), strangers: [None, None] };
    accountant.run(differing)?;
    accountant.account.inodes = accountant.inodes.len() as u64;
    Ok(accountant.account)
}

impl<S: WriteAt> FileSystem<S> {
    /// The inodes that are in these blocks, or have one of them, or may have: sorted ranges of blocks counted from
    /// the start.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) if a group breaks a rule; [`Error::Storage`](crate::Error::Storage).
    pub fn inodes_in(&self, blocks: &[Range<u64>]) -> Result<BTreeSet<u64>> {
        let state = State::of(self, &|_| false)?;
        let (mut files, mut found) = claims::all_files(self, &state, &|_| true)?;
        let inside = state.used.iter().copied().filter(|number| {
            let block = self.superblock.inode_offset(*number).unwrap_or(0) / self.block_bytes();
            let index = blocks.partition_point(|range| range.end <= block);
            blocks.get(index).is_some_and(|range| range.start <= block)
        });
        found.extend(inside);
        for block in blocks.iter().cloned().flatten() {
            found.extend(files.at(block).into_iter().filter_map(|claim| match claim.owner {
                Owner::Inode(number) => Some(number),
                Owner::Own => None,
            }));
        }
        Ok(found)
    }
}

/// Whether groups and inodes are in the same places.
fn is_same_layout(old: &Superblock, new: &Superblock) -> bool {
    let layout = |superblock: &Superblock| {
        let raw = &superblock.raw;
        (
            (raw.sb_blocksize.get(), raw.sb_agblocks.get(), raw.sb_inodesize.get(), raw.sb_sectsize.get()),
            (raw.sb_logstart.get(), raw.sb_rootino.get(), superblock.metadata_uuid()),
        )
    };
    layout(old) == layout(new)
}

struct Accountant<'a, A, B> {
    old: &'a FileSystem<A>,
    new: &'a FileSystem<B>,
    before: State,
    after: State,
    expectations: &'a Expectations<'a>,
    account: Account,
    /// Inodes that differ.
    inodes: BTreeSet<u64>,
    /// What files have that may not differ, by side.
    strangers: [Option<Sweep>; 2],
}

impl<A: WriteAt, B: WriteAt> Accountant<'_, A, B> {
    fn run(&mut self, differing: &[Range<u64>]) -> Result<()> {
        let mut left: Vec<Range<u64>> = differing.to_vec();
        if !self.account.is_remade {
            self.inodes_taken_and_given();
            self.counts();
            left.extend(claims::in_one_only(&self.before.free, &self.after.free, self.old.superblock.blocks()));
        }
        left.sort_by_key(|range| range.start);
        let (mut before, mut after) = (self.before.sweep(), self.after.sweep());
        let (mut next, mut differing) = (0, differing.iter().peekable());
        for block in left.into_iter().flatten() {
            if block < next {
                continue;
            }
            next = block + 1;
            while differing.next_if(|range| range.end <= block).is_some() {}
            let differs = differing.peek().is_some_and(|range| range.start <= block);
            let (old, new) = (before.at(block), after.at(block));
            self.block(block, differs, &old, &new)?;
        }
        Ok(())
    }

    /// Accounts for a block: `old` and `new` are those who have it.
    fn block(&mut self, block: u64, differs: bool, old: &[Claim], new: &[Claim]) -> Result<()> {
        let is_free = |free: &[Range<u64>]| {
            let index = free.partition_point(|run| run.end <= block);
            free.get(index).is_some_and(|run| run.start <= block)
        };
        let was_there = block < self.old.superblock.blocks() && !self.account.is_remade;
        let (was_free, is_free) = (!was_there || is_free(&self.before.free), is_free(&self.after.free));
        let kind = match new.first() {
            Some(claim) => claim.kind,
            None if is_free => BlockKind::Free,
            None => return self.stranger(block, Side::New),
        };
        if old.is_empty() && !was_free {
            return self.stranger(block, Side::Old);
        }
        for (side, claims) in [(Side::Old, old), (Side::New, new)] {
            let state = if side == Side::Old { &self.before } else { &self.after };
            let files = claims.iter().filter(|claim| matches!(claim.owner, Owner::Inode(_))).count() as u64;
            if differs && files > 0 && files < state.shared(block) {
                return self.stranger(block, side);
            }
        }
        if !differs {
            return Ok(());
        }
        let problems_before = self.account.unexplained_blocks;
        match (kind, new.first().map(|claim| claim.owner)) {
            (BlockKind::Headers, _) => self.headers(block)?,
            (BlockKind::Log, _) if self.expectations.is_strict => self.unexplained(block, Object::Log, "it differs"),
            (BlockKind::Inodes, _) => self.inodes_of(block)?,
            (_, Some(Owner::Inode(number))) => drop(self.inodes.insert(number)),
            _ => {}
        }
        if self.account.unexplained_blocks == problems_before {
            *self.account.blocks.entry(kind).or_default() += 1;
        }
        Ok(())
    }

    /// A block that no file that may differ has: says whose it is.
    fn stranger(&mut self, block: u64, side: Side) -> Result<()> {
        let fits = |number| (self.expectations.inode)(side, number) == Expected::Nothing;
        let strangers = &mut self.strangers[usize::from(side == Side::New)];
        // Only if something is wrong are all files looked at, and once.
        let sweep = match strangers {
            Some(sweep) => sweep,
            None => strangers.insert(match side {
                Side::Old => claims::all_files(self.old, &self.before, &fits)?.0,
                Side::New => claims::all_files(self.new, &self.after, &fits)?.0,
            }),
        };
        let owner = sweep.at(block).into_iter().find_map(|claim| match claim.owner {
            Owner::Inode(number) => Some(number),
            Owner::Own => None,
        });
        match (owner, side) {
            (Some(number), Side::New) => self.unexplained(block, Object::Inode(number), "its blocks differ"),
            (Some(number), Side::Old) => {
                self.unexplained(block, Object::Inode(number), "the block belonged to it before");
            }
            (None, Side::New) => self.unexplained(block, Object::Nobody, "the block is neither free nor anybody's"),
            (None, Side::Old) => {
                self.unexplained(block, Object::Nobody, "the block was neither free nor anybody's before");
            }
        }
        Ok(())
    }

    fn unexplained(&mut self, block: u64, object: Object, problem: impl Into<String>) {
        let problem = problem.into();
        self.account.unexplained_blocks += 1;
        if let Some(last) = self.account.unexplained.last_mut()
            && last.blocks.end == block
            && (last.object, &last.problem) == (object, &problem)
        {
            last.blocks.end += 1;
        } else if self.account.unexplained.len() < MAX_UNEXPLAINED {
            self.account.unexplained.push(Unexplained { blocks: block..block + 1, object, problem });
        }
    }

    /// Inodes that were taken or given back must be such that may differ.
    fn inodes_taken_and_given(&mut self) {
        let both = self.before.used.symmetric_difference(&self.after.used);
        let wrong: Vec<u64> = both
            .copied()
            .filter(|number| {
                let side = if self.before.used.contains(number) { Side::Old } else { Side::New };
                (self.expectations.inode)(side, *number) == Expected::Nothing
            })
            .collect();
        for number in wrong {
            let block = self.new.superblock.inode_offset(number).unwrap_or(0) / self.new.block_bytes();
            let is_used = self.after.used.contains(&number);
            self.unexplained(block, Object::Inode(number), if is_used { "it is in use now" } else { "it is free now" });
        }
    }

    /// The counts of the super block are those of the groups, if they were so before.
    fn counts(&mut self) {
        let counted = |superblock: &Superblock| {
            [&superblock.raw.sb_fdblocks, &superblock.raw.sb_icount, &superblock.raw.sb_ifree].map(|field| field.get())
        };
        if counted(&self.old.superblock) == self.before.counts {
            let (found, expected) = (counted(&self.new.superblock), self.after.counts);
            if found != expected {
                let problem = format!("free blocks, inodes, free inodes: {found:?}, expected {expected:?}");
                self.unexplained(0, Object::Superblock, problem);
            }
        }
    }

    /// The headers of a group, or a part of them.
    fn headers(&mut self, block: u64) -> Result<()> {
        let group_blocks = u64::from(self.new.superblock.raw.sb_agblocks.get());
        if !self.expectations.is_strict || self.account.is_remade || !block.is_multiple_of(group_blocks) {
            return Ok(());
        }
        let is_grown = self.new.superblock.blocks() != self.old.superblock.blocks();
        if block > 0 && is_grown {
            return Ok(());
        }
        let (old, new) = (self.old.superblock_at(block)?, self.new.superblock_at(block)?);
        let may_differ: &[&str] = match (block, is_grown) {
            (0, true) => &fields::COUNTS_AND_SIZES,
            (0, false) => &fields::COUNTS_AND_SIZES[..fields::COUNTS],
            _ => &[],
        };
        for field in fields::differing(&old, &new, &fields::SUPERBLOCK) {
            if !may_differ.contains(&field) {
                self.unexplained(block, Object::Superblock, format!("{field} differs"));
            }
        }
        Ok(())
    }

    /// Inodes in a block.
    fn inodes_of(&mut self, block: u64) -> Result<()> {
        let (size, length) = (self.new.block_bytes(), self.new.superblock.inode_bytes());
        let mut after = vec![0; size as usize];
        self.new.storage.read_at(block * size, &mut after)?;
        let mut before = vec![0; size as usize];
        if block < self.old.superblock.blocks() {
            self.old.storage.read_at(block * size, &mut before)?;
        }
        let first = self.new.superblock.inode_at(block * size);
        let mut problem = None;
        for (index, (old, new)) in before.chunks_exact(length).zip(after.chunks_exact(length)).enumerate() {
            let number = first + index as u64;
            if old == new {
                continue;
            }
            let uses =
                [(Side::Old, self.before.used.contains(&number)), (Side::New, self.after.used.contains(&number))];
            let expected = uses.iter().filter(|(_, is_used)| *is_used);
            let expected = expected.map(|(side, _)| (self.expectations.inode)(*side, number)).max();
            let is_kept = uses.iter().all(|(_, is_used)| *is_used);
            let found = match expected {
                // In use neither before nor now.
                None => continue,
                Some(_) if self.account.is_remade => None,
                Some(Expected::Nothing) => Some("it differs".to_owned()),
                Some(expected) if is_kept => fields::inode_problem(old, new, expected),
                Some(_) => None,
            };
            self.inodes.insert(number);
            problem = problem.or(found.map(|found| (number, found)));
        }
        if let Some((number, found)) = problem {
            self.unexplained(block, Object::Inode(number), found);
        }
        Ok(())
    }
}
