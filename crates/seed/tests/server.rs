//! The server, asked by `curl`, and by clients that no `curl` would be.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seed::server::{Ec2, Exchange, Imds, Limits, PhoneHome, Seeds, Server, Service, Watch};
use seed::{InstanceId, MetaData, Seed};
use storage::Memory;
use testkit::judge::judge;

/// What a server did, as its watch was told.
#[derive(Default)]
struct Notes {
    exchanges: Mutex<Vec<(String, String, u16)>>,
    calls: Mutex<Vec<PhoneHome>>,
    troubles: Mutex<Vec<String>>,
    refuses_calls: bool,
}

impl Watch for Notes {
    fn answered(&self, exchange: &Exchange<'_>) {
        let note = (exchange.method.to_owned(), exchange.target.to_owned(), exchange.status);
        self.exchanges.lock().unwrap().push(note);
    }

    fn phoned_home(&self, call: &PhoneHome) -> io::Result<()> {
        if self.refuses_calls {
            return Err(io::Error::other("no"));
        }
        self.calls.lock().unwrap().push(call.clone());
        Ok(())
    }

    fn trouble(&self, what: &str, error: &io::Error) {
        self.troubles.lock().unwrap().push(format!("{what}: {error}"));
    }
}

struct World {
    server: Server,
    notes: Arc<Notes>,
    clock: Arc<AtomicU64>,
}

fn seed(user_data: impl Into<Vec<u8>>) -> Seed {
    let user_data = Arc::new(Memory::from(user_data.into()));
    let vendor_data = Arc::new(Memory::from(b"vendor".to_vec()));
    Seed::generate(user_data, None, Some(vendor_data), MetaData::default(), InstanceId::FromContent).unwrap()
}

impl World {
    fn new(folder: Option<&Path>, change: impl FnOnce(&mut Service)) -> Self {
        Self::with_notes(folder, Notes::default(), "shared", change)
    }

