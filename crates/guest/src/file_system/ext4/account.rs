//! The account of what differs on an ext4, in its blocks.

use std::collections::BTreeSet;
use std::ops::Range;

use ext4::{Expectations, Object};
use storage::Printable;

use super::{Engine, node};
use crate::diff::{self, Accounted, Count, Explanation, Side, UnexplainedPlace, VolumeAccount, ranges};
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
            ext4::Side::Old => Side::Base,
            ext4::Side::New => Side::Image,
        };
        explanation.expected(side, &node(number))
    };
    let expectations = Expectations { inode: &inode, is_strict: explanation.is_strict() };
    let account = ext4::account(old, new, &blocks, &expectations)?;
    let mut unexplained_blocks = account.unexplained_blocks;
    let wanted: BTreeSet<u64> = account.unexplained.iter().filter_map(|place| inode_of(&place.object)).collect();
    let names = diff::names_of(image, &wanted)?;
    let mut unexplained = Vec::new();
    for place in &account.unexplained {
        let mut owner = place.object.to_string();
        if let Some(name) = inode_of(&place.object).and_then(|number| names.get(&number)) {
            owner.push_str(&format!(" (`{}`)", Printable(name)));
        }
        let problem = place.problem.clone();
        unexplained.push(UnexplainedPlace::of(place.blocks.clone(), owner, problem));
    }
    // In front of the super block is room for a boot loader; after the last block there is nothing.
    if old.superblock().blocks() == superblock.blocks() {
        let end = superblock.blocks() * u64::from(block_size_bytes);
        let (count, place) = diff::past_the_end(within, end, block_size_bytes, explanation);
        unexplained_blocks += count;
        unexplained.extend(place);
    }
    let kinds = account.blocks.iter().map(|(kind, &blocks)| Count { kind: kind.name(), blocks });
    let account = VolumeAccount {
        volume: String::new(),
        block_size_bytes,
        inodes: account.inodes,
        metadata_blocks: account.metadata_blocks(),
        data_blocks: account.data_blocks(),
        free_blocks: account.free_blocks(),
        recovered_blocks: 0,
        unexplained_blocks,
        kinds: kinds.collect(),
        is_remade: account.is_remade,
    };
    Ok(Accounted { account, unexplained })
}

fn inode_of(object: &Object) -> Option<u64> {
    match object {
        Object::Inode(number) => Some(number.0.into()),
        _ => None,
    }
}
