//! From a name to an image: reads the publisher's lists and decides whether to trust them.

use std::cell::OnceCell;
use std::error::Error;

use crate::base::{Base, Verified};
use crate::cache::Digest;
use crate::entry::{Catalogue, Folder, Streams, Values};
use crate::index::manifest;
use crate::index::streams::{self, StreamItem, StreamsError, order};
use crate::index::sums::{self, Sums, SumsError};
use crate::keys::{KeySources, KeysError};
use crate::name::{Listed, Name, NameError, Pin};
use crate::openpgp::{self, Keyring, Refusal};
use crate::time::Time;
use crate::transport::{self, Transport};

/// How large a detached signature may be, in bytes.
const SIGNATURE_LIMIT_BYTES: u64 = 64 << 10;

/// Finds bases.
pub struct Finder<'a> {
    /// What there is.
    pub catalogue: &'a Catalogue,
    /// Fetches lists.
    pub transport: &'a dyn Transport,
    /// Where keys come from.
    pub keys: &'a KeySources,
    /// The address that replaces the distribution's site.
    pub mirror: Option<&'a str>,
    /// The current time.
    pub now: Time,
    /// Whether unverified lists are accepted.
    pub insecure: bool,
    /// Gets details for `--verbose`.
    pub detail: &'a dyn Fn(&str),
}

/// Why a base was not found, or not trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// It is not in the catalogue.
    #[error(transparent)]
    Name(NameError),
    /// A list could not be fetched.
    #[error(transparent)]
    Transport(transport::Error),
    /// There are no keys to verify a list with.
    #[error(transparent)]
    Keys(KeysError),
    /// The signature of a list is not accepted.
    #[error("`{url}` is not trusted")]
    Refused {
        /// The list.
        url: String,
        /// Why not.
        source: Refusal,
    },
    /// An unsigned list was not fetched over TLS.
    #[error("`{url}` is unsigned and was not fetched over TLS")]
    NotTls {
        /// The list.
        url: String,
    },
    /// An index does not have the base, or is wrong about it.
    #[error("the image cannot be found in `{url}`")]
    Streams {
        /// The index.
        url: String,
        /// What is wrong.
        source: StreamsError,
    },
    /// A list of digests does not have the base, or is wrong about it.
    #[error("the image cannot be found in `{url}`")]
    Sums {
        /// The list.
        url: String,
        /// What is wrong.
        source: SumsError,
    },
    /// The requested build does not exist.
    #[error("`{url}` has no {}", build(.pin))]
    Pinned {
        /// Where it should be.
        url: String,
        /// Which one.
        pin: Pin,
        /// Those that are there, the newest first.
        found: Vec<String>,
    },
}

/// A list that was verified as far as it can be.
struct Trusted<T> {
    content: T,
    verified: Verified,
}

/// A name and its catalogue entry.
struct Wanted<'a> {
    name: &'a Name,
    architecture: &'a str,
    listed: Listed<'a>,
    keys: OnceCell<Keyring>,
}

