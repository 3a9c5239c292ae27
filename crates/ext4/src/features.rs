//! Feature flags: which there are, which we read, which we write.

use crate::layout::superblock::RawSuperblock;

/// Compatible features: a program that does not know one can read the file system and, as a rule, write it.
pub(crate) mod compat {
    pub(crate) const HAS_JOURNAL: u32 = 0x4;
    pub(crate) const RESIZE_INODE: u32 = 0x10;
    pub(crate) const EXT_ATTR: u32 = 0x8;
    pub(crate) const DIR_INDEX: u32 = 0x20;
    pub(crate) const SPARSE_SUPER2: u32 = 0x200;
    pub(crate) const ORPHAN_FILE: u32 = 0x1000;
}

/// Incompatible features: a program that does not know one must not even read the file system.
pub(crate) mod incompat {
    pub(crate) const FILETYPE: u32 = 0x2;
    pub(crate) const RECOVER: u32 = 0x4;
    pub(crate) const META_BG: u32 = 0x10;
    pub(crate) const EXTENTS: u32 = 0x40;
    pub(crate) const BIT64: u32 = 0x80;
    pub(crate) const MMP: u32 = 0x100;
    pub(crate) const FLEX_BG: u32 = 0x200;
    pub(crate) const EA_INODE: u32 = 0x400;
    pub(crate) const CSUM_SEED: u32 = 0x2000;
    pub(crate) const LARGEDIR: u32 = 0x4000;
    pub(crate) const INLINE_DATA: u32 = 0x8000;
    pub(crate) const ENCRYPT: u32 = 0x1_0000;
    pub(crate) const CASEFOLD: u32 = 0x2_0000;
}

/// Read-only-compatible features: a program that does not know one can read the file system and must not write it.
pub(crate) mod ro_compat {
    pub(crate) const SPARSE_SUPER: u32 = 0x1;
    pub(crate) const LARGE_FILE: u32 = 0x2;
    pub(crate) const HUGE_FILE: u32 = 0x8;
    pub(crate) const GDT_CSUM: u32 = 0x10;
    pub(crate) const DIR_NLINK: u32 = 0x20;
    pub(crate) const EXTRA_ISIZE: u32 = 0x40;
    pub(crate) const QUOTA: u32 = 0x100;
    pub(crate) const BIGALLOC: u32 = 0x200;
    pub(crate) const METADATA_CSUM: u32 = 0x400;
    pub(crate) const PROJECT: u32 = 0x2000;
    pub(crate) const SHARED_BLOCKS: u32 = 0x4000;
    pub(crate) const ORPHAN_PRESENT: u32 = 0x1_0000;
}

const COMPAT_NAMES: &[(u32, &str)] = &[
    (0x1, "dir_prealloc"),
    (0x2, "imagic_inodes"),
    (0x4, "has_journal"),
    (0x8, "ext_attr"),
    (0x10, "resize_inode"),
    (0x20, "dir_index"),
    (0x40, "lazy_bg"),
    (0x80, "exclude_inode"),
    (0x100, "snapshot_bitmap"),
    (0x200, "sparse_super2"),
    (0x400, "fast_commit"),
    (0x800, "stable_inodes"),
    (0x1000, "orphan_file"),
];

const INCOMPAT_NAMES: &[(u32, &str)] = &[
    (0x1, "compression"),
    (0x2, "filetype"),
    (0x4, "needs_recovery"),
    (0x8, "journal_dev"),
    (0x10, "meta_bg"),
    (0x40, "extent"),
    (0x80, "64bit"),
    (0x100, "mmp"),
    (0x200, "flex_bg"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x2000, "metadata_csum_seed"),
    (0x4000, "large_dir"),
    (0x8000, "inline_data"),
    (0x1_0000, "encrypt"),
    (0x2_0000, "casefold"),
];

