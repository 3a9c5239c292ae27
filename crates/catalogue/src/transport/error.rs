//! Why a file could not be fetched.

use std::error;
use std::fmt;
use std::io;

use crate::cache::{self, Digest};

/// Why a file could not be fetched.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// It is not in the cache, and the network may not be used.
    Offline {
        /// What is missing: an address, or a name with its digest.
        what: String,
    },
    /// It is damaged in the cache, and the network may not be used.
    OfflineDamaged {
        /// Its name.
        name: String,
        /// The digest that it should have.
        digest: Box<Digest>,
    },
    /// An address that is invalid or not allowed.
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server's answer is not a file.
    Status {
        /// Where.
        url: String,
        /// The status.
        status: u16,
        /// After how many seconds the server wants to be asked again.
        retry_after_seconds: Option<u64>,
    },
    /// A failure of the network or TLS, or a server that breaks HTTP's rules.
    Connection {
        /// Where.
        url: String,
        /// What happened.
        problem: String,
        /// Whether there was a connection.
        was_reached: bool,
        /// The unreachable proxy, `HOST:PORT`.
        proxy: Option<String>,
        /// What the system said.
        source: Option<io::Error>,
    },
    /// The server's certificate is not trusted.
    Untrusted {
        /// Where.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server's answer does not match the request.
    Answer {
        /// Where.
        url: String,
        /// What was found, and what was expected.
        problem: String,
    },
    /// A document is too large.
    TooLarge {
        /// Where.
        url: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// The file is complete, but its digest is wrong.
    WrongDigest {
        /// Where from.
        url: String,
        /// Their digest.
        found: Box<Digest>,
        /// The digest that they should have.
        expected: Box<Digest>,
    },
    /// None of several addresses has it.
    NoMirror {
        /// The file's name.
        name: String,
        /// The error of each, in their order.
        causes: Vec<Error>,
    },
    /// An error of the cache's folder.
    Cache(cache::Error),
}

impl Error {
    /// The proxy that did not answer, if that is the reason.
    pub fn unreachable_proxy(&self) -> Option<&str> {
        match self {
            Self::Connection { proxy, was_reached: false, .. } => proxy.as_deref(),
            Self::NoMirror { causes, .. } if self.is_unreachable() => causes.last()?.unreachable_proxy(),
            _ => None,
        }
    }

    /// Whether the server's certificate is not trusted.
    pub fn is_untrusted(&self) -> bool {
        match self {
            Self::Untrusted { .. } => true,
            Self::NoMirror { causes, .. } => causes.last().is_some_and(Self::is_untrusted),
            _ => false,
        }
    }

    /// Whether no address could be reached: there may be no network.
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
            Self::Offline { what } => write!(f, "{what} is not in the cache, and imgraft is offline"),
            Self::OfflineDamaged { name, digest } => {
                write!(f, "`{name}` ({digest}) is damaged in the cache, and imgraft is offline")
            }
            Self::Address { url, problem } => write!(f, "`{url}` {problem}"),
            Self::Status { url, status, retry_after_seconds } => {
                write!(f, "`{url}`: the server answers {status}{}", meaning(*status))?;
                match retry_after_seconds {
                    Some(seconds) => write!(f, ", and asks to wait for {seconds} s"),
                    None => Ok(()),
                }
            }
            Self::Connection { url, problem, .. } | Self::Answer { url, problem } => write!(f, "`{url}`: {problem}"),
            Self::Untrusted { url, problem } => write!(f, "`{url}`: its certificate is not trusted ({problem})"),
            Self::TooLarge { url, limit_bytes } => {
                write!(f, "`{url}` is larger than the limit of {limit_bytes} bytes")
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

/// The meaning of a status in words.
fn meaning(status: u16) -> &'static str {
    match status {
        401 | 403 => " (access denied)",
        404 | 410 => " (no such file)",
        407 => " (the proxy needs a password)",
        429 => " (too many requests)",
        500..=599 => " (the server has a problem)",
        _ => "",
    }
}
