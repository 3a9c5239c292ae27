//! A server's faults.

use std::sync::Arc;

/// What is wrong with an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection ends after this many bytes of the body.
    Cut {
        /// How many bytes of the body are sent.
        after_bytes: u64,
    },
    /// Nothing is sent after this many bytes of the body, but the connection stays open.
    Stall {
        /// How many bytes of the body are sent.
        after_bytes: u64,
    },
    /// Single bytes are sent now and then after this many bytes of the body.
    Trickle {
        /// How many bytes of the body are sent as usual.
        after_bytes: u64,
    },
    /// Another status, and no file.
    Status {
        /// The status.
        code: u16,
        /// The value of `Retry-After`.
        retry_after: Option<String>,
    },
    /// A redirect.
    Redirect {
        /// The value of `Location`.
        location: String,
    },
    /// `Content-Length` has this value, whatever is sent. A connection with fewer bytes ends there.
    ContentLength(String),
    /// `Content-Range` has this value.
    ContentRange(String),
    /// No `Content-Length`, but chunks.
    Chunked,
    /// No `Content-Length`, and the end of the connection is the end of the body.
    UntilClosed,
    /// `Content-Encoding: gzip`, which nobody asked for.
    Encoded,
    /// `Range` is ignored: the whole file is sent with 200.
    NoRange,
    /// Ranges are answered with 206 although the file has changed since.
    IgnoreIfRange,
    /// The answer does not say which version of the file it is.
    NoValidators,
    /// The answer has `Last-Modified`, but no `ETag`.
    NoEtag,
    /// The file's content is another one from this answer on.
    Change(Arc<[u8]>),
    /// The headers come a byte at a time, and never end.
    SlowHeaders,
    /// The headers are very large.
    HugeHeaders,
    /// The answer is not HTTP at all.
    Garbage,
    /// The connection ends before anything is said.
    Hangup,
}

/// Faults in a list: their first that `find` takes.
pub(super) fn first<'a, T>(faults: &'a [Fault], find: impl Fn(&'a Fault) -> Option<T>) -> Option<T> {
    faults.iter().find_map(find)
}
