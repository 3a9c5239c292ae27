//! A base that was found: its bytes, its place, and who vouches for it.

use std::fmt;

use crate::cache::Digest;
use crate::name::{Name, Pin};
use crate::openpgp::Fingerprint;
use crate::transport::Download;

/// A published image, from its publisher's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Its name without the build: `ubuntu:24.04/server`.
    pub name: String,
    /// Its architecture: `amd64`.
    pub architecture: String,
    /// Its build, if known: `20260826`.
    pub serial: Option<String>,
    /// Its address at the publisher, whichever mirror is used.
    pub address: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size, if known.
    pub size_bytes: Option<u64>,
    /// Why the digest is trusted.
    pub verified: Verified,
}

/// Why a digest is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// It is in a signed list.
    Signature {
        /// The fingerprint of the signer's primary key.
        signer: Fingerprint,
        /// When it was signed, according to the signature: `2026-07-25T22:34:07Z`.
        signed: String,
    },
    /// It is in an unsigned list that came from the publisher's server over TLS.
    Tls,
    /// It is not: the user chose that.
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

    /// What must be fetched, from `mirror` instead of `site` if there is one.
    pub fn download(&self, site: &str, mirror: Option<&str>) -> Download {
        let path = self.address.strip_prefix(site).filter(|path| path.starts_with('/'));
        let url = match (mirror, path) {
            (Some(mirror), Some(path)) => format!("{}{path}", mirror.trim_end_matches('/')),
            _ => self.address.clone(),
        };
        Download { name: self.to_string(), urls: vec![url], digest: self.digest, size_bytes: self.size_bytes }
    }

    /// The file's name: the last part of the address.
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
            Self::Tls => write!(f, "unsigned: its digest comes from a list that was fetched over TLS"),
            Self::Nothing => write!(f, "not verified: anybody could have sent it"),
        }
    }
}
