//! Making a file system: the super block by the rules of `mke2fs`, and the rest as growing adds it.

use metadata::{Attributes, FileKind, Time};
use storage::WriteAt;
use zerocopy::{FromZeros, IntoBytes};

use crate::block_map::BlockMap;
use crate::checksum::crc32c;
use crate::error::{Error, Result};
use crate::features::{compat, incompat, ro_compat};
use crate::filesystem::FileSystem;
use crate::grow::resize_inode::RESIZE_INODE;
use crate::inode::{Inode, InodeNumber};
use crate::layout::jbd2::{JBD2_MAGIC_NUMBER, JBD2_SUPERBLOCK_V2, RawJournalHeader, RawJournalSuperblock};
use crate::layout::superblock::{EXT4_SUPER_MAGIC, EXT4_VALID_FS, RawSuperblock};
use crate::superblock::Superblock;

const JOURNAL_INODE: InodeNumber = InodeNumber(8);
/// The first inode that is not reserved: that of `lost+found`.
const FIRST_INODE: u32 = 11;
/// `s_flags`: directory hashes take names as signed bytes.
const EXT2_FLAGS_SIGNED_HASH: u32 = 0x1;
/// `s_default_mount_opts`: `user_xattr` and `acl`.
const DEFAULT_MOUNT_OPTIONS: u32 = 0xC;
/// `s_def_hash_version`: half of MD4.
const HALF_MD4: u8 = 1;
/// `s_jnl_backup_type`: `s_jnl_blocks` has the journal inode's blocks and size.
const JOURNAL_BACKUP_BLOCKS: u8 = 1;
/// How many times larger the file system can become with the room that is kept free for its descriptors.
const GROWTH_FACTOR: u64 = 1024;
/// Size of a new `lost+found` in bytes, so that `e2fsck` can use it when the disk is full.
const LOST_AND_FOUND_BYTES: u64 = 16 << 10;
const LOST_AND_FOUND_MAX_BLOCKS: u64 = 12;
/// Blocks that a short last group must have apart from its metadata, as when growing.
const LEAST_CONTENT_BLOCKS: u64 = 50;

/// What a new file system has; each is called as `mke2fs -O` calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a bit on the disk")]
pub struct Features {
    /// A journal.
    pub has_journal: bool,
    /// Room for the descriptors of a file system that grows.
    pub resize_inode: bool,
    /// Extents in place of indirect blocks.
    pub extent: bool,
    /// More than 2^32 blocks.
    pub bit64: bool,
    /// Bitmaps and inode tables of 16 groups together.
    pub flex_bg: bool,
    /// Files of more than 2 TiB.
    pub huge_file: bool,
    /// Checksums of descriptors; not with `metadata_csum`, which has them.
    pub uninit_bg: bool,
    /// Directories with more than 65,000 in them.
    pub dir_nlink: bool,
    /// Times to the nanosecond, in inodes of 256 bytes.
    pub extra_isize: bool,
    /// Checksums of all metadata.
    pub metadata_csum: bool,
    /// Backups of super block and descriptors in few groups, not in each.
    pub sparse_super: bool,
    /// Descriptors in the groups that they describe; not with `resize_inode`.
    pub meta_bg: bool,
}

impl Features {
    /// What ext2 has.
    pub const EXT2: Self = Self {
        has_journal: false,
        resize_inode: true,
        extent: false,
        bit64: false,
        flex_bg: false,
        huge_file: false,
        uninit_bg: false,
        dir_nlink: false,
        extra_isize: false,
        metadata_csum: false,
        sparse_super: true,
        meta_bg: false,
    };
    /// What ext3 has.
    pub const EXT3: Self = Self { has_journal: true, ..Self::EXT2 };
    /// What ext4 has.
    pub const EXT4: Self = Self {
        extent: true,
        bit64: true,
        flex_bg: true,
        huge_file: true,
        dir_nlink: true,
        extra_isize: true,
        metadata_csum: true,
        ..Self::EXT3
    };
}

/// How many inodes a new file system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InodeCount {
    /// One for so many bytes of the file system.
    BytesPerInode(u32),
    /// So many, or a few more.
    Number(u32),
}

