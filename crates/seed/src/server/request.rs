//! Requests: RFC 9112, with limits.

use std::io;
use std::time::Instant;

use super::limits::Limits;
use super::wire::Wire;

/// Headers of a request.
const MAX_HEADERS: usize = 64;
/// How many bytes are read from the network at a time.
const STEP_BYTES: usize = 4 << 10;

/// A request that arrived whole.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// The address as it was sent.
    pub(super) target: String,
    /// Whether the client wants the connection closed.
    pub(super) closes: bool,
    pub(super) body: Vec<u8>,
    headers: Vec<(String, String)>,
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The client has gone, or was silent for too long: no answer is possible.
    Gone,
    /// The client gets this answer. The start of what it sent is kept for the log.
    Answer { status: u16, reason: &'static str, head: Vec<u8> },
}

impl Request {
    /// The header's value; the first one, if several have that name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// A connection's requests, one after the other; bytes beyond one request belong to the next.
#[derive(Debug)]
pub(super) struct Requests {
    buffer: Vec<u8>,
}

/// A request's first line and headers.
struct Head {
    request: Request,
    minor: u8,
    /// Where the body begins.
    length: usize,
}

impl Requests {
    pub(super) fn new() -> Self {
        Self { buffer: Vec::new() }
    }

    /// The next request.
    pub(super) fn next(&mut self, wire: &mut dyn Wire, limits: &Limits) -> Result<Request, Refusal> {
        if self.buffer.is_empty() && !self.read(wire, Instant::now() + limits.idle).unwrap_or(false) {
            return Err(Refusal::Gone);
        }
        let deadline = Instant::now() + limits.request;
        let head = loop {
            if let Some(head) = self.head(limits)? {
                break head;
            }
            self.read_more(wire, deadline)?;
        };
        let Head { mut request, minor, length } = head;
        let body_bytes = self.body_bytes(&request, limits)?;
        if minor > 0 && find(&request.headers, "host").is_none() {
            return Err(self.refusal(400, "the header Host is missing"));
        }
        let expects = find(&request.headers, "expect").is_some_and(|what| what.eq_ignore_ascii_case("100-continue"));
        if expects && minor > 0 && self.buffer.len() < length + body_bytes {
            wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n", deadline).map_err(|_| Refusal::Gone)?;
        }
        while self.buffer.len() < length + body_bytes {
            self.read_more(wire, deadline)?;
        }
        request.body = self.buffer[length..length + body_bytes].to_vec();
        self.buffer.drain(..length + body_bytes);
        Ok(request)
    }

    /// Whether anything more came.
    fn read(&mut self, wire: &mut dyn Wire, deadline: Instant) -> io::Result<bool> {
        let start = self.buffer.len();
        self.buffer.resize(start + STEP_BYTES, 0);
        let read = loop {
            match wire.read(&mut self.buffer[start..], deadline) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(start + *read.as_ref().unwrap_or(&0));
        Ok(read? > 0)
    }

    fn read_more(&mut self, wire: &mut dyn Wire, deadline: Instant) -> Result<(), Refusal> {
        match self.read(wire, deadline) {
            Ok(true) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(self.refusal(408, "the request took too long"))
            }
            Ok(false) | Err(_) => Err(Refusal::Gone),
        }
    }

    /// The head, if all of it has arrived.
    fn head(&self, limits: &Limits) -> Result<Option<Head>, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let available = &self.buffer[..self.buffer.len().min(limits.head_bytes)];
        let status = parsed.parse(available).map_err(|error| match error {
            httparse::Error::Version => self.refusal(505, "only versions 1.0 and 1.1 are supported"),
            httparse::Error::TooManyHeaders => self.refusal(431, "there are too many headers"),
            _ => self.refusal(400, "this is not an HTTP request"),
        })?;
        // An unfinished address counts as far as it has arrived.
        let target_bytes = match (parsed.path, parsed.method) {
            (Some(target), _) => target.len(),
            (None, Some(_)) => available.iter().skip_while(|&&byte| byte != b' ').skip(1).count(),
            (None, None) => 0,
        };
        if target_bytes > limits.target_bytes {
            return Err(self.refusal(414, "the address is too long"));
        }
        let httparse::Status::Complete(length) = status else {
            if available.len() == limits.head_bytes {
                return Err(self.refusal(431, "the headers are too long"));
            }
            return Ok(None);
        };
        let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_owned();
        let headers: Vec<(String, String)> =
            parsed.headers.iter().map(|header| (header.name.to_owned(), text(header.value))).collect();
        let minor = parsed.version.unwrap_or(0);
        let says = |word: &str| {
            let values = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
            values.flat_map(|(_, value)| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
        };
        let closes = says("close") || minor == 0 && !says("keep-alive");
        let method = parsed.method.unwrap_or_default().to_owned();
        let target = parsed.path.unwrap_or_default().to_owned();
        Ok(Some(Head { request: Request { method, target, closes, body: Vec::new(), headers }, minor, length }))
    }

    /// How long the body is: RFC 9112, "Message Body Length".
    fn body_bytes(&self, request: &Request, limits: &Limits) -> Result<usize, Refusal> {
        let lengths: Vec<&str> = request
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map(|(_, value)| value.as_str())
            .collect();
        let is_coded = find(&request.headers, "transfer-encoding").is_some();
        match lengths[..] {
            [] if is_coded => Err(self.refusal(411, "a body needs a length and must not have a transfer encoding")),
            [] => Ok(0),
            // Two programs that each believe one of the headers would read two different requests.
            [length] if !is_coded && !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
                match length.parse::<usize>() {
                    Ok(length) if length <= limits.body_bytes => Ok(length),
                    _ => Err(self.refusal(413, "the body is too long")),
                }
            }
            _ => Err(self.refusal(400, "the body's length is unclear")),
        }
    }

    fn refusal(&self, status: u16, reason: &'static str) -> Refusal {
        let line = self.buffer.split(|&byte| byte == b'\n').next().unwrap_or_default();
        Refusal::Answer { status, reason, head: line[..line.len().min(200)].to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::Pair;
    use super::*;

    /// What becomes of a request that arrives in two pieces.
    fn arrived(first: &[u8], second: &[u8]) -> Result<Request, Refusal> {
        let mut wire = Pair { input: first.chain(second), output: Vec::new() };
        Requests::new().next(&mut wire, &Limits::default())
    }

    #[test]
    fn an_address_may_be_as_long_however_it_arrives() {
        let longest = Limits::default().target_bytes;
        for (newlines, length, is_taken) in [(0, longest, true), (3000, 5, true), (0, longest + 1, false)] {
            let target = format!("/{}", "x".repeat(length - 1));
            let start = format!("{}GET {target}", "\r\n".repeat(newlines / 2));
            for cut in [start.len(), start.len() - 1, start.len() - target.len() - 1, newlines] {
                let (first, second) = start.split_at(cut);
                let second = format!("{second} HTTP/1.1\r\nHost: x\r\n\r\n");
                match arrived(first.as_bytes(), second.as_bytes()) {
                    Ok(request) => assert!(is_taken && request.target == target, "{length} and {cut}"),
                    Err(Refusal::Answer { status: 414, .. }) => assert!(!is_taken, "{length} and {cut}"),
                    Err(refusal) => panic!("{length} and {cut}: {refusal:?}"),
                }
            }
        }
    }

    #[test]
    fn a_method_without_an_end_is_too_long_a_head() {
        let refusal = arrived(&vec![b'X'; Limits::default().head_bytes], b"").unwrap_err();
        assert!(matches!(refusal, Refusal::Answer { status: 431, .. }), "{refusal:?}");
    }
}
