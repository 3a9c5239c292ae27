//! The fields of the structures on disk by their names, to say which ones differ.

use std::mem::offset_of;

use crate::layout::group_descriptor::RawGroupDescriptor;
use crate::layout::inode::{RawInode, RawInodeExtra};
use crate::layout::superblock::RawSuperblock;

/// Offset in bytes and name; a field ends where the next one begins.
pub(super) type Fields = &'static [(usize, &'static str)];

macro_rules! fields {
    ($raw:ty, $base:expr, $($field:ident)*) => { &[$(($base + offset_of!($raw, $field), stringify!($field)),)*] };
}

pub(super) const SUPERBLOCK: Fields = fields!(RawSuperblock, 0,
    s_inodes_count s_blocks_count_lo s_r_blocks_count_lo s_free_blocks_count_lo s_free_inodes_count
    s_first_data_block s_log_block_size s_log_cluster_size s_blocks_per_group s_clusters_per_group
    s_inodes_per_group s_mtime s_wtime s_mnt_count s_max_mnt_count s_magic s_state s_errors s_minor_rev_level
    s_lastcheck s_checkinterval s_creator_os s_rev_level s_def_resuid s_def_resgid s_first_ino s_inode_size
    s_block_group_nr s_feature_compat s_feature_incompat s_feature_ro_compat s_uuid s_volume_name
    s_last_mounted s_algorithm_usage_bitmap s_prealloc_blocks s_prealloc_dir_blocks s_reserved_gdt_blocks
    s_journal_uuid s_journal_inum s_journal_dev s_last_orphan s_hash_seed s_def_hash_version s_jnl_backup_type
    s_desc_size s_default_mount_opts s_first_meta_bg s_mkfs_time s_jnl_blocks s_blocks_count_hi
    s_r_blocks_count_hi s_free_blocks_count_hi s_min_extra_isize s_want_extra_isize s_flags s_raid_stride
    s_mmp_interval s_mmp_block s_raid_stripe_width s_log_groups_per_flex s_checksum_type s_reserved_pad
    s_kbytes_written s_snapshot s_error_count s_error_details s_mount_opts s_usr_quota_inum s_grp_quota_inum
    s_overhead_blocks s_backup_bgs s_encrypt_algos s_encrypt_pw_salt s_lpf_ino s_prj_quota_inum
    s_checksum_seed s_times_hi s_pad s_encoding s_encoding_flags s_orphan_file_inum s_reserved s_checksum);

pub(super) const GROUP_DESCRIPTOR: Fields = fields!(RawGroupDescriptor, 0,
    bg_block_bitmap_lo bg_inode_bitmap_lo bg_inode_table_lo bg_free_blocks_count_lo bg_free_inodes_count_lo
    bg_used_dirs_count_lo bg_flags bg_exclude_bitmap_lo bg_block_bitmap_csum_lo bg_inode_bitmap_csum_lo
    bg_itable_unused_lo bg_checksum bg_block_bitmap_hi bg_inode_bitmap_hi bg_inode_table_hi
    bg_free_blocks_count_hi bg_free_inodes_count_hi bg_used_dirs_count_hi bg_itable_unused_hi
    bg_exclude_bitmap_hi bg_block_bitmap_csum_hi bg_inode_bitmap_csum_hi bg_reserved);

pub(super) const INODE: Fields = fields!(RawInode, 0,
    i_mode i_uid i_size_lo i_atime i_ctime i_mtime i_dtime i_gid i_links_count i_blocks_lo i_flags i_version
    i_block i_generation i_file_acl_lo i_size_high i_obso_faddr i_blocks_high i_file_acl_high i_uid_high
    i_gid_high i_checksum_lo i_reserved);

/// What follows, as far as `i_extra_isize` goes.
pub(super) const INODE_EXTRA: Fields = fields!(RawInodeExtra, size_of::<RawInode>(),
    i_extra_isize i_checksum_hi i_ctime_extra i_mtime_extra i_atime_extra i_crtime i_crtime_extra i_version_hi
    i_projid);

/// What an inode has after its fields.
pub(super) const BODY_ATTRIBUTES: &str = "attributes in the body";

/// The names of the fields in which two structures differ. The last field ends at `end`.
pub(super) fn differing(fields: Fields, old: &[u8], new: &[u8], end: usize) -> Vec<&'static str> {
    let ends = fields.iter().skip(1).map(|&(offset, _)| offset).chain([end]);
    let parts = fields.iter().zip(ends).map(|(&(start, name), past)| (name, start..past));
    parts.filter(|(_, range)| old.get(range.clone()) != new.get(range.clone())).map(|(name, _)| name).collect()
}

/// Those of `names` that `allowed` does not have.
pub(super) fn others<'a>(names: &[&'a str], allowed: &[&[&str]]) -> Vec<&'a str> {
    names.iter().copied().filter(|name| !allowed.iter().any(|list| list.contains(name))).collect()
}

/// The names of the fields in which two inodes' bytes differ.
pub(super) fn differing_inode(old: &[u8], new: &[u8]) -> Vec<&'static str> {
    let base = size_of::<RawInode>();
    let mut names = differing(INODE, old, new, base);
    let extra = |bytes: &[u8]| match bytes.get(base..base + 2) {
        Some(size) => usize::from(u16::from_le_bytes([size[0], size[1]])),
        None => 0,
    };
    let known = size_of::<RawInodeExtra>();
    let end = base + extra(old).max(extra(new)).min(known).min(new.len().saturating_sub(base));
    names.extend(differing(INODE_EXTRA, &old[..end.min(old.len())], &new[..end.min(new.len())], end));
    if old.get(end..) != new.get(end..) {
        names.push(BODY_ATTRIBUTES);
    }
    names
}
