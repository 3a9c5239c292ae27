//! The account of what differs: each block is explained by a file that a comparison lists, or by an edit that was asked
//! for, or it is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use storage::{Printable, WriteAt};

use super::touched::{Files, Listed};
use super::{OutsideChange, SECTOR_BYTES, Side, View, is_same_place, places, ranges};
use crate::error::Error;
use crate::file_system::{Child, FileSystem, FileSystemError, FileSystemProblem, Node, NodeSet};
use crate::guest::Guest;
use crate::metadata::FileKind;
use crate::volume::Volume;

pub use ::metadata::Expected;

/// The bytes of a boot sector that come before the MBR's records.
const BEFORE_RECORDS: usize = 446;

/// The account of a whole disk.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BlockAccount {
    /// Partitions in which something differs.
    pub volumes: Vec<VolumeAccount>,
    /// Bytes outside partitions.
    pub outside: Vec<OutsideChange>,
    /// The places that nothing explains.
    pub unexplained: Vec<UnexplainedPlace>,
    /// How many blocks nothing explains. Within a file system they are its blocks, elsewhere sectors.
    pub unexplained_blocks: u64,
}

impl BlockAccount {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.volumes.is_empty() && self.outside.is_empty() && self.unexplained.is_empty()
    }
}

/// The account of one partition.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VolumeAccount {
    /// The partition and its file system.
    pub volume: String,
    /// Size of its blocks in bytes. On a FAT, and where there is no file system, sectors are counted.
    pub block_size_bytes: u32,
    /// Inodes that differ; on a FAT, files and directories.
    pub inodes: u64,
    /// Blocks that are neither content nor free.
    pub metadata_blocks: u64,
    /// Blocks of content.
    pub data_blocks: u64,
    /// Blocks that are free now.
    pub free_blocks: u64,
    /// Blocks that differ because a journal was replayed, or deletions were finished.
    pub recovered_blocks: u64,
    /// Blocks that nothing explains.
    pub unexplained_blocks: u64,
    /// The explained blocks, by kind.
    pub kinds: Vec<Count>,
    /// Whether the file system was made anew, so that nothing of the old one is left.
    pub is_remade: bool,
}

/// How many blocks of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The kind.
    pub kind: &'static str,
    /// How many.
    pub blocks: u64,
}

/// Blocks that nothing explains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnexplainedPlace {
    /// The partition and its file system, or a place outside partitions.
    pub place: String,
    /// The first one. In an ext4 it is the number that `debugfs` takes, in an XFS blocks are counted from the start,
    /// elsewhere it is the number of a sector.
    pub first_block: u64,
    /// The last one.
    pub last_block: u64,
    /// Whose they are, if that is known.
    pub owner: String,
    /// What differs.
    pub problem: String,
}

impl fmt::Display for UnexplainedPlace {
    /// ``partition 1 (ext4 `root`): block 1234: inode 12 (`/etc/passwd`): its content differs``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, first_block, last_block, owner, problem } = self;
        match last_block - first_block {
            0 => write!(f, "{place}: block {first_block}: {owner}: {problem}"),
            _ => write!(f, "{place}: blocks {first_block} to {last_block}: {owner}: {problem}"),
        }
    }
}

impl UnexplainedPlace {
    /// These blocks of a volume. The caller fills in its name.
    pub fn of(blocks: Range<u64>, owner: impl Into<String>, problem: impl Into<String>) -> Self {
        let (first_block, last_block) = (blocks.start, blocks.end.saturating_sub(1));
        Self { place: String::new(), first_block, last_block, owner: owner.into(), problem: problem.into() }
    }
}

/// The account that a file system gives of itself: see [`FileSystem::account`].
#[derive(Clone, Debug, Default)]
pub struct Accounted {
    /// The account. The caller fills in the name of the volume.
    pub account: VolumeAccount,
    /// The blocks that nothing explains.
    pub unexplained: Vec<UnexplainedPlace>,
}

