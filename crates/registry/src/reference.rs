//! The names that images have in registries.

use std::fmt;
use std::str::FromStr;

use catalogue::Digest;
use catalogue::cache::{Algorithm, ParseDigestError};

/// The scheme before a reference.
const SCHEME: &str = "oci://";
/// The longest repository name, with its host (OCI Distribution Specification, Pulling manifests).
const NAME_MAX: usize = 255;
/// The longest tag.
const TAG_MAX: usize = 128;

/// `oci://HOST[:PORT]/NAME[:TAG][@DIGEST]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The registry: `registry.example:5000`.
    pub host: String,
    /// The repository: `team/base`.
    pub repository: String,
    /// The tag.
    pub tag: Option<String>,
    /// The digest of the manifest.
    pub digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// It does not begin with `oci://`.
    #[error("`{0}` is not in a registry: `oci://REGISTRY/NAME:TAG` is needed")]
    Scheme(String),
    /// The host is missing, or is not one.
    #[error("`{0}` names no registry: `oci://REGISTRY/NAME:TAG` is needed")]
    Host(String),
    /// The repository's name is invalid.
    #[error("`{0}` is not the name of a repository: lower-case letters, digits, `.`, `_`, `-` and `/` are needed")]
    Repository(String),
    /// The tag is invalid.
    #[error("`{0}` is not a tag: letters, digits, `.`, `_` and `-` are needed, at most 128")]
    Tag(String),
    /// The digest is invalid.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
    /// The digest is not a SHA-256.
    #[error("the digest of a manifest is a sha256, not a {0}")]
    NotSha256(&'static str),
}

impl Reference {
    /// The same with another tag, or none, and without a digest.
    pub fn with_tag(&self, tag: Option<&str>) -> Self {
        Self { tag: tag.map(str::to_owned), digest: None, ..self.clone() }
    }

    /// The same with this digest.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// The server that answers for the registry.
    pub(crate) fn server(&self) -> &str {
        if self.host == "docker.io" { "registry-1.docker.io" } else { &self.host }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| ReferenceError::Scheme(text.to_owned()))?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (rest, None),
        };
        if let Some(digest) = digest.filter(|digest| digest.algorithm() != Algorithm::Sha256) {
            return Err(ReferenceError::NotSha256(digest.algorithm().name()));
        }
        let (host, path) = rest.split_once('/').ok_or_else(|| ReferenceError::Host(text.to_owned()))?;
        if !is_host(host) {
            return Err(ReferenceError::Host(text.to_owned()));
        }
        let (repository, tag) = match path.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        if !is_repository(repository) || host.len() + 1 + repository.len() > NAME_MAX {
            return Err(ReferenceError::Repository(repository.to_owned()));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag(tag.to_owned()));
        }
        let (host, repository, tag) = (host.to_ascii_lowercase(), repository.to_owned(), tag.map(str::to_owned));
        Ok(Self { host, repository, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.host, self.repository)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))?;
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

/// `HOST` or `HOST:PORT`; an IPv6 address is in brackets.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-');
    let is_address = |name: &str| {
        let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
    };
    port.is_none_or(is_port) && !host.is_empty() && (is_name(host) || is_address(host))
}

/// Parts of lower-case letters and digits, separated by `/`, with `.`, `_`, `__` or any number of `-` inside.
fn is_repository(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.split('/').all(|part| {
        let bytes = part.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        ends.iter().all(|end| end.is_some_and(|&byte| is_inner(byte)))
            && bytes.iter().all(|&byte| is_inner(byte) || matches!(byte, b'.' | b'_' | b'-'))
            && !part.contains("..")
            && !part.contains("___")
    })
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins = text.bytes().next().is_some_and(is_word);
    begins && text.len() <= TAG_MAX && text.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_and_written_the_same() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        for text in [
            "oci://registry.example/base".to_owned(),
            "oci://registry.example:5000/team/base_1.x--y:1.2_A-b".to_owned(),
            "oci://[::1]:5000/a/b:latest".to_owned(),
            "oci://localhost/a:1".to_owned(),
            format!("oci://registry.example/base@{digest}"),
            format!("oci://registry.example/base:1@{digest}"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "registry.example/base",
            "https://registry.example/base",
            "oci://base",
            "oci:///base",
            "oci://registry.example/",
            "oci://registry.example/Base",
            "oci://registry.example//base",
            "oci://registry.example/../base",
            "oci://registry.example/a..b",
            "oci://registry.example/a/./b",
            "oci://registry.example/base?x=1",
            "oci://registry.example/base#x",
            "oci://user:secret@registry.example/base",
            "oci://registry.example:99999/base",
            "oci://registry.example/base:",
            "oci://registry.example/base:a/b",
            "oci://registry.example/base:.a",
            "oci://registry.example/base@sha256:12",
            "oci://regi stry/base",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        assert!(format!("oci://registry.example/{}", "a".repeat(300)).parse::<Reference>().is_err());
        assert!(format!("oci://registry.example/a:{}", "a".repeat(129)).parse::<Reference>().is_err());
        assert!(format!("oci://a/b@sha512:{}", "0".repeat(128)).parse::<Reference>().is_err());
    }
}
