//! The bytes of ext4, each structure stated once, with the kernel documentation's field names.
//!
//! Nothing here decides anything: a structure is read from bytes, changed field by field and
//! written back, so that fields we do not understand go back as they were.

pub(crate) mod directory;
pub(crate) mod extent;
pub(crate) mod group_descriptor;
pub(crate) mod inode;
pub(crate) mod jbd2;
pub(crate) mod orphan_file;
pub(crate) mod quota;
pub(crate) mod superblock;
pub(crate) mod xattr;
