//! Bits of bitmaps that differ, each with the block or inode that it stands for.

use std::ops::Range;

use metadata::{Expected, Side};
use storage::ReadAt;

use super::owners::Owners;
use super::{Accountant, BlockKind, Flips, intersection};
use crate::bitmap::{Bitmap, BitmapKind};
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::InodeNumber;
use crate::layout::inode::EXT4_EA_INODE_FL;
use crate::usage::Owner;

/// A group's bitmap, and whether it is the one that is stored.
struct Read {
    bitmap: Bitmap,
    is_stored: bool,
}

impl<A: ReadAt, B: ReadAt> Accountant<'_, A, B> {
    /// Finds the bits of bitmaps that differ. Bits of inodes, and those past a group's end, are explained
    /// here.
    pub(super) fn bitmap_flips(&mut self) -> Result<Flips> {
        let mut flips = Flips::default();
        let superblock = self.new.superblock();
        for number in 0..superblock.groups().min(self.old.superblock().groups()) {
            let (old, new) = (&self.old.groups[number as usize], &self.new.groups[number as usize]);
            let is_same = zerocopy::IntoBytes::as_bytes(&old.raw) == zerocopy::IntoBytes::as_bytes(&new.raw);
            for (kind, block) in
                [(BitmapKind::Blocks, new.block_bitmap(superblock)), (BitmapKind::Inodes, new.inode_bitmap(superblock))]
            {
                if !is_same || self.differs(block) {
                    self.group_flips(kind, number, block, &mut flips)?;
                }
            }
        }
        Ok(flips)
    }

    fn differs(&self, block: u64) -> bool {
        let index = self.differing.partition_point(|range| range.end <= block);
        self.differing.get(index).is_some_and(|range| range.start <= block)
    }

    fn group_flips(&mut self, kind: BitmapKind, number: u32, block: u64, flips: &mut Flips) -> Result<()> {
        let old = read(self.old, kind, number)?;
        let new = match (read(self.new, kind, number)?, &old) {
            (Some(new), Some(_)) => new,
            (None, Some(_)) => {
                self.wrong_bitmap(block, number, "its bitmap can no longer be read".to_owned());
                return Ok(());
            }
            // A bitmap that was wrong before cannot be compared.
            (_, None) => return Ok(()),
        };
        let Some(old) = old else { return Ok(()) };
        let superblock = self.new.superblock();
        let bits = match kind {
            BitmapKind::Blocks => superblock.group_blocks(number).min(self.old.superblock().group_blocks(number)),
            BitmapKind::Inodes => superblock.inodes_per_group(),
        };
        for (bits, is_taken) in differing_bits(&old.bitmap, &new.bitmap, bits) {
            match kind {
                BitmapKind::Blocks => {
                    let first = superblock.group_first_block(number);
                    let list = if is_taken { &mut flips.taken } else { &mut flips.freed };
                    list.push(first + u64::from(bits.start)..first + u64::from(bits.end));
                }
                BitmapKind::Inodes => {
                    for index in bits {
                        let inode = InodeNumber(number * superblock.inodes_per_group() + index + 1);
                        self.explain_inode_flip(inode, is_taken, block, number);
                    }
                }
            }
        }
        let both_stored = old.is_stored && new.is_stored && !self.is_grown;
        let from = bits.next_multiple_of(8) as usize / 8;
        if both_stored && old.bitmap.bytes()[from..] != new.bitmap.bytes()[from..] {
            self.wrong_bitmap(block, number, "bits past the group's end differ".to_owned());
        }
        Ok(())
    }

    fn explain_inode_flip(&mut self, inode: InodeNumber, is_taken: bool, block: u64, group: u32) {
        let side = if is_taken { Side::New } else { Side::Old };
        let is_in_use = match side {
            Side::Old => is_in_use(self.old, inode),
            Side::New => is_in_use(self.new, inode),
        };
        // There was no walk yet, so inodes that hold values are recognized by their flag.
        let is_expected = self.expected(side, inode) > Expected::Nothing || self.holds_value(side, inode);
        if !is_in_use || !is_expected {
            let state = if is_taken { "taken" } else { "free" };
            self.wrong_bitmap(block, group, format!("inode {inode} is now {state} in its bitmap"));
        }
    }

    fn holds_value(&self, side: Side, inode: InodeNumber) -> bool {
        match side {
            Side::Old => self.old.inode(inode).is_ok_and(|inode| inode.has_flag(EXT4_EA_INODE_FL)),
            Side::New => self.new.inode(inode).is_ok_and(|inode| inode.has_flag(EXT4_EA_INODE_FL)),
        }
    }

    /// Explains the bits of block bitmaps by what uses the blocks.
    pub(super) fn explain_flips(&mut self, flips: &Flips, wanted: &[Range<u64>], old: &Owners, new: &Owners) {
        for (ranges, owners, side, state) in
            [(&flips.taken, new, Side::New, "taken"), (&flips.freed, old, Side::Old, "free")]
        {
            for range in intersection(ranges, wanted) {
                let mut at = range.start;
                while at < range.end {
                    let (found, end) = owners.at(at);
                    let end = end.min(range.end);
                    let is_explained = found.iter().any(|owner| match *owner {
                        Owner::Inode { number, .. } => self.expected(side, number) > Expected::Nothing,
                        _ => self.is_grown,
                    });
                    if !is_explained {
                        self.wrong_block_bits(at..end, found, state);
                    }
                    at = end;
                }
            }
        }
    }

    fn wrong_block_bits(&mut self, blocks: Range<u64>, owners: &[Owner], state: &str) {
        let superblock = self.new.superblock();
        let (group, _) = superblock.group_of_block(blocks.start);
        let bitmap = self.new.groups[group as usize].block_bitmap(superblock);
        let user = match owners.first() {
            Some(Owner::Inode { number, .. }) => format!("which inode {number} uses"),
            Some(_) => "which the file system itself uses".to_owned(),
            None => "which nothing uses".to_owned(),
        };
        let what = match blocks.end - blocks.start {
            1 => format!("block {}, {user}, is", blocks.start),
            _ => format!("blocks {} to {}, {user}, are", blocks.start, blocks.end - 1),
        };
        self.wrong_bitmap(bitmap, group, format!("{what} now {state} in its bitmap"));
    }

    fn wrong_bitmap(&mut self, block: u64, group: u32, problem: String) {
        self.wrong_bitmaps.insert(block);
        self.unexplained(block..block + 1, Object::Group(group), problem);
    }

    /// Moves bitmaps with unexplained bits to the unexplained blocks: they were counted before all bits were looked at.
    pub(super) fn count_wrong_bitmaps(&mut self) {
        let superblock = self.new.superblock();
        for block in std::mem::take(&mut self.wrong_bitmaps) {
            self.account.unexplained_blocks += 1;
            let is_of_blocks = self.new.groups.iter().any(|group| group.block_bitmap(superblock) == block);
            let kind = if is_of_blocks { BlockKind::BlockBitmap } else { BlockKind::InodeBitmap };
            if self.differs(block)
                && let Some(count) = self.account.blocks.get_mut(&kind)
            {
                *count = count.saturating_sub(1);
            }
        }
        self.account.blocks.retain(|_, count| *count > 0);
    }
}

