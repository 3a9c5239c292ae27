//! Registries that fail, lie and never end: each ends in an error of its own, after few requests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use catalogue::transport::{Options, Retry};
use registry::{Blob, Error, Login, Manifest, Reference, Registry, artifact};

use crate::docker_registry::Quiet;

/// The most requests that one question comes to, whatever is answered.
const REQUESTS_MAX: usize = 40;

/// A registry on this machine that answers as `answer` says: it gets the line of a request, and the connection.
struct Faulty {
    host: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Faulty {
    fn new(answer: impl Fn(&str, &str, &mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (told, own) = (Arc::clone(&asked), host.clone());
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let Some(line) = request(&mut connection) else { continue };
                told.lock().unwrap().push(line.clone());
                answer(&line, &own, &mut connection);
            }
        });
        Self { host, asked }
    }

    fn registry(&self) -> (Registry, Reference) {
        let reference: Reference = format!("oci://{}/team/my:1.0", self.host).parse().unwrap();
        let options = Options {
            retry: Retry { attempts: 2, ..Retry::default() },
            stall_timeout: Duration::from_millis(500),
            answer_timeout: Duration::from_millis(500),
            ..Options::default()
        };
        (Registry::new(&reference, options, Login::Anonymous, true).unwrap(), reference)
    }

    /// Why the tag cannot be looked up.
    fn resolve(&self) -> Error {
        let (registry, reference) = self.registry();
        self.bounded(registry.resolve(&reference).unwrap_err())
    }

    /// Why nothing can be pushed.
    fn push(&self) -> Error {
        let (registry, _) = self.registry();
        let (manifest, blobs) = image();
        self.bounded(registry.push(&manifest, &blobs, "1.0", &Quiet).unwrap_err())
    }

    fn bounded(&self, error: Error) -> Error {
        let asked = self.asked.lock().unwrap();
        assert!(asked.len() <= REQUESTS_MAX, "{asked:?}");
        error
    }
}

fn image() -> (Manifest, Vec<Blob>) {
    artifact(Blob::of_bytes(vec![7; 100_000]), "application/x-qemu-disk", "my.qcow2", BTreeMap::new())
}

/// Reads a request with its body, and returns its first line.
fn request(connection: &mut TcpStream) -> Option<String> {
    connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok().filter(|&read| read > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        if line == "expect: 100-continue" {
            connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
    }
    reader.take(length).read_to_end(&mut Vec::new()).ok()?;
    Some(first.trim_end().to_owned())
}

fn say(connection: &mut TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}");
    let _ = connection.write_all(text.as_bytes());
}

const MANIFEST: &str = "content-type: application/vnd.oci.image.manifest.v1+json\r\n";

#[test]
fn what_does_not_have_its_digest_is_refused() {
    let server = Faulty::new(|_, _, connection| say(connection, "200 OK", MANIFEST, "{}"));
    let (registry, reference) = server.registry();
    let digest = image().0.digest();
    let error = registry.resolve(&reference.with_digest(digest)).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
}

#[test]
fn a_manifest_without_end_is_not_read_to_its_end() {
    let server = Faulty::new(|_, _, connection| {
        let _ = connection.write_all(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{MANIFEST}\r\n").as_bytes());
        while connection.write_all(&[b' '; 1 << 16]).is_ok() {}
    });
    let error = server.resolve();
    assert!(matches!(error, Error::Transport(_) | Error::Document { .. }), "{error}");
}

#[test]
fn an_answer_that_stops_or_never_comes_is_an_error() {
    let server = Faulty::new(|_, _, connection| {
        let _ = connection.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n{MANIFEST}\r\n{{").as_bytes());
    });
    assert!(matches!(server.resolve(), Error::Transport(_)), "cut");
    let server = Faulty::new(|_, _, connection| {
        let _ = connection.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n{MANIFEST}\r\n{{").as_bytes());
        std::thread::sleep(Duration::from_secs(3));
    });
    assert!(matches!(server.resolve(), Error::Transport(_)), "silent");
}

#[test]
fn redirects_and_requests_to_log_in_come_to_an_end() {
    let server = Faulty::new(|line, host, connection| {
        let path = line.split(' ').nth(1).unwrap();
        say(connection, "307 Temporary Redirect", &format!("location: http://{host}{path}\r\n"), "");
    });
    let error = server.resolve();
    assert!(matches!(error, Error::Transport(_) | Error::Refused { .. }), "{error}");
    let server = Faulty::new(|_, host, connection| {
        let challenge = format!("www-authenticate: Bearer realm=\"http://{host}/token\",service=\"x\"\r\n");
        say(connection, "401 Unauthorized", &challenge, "");
    });
    let error = server.resolve();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    // The token is of no use.
    let server = Faulty::new(|line, host, connection| match line.starts_with("GET /token") {
        true => say(connection, "200 OK", "content-type: application/json\r\n", "{\"token\": \"useless\"}"),
        false => {
            let challenge = format!("www-authenticate: Bearer realm=\"http://{host}/token\",service=\"x\"\r\n");
            say(connection, "401 Unauthorized", &challenge, "");
        }
    });
    let error = server.resolve();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
}

/// The tag shows nothing of an image that is not there whole.
#[test]
fn nothing_is_half_published() {
    for (status, fails_at) in [("507 Insufficient Storage", "PUT"), ("500 Internal Server Error", "POST"), ("", "PUT")]
    {
        let server = Faulty::new(move |line, host, connection| {
            let method = line.split(' ').next().unwrap();
            let accepted = format!("location: http://{host}/v2/team/my/blobs/uploads/1\r\n");
            match method {
                "HEAD" => say(connection, "404 Not Found", "", ""),
                _ if method == fails_at && !status.is_empty() => say(connection, status, "", ""),
                // Cut.
                _ if method == fails_at => {}
                _ => say(connection, "202 Accepted", &accepted, ""),
            }
        });
        let error = server.push();
        match status {
            "" => assert!(matches!(error, Error::Transport(_)), "{error}"),
            _ => assert!(
                matches!(&error, Error::Refused { status: found, .. } if status.starts_with(&found.to_string())),
                "{error}"
            ),
        }
        let asked = server.asked.lock().unwrap();
        assert!(!asked.iter().any(|line| line.contains("/manifests/1.0") && line.starts_with("PUT")), "{asked:?}");
    }
}
