//! The names that users give to bases.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::cache::{Digest, ParseDigestError};
use crate::entry::{Catalogue, Distribution, Release, Signer, Values, Variant};

/// A base, as a command line or a recipe names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseRef {
    /// A name of the catalogue.
    Name(Name),
    /// One at an address.
    Address(Address),
    /// One in a registry: `oci://…`, which is not looked at here.
    Registry(String),
    /// A file of this machine.
    File(PathBuf),
}

/// A base of the catalogue: `ubuntu:24.04/minimal@20260826`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// `ubuntu`.
    pub distribution: String,
    /// `24.04`.
    pub version: String,
    /// `noble`.
    pub codename: String,
    /// `minimal`.
    pub variant: String,
    /// What [`Release::build`] says.
    pub build: Option<String>,
    /// The requested build, if there is one.
    pub pin: Option<Pin>,
}

/// A requested build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The one with this serial: `20260826`.
    Serial(String),
    /// The one whose file has this digest.
    Digest(Digest),
}

/// A file at an address, and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `https://…` or `http://…`.
    pub url: String,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// Why a text does not name a base.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is no such distribution.
    #[error("there is no base `{found}` in the catalogue")]
    Distribution {
        /// The name that was given.
        found: String,
        /// The known ones.
        known: Vec<String>,
        /// The base that was probably meant.
        nearest: Option<String>,
    },
    /// A distribution has no such release.
    #[error("there is no release `{found}` of {distribution} in the catalogue")]
    Release {
        /// The distribution.
        distribution: String,
        /// The name that was given.
        found: String,
        /// The known ones.
        known: Vec<String>,
        /// The base that was probably meant.
        nearest: Option<String>,
    },
    /// A distribution has no such variant.
    #[error("there is no variant `{found}` of {distribution}")]
    Variant {
        /// The distribution.
        distribution: String,
        /// The name that was given.
        found: String,
        /// The known ones.
        known: Vec<String>,
        /// The variant that was probably meant.
        nearest: Option<String>,
    },
    /// A distribution is not published for an architecture.
    #[error("{distribution} is not published for `{found}`")]
    Architecture {
        /// The distribution.
        distribution: String,
        /// The name that was given.
        found: String,
        /// The architectures that it is published for.
        known: Vec<String>,
    },
    /// What follows `@` is neither a serial nor a digest.
    #[error("`{0}` is neither a serial, such as `20260826`, nor a digest, such as `sha256:…`")]
    Pin(String),
    /// An invalid digest.
    #[error(transparent)]
    Digest(ParseDigestError),
    /// An address without a digest.
    #[error("the address `{url}` has no digest")]
    NoDigest {
        /// The address.
        url: String,
    },
    /// An address that is not an HTTP address.
    #[error("`{url}` is not a supported address: use https, http, oci or file")]
    Scheme {
        /// The address.
        url: String,
    },
    /// The text is empty.
    #[error("the name of the base is empty")]
    Empty,
}

impl BaseRef {
    /// What `text` names in `catalogue`. Files are not read: a text that is neither a name nor an address is a path.
    ///
    /// # Errors
    ///
    /// A [`NameError`] for a text that begins like a name or an address but is not a valid one.
    pub fn parse(catalogue: &Catalogue, text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.starts_with("oci://") {
            return Ok(Self::Registry(text.to_owned()));
        }
        if text.contains("://") && !text.starts_with("file:") {
            return Address::parse(text).map(Self::Address);
        }
        if let Some(path) = text.strip_prefix("file:") {
            return Ok(Self::File(PathBuf::from(path.strip_prefix("//").unwrap_or(path))));
        }
        if Name::is_like(catalogue, text) {
            return Name::parse(catalogue, text).map(Self::Name);
        }
        Ok(Self::File(PathBuf::from(text)))
    }
}

impl FromStr for BaseRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(Catalogue::builtin(), text)
    }
}

