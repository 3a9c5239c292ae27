//! Seeds over HTTP: for `ds=nocloud;s=http://…/`, and as Amazon's metadata service has them.
//!
//! A [`Service`] answers requests, over any [`Wire`]; a [`Server`] listens for them. What is asked for that is not
//! there is answered with an empty file where cloud-init asks for it in any case, because it asks ten times, a
//! second apart, where it gets a 404.
//!
//! | address | what is there |
//! | --- | --- |
//! | `/user-data`, `/meta-data`, … | the seed that all share |
//! | `/NAME/user-data`, … | the seed of an instance |
//! | `/latest/…`, `/2021-03-23/…`, … | Amazon's tree |
//! | `/latest/api/token` | tokens for it (`PUT`) |
//! | `/phone-home…` | where guests say that their first boot is done (`POST`) |
//! | anything else | that file of the folder, where those are handed out; nothing hidden |
//!
//! Not spoken: TLS, transfer encodings, ranges, conditional requests.
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

/// Which versions of Amazon's metadata service are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Imds {
    /// No tokens: there are none, and whatever is said of them is ignored.
    V1,
    /// Not without a token.
    V2,
    /// A token that is sent has to be good, and none need be.
    #[default]
    Both,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange<'a> {
    /// Who asked.
    pub peer: &'a str,
    /// Empty where there was no request that made sense.
    pub method: &'a str,
    /// The address as it was sent, or the beginning of what was no request.
    pub target: &'a str,
    /// What the client calls itself; empty where it does not say.
    pub user_agent: &'a str,
    /// The answer's status.
    pub status: u16,
    /// The length of the answer's body, which `HEAD` is told of and not sent.
    pub body_bytes: u64,
}

/// Who is told of what a service does. From several threads at a time.
pub trait Watch: Send + Sync {
    /// A request was answered, and its answer sent or not.
    fn answered(&self, exchange: &Exchange<'_>);

    /// A guest says that its first boot is done.
    ///
    /// # Errors
    ///
    /// That this could not be noted: the guest is told to try again.
    fn phoned_home(&self, call: &PhoneHome) -> io::Result<()>;

    /// Something that is not the client's fault.
    fn trouble(&self, what: &str, error: &io::Error);
}

/// Nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn answered(&self, _exchange: &Exchange<'_>) {}

    fn phoned_home(&self, _call: &PhoneHome) -> io::Result<()> {
        Ok(())
    }

    fn trouble(&self, _what: &str, _error: &io::Error) {}
}

/// What answers requests.
pub struct Service {
    seeds: Seeds,
    watch: Arc<dyn Watch>,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    tokens: Tokens,
    /// What Amazon's tree says.
    pub ec2: Ec2,
    /// Which versions of it are spoken. This says nothing about the seeds' own addresses, which take no tokens.
    pub imds: Imds,
    /// Whether seeds have addresses of their own, for `ds=nocloud`.
    pub has_nocloud: bool,
    /// What clients may ask of it.
    pub limits: Limits,
}

impl Service {
    /// A service with `seeds`. `clock` says the time in seconds, since whenever; whoever has the same clock and
    /// `secret` accepts the same tokens.
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
