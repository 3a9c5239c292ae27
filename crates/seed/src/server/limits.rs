use std::time::Duration;

/// The limits for each client. Requests beyond them are refused, so they cost no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The first line of a request and its headers, in bytes; more is answered by 431.
    pub head_bytes: usize,
    /// The address in the first line, in bytes; more is answered by 414.
    pub target_bytes: usize,
    /// The body of a request, in bytes; more is answered by 413.
    pub body_bytes: usize,
    /// Connections at a time; more are answered by 503.
    pub connections: usize,
    /// Requests of one connection, which is closed after the last one.
    pub requests: usize,
    /// How long a connection may be open with no request on it.
    pub idle: Duration,
    /// How long a request may take to arrive, from its first byte to its last; a later one is answered by 408.
    pub request: Duration,
    /// How long a client may take to read an answer, besides the time for its length.
    pub answer: Duration,
    /// The slowest rate at which a client may read an answer.
    pub slowest_bytes_per_second: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 8 << 10,
            target_bytes: 2 << 10,
            body_bytes: 64 << 10,
            connections: 128,
            requests: 200,
            idle: Duration::from_secs(15),
            request: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            slowest_bytes_per_second: 64 << 10,
        }
    }
}