impl Finder<'_> {
    /// The base that `name` stands for now.
    ///
    /// # Errors
    ///
    /// Every [`FindError`].
    pub fn find(&self, name: &Name, architecture: &str) -> Result<Base, FindError> {
        name.check_architecture(self.catalogue, architecture).map_err(FindError::Name)?;
        let unknown = || NameError::Distribution { found: name.to_string(), known: Vec::new(), nearest: None };
        let listed = name.look_up(self.catalogue).ok_or_else(|| FindError::Name(unknown()))?;
        let wanted = Wanted { name, architecture, listed, keys: OnceCell::new() };
        if let Some(streams) = &listed.variant.streams {
            match self.in_streams(&wanted, streams) {
                // A mirror need not have an index, and an index need not have old builds.
                Err(error) if error.is_absence() => {
                    (self.detail)(&format!("{}: looking in the folder", in_one_line(&error)));
                }
                found => return found,
            }
        }
        self.in_folder(&wanted, &listed.variant.folder)
    }

    fn in_streams(&self, wanted: &Wanted<'_>, streams: &Streams) -> Result<Base, FindError> {
        let values = wanted.name.values(wanted.architecture, "");
        let index_path = streams.index.fill(values);
        let root = index_path.split_once("streams/").map_or("", |(root, _)| root);
        let index_url = self.url(wanted, &index_path);
        let index = self.inline(wanted, &index_url, streams::INDEX_LIMIT_BYTES)?;
        let wrong = |url: &str| {
            let url = url.to_owned();
            move |source| FindError::Streams { url, source }
        };
        let path = streams::products_path(&index.content, &streams.content).map_err(wrong(&index_url))?;
        let url = self.url(wanted, &format!("{root}{path}"));
        let products = self.inline(wanted, &url, streams::PRODUCTS_LIMIT_BYTES)?;
        let product = streams.product.fill(values);
        let items = streams::items(&products.content, &product, &streams.item).map_err(wrong(&url))?;
        let item = choose(&items, wanted.name.pin.as_ref()).ok_or_else(|| FindError::Pinned {
            url,
            pin: wanted.name.pin.clone().unwrap_or_else(|| Pin::Serial(String::new())),
            found: items.iter().map(|item| item.serial.clone()).collect(),
        })?;
        Ok(Base {
            name: wanted.name.unpinned(),
            architecture: wanted.architecture.to_owned(),
            serial: Some(item.serial.clone()),
            address: format!("{}/{root}{}", wanted.listed.distribution.site, item.path),
            digest: item.digest,
            size_bytes: item.size_bytes,
            verified: products.verified,
        })
    }

    fn in_folder(&self, wanted: &Wanted<'_>, folder: &Folder) -> Result<Base, FindError> {
        let serial = match &wanted.name.pin {
            Some(Pin::Serial(serial)) => Some(serial.clone()),
            Some(Pin::Digest(_)) => None,
            None => self.newest_serial(wanted, folder)?,
        };
        let values = wanted.name.values(wanted.architecture, serial.as_deref().unwrap_or_default());
        let path_of = |values: Values<'_>| match (&folder.dated, values.serial) {
            (Some(dated), serial) if !serial.is_empty() => dated.fill(values),
            _ => folder.newest.fill(values),
        };
        let path = path_of(values);
        let url = self.url(wanted, &format!("{path}/{}", folder.sums.fill(values)));
        let sums = self.sums(wanted, folder, values, &path, &url)?;
        let chosen = Chosen::of(&sums.content, folder, values, wanted.name.pin.as_ref());
        let Chosen { file, serial, digest } = chosen.map_err(|source| FindError::Sums { url: url.clone(), source })?;
        if let Some(pin @ Pin::Digest(pinned)) = &wanted.name.pin
            && *pinned != digest
        {
            return Err(FindError::Pinned { url, pin: pin.clone(), found: vec![digest.to_string()] });
        }
        let path = path_of(Values { serial: serial.as_deref().unwrap_or_default(), ..values });
        Ok(Base {
            name: wanted.name.unpinned(),
            architecture: wanted.architecture.to_owned(),
            serial,
            address: format!("{}/{path}/{file}", wanted.listed.distribution.site),
            digest,
            size_bytes: None,
            verified: sums.verified,
        })
    }

    /// The newest build, if a file names it. That file need not be trusted: the list in that build's folder is
    /// verified.
    fn newest_serial(&self, wanted: &Wanted<'_>, folder: &Folder) -> Result<Option<String>, FindError> {
        let Some(manifest) = &folder.manifest else { return Ok(None) };
        let values = wanted.name.values(wanted.architecture, "");
        let url = self.url(wanted, &format!("{}/{}", folder.newest.fill(values), manifest.fill(values)));
        match self.transport.small(&url, manifest::LIMIT_BYTES) {
            Ok(json) => Ok(manifest::serial(&json)),
            Err(error) if is_not_there(&error) => Ok(None),
            Err(error) => Err(FindError::Transport(error)),
        }
    }

    /// The list of digests at `url`, which is in the folder `path`.
    fn sums(
        &self,
        wanted: &Wanted<'_>,
        folder: &Folder,
        values: Values<'_>,
        path: &str,
        url: &str,
    ) -> Result<Trusted<Sums>, FindError> {
        let file = folder.file.as_ref().map(|file| file.fill(values));
        let parse = |text: &[u8]| {
            let sums = Sums::parse(folder.algorithm(), text, file.as_deref());
            sums.map_err(|source| FindError::Sums { url: url.to_owned(), source })
        };
        if folder.signed_inline {
            let Trusted { content, verified } = self.inline(wanted, url, sums::LIMIT_BYTES)?;
            return Ok(Trusted { content: parse(content.as_bytes())?, verified });
        }
        let signature =
            folder.signature.as_ref().map(|file| self.url(wanted, &format!("{path}/{}", file.fill(values))));
        // A list and its signature are two files, and may be replaced between two requests.
        let mut attempts = 2;
        loop {
            let list = self.small(url, sums::LIMIT_BYTES)?;
            let verified = match &signature {
                _ if self.insecure => Verified::Nothing,
                None if url.starts_with("https://") => Verified::Tls,
                None => return Err(FindError::NotTls { url: url.to_owned() }),
                Some(signature) => {
                    let signature = self.small(signature, SIGNATURE_LIMIT_BYTES)?;
                    attempts -= 1;
                    match openpgp::verify_detached(&list, &signature, self.keyring(wanted)?, self.now) {
                        Ok(signed) => Verified::Signature { signer: signed.signer, signed: signed.made.to_string() },
                        Err(Refusal::Bad { .. }) if attempts > 0 => continue,
                        Err(source) => return Err(FindError::Refused { url: url.to_owned(), source }),
                    }
                }
            };
            return Ok(Trusted { content: parse(&list)?, verified });
        }
    }

    /// The text of the document at `url`, which carries its signature.
    fn inline(&self, wanted: &Wanted<'_>, url: &str, limit_bytes: u64) -> Result<Trusted<String>, FindError> {
        let document = self.small(url, limit_bytes)?;
        let refused = |source| FindError::Refused { url: url.to_owned(), source };
        if self.insecure {
            let content = openpgp::unverified_text(&document).map_err(refused)?;
            return Ok(Trusted { content, verified: Verified::Nothing });
        }
        let inline = openpgp::verify_inline(&document, self.keyring(wanted)?, self.now).map_err(refused)?;
        let verified = Verified::Signature { signer: inline.signed.signer, signed: inline.signed.made.to_string() };
        Ok(Trusted { content: inline.text, verified })
    }

    fn small(&self, url: &str, limit_bytes: u64) -> Result<Vec<u8>, FindError> {
        (self.detail)(&format!("asking {url}"));
        self.transport.small(url, limit_bytes).map_err(FindError::Transport)
    }

    fn url(&self, wanted: &Wanted<'_>, path: &str) -> String {
        let site = self.mirror.unwrap_or(&wanted.listed.distribution.site);
        format!("{}/{path}", site.trim_end_matches('/'))
    }

    fn keyring<'a>(&self, wanted: &'a Wanted<'_>) -> Result<&'a Keyring, FindError> {
        if let Some(keys) = wanted.keys.get() {
            return Ok(keys);
        }
        let signer = wanted.listed.signer.ok_or(FindError::Keys(KeysError::Nowhere))?;
        let keys = self.keys.keyring(signer, self.transport).map_err(FindError::Keys)?;
        Ok(wanted.keys.get_or_init(|| keys))
    }
}