impl Name {
    /// The name in `text`: `DISTRIBUTION:RELEASE` or a release's codename, then optionally `/VARIANT` and
    /// `@PIN`.
    ///
    /// # Errors
    ///
    /// If something is not in the catalogue, with the probable name.
    pub fn parse(catalogue: &Catalogue, text: &str) -> Result<Self, NameError> {
        let (text, pin) = match text.split_once('@') {
            Some((text, pin)) => (text, Some(pin.parse()?)),
            None => (text, None),
        };
        let (text, variant) = match text.split_once('/') {
            Some((text, variant)) => (text, Some(variant)),
            None => (text, None),
        };
        match text.split_once(':') {
            Some((distribution, release)) => Self::find(catalogue, distribution, release, variant, pin),
            None => {
                let (name, _, release) =
                    codename(catalogue, text).ok_or_else(|| no_distribution(catalogue, text, text))?;
                Self::find(catalogue, name, &release.version, variant, pin)
            }
        }
    }

    /// The name whose parts these are, for a caller that has them apart.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn find(
        catalogue: &Catalogue,
        distribution_name: &str,
        release: &str,
        variant: Option<&str>,
        pin: Option<Pin>,
    ) -> Result<Self, NameError> {
        let distribution = catalogue
            .distribution(distribution_name)
            .ok_or_else(|| no_distribution(catalogue, distribution_name, &format!("{distribution_name}:{release}")))?;
        let release =
            distribution.release(release).ok_or_else(|| no_release(distribution, distribution_name, release))?;
        let name = Self {
            distribution: distribution_name.to_owned(),
            version: release.version.clone(),
            codename: release.codename().to_owned(),
            build: release.build.clone(),
            variant: distribution.default_variant.clone(),
            pin,
        };
        match variant {
            Some(variant) => name.with_variant(catalogue, variant),
            None => Ok(name),
        }
    }

    /// The same with another variant.
    ///
    /// # Errors
    ///
    /// [`NameError::Variant`] if it does not exist.
    pub fn with_variant(self, catalogue: &Catalogue, variant: &str) -> Result<Self, NameError> {
        let known = catalogue.distribution(&self.distribution).map(|distribution| distribution.variants());
        let known: Vec<String> = known.into_iter().flatten().map(|(name, _)| name.to_owned()).collect();
        if known.iter().any(|name| name == variant) {
            return Ok(Self { variant: variant.to_owned(), ..self });
        }
        let nearest = words::nearest(variant, known.iter().map(String::as_str)).map(str::to_owned);
        Err(NameError::Variant { distribution: self.distribution, found: variant.to_owned(), known, nearest })
    }

    /// Whether `text` is meant as a name: it begins with `distribution:` or is a codename of the catalogue.
    fn is_like(catalogue: &Catalogue, text: &str) -> bool {
        let word = text.split(['/', '@']).next().unwrap_or_default();
        match word.split_once(':') {
            Some((name, _)) => {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            }
            None => codename(catalogue, word).is_some(),
        }
    }

    /// The name without the requested build, as in a lock.
    pub fn unpinned(&self) -> String {
        format!("{}:{}/{}", self.distribution, self.version, self.variant)
    }

    /// The name's place in `catalogue`.
    pub(crate) fn look_up<'a>(&self, catalogue: &'a Catalogue) -> Option<Listed<'a>> {
        let distribution = catalogue.distribution(&self.distribution)?;
        let variant = distribution.variant(&self.variant)?;
        Some(Listed { distribution, variant, signer: catalogue.signer(distribution) })
    }

    /// Whether it is published for this architecture.
    ///
    /// # Errors
    ///
    /// [`NameError::Architecture`] if it is not.
    pub fn check_architecture(&self, catalogue: &Catalogue, architecture: &str) -> Result<(), NameError> {
        let known = catalogue.distribution(&self.distribution).map_or(&[][..], |found| &found.architectures);
        if known.iter().any(|known| known == architecture) {
            return Ok(());
        }
        let (distribution, found) = (self.distribution.clone(), architecture.to_owned());
        Err(NameError::Architecture { distribution, found, known: known.to_vec() })
    }

    pub(crate) fn values<'a>(&'a self, architecture: &'a str, serial: &'a str) -> Values<'a> {
        Values {
            version: &self.version,
            codename: &self.codename,
            variant: &self.variant,
            architecture,
            build: self.build.as_deref().unwrap_or_default(),
            serial,
        }
    }
}

/// A name's entry in the catalogue.
#[derive(Clone, Copy)]
pub(crate) struct Listed<'a> {
    pub(crate) distribution: &'a Distribution,
    pub(crate) variant: &'a Variant,
    pub(crate) signer: Option<&'a Signer>,
}