/// What explains the differences of a volume.
pub struct Explanation<'a> {
    base: &'a Files,
    image: &'a Files,
    is_strict: bool,
}

impl Explanation<'_> {
    /// Whether nobody but imgraft made the changes. If not, fields of the file system itself may differ.
    pub fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// In what a file may differ. Its node has names as [`FileSystem::folded`] gives them.
    pub fn expected(&self, side: Side, node: &Node) -> Expected {
        let files = match side {
            Side::Base => self.base,
            Side::Image => self.image,
        };
        if files.listed.contains(node) {
            Expected::Anything
        } else if !self.is_strict {
            // The comparison found every other file to be the same.
            Expected::Unseen
        } else if files.directories.contains(node) {
            Expected::Entries
        } else {
            Expected::Nothing
        }
    }
}

/// Accounts for `differing`, the ranges in which two disks differ, by the files that [`diff`](super::diff()) listed.
///
/// # Errors
///
/// If something cannot be read.
pub fn account_for_listed(
    base: &View,
    image: &View,
    differing: &[Range<u64>],
    listed: &Listed,
) -> Result<BlockAccount, Error> {
    let mut account = BlockAccount::default();
    places::compare_outside(base, image, differing, &mut |change| account.outside.push(change))?;
    for (index, volume) in image.volumes().iter().enumerate() {
        let other = base.volumes().iter().position(|other| is_same_place(other, volume));
        let pair = other.and_then(|other| Some((other, base.volumes()[other].within_both(volume, differing)?)));
        let Some((other, within)) = pair else { continue };
        let explanation = Explanation { base: &listed.base[other], image: &listed.image[index], is_strict: false };
        account.volume(&base.volumes()[other], volume, &within, &[], &explanation)?;
    }
    Ok(account)
}

/// Where a disk changed, and whether it was asked to grow.
pub struct Asked<'a> {
    /// Whether the disk, its last partition and the root were asked to grow.
    pub is_grown: bool,
    /// The byte ranges in which the disk differs from the base after that was opened.
    pub differing: &'a [Range<u64>],
    /// The byte ranges in which it differs from the base before that was opened, because a journal was replayed or
    /// deletions were finished.
    pub recovered: &'a [Range<u64>],
}

/// Accounts for what differs between `base` and `image` by the edits that `guest` was asked for since it was opened.
/// `image` is a fresh view of the guest's disk, so that the account does not depend on what the guest has in memory.
/// Journals have been replayed in both. Unfinished deletions have been finished in both or in neither:
/// [`View::recover_like`] does that.
///
/// # Errors
///
/// If something cannot be read.
pub fn account_for_edits(base: &View, image: &View, guest: &Guest, asked: &Asked<'_>) -> Result<BlockAccount, Error> {
    let mut account = BlockAccount::default();
    let sizes = [base.disk.size_bytes(), image.disk.size_bytes()];
    let outside = places::outside([&base.table, &image.table], sizes, asked.differing);
    account.outside(base, &image.disk, outside, asked.is_grown)?;
    let nothing = Files::default();
    for (index, two) in image.volumes().iter().enumerate() {
        let Some(one) = base.volumes().iter().find(|other| is_same_place(other, two)) else { continue };
        let mut within = two.within(asked.differing);
        if !one.begins_like(two) {
            account.unexplained_blocks += 1;
            account.unexplained(UnexplainedPlace {
                place: two.to_string(),
                ..UnexplainedPlace::of(0..1, "the volume", "it has its bytes in other places of the disk")
            });
        }
        if asked.is_grown {
            account.lvm(two, &mut within)?;
        }
        let recovered = two.within(asked.recovered);
        let files = guest.edited.get(&index).unwrap_or(&nothing);
        let explanation = Explanation { base: files, image: files, is_strict: true };
        account.volume(one, two, &within, &recovered, &explanation)?;
        account.entries(one, two, files)?;
    }
    Ok(account)
}

