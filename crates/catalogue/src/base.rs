//! A base that was found: which bytes, where, and who says so.

use std::fmt;

use crate::cache::Digest;
use crate::name::{Name, Pin};
use crate::openpgp::Fingerprint;
use crate::transport::Download;

/// A published image, as a list of its publisher has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// What it is called, without the build: `ubuntu:24.04/server`.
    pub name: String,
    /// The machines that it is for: `amd64`.
    pub architecture: String,
    /// Which build it is, where that is known: `20260826`.
    pub serial: Option<String>,
    /// Where the publisher has it, whatever mirror is used.
    pub address: String,
    /// What its bytes come to.
    pub digest: Digest,
    /// How many there are, where that is known.
    pub size_bytes: Option<u64>,
    /// What the digest is trusted for.
    pub verified: Verified,
}

/// What a digest is trusted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The list that has it is signed.
    Signature {
        /// The fingerprint of the signer's primary key.
        signer: Fingerprint,
        /// When it was signed, as the signature says: `2026-07-25T22:34:07Z`.
        signed: String,
    },
    /// The list that has it is unsigned, and came from its publisher's server over TLS.
    Tls,
    /// Nothing: the user wanted it so.
    Nothing,
}

impl Base {
    /// Whether it is what `name` asks for.
    pub fn is(&self, name: &Name, architecture: &str) -> bool {
        let is_build = match &name.pin {
            None => true,
            Some(Pin::Serial(serial)) => self.serial.as_ref() == Some(serial),
            Some(Pin::Digest(digest)) => self.digest == *digest,
        };
        self.name == name.unpinned() && self.architecture == architecture && is_build
    }

    /// What has to be fetched, from `mirror` in place of `site` where there is one.
    pub fn download(&self, site: &str, mirror: Option<&str>) -> Download {
        let path = self.address.strip_prefix(site).filter(|path| path.starts_with('/'));
        let url = match (mirror, path) {
            (Some(mirror), Some(path)) => format!("{}{path}", mirror.trim_end_matches('/')),
            _ => self.address.clone(),
        };
        Download { name: self.to_string(), urls: vec![url], digest: self.digest, size_bytes: self.size_bytes }
    }

    /// The last part of the address, which is what the file is called.
    pub fn file_name(&self) -> &str {
        self.address.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Base {
    /// `ubuntu:24.04/server 20260826 (amd64)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, architecture, .. } = self;
        match &self.serial {
            Some(serial) => write!(f, "{name} {serial} ({architecture})"),
            None => write!(f, "{name} ({architecture})"),
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature { signer, signed } => write!(f, "signed by {signer} at {signed}"),
            Self::Tls => write!(f, "unsigned: its digest is from a list that came over TLS"),
            Self::Nothing => write!(f, "not verified: whoever sent it may have made it up"),
        }
    }
}
