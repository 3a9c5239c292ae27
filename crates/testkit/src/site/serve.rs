//! The server's side of HTTP, as far as clients here speak it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};

use super::fault::{Fault, first};
use super::{Body, Request, State};

/// The one time at which everything here was last modified.
const LAST_MODIFIED: &str = "Tue, 23 Apr 2024 18:05:09 GMT";

/// Takes connections until the server is to stop, each in a thread of its own.
pub(super) fn accept(listener: &TcpListener, state: &Arc<State>) {
    for connection in listener.incoming() {
        if state.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(connection) = connection else { continue };
        let state = Arc::clone(state);
        // A client that goes away in the middle is what many tests are about.
        thread::spawn(move || drop(converse(&state, connection)));
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Answers until the connection is to end.
fn converse(state: &State, connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let socket = connection.try_clone()?;
    let stream: Box<dyn Stream> = match &state.tls {
        Some(config) => {
            let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(session, connection))
        }
        None => Box::new(connection),
    };
    let mut stream = BufReader::new(stream);
    let result = loop {
        match read_request(&mut stream) {
            Ok(Some(request)) => match answer(state, request, &mut stream) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            },
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let _ = socket.shutdown(Shutdown::Both);
    result
}

fn read_request(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.take(64 << 10).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(io::Error::other(format!("no request: {line:?}")));
    };
    let (method, path) = (method.to_owned(), path.to_owned());
    let mut headers = HashMap::new();
    loop {
        line.clear();
        stream.take(64 << 10).read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(Some(Request { method, path, headers, status: 0, sent_bytes: 0 }))
}

/// An answer, and what is wrong with it.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    source: Option<Box<dyn Read>>,
    length_bytes: u64,
    faults: Vec<Fault>,
}

/// Answers one request and returns whether the connection may continue. The answer is recorded before it is sent, so
/// that a client which has seen it finds it recorded.
fn answer(state: &State, mut request: Request, stream: &mut BufReader<Box<dyn Stream>>) -> io::Result<bool> {
    let answer = compose(state, &request)?;
    let faults = &answer.faults;
    let hangs_up = faults.iter().any(|fault| matches!(fault, Fault::Hangup));
    request.status = if hangs_up { 0 } else { answer.status };
    let is_head = request.method == "HEAD";
    let index = {
        let requests = &mut state.content().requests;
        requests.push(request);
        requests.len() - 1
    };
    if hangs_up {
        Ok(false)
    } else if faults.iter().any(|fault| matches!(fault, Fault::Garbage)) {
        stream.get_mut().write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n").map(|()| false)
    } else if faults.iter().any(|fault| matches!(fault, Fault::SlowHeaders)) {
        send_slowly(state, stream.get_mut()).map(|()| false)
    } else {
        send(answer, is_head, stream, &mut |count| state.content().requests[index].sent_bytes += count)
    }
}

fn compose(state: &State, request: &Request) -> io::Result<Answer> {
    let (body, faults) = {
        let mut content = state.content();
        let mut faults = content.once.get_mut(&request.path).and_then(|queue| queue.pop_front()).unwrap_or_default();
        faults.extend(content.always.get(&request.path).cloned().unwrap_or_default());
        if let Some(bytes) = first(&faults, |fault| match fault {
            Fault::Change(bytes) => Some(Arc::clone(bytes)),
            _ => None,
        }) {
            content.files.insert(request.path.clone(), Body::Bytes(bytes));
        }
        let in_folder = || {
            content.folders.iter().find_map(|(prefix, folder)| {
                let name = request.path.strip_prefix(prefix.as_str())?;
                let is_plain = !name.split('/').any(|part| part.is_empty() || part == "..");
                is_plain.then(|| folder.join(name)).filter(|path| path.is_file()).map(Body::File)
            })
        };
        (content.files.get(&request.path).cloned().or_else(in_folder), faults)
    };
    let refusal = first(&faults, |fault| match fault {
        Fault::Status { code, retry_after } => {
            let header = retry_after.as_ref().map(|value| ("Retry-After", value.clone()));
            Some((*code, header.into_iter().collect()))
        }
        Fault::Redirect { location } => Some((302, vec![("Location", location.clone())])),
        _ => None,
    });
    let (status, headers): (u16, Vec<_>) = match (refusal, &body) {
        (Some(refusal), _) => refusal,
        (None, None) => (404, vec![]),
        (None, Some(body)) => return file(body, request, faults),
    };
    let text = format!("status {status}\n").into_bytes();
    Ok(Answer {
        status,
        headers,
        length_bytes: text.len() as u64,
        source: Some(Box::new(io::Cursor::new(text))),
        faults,
    })
}

/// The answer that has a file, or a part of it.
fn file(body: &Body, request: &Request, faults: Vec<Fault>) -> io::Result<Answer> {
    let has = |wanted: fn(&Fault) -> bool| faults.iter().any(wanted);
    let (total, tag) = match body {
        Body::Bytes(bytes) => (bytes.len() as u64, tag_of(bytes)),
        Body::File(path) => {
            let metadata = std::fs::metadata(path)?;
            (metadata.len(), format!("\"{:x}\"", metadata.len()))
        }
    };
    let mut headers = vec![("Date", "Tue, 23 Apr 2024 18:10:00 GMT".to_owned())];
    if !has(|fault| matches!(fault, Fault::NoValidators)) {
        headers.push(("Last-Modified", LAST_MODIFIED.to_owned()));
        if !has(|fault| matches!(fault, Fault::NoEtag)) {
            headers.push(("ETag", tag.clone()));
        }
    }
    let is_current = match request.header("if-range") {
        None => true,
        Some(validator) => {
            validator == tag || validator == LAST_MODIFIED || has(|fault| matches!(fault, Fault::IgnoreIfRange))
        }
    };
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let range: Option<u64> = range.filter(|_| is_current && !has(|fault| matches!(fault, Fault::NoRange)));
    let (status, start) = match range {
        Some(start) if start >= total => {
            headers.push(("Content-Range", format!("bytes */{total}")));
            return Ok(Answer { status: 416, headers, source: None, length_bytes: 0, faults });
        }
        Some(start) => {
            let value = format!("bytes {start}-{}/{total}", total - 1);
            headers.push(("Content-Range", value));
            (206, start)
        }
        None => (200, 0),
    };
    let source: Box<dyn Read> = match body {
        Body::Bytes(bytes) => Box::new(io::Cursor::new(bytes[start as usize..].to_vec())),
        Body::File(path) => {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(start))?;
            Box::new(file)
        }
    };
    Ok(Answer { status, headers, source: Some(source), length_bytes: total - start, faults })
}

