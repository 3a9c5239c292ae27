//! The account of what differs on an XFS, in its blocks.

use std::collections::BTreeSet;
use std::ops::Range;

use metadata::Side;
use storage::Printable;
use xfs::{BlockKind, Expectations, Object};

use super::engine::{Engine, node};
use crate::diff::{self, Accounted, Count, Explanation, UnexplainedPlace, VolumeAccount, ranges};
use crate::file_system::{FileSystem, Result};

/// Accounts for what differs in the bytes `within`; `image` is `new`, in which names are looked for.
pub(super) fn account(
    old: &Engine,
    new: &Engine,
    image: &dyn FileSystem,
    within: &[Range<u64>],
    explanation: &Explanation<'_>,
) -> Result<Accounted> {
    let superblock = new.superblock();
    let block_size_bytes = superblock.block_size_bytes();
    let blocks = ranges::in_blocks(within, u64::from(block_size_bytes), superblock.blocks());
    let inode = |side, number| {
        let side = match side {
            Side::Old => diff::Side::Base,
            Side::New => diff::Side::Image,
        };
        explanation.expected(side, &node(number))
    };
    let account = xfs::account(old, new, &blocks, &Expectations { inode: &inode, is_strict: explanation.is_strict() })?;
    let number_of = |object: &Object| match object {
        Object::Inode(number) => Some(*number),
        _ => None,
    };
    let wanted: BTreeSet<u64> = account.unexplained.iter().filter_map(|place| number_of(&place.object)).collect();
    let names = diff::names_of(image, &wanted)?;
    let mut unexplained_blocks = account.unexplained_blocks;
    let mut unexplained = Vec::new();
    for place in account.unexplained {
        let mut owner = place.object.to_string();
        if let Some(name) = number_of(&place.object).and_then(|number| names.get(&number)) {
            owner.push_str(&format!(" (`{}`)", Printable(name)));
        }
        unexplained.push(UnexplainedPlace::of(place.blocks, owner, place.problem));
    }
    if old.superblock().blocks() == superblock.blocks() {
        let end = superblock.blocks() * u64::from(block_size_bytes);
        let (count, place) = diff::past_the_end(within, end, block_size_bytes, explanation);
        unexplained_blocks += count;
        unexplained.extend(place);
    }
    let count = |kind| account.blocks.get(&kind).copied().unwrap_or(0);
    let (data_blocks, free_blocks) = (count(BlockKind::Data), count(BlockKind::Free));
    let account = VolumeAccount {
        volume: String::new(),
        block_size_bytes,
        inodes: account.inodes,
        metadata_blocks: account.blocks.values().sum::<u64>() - data_blocks - free_blocks,
        data_blocks,
        free_blocks,
        recovered_blocks: 0,
        unexplained_blocks,
        kinds: account.blocks.iter().map(|(kind, &blocks)| Count { kind: kind.name(), blocks }).collect(),
        is_remade: account.is_remade,
    };
    Ok(Accounted { account, unexplained })
}
