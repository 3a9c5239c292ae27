//! What uses each block, as a list that can be searched.

use std::ops::Range;

use crate::usage::{Owner, Role, Usage};

/// The most owners that are noted for blocks that must not be shared. They are shared in damaged file systems, and with
/// `shared_blocks`, which is never written here. Without a limit, n files with the same blocks would take n * n notes.
const MAX_OWNERS: usize = 16;

/// Blocks that have the same owners.
#[derive(Debug)]
struct Segment {
    blocks: Range<u64>,
    owners: Vec<Owner>,
}

/// What owns each block, in the order of the blocks; a block without an owner is not listed.
#[derive(Debug, Default)]
pub(super) struct Owners(Vec<Segment>);

impl Owners {
    /// From usages in any order, which may overlap.
    pub(super) fn new(mut usages: Vec<Usage>) -> Self {
        usages.sort_by_key(|usage| usage.blocks.start);
        let mut segments = Vec::new();
        let mut active: Vec<(u64, Owner)> = Vec::new();
        let mut usages = usages.into_iter().peekable();
        let mut at = 0;
        while let Some(start) = if active.is_empty() { usages.peek().map(|next| next.blocks.start) } else { Some(at) } {
            at = start;
            while let Some(next) = usages.next_if(|next| next.blocks.start == at) {
                // Many inodes may share a block of attributes, but each of them shares all of it.
                let may_be_shared = matches!(next.owner, Owner::Inode { role: Role::Attributes, .. });
                if may_be_shared || active.len() < MAX_OWNERS {
                    active.push((next.blocks.end, next.owner));
                }
            }
            let next_start = usages.peek().map_or(u64::MAX, |next| next.blocks.start);
            let end = active.iter().map(|&(end, _)| end).fold(next_start, u64::min);
            if end > at {
                segments.push(Segment { blocks: at..end, owners: active.iter().map(|&(_, owner)| owner).collect() });
            }
            at = end;
            active.retain(|&(end, _)| end > at);
        }
        Self(segments)
    }

    /// The owners of `block`, and the first block after it that has other owners.
    pub(super) fn at(&self, block: u64) -> (&[Owner], u64) {
        let index = self.0.partition_point(|segment| segment.blocks.end <= block);
        match self.0.get(index) {
            Some(segment) if segment.blocks.start <= block => (&segment.owners, segment.blocks.end),
            Some(segment) => (&[], segment.blocks.start),
            None => (&[], u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_blocks_have_all_their_owners() {
        let usage = |blocks: Range<u64>, group| Usage { blocks, owner: Owner::BlockBitmap { group } };
        let owners = Owners::new(vec![usage(10..20, 1), usage(5..6, 0), usage(15..25, 2), usage(15..16, 3)]);
        let groups = |block| {
            let (owners, end) = owners.at(block);
            let group = |owner: &Owner| match owner {
                Owner::BlockBitmap { group } => *group,
                _ => unreachable!("there are no others"),
            };
            (owners.iter().map(group).collect::<Vec<_>>(), end)
        };
        assert_eq!(groups(0), (vec![], 5));
        assert_eq!(groups(5), (vec![0], 6));
        assert_eq!(groups(12), (vec![1], 15));
        assert_eq!(groups(15), (vec![1, 2, 3], 16));
        assert_eq!(groups(16), (vec![1, 2], 20));
        assert_eq!(groups(24), (vec![2], 25));
        assert_eq!(groups(25), (vec![], u64::MAX));
    }

    /// Attribute blocks may be shared: none of their owners is left out, whatever else claims the block.
    #[test]
    fn of_blocks_that_nobody_may_share_a_limited_number_of_owners_is_noted() {
        let usage = |role: Role, number: u32| Usage {
            blocks: 10..20,
            owner: Owner::Inode { number: crate::InodeNumber(number), role },
        };
        let of = |role: Role, count: u32| Owners::new((1..=count).map(|number| usage(role, number)).collect());
        for (count, noted) in [(15, 15), (16, 16), (17, 16), (5000, 16)] {
            assert_eq!(of(Role::Content, count).at(10).0.len(), noted, "{count}");
            assert_eq!(of(Role::Attributes, count).at(10).0.len(), count as usize);
        }
        let mut mixed: Vec<Usage> = (1..=40).map(|number| usage(Role::Content, number)).collect();
        mixed.push(usage(Role::Attributes, 41));
        assert_eq!(Owners::new(mixed).at(19).0.last(), Some(&usage(Role::Attributes, 41).owner));
        // Where one ends there is room for another.
        let mut later: Vec<Usage> = (1..=20).map(|number| usage(Role::Content, number)).collect();
        later.push(Usage { blocks: 20..21, owner: usage(Role::Content, 99).owner });
        assert_eq!(Owners::new(later).at(20), (&[usage(Role::Content, 99).owner][..], 21));
    }
}
