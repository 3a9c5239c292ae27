//! Bitmaps and counts, against what is in use.

use storage::ReadAt;

use super::{Check, KIND_DIRECTORY};
use crate::bitmap::{Bitmap, BitmapKind};
use crate::error::{Object, Result};

impl<S: ReadAt> Check<'_, S> {
    pub(super) fn bitmaps(&mut self) -> Result<()> {
        let superblock = self.filesystem.superblock();
        let (mut free_blocks, mut free_inodes) = (0, 0);
        for group in 0..superblock.groups() {
            free_blocks += u64::from(self.block_bitmap(group)?);
            free_inodes += self.inode_bitmap(group)?;
        }
        if free_blocks != superblock.free_blocks() {
            self.report(
                Object::Superblock,
                format!("s_free_blocks_count={}, but {free_blocks} are free", superblock.free_blocks()),
            );
        }
        if free_inodes != superblock.free_inodes() {
            self.report(
                Object::Superblock,
                format!("s_free_inodes_count={}, but {free_inodes} are free", superblock.free_inodes()),
            );
        }
        Ok(())
    }

    fn bitmap(&mut self, kind: BitmapKind, group: u32) -> Result<Option<Bitmap>> {
        match self.filesystem.read_bitmap(kind, group) {
            Ok(bitmap) => Ok(Some(bitmap)),
            Err(error) => self.report_error(error).map(|()| None),
        }
    }

    /// Returns the group's free blocks as its bitmap has them.
    fn block_bitmap(&mut self, number: u32) -> Result<u32> {
        let superblock = self.filesystem.superblock();
        let blocks = superblock.group_blocks(number);
        let first = superblock.group_first_block(number);
        let base = first - superblock.first_data_block();
        let bits = superblock.block_size_bytes() * 8;
        let Some(bitmap) = self.bitmap(BitmapKind::Blocks, number)? else { return Ok(0) };
        let claimed = |index: u32| {
            let at = base + u64::from(index);
            self.claimed[(at / 8) as usize] & (1 << (at % 8)) != 0
        };
        let (mut in_use_but_free, mut taken_but_unused) = (Vec::new(), Vec::new());
        for index in 0..blocks {
            match (claimed(index), bitmap.get(index)) {
                (true, false) => in_use_but_free.push(first + u64::from(index)),
                (false, true) => taken_but_unused.push(first + u64::from(index)),
                _ => {}
            }
        }
        self.report_list(number, "blocks in use, but free in the bitmap", &in_use_but_free);
        self.report_list(number, "blocks taken in the bitmap, but not in use", &taken_but_unused);
        if bitmap.find(false, blocks, bits.min(superblock.blocks_per_group())).is_some() {
            self.report(Object::Group(number), "blocks past the end are free in the bitmap");
        }
        let free = bitmap.count_zeros(blocks);
        let counted = self.filesystem.groups[number as usize].free_blocks();
        if free != counted {
            self.report(Object::Group(number), format!("bg_free_blocks_count={counted}, but {free} are free"));
        }
        Ok(free)
    }

    /// Returns the group's free inodes as its bitmap has them.
    fn inode_bitmap(&mut self, number: u32) -> Result<u32> {
        let superblock = self.filesystem.superblock();
        let per_group = superblock.inodes_per_group();
        let first = number * per_group;
        let Some(bitmap) = self.bitmap(BitmapKind::Inodes, number)? else { return Ok(0) };
        let (mut in_use_but_free, mut taken_but_unused) = (Vec::new(), Vec::new());
        let mut directories = 0;
        for index in 0..per_group {
            let state = self.state_in(number, index);
            directories += u32::from(state.kind == KIND_DIRECTORY);
            let inode = u64::from(first + index + 1);
            // Reserved inodes are taken whether or not they are in use.
            let is_reserved = inode < u64::from(superblock.first_inode());
            match (state.kind != 0 || is_reserved, bitmap.get(index)) {
                (true, false) => in_use_but_free.push(inode),
                (false, true) => taken_but_unused.push(inode),
                _ => {}
            }
        }
        self.report_list(number, "inodes in use, but free in the bitmap", &in_use_but_free);
        self.report_list(number, "inodes taken in the bitmap, but not in use", &taken_but_unused);
        if bitmap.find(false, per_group, superblock.block_size_bytes() * 8).is_some() {
            self.report(Object::Group(number), "inodes past the last are free in the bitmap");
        }
        let free = bitmap.count_zeros(per_group);
        let group = &self.filesystem.groups[number as usize];
        for (field, counted, found) in [
            ("bg_free_inodes_count", group.free_inodes(), free),
            ("bg_used_dirs_count", group.directories(), directories),
        ] {
            if counted != found {
                self.report(Object::Group(number), format!("{field}={counted}, but there are {found}"));
            }
        }
        Ok(free)
    }

    fn report_list(&mut self, group: u32, what: &str, numbers: &[u64]) {
        if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
            self.report(Object::Group(group), format!("{} {what}, from {first} to {last}", numbers.len()));
        }
    }
}
