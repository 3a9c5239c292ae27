//! What is exported.

use vm::Architecture;

use crate::name::cleaned;
use crate::{Bucket, Name};

/// When an image was made, if nobody says it: 1980-01-01. Incus calls the
/// date mandatory, and a missing one reads as 0.
const NO_TIME: i64 = 315_532_800;

/// An image that is exported, as far as its files do not tell.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it is called.
    pub name: Name,
    /// The processor that it is for.
    pub architecture: Architecture,
    /// What can start it.
    pub firmware: Firmware,
    /// The system in it, if that is known.
    pub system: Option<System>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// Whether a seed goes with it.
    pub has_seed: bool,
    /// The bucket that it goes through, if that is known.
    pub bucket: Option<Bucket>,
}

impl Subject {
    /// An image of an unknown system, made on 1980-01-01, without a seed.
    pub fn new(name: Name, architecture: Architecture, firmware: Firmware) -> Self {
        Self { name, architecture, firmware, system: None, created: NO_TIME, has_seed: false, bucket: None }
    }

    /// The name of a file of this image that ends with `end`.
    pub fn file(&self, end: &str) -> String {
        format!("{}{end}", self.name.slug())
    }

    /// The name of the file with the seed.
    pub fn seed_name(&self) -> String {
        self.file("-seed.iso")
    }

    /// The bucket, or the word that stands for it.
    pub(crate) fn bucket(&self) -> String {
        self.bucket.as_ref().map_or_else(|| "BUCKET".to_owned(), ToString::to_string)
    }

    /// What the system is called.
    pub(crate) fn system_name(&self) -> &str {
        self.system.as_ref().map_or("Linux", |system| &system.name)
    }

    pub(crate) fn is_arm(&self) -> bool {
        self.architecture == Architecture::Aarch64
    }
}

/// The kinds of firmware that can start an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// The PC's original one.
    pub bios: bool,
    /// UEFI, from an EFI system partition.
    pub uefi: bool,
}

/// A system as its `os-release` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// `ubuntu`
    pub id: String,
    /// `24.04`; a rolling distribution has none.
    pub version: Option<String>,
    /// `Ubuntu 24.04.3 LTS`
    pub name: String,
}

impl System {
    /// A system whose words come from an image: control characters are left out, and long ones are cut.
    pub fn new(id: &str, version: Option<&str>, name: &str) -> Self {
        Self { id: cleaned(id), version: version.map(cleaned), name: cleaned(name) }
    }
}

/// The disk, as a target takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The name of its file.
    pub file_name: String,
    /// The size of the disk in bytes.
    pub size_bytes: u64,
    /// The size of its file in bytes.
    pub file_size_bytes: u64,
    /// The SHA-256 of its file, in hexadecimal digits.
    pub sha256: String,
}

impl Disk {
    /// The size of the disk in GiB, rounded up.
    pub(crate) fn size_gib(&self) -> u64 {
        self.size_bytes.div_ceil(1 << 30)
    }
}

/// A small file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub content: Vec<u8>,
}

impl Text {
    pub(crate) fn new(name: String, content: impl Into<Vec<u8>>) -> Self {
        Self { name, content: content.into() }
    }
}
