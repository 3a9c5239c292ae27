//! Who has which blocks.

use std::collections::BTreeSet;
use std::ops::Range;

use metadata::FileKind;
use storage::WriteAt;

use super::BlockKind;
use crate::error::{Error, Result};
use crate::filesystem::FileSystem;
use crate::group::{Group, Part};
use crate::inode::Fork;

/// Who has blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The file system itself.
    Own,
    /// A file.
    Inode(u64),
}

/// Blocks that somebody has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    start: u64,
    end: u64,
    pub(super) kind: BlockKind,
    pub(super) owner: Owner,
}

/// A state of a file system: who has blocks, of those who may differ, and what is free.
#[derive(Default)]
pub(super) struct State {
    claims: Vec<Claim>,
    pub(super) free: Vec<Range<u64>>,
    /// Blocks that several files have, and how many.
    shared: Vec<(Range<u64>, u64)>,
    /// Inodes in use.
    pub(super) used: BTreeSet<u64>,
    /// What the groups count: free blocks, inodes, free inodes.
    pub(super) counts: [u64; 3],
}

impl State {
    /// Reads all groups, and the files that may differ.
    pub(super) fn of<S: WriteAt>(filesystem: &FileSystem<S>, may_differ: &dyn Fn(u64) -> bool) -> Result<Self> {
        let superblock = &filesystem.superblock;
        let mut state = Self::default();
        for number in 0..superblock.groups() {
            let group = Group::read(superblock, number, &filesystem.storage)?;
            let first = u64::from(number) * u64::from(superblock.raw.sb_agblocks.get());
            let run = |start: u32, blocks: u32| {
                let start = first + u64::from(start);
                start..start + u64::from(blocks)
            };
            for (count, counted) in state.counts.iter_mut().zip(group.counts()) {
                *count += counted;
            }
            state.free.extend(group.free_runs().map(|free| run(free.start, free.blocks)));
            state.shared.extend(group.shared_runs().map(|part| (run(part.start, part.blocks), part.count.into())));
            let mut claim = |blocks: Range<u64>, kind| {
                state.claims.push(Claim { start: blocks.start, end: blocks.end, kind, owner: Owner::Own });
            };
            claim(run(0, superblock.header_blocks()), BlockKind::Headers);
            group.own_blocks(&mut |block, part| {
                let kind = match part {
                    Part::FreeSpace => BlockKind::FreeSpace,
                    Part::Inodes => BlockKind::InodeIndex,
                    Part::Owners => BlockKind::Owners,
                    Part::Shared => BlockKind::SharedBlocks,
                };
                claim(run(block, 1), kind);
            });
            for within in group.inodes_there() {
                let block = within / u32::from(superblock.raw.sb_inopblock.get());
                if within % u32::from(superblock.raw.sb_inopblock.get()) == 0 {
                    claim(run(block, 1), BlockKind::Inodes);
                }
            }
            state.used.extend(group.inodes_in_use().map(|within| superblock.inode(number, within)));
        }
        if let Some(offset) = superblock.offset(superblock.raw.sb_logstart.get()) {
            let start = offset / filesystem.block_bytes();
            let end = start + u64::from(superblock.raw.sb_logblocks.get());
            state.claims.push(Claim { start, end, kind: BlockKind::Log, owner: Owner::Own });
        }
        for &number in &state.used {
            if may_differ(number) {
                claims_of(filesystem, number, &mut state.claims)?;
            }
        }
        Ok(state)
    }

    /// How many files have a block, if several do.
    pub(super) fn shared(&self, block: u64) -> u64 {
        let index = self.shared.partition_point(|(run, _)| run.end <= block);
        self.shared.get(index).filter(|(run, _)| run.start <= block).map_or(0, |(_, count)| *count)
    }

    /// The claims as blocks are looked at in order.
    pub(super) fn sweep(&self) -> Sweep {
        Sweep::new(self.claims.clone())
    }
}