const RO_COMPAT_NAMES: &[(u32, &str)] = &[
    (0x1, "sparse_super"),
    (0x2, "large_file"),
    (0x4, "btree_dir"),
    (0x8, "huge_file"),
    (0x10, "uninit_bg"),
    (0x20, "dir_nlink"),
    (0x40, "extra_isize"),
    (0x80, "snapshot"),
    (0x100, "quota"),
    (0x200, "bigalloc"),
    (0x400, "metadata_csum"),
    (0x800, "replica"),
    (0x1000, "read-only"),
    (0x2000, "project"),
    (0x4000, "shared_blocks"),
    (0x8000, "verity"),
    (0x1_0000, "orphan_present"),
];

const READ_INCOMPAT: u32 = incompat::FILETYPE
    | incompat::RECOVER
    | incompat::META_BG
    | incompat::EXTENTS
    | incompat::BIT64
    | incompat::MMP
    | incompat::FLEX_BG
    | incompat::EA_INODE
    | incompat::CSUM_SEED
    | incompat::LARGEDIR
    | incompat::INLINE_DATA
    | incompat::ENCRYPT
    | incompat::CASEFOLD;

const WRITE_INCOMPAT: u32 = READ_INCOMPAT & !(incompat::MMP | incompat::ENCRYPT | incompat::CASEFOLD);

const WRITE_RO_COMPAT: u32 = ro_compat::SPARSE_SUPER
    | ro_compat::LARGE_FILE
    | ro_compat::HUGE_FILE
    | ro_compat::GDT_CSUM
    | ro_compat::DIR_NLINK
    | ro_compat::EXTRA_ISIZE
    | ro_compat::METADATA_CSUM
    | ro_compat::QUOTA
    | ro_compat::PROJECT
    | ro_compat::ORPHAN_PRESENT;

/// The features' names as `dumpe2fs` prints them; bits without a name as `FEATURE_I20` (set, bit).
pub(crate) fn names(raw: &RawSuperblock) -> Vec<String> {
    [
        ('C', raw.s_feature_compat.get(), COMPAT_NAMES),
        ('I', raw.s_feature_incompat.get(), INCOMPAT_NAMES),
        ('R', raw.s_feature_ro_compat.get(), RO_COMPAT_NAMES),
    ]
    .into_iter()
    .flat_map(|(set, flags, known)| set_names(set, flags, known))
    .collect()
}

fn set_names(set: char, flags: u32, known: &[(u32, &str)]) -> Vec<String> {
    (0..32)
        .map(|bit| (bit, 1 << bit))
        .filter(|(_, mask)| flags & mask != 0)
        .map(|(bit, mask)| {
            let name = known.iter().find(|(value, _)| *value == mask).map(|(_, name)| (*name).to_owned());
            name.unwrap_or_else(|| format!("FEATURE_{set}{bit}"))
        })
        .collect()
}

/// What ext2 and ext3 may have of the features that are not merely compatible, as `blkid` tells them apart.
const EXT3_INCOMPAT: u32 = incompat::FILETYPE | incompat::RECOVER | incompat::META_BG;
const EXT3_RO_COMPAT: u32 = ro_compat::SPARSE_SUPER | ro_compat::LARGE_FILE | 0x4;

/// Which of the three it is by its features.
pub(crate) fn kind(raw: &RawSuperblock) -> &'static str {
    let is_older =
        raw.s_feature_incompat.get() & !EXT3_INCOMPAT == 0 && raw.s_feature_ro_compat.get() & !EXT3_RO_COMPAT == 0;
    match raw.s_feature_compat.get() & compat::HAS_JOURNAL {
        _ if !is_older => "ext4",
        0 => "ext2",
        _ => "ext3",
    }
}

/// The features for which the file system cannot be read.
pub(crate) fn unreadable(raw: &RawSuperblock) -> Vec<String> {
    set_names('I', raw.s_feature_incompat.get() & !READ_INCOMPAT, INCOMPAT_NAMES)
}

/// The features for which the file system cannot be written.
pub(crate) fn unwritable(raw: &RawSuperblock) -> Vec<String> {
    let mut names = set_names('I', raw.s_feature_incompat.get() & !WRITE_INCOMPAT, INCOMPAT_NAMES);
    names.extend(set_names('R', raw.s_feature_ro_compat.get() & !WRITE_RO_COMPAT, RO_COMPAT_NAMES));
    names
}