/// How a file system is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateOptions {
    /// 1024, 2048 or 4096.
    pub block_size_bytes: u32,
    /// Number of blocks; `None` is as many as the storage has.
    pub blocks: Option<u64>,
    /// 128 or 256.
    pub inode_size_bytes: u16,
    /// How many inodes there are.
    pub inodes: InodeCount,
    /// What it has.
    pub features: Features,
    /// Its label, of 16 bytes at most.
    pub label: Vec<u8>,
    /// Its UUID, in the order it is printed.
    pub uuid: [u8; 16],
    /// What the hashes of names in directories begin with, in the order of a UUID.
    pub hash_seed: [u8; 16],
    /// Hundredths of the blocks that only root may allocate, up to 50.
    pub reserved_percent: u8,
    /// Its time, and that of what is in it.
    pub created: Time,
}

impl Default for CreateOptions {
    /// An ext4 as `mke2fs` makes one of 512 MiB and more, without UUID and hash seed.
    fn default() -> Self {
        Self {
            block_size_bytes: 4096,
            blocks: None,
            inode_size_bytes: 256,
            inodes: InodeCount::BytesPerInode(16384),
            features: Features::EXT4,
            label: Vec::new(),
            uuid: [0; 16],
            hash_seed: [0; 16],
            reserved_percent: 5,
            created: Time::default(),
        }
    }
}

fn too_large(what: impl Into<String>) -> Error {
    Error::TooLarge { what: what.into() }
}

impl CreateOptions {
    fn check(&self) -> Result<()> {
        let features = &self.features;
        let problem = if !matches!(self.block_size_bytes, 1024 | 2048 | 4096) {
            format!("blocks of {} bytes, expected 1024, 2048 or 4096", self.block_size_bytes)
        } else if !matches!(self.inode_size_bytes, 128 | 256) {
            format!("inodes of {} bytes, expected 128 or 256", self.inode_size_bytes)
        } else if self.label.len() > 16 || self.label.contains(&0) {
            "a label of more than 16 bytes, or with a NUL".to_owned()
        } else if self.reserved_percent > 50 {
            format!("{} % reserved, expected at most 50", self.reserved_percent)
        } else if matches!(self.inodes, InodeCount::BytesPerInode(0)) {
            "an inode for every 0 bytes".to_owned()
        } else if features.meta_bg && features.resize_inode {
            "meta_bg with resize_inode".to_owned()
        } else if features.resize_inode && !features.sparse_super {
            "resize_inode without sparse_super".to_owned()
        } else if features.metadata_csum && features.uninit_bg {
            "uninit_bg with metadata_csum".to_owned()
        } else {
            return Ok(());
        };
        Err(too_large(problem))
    }

    fn feature_flags(&self) -> [u32; 3] {
        let Features { has_journal, resize_inode, extent, bit64, flex_bg, huge_file, .. } = self.features;
        let Features { uninit_bg, dir_nlink, extra_isize, metadata_csum, sparse_super, meta_bg, .. } = self.features;
        let sum = |flags: &[(bool, u32)]| flags.iter().filter(|(set, _)| *set).fold(0, |sum, (_, flag)| sum | flag);
        [
            compat::EXT_ATTR
                | compat::DIR_INDEX
                | sum(&[(has_journal, compat::HAS_JOURNAL), (resize_inode, compat::RESIZE_INODE)]),
            incompat::FILETYPE
                | sum(&[
                    (extent, incompat::EXTENTS),
                    (bit64, incompat::BIT64),
                    (flex_bg, incompat::FLEX_BG),
                    (meta_bg, incompat::META_BG),
                ]),
            ro_compat::LARGE_FILE
                | sum(&[
                    (sparse_super, ro_compat::SPARSE_SUPER),
                    (huge_file, ro_compat::HUGE_FILE),
                    (uninit_bg, ro_compat::GDT_CSUM),
                    (dir_nlink, ro_compat::DIR_NLINK),
                    (extra_isize, ro_compat::EXTRA_ISIZE),
                    (metadata_csum, ro_compat::METADATA_CSUM),
                ]),
        ]
    }

