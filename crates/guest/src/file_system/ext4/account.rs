//! The account of what differs on an ext4, in its blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ext4::{Expectations, InodeNumber, Object};
use storage::Printable;

use super::{Engine, node};
use crate::diff::{Accounted, Count, Explanation, Side, UnexplainedPlace, VolumeAccount, ranges};

/// Accounts for what differs in the bytes `within`.
pub(super) fn account(
    old: &Engine,
    new: &Engine,
    within: &[Range<u64>],
    explanation: &Explanation<'_>,
) -> ext4::Result<Accounted> {
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
    let wanted: BTreeSet<InodeNumber> =
        account.unexplained.iter().filter_map(|place| inode_of(&place.object)).collect();
    let names = names_of(new, &wanted)?;
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
    let end = superblock.blocks() * u64::from(block_size_bytes);
    let past = ranges::clipped(within, &(end..u64::MAX));
    if let (Some(first), true) =
        (past.first(), explanation.is_strict() && old.superblock().blocks() == superblock.blocks())
    {
        unexplained_blocks += ranges::length(&past).div_ceil(u64::from(block_size_bytes));
        let blocks = ranges::blocks_of(first, u64::from(block_size_bytes));
        unexplained.push(UnexplainedPlace::of(blocks, "after the file system", "bytes that belong to nothing differ"));
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

fn inode_of(object: &Object) -> Option<InodeNumber> {
    match object {
        Object::Inode(number) => Some(*number),
        _ => None,
    }
}

/// A path of each of the inodes that has one.
fn names_of(engine: &Engine, wanted: &BTreeSet<InodeNumber>) -> ext4::Result<BTreeMap<InodeNumber, Vec<u8>>> {
    let mut names = BTreeMap::new();
    let mut seen = ext4::InodeSet::default();
    let mut left = vec![(InodeNumber::ROOT, Vec::new())];
    while let Some((directory, path)) = left.pop() {
        if names.len() == wanted.len() || !seen.insert(directory) {
            continue;
        }
        if wanted.contains(&directory) {
            names.insert(directory, [&path[..], b"/"].concat());
        }
        let entries = match engine.read_directory(directory) {
            Ok(entries) => entries,
            Err(error @ ext4::Error::Storage(_)) => return Err(error),
            Err(_) => continue,
        };
        for entry in entries {
            let child = [&path[..], b"/", &entry.name].concat();
            if entry.kind == Some(ext4::FileKind::Directory) {
                left.push((entry.inode, child));
            } else if wanted.contains(&entry.inode) {
                names.insert(entry.inode, child);
            }
        }
    }
    Ok(names)
}
