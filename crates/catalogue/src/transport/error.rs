//! Why a file did not come.

use std::error;
use std::fmt;
use std::io;

use crate::cache::{self, Digest};

/// Why a file did not come.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// It is not in the cache, and nothing may be asked for.
    Offline {
        /// What is missing: an address, or a name with its digest.
        what: String,
    },
    /// It is in the cache, but its bytes are not those that they were, and nothing may be asked for.
    OfflineDamaged {
        /// What it is called.
        name: String,
        /// What its bytes should come to.
        digest: Box<Digest>,
    },
    /// An address that cannot be asked, or may not be.
    Address {
        /// The address.
        url: String,
        /// What is the matter with it.
        problem: String,
    },
    /// The server's answer is no file.
    Status {
        /// Where.
        url: String,
        /// The answer's number.
        status: u16,
        /// For how many seconds the server wants to be left alone.
        retry_after_seconds: Option<u64>,
    },
    /// The network, TLS, or a server that breaks HTTP's rules.
    Connection {
        /// Where.
        url: String,
        /// What happened.
        problem: String,
        /// Whether there was a connection at all.
        was_reached: bool,
        /// The proxy that there was no connection to, `HOST:PORT`.
        proxy: Option<String>,
        /// What the system said.
        source: Option<io::Error>,
    },
    /// The server's certificate is not trusted.
    Untrusted {
        /// Where.
        url: String,
        /// What is the matter with it.
        problem: String,
    },
    /// The server's answer is not what was asked for.
    Answer {
        /// Where.
        url: String,
        /// What was found, and what was expected.
        problem: String,
    },
    /// A document is larger than it may be.
    TooLarge {
        /// Where.
        url: String,
        /// How large it may be.
        limit_bytes: u64,
    },
    /// All bytes came, and are not those that were to come.
    WrongDigest {
        /// Where from.
        url: String,
        /// What they come to.
        found: Box<Digest>,
        /// What they should.
        expected: Box<Digest>,
    },
    /// None of several addresses has it.
    NoMirror {
        /// What was to come.
        name: String,
        /// What was wrong at each, in their order.
        causes: Vec<Error>,
    },
    /// The cache's folder: it has no room, or what the system says.
    Cache(cache::Error),
}

impl Error {
    /// The proxy that did not answer, where that is why nobody did.
    pub fn unreachable_proxy(&self) -> Option<&str> {
        match self {
            Self::Connection { proxy, was_reached: false, .. } => proxy.as_deref(),
            Self::NoMirror { causes, .. } if self.is_unreachable() => causes.last()?.unreachable_proxy(),
            _ => None,
        }
    }

    /// Whether whoever answered has a certificate that is not trusted.
    pub fn is_untrusted(&self) -> bool {
        match self {
            Self::Untrusted { .. } => true,
            Self::NoMirror { causes, .. } => causes.last().is_some_and(Self::is_untrusted),
            _ => false,
        }
    }

    /// Whether nobody answered, wherever it was asked: there may be no network here.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Connection { was_reached, .. } => !was_reached,
            Self::NoMirror { causes, .. } => causes.iter().all(Self::is_unreachable),
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline { what } => write!(f, "{what} is not in the cache, and nothing is fetched offline"),
            Self::OfflineDamaged { name, digest } => {
                write!(f, "`{name}` ({digest}) is damaged in the cache, and nothing is fetched offline")
            }
            Self::Address { url, problem } => write!(f, "`{url}` {problem}"),
            Self::Status { url, status, retry_after_seconds } => {
                write!(f, "`{url}`: the server answers {status}{}", meaning(*status))?;
                match retry_after_seconds {
                    Some(seconds) => write!(f, ", and wants to be left alone for {seconds} s"),
                    None => Ok(()),
                }
            }
            Self::Connection { url, problem, .. } | Self::Answer { url, problem } => write!(f, "`{url}`: {problem}"),
            Self::Untrusted { url, problem } => write!(f, "`{url}`: its certificate is not trusted ({problem})"),
            Self::TooLarge { url, limit_bytes } => {
                write!(f, "`{url}` is larger than the {limit_bytes} bytes that such a file may have")
            }
            Self::WrongDigest { url, found, expected } => write!(f, "`{url}` is {found}, not {expected}"),
            Self::NoMirror { name, .. } => write!(f, "`{name}` could not be fetched"),
            Self::Cache(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Connection { source: Some(source), .. } => Some(source),
            Self::Cache(error) => error.source(),
            Self::NoMirror { causes, .. } => causes.last().map(|cause| cause as &(dyn error::Error + 'static)),
            _ => None,
        }
    }
}

impl From<cache::Error> for Error {
    fn from(error: cache::Error) -> Self {
        Self::Cache(error)
    }
}

/// What a status means to somebody who does not know the numbers.
fn meaning(status: u16) -> &'static str {
    match status {
        401 | 403 => " (it does not allow that)",
        404 | 410 => " (there is no such file)",
        407 => " (the proxy wants to know who asks)",
        429 => " (it was asked too often)",
        500..=599 => " (it is in trouble)",
        _ => "",
    }
}