    /// The super block of `blocks` blocks, or a few less where the last group would be too short.
    fn superblock(&self, blocks: u64, storage_bytes: u64) -> Result<Superblock> {
        let wanted_inodes = match self.inodes {
            InodeCount::Number(number) => u64::from(number),
            InodeCount::BytesPerInode(bytes) => blocks * u64::from(self.block_size_bytes) / u64::from(bytes),
        };
        let mut blocks = blocks;
        loop {
            let mut raw = self.raw_superblock();
            let first = u64::from(raw.s_first_data_block.get());
            if blocks <= first {
                return Err(too_large(format!("metadata of a file system of {blocks} blocks")));
            }
            let groups = (blocks - first).div_ceil(u64::from(raw.s_blocks_per_group.get()));
            let per_group = self.inodes_per_group(wanted_inodes, groups)?;
            raw.s_inodes_per_group.set(per_group);
            let inodes = u32::try_from(u64::from(per_group) * groups);
            raw.s_inodes_count.set(inodes.map_err(|_| too_large(format!("{groups} groups of {per_group} inodes")))?);
            raw.s_blocks_count_lo.set(blocks as u32);
            raw.s_blocks_count_hi.set((blocks >> 32) as u32);
            if self.features.metadata_csum {
                let checksum = crc32c(!0, &raw.as_bytes()[..1020]);
                raw.s_checksum.set(checksum);
            }
            let mut superblock = Superblock::parse(raw, storage_bytes)?;
            superblock.set_reserved_blocks(blocks * u64::from(self.reserved_percent) / 100);
            let kept_free = if self.features.resize_inode { self.descriptor_room(&superblock) } else { 0 };
            superblock.raw.s_reserved_gdt_blocks.set(kept_free);

            let last = superblock.groups() - 1;
            let rest = u64::from(superblock.group_blocks(last));
            let metadata = u64::from(superblock.base_metadata_blocks(last)) + 2 + superblock.inode_table_blocks();
            if rest == u64::from(superblock.blocks_per_group()) || (last > 0 && rest >= metadata + LEAST_CONTENT_BLOCKS)
            {
                return Ok(superblock);
            }
            if last == 0 {
                if rest < metadata + LEAST_CONTENT_BLOCKS {
                    return Err(too_large(format!("metadata of a file system of {blocks} blocks")));
                }
                return Ok(superblock);
            }
            blocks -= rest;
        }
    }

    /// Blocks kept free for descriptors.
    fn descriptor_room(&self, superblock: &Superblock) -> u16 {
        let most = (superblock.blocks() * GROWTH_FACTOR).min(u64::from(u32::MAX));
        let groups = (most - superblock.first_data_block()).div_ceil(u64::from(superblock.blocks_per_group()));
        let blocks = groups.div_ceil(u64::from(superblock.descriptors_per_block()));
        let more = blocks.saturating_sub(u64::from(superblock.descriptor_blocks()));
        more.min(u64::from(self.block_size_bytes / 4)) as u16
    }

    /// Inodes of each group, so that its table has whole blocks and its bitmap whole bytes.
    fn inodes_per_group(&self, wanted: u64, groups: u64) -> Result<u32> {
        let least = wanted.max(u64::from(FIRST_INODE) + 1).div_ceil(groups);
        let per_block = u64::from(self.block_size_bytes) / u64::from(self.inode_size_bytes);
        let per_group = least.next_multiple_of(per_block).max(8) / 8 * 8;
        if per_group > u64::from(self.block_size_bytes) * 8 {
            return Err(too_large(format!("{per_group} inodes in each of {groups} groups")));
        }
        Ok(per_group as u32)
    }

