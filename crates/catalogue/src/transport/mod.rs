//! Fetching files over HTTPS: completely and with the right digest, or not at all.
//!
//! ```no_run
//! use catalogue::transport::{Options, Silent};
//! use catalogue::{Cache, Client, Download, Transport};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(Options::default());
//! let list = client.small("https://cloud-images.ubuntu.com/noble/current/SHA256SUMS", 1 << 20)?;
//! # let (text, urls) = ("sha256:…", vec![]);
//! let download = Download { name: "noble".to_owned(), urls, digest: text.parse()?, size_bytes: None };
//! let entry = client.fetch(&download, &Cache::new("/var/cache/imgraft"), &Silent)?;
//! println!("{}", entry.path().display());
//! # Ok(())
//! # }
//! ```
//!
//! A file whose digest is known may come from anybody, over any connection; a document may not. Nothing a server
//! says is trusted: lengths and tags only let a download fail before the digest would. Refused are
//! redirects away from TLS or more than ten, encoded bodies, headers of more than 64 KiB, user names in
//! addresses, and anything but 200 and 206.

mod address;
mod client;
mod error;
mod progress;
mod proxy;
mod range;
mod retry;
mod roots;
mod transfer;
mod web;

pub use self::address::Address;
pub use self::client::{Client, Options};
pub use self::error::Error;
pub use self::progress::{Event, Progress, Silent};
pub use self::proxy::Proxies;
pub use self::retry::Retry;
pub use self::roots::Roots;
pub use self::web::{Again, Answer, Content, Failed, Web};
use crate::cache::{Cache, Digest, Entry};

/// Gets files.
pub trait Transport {
    /// The bytes at `url`, a small document: a list, an index, a signature, a key. It is fetched
    /// again each time.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] past `limit_bytes`; [`Error::Offline`] if nothing may be asked for; what went wrong
    /// last otherwise, after repetitions that may help.
    fn small(&self, url: &str, limit_bytes: u64) -> Result<Vec<u8>, Error>;

    /// The file of `download`, from `cache` or from the first of its addresses that has it; it is stored
    /// in the cache.
    ///
    /// # Errors
    ///
    /// [`Error::Offline`] if it is not in the cache and nothing may be asked for; [`Error::NoMirror`] with what
    /// was wrong at each address, if there are several; [`Error::Cache`].
    fn fetch(&self, download: &Download, cache: &Cache, progress: &dyn Progress) -> Result<Entry, Error>;
}

/// A file to fetch.
#[derive(Clone, Debug)]
pub struct Download {
    /// Its name in messages and in the list of the cache, such as `ubuntu:24.04`.
    pub name: String,
    /// Its addresses, the best one first.
    pub urls: Vec<String>,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size, if known from elsewhere.
    pub size_bytes: Option<u64>,
}
