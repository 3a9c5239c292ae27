//! A seed as a disk that cloud-init finds by its label.

use std::sync::Arc;

use fat::NewVolume;
use iso9660::{Directory, Node, Options};
use storage::Sequence;

use crate::digest::ContentDigest;
use crate::{Error, Seed};

/// In capitals or not; mixed, it is not found.
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