    /// Everything that does not depend on the number of blocks.
    fn raw_superblock(&self) -> RawSuperblock {
        let mut raw = RawSuperblock::new_zeroed();
        let log = self.block_size_bytes.trailing_zeros() - 10;
        raw.s_log_block_size.set(log);
        raw.s_log_cluster_size.set(log);
        raw.s_first_data_block.set(u32::from(log == 0));
        raw.s_blocks_per_group.set(self.block_size_bytes * 8);
        raw.s_clusters_per_group.set(self.block_size_bytes * 8);
        let seconds = self.created.seconds as u32;
        raw.s_wtime.set(seconds);
        raw.s_lastcheck.set(seconds);
        raw.s_mkfs_time.set(seconds);
        raw.s_max_mnt_count.set(u16::MAX);
        raw.s_magic.set(EXT4_SUPER_MAGIC);
        raw.s_state.set(EXT4_VALID_FS);
        raw.s_errors.set(1);
        raw.s_rev_level.set(1);
        raw.s_first_ino.set(FIRST_INODE);
        raw.s_inode_size.set(self.inode_size_bytes);
        let [compat, incompat, ro_compat] = self.feature_flags();
        raw.s_feature_compat.set(compat);
        raw.s_feature_incompat.set(incompat);
        raw.s_feature_ro_compat.set(ro_compat);
        raw.s_uuid = self.uuid;
        raw.s_volume_name[..self.label.len()].copy_from_slice(&self.label);
        for (word, bytes) in raw.s_hash_seed.iter_mut().zip(self.hash_seed.chunks_exact(4)) {
            word.as_mut_bytes().copy_from_slice(bytes);
        }
        raw.s_def_hash_version = HALF_MD4;
        raw.s_flags.set(EXT2_FLAGS_SIGNED_HASH);
        raw.s_default_mount_opts.set(DEFAULT_MOUNT_OPTIONS);
        if self.features.bit64 {
            raw.s_desc_size.set(64);
        }
        if self.features.flex_bg {
            raw.s_log_groups_per_flex = 4;
        }
        if self.features.metadata_csum {
            raw.s_checksum_type = 1;
        }
        if self.inode_size_bytes > 128 {
            raw.s_min_extra_isize.set(32);
            raw.s_want_extra_isize.set(32);
        }
        raw
    }

    fn attributes(&self, permissions: u16) -> Attributes {
        Attributes { permissions, uid: 0, gid: 0, modified: self.created }
    }
}

/// Blocks of a journal for a file system of `blocks` blocks; 0 where it is too small for one.
fn journal_blocks(blocks: u64) -> u32 {
    let limits: [(u64, u32); 9] = [
        (2048, 0),
        (32 << 10, 1024),
        (256 << 10, 4096),
        (512 << 10, 8192),
        (4 << 20, 16384),
        (8 << 20, 32768),
        (16 << 20, 65536),
        (32 << 20, 131_072),
        (u64::MAX, 262_144),
    ];
    limits.into_iter().find(|(limit, _)| blocks < *limit).map_or(0, |(_, journal)| journal)
}

impl<S: WriteAt> FileSystem<S> {
    /// Makes a file system on `storage`, whatever is there, and writes all of it: empty except for
    /// `lost+found`.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] where the options do not go together or the storage is too small for them,
    /// [`Error::NoSpace`] where there is no room for the journal, [`Error::Storage`].
    pub fn create(storage: S, options: &CreateOptions) -> Result<Self> {
        options.check()?;
        let storage_blocks = storage.size_bytes() / u64::from(options.block_size_bytes);
        let blocks = options.blocks.unwrap_or(storage_blocks);
        if blocks > storage_blocks {
            return Err(too_large(format!("{blocks} blocks, the storage has room for {storage_blocks}")));
        }
        if !options.features.bit64 && blocks > u64::from(u32::MAX) {
            return Err(too_large(format!("{blocks} blocks without the 64bit feature")));
        }
        let mut superblock = options.superblock(blocks, storage.size_bytes())?;
        let journal_blocks = journal_blocks(superblock.blocks());
        if journal_blocks == 0 {
            let flags = superblock.raw.s_feature_compat.get() & !compat::HAS_JOURNAL;
            superblock.raw.s_feature_compat.set(flags);
        }
        let mut filesystem = Self::unmade(storage, superblock);
        filesystem.zero_blocks(0, filesystem.superblock.descriptor_block(0))?;
        filesystem.add_groups()?;
        filesystem.make_root(options)?;
        if filesystem.superblock.has_compat(compat::RESIZE_INODE) {
            filesystem.make_resize_inode(options)?;
        }
        let has_journal = filesystem.superblock.has_compat(compat::HAS_JOURNAL);
        if has_journal {
            filesystem.make_journal(journal_blocks, options)?;
        }
        filesystem.count_overhead(if has_journal { journal_blocks } else { 0 });
        filesystem.write_bitmaps()?;
        filesystem.write_descriptors_and_backups()?;
        filesystem.superblock_changed = true;
        filesystem.flush()?;
        Ok(filesystem)
    }