impl BlockAccount {
    /// Whether everything is explained.
    pub fn is_explained(&self) -> bool {
        self.unexplained_blocks == 0 && self.unexplained.is_empty()
    }

    fn unexplained(&mut self, place: UnexplainedPlace) {
        self.unexplained.push(place);
    }

    /// Accounts for what LVM2 noted of a physical volume that has grown, and takes that out of `within`.
    fn lvm(&mut self, volume: &Volume, within: &mut Vec<Range<u64>>) -> Result<(), Error> {
        let ranges = volume.lvm_ranges()?;
        let noted: Vec<Range<u64>> = ranges.iter().flat_map(|range| ranges::clipped(within, range)).collect();
        if !noted.is_empty() {
            let blocks = places::sectors(&noted);
            self.volumes.push(VolumeAccount {
                volume: volume.to_string(),
                block_size_bytes: SECTOR_BYTES as u32,
                metadata_blocks: blocks,
                kinds: vec![Count { kind: "LVM2 metadata", blocks }],
                ..VolumeAccount::default()
            });
            *within = ranges::without(within, &ranges);
        }
        Ok(())
    }

    /// Accounts for one volume.
    fn volume(
        &mut self,
        one: &Volume,
        two: &Volume,
        within: &[Range<u64>],
        recovered: &[Range<u64>],
        explanation: &Explanation<'_>,
    ) -> Result<(), Error> {
        if within.is_empty() && recovered.is_empty() {
            return Ok(());
        }
        let failed = |error| two.failed(error);
        let accounted = match (one.file_system(), two.file_system()) {
            (Some(old), Some(new)) => old.account(new, within, explanation).map_err(failed)?,
            _ => None,
        };
        let Accounted { mut account, unexplained } = accounted.unwrap_or_else(|| bytes(two, within, explanation));
        for place in unexplained {
            self.unexplained(UnexplainedPlace { place: two.to_string(), ..place });
        }
        account.volume = two.to_string();
        let blocks = |list: &[Range<u64>]| ranges::in_blocks(list, u64::from(account.block_size_bytes), u64::MAX);
        account.recovered_blocks = ranges::length(&ranges::without(&blocks(recovered), &blocks(within)));
        self.unexplained_blocks += account.unexplained_blocks;
        self.volumes.push(account);
        Ok(())
    }

    /// Compares the directories that both have: only names that an edit was about may name another file now.
    fn entries(&mut self, one: &Volume, two: &Volume, files: &Files) -> Result<(), Error> {
        let (Some(old), Some(new)) = (one.file_system(), two.file_system()) else { return Ok(()) };
        for (directory, names) in &files.names {
            // A directory that is new, or gone, cannot be compared.
            if files.contains(new, directory) {
                continue;
            }
            let failed = |error| two.failed(error);
            let entries = |file_system: &dyn FileSystem| -> Result<BTreeMap<Vec<u8>, Node>, Error> {
                let children = file_system.children(directory).map_err(failed)?;
                Ok(children.into_iter().map(|Child { name, node, .. }| (name, node)).collect())
            };
            let (before, after) = (entries(old)?, entries(new)?);
            let all: BTreeSet<&Vec<u8>> = before.keys().chain(after.keys()).collect();
            for name in all.into_iter().filter(|name| before.get(*name) != after.get(*name)) {
                let is_meant = names.contains(&new.folded(name));
                if !is_meant {
                    self.unexplained(UnexplainedPlace {
                        place: two.to_string(),
                        first_block: 0,
                        last_block: 0,
                        owner: "a directory".to_owned(),
                        problem: format!("the entry `{}` differs, but no edit was about it", Printable(name)),
                    });
                }
            }
        }
        Ok(())
    }