/// The release that has this codename.
fn codename<'a>(catalogue: &'a Catalogue, text: &str) -> Option<(&'a str, &'a Distribution, &'a Release)> {
    catalogue.distributions().find_map(|(name, distribution)| {
        let release = distribution.releases.iter().find(|release| release.codename.as_deref() == Some(text))?;
        Some((name, distribution, release))
    })
}

fn no_distribution(catalogue: &Catalogue, found: &str, text: &str) -> NameError {
    let known = catalogue.distributions().map(|(name, _)| name.to_owned()).collect();
    let nearest = nearest_name(catalogue, text);
    NameError::Distribution { found: found.to_owned(), known, nearest }
}

fn no_release(distribution: &Distribution, name: &str, found: &str) -> NameError {
    let known: Vec<String> = distribution.releases.iter().map(|release| release.version.clone()).collect();
    let all = distribution.releases.iter().flat_map(|release| [release.version.as_str(), release.codename()]);
    let nearest = words::nearest(found, all).map(|release| format!("{name}:{release}"));
    NameError::Release { distribution: name.to_owned(), found: found.to_owned(), known, nearest }
}

/// The name of the catalogue that `text` was probably meant to be.
pub fn nearest_name(catalogue: &Catalogue, text: &str) -> Option<String> {
    let names: Vec<String> = catalogue
        .distributions()
        .flat_map(|(name, distribution)| {
            let of_release =
                move |release: &Release| [Some(format!("{name}:{}", release.version)), release.codename.clone()];
            distribution.releases.iter().flat_map(of_release).flatten()
        })
        .collect();
    words::nearest(text, names.iter().map(String::as_str)).map(str::to_owned)
}

impl FromStr for Pin {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains(':') {
            return text.parse().map(Self::Digest).map_err(NameError::Digest);
        }
        if is_serial(text) { Ok(Self::Serial(text.to_owned())) } else { Err(NameError::Pin(text.to_owned())) }
    }
}

