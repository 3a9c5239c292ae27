//! The super block: the numbers that everything else in a file system is computed from.
//!
//! It is 1,024 bytes long and always begins at byte 1,024. The examples of this crate are from one file system of
//! 16 MiB, made by `mke2fs -t ext4 -b 1024`. Its super block begins like this (`xxd -s 1024`):
//!
//! ```text
//! 0x00  0010 0000  s_inodes_count = 4096        0x20  0020 0000  s_blocks_per_group = 8192
//! 0x04  0040 0000  s_blocks_count = 16384       0x28  0008 0000  s_inodes_per_group = 2048
//! 0x14  0100 0000  s_first_data_block = 1       0x38  53ef       s_magic = 0xef53
//! 0x18  0000 0000  s_log_block_size = 0         0x58  0001       s_inode_size = 256
//! ```
//!
//! All numbers are little endian. A block has 1024 << `s_log_block_size` bytes, here 1,024. Block 0 is left to boot
//! loaders, so that counting begins at block 1; with larger blocks block 0 has both the boot loader's 1,024 bytes and
//! the super block, and counting begins at 0. Blocks are divided into groups of 8,192: group 0 has blocks 1 to 8,192,
//! group 1 has 8,193 to 16,383. Each group has 2,048 of the inodes, so that inode 3,000 is number 951 of group 1,
//! counted from 0. Three words of flags say which features the file system has ([`features`]). Copies of the super
//! block are at the start of groups 1 and those whose number is a power of 3, 5 or 7 (`sparse_super`).

use metadata::Time;
use zerocopy::{FromBytes, IntoBytes};

use storage::{ReadAt, WriteAt};

use crate::checksum::crc32c;
use crate::error::{Error, Object, Result};
use crate::features::{self, compat, incompat, ro_compat};
use crate::layout::superblock::{EXT4_ERROR_FS, EXT4_SUPER_MAGIC, EXT4_VALID_FS, RawSuperblock, SUPERBLOCK_OFFSET};

/// The most groups that are read: 2^19 of them are 64 TiB with 4 KiB blocks.
pub(crate) const MAX_GROUPS: u64 = 1 << 19;

/// The super block of a file system, validated: it says where every other structure is.
#[derive(Clone, Debug)]
pub struct Superblock {
    pub(crate) raw: RawSuperblock,
    block_size_bytes: u32,
    inode_size_bytes: u16,
    descriptor_size_bytes: u16,
    group_count: u32,
}

/// Blocks of a cluster.
fn cluster_blocks(raw: &RawSuperblock) -> u64 {
    if raw.s_feature_ro_compat.get() & ro_compat::BIGALLOC == 0 {
        return 1;
    }
    1 << raw.s_log_cluster_size.get().saturating_sub(raw.s_log_block_size.get()).min(16)
}

impl Superblock {
    /// Reads and validates the super block.
    ///
    /// # Errors
    ///
    /// [`Error::NotExt4`] without the magic, [`Error::Corrupt`] where it breaks a rule,
    /// [`Error::Unsupported`] with an incompatible feature that is not known.
    pub fn read(storage: &dyn ReadAt) -> Result<Self> {
        let mut bytes = [0; 1024];
        if storage.size_bytes() < SUPERBLOCK_OFFSET + 1024 {
            return Err(Error::NotExt4 { found: 0 });
        }
        storage.read_at(SUPERBLOCK_OFFSET, &mut bytes)?;
        Self::validate(&bytes, storage.size_bytes())
    }

    /// Validates a super block that was made or changed in memory.
    pub(crate) fn parse(raw: RawSuperblock, storage_size_bytes: u64) -> Result<Self> {
        Self::validate(&zerocopy::transmute!(raw), storage_size_bytes)
    }