    /// Accounts for bytes outside partitions, which may differ only if the disk has grown.
    fn outside(
        &mut self,
        base: &View,
        image_disk: &Arc<dyn WriteAt>,
        outside: Vec<(&'static str, Vec<Range<u64>>)>,
        is_grown: bool,
    ) -> Result<(), Error> {
        for (place, ranges) in outside {
            let Some(first) = ranges.first().cloned() else { continue };
            let is_explained = match place {
                "boot sector" if is_grown => {
                    let (mut old, mut new) = ([0; BEFORE_RECORDS], [0; BEFORE_RECORDS]);
                    super::read_padded(&base.disk, 0, &mut old)?;
                    super::read_padded(image_disk, 0, &mut new)?;
                    old == new
                }
                "GPT" | "backup GPT" | "extended boot records" => is_grown,
                _ => false,
            };
            let change = OutsideChange { place, first_byte: first.start, sectors: places::sectors(&ranges) };
            if is_explained {
                self.outside.push(change);
                continue;
            }
            self.unexplained_blocks += change.sectors;
            self.unexplained(UnexplainedPlace {
                place: place.to_owned(),
                first_block: first.start / SECTOR_BYTES,
                last_block: (first.end - 1) / SECTOR_BYTES,
                owner: "no partition".to_owned(),
                problem: format!("{} sectors differ", change.sectors),
            });
        }
        Ok(())
    }
}

/// Accounts for bytes of a partition if no file system can say what they are.
fn bytes(volume: &Volume, within: &[Range<u64>], explanation: &Explanation<'_>) -> Accounted {
    let sectors = places::sectors(within);
    let mut account = VolumeAccount { block_size_bytes: SECTOR_BYTES as u32, ..VolumeAccount::default() };
    let mut unexplained = Vec::new();
    if let (Some(first), true) = (within.first(), explanation.is_strict) {
        account.unexplained_blocks = sectors;
        let problem = "bytes differ, and no known file system says whose they are";
        let blocks = ranges::blocks_of(first, SECTOR_BYTES);
        unexplained.push(UnexplainedPlace::of(blocks, volume.place().to_string(), problem));
    } else {
        account.kinds = vec![Count { kind: "other", blocks: sectors }];
        account.data_blocks = sectors;
    }
    Accounted { account, unexplained }
}

/// The bytes of `within` behind the end of a file system, which may not differ if nobody but imgraft made the
/// changes: how many blocks they are, and where.
pub(crate) fn past_the_end(
    within: &[Range<u64>],
    end: u64,
    block_size_bytes: u32,
    explanation: &Explanation<'_>,
) -> (u64, Option<UnexplainedPlace>) {
    let past = ranges::clipped(within, &(end..u64::MAX));
    let (Some(first), true) = (past.first(), explanation.is_strict()) else { return (0, None) };
    let block = u64::from(block_size_bytes);
    let problem = "bytes that belong to nothing differ";
    let place = UnexplainedPlace::of(ranges::blocks_of(first, block), "after the file system", problem);
    (ranges::length(&past).div_ceil(block), Some(place))
}

/// A path of each of these inodes that has one.
pub(crate) fn names_of(
    file_system: &dyn FileSystem,
    wanted: &BTreeSet<u64>,
) -> Result<BTreeMap<u64, Vec<u8>>, FileSystemError> {
    let (mut names, mut seen) = (BTreeMap::new(), NodeSet::default());
    let mut left = vec![(file_system.root(), Vec::new())];
    while let Some((directory, path)) = left.pop() {
        if names.len() == wanted.len() || !seen.insert(&directory) {
            continue;
        }
        if wanted.contains(&directory.number()) {
            names.insert(directory.number(), [&path[..], b"/"].concat());
        }
        let children = match file_system.children(&directory) {
            Ok(children) => children,
            Err(error) if matches!(error.problem, FileSystemProblem::Storage { .. }) => return Err(error),
            Err(_) => continue,
        };
        for Child { name, node, kind } in children {
            let child = [&path[..], b"/", &name].concat();
            if kind == FileKind::Directory {
                left.push((node, child));
            } else if wanted.contains(&node.number()) {
                names.insert(node.number(), child);
            }
        }
    }
    Ok(names)
}