/// Whether `text` can be a serial: numbers, with `.` or `-` between them.
pub(crate) fn is_serial(text: &str) -> bool {
    text.len() <= 32 && text.split(['.', '-']).all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

impl Address {
    fn parse(text: &str) -> Result<Self, NameError> {
        let (url, digest) = match text.split_once('#') {
            Some((url, digest)) => (url, Some(digest)),
            None => (text, None),
        };
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(NameError::Scheme { url: url.to_owned() });
        }
        match digest {
            Some(digest) => Self::new(url, digest),
            None => Err(NameError::NoDigest { url: url.to_owned() }),
        }
    }

    /// The file at `url`, whose `digest` is `sha256:…` or `sha512:…`.
    ///
    /// # Errors
    ///
    /// An invalid digest.
    pub fn new(url: &str, digest: &str) -> Result<Self, NameError> {
        Ok(Self { url: url.to_owned(), digest: digest.parse().map_err(NameError::Digest)? })
    }

    /// The file's name: the last part of the address.
    pub fn file_name(&self) -> &str {
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.unpinned())?;
        self.pin.as_ref().map_or(Ok(()), |pin| write!(f, "@{pin}"))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(serial) => serial.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl NameError {
    /// What to do about it, if there is more to say.
    pub fn hint(&self) -> Option<String> {
        let meant = |nearest: &Option<String>, known: &[String]| match nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("there are {}", list(known)),
        };
        match self {
            Self::Distribution { nearest, known, .. }
            | Self::Release { nearest, known, .. }
            | Self::Variant { nearest, known, .. } => Some(meant(nearest, known)),
            Self::Architecture { known, .. } => Some(format!("there are {}", list(known))),
            Self::NoDigest { .. } => Some(
                "add it to the address, as in `https://…#sha256:…`: imgraft uses nothing that it cannot verify"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// `a`, `b`
fn list(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> String {
        match text.parse() {
            Ok(BaseRef::Name(name)) => name.to_string(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn names_go_by_version_and_by_codename() {
        for (text, expected) in [
            ("ubuntu:24.04", "ubuntu:24.04/server"),
            ("ubuntu:noble", "ubuntu:24.04/server"),
            ("noble", "ubuntu:24.04/server"),
            ("jammy", "ubuntu:22.04/server"),
            ("resolute/minimal-daily", "ubuntu:26.04/minimal-daily"),
            ("bookworm", "debian:12/genericcloud"),
            ("debian:13/nocloud@20260826-2582", "debian:13/nocloud@20260826-2582"),
            ("trixie@20260826-2582", "debian:13/genericcloud@20260826-2582"),
            ("ubuntu:24.04@20240523.1", "ubuntu:24.04/server@20240523.1"),
        ] {
            assert_eq!(name(text), expected);
            assert_eq!(name(expected), expected);
        }
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(name(&format!("noble@{digest}")), format!("ubuntu:24.04/server@{digest}"));
    }

    #[test]
    fn what_is_no_name_is_a_path_or_an_address() {
        for (text, path) in [
            ("noble.img", "noble.img"),
            ("./noble", "./noble"),
            ("a/b:c", "a/b:c"),
            ("file:x:y.img", "x:y.img"),
            ("file:///srv/x.img", "/srv/x.img"),
            ("images/ubuntu:24.04", "images/ubuntu:24.04"),
        ] {
            assert_eq!(text.parse(), Ok(BaseRef::File(PathBuf::from(path))), "{text}");
        }
        let digest = format!("sha512:{}", "0f".repeat(64));
        let Ok(BaseRef::Address(address)) = format!("https://a.example/b/c.img?d#{digest}").parse() else { panic!() };
        assert_eq!((address.url.as_str(), address.file_name()), ("https://a.example/b/c.img?d", "c.img"));
        assert_eq!(address.digest.to_string(), digest);
    }

    #[test]
    fn what_is_not_there_names_what_was_probably_meant() {
        for (text, error, hint) in [
            ("ubuntu:24.40", "there is no release `24.40` of ubuntu in the catalogue", "did you mean `ubuntu:24.04`?"),
            ("ubuntu:nobel", "there is no release `nobel` of ubuntu in the catalogue", "did you mean `ubuntu:noble`?"),
            ("debian:99", "there is no release `99` of debian in the catalogue", "there are `12`, `13`"),
            ("ubunut:24.04", "there is no base `ubunut` in the catalogue", "did you mean `ubuntu:24.04`?"),
            (
                "gentoo:23",
                "there is no base `gentoo` in the catalogue",
                "there are `almalinux`, `alpine`, `amzn`, `arch`, `centos`, `debian`, `fedora`, `opensuse-leap`, `rocky`, \
                 `ubuntu`",
            ),
            ("fedora:99", "there is no release `99` of fedora in the catalogue", "there are `43`, `44`"),
            ("almalinx:9", "there is no base `almalinx` in the catalogue", "did you mean `almalinux:9`?"),
            ("noble/servr", "there is no variant `servr` of ubuntu", "did you mean `server`?"),
            (
                "bookworm/live-installer",
                "there is no variant `live-installer` of debian",
                "there are `generic`, `genericcloud`, `nocloud`",
            ),
        ] {
            let found = text.parse::<BaseRef>().unwrap_err();
            assert_eq!((found.to_string().as_str(), found.hint().as_deref()), (error, Some(hint)), "{text}");
        }
        for (text, error) in [
            ("", "the name of the base is empty"),
            ("noble@", "`` is neither a serial, such as `20260826`, nor a digest, such as `sha256:…`"),
            ("noble@../x", "`../x` is neither a serial, such as `20260826`, nor a digest, such as `sha256:…`"),
            ("noble@sha256:00", "a sha256 has 64 hexadecimal digits, not 2"),
            ("https://a.example/b", "the address `https://a.example/b` has no digest"),
            (
                "ftp://a.example/b#sha256:00",
                "`ftp://a.example/b` is not a supported address: use https, http, oci or file",
            ),
        ] {
            assert_eq!(text.parse::<BaseRef>().unwrap_err().to_string(), error, "{text}");
        }
        let catalogue = Catalogue::builtin();
        let name = Name::parse(catalogue, "noble").unwrap();
        assert_eq!(name.check_architecture(catalogue, "arm64"), Ok(()));
        let error = name.check_architecture(catalogue, "x86").unwrap_err();
        assert_eq!(error.to_string(), "ubuntu is not published for `x86`");
    }
}
