//! Seeds over HTTP: for `ds=nocloud;s=http://…/`, and as in Amazon's metadata service.
//!
//! A [`Service`] answers requests over any [`Wire`]; a [`Server`] listens for them. A missing file that cloud-init
//! asks for in any case is answered with an empty file, because after a 404 cloud-init would ask ten times, a
//! second apart.
//!
//! | address | what is there |
//! | --- | --- |
//! | `/user-data`, `/meta-data`, … | the seed for all guests |
//! | `/NAME/user-data`, … | the seed of an instance |
//! | `/latest/…`, `/2021-03-23/…`, … | Amazon's tree |
//! | `/latest/api/token` | tokens for it (`PUT`) |
//! | `/phone-home…` | where guests say that their first boot is done (`POST`) |
//! | anything else | that file of the folder, if other files are served; no hidden files |
//!
//! Not supported: TLS, transfer encodings, ranges, conditional requests.
//!
//! ```
//! use std::net::TcpListener;
//! use std::sync::Arc;
//! use seed::server::{Seeds, Server, Service, Unwatched};
//! use seed::{InstanceId, MetaData, Seed};
//! use storage::Memory;
//!
//! let user_data = Arc::new(Memory::from(b"#cloud-config\n".to_vec()));
//! let seed = Seed::generate(user_data, None, None, MetaData::default(), InstanceId::FromContent)?;
//! let seeds = Seeds::new(seed, Some(MetaData::default()))?;
//! let service = Service::new(seeds, Arc::new(Unwatched), || 0, [7; 32]);
//! let server = Server::start(TcpListener::bind("127.0.0.1:0")?, Arc::new(service))?;
//! let line = seed::Line::new(Some(&format!("http://{}/web/", server.address())), None, None)?;
//! # assert!(line.to_string().starts_with("ds=nocloud;dsmode=net;s=http://127.0.0.1:"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connection;
mod ec2;
mod form;
mod limits;
mod listener;
mod path;
mod request;
mod response;
mod route;
mod seeds;
mod token;
mod wire;

use std::io;
use std::sync::Arc;

pub use ec2::Ec2;
pub use form::PhoneHome;
pub use limits::Limits;
pub use listener::Server;
pub use seeds::Seeds;
pub use wire::{Pair, Wire};

use token::Tokens;

/// Which versions of Amazon's metadata service are supported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Imds {
    /// Version 1 only: there are no tokens, and headers about tokens are ignored.
    V1,
    /// Version 2 only: every request needs a token.
    V2,
    /// Both: a request needs no token, but a token in a request must be valid.
    #[default]
    Both,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange<'a> {
    /// The client.
    pub peer: &'a str,
    /// The method; empty if there was no valid request.
    pub method: &'a str,
    /// The address as it was sent, or the beginning of what was not a request.
    pub target: &'a str,
    /// The client's `User-Agent`; empty if it sent none.
    pub user_agent: &'a str,
    /// The answer's status.
    pub status: u16,
    /// The length of the answer's body; for `HEAD` it is stated, but the body is not sent.
    pub body_bytes: u64,
}

/// Gets reports of what a service does, from several threads at a time.
pub trait Watch: Send + Sync {
    /// A request was answered, and its answer sent or not.
    fn answered(&self, exchange: &Exchange<'_>);

    /// A guest reports that its first boot is done.
    ///
    /// # Errors
    ///
    /// If this could not be recorded: the guest is asked to try again.
    fn phoned_home(&self, call: &PhoneHome) -> io::Result<()>;

    /// An error that is not the client's fault.
    fn trouble(&self, what: &str, error: &io::Error);
}

/// Ignores all reports.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn answered(&self, _exchange: &Exchange<'_>) {}

    fn phoned_home(&self, _call: &PhoneHome) -> io::Result<()> {
        Ok(())
    }

    fn trouble(&self, _what: &str, _error: &io::Error) {}
}

/// Answers requests.
pub struct Service {
    seeds: Seeds,
    watch: Arc<dyn Watch>,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    tokens: Tokens,
    /// The content of Amazon's tree.
    pub ec2: Ec2,
    /// Which versions of it are supported. The seeds' own addresses never need tokens.
    pub imds: Imds,
    /// Whether seeds have addresses of their own, for `ds=nocloud`.
    pub has_nocloud: bool,
    /// The limits for clients.
    pub limits: Limits,
}

impl Service {
    /// A service with `seeds`. `clock` gives the time in seconds from any start; services with the same clock and
    /// `secret` accept each other's tokens.
    pub fn new(
        seeds: Seeds,
        watch: Arc<dyn Watch>,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
        secret: [u8; 32],
    ) -> Self {
        let tokens = Tokens::new(secret);
        let clock = Box::new(clock);
        let (ec2, imds, limits) = (Ec2::default(), Imds::default(), Limits::default());
        Self { seeds, watch, clock, tokens, ec2, imds, has_nocloud: true, limits }
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seeds, ec2, imds, has_nocloud, limits, .. } = self;
        let mut service = f.debug_struct("Service");
        service.field("seeds", seeds).field("ec2", ec2).field("imds", imds);
        service.field("has_nocloud", has_nocloud).field("limits", limits);
        service.finish_non_exhaustive()
    }
}