    /// The reserved inodes, the root, and `lost+found` in it.
    fn make_root(&mut self, options: &CreateOptions) -> Result<()> {
        for index in 0..FIRST_INODE - 1 {
            self.mark_inode(0, index, true, InodeNumber(index + 1) == InodeNumber::ROOT)?;
        }
        let mut root = Inode::new(InodeNumber::ROOT, FileKind::Directory, &options.attributes(0o755), &self.superblock);
        root.raw.i_links_count.set(2);
        self.start_map(&mut root)?;
        let (_, block) = self.append_block(&mut root)?;
        let mut builder = self.block_builder();
        let file_type = self.entry_type(FileKind::Directory);
        builder.push(InodeNumber::ROOT.0, file_type, b".");
        builder.push(InodeNumber::ROOT.0, file_type, b"..");
        self.write_leaf(&root, block, &mut builder.finish())?;
        let number = self.create_directory(InodeNumber::ROOT, b"lost+found", &options.attributes(0o700))?;
        let mut lost_and_found = self.inode(number)?;
        let blocks = (LOST_AND_FOUND_BYTES / self.block_size()).min(LOST_AND_FOUND_MAX_BLOCKS);
        for _ in 1..blocks {
            let (_, block) = self.append_block(&mut lost_and_found)?;
            self.write_leaf(&lost_and_found, block, &mut self.block_builder().finish())?;
        }
        Ok(())
    }

    fn make_resize_inode(&mut self, options: &CreateOptions) -> Result<()> {
        let mut inode = Inode::new(RESIZE_INODE, FileKind::Regular, &options.attributes(0o600), &self.superblock);
        let pointers = self.block_size() / 4;
        inode.set_size((pointers * pointers + pointers + 12) * self.block_size());
        let run = self.allocate_blocks(0, 1)?;
        self.store_new_resize_inode(inode, run[0].first)
    }

    fn make_journal(&mut self, blocks: u32, options: &CreateOptions) -> Result<()> {
        let mut inode = Inode::new(JOURNAL_INODE, FileKind::Regular, &options.attributes(0o600), &self.superblock);
        inode.set_size(u64::from(blocks) * self.block_size());
        self.start_map(&mut inode)?;
        let mut map = BlockMap::default();
        let whole = 0..u64::from(blocks);
        self.fill_holes(&mut inode, &mut map, std::slice::from_ref(&whole), false)?;
        for extent in &map.extents {
            self.zero_blocks(extent.physical, u64::from(extent.blocks))?;
        }
        let first = map.extents.first().map_or(0, |extent| extent.physical);
        self.store_map(&mut inode, map)?;
        self.write_inode(&mut inode)?;
        let mut log = RawJournalSuperblock::new_zeroed();
        log.s_header = RawJournalHeader {
            h_magic: JBD2_MAGIC_NUMBER.into(),
            h_blocktype: JBD2_SUPERBLOCK_V2.into(),
            h_sequence: 0.into(),
        };
        log.s_blocksize.set(self.superblock.block_size_bytes());
        log.s_maxlen.set(blocks);
        log.s_first.set(1);
        log.s_sequence.set(1);
        log.s_uuid = options.uuid;
        log.s_nr_users.set(1);
        self.storage.write_at(first * self.block_size(), log.as_bytes())?;

        let raw = &mut self.superblock.raw;
        raw.s_journal_inum.set(JOURNAL_INODE.0);
        raw.s_jnl_backup_type = JOURNAL_BACKUP_BLOCKS;
        let sizes = [inode.raw.i_size_high.get(), inode.raw.i_size_lo.get()].map(u32::to_le_bytes).concat();
        let copied = [&inode.raw.i_block[..], &sizes].concat();
        raw.s_jnl_blocks.as_mut_bytes().copy_from_slice(&copied);
        Ok(())
    }

    /// Options that no file system can have.
    fn count_overhead(&mut self, journal_blocks: u32) {
        let superblock = &self.superblock;
        let base: u64 = (0..superblock.groups()).map(|group| u64::from(superblock.base_metadata_blocks(group))).sum();
        let others = u64::from(superblock.groups()) * (2 + superblock.inode_table_blocks());
        let overhead = superblock.first_data_block() + base + others + u64::from(journal_blocks);
        self.superblock.raw.s_overhead_blocks.set(u32::try_from(overhead).unwrap_or(0));
    }
}
