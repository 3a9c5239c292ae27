//! `imgraft.lock`: the exact bytes of each base, so that the next build uses the same.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::{Base, Verified};
use crate::cache::{Digest, ParseDigestError};
use crate::name::Name;
use crate::openpgp::{Fingerprint, ParseFingerprintError};

/// The format that is written, and the only one that is read.
const VERSION: u32 = 1;
/// How large a lock may be, in bytes.
pub const LIMIT_BYTES: u64 = 1 << 20;
const HEADER: &str = "\
# The bases that builds here begin with, and who says that they are what they are called.
# `imgraft build` adds to it and `imgraft update` changes it. It belongs beside the recipe, wherever that is kept.

";

/// The bases of the recipes of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    bases: Vec<Base>,
}

/// Why a text is not a lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// It is not TOML of the expected form.
    #[error("{}", .0.to_string().trim_end())]
    Toml(Box<toml::de::Error>),
    /// Its version is unknown.
    #[error("it has version {0}, but only version {VERSION} is supported")]
    Version(u32),
    /// The digest of a base is invalid.
    #[error("the digest of `{name}` is invalid")]
    Digest {
        /// The base.
        name: String,
        /// What is wrong with it.
        source: ParseDigestError,
    },
    /// The signer of a base is invalid.
    #[error("the signer of `{name}` is invalid")]
    Signer {
        /// The base.
        name: String,
        /// What is wrong with it.
        source: ParseFingerprintError,
    },
    /// `verified` of a base is invalid.
    #[error("`verified` of `{name}` must be `signature` with `signer` and `signed`, or else `tls` or `nothing`")]
    Verified {
        /// The base.
        name: String,
    },
    /// The address of a base is not an HTTP address.
    #[error("the address of `{name}` is not an http or https address")]
    Address {
        /// The base.
        name: String,
    },
    /// A base is listed twice.
    #[error("`{name}` is listed twice")]
    Twice {
        /// The base.
        name: String,
    },
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default)]
    base: Vec<Record>,
}

/// A base as it is written to the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    name: String,
    arch: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    address: String,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// `signature`, `tls` or `nothing`.
    verified: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<String>,
}

impl Lock {
    /// The lock in `text`.
    ///
    /// # Errors
    ///
    /// Every [`LockError`].
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let toml = |error| LockError::Toml(Box::new(error));
        let Version { version } = toml::from_str(text).map_err(toml)?;
        if version != VERSION {
            return Err(LockError::Version(version));
        }
        let document: Document = toml::from_str(text).map_err(toml)?;
        let mut lock = Self::default();
        for record in document.base {
            let base = record.base()?;
            if lock.position(&base.name, &base.architecture).is_some() {
                return Err(LockError::Twice { name: base.name });
            }
            lock.bases.push(base);
        }
        Ok(lock)
    }

    /// The base with this name and architecture, whichever build it is.
    pub fn get(&self, name: &Name, architecture: &str) -> Option<&Base> {
        self.position(&name.unpinned(), architecture).map(|position| &self.bases[position])
    }

    /// Adds a base, or replaces the one with the same name.
    pub fn put(&mut self, base: Base) {
        match self.position(&base.name, &base.architecture) {
            Some(position) => self.bases[position] = base,
            None => {
                self.bases.push(base);
                // The same bases make the same file.
                self.bases.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
            }
        }
    }

    fn position(&self, name: &str, architecture: &str) -> Option<usize> {
        self.bases.iter().position(|base| base.name == name && base.architecture == architecture)
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let document = Document { version: VERSION, base: self.bases.iter().map(Record::of).collect() };
        write!(f, "{HEADER}{}", toml::to_string(&document).map_err(|_| fmt::Error)?)
    }
}

impl Record {
    fn of(base: &Base) -> Self {
        let (verified, signer, signed) = match &base.verified {
            Verified::Signature { signer, signed } => ("signature", Some(signer.to_string()), Some(signed.clone())),
            Verified::Tls => ("tls", None, None),
            Verified::Nothing => ("nothing", None, None),
        };
        Self {
            name: base.name.clone(),
            arch: base.architecture.clone(),
            serial: base.serial.clone(),
            address: base.address.clone(),
            digest: base.digest.to_string(),
            size: base.size_bytes,
            verified: verified.to_owned(),
            signer,
            signed,
        }
    }

