use std::time::Duration;

/// What a client may ask of a server. What is beyond is refused, and costs no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The first line of a request and its headers, in bytes: 431 beyond.
    pub head_bytes: usize,
    /// The address in the first line, in bytes: 414 beyond.
    pub target_bytes: usize,
    /// The body of a request, in bytes: 413 beyond.
    pub body_bytes: usize,
    /// Connections at a time: 503 beyond.
    pub connections: usize,
    /// Requests of one connection, which is closed behind the last one.
    pub requests: usize,
    /// How long a connection may be open with no request on it.
    pub idle: Duration,
    /// How long a request may take to arrive, from its first byte to its last: 408 beyond.
    pub request: Duration,
    /// How long an answer may take to be read, besides the time for its length.
    pub answer: Duration,
    /// How slowly an answer may be read, for its length.
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
