//! What the file system keeps in fixed places: its super block, descriptors, and their backups.

use storage::ReadAt;
use zerocopy::{FromBytes, IntoBytes};

use super::fields::{GROUP_DESCRIPTOR, SUPERBLOCK, differing, others};
use super::{Accountant, BlockKind, Problem};
use crate::bitmap::BitmapKind;
use crate::error::{Object, Result};
use crate::features::{compat, ro_compat};
use crate::layout::group_descriptor::RawGroupDescriptor;
use crate::layout::superblock::{RawSuperblock, SUPERBLOCK_OFFSET};
use crate::superblock::Superblock;
use crate::usage::Owner;

/// Fields of the super block that every edit may change.
const COUNTS: &[&str] = &["s_free_blocks_count_lo", "s_free_blocks_count_hi", "s_free_inodes_count", "s_checksum"];
/// Fields that growing changes.
const GROWTH: &[&str] = &[
    "s_inodes_count",
    "s_blocks_count_lo",
    "s_blocks_count_hi",
    "s_r_blocks_count_lo",
    "s_r_blocks_count_hi",
    "s_reserved_gdt_blocks",
    "s_first_meta_bg",
    "s_overhead_blocks",
    "s_backup_bgs",
    "s_feature_compat",
    "s_feature_incompat",
];
/// Fields that say when and how often the file system was used, and change with that.
const USE: &[&str] = &[
    "s_mtime",
    "s_wtime",
    "s_mnt_count",
    "s_state",
    "s_lastcheck",
    "s_last_mounted",
    "s_kbytes_written",
    "s_times_hi",
    "s_last_orphan",
    "s_overhead_blocks",
    "s_jnl_blocks",
];
/// Fields of a descriptor that edits change.
const GROUP_COUNTS: &[&str] = &[
    "bg_free_blocks_count_lo",
    "bg_free_blocks_count_hi",
    "bg_free_inodes_count_lo",
    "bg_free_inodes_count_hi",
    "bg_used_dirs_count_lo",
    "bg_used_dirs_count_hi",
    "bg_itable_unused_lo",
    "bg_itable_unused_hi",
    "bg_flags",
    "bg_block_bitmap_csum_lo",
    "bg_block_bitmap_csum_hi",
    "bg_inode_bitmap_csum_lo",
    "bg_inode_bitmap_csum_hi",
    "bg_checksum",
];

impl Superblock {
    /// The fields in which another super block differs, by the names of the format; without counts of what
    /// is free, checksums, and those that say when and how often the file system was used.
    pub fn differing_properties(&self, other: &Self) -> Vec<&'static str> {
        let size = size_of::<RawSuperblock>();
        let names = differing(SUPERBLOCK, self.raw.as_bytes(), other.raw.as_bytes(), size);
        others(&names, &[COUNTS, USE])
    }
}

