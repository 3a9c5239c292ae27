//! Progress while a file is fetched.

use std::time::Duration;

use super::Error;

/// Gets progress.
pub trait Progress {
    /// Called for each event. It is called often and should not take long.
    fn event(&self, event: Event<'_>);
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Another process is fetching the same file.
    Waiting {
        /// How many bytes the other process has.
        have_bytes: u64,
        /// The size of the file, if known.
        total_bytes: Option<u64>,
    },
    /// The bytes of an earlier attempt or process are read again.
    Rehashing {
        /// How many bytes these are.
        have_bytes: u64,
    },
    /// The transfer begins.
    Started {
        /// The address, after redirects.
        url: &'a str,
        /// How many bytes were there already.
        have_bytes: u64,
        /// The size of the file, if known.
        total_bytes: Option<u64>,
    },
    /// More bytes have arrived.
    Received {
        /// How many bytes of the whole file there are now.
        have_bytes: u64,
    },
    /// It failed and is tried again later.
    Retrying {
        /// Where.
        url: &'a str,
        /// What went wrong.
        cause: &'a Error,
        /// How long until then.
        after: Duration,
    },
    /// An address does not have the file; the next one is tried.
    NextMirror {
        /// The address that was given up.
        url: &'a str,
        /// The last error.
        cause: &'a Error,
    },
    /// The file was in the cache, or another process has put it there.
    Cached {
        /// How many bytes it has.
        size_bytes: u64,
    },
    /// The file is complete, right, and in the cache.
    Finished {
        /// How many bytes it has.
        size_bytes: u64,
    },
}

/// Ignores progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event<'_>) {}
}