    fn with_notes(
        folder: Option<&Path>,
        notes: Notes,
        user_data: impl Into<Vec<u8>>,
        change: impl FnOnce(&mut Service),
    ) -> Self {
        let mut seeds = Seeds::new(seed(user_data), Some(MetaData::default())).unwrap();
        if let Some(folder) = folder {
            seeds = seeds.with_folder(folder).unwrap().with_other_files();
        }
        let (notes, clock) = (Arc::new(notes), Arc::new(AtomicU64::new(1000)));
        let time = Arc::clone(&clock);
        let mut service = Service::new(seeds, notes.clone(), move || time.load(Ordering::SeqCst), [7; 32]);
        change(&mut service);
        let server = Server::start(TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(service)).unwrap();
        Self { server, notes, clock }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    /// `curl`'s status and body for a path, with more arguments.
    fn curl(&self, path: &str, arguments: &[&str]) -> (u16, String) {
        let write_out = "\n%{http_code}";
        let verdict =
            judge("curl").args(["-sS", "--path-as-is", "-w", write_out]).args(arguments).arg(self.url(path)).succeed();
        let (body, status) = verdict.stdout.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// All that comes back for bytes that are sent in one go.
    fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // The server may have said no before it was through.
        let _ = stream.write_all(bytes.as_ref());
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }
}

/// The statuses of the answers in a stream.
fn statuses(answer: &str) -> Vec<u16> {
    let lines = answer.split("\r\n").filter_map(|line| line.rsplit_once("HTTP/1.1 ").map(|(_, rest)| rest));
    lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn what_there_is_not_is_empty_where_a_guest_asks_for_it_in_any_case() {
    let world = World::new(None, |_| {});
    assert_eq!(world.curl("/user-data", &[]), (200, "shared".to_owned()));
    assert_eq!(world.curl("/vendor-data", &[]), (200, "vendor".to_owned()));
    assert_eq!(world.curl("/network-config", &[]), (200, String::new()));
    assert_eq!(world.curl("/web-1/network-config", &[]), (200, String::new()));
    let (status, one) = world.curl("/web-1/meta-data", &[]);
    assert!(status == 200 && one.contains("\"local-hostname\": \"web-1\""), "{one}");
    assert_eq!(world.curl("//web-1//meta-data?x=y", &[]).1, one);
    assert_ne!(world.curl("/web-2/meta-data", &[]).1, one);
    assert_eq!(world.curl("/favicon.ico", &[]).0, 404);
    assert_eq!(world.curl("/a/b/user-data", &[]).0, 404);
    let head = judge("curl").args(["-sSI", &world.url("/user-data")]).succeed().stdout;
    assert!(head.contains("Content-Length: 6\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(world.curl("/user-data", &["--http1.0"]), (200, "shared".to_owned()));
    let noted = world.notes.exchanges.lock().unwrap();
    assert!(noted.contains(&("GET".to_owned(), "/a/b/user-data".to_owned(), 404)), "{noted:?}");
}

#[test]
fn instances_have_their_own_and_the_shared_and_nothing_else_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "secret").unwrap();
    let place = |name: &str| folder.path().join("seeds").join(name);
    fs::create_dir_all(place("web-1")).unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    fs::write(folder.path().join("user-data"), "secret").unwrap();
    fs::write(place("web-1/user-data"), "mine").unwrap();
    fs::write(place("setup.sh"), "more").unwrap();
    symlink(secret.path(), place("web-1/network-config")).unwrap();
    symlink("..", place("up")).unwrap();
    symlink("/", place("root")).unwrap();
    let world = World::new(Some(&place("")), |_| {});
    assert_eq!(world.curl("/web-1/user-data", &[]), (200, "mine".to_owned()));
    assert_eq!(world.curl("/web-1/vendor-data", &[]), (200, "vendor".to_owned()));
    assert_eq!(world.curl("/web-2/user-data", &[]).0, 404, "there is no such instance");
    assert_eq!(world.curl("/setup.sh", &[]), (200, "more".to_owned()));
    // What is there but leads out is as if it was not there.
    for path in ["/web-1/network-config", "/up/user-data", "/root/user-data"] {
        let (status, body) = world.curl(path, &[]);
        assert!(status == 200 && (body.is_empty() || body == "shared"), "{path}: {status} {body}");
    }
    for target in [
        "/../secret",
        "/web-1/../../secret",
        "/%2e%2e/secret",
        "/%2E%2E/secret",
        "/.%2e/secret",
        "/..%2fsecret",
        "/%2e%2e%2fsecret",
        "/%252e%252e/secret",
        "/web-1/..%5c..%5csecret",
        "/.%00./secret",
        "/web-1/user-data%00",
        "/%c0%ae%c0%ae/secret",
        "//..//secret",
        "/..;/secret",
        "/..././secret",
        "/./web-1/./user-data",
        "/up/secret",
        "/root/etc/passwd",
        "/etc/passwd",
        "/web-1/%2fetc%2fpasswd",
        "http://x/../secret",
        "/web-1",
        "/%",
    ] {
        let answer = world.send(format!("GET {target} HTTP/1.0\r\n\r\n"));
        let status = statuses(&answer)[0];
        assert!(matches!(status, 400 | 404), "{target}: {answer}");
        assert!(!answer.ends_with("secret") && !answer.contains("root:") && !answer.contains("mine"), "{answer}");
    }
    assert_eq!(*world.notes.troubles.lock().unwrap(), [""; 0]);
}

#[test]
fn requests_that_are_none_are_refused_with_the_right_status() {
    let world = World::new(None, |_| {});
    let long = |count: usize| "x".repeat(count);
    let get = |rest: &str| format!("GET /user-data HTTP/1.1\r\n{rest}\r\n");
    let post = |rest: &str| format!("POST /phone-home HTTP/1.1\r\nHost: x\r\n{rest}");
    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET\r\n\r\n".to_owned(), 400),
        ("\0\u{1}\u{2}\r\n\r\n".to_owned(), 400),
        ("GET user-data HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
        (get(""), 400),
        (get("Host : x\r\n"), 400),
        (get("Host: x\r\n folded: y\r\n"), 400),
        ("GET /user-data HTTP/2.0\r\nHost: x\r\n\r\n".to_owned(), 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", long(3000)), 414),
        (format!("GET /{}", long(9000)), 414),
        (get(&format!("Host: x\r\nA: {}\r\n", long(9000))), 431),
        (get(&"A: b\r\n".repeat(65)), 431),
        ("BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 501),
        ("DELETE /user-data HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 405),
        ("POST /user-data HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx".to_owned(), 405),
        ("GET /phone-home HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 405),
        (post("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 411),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\na=b"), 400),
        (post("Content-Length: 3\r\nContent-Length: 4\r\n\r\na=bc"), 400),
        (post("Content-Length: -1\r\n\r\n"), 400),
        (post("Content-Length: +3\r\n\r\na=b"), 400),
        (post("Content-Length: 3, 3\r\n\r\na=b"), 400),
        (post("Content-Length: 65537\r\n\r\n"), 413),
        (post("Content-Length: 99999999999999999999999\r\n\r\n"), 413),
        (post(&format!("Content-Length: 500000\r\n\r\n{}", long(500_000))), 413),
        (post("Content-Length: 3\r\n\r\n%zz"), 400),
    ] {
        let answer = world.send(&request);
        assert_eq!(statuses(&answer), [status], "{}: {answer}", &request[..request.len().min(80)]);
    }
    // Whoever goes before all has been said is not answered.
    for request in ["", "GET /user", &post("Content-Length: 9\r\n\r\na=b")] {
        assert_eq!(world.send(request), "", "{request}");
    }
    assert_eq!(world.curl("/user-data", &[]).0, 200, "it still serves");
    assert_eq!(world.notes.calls.lock().unwrap().len(), 0);
}

#[test]
fn a_connection_has_several_requests_and_not_any_number() {
    let world = World::new(None, |service| service.limits.requests = 5);
    let url = world.url("/user-data");
    let verdict = judge("curl").args(["-sSv", &url, &url, &url]).succeed();
    assert_eq!(verdict.stdout, "shared".repeat(3));
    assert_eq!(verdict.stderr.matches("Connected to").count(), 1, "{verdict}");

    let get = "GET /user-data HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST /phone-home HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=b";
    assert_eq!(statuses(&world.send([get, post, get].concat())), [200, 200, 200]);
    assert_eq!(statuses(&world.send(get.repeat(3) + "nonsense\r\n\r\n" + get)), [200, 200, 200, 400]);
    let answer = world.send(get.repeat(100));
    assert_eq!(statuses(&answer), [200; 5]);
    assert_eq!(answer.matches("Connection: close").count(), 1, "{answer}");
    let closed = "GET /user-data HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n";
    assert_eq!(statuses(&world.send(closed.to_owned() + get)), [200]);
    assert_eq!(statuses(&world.send("GET / HTTP/1.0\r\n\r\n".to_owned() + get)), [200]);
    let kept = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(statuses(&world.send(kept.to_owned() + get)), [200, 200]);
}

#[test]
fn who_is_slow_does_not_stay() {
    let short = Duration::from_millis(200);
    let change = |service: &mut Service| {
        service.limits = Limits { idle: short, request: short, answer: short, ..Limits::default() };
    };
    let world = World::new(None, change);
    let open = |bytes: &str| {
        let mut stream = TcpStream::connect(world.server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
    };
    for (bytes, status) in [
        ("", None),
        ("GET /user-data HT", Some(408)),
        ("POST /phone-home HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na", Some(408)),
    ] {
        let mut answer = String::new();
        open(bytes).read_to_string(&mut answer).unwrap();
        assert_eq!(statuses(&answer), status.into_iter().collect::<Vec<_>>(), "{bytes}: {answer}");
    }
    // Bytes that drip do not prolong it.
    let mut dripping = open("GET /");
    let dripped = (0..600).take_while(|_| {
        std::thread::sleep(Duration::from_millis(100));
        dripping.write_all(b"x").is_ok()
    });
    assert!(dripped.count() < 600);
}

/// The server has room again, sooner or later.
#[track_caller]
fn assert_serves_again(world: &World, path: &str) {
    let status = (0..600).find_map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        Some(world.curl(path, &[]).0).filter(|&status| status == 200)
    });
    assert_eq!(status, Some(200));
}

#[test]
fn who_does_not_read_does_not_stay() {
    let world = World::with_notes(None, Notes::default(), vec![b'x'; 64 << 20], |service| {
        let answer = Duration::from_millis(200);
        service.limits = Limits { answer, slowest_bytes_per_second: 1 << 30, connections: 1, ..Limits::default() };
    });
    let mut silent = TcpStream::connect(world.server.address()).unwrap();
    silent.write_all(b"GET /user-data HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut start = [0; 12];
    silent.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    assert_serves_again(&world, "/vendor-data");
}

#[test]
fn there_is_an_end_to_how_many_are_served_at_once() {
    let world = World::new(None, |service| service.limits.connections = 2);
    let get = b"GET /user-data HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut held: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(world.server.address()).unwrap()).collect();
    for stream in &mut held {
        stream.write_all(get).unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
    }
    let refused = world.send(get);
    assert_eq!(statuses(&refused), [503]);
    assert!(refused.contains("Retry-After: 1\r\n"), "{refused}");
    drop(held);
    // Their places are free as soon as their ends have been seen.
    assert_serves_again(&world, "/user-data");
}

#[test]
fn the_metadata_service_speaks_version_2_and_1() {
    let keys = vec!["ssh-ed25519 AAAA one".to_owned(), "ssh-rsa BBBB two".to_owned()];
    let world = World::new(None, |service| service.ec2 = Ec2 { public_keys: keys, ..Ec2::default() });
    assert_eq!(world.curl("/", &[]).1, "2009-04-04\n2016-09-02\n2018-09-24\n2021-03-23\nlatest");
    assert_eq!(world.curl("/2009-04-04/user-data", &[]), (200, "shared".to_owned()));
    assert_eq!(world.curl("/latest/meta-data/public-keys/", &[]).1, "0=key-0\n1=key-1");
    assert_eq!(world.curl("/latest/meta-data/public-keys/1/openssh-key", &[]).1, "ssh-rsa BBBB two");
    assert_eq!(world.curl("/latest/meta-data/placement/", &[]).1, "availability-zone\nregion");
    assert_eq!(world.curl("/latest/meta-data/placement/region", &[]).1, "us-east-1");
    for path in [
        "/2010-01-01/meta-data/",
        "/latest/nothing",
        "/latest/meta-data/instance-id/x",
        "/latest/meta-data/public-keys/2/",
    ] {
        assert_eq!(world.curl(path, &[]).0, 404, "{path}");
    }

    let ttl = |seconds: &str| format!("X-aws-ec2-metadata-token-ttl-seconds: {seconds}");
    let token = |seconds: &str| world.curl("/latest/api/token", &["-X", "PUT", "-H", &ttl(seconds)]);
    for seconds in ["0", "21601", "x"] {
        assert_eq!(token(seconds).0, 400, "{seconds}");
    }
    assert_eq!(world.curl("/latest/api/token", &["-X", "PUT"]).0, 400);
    assert_eq!(world.curl("/latest/api/token", &[]).0, 405);
    let forwarded = ["-X", "PUT", "-H", "X-Forwarded-For: 10.0.0.1", "-H", &ttl("60")];
    assert_eq!(world.curl("/latest/api/token", &forwarded).0, 403);
    let (status, good) = token("60");
    assert_eq!(status, 200);
    let with = |token: &str| {
        let header = format!("X-aws-ec2-metadata-token: {token}");
        world.curl("/latest/meta-data/instance-id", &["-H", &header]).0
    };
    assert_eq!((with(&good), with("wrong")), (200, 401));
    world.clock.fetch_add(59, Ordering::SeqCst);
    assert_eq!(with(&good), 200);
    world.clock.fetch_add(1, Ordering::SeqCst);
    assert_eq!(with(&good), 401);
}

#[test]
fn tokens_can_be_required_or_unknown() {
    let world = World::new(None, |service| service.imds = Imds::V2);
    assert_eq!(world.curl("/latest/meta-data/", &[]).0, 401);
    assert_eq!(world.curl("/latest/user-data", &[]).0, 401);
    let ttl = "X-aws-ec2-metadata-token-ttl-seconds: 21600";
    let token = world.curl("/latest/api/token", &["-X", "PUT", "-H", ttl]).1;
    let header = format!("X-aws-ec2-metadata-token: {token}");
    assert_eq!(world.curl("/latest/user-data", &["-H", &header]).0, 200);
    assert_eq!(world.curl("/user-data", &[]).0, 200, "NoCloud has no tokens");

    let world = World::new(None, |service| service.imds = Imds::V1);
    assert_eq!(world.curl("/latest/api/token", &["-X", "PUT", "-H", ttl]).0, 404);
    assert_eq!(world.curl("/latest/meta-data/", &["-H", "X-aws-ec2-metadata-token: any"]).0, 200);
}

#[test]
fn guests_phone_home() {
    let world = World::new(None, |_| {});
    let form = ["--data-urlencode", "instance_id=i-1", "--data-urlencode", "pub_key_rsa=ssh-rsa A+/= x\n"];
    assert_eq!(world.curl("/phone-home/i-1/", &form), (200, String::new()));
    let expected = BTreeMap::from([
        ("instance_id".to_owned(), "i-1".to_owned()),
        ("pub_key_rsa".to_owned(), "ssh-rsa A+/= x\n".to_owned()),
    ]);
    assert_eq!(*world.notes.calls.lock().unwrap(), [PhoneHome { fields: expected }]);
    // curl asks before it sends a lot, and is told no before it has.
    let large = format!("a={}", "x".repeat(2 << 20));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("large"), large).unwrap();
    let data = format!("@{}", folder.path().join("large").display());
    assert_eq!(world.curl("/phone-home", &["--data-binary", &data]).0, 413);
    let small = ["-H", "Expect: 100-continue", "-d", "instance_id=i-2"];
    assert_eq!(world.curl("/phone-home", &small).0, 200);
    assert_eq!(world.notes.calls.lock().unwrap()[1].field("instance_id"), "i-2");

    let notes = Notes { refuses_calls: true, ..Notes::default() };
    let world = World::with_notes(None, notes, "", |_| {});
    assert_eq!(world.curl("/phone-home", &["-d", "instance_id=i-1"]).0, 503);
    assert_eq!(world.notes.troubles.lock().unwrap().len(), 1);
}

#[test]
fn a_server_ends_with_what_it_was_asked_answered() {
    let world = World::new(None, |_| {});
    let mut idle = TcpStream::connect(world.server.address()).unwrap();
    let get = b"GET /user-data HTTP/1.1\r\nHost: x\r\n\r\n";
    idle.write_all(get).unwrap();
    let mut start = [0; 12];
    idle.read_exact(&mut start).unwrap();
    let address = world.server.address();
    drop(world);
    let mut rest = String::new();
    idle.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("shared"), "{rest}");
    assert!(TcpStream::connect(address).is_err());
}