/// An image of a list of digests.
struct Chosen {
    file: String,
    serial: Option<String>,
    digest: Digest,
}

impl Chosen {
    /// The image that is wanted: the one of the build that `values` have, or that of a pin, or the newest. If the list has
    /// that under the name of its build, too, it is that name, as it stays.
    fn of(sums: &Sums, folder: &Folder, values: Values<'_>, pin: Option<&Pin>) -> Result<Self, SumsError> {
        let named = |file: &str, serial: Option<&str>, digest| {
            Ok(Self { file: file.to_owned(), serial: serial.map(str::to_owned), digest })
        };
        if !values.serial.is_empty() {
            let template = folder.dated_file.as_ref().or(folder.file.as_ref());
            let file = template.map(|template| template.fill(values)).unwrap_or_default();
            return named(&file, Some(values.serial), sums.digest(&file)?);
        }
        let builds = || {
            let serial = |name| folder.dated_file.as_ref()?.serial_in(values, name);
            sums.files().filter_map(move |(name, digest)| Some((name, serial(name)?, digest)))
        };
        let of_digest = |digest: Digest| builds().find(|(_, _, other)| *other == digest);
        if let Some(Pin::Digest(digest)) = pin
            && let Some((name, serial, digest)) = of_digest(*digest)
        {
            return named(name, Some(serial), digest);
        }
        let file = folder.file.as_ref().map(|file| file.fill(values));
        let newest = || builds().max_by_key(|(_, serial, _)| order(serial));
        let newest_digest = file.as_deref().map(|file| sums.digest(file));
        match (file, newest_digest) {
            (Some(file), Some(Ok(digest))) => match of_digest(digest) {
                Some((name, serial, digest)) => named(name, Some(serial), digest),
                None => named(&file, None, digest),
            },
            (_, Some(Err(error @ SumsError::Twice { .. }))) => Err(error),
            (file, _) => match newest() {
                Some((name, serial, _)) => named(name, Some(serial), sums.digest(name)?),
                None => {
                    let wanted = folder.dated_file.as_ref().map(|file| file.fill(Values { serial: "*", ..values }));
                    Err(SumsError::Missing { file: file.or(wanted).unwrap_or_default() })
                }
            },
        }
    }
}

