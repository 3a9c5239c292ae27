//! Configuration of a user or a machine: mirrors, and who signs the lists on them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::entry::Catalogue;
use crate::openpgp::{Fingerprint, ParseFingerprintError};

/// How large such a file may be, in bytes.
pub const LIMIT_BYTES: u64 = 1 << 20;

/// The content of such a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    mirrors: BTreeMap<String, Mirror>,
}

/// A mirror of a distribution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    /// The address that replaces the distribution's site.
    pub url: Option<String>,
    /// A file with the keys that verify its lists.
    pub keyring: Option<PathBuf>,
    /// Keys that may sign its lists, besides the publisher's.
    pub signers: Vec<Fingerprint>,
}

/// Why a text is not a valid configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It is not TOML of the expected form.
    #[error("{}", .0.to_string().trim_end())]
    Toml(Box<toml::de::Error>),
    /// There is no such distribution.
    #[error("unknown distribution `{name}`: mirrors are for {}", words::list(.known, "and"))]
    Distribution {
        /// Its name.
        name: String,
        /// The known ones.
        known: Vec<String>,
    },
    /// A mirror's address is not an HTTP address.
    #[error("the mirror of {name} is `{url}`, which is not an http or https address")]
    Url {
        /// The distribution.
        name: String,
        /// The address.
        url: String,
    },
    /// A fingerprint is invalid.
    #[error("a signer of {name} is invalid")]
    Signer {
        /// The distribution.
        name: String,
        /// What is wrong with it.
        source: ParseFingerprintError,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    mirror: BTreeMap<String, Record>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    keyring: Option<PathBuf>,
    #[serde(default)]
    signers: Vec<String>,
}

impl Config {
    /// The configuration in `text`:
    ///
    /// ```
    /// let text = r#"
    /// [mirror.ubuntu]
    /// url = "https://mirror.example/ubuntu-cloud-images"
    /// keyring = "/etc/imgraft/keys.gpg"
    /// signers = ["0123456789ABCDEF0123456789ABCDEF01234567"]
    /// "#;
    /// let config = catalogue::Config::parse(catalogue::Catalogue::builtin(), text)?;
    /// assert!(config.mirror("ubuntu").url.is_some());
    /// # Ok::<(), catalogue::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Every [`ConfigError`].
    pub fn parse(catalogue: &Catalogue, text: &str) -> Result<Self, ConfigError> {
        let document: Document = toml::from_str(text).map_err(|error| ConfigError::Toml(Box::new(error)))?;
        let mut mirrors = BTreeMap::new();
        for (name, Record { url, keyring, signers }) in document.mirror {
            if catalogue.distribution(&name).is_none() {
                let known = catalogue.distributions().map(|(name, _)| name.to_owned()).collect();
                return Err(ConfigError::Distribution { name, known });
            }
            if let Some(url) = url.as_ref().filter(|url| !is_http(url)) {
                return Err(ConfigError::Url { name, url: url.clone() });
            }
            let signers: Result<Vec<Fingerprint>, _> = signers.iter().map(|signer| signer.parse()).collect();
            let signers = signers.map_err(|source| ConfigError::Signer { name: name.clone(), source })?;
            mirrors.insert(name, Mirror { url, keyring, signers });
        }
        Ok(Self { mirrors })
    }

    /// The addresses of the mirrors.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.mirrors.values().filter_map(|mirror| mirror.url.as_deref())
    }

    /// The mirror of a distribution.
    pub fn mirror(&self, distribution: &str) -> Mirror {
        self.mirrors.get(distribution).cloned().unwrap_or_default()
    }
}

/// Whether `url` is an HTTP or HTTPS address.
pub fn is_http(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_it_is_named() {
        let error = |text: &str| Config::parse(Catalogue::builtin(), text).unwrap_err().to_string();
        for (text, expected) in [
            (
                "[mirror.gentoo]\n",
                "unknown distribution `gentoo`: mirrors are for almalinux, alpine, amzn, arch, centos, debian, fedora, \
                 opensuse-leap, rocky and ubuntu",
            ),
            (
                "[mirror.debian]\nurl = \"mirror\"\n",
                "the mirror of debian is `mirror`, which is not an http or https address",
            ),
            ("[mirror.ubuntu]\nsigners = [\"7DB87C81\"]\n", "a signer of ubuntu is invalid"),
        ] {
            assert_eq!(error(text), expected);
        }
        assert!(error("[mirror.ubuntu]\nurls = []\n").contains("unknown field `urls`"));
        assert!(error("mirror = 1\n").contains("line 1"));
        assert_eq!(Config::parse(Catalogue::builtin(), "").unwrap().mirror("ubuntu"), Mirror::default());
    }
}
