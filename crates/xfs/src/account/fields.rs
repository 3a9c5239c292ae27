//! Fields of the super block and of inodes, by the names that the kernel has for them.

use metadata::Expected;

use crate::layout::inode::{LITERAL_AT, RawInode};
use crate::layout::superblock::RawSuperblock;

/// A field: its name, where it begins and its length in bytes.
pub(super) type Field = (&'static str, usize, usize);

macro_rules! fields {
    ($raw:ty: $($name:ident $length:expr),* $(,)?) => {
        [$((stringify!($name), std::mem::offset_of!($raw, $name), $length)),*]
    };
}

/// Fields of the super block that differ after edits: counts, the checksum, whether counts of quotas are right; and
/// behind those [`COUNTS`], its sizes.
pub(super) const COUNTS_AND_SIZES: [&str; 7] =
    ["sb_icount", "sb_ifree", "sb_fdblocks", "sb_qflags", "sb_crc", "sb_dblocks", "sb_agcount"];
pub(super) const COUNTS: usize = 5;

/// Fields of the super block, those that follow each other and may not differ as one.
pub(super) const SUPERBLOCK: [Field; 14] = fields! { RawSuperblock:
    sb_magicnum 8,
    sb_dblocks 8,
    sb_rblocks 16,
    sb_uuid 16,
    sb_logstart 40,
    sb_agcount 4,
    sb_rbmblocks 36,
    sb_icount 8,
    sb_ifree 8,
    sb_fdblocks 8,
    sb_frextents 24,
    sb_qflags 2,
    sb_flags 46,
    sb_crc 4,
};
/// Where the fields behind the checksum begin.
const BEHIND_CRC: usize = std::mem::offset_of!(RawSuperblock, sb_spino_align);

/// The fields that differ.
pub(super) fn differing(old: &[u8], new: &[u8], fields: &[Field]) -> Vec<&'static str> {
    let differs = |at: usize, end: usize| old.get(at..end) != new.get(at..end);
    let mut found: Vec<&'static str> =
        fields.iter().filter(|(_, at, length)| differs(*at, at + length)).map(|(name, ..)| *name).collect();
    if old.get(BEHIND_CRC..) != new.get(BEHIND_CRC..) {
        found.push("what follows sb_crc");
    }
    found
}

/// Fields of an inode that a directory keeps when names in it come and go.
const KEPT_BY_DIRECTORY: [Field; 9] = fields! { RawInode:
    di_mode 2,
    di_uid 4,
    di_gid 4,
    di_projid_lo 4,
    di_atime 8,
    di_mtime 8,
    di_ctime 8,
    di_flags 2,
    di_crtime 8,
};
/// Those that a file keeps of which nothing may be seen to differ.
const KEPT_UNSEEN: [Field; 8] = fields! { RawInode:
    di_mode 2,
    di_uid 4,
    di_gid 4,
    di_nlink 4,
    di_projid_lo 4,
    di_mtime 8,
    di_size 8,
    di_crtime 8,
};

/// What is wrong with the difference of two inodes, of which both are in use.
pub(super) fn inode_problem(old: &[u8], new: &[u8], expected: Expected) -> Option<String> {
    let kept: &[Field] = match expected {
        Expected::Nothing => return Some("it differs".to_owned()),
        Expected::Unseen => &KEPT_UNSEEN,
        Expected::Entries => &KEPT_BY_DIRECTORY,
        Expected::Anything => return None,
    };
    debug_assert!(kept.iter().all(|(_, at, length)| at + length <= LITERAL_AT));
    let field = kept.iter().find(|(_, at, length)| old[*at..at + length] != new[*at..at + length]);
    field.map(|(name, ..)| format!("{name} differs"))
}