    fn validate(bytes: &[u8; 1024], storage_size_bytes: u64) -> Result<Self> {
        let raw = RawSuperblock::read_from_bytes(bytes.as_slice())
            .map_err(|_| Error::corrupt(Object::Superblock, "1024 bytes expected"))?;
        if raw.s_magic.get() != EXT4_SUPER_MAGIC {
            return Err(Error::NotExt4 { found: raw.s_magic.get() });
        }
        let corrupt = |problem: String| Err(Error::corrupt(Object::Superblock, problem));
        let unreadable = features::unreadable(&raw);
        if !unreadable.is_empty() {
            return Err(Error::unsupported(
                Object::Superblock,
                format!("incompatible features that imgraft cannot read: {}", unreadable.join(", ")),
            ));
        }
        let has = |flags: u32, mask: u32| flags & mask != 0;
        let ro = raw.s_feature_ro_compat.get();
        if has(ro, ro_compat::METADATA_CSUM) {
            if raw.s_checksum_type != 1 {
                return corrupt(format!("s_checksum_type={}, expected 1 (crc32c)", raw.s_checksum_type));
            }
            let computed = crc32c(!0, &bytes[..1020]);
            if computed != raw.s_checksum.get() {
                return corrupt(format!("s_checksum={:#010x}, computed {computed:#010x}", raw.s_checksum.get()));
            }
        }
        if raw.s_log_block_size.get() > 6 {
            return corrupt(format!("s_log_block_size={}, expected at most 6", raw.s_log_block_size.get()));
        }
        let block_size_bytes = 1024u32 << raw.s_log_block_size.get();
        let first_data_block = raw.s_first_data_block.get();
        // With bigalloc the first cluster holds the boot block too.
        if first_data_block != u32::from(block_size_bytes == 1024 && !has(ro, ro_compat::BIGALLOC)) {
            return corrupt(format!("s_first_data_block={first_data_block} with blocks of {block_size_bytes} bytes"));
        }
        let inode_size_bytes = if raw.s_rev_level.get() == 0 { 128 } else { raw.s_inode_size.get() };
        if inode_size_bytes < 128
            || !inode_size_bytes.is_power_of_two()
            || u32::from(inode_size_bytes) > block_size_bytes
        {
            return corrupt(format!(
                "s_inode_size={inode_size_bytes}, expected a power of two from 128 to the block size"
            ));
        }
        let bits = block_size_bytes * 8;
        let blocks_per_group = raw.s_blocks_per_group.get();
        // With bigalloc a group has 8 * block size clusters, each of several blocks.
        let ratio = cluster_blocks(&raw);
        if blocks_per_group == 0
            || u64::from(blocks_per_group) > u64::from(bits) * ratio
            || !blocks_per_group.is_multiple_of(8)
        {
            return corrupt(format!(
                "s_blocks_per_group={blocks_per_group}, expected a multiple of 8 up to {}",
                u64::from(bits) * ratio
            ));
        }
        let inodes_per_block = block_size_bytes / u32::from(inode_size_bytes);
        let inodes_per_group = raw.s_inodes_per_group.get();
        if inodes_per_group == 0 || inodes_per_group > bits || !inodes_per_group.is_multiple_of(inodes_per_block.min(8))
        {
            return corrupt(format!("s_inodes_per_group={inodes_per_group}, expected 1 to {bits}"));
        }
        let descriptor_size_bytes =
            if has(raw.s_feature_incompat.get(), incompat::BIT64) { raw.s_desc_size.get() } else { 32 };
        if !(32..=1024).contains(&descriptor_size_bytes)
            || !descriptor_size_bytes.is_power_of_two()
            || u32::from(descriptor_size_bytes) > block_size_bytes
        {
            return corrupt(format!("s_desc_size={descriptor_size_bytes}, expected a power of two from 32 to 1024"));
        }
        let mut superblock = Self { raw, block_size_bytes, inode_size_bytes, descriptor_size_bytes, group_count: 0 };
        let blocks = superblock.blocks();
        if blocks <= u64::from(first_data_block) || blocks > storage_size_bytes / u64::from(block_size_bytes) {
            return corrupt(format!(
                "{blocks} blocks of {block_size_bytes} bytes do not fit the partition of {storage_size_bytes} bytes"
            ));
        }
        let group_count = (blocks - u64::from(first_data_block)).div_ceil(u64::from(blocks_per_group));
        if group_count > MAX_GROUPS {
            return Err(Error::unsupported(
                Object::Superblock,
                format!("{group_count} block groups, the limit is {MAX_GROUPS}"),
            ));
        }
        superblock.group_count = group_count as u32;
        let inodes = u64::from(inodes_per_group) * group_count;
        if u64::from(superblock.raw.s_inodes_count.get()) != inodes {
            return corrupt(format!("s_inodes_count={}, expected {inodes}", superblock.raw.s_inodes_count.get()));
        }
        if superblock.first_inode() < 11 || u64::from(superblock.first_inode()) > inodes {
            return corrupt(format!("s_first_ino={}, expected 11 to {inodes}", superblock.first_inode()));
        }
        Ok(superblock)
    }

