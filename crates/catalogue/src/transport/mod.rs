//! How files come here: over HTTPS, whole and as their digests say, or not at all.
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
//! A file whose digest is known may come from anybody, over any connection; a document may not. Of a server nothing
//! is believed: lengths, ranges and tags only save the time in which the digest would find the same. Refused are
//! redirects away from TLS or more than ten, encoded bodies, headers of more than 64 KiB, names of users in
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

pub use self::client::{Client, Options};
pub use self::error::Error;
pub use self::progress::{Event, Progress, Silent};
pub use self::proxy::Proxies;
pub use self::retry::Retry;
pub use self::roots::Roots;
use crate::cache::{Cache, Digest, Entry};

/// A way to get files.
pub trait Transport {
    /// The bytes at `url`, which is some small document: a list, an index, a signature, a key. It is asked for
    /// anew each time.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] past `limit_bytes`; [`Error::Offline`] where nothing may be asked for; what went wrong
    /// last otherwise, after what is worth repeating was repeated.
    fn small(&self, url: &str, limit_bytes: u64) -> Result<Vec<u8>, Error>;

    /// The file that `download` says, out of `cache`, or from the first of its addresses that has it, which puts
    /// it there.
    ///
    /// # Errors
    ///
    /// [`Error::Offline`] where it is not in the cache and nothing may be asked for; [`Error::NoMirror`] with what
    /// was wrong at each address, if there are several; [`Error::Cache`].
    fn fetch(&self, download: &Download, cache: &Cache, progress: &dyn Progress) -> Result<Entry, Error>;
}

/// A file to have.
#[derive(Clone, Debug)]
pub struct Download {
    /// What it is called in messages, and in the list of the cache: `ubuntu:24.04`, say.
    pub name: String,
    /// Where it can be had, the best place first.
    pub urls: Vec<String>,
    /// What its bytes come to.
    pub digest: Digest,
    /// How many bytes there are, where that is known from elsewhere.
    pub size_bytes: Option<u64>,
}