    fn base(self) -> Result<Base, LockError> {
        let Self { name, arch, serial, address, digest, size, verified, signer, signed } = self;
        let digest: Digest = digest.parse().map_err(|source| LockError::Digest { name: name.clone(), source })?;
        let signer: Option<Fingerprint> = signer
            .map(|signer| signer.parse())
            .transpose()
            .map_err(|source| LockError::Signer { name: name.clone(), source })?;
        let verified = match (verified.as_str(), signer, signed) {
            ("signature", Some(signer), Some(signed)) => Verified::Signature { signer, signed },
            ("tls", None, None) => Verified::Tls,
            ("nothing", None, None) => Verified::Nothing,
            _ => return Err(LockError::Verified { name }),
        };
        if !address.starts_with("https://") && !address.starts_with("http://") {
            return Err(LockError::Address { name });
        }
        Ok(Base { name, architecture: arch, serial, address, digest, size_bytes: size, verified })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Catalogue;

    fn base(name: &str, architecture: &str, verified: Verified) -> Base {
        Base {
            name: name.to_owned(),
            architecture: architecture.to_owned(),
            serial: Some("20240821".to_owned()),
            address: "https://a.example/b.img".to_owned(),
            digest: Digest::Sha256([0xab; 32]),
            size_bytes: Some(7),
            verified,
        }
    }

    fn signed() -> Verified {
        Verified::Signature { signer: Fingerprint::new([0xcd; 20]), signed: "2024-08-21T00:00:00Z".to_owned() }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut lock = Lock::default();
        let unsized_base = Base { serial: None, size_bytes: None, ..base("debian:12/generic", "amd64", Verified::Tls) };
        for base in [
            base("ubuntu:24.04/server", "arm64", signed()),
            unsized_base,
            base("ubuntu:24.04/server", "amd64", Verified::Nothing),
        ] {
            lock.put(base);
        }
        let text = lock.to_string();
        assert_eq!(Lock::parse(&text).unwrap(), lock);
        assert!(text.ends_with(&format!(
            "\nversion = 1\n\n[[base]]\nname = \"debian:12/generic\"\narch = \"amd64\"\naddress = \"https://a.example/b.img\"\n\
             digest = \"sha256:{0}\"\nverified = \"tls\"\n\n[[base]]\nname = \"ubuntu:24.04/server\"\narch = \"amd64\"\n\
             serial = \"20240821\"\naddress = \"https://a.example/b.img\"\ndigest = \"sha256:{0}\"\nsize = 7\n\
             verified = \"nothing\"\n\n[[base]]\nname = \"ubuntu:24.04/server\"\narch = \"arm64\"\nserial = \"20240821\"\n\
             address = \"https://a.example/b.img\"\ndigest = \"sha256:{0}\"\nsize = 7\nverified = \"signature\"\n\
             signer = \"{1}\"\nsigned = \"2024-08-21T00:00:00Z\"\n",
            "ab".repeat(32),
            "CD".repeat(20),
        )), "{text}");
    }

    #[test]
    fn a_base_takes_the_place_of_the_one_of_its_name() {
        let mut lock = Lock::default();
        lock.put(base("ubuntu:24.04/server", "amd64", Verified::Nothing));
        lock.put(base("ubuntu:24.04/server", "amd64", signed()));
        assert_eq!(lock.bases, [base("ubuntu:24.04/server", "amd64", signed())]);
        let name = Name::parse(Catalogue::builtin(), "noble").unwrap();
        assert!(lock.get(&name, "amd64").is_some_and(|base| base.is(&name, "amd64")));
        assert_eq!(lock.get(&name, "arm64"), None);
        for (pin, is) in [("noble@20240821", true), ("noble@20240822", false), ("noble/minimal", false)] {
            let name = Name::parse(Catalogue::builtin(), pin).unwrap();
            assert_eq!(base("ubuntu:24.04/server", "amd64", signed()).is(&name, "amd64"), is, "{pin}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_lock_is_named() {
        let mut lock = Lock::default();
        lock.put(base("ubuntu:24.04/server", "amd64", signed()));
        let text = lock.to_string();
        let record = text.split_once("[[base]]").unwrap().1;
        let twice = format!("{text}\n[[base]]{record}");
        for (text, error) in [
            (text.replace("version = 1", "version = 2"), "it has version 2, but only version 1 is supported"),
            (text.replace("sha256:ab", "sha256:"), "the digest of `ubuntu:24.04/server` is invalid"),
            (text.replace("\"CD", "\""), "the signer of `ubuntu:24.04/server` is invalid"),
            (
                text.replace("https://", "ftp://"),
                "the address of `ubuntu:24.04/server` is not an http or https address",
            ),
            (
                text.replace("verified = \"signature\"", "verified = \"tls\""),
                "`verified` of `ubuntu:24.04/server` must be `signature` with `signer` and `signed`, or else `tls` or \
                 `nothing`",
            ),
            (twice, "`ubuntu:24.04/server` is listed twice"),
        ] {
            assert_eq!(Lock::parse(&text).unwrap_err().to_string(), error, "{text}");
        }
        for text in
            ["", "version = 1\nx = 1\n", &text.replace("arch = ", "arhc = "), &text.replace("size = 7", "size = -7")]
        {
            assert!(matches!(Lock::parse(text), Err(LockError::Toml(_))), "{text}");
        }
        assert_eq!(Lock::parse("version = 1\n").unwrap(), Lock::default());
    }
}
