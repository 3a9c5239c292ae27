//! Why something did not go to a registry, or come from it.

use std::io;

use catalogue::Digest;
use catalogue::cache;
use catalogue::transport;

/// Why something did not go to a registry, or come from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry could not be asked, or its answer breaks the rules of HTTP.
    #[error(transparent)]
    Transport(#[from] transport::Error),
    /// The registry, or its token service, does not accept who asks.
    #[error("`{server}` does not let {who} {what}{said}")]
    Denied {
        /// The registry or the token service.
        server: String,
        /// `the user …`, or nobody in particular.
        who: String,
        /// What was asked for: `push to …`.
        what: String,
        /// What it says, after a colon and a blank.
        said: String,
    },
    /// The registry answers with an error.
    #[error("`{url}`: the registry answers {status}{meaning}{said}", meaning = meaning(*status))]
    Refused {
        /// Where.
        url: String,
        /// The status.
        status: u16,
        /// What it says, after a colon and a blank.
        said: String,
    },
    /// The registry does not have it.
    #[error("`{reference}` is not in the registry")]
    Missing {
        /// What was asked for.
        reference: String,
    },
    /// Bytes do not have the digest by which they were asked for.
    #[error("`{what}` is {found}, not {expected}")]
    WrongDigest {
        /// What was asked for.
        what: String,
        /// The digest of what came.
        found: Box<Digest>,
        /// The digest that was asked for.
        expected: Box<Digest>,
    },
    /// A manifest, or another document, is not one that can be used.
    #[error("`{what}` {problem}")]
    Document {
        /// Whose document.
        what: String,
        /// What was found, and what was expected.
        problem: String,
    },
    /// The image that is sent cannot be read.
    #[error("the image cannot be read")]
    Source(#[source] io::Error),
    /// The cache's folder.
    #[error(transparent)]
    Cache(#[from] cache::Error),
}

impl Error {
    pub(crate) fn document(what: impl ToString, problem: impl Into<String>) -> Self {
        Self::Document { what: what.to_string(), problem: problem.into() }
    }
}

fn meaning(status: u16) -> &'static str {
    match status {
        413 => " (it takes nothing that large)",
        429 => " (too many requests)",
        507 => " (it has no room left)",
        300..=399 => " (a redirect, which an upload does not follow)",
        500..=599 => " (it has a problem of its own)",
        _ => "",
    }
}