    /// Writes the super block with a new checksum.
    pub(crate) fn write(&mut self, storage: &dyn WriteAt) -> Result<()> {
        if self.has_metadata_checksums() {
            let computed = crc32c(!0, &self.raw.as_bytes()[..1020]);
            self.raw.s_checksum.set(computed);
        }
        Ok(storage.write_at(SUPERBLOCK_OFFSET, self.raw.as_bytes())?)
    }

    /// The bytes of the backup in `group`. It is never marked clean: a program that has to use it must run a check.
    pub(crate) fn backup(&self, group: u32) -> Vec<u8> {
        let mut raw = self.raw.clone();
        raw.s_block_group_nr.set(group as u16);
        raw.s_state.set(raw.s_state.get() & !EXT4_VALID_FS);
        raw.s_feature_incompat.set(raw.s_feature_incompat.get() & !incompat::RECOVER);
        if self.has_metadata_checksums() {
            let computed = crc32c(!0, &raw.as_bytes()[..1020]);
            raw.s_checksum.set(computed);
        }
        raw.as_bytes().to_vec()
    }

    /// Sets the number of blocks, and those of groups and inodes that go with it; the caller has
    /// seen that they can be counted.
    pub(crate) fn set_blocks(&mut self, blocks: u64) {
        self.raw.s_blocks_count_lo.set(blocks as u32);
        self.raw.s_blocks_count_hi.set((blocks >> 32) as u32);
        let groups = (blocks - self.first_data_block()).div_ceil(u64::from(self.blocks_per_group()));
        self.group_count = groups as u32;
        self.raw.s_inodes_count.set(self.inodes_per_group() * self.group_count);
    }

    /// Label, without its padding.
    pub fn label(&self) -> &[u8] {
        let name = &self.raw.s_volume_name;
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        &name[..end]
    }

    /// UUID, in the order it is printed.
    pub fn uuid(&self) -> [u8; 16] {
        self.raw.s_uuid
    }

    /// When a kernel or e2fsprogs last wrote to the file system; edits here do not change it.
    pub fn written(&self) -> Time {
        let seconds = u64::from(self.raw.s_times_hi[0]) << 32 | u64::from(self.raw.s_wtime.get());
        Time { seconds: i64::try_from(seconds).unwrap_or(0), nanoseconds: 0 }
    }

    /// Block size in bytes: 1024 to 65536.
    pub fn block_size_bytes(&self) -> u32 {
        self.block_size_bytes
    }

    /// Inode size in bytes: 128 or more.
    pub fn inode_size_bytes(&self) -> u16 {
        self.inode_size_bytes
    }

    /// Number of blocks.
    pub fn blocks(&self) -> u64 {
        self.join(self.raw.s_blocks_count_lo.get(), self.raw.s_blocks_count_hi.get())
    }

    /// Number of free blocks.
    pub fn free_blocks(&self) -> u64 {
        self.join(self.raw.s_free_blocks_count_lo.get(), self.raw.s_free_blocks_count_hi.get())
    }

    /// Number of inodes.
    pub fn inodes(&self) -> u32 {
        self.raw.s_inodes_count.get()
    }

    /// Number of free inodes.
    pub fn free_inodes(&self) -> u32 {
        self.raw.s_free_inodes_count.get()
    }

    /// Number of block groups.
    pub fn groups(&self) -> u32 {
        self.group_count
    }

