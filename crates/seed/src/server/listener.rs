//! The server: who connects, and how many at a time.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::limits::Limits;
use super::response::Response;
use super::wire::Wire;
use super::{Exchange, Service};

/// The stack of a connection's thread, in bytes: nothing in it recurses.
const STACK_BYTES: usize = 256 << 10;
/// How long nobody is let in after the host could not let anybody in, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// How long whoever is turned away may take to be told so: nobody else is let in meanwhile.
const TURN_AWAY: Duration = Duration::from_millis(100);
/// How long answers that are under way may take when the server ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// A service that listens, with a thread for each connection. It ends when this is dropped: requests that are there
/// are answered still, for two seconds at most.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    open: Arc<Open>,
    thread: Option<JoinHandle<()>>,
}

/// The connections that are open.
#[derive(Debug, Default)]
struct Open {
    ends: AtomicBool,
    streams: Mutex<BTreeMap<u64, TcpStream>>,
    /// One of them has ended.
    ended: Condvar,
}

impl Server {
    /// Answers whoever connects to `listener`.
    ///
    /// # Errors
    ///
    /// What the host says to the question for the address, and to a new thread.
    pub fn start(listener: TcpListener, service: Arc<Service>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let open = Arc::new(Open::default());
        let shared = Arc::clone(&open);
        let thread = std::thread::Builder::new()
            .name("seed server".to_owned())
            .spawn(move || accept(&listener, &service, &shared))?;
        Ok(Self { address, open, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for an end that does not come by itself.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.open.ends.store(true, Ordering::SeqCst);
        // Only another connection makes the thread look. One to any address goes to this machine's own.
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        let woken = TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
        let shut = |streams: &BTreeMap<u64, TcpStream>, how: Shutdown| {
            for stream in streams.values() {
                let _ = stream.shutdown(how);
            }
        };
        let mut streams = self.open.streams();
        // Nothing more is heard; what was heard is answered.
        shut(&streams, Shutdown::Read);
        let deadline = Instant::now() + FAREWELL;
        while !streams.is_empty()
            && let Some(left) = deadline.checked_duration_since(Instant::now())
        {
            streams = self.open.ended.wait_timeout(streams, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        shut(&streams, Shutdown::Both);
    }
}

impl Open {
    fn streams(&self) -> MutexGuard<'_, BTreeMap<u64, TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, service: &Arc<Service>, open: &Arc<Open>) {
    for number in 0.. {
        let accepted = listener.accept();
        if open.ends.load(Ordering::SeqCst) {
            return;
        }
        let Ok((stream, peer)) = accepted else {
            std::thread::sleep(PAUSE);
            continue;
        };
        // Answers are written whole: there is nothing to wait for.
        let _ = stream.set_nodelay(true);
        let has_room = open.streams().len() < service.limits.connections;
        let kept = stream.try_clone().ok().filter(|_| has_room);
        let Some(kept) = kept else {
            turn_away(stream, service, peer);
            continue;
        };
        open.streams().insert(number, kept);
        let (service, thread_open) = (Arc::clone(service), Arc::clone(open));
        let spawned = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            let _leave = Leave { open: &thread_open, number };
            let mut stream = stream;
            service.serve(&mut stream, &peer.to_string());
        });
        if spawned.is_err() {
            open.streams().remove(&number);
            std::thread::sleep(PAUSE);
        }
    }
}

/// Gives up a connection's place, whatever its thread ends by.
struct Leave<'a> {
    open: &'a Open,
    number: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.open.streams().remove(&self.number);
        self.open.ended.notify_all();
    }
}

/// Says that there is no room. Not in a thread of its own, which would be what there is no room for.
fn turn_away(mut stream: TcpStream, service: &Service, peer: SocketAddr) {
    let response = Response::refusal(503, "there are too many connections").header("Retry-After", "1");
    let limits = Limits { answer: TURN_AWAY, ..service.limits };
    let _ = response.send(&mut stream, true, true, &limits);
    service.watch.answered(&Exchange {
        peer: &peer.to_string(),
        method: "",
        target: "",
        user_agent: "",
        status: response.status,
        body_bytes: response.body_bytes(),
    });
    Wire::finish(&mut stream);
    // Were the request not read, the connection would be reset, and the answer might be lost.
    let _ = Wire::read(&mut stream, &mut [0; 1024], Instant::now() + TURN_AWAY);
}
