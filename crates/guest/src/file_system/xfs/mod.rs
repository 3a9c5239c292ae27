//! XFS. What our own engine can edit, version 5 with a clean log, it reads, too; the rest is read by a library.

mod account;
mod engine;
mod library;

use super::{Bytes, FileSystem, Kind, Result, Support};

/// `sb_magicnum`.
pub(super) const KIND: Kind =
    Kind { name: "xfs", signatures: &[&[(0, b"XFSB")]], support: Support::Opens { open, name: |_| None } };

/// Flags of `di_flags`, and the same ones as `lsattr` shows them: append only, immutable, synchronous, no access times,
/// no dump.
const FLAGS: [(u16, u32); 5] = [(0x10, 0x20), (0x8, 0x10), (0x20, 0x8), (0x40, 0x80), (0x80, 0x40)];

fn open(bytes: Bytes) -> Result<Box<dyn FileSystem>> {
    match engine::open(bytes.clone()) {
        Ok(Ok(file_system)) => Ok(file_system),
        Ok(Err(reason)) => library::open(bytes, format!("imgraft can only read this XFS: {reason}")),
        Err(error @ xfs::Error::Storage(_)) => Err(error.into()),
        // What the engine cannot open may be an older version, or damaged in a part that the library does not need.
        Err(error) => library::open(bytes, format!("imgraft can only read this XFS: {error}")),
    }
}

/// The names of features, as `xfs_info` prints them.
fn features(ro_compat: u32, incompat: u32) -> Vec<String> {
    let names = xfs::feature_names(ro_compat, incompat).into_iter();
    std::iter::once("crc").chain(names).map(String::from).collect()
}

/// The flags that `lsattr` shows.
fn shown_flags(flags: u16) -> u32 {
    FLAGS.iter().filter(|(bit, _)| flags & bit != 0).fold(0, |all, (_, flag)| all | flag)
}

/// Those of `di_flags` in place of which these are, and the others as they are; `None` if XFS lacks one of them.
fn stored_flags(flags: u16, shown: u32) -> Option<u16> {
    let known = FLAGS.iter().fold(0, |all, (_, flag)| all | flag);
    let kept = FLAGS.iter().fold(flags, |left, (bit, _)| left & !bit);
    let set = FLAGS.iter().filter(|(_, flag)| shown & flag != 0).fold(kept, |all, (bit, _)| all | bit);
    (shown & !known == 0).then_some(set)
}
