//! The transport over the network.

use std::thread;
use std::time::Duration;

use super::address::Address;
use super::transfer::Transfer;
use super::web::{Failed, Web};
use super::{Download, Error, Event, Progress, Proxies, Retry, Roots, Transport};
use crate::cache::{Cache, Claim, Entry, Found};

/// How the network is used.
#[derive(Clone, Debug)]
pub struct Options {
    /// The trusted certificate authorities.
    pub roots: Roots,
    /// The proxies.
    pub proxies: Proxies,
    /// Use only the cache.
    pub offline: bool,
    /// Documents may come without TLS from anywhere. Otherwise they may only from this machine; files whose
    /// digests are known always may.
    pub allow_http: bool,
    /// How often a request is tried.
    pub retry: Retry,
    /// How long each of these may take: finding a host, connecting, and sending a request.
    pub connect_timeout: Duration,
    /// How long an answer's headers may take.
    pub answer_timeout: Duration,
    /// How long a document may take.
    pub document_timeout: Duration,
    /// The longest time without a byte.
    pub stall_timeout: Duration,
    /// The `User-Agent`.
    pub user_agent: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            roots: Roots::default(),
            proxies: Proxies::default(),
            offline: false,
            allow_http: false,
            retry: Retry::default(),
            connect_timeout: Duration::from_secs(20),
            answer_timeout: Duration::from_secs(60),
            document_timeout: Duration::from_secs(600),
            stall_timeout: Duration::from_secs(30),
            user_agent: concat!("imgraft/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// The transport over the network.
pub struct Client {
    web: Web,
}

impl Client {
    /// A client. It uses neither certificates nor the network before the first request.
    pub fn new(options: Options) -> Self {
        Self { web: Web::new(options) }
    }

    /// What its requests go through.
    pub fn web(&self) -> &Web {
        &self.web
    }

    fn document(&self, address: &Address, limit_bytes: u64) -> Result<Vec<u8>, Failed> {
        let answer = self.web.get(address, &[], false)?;
        if answer.status != 200 {
            return Err(answer.refusal());
        }
        self.web.document(answer, limit_bytes)
    }
}

impl Transport for Client {
    fn small(&self, url: &str, limit_bytes: u64) -> Result<Vec<u8>, Error> {
        let address = Address::parse(url)?;
        if self.web.options().offline {
            return Err(Error::Offline { what: format!("`{url}`") });
        }
        let mut failures = 0;
        loop {
            let failed = match self.document(&address, limit_bytes) {
                Ok(bytes) => return Ok(bytes),
                Err(failed) => failed,
            };
            failures += 1;
            match self.web.pause(&address, &failed, failures) {
                Some(pause) => thread::sleep(pause),
                None => return Err(failed.error),
            }
        }
    }

    fn fetch(&self, download: &Download, cache: &Cache, progress: &dyn Progress) -> Result<Entry, Error> {
        let cached = |entry: Entry| {
            progress.event(Event::Cached { size_bytes: entry.size_bytes() });
            entry
        };
        let found = cache.find(&download.digest)?;
        if let Found::Entry(entry) = found {
            return Ok(cached(entry));
        }
        if self.web.options().offline {
            let Download { name, digest, .. } = download;
            return Err(match found {
                Found::Damaged { .. } => Error::OfflineDamaged { name: name.clone(), digest: Box::new(*digest) },
                _ => Error::Offline { what: format!("`{name}` ({digest})") },
            });
        }
        let addresses: Vec<Address> = download.urls.iter().map(|url| Address::parse(url)).collect::<Result<_, _>>()?;
        let mut waiting = |have_bytes, total_bytes| progress.event(Event::Waiting { have_bytes, total_bytes });
        let mut part = match cache.claim(&download.digest, &mut waiting)? {
            Claim::Entry(entry) => return Ok(cached(entry)),
            Claim::Part(part) => part,
        };
        Transfer::new(&self.web, download, &mut part, progress)?.run(&addresses)?;
        let entry = part.finish(&download.name)?;
        progress.event(Event::Finished { size_bytes: entry.size_bytes() });
        Ok(entry)
    }
}