/// Claims on blocks that are asked for in order.
pub(super) struct Sweep {
    claims: Vec<Claim>,
    next: usize,
    active: Vec<Claim>,
}

impl Sweep {
    fn new(mut claims: Vec<Claim>) -> Self {
        claims.sort_by_key(|claim| claim.start);
        Self { claims, next: 0, active: Vec::new() }
    }

    /// Who has a block, which is not in front of the one that was asked for last.
    pub(super) fn at(&mut self, block: u64) -> Vec<Claim> {
        while let Some(claim) = self.claims.get(self.next).filter(|claim| claim.start <= block) {
            self.active.push(*claim);
            self.next += 1;
        }
        self.active.retain(|claim| claim.end > block);
        self.active.clone()
    }
}

/// Adds the blocks that a file has.
fn claims_of<S: WriteAt>(filesystem: &FileSystem<S>, number: u64, claims: &mut Vec<Claim>) -> Result<()> {
    let inode = filesystem.inode(number)?;
    let content = if inode.kind()? == FileKind::Directory { BlockKind::Directory } else { BlockKind::Data };
    for (fork, kind) in [(Fork::Data, content), (Fork::Attributes, BlockKind::Attributes)] {
        if fork == Fork::Attributes && !inode.has_attribute_fork() {
            continue;
        }
        let map = filesystem.read_map(&inode, fork)?;
        let mut claim = |start: u64, blocks: u64, kind| -> Result<()> {
            let start = filesystem.offset(start)? / filesystem.block_bytes();
            claims.push(Claim { start, end: start + blocks, kind, owner: Owner::Inode(number) });
            Ok(())
        };
        map.extents.iter().try_for_each(|extent| claim(extent.start, extent.blocks, kind))?;
        map.tree.iter().try_for_each(|block| claim(*block, 1, BlockKind::Map))?;
    }
    Ok(())
}

/// What the files have that `fits` wants, and the files that are damaged: what those have is not known.
pub(super) fn all_files<S: WriteAt>(
    filesystem: &FileSystem<S>,
    state: &State,
    fits: &dyn Fn(u64) -> bool,
) -> Result<(Sweep, BTreeSet<u64>)> {
    let (mut claims, mut damaged) = (Vec::new(), BTreeSet::new());
    for &number in state.used.iter().filter(|number| fits(**number)) {
        match claims_of(filesystem, number, &mut claims) {
            Err(error @ Error::Storage(_)) => return Err(error),
            Err(_) => drop(damaged.insert(number)),
            Ok(()) => {}
        }
    }
    Ok((Sweep::new(claims), damaged))
}

/// The parts of two lists of sorted ranges that are in one of them only, up to `end`.
pub(super) fn in_one_only(one: &[Range<u64>], two: &[Range<u64>], end: u64) -> Vec<Range<u64>> {
    let mut edges: Vec<(u64, bool)> = Vec::new();
    for (list, which) in [(one, false), (two, true)] {
        for range in list {
            edges.extend([range.start, range.end].map(|edge| (edge.min(end), which)));
        }
    }
    edges.sort_unstable();
    let (mut inside, mut found) = ([false; 2], Vec::new());
    for (index, (edge, which)) in edges.iter().enumerate() {
        inside[usize::from(*which)] ^= true;
        let next = edges.get(index + 1).map_or(*edge, |(next, _)| *next);
        if inside[0] != inside[1] && *edge < next {
            found.push(*edge..next);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::in_one_only;

    #[test]
    fn parts_that_are_in_one_list_only_are_found() {
        let one = [2..5, 8..10, 20..30];
        let two = [2..4, 9..12, 25..26];
        assert_eq!(in_one_only(&one, &two, 100), [4..5, 8..9, 10..12, 20..25, 26..30]);
        assert_eq!(in_one_only(&one, &two, 22), [4..5, 8..9, 10..12, 20..22]);
        assert_eq!(in_one_only(&one, &one, 100), []);
    }
}
