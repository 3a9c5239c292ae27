//! A server over what a client may send, and what comes back; for the tests and the fuzz target.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, Mutex};

use seed::server::{Ec2, Exchange, Imds, Limits, Pair, PhoneHome, Seeds, Service, Watch};
use seed::{InstanceId, MetaData, Seed};
use storage::Memory;

/// What is in the files that are not served.
const SECRET: &str = "qWfp7-not-for-guests";

/// What the server said that it did.
#[derive(Default)]
struct Notes(Mutex<Vec<Note>>);

struct Note {
    is_head: bool,
    is_refusal: bool,
    status: u16,
    body_bytes: u64,
}

impl Watch for Notes {
    fn answered(&self, exchange: &Exchange<'_>) {
        let &Exchange { method, status, body_bytes, .. } = exchange;
        let (is_head, is_refusal) = (method == "HEAD", method.is_empty());
        self.0.lock().unwrap().push(Note { is_head, is_refusal, status, body_bytes });
    }

    fn phoned_home(&self, _call: &PhoneHome) -> io::Result<()> {
        Ok(())
    }

    fn trouble(&self, what: &str, error: &io::Error) {
        panic!("{what}: {error}");
    }
}

/// A server with a shared seed, and a folder with instances; around the folder is what nobody should get.
pub(crate) struct World {
    service: Service,
    notes: Arc<Notes>,
    _folder: tempfile::TempDir,
}

/// Bytes as they arrive: so many at a time.
struct Pieces<'bytes> {
    bytes: &'bytes [u8],
    step: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let step = self.step.min(buffer.len());
        self.bytes.read(&mut buffer[..step])
    }
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer<'bytes> {
    head: &'bytes str,
    body: &'bytes [u8],
    /// Whether what was sent is no request.
    is_refusal: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        lay_out(folder.path()).unwrap();
        let content = |text: &str| Arc::new(Memory::from(text.as_bytes().to_vec()));
        let vendor_data = Some(content("vendor") as _);
        let shared =
            Seed::generate(content("shared"), None, vendor_data, MetaData::default(), InstanceId::FromContent).unwrap();
        let seeds = Seeds::new(shared, Some(MetaData::default())).unwrap();
        let seeds = seeds.with_folder(&folder.path().join("seeds")).unwrap().with_other_files();
        let notes = Arc::new(Notes::default());
        let mut service = Service::new(seeds, notes.clone(), || 1000, [7; 32]);
        service.ec2 = Ec2 { public_keys: vec!["ssh-ed25519 AAAA one".to_owned()], ..Ec2::default() };
        // So small that few bytes are too many.
        service.limits =
            Limits { head_bytes: 300, target_bytes: 60, body_bytes: 100, requests: 4, ..Limits::default() };
        Self { service, notes, _folder: folder }
    }

    /// What `input` says: how many bytes of the rest arrive at a time, and which metadata service there is.
    pub(crate) fn any(&mut self, input: &[u8]) {
        let Some((first, request)) = input.split_first() else { return };
        self.service.imds = [Imds::Both, Imds::V2, Imds::V1, Imds::Both][usize::from(first >> 6)];
        let whole = self.serve(request, usize::MAX);
        let whole = answers(&whole.0, &whole.1);
        let step = usize::from(first & 0x3f);
        if step > 0 {
            // It does not matter how the network cuts them, but for which of several faults is told.
            let pieces = self.serve(request, step);
            let pieces = answers(&pieces.0, &pieces.1);
            let same = |(one, other): (&Answer<'_>, &Answer<'_>)| one == other || one.is_refusal && other.is_refusal;
            assert!(
                whole.len() == pieces.len() && whole.iter().zip(&pieces).all(same),
                "{step} at a time: {whole:?} and {pieces:?}"
            );
        }
    }

    /// All that comes back for `request`, and what was told of it.
    fn serve(&self, request: &[u8], step: usize) -> (Vec<u8>, Vec<Note>) {
        self.notes.0.lock().unwrap().clear();
        let mut wire = Pair { input: Pieces { bytes: request, step }, output: Vec::new() };
        self.service.serve(&mut wire, "a client");
        let leaks = wire.output.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!leaks, "{}", String::from_utf8_lossy(&wire.output));
        (wire.output, std::mem::take(&mut self.notes.0.lock().unwrap()))
    }
}

/// `seeds`, which is served, and beside it and above it what is not.
fn lay_out(folder: &Path) -> io::Result<()> {
    let place = |name: &str| folder.join(name);
    for name in ["seeds/a/b", "seeds-2"] {
        fs::create_dir_all(place(name))?;
    }
    for name in ["s", "user-data", "meta-data", "seeds-2/s", "seeds-2/user-data", "seeds-2/meta-data"] {
        fs::write(place(name), SECRET)?;
    }
    fs::write(place("seeds/a/user-data"), "own")?;
    fs::write(place("seeds/a/b/c"), "deep")?;
    fs::write(place("seeds/f"), [b'f'; 5000])?;
    symlink("../../s", place("seeds/a/network-config"))?;
    symlink("../../seeds-2/s", place("seeds/a/s"))?;
    symlink("..", place("seeds/up"))?;
    symlink("../seeds-2", place("seeds/beside"))?;
    symlink("loop", place("seeds/loop"))?;
    // This one stays in.
    symlink("a/b", place("seeds/l"))
}

/// The answers that `output` consists of, each of which is as it was noted; RFC 9112, "Message Format".
fn answers<'bytes>(output: &'bytes [u8], notes: &[Note]) -> Vec<Answer<'bytes>> {
    let (mut answers, mut rest) = (Vec::new(), output);
    let mut notes = notes.iter();
    while !rest.is_empty() {
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n").expect("a head ends") + 4;
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        rest = &rest[end..];
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let line = lines.next().unwrap();
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|line| line.get(..4)).expect(line);
        let status: u16 = status.strip_suffix(' ').expect(line).parse().unwrap();
        let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").expect(line)).collect();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            assert!(!text.contains(|character: char| character.is_ascii_control()), "{head:?}");
        }
        if status == 100 {
            // Something follows, unless the client has gone.
            assert_eq!(headers, []);
            continue;
        }
        let value = |name| {
            let values: Vec<&str> = headers.iter().filter(|(key, _)| *key == name).map(|(_, value)| *value).collect();
            assert_eq!(values.len(), 1, "{head}");
            values[0]
        };
        let length: usize = value("Content-Length").parse().unwrap();
        let note = notes.next().expect("each answer is noted");
        assert_eq!((status, length as u64), (note.status, note.body_bytes), "{head}");
        assert!((200..=599).contains(&status) && status != 500, "{head}");
        let body = rest.split_off(..if note.is_head { 0 } else { length }).expect("as much as it says");
        assert!(value("Connection") == "keep-alive" || rest.is_empty(), "{head}");
        answers.push(Answer { head, body, is_refusal: note.is_refusal });
    }
    assert!(notes.next().is_none(), "an answer was not sent");
    answers
}
