//! A seed as a disk that cloud-init finds by its label.
//!
//! cloud-init's data source NoCloud asks `blkid` for disks with the label `cidata` or `CIDATA` that have a vfat or an
//! iso9660 file system:
//!
//! ```text
//! $ blkid seed.iso
//! seed.iso: BLOCK_SIZE="2048" UUID="2026-11-29-09-49-37-00" LABEL="cidata" TYPE="iso9660"
//! $ isoinfo -l -R -i seed.iso
//! -rw-r--r--   1    0    0              17 Nov 29 2026 [     31 00]  meta-data
//! -rw-r--r--   1    0    0              28 Nov 29 2026 [     32 00]  user-data
//! ```
//!
//! It mounts such a disk and reads `meta-data` and `user-data`, which both have to exist, and `vendor-data` and
//! `network-config` if they exist. The `instance-id` in `meta-data`, such as `i-1`, names the seed: a guest that finds
//! another one than at its last boot does everything again that belongs to a first boot.

use std::sync::Arc;

use fat::NewVolume;
use iso9660::{Directory, Node, Options};
use storage::Sequence;

use crate::digest::ContentDigest;
use crate::{Error, Seed};

/// All capitals or none: cloud-init does not find a mixed spelling.
const LABEL: &str = "cidata";
const DIRECTORY_PERMISSIONS: u16 = 0o555;
const FILE_PERMISSIONS: u16 = 0o644;

pub(crate) fn iso(seed: &Seed, seconds: u32) -> Result<Sequence, Error> {
    let file = |content| Node::File { permissions: FILE_PERMISSIONS, content: Arc::clone(content) };
    let entries = seed.files().into_iter().map(|(name, content)| (name.to_owned(), file(content)));
    let root = Directory { permissions: DIRECTORY_PERMISSIONS, entries: entries.collect() };
    iso9660::create(&root, &Options { volume_id: LABEL, seconds: seconds.into() }).map_err(Error::Iso)
}

pub(crate) fn vfat(seed: &Seed, seconds: u32) -> Result<Sequence, Error> {
    let digest = ContentDigest::of_files(seed.files().into_iter())?.finish();
    let serial = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let modified = fat::Time { seconds: seconds.into(), nanoseconds: 0 };
    let files: Vec<_> = seed.files().into_iter().map(|(name, content)| (name, Arc::clone(content))).collect();
    fat::create(&files, &NewVolume { label: LABEL, serial, modified }).map_err(Error::Vfat)
}