fn is_in_use<S: ReadAt>(filesystem: &FileSystem<S>, number: InodeNumber) -> bool {
    filesystem.inode(number).is_ok_and(|inode| inode.is_in_use(filesystem.superblock()))
}

/// A bitmap as the file system reads it; `None` where it breaks a rule.
fn read<S: ReadAt>(filesystem: &FileSystem<S>, kind: BitmapKind, number: u32) -> Result<Option<Read>> {
    let group = &filesystem.groups[number as usize];
    let is_stored = match kind {
        BitmapKind::Blocks => !group.blocks_uninitialised(),
        BitmapKind::Inodes => !group.inodes_uninitialised(),
    };
    match filesystem.read_bitmap(kind, number) {
        Ok(bitmap) => Ok(Some(Read { bitmap, is_stored })),
        Err(Error::Corrupt { .. } | Error::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The runs of bits below `end` that differ, and whether they are 1 in `new`.
fn differing_bits(old: &Bitmap, new: &Bitmap, end: u32) -> Vec<(Range<u32>, bool)> {
    let mut runs: Vec<(Range<u32>, bool)> = Vec::new();
    let mut index = 0;
    while index < end {
        let at = index as usize / 8;
        if index.is_multiple_of(8) && old.bytes().get(at) == new.bytes().get(at) {
            index += 8;
            continue;
        }
        let is_taken = new.get(index);
        if old.get(index) != is_taken {
            match runs.last_mut() {
                Some((run, taken)) if run.end == index && *taken == is_taken => run.end += 1,
                _ => runs.push((index..index + 1, is_taken)),
            }
        }
        index += 1;
    }
    runs
}