/// A tag that another content does not have: FNV-1a.
fn tag_of(bytes: &[u8]) -> String {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("\"{hash:x}-{}\"", bytes.len())
}

fn send(
    mut answer: Answer,
    is_head: bool,
    stream: &mut BufReader<Box<dyn Stream>>,
    tell: &mut dyn FnMut(u64),
) -> io::Result<bool> {
    let faults = std::mem::take(&mut answer.faults);
    let has = |wanted: fn(&Fault) -> bool| faults.iter().any(wanted);
    let is_chunked = has(|fault| matches!(fault, Fault::Chunked));
    let until_closed = has(|fault| matches!(fault, Fault::UntilClosed));
    let length = first(&faults, |fault| match fault {
        Fault::ContentLength(value) => Some(value.clone()),
        _ => None,
    });
    let mut may_go_on = length.is_none() && !until_closed;
    if let Some(range) = first(&faults, |fault| match fault {
        Fault::ContentRange(value) => Some(value.clone()),
        _ => None,
    }) {
        answer.headers.retain(|(name, _)| *name != "Content-Range");
        answer.headers.push(("Content-Range", range));
    }
    if is_chunked {
        answer.headers.push(("Transfer-Encoding", "chunked".to_owned()));
    } else if !until_closed {
        answer.headers.push(("Content-Length", length.unwrap_or_else(|| answer.length_bytes.to_string())));
    }
    if has(|fault| matches!(fault, Fault::Encoded)) {
        answer.headers.push(("Content-Encoding", "gzip".to_owned()));
    }
    if has(|fault| matches!(fault, Fault::HugeHeaders)) {
        answer.headers.push(("X-Huge", "x".repeat(8 << 20)));
    }
    if !may_go_on {
        answer.headers.push(("Connection", "close".to_owned()));
    }
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, "Whatever");
    head.extend(answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
    head.push_str("\r\n");
    stream.get_mut().write_all(head.as_bytes())?;
    if is_head {
        return stream.get_mut().flush().map(|()| may_go_on);
    }

    let end = first(&faults, |fault| match fault {
        Fault::Cut { after_bytes } | Fault::Stall { after_bytes } | Fault::Trickle { after_bytes } => {
            Some((*after_bytes, fault))
        }
        _ => None,
    });
    let limit = end.map_or(u64::MAX, |(after_bytes, _)| after_bytes);
    let mut source = answer.source.unwrap_or_else(|| Box::new(io::empty()));
    send_body(&mut source.by_ref().take(limit), is_chunked, stream.get_mut(), tell)?;
    if let Some((_, fault)) = end {
        may_go_on = false;
        stream.get_mut().flush()?;
        match fault {
            // Until the client has had enough.
            Fault::Stall { .. } => drop(stream.read(&mut [0])),
            Fault::Trickle { .. } => trickle(&mut source, stream.get_mut())?,
            _ => {}
        }
    } else if is_chunked {
        stream.get_mut().write_all(b"0\r\n\r\n")?;
    }
    stream.get_mut().flush().map(|()| may_go_on)
}

fn send_body(
    source: &mut impl Read,
    is_chunked: bool,
    out: &mut impl Write,
    tell: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        tell(count as u64);
        if is_chunked {
            write!(out, "{count:x}\r\n")?;
        }
        out.write_all(&buffer[..count])?;
        if is_chunked {
            out.write_all(b"\r\n")?;
        }
    }
}

/// A byte now and then.
fn trickle(source: &mut impl Read, out: &mut impl Write) -> io::Result<()> {
    let mut byte = [0];
    while source.read(&mut byte)? > 0 {
        out.write_all(&byte)?;
        out.flush()?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Headers without an end.
fn send_slowly(state: &State, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ")?;
    while !state.stopped.load(Ordering::SeqCst) {
        out.write_all(b"x")?;
        out.flush()?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
