//! Answers.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::{Memory, ReadAt};

use super::limits::Limits;
use super::wire::Wire;
use crate::Content;

/// How many bytes are written at a time.
const STEP_BYTES: u64 = 64 << 10;

/// An answer about to be sent.
pub(super) struct Response {
    pub(super) status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Content,
}

impl Response {
    /// A body of bytes that may be anything.
    pub(super) fn content(body: Content) -> Self {
        Self { status: 200, content_type: "application/octet-stream", headers: Vec::new(), body }
    }

    pub(super) fn text(text: impl Into<Vec<u8>>) -> Self {
        Self { content_type: "text/plain; charset=utf-8", ..Self::content(Arc::new(Memory::from(text.into()))) }
    }

    pub(super) fn json(text: String) -> Self {
        Self { content_type: "application/json", ..Self::text(text) }
    }

    /// An answer with the reason for an error.
    pub(super) fn refusal(status: u16, reason: &str) -> Self {
        Self { status, ..Self::text(format!("{status} {}: {reason}\n", phrase(status))) }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The length of the body, in bytes.
    pub(super) fn body_bytes(&self) -> u64 {
        self.body.size_bytes()
    }

    /// Sends the answer, the body only `with_body`.
    pub(super) fn send(&self, wire: &mut dyn Wire, with_body: bool, closes: bool, limits: &Limits) -> io::Result<()> {
        let size_bytes = self.body_bytes();
        let deadline =
            Instant::now() + limits.answer + Duration::from_secs(size_bytes / limits.slowest_bytes_per_second.max(1));
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nServer: imgraft\r\nContent-Type: {}\r\nContent-Length: {size_bytes}\r\n\
             Cache-Control: no-store\r\nConnection: {}\r\n",
            self.status,
            phrase(self.status),
            self.content_type,
            if closes { "close" } else { "keep-alive" }
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        let mut at = 0;
        // The first piece is sent with the head, in one packet if it fits.
        loop {
            if with_body {
                let step = (size_bytes - at).min(STEP_BYTES) as usize;
                let start = bytes.len();
                bytes.resize(start + step, 0);
                self.body.read_at(at, &mut bytes[start..]).map_err(io::Error::other)?;
                at += step as u64;
            }
            wire.write_all(&bytes, deadline)?;
            bytes.clear();
            if !with_body || at == size_bytes {
                return Ok(());
            }
        }
    }
}

/// The reason phrase of RFC 9110, "Status Codes".
fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}