/// The wanted item of `items`, which begin with the newest.
fn choose<'a>(items: &'a [StreamItem], pin: Option<&Pin>) -> Option<&'a StreamItem> {
    match pin {
        // Before a release, previews have its place.
        None => items.iter().find(|item| item.is_release).or(items.first()),
        Some(Pin::Serial(serial)) => items.iter().find(|item| item.serial == *serial),
        Some(Pin::Digest(digest)) => items.iter().find(|item| item.digest == *digest),
    }
}

fn is_not_there(error: &transport::Error) -> bool {
    matches!(error, transport::Error::Status { status: 403 | 404 | 410, .. })
}

impl FindError {
    /// Whether the index simply does not have it, so that another place may.
    fn is_absence(&self) -> bool {
        match self {
            Self::Transport(error) => is_not_there(error),
            Self::Streams { source, .. } => {
                matches!(source, StreamsError::NoContent { .. } | StreamsError::NoProduct { .. })
            }
            Self::Pinned { .. } => true,
            _ => false,
        }
    }

    /// What to do about it, if something can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Name(error) => error.hint(),
            Self::Keys(error) => error.hint(),
            Self::NotTls { .. } => {
                Some("use an `https://` mirror; `--insecure` accepts the list unverified".to_owned())
            }
            Self::Pinned { pin: Pin::Serial(_), found, .. } if !found.is_empty() => {
                Some(format!("there are {}", found.join(", ")))
            }
            _ => None,
        }
    }
}

fn build(pin: &Pin) -> String {
    match pin {
        Pin::Serial(serial) => format!("build {serial}"),
        Pin::Digest(digest) => format!("image of {digest}"),
    }
}

fn in_one_line(error: &FindError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
