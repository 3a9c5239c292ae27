//! What is told while a file is fetched.

use std::time::Duration;

use super::Error;

/// Whoever wants to know how far it is.
pub trait Progress {
    /// Something happened. It is told often, and should not take long.
    fn event(&self, event: Event<'_>);
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Another process fetches the same file, and has that many bytes of it.
    Waiting {
        /// How many bytes the other process has.
        have_bytes: u64,
        /// How many there are in all, where that is known.
        total_bytes: Option<u64>,
    },
    /// What an earlier try or process has left is read again.
    Rehashing {
        /// How many bytes it has left.
        have_bytes: u64,
    },
    /// Bytes begin to come.
    Started {
        /// Where they come from, after redirects.
        url: &'a str,
        /// How many bytes of it are here already.
        have_bytes: u64,
        /// How many there are in all, where that is known.
        total_bytes: Option<u64>,
    },
    /// So many bytes are here now.
    Received {
        /// How many bytes of the whole file are here.
        have_bytes: u64,
    },
    /// It did not work, and is tried again later.
    Retrying {
        /// Where.
        url: &'a str,
        /// What went wrong.
        cause: &'a Error,
        /// When it is tried again.
        after: Duration,
    },
    /// An address does not have the file, and the next one is asked.
    NextMirror {
        /// The address that was given up.
        url: &'a str,
        /// What went wrong last.
        cause: &'a Error,
    },
    /// The file was in the cache, or another process has put it there.
    Cached {
        /// How many bytes it has.
        size_bytes: u64,
    },
    /// The file is whole, right, and in the cache.
    Finished {
        /// How many bytes it has.
        size_bytes: u64,
    },
}

/// Nobody wants to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event<'_>) {}
}
