//! The server: accepts connections and limits their number.

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

/// The stack of a connection's thread, in bytes; its code does not recurse.
const STACK_BYTES: usize = 256 << 10;
/// How long to wait after the host could not accept a connection, for example for lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// How long refusing a connection may take; no other one is accepted meanwhile.
const TURN_AWAY: Duration = Duration::from_millis(100);
/// How long unfinished answers may take when the server ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// A service that listens, with a thread for each connection. It ends when this is dropped: requests that have arrived
/// are still answered, for at most two seconds.
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
    /// Answers all connections to `listener`.
    ///
    /// # Errors
    ///
    /// If the host does not tell the address or cannot start a thread.
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

    /// Waits forever.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.open.ends.store(true, Ordering::SeqCst);
        // Only another connection wakes the thread. One to the unspecified address reaches this machine.
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
        // No more requests are read; those that were read are answered.
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
        // Answers are written whole, so small packets need not be collected.
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

/// Frees a connection's place however its thread ends.
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

/// Answers that there are too many connections. It uses no thread of its own, because threads are what is limited.
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
    // If the request were not read, the connection would be reset, and the answer might be lost.
    let _ = Wire::read(&mut stream, &mut [0; 1024], Instant::now() + TURN_AWAY);
}
