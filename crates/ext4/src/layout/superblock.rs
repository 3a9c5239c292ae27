//! The super block: 1024 bytes at offset 1024.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Offset in bytes of the super block from the start of the file system.
pub(crate) const SUPERBLOCK_OFFSET: u64 = 1024;
/// `s_magic`.
pub(crate) const EXT4_SUPER_MAGIC: u16 = 0xEF53;
/// `s_state`: unmounted cleanly.
pub(crate) const EXT4_VALID_FS: u16 = 0x1;
/// `s_state`: errors were detected.
pub(crate) const EXT4_ERROR_FS: u16 = 0x2;
/// `s_creator_os`: the Hurd.
pub(crate) const EXT2_OS_HURD: u32 = 1;
/// `s_flags`: directory hashes take names as unsigned bytes.
pub(crate) const EXT2_FLAGS_UNSIGNED_HASH: u32 = 0x2;

/// `struct ext4_super_block`.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawSuperblock {
    /// 0x00: total inode count
    pub(crate) s_inodes_count: U32,
    /// 0x04: total block count, low 32 bits
    pub(crate) s_blocks_count_lo: U32,
    /// 0x08: blocks that only root may allocate, low 32 bits
    pub(crate) s_r_blocks_count_lo: U32,
    /// 0x0C: free block count, low 32 bits
    pub(crate) s_free_blocks_count_lo: U32,
    /// 0x10: free inode count
    pub(crate) s_free_inodes_count: U32,
    /// 0x14: first data block: 1 with 1 KiB blocks, otherwise 0
    pub(crate) s_first_data_block: U32,
    /// 0x18: block size is 2^(10 + this)
    pub(crate) s_log_block_size: U32,
    /// 0x1C: cluster size is 2^(10 + this)
    pub(crate) s_log_cluster_size: U32,
    /// 0x20: blocks per group
    pub(crate) s_blocks_per_group: U32,
    /// 0x24: clusters per group
    pub(crate) s_clusters_per_group: U32,
    /// 0x28: inodes per group
    pub(crate) s_inodes_per_group: U32,
    /// 0x2C: mount time
    pub(crate) s_mtime: U32,
    /// 0x30: write time
    pub(crate) s_wtime: U32,
    /// 0x34: mounts since the last fsck
    pub(crate) s_mnt_count: U16,
    /// 0x36: mounts after which fsck is needed
    pub(crate) s_max_mnt_count: U16,
    /// 0x38: magic, 0xEF53
    pub(crate) s_magic: U16,
    /// 0x3A: file system state
    pub(crate) s_state: U16,
    /// 0x3C: behaviour when errors are found
    pub(crate) s_errors: U16,
    /// 0x3E: minor revision level
    pub(crate) s_minor_rev_level: U16,
    /// 0x40: time of the last check
    pub(crate) s_lastcheck: U32,
    /// 0x44: most seconds between checks
    pub(crate) s_checkinterval: U32,
    /// 0x48: creator OS
    pub(crate) s_creator_os: U32,
    /// 0x4C: revision level: 1 has dynamic inode sizes
    pub(crate) s_rev_level: U32,
    /// 0x50: default uid for reserved blocks
    pub(crate) s_def_resuid: U16,
    /// 0x52: default gid for reserved blocks
    pub(crate) s_def_resgid: U16,
    /// 0x54: first non-reserved inode
    pub(crate) s_first_ino: U32,
    /// 0x58: inode size in bytes
    pub(crate) s_inode_size: U16,
    /// 0x5A: group of this super block
    pub(crate) s_block_group_nr: U16,
    /// 0x5C: compatible features
    pub(crate) s_feature_compat: U32,
    /// 0x60: incompatible features
    pub(crate) s_feature_incompat: U32,
    /// 0x64: read-only-compatible features
    pub(crate) s_feature_ro_compat: U32,
    /// 0x68: UUID of the volume
    pub(crate) s_uuid: [u8; 16],
    /// 0x78: label, NUL-padded
    pub(crate) s_volume_name: [u8; 16],
    /// 0x88: where it was last mounted
    pub(crate) s_last_mounted: [u8; 64],
    /// 0xC8: for compression
    pub(crate) s_algorithm_usage_bitmap: U32,
    /// 0xCC: blocks to preallocate for files
    pub(crate) s_prealloc_blocks: u8,
    /// 0xCD: blocks to preallocate for directories
    pub(crate) s_prealloc_dir_blocks: u8,
    /// 0xCE: GDT blocks reserved for growing
    pub(crate) s_reserved_gdt_blocks: U16,
    /// 0xD0: UUID of the journal's super block
    pub(crate) s_journal_uuid: [u8; 16],
    /// 0xE0: inode of the journal file
    pub(crate) s_journal_inum: U32,
    /// 0xE4: device number of an external journal
    pub(crate) s_journal_dev: U32,
    /// 0xE8: head of the list of orphaned inodes
    pub(crate) s_last_orphan: U32,
    /// 0xEC: seed of the directory hash
    pub(crate) s_hash_seed: [U32; 4],
    /// 0xFC: default hash of directories
    pub(crate) s_def_hash_version: u8,
    /// 0xFD: what `s_jnl_blocks` holds
    pub(crate) s_jnl_backup_type: u8,
    /// 0xFE: group descriptor size in bytes, with the 64bit feature
    pub(crate) s_desc_size: U16,
    /// 0x100: default mount options
    pub(crate) s_default_mount_opts: U32,
    /// 0x104: first meta block group, with meta_bg
    pub(crate) s_first_meta_bg: U32,
    /// 0x108: when the file system was made
    pub(crate) s_mkfs_time: U32,
    /// 0x10C: copy of the journal inode's `i_block` and size
    pub(crate) s_jnl_blocks: [U32; 17],
    /// 0x150: total block count, high 32 bits
    pub(crate) s_blocks_count_hi: U32,
    /// 0x154: reserved block count, high 32 bits
    pub(crate) s_r_blocks_count_hi: U32,
    /// 0x158: free block count, high 32 bits
    pub(crate) s_free_blocks_count_hi: U32,
    /// 0x15C: every inode has at least this many extra bytes
    pub(crate) s_min_extra_isize: U16,
    /// 0x15E: new inodes should reserve this many extra bytes
    pub(crate) s_want_extra_isize: U16,
    /// 0x160: flags
    pub(crate) s_flags: U32,
    /// 0x164: RAID stride
    pub(crate) s_raid_stride: U16,
    /// 0x166: multi-mount protection interval
    pub(crate) s_mmp_interval: U16,
    /// 0x168: multi-mount protection block
    pub(crate) s_mmp_block: U64,
    /// 0x170: RAID stripe width
    pub(crate) s_raid_stripe_width: U32,
    /// 0x174: a flexible group has 2^this groups
    pub(crate) s_log_groups_per_flex: u8,
    /// 0x175: metadata checksum: 1 is crc32c
    pub(crate) s_checksum_type: u8,
    /// 0x176: padding
    pub(crate) s_reserved_pad: U16,
    /// 0x178: KiB written in the file system's lifetime
    pub(crate) s_kbytes_written: U64,
    /// 0x180: snapshots (not in the kernel)
    pub(crate) s_snapshot: [U32; 5],
    /// 0x194: errors seen
    pub(crate) s_error_count: U32,
    /// 0x198: first and last error: times, inodes, blocks, functions, lines
    pub(crate) s_error_details: [u8; 104],
    /// 0x200: mount options
    pub(crate) s_mount_opts: [u8; 64],
    /// 0x240: inode of the user quota file
    pub(crate) s_usr_quota_inum: U32,
    /// 0x244: inode of the group quota file
    pub(crate) s_grp_quota_inum: U32,
    /// 0x248: overhead blocks
    pub(crate) s_overhead_blocks: U32,
    /// 0x24C: groups with super block backups, with sparse_super2
    pub(crate) s_backup_bgs: [U32; 2],
    /// 0x254: encryption algorithms
    pub(crate) s_encrypt_algos: [u8; 4],
    /// 0x258: encryption salt
    pub(crate) s_encrypt_pw_salt: [u8; 16],
    /// 0x268: inode of lost+found
    pub(crate) s_lpf_ino: U32,
    /// 0x26C: inode of the project quota file
    pub(crate) s_prj_quota_inum: U32,
    /// 0x270: checksum seed, with metadata_csum_seed
    pub(crate) s_checksum_seed: U32,
    /// 0x274: high bytes of times
    pub(crate) s_times_hi: [u8; 7],
    /// 0x27B: padding
    pub(crate) s_pad: u8,
    /// 0x27C: file name encoding
    pub(crate) s_encoding: U16,
    /// 0x27E: file name encoding flags
    pub(crate) s_encoding_flags: U16,
    /// 0x280: inode of the orphan file
    pub(crate) s_orphan_file_inum: U32,
    /// 0x284: padding
    pub(crate) s_reserved: [U32; 94],
    /// 0x3FC: crc32c of all bytes before
    pub(crate) s_checksum: U32,
}

const _: () = assert!(size_of::<RawSuperblock>() == 1024);
const _: () = assert!(core::mem::offset_of!(RawSuperblock, s_uuid) == 0x68);
const _: () = assert!(core::mem::offset_of!(RawSuperblock, s_blocks_count_hi) == 0x150);
const _: () = assert!(core::mem::offset_of!(RawSuperblock, s_error_count) == 0x194);
const _: () = assert!(core::mem::offset_of!(RawSuperblock, s_usr_quota_inum) == 0x240);
const _: () = assert!(core::mem::offset_of!(RawSuperblock, s_checksum_seed) == 0x270);
const _: () = assert!(core::mem::offset_of!(RawSuperblock, s_orphan_file_inum) == 0x280);
const _: () = assert!(core::mem::offset_of!(RawSuperblock, s_checksum) == 0x3FC);