    /// `ext2`, `ext3` or `ext4`: by its features, as `blkid` tells them apart.
    pub fn kind(&self) -> &'static str {
        features::kind(&self.raw)
    }

    /// The features' names as `dumpe2fs` prints them.
    pub fn features(&self) -> Vec<String> {
        features::names(&self.raw)
    }

    /// Whether errors were noted in the file system and not repaired since.
    pub fn has_errors(&self) -> bool {
        self.raw.s_state.get() & EXT4_ERROR_FS != 0 || self.raw.s_error_count.get() != 0
    }

    /// Number of blocks that only root may allocate.
    pub(crate) fn reserved_blocks(&self) -> u64 {
        self.join(self.raw.s_r_blocks_count_lo.get(), self.raw.s_r_blocks_count_hi.get())
    }

    pub(crate) fn set_reserved_blocks(&mut self, reserved: u64) {
        self.raw.s_r_blocks_count_lo.set(reserved as u32);
        self.raw.s_r_blocks_count_hi.set((reserved >> 32) as u32);
    }

    pub(crate) fn set_free_blocks(&mut self, free: u64) {
        self.raw.s_free_blocks_count_lo.set(free as u32);
        if self.has_incompat(incompat::BIT64) {
            self.raw.s_free_blocks_count_hi.set((free >> 32) as u32);
        }
    }

    /// Blocks that are allocated together: more than one with bigalloc only. Groups count what is free
    /// in these.
    pub(crate) fn cluster_blocks(&self) -> u64 {
        cluster_blocks(&self.raw)
    }

    pub(crate) fn first_data_block(&self) -> u64 {
        u64::from(self.raw.s_first_data_block.get())
    }

    pub(crate) fn first_inode(&self) -> u32 {
        if self.raw.s_rev_level.get() == 0 { 11 } else { self.raw.s_first_ino.get() }
    }

    pub(crate) fn blocks_per_group(&self) -> u32 {
        self.raw.s_blocks_per_group.get()
    }

    pub(crate) fn inodes_per_group(&self) -> u32 {
        self.raw.s_inodes_per_group.get()
    }

    pub(crate) fn descriptor_size_bytes(&self) -> usize {
        usize::from(self.descriptor_size_bytes)
    }

    pub(crate) fn has_compat(&self, mask: u32) -> bool {
        self.raw.s_feature_compat.get() & mask != 0
    }

    pub(crate) fn has_incompat(&self, mask: u32) -> bool {
        self.raw.s_feature_incompat.get() & mask != 0
    }

    pub(crate) fn has_ro_compat(&self, mask: u32) -> bool {
        self.raw.s_feature_ro_compat.get() & mask != 0
    }

    pub(crate) fn has_metadata_checksums(&self) -> bool {
        self.has_ro_compat(ro_compat::METADATA_CSUM)
    }

    /// The seed of every checksum except the super block's own.
    pub(crate) fn checksum_seed(&self) -> u32 {
        if self.has_incompat(incompat::CSUM_SEED) {
            self.raw.s_checksum_seed.get()
        } else {
            crc32c(!0, &self.raw.s_uuid)
        }
    }

    /// First block of `group`.
    pub(crate) fn group_first_block(&self, group: u32) -> u64 {
        self.first_data_block() + u64::from(group) * u64::from(self.blocks_per_group())
    }

    /// Number of blocks of `group`: the last may be shorter.
    pub(crate) fn group_blocks(&self, group: u32) -> u32 {
        (self.blocks() - self.group_first_block(group)).min(u64::from(self.blocks_per_group())) as u32
    }

    /// The group of `block`, and its index there.
    pub(crate) fn group_of_block(&self, block: u64) -> (u32, u32) {
        let index = block - self.first_data_block();
        let per_group = u64::from(self.blocks_per_group());
        ((index / per_group) as u32, (index % per_group) as u32)
    }

    /// Whether `block` is a block of the file system past the super block.
    pub(crate) fn is_data_block(&self, block: u64) -> bool {
        block > self.first_data_block() && block < self.blocks()
    }

    /// Blocks of an inode table.
    pub(crate) fn inode_table_blocks(&self) -> u64 {
        (u64::from(self.inodes_per_group()) * u64::from(self.inode_size_bytes))
            .div_ceil(u64::from(self.block_size_bytes))
    }

    pub(crate) fn descriptors_per_block(&self) -> u32 {
        self.block_size_bytes / u32::from(self.descriptor_size_bytes)
    }

    /// Blocks that descriptors take, reserved ones for growing not counted.
    pub(crate) fn descriptor_blocks(&self) -> u32 {
        self.group_count.div_ceil(self.descriptors_per_block())
    }

    /// Groups that have a backup of the super block.
    pub(crate) fn backup_groups(&self) -> impl Iterator<Item = u32> + '_ {
        (1..self.group_count).filter(|&group| self.has_superblock(group))
    }

    /// Whether `group` starts with a super block or a backup of it.
    pub(crate) fn has_superblock(&self, group: u32) -> bool {
        if group == 0 {
            return true;
        }
        if self.has_compat(compat::SPARSE_SUPER2) {
            return self.raw.s_backup_bgs.iter().any(|backup| backup.get() == group);
        }
        if group == 1 || !self.has_ro_compat(ro_compat::SPARSE_SUPER) {
            return true;
        }
        [3u32, 5, 7].into_iter().any(|base| {
            let power = std::iter::successors(Some(base), |power| power.checked_mul(base));
            power.take_while(|&power| power <= group).any(|power| power == group)
        })
    }

    /// The block that holds the descriptors of the `index`-th run of `descriptors_per_block` groups.
    pub(crate) fn descriptor_block(&self, index: u32) -> u64 {
        if !self.has_incompat(incompat::META_BG) || index < self.raw.s_first_meta_bg.get() {
            // They follow the super block, which is not in the first data block with bigalloc.
            let superblock = SUPERBLOCK_OFFSET / u64::from(self.block_size_bytes);
            return superblock + 1 + u64::from(index);
        }
        let group = index * self.descriptors_per_block();
        self.group_first_block(group) + u64::from(self.has_superblock(group))
    }

    /// Where the copies of that block are.
    pub(crate) fn descriptor_copies(&self, index: u32) -> Vec<u64> {
        let first_meta = self.raw.s_first_meta_bg.get();
        let per_block = self.descriptors_per_block();
        if !self.has_incompat(incompat::META_BG) || index < first_meta {
            // After each super block, except where a meta group has its own descriptors there.
            let is_meta = |group: u32| self.has_incompat(incompat::META_BG) && group / per_block >= first_meta;
            let groups = self.backup_groups().filter(|&group| !is_meta(group));
            return groups.map(|group| self.group_first_block(group) + 1 + u64::from(index)).collect();
        }
        let first = index * per_block;
        let groups = [first + 1, first + per_block - 1];
        let place = |group: u32| self.group_first_block(group) + u64::from(self.has_superblock(group));
        groups.into_iter().filter(|&group| group < self.group_count).map(place).collect()
    }

    /// How many blocks at the start of `group` hold super block, descriptors and room for more.
    pub(crate) fn base_metadata_blocks(&self, group: u32) -> u32 {
        let [superblock, descriptors, reserved] = self.base_metadata(group);
        superblock + descriptors + reserved
    }

    /// The same, in three parts: super block, descriptors, blocks kept free for more descriptors.
    pub(crate) fn base_metadata(&self, group: u32) -> [u32; 3] {
        let superblock = u32::from(self.has_superblock(group));
        let first_meta = self.raw.s_first_meta_bg.get();
        let per_block = self.descriptors_per_block();
        if !self.has_incompat(incompat::META_BG) || group < first_meta.saturating_mul(per_block) {
            let descriptors = if self.has_incompat(incompat::META_BG) { first_meta } else { self.descriptor_blocks() };
            let reserved = u32::from(self.raw.s_reserved_gdt_blocks.get());
            return if superblock == 1 { [1, descriptors, reserved] } else { [0; 3] };
        }
        // The first, second and last group of a meta group have a copy of its descriptor block.
        let in_meta = group % per_block;
        [superblock, u32::from(in_meta == 0 || in_meta == 1 || in_meta == per_block - 1), 0]
    }

    /// Joins the halves of a number. The high half counts with the 64bit feature only.
    pub(crate) fn join(&self, low: u32, high: u32) -> u64 {
        let high = if self.has_incompat(incompat::BIT64) { high } else { 0 };
        u64::from(high) << 32 | u64::from(low)
    }
}
