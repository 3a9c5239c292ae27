//! The account of what differs on a FAT, in sectors.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use fat::{Owner, Usage};
use storage::Printable;

use super::{Engine, Fat};
use crate::diff::{
    Accounted, Count, Expected, Explanation, SECTOR_BYTES, Side, UnexplainedPlace, VolumeAccount, ranges,
};
use crate::file_system::{FileSystem, Node};

/// The most unexplained sectors that are listed; all are counted.
const MAX_UNEXPLAINED: usize = 1000;

/// Who has which bytes, in the order of the bytes.
struct Owners(Vec<Usage>);

impl Owners {
    fn of(engine: &Engine) -> Result<Self, fat::Error> {
        let mut usages = Vec::new();
        engine.walk_uses(&mut |usage| usages.push(usage))?;
        usages.sort_by_key(|usage| usage.bytes.start);
        Ok(Self(usages))
    }

    fn at(&self, offset: u64) -> Option<&Owner> {
        let index = self.0.partition_point(|usage| usage.bytes.end <= offset);
        self.0.get(index).filter(|usage| usage.bytes.start <= offset).map(|usage| &usage.owner)
    }
}

/// Accounts for the sectors in `within`.
pub(super) fn account(
    old: &Fat,
    new: &Fat,
    within: &[Range<u64>],
    explanation: &Explanation<'_>,
) -> Result<Accounted, fat::Error> {
    let may_differ = |side, path: &[u8]| {
        let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        let node = Node::Names(names.map(|name| new.folded(name)).collect());
        explanation.expected(side, &node) != Expected::Nothing
    };
    let (old, new) = (&old.engine, &new.engine);
    let (before, after) = (Owners::of(old)?, Owners::of(new)?);
    let mut kinds: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut files, mut unexplained) = (BTreeSet::new(), Vec::new());
    let mut account = VolumeAccount { block_size_bytes: SECTOR_BYTES as u32, ..VolumeAccount::default() };
    account.is_remade = !old.has_layout_of(new);
    for sector in ranges::in_blocks(within, SECTOR_BYTES, u64::MAX).into_iter().flatten() {
        let bytes = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
        let (owner, old_owner) = (after.at(bytes.start), before.at(bytes.start));
        let mut problem = None;
        for (side, owner) in [(Side::Base, old_owner), (Side::Image, owner)] {
            if let Some(Owner::File { path } | Owner::Directory { path }) = owner {
                files.insert(path.clone());
                if !account.is_remade && !may_differ(side, path) {
                    problem = Some((format!("`/{}`", Printable(path)), "its content differs".to_owned()));
                }
            }
        }
        let kind = match owner {
            Some(Owner::Boot) => {
                let is_info = new.is_info_sector(bytes.start)?;
                if explanation.is_strict() && !is_info {
                    problem = Some(("boot sectors".to_owned(), "they differ".to_owned()));
                }
                "boot"
            }
            Some(Owner::Table) => {
                for cluster in new.differing_links(old, bytes.clone())? {
                    let owners = [
                        (Side::Base, before.at(new.offset_of(cluster))),
                        (Side::Image, after.at(new.offset_of(cluster))),
                    ];
                    let is_expected = owners.iter().any(|(side, owner)| match owner {
                        Some(Owner::File { path } | Owner::Directory { path }) => may_differ(*side, path),
                        _ => false,
                    });
                    if !is_expected && explanation.is_strict() {
                        problem =
                            Some(("file allocation table".to_owned(), format!("entry of cluster {cluster} differs")));
                    }
                }
                "fat"
            }
            Some(Owner::Directory { .. }) => "directory",
            Some(Owner::File { .. }) => "data",
            None => "free",
        };
        match problem {
            None => *kinds.entry(kind).or_default() += 1,
            Some((owner, problem)) => {
                account.unexplained_blocks += 1;
                unexplained.push(UnexplainedPlace::of(sector..sector + 1, owner, problem));
            }
        }
    }
    let count = |kind: &str| kinds.get(kind).copied().unwrap_or(0);
    (account.data_blocks, account.free_blocks) = (count("data"), count("free"));
    account.metadata_blocks = kinds.values().sum::<u64>() - account.data_blocks - account.free_blocks;
    account.inodes = files.len() as u64;
    account.kinds = kinds.into_iter().map(|(kind, blocks)| Count { kind, blocks }).collect();
    unexplained.truncate(MAX_UNEXPLAINED);
    Ok(Accounted { account, unexplained })
}