impl<A: ReadAt, B: ReadAt> Accountant<'_, A, B> {
    /// Accounts for one block of fixed metadata.
    pub(super) fn fixed(&mut self, block: u64, owner: &Owner) -> Result<()> {
        if self.account.is_remade {
            self.count(block, kind_of(owner), Vec::new());
            return Ok(());
        }
        let problems = match *owner {
            Owner::Superblock { group } => self.superblock(block, group)?,
            Owner::GroupDescriptors { group } => self.descriptors(block, group)?,
            Owner::ReservedDescriptors { .. } if self.is_grown => Vec::new(),
            Owner::ReservedDescriptors { group } => {
                vec![(Object::Group(group), "room kept for more descriptors differs".to_owned())]
            }
            // Their bits are explained one by one.
            Owner::BlockBitmap { .. } | Owner::InodeBitmap { .. } => Vec::new(),
            Owner::InodeTable { group } => self.inode_table(block, group)?,
            Owner::MultiMount if !self.expectations.is_strict => Vec::new(),
            Owner::MultiMount => vec![(Object::Block(block), "the multi-mount block differs".to_owned())],
            Owner::Inode { .. } => Vec::new(),
        };
        self.count(block, kind_of(owner), problems);
        Ok(())
    }

    fn superblock(&self, block: u64, group: u32) -> Result<Vec<Problem>> {
        let size = size_of::<RawSuperblock>();
        let (old, new) = (self.old_block(block)?, self.new.read_block(block)?);
        let at = if group == 0 { (SUPERBLOCK_OFFSET % self.new.block_size()) as usize } else { 0 };
        let (before, after) = (&old[at..at + size], &new[at..at + size]);
        let mut problems = Vec::new();
        let object = if group == 0 { Object::Superblock } else { Object::Group(group) };
        let what = if group == 0 { "" } else { "backup of the super block: " };
        let has_other_bytes = old[..at] != new[..at] || old[at + size..] != new[at + size..];
        if has_other_bytes && self.expectations.is_strict && !self.is_grown {
            problems.push((object, format!("{what}bytes around it differ")));
        }
        let fields = differing(SUPERBLOCK, before, after, size);
        let left = match (group, self.is_grown, self.expectations.is_strict) {
            // It may not have been there.
            (1.., true, _) => Vec::new(),
            (_, true, true) => others(&fields, &[COUNTS, GROWTH, self.changed_features(before, after)]),
            (0, false, true) => others(&fields, &[COUNTS, self.changed_features(before, after)]),
            (1.., false, true) => fields,
            // These are listed where the file systems are compared.
            (0, _, false) => Vec::new(),
            (1.., false, false) => {
                let primary = differing(
                    SUPERBLOCK,
                    self.old.superblock().raw.as_bytes(),
                    self.new.superblock().raw.as_bytes(),
                    size,
                );
                others(&fields, &[COUNTS, USE, &primary])
            }
        };
        if !left.is_empty() {
            problems.push((object, format!("{what}{} differ", left.join(", "))));
        }
        Ok(problems)
    }

    /// The fields of features in which an edit may have switched one on that it needs.
    fn changed_features(&self, before: &[u8], after: &[u8]) -> &'static [&'static str] {
        let (Ok((before, _)), Ok((after, _))) =
            (RawSuperblock::ref_from_prefix(before), RawSuperblock::ref_from_prefix(after))
        else {
            return &[];
        };
        let ro = before.s_feature_ro_compat.get() ^ after.s_feature_ro_compat.get();
        let compat = before.s_feature_compat.get() ^ after.s_feature_compat.get();
        match (ro & !ro_compat::LARGE_FILE == 0, compat & !compat::EXT_ATTR == 0) {
            (true, true) => &["s_feature_ro_compat", "s_feature_compat"],
            (true, false) => &["s_feature_ro_compat"],
            (false, true) => &["s_feature_compat"],
            (false, false) => &[],
        }
    }

    /// Descriptors in a block of them. Backups are not compared with the descriptors: they are as old as the last
    /// growth.
    fn descriptors(&self, block: u64, group: u32) -> Result<Vec<Problem>> {
        let superblock = self.new.superblock();
        let per_block = superblock.descriptors_per_block();
        let index = (0..superblock.descriptor_blocks()).find(|&index| superblock.descriptor_block(index) == block);
        let Some(index) = index else {
            let is_explained = self.is_grown || !self.expectations.is_strict;
            let problem = (Object::Group(group), "backup of the descriptors: it differs".to_owned());
            return Ok(if is_explained { Vec::new() } else { vec![problem] });
        };
        let size = superblock.descriptor_size_bytes();
        let (old, new) = (self.old_block(block)?, self.new.read_block(block)?);
        let mut problems = Vec::new();
        for (number, (before, after)) in (index * per_block..).zip(old.chunks_exact(size).zip(new.chunks_exact(size))) {
            if before == after {
                continue;
            }
            let problem = match number {
                _ if number >= superblock.groups() => {
                    (!self.is_grown).then(|| "bytes after the last descriptor differ".to_owned())
                }
                _ if number >= self.old.superblock().groups() => None,
                _ => self.descriptor(number, before, after)?,
            };
            problems.extend(problem.map(|problem| (Object::Group(number), problem)));
        }
        Ok(problems)
    }

    /// What is unexplained in a descriptor whose group is in both.
    fn descriptor(&self, number: u32, before: &[u8], after: &[u8]) -> Result<Option<String>> {
        let size = before.len().min(size_of::<RawGroupDescriptor>());
        let fields = differing(GROUP_DESCRIPTOR, &before[..size], &after[..size], size);
        let left = others(&fields, &[GROUP_COUNTS]);
        if !left.is_empty() || before[size..] != after[size..] {
            let names = if left.is_empty() { "bytes after its fields".to_owned() } else { left.join(", ") };
            return Ok(Some(format!("{names} differ")));
        }
        let (old, new) = (&self.old.groups[number as usize], &self.new.groups[number as usize]);
        let flags = new.raw.bg_flags.get() & !old.raw.bg_flags.get();
        if flags != 0 && self.expectations.is_strict && !self.is_grown {
            return Ok(Some(format!("bg_flags has {flags:#x} in addition")));
        }
        for (kind, field, counted) in [
            (BitmapKind::Blocks, "bg_free_blocks_count", [old.free_blocks(), new.free_blocks()]),
            (BitmapKind::Inodes, "bg_free_inodes_count", [old.free_inodes(), new.free_inodes()]),
        ] {
            let bits = |superblock: &Superblock| match kind {
                BitmapKind::Blocks => superblock.group_blocks(number),
                BitmapKind::Inodes => superblock.inodes_per_group(),
            };
            // A bitmap that cannot be read is reported elsewhere.
            let (Ok(before), Ok(after)) = (self.old.read_bitmap(kind, number), self.new.read_bitmap(kind, number))
            else {
                continue;
            };
            let free =
                [before.count_zeros(bits(self.old.superblock())), after.count_zeros(bits(self.new.superblock()))];
            if i64::from(counted[1]) - i64::from(counted[0]) != i64::from(free[1]) - i64::from(free[0]) {
                return Ok(Some(format!(
                    "{field} was {} and is {}, but of {} free there are {} now",
                    counted[0], counted[1], free[0], free[1]
                )));
            }
        }
        let directories = i64::from(new.directories()) - i64::from(old.directories());
        let found = self.directories_changed(number)?;
        Ok((directories != found).then(|| {
            format!("bg_used_dirs_count was {} and is {}, but {found:+} differ", old.directories(), new.directories())
        }))
    }

    /// The super block's free counts differ by what those of the groups differ by.
    pub(super) fn free_counts(&mut self) {
        let (old, new) = (self.old.superblock(), self.new.superblock());
        let blocks = |groups: &[crate::group::Group]| groups.iter().map(|group| i128::from(group.free_blocks())).sum();
        let inodes = |groups: &[crate::group::Group]| groups.iter().map(|group| i128::from(group.free_inodes())).sum();
        let changes: [(&str, [i128; 2], [i128; 2]); 2] = [
            (
                "s_free_blocks_count",
                [old.free_blocks().into(), new.free_blocks().into()],
                [blocks(&self.old.groups), blocks(&self.new.groups)],
            ),
            (
                "s_free_inodes_count",
                [old.free_inodes().into(), new.free_inodes().into()],
                [inodes(&self.old.groups), inodes(&self.new.groups)],
            ),
        ];
        let block = SUPERBLOCK_OFFSET / self.new.block_size();
        for (field, counted, free) in changes {
            if counted[1] - counted[0] != free[1] - free[0] {
                let problem = format!(
                    "{field} was {} and is {}, but the groups have {} and {}",
                    counted[0], counted[1], free[0], free[1]
                );
                self.account.unexplained_blocks += 1;
                self.unexplained(block..block + 1, Object::Superblock, problem);
            }
        }
    }

    /// A block before; zeros where the file system did not reach as far.
    pub(super) fn old_block(&self, block: u64) -> Result<Vec<u8>> {
        if block < self.old.superblock().blocks() {
            return self.old.read_block(block);
        }
        Ok(vec![0; self.old.block_size() as usize])
    }
}

fn kind_of(owner: &Owner) -> BlockKind {
    match owner {
        Owner::Superblock { .. } => BlockKind::Superblock,
        Owner::GroupDescriptors { .. } => BlockKind::GroupDescriptors,
        Owner::ReservedDescriptors { .. } => BlockKind::Reserved,
        Owner::BlockBitmap { .. } => BlockKind::BlockBitmap,
        Owner::InodeBitmap { .. } => BlockKind::InodeBitmap,
        Owner::InodeTable { .. } => BlockKind::InodeTable,
        Owner::MultiMount => BlockKind::MultiMount,
        Owner::Inode { .. } => BlockKind::Data,
    }
}
