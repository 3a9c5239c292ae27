//! Every block that differs, accounted for: by the files that a comparison lists, or by the paths that were
//! to change.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use ext4::{Expectations, Expected, InodeNumber, Object};
use serde::Serialize;
use storage::{Printable, WriteAt};

use super::touched::{Files, Listed, folded};
use super::{OutsideChange, View, ext4_of, fat_account, is_same_place, place_of, places, ranges, ranges_of, relative};
use crate::error::Error;
use crate::file_system::{FileSystem, Node};
use crate::guest::Guest;
use crate::volume::Volume;

/// The bytes of a boot sector that come before the MBR's records.
const BEFORE_RECORDS: usize = 446;

/// The account of a whole disk.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BlockAccount {
    /// Partitions in which something differs.
    pub volumes: Vec<VolumeAccount>,
    /// Bytes outside partitions.
    pub outside: Vec<OutsideChange>,
    /// What nothing explains.
    pub unexplained: Vec<UnexplainedPlace>,
    /// How many blocks nothing explains: of a file system its own, else sectors.
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
    /// The partition, and what is on it.
    pub volume: String,
    /// Size of its blocks in bytes: of a FAT, and of what is no file system, its sectors.
    pub block_size_bytes: u32,
    /// Inodes, or a FAT's files and directories, that differ.
    pub inodes: u64,
    /// Blocks that are neither content nor free.
    pub metadata_blocks: u64,
    /// Blocks of content.
    pub data_blocks: u64,
    /// Blocks that nobody uses now.
    pub free_blocks: u64,
    /// Blocks that differ for a journal that was replayed, or deletions that were finished.
    pub recovered_blocks: u64,
    /// Blocks that nothing explains.
    pub unexplained_blocks: u64,
    /// Explained blocks by what they are.
    pub kinds: Vec<Count>,
    /// Whether it is another file system in the same place, of which nothing was kept.
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
    /// The partition and what is on it, or a place outside.
    pub place: String,
    /// The first one: the number that `debugfs` takes in an ext4, else a sector's.
    pub first_block: u64,
    /// The last one.
    pub last_block: u64,
    /// Whose they are, where that is known.
    pub owner: String,
    /// What differs.
    pub problem: String,
}

/// What explains the differences of a volume.
pub(super) struct Explanation<'a> {
    pub(super) base: &'a Files,
    pub(super) image: &'a Files,
    /// Whether only these files may differ: if not, others may in what no path shows.
    pub(super) is_strict: bool,
}

impl Explanation<'_> {
    fn files(&self, side: ext4::Side) -> &Files {
        match side {
            ext4::Side::Old => self.base,
            ext4::Side::New => self.image,
        }
    }

    fn inode(&self, side: ext4::Side, number: InodeNumber) -> Expected {
        let files = self.files(side);
        if files.inodes.contains(number) {
            Expected::Anything
        } else if !self.is_strict {
            // Every file that is not listed was found to be the same.
            Expected::Unseen
        } else if files.directories.contains(number) {
            Expected::Entries
        } else {
            Expected::Nothing
        }
    }

    /// The same for a path on a FAT.
    pub(super) fn path(&self, side: ext4::Side, path: &[u8]) -> bool {
        let (files, path) = (self.files(side), folded(path));
        !self.is_strict || files.paths.contains(&path) || files.directory_paths.contains(&path)
    }
}

/// Accounts for `differing`, the ranges in which two disks differ, by what [`diff`](super::diff()) listed.
///
/// # Errors
///
/// What cannot be read.
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
        let pair = other.and_then(|other| Some((other, ranges_of(&base.volumes()[other], volume, differing)?)));
        let Some((other, within)) = pair else { continue };
        let explanation = Explanation { base: &listed.base[other], image: &listed.image[index], is_strict: false };
        account.volume(&base.volumes()[other], volume, &within, &[], &explanation)?;
    }
    Ok(account)
}

