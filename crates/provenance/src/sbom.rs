//! What both forms of SBOM say.

use sha2::{Digest, Sha256};

use crate::manifest::{Output, Tool};
use crate::purl::{Manager, Package};

/// What is in an image.
#[derive(Clone, Debug)]
pub struct Sbom {
    /// The image.
    pub image: Output,
    /// What made it.
    pub tool: Tool,
    /// The time of the documents, in UTC: `2026-11-29T21:47:41Z`.
    pub created: String,
    /// The guest's `ID` of os-release: `ubuntu`.
    pub system: String,
    /// Its `VERSION_ID`.
    pub system_version: Option<String>,
    /// Its `PRETTY_NAME`.
    pub system_name: String,
    /// The guest's packages, and whose they are.
    pub packages: Vec<(Manager, Package)>,
    /// The regular files that differ from the base.
    pub files: Vec<PutFile>,
}

/// A file that was put in.
#[derive(Clone, Debug)]
pub struct PutFile {
    /// Its path in the guest.
    pub path: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Its SHA-1, which SPDX wants.
    pub sha1: String,
}

/// A UUID that is made of a text: always the same one.
pub(crate) fn uuid(text: &str) -> String {
    let mut bytes: Vec<u8> = Sha256::digest(text.as_bytes()).iter().copied().take(16).collect();
    // Version 8, of a maker's own, and the variant of RFC 9562.
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
