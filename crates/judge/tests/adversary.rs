//! Guests that mean harm to whoever judges them: floods, lines without an end, depth, claims. Each is held to a bound
//! of the memory that this process takes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use judge::Transcript;
use judge::agent::{Agent, Silence};
use judge::follow::Follower;

/// How much more memory than before a flood may take, in KiB: some lines of 4 MiB, and what tests beside this one take.
const MAX_GROWTH_KIB: u64 = 96 << 10;
const HELLO: &str =
    "{\"hello\": 1, \"boot_id\": \"b\", \"machine_id\": \"m\", \"uptime_s\": 1, \"time_s\": 2, \"python\": \"3\"}\n";

/// The memory that this process takes.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// An agent at the other end of which `guest` writes.
fn agent(guest: impl FnOnce(UnixStream) + Send + 'static) -> Agent {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(HELLO.as_bytes()).unwrap();
    std::thread::spawn(move || guest(theirs));
    let mut agent = Agent::new(ours).unwrap();
    while agent.hello().is_none() {
        std::thread::sleep(Duration::from_millis(5));
        agent.listen();
    }
    agent
}

/// Writes `what` over and over, and as long as somebody listens; then `last`.
fn flood(mut stream: UnixStream, what: &[u8], count: usize, last: &[u8]) {
    for _ in 0..count {
        if stream.write_all(what).is_err() {
            return;
        }
    }
    let _ = stream.write_all(last);
    // The channel stays open.
    let _ = std::io::Read::read(&mut stream, &mut [0; 16]);
    std::thread::sleep(Duration::from_secs(60));
}

/// Listens until the agent says hello again, and how much more memory that took at most.
fn growth_to_the_next_hello(agent: &mut Agent) -> u64 {
    let (before, mut most) = (resident_kib(), 0);
    let hellos = agent.hellos();
    let deadline = Instant::now() + Duration::from_secs(300);
    while agent.hellos() == hellos {
        assert!(Instant::now() < deadline, "it does not end");
        agent.listen();
        most = most.max(resident_kib().saturating_sub(before));
        std::thread::sleep(Duration::from_millis(1));
    }
    most
}

#[test]
fn replies_that_nobody_asked_for_are_not_kept() {
    // 256 MiB of them.
    let reply = format!("{{\"id\":0,\"stdout\":\"{}\"}}\n", "A".repeat(64 << 10));
    let mut agent = agent(move |stream| flood(stream, reply.as_bytes(), 4096, HELLO.as_bytes()));
    let growth = growth_to_the_next_hello(&mut agent);
    assert!(growth < MAX_GROWTH_KIB, "{growth} KiB");
}

#[test]
fn the_first_reply_is_the_answer_and_no_other_is_kept() {
    let reply = |id: u64, status: i32| format!("{{\"id\":{id},\"status\":{status},\"stdout\":\"\",\"stderr\":\"\"}}\n");
    let (first, second) = (reply(1, 7), reply(2, 9));
    let mut agent = agent(move |mut stream| {
        let mut request = [0; 4096];
        let _ = std::io::Read::read(&mut stream, &mut request);
        for _ in 0..100 {
            stream.write_all(first.as_bytes()).unwrap();
        }
        let _ = std::io::Read::read(&mut stream, &mut request);
        stream.write_all(second.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_secs(60));
    });
    for status in [7, 9] {
        let output = agent.run("true", None, Duration::from_secs(30), &mut std::thread::sleep).unwrap();
        assert_eq!(output.status, status);
    }
}

#[test]
fn lines_without_an_end_and_what_hides_in_them_are_passed_over() {
    // Each piece of 4 MiB begins like a message, if pieces were lines.
    let mut piece = HELLO.trim_end().replace("\"m\"", "\"hidden\"").into_bytes();
    piece.resize(4 << 20, b' ');
    let mut agent = agent(move |stream| flood(stream, &piece, 48, format!("\n{HELLO}").as_bytes()));
    let growth = growth_to_the_next_hello(&mut agent);
    assert!(growth < MAX_GROWTH_KIB, "{growth} KiB");
    assert_eq!((agent.hellos(), agent.hello().unwrap().machine_id.as_str()), (2, "m"));
}

#[test]
fn depth_width_and_claims_of_size_cost_no_more_than_their_bytes() {
    // A tree of a value for each byte would take 64 times as much.
    let deep = format!("{{\"id\":0,\"x\":{}}}\n", "[".repeat(4_000_000));
    let wide = format!("{{\"id\":0,\"x\":[{}0]}}\n", "0,".repeat(2_000_000));
    let nested = format!("{{\"id\":0,\"x\":{}{}}}\n", "{\"a\":".repeat(500_000), "}".repeat(500_000));
    let claims = "{\"id\":99999999999999999999999}\n{\"beat\":1e400,\"cloud_init\":{}}\n{\"id\":1,\"size_bytes\":18446744073709551615}\n";
    let all = [deep.as_bytes(), wide.as_bytes(), nested.as_bytes(), claims.as_bytes()].concat();
    let mut agent = agent(move |stream| flood(stream, &all, 4, HELLO.as_bytes()));
    let growth = growth_to_the_next_hello(&mut agent);
    assert!(growth < MAX_GROWTH_KIB, "{growth} KiB");
}

#[test]
fn a_guest_that_never_stops_talking_does_not_keep_us_from_the_rest() {
    let is_enough = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&is_enough);
    let mut agent =
        agent(move |mut stream| while !ends.load(Ordering::Relaxed) && stream.write_all(b"{\"id\":0}\n").is_ok() {});
    // Whoever heard it without a pause would look at nothing else: at no console and no limit of time.
    agent.listen();
    let mut waits = 0;
    let silence = agent.look("/", false, &mut |_| {
        waits += 1;
        is_enough.store(waits > 100, Ordering::Relaxed);
    });
    assert_eq!((silence, waits > 100), (Err(Silence::Closed), true));
}

#[test]
fn a_console_is_kept_in_a_bounded_memory() {
    let before = resident_kib();
    for (what, count) in [
        // Lines of a letter, lines of some length, one line, and one that is written over.
        (&b"y\n"[..], 2 << 20),
        (b"a line of a console that says nothing new, over and over again\r\n", 1 << 17),
        (b"x", 4 << 20),
        (b"\rz", 1 << 20),
        // Sequences that have no end, and control characters of two bytes.
        (b"\x1b]0;x", 1 << 18),
        (b"\xc2\x9b2J\n", 1 << 18),
    ] {
        let mut follower = Follower::default();
        let chunk = what.repeat((16 << 10) / what.len());
        for _ in 0..what.len() * count / chunk.len() {
            follower.feed(Duration::ZERO, &chunk);
        }
        let held: usize = follower.lines().iter().map(|line| line.text.len() + 64).sum();
        assert!(held <= Transcript::MAX_BYTES, "{held}");
        assert!(follower.unfinished().len() <= 4096);
        assert!(follower.lines().iter().all(|line| !line.text.chars().any(char::is_control)));
        let growth = resident_kib().saturating_sub(before);
        assert!(growth < MAX_GROWTH_KIB, "{growth} KiB of {}", String::from_utf8_lossy(what));
    }
}