/// Where a disk changed, and whether it was to grow.
pub struct Asked<'a> {
    /// Whether the disk, its last partition and the root were to grow.
    pub is_grown: bool,
    /// The byte ranges in which the disk differs from the base as it is opened.
    pub differing: &'a [Range<u64>],
    /// Those in which it differs from what the base was before that: a journal was replayed, or deletions
    /// were finished.
    pub recovered: &'a [Range<u64>],
}

/// Accounts for what differs between `base` and `image` by the edits that `guest` was asked for since it was
/// opened, on the disk that `image` looks at anew: what the guest remembers of it is not asked. Journals have
/// been replayed in both, and unfinished deletions finished in both or in none, for which there is
/// [`View::recover_like`].
///
/// # Errors
///
/// What cannot be read.
pub fn account_for_edits(base: &View, image: &View, guest: &Guest, asked: &Asked<'_>) -> Result<BlockAccount, Error> {
    let mut account = BlockAccount::default();
    let sizes = [base.disk.size_bytes(), image.disk.size_bytes()];
    let outside = places::outside([&base.table, &image.table], sizes, asked.differing);
    account.outside(base, &image.disk, outside, asked.is_grown)?;
    let nothing = Files::default();
    for (index, two) in image.volumes().iter().enumerate() {
        let Some(one) = base.volumes().iter().find(|other| is_same_place(other, two)) else { continue };
        let within = relative(asked.differing, &place_of(two));
        let recovered = relative(asked.recovered, &place_of(two));
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
        let failed = |error| Error::FileSystem { volume: two.to_string(), path: None, error };
        let mut account = match (one.file_system(), two.file_system()) {
            (Some(FileSystem::Ext4(_)), Some(FileSystem::Ext4(_))) => {
                self.ext4(one, two, within, explanation).map_err(|error| failed(error.into()))?
            }
            (Some(FileSystem::Fat(old)), Some(FileSystem::Fat(new))) => {
                let (account, unexplained) = fat_account::account(old.inner(), new.inner(), within, explanation)
                    .map_err(|error| failed(error.into()))?;
                for mut place in unexplained {
                    place.place = two.to_string();
                    self.unexplained(place);
                }
                account
            }
            _ => self.bytes(two, within, explanation),
        };
        account.volume = two.to_string();
        let blocks = |list: &[Range<u64>]| ranges::in_blocks(list, u64::from(account.block_size_bytes), u64::MAX);
        account.recovered_blocks = ranges::length(&ranges::without(&blocks(recovered), &blocks(within)));
        self.unexplained_blocks += account.unexplained_blocks;
        self.volumes.push(account);
        Ok(())
    }

    fn ext4(
        &mut self,
        one: &Volume,
        two: &Volume,
        within: &[Range<u64>],
        explanation: &Explanation<'_>,
    ) -> ext4::Result<VolumeAccount> {
        let (Some(old), Some(new)) = (ext4_of(one), ext4_of(two)) else { return Ok(VolumeAccount::default()) };
        let superblock = new.superblock();
        let block_size_bytes = superblock.block_size_bytes();
        let blocks = ranges::in_blocks(within, u64::from(block_size_bytes), superblock.blocks());
        let inode = |side, number| explanation.inode(side, number);
        let expectations = Expectations { inode: &inode, is_strict: explanation.is_strict };
        let account = ext4::account(old, new, &blocks, &expectations)?;
        let mut unexplained_blocks = account.unexplained_blocks;
        let wanted: BTreeSet<InodeNumber> =
            account.unexplained.iter().filter_map(|place| inode_of(&place.object)).collect();
        let names = names_of(new, &wanted)?;
        for place in &account.unexplained {
            let mut owner = place.object.to_string();
            if let Some(name) = inode_of(&place.object).and_then(|number| names.get(&number)) {
                owner.push_str(&format!(" (`{}`)", Printable(name)));
            }
            self.unexplained(UnexplainedPlace {
                place: two.to_string(),
                first_block: place.blocks.start,
                last_block: place.blocks.end - 1,
                owner,
                problem: place.problem.clone(),
            });
        }
        // In front of the super block is room for a boot loader; behind the last block there is nothing.
        let end = superblock.blocks() * u64::from(block_size_bytes);
        let behind = ranges::clipped(within, &(end..u64::MAX));
        if let (Some(first), true) =
            (behind.first(), explanation.is_strict && old.superblock().blocks() == superblock.blocks())
        {
            unexplained_blocks += ranges::length(&behind).div_ceil(u64::from(block_size_bytes));
            self.unexplained(UnexplainedPlace {
                place: two.to_string(),
                first_block: first.start / u64::from(block_size_bytes),
                last_block: (first.end - 1) / u64::from(block_size_bytes),
                owner: "behind the file system".to_owned(),
                problem: "bytes that are nobody's differ".to_owned(),
            });
        }
        let kinds = account.blocks.iter().map(|(kind, &blocks)| Count { kind: kind.name(), blocks });
        Ok(VolumeAccount {
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
        })
    }

    /// Accounts for what is no file system, or another one than before.
    fn bytes(&mut self, two: &Volume, within: &[Range<u64>], explanation: &Explanation<'_>) -> VolumeAccount {
        let sectors = places::sectors(within);
        let mut account = VolumeAccount { block_size_bytes: 512, ..VolumeAccount::default() };
        if let (Some(first), true) = (within.first(), explanation.is_strict) {
            account.unexplained_blocks = sectors;
            self.unexplained(UnexplainedPlace {
                place: two.to_string(),
                first_block: first.start / 512,
                last_block: (first.end - 1) / 512,
                owner: places::place_name(two),
                problem: "bytes differ that are no known file system's".to_owned(),
            });
        } else {
            account.kinds = vec![Count { kind: "other", blocks: sectors }];
            account.data_blocks = sectors;
        }
        account
    }

    /// In directories that both have, only names that edits were about name other files now.
    fn entries(&mut self, one: &Volume, two: &Volume, files: &Files) -> Result<(), Error> {
        let (Some(old), Some(new)) = (one.file_system(), two.file_system()) else { return Ok(()) };
        for (directory, names) in &files.names {
            // One that is new or gone has nothing to be compared with.
            if files.contains(directory) {
                continue;
            }
            let failed = |error| Error::FileSystem { volume: two.to_string(), path: None, error };
            let entries = |file_system: &FileSystem| -> Result<BTreeMap<Vec<u8>, Node>, Error> {
                let children = file_system.children(directory).map_err(failed)?;
                Ok(children.into_iter().map(|(name, node, _)| (name, node)).collect())
            };
            let (before, after) = (entries(old)?, entries(new)?);
            let all: BTreeSet<&Vec<u8>> = before.keys().chain(after.keys()).collect();
            for name in all.into_iter().filter(|name| before.get(*name) != after.get(*name)) {
                let is_meant = match directory {
                    Node::Inode(_) => names.contains(name),
                    Node::Names(_) => names.contains(&folded(name)),
                };
                if !is_meant {
                    self.unexplained(UnexplainedPlace {
                        place: two.to_string(),
                        first_block: 0,
                        last_block: 0,
                        owner: "a directory".to_owned(),
                        problem: format!("the entry `{}` differs and was not to", Printable(name)),
                    });
                }
            }
        }
        Ok(())
    }

    /// Accounts for bytes outside partitions, which differ only where a disk has grown.
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
                first_block: first.start / 512,
                last_block: (first.end - 1) / 512,
                owner: "no partition".to_owned(),
                problem: format!("{} sectors differ", change.sectors),
            });
        }
        Ok(())
    }
}

fn inode_of(object: &Object) -> Option<InodeNumber> {
    match object {
        Object::Inode(number) => Some(*number),
        _ => None,
    }
}

/// A path of each of the inodes that has one.
fn names_of(
    file_system: &ext4::FileSystem<crate::volume::Bytes>,
    wanted: &BTreeSet<InodeNumber>,
) -> ext4::Result<BTreeMap<InodeNumber, Vec<u8>>> {
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
        let entries = match file_system.read_directory(directory) {
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
