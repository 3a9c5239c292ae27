//! A web server on loopback, with faults to order.
//!
//! ```no_run
//! use testkit::site::{Fault, Site};
//!
//! let site = Site::https();
//! site.put("/noble/SHA256SUMS", "0123…  *noble.img\n");
//! site.once("/noble/noble.img", Fault::Cut { after_bytes: 1000 });
//! let (url, roots) = (site.url("/noble/SHA256SUMS"), site.authority());
//! ```

mod certificate;
mod docker_registry;
mod fault;
mod proxy;
mod serve;

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use rustls::ServerConfig;
use tempfile::TempDir;

pub use self::docker_registry::DockerRegistry;
pub use self::fault::Fault;
pub use self::proxy::{Proxy, ProxyKind};

/// A server. It stops when it is dropped.
#[derive(Debug)]
pub struct Site {
    state: Arc<State>,
    folder: TempDir,
    accepting: Option<JoinHandle<()>>,
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// The path, as it came.
    pub path: String,
    /// The headers: names in lower case, and values.
    pub headers: HashMap<String, String>,
    /// The status of the answer; 0 if there was none.
    pub status: u16,
    /// How many bytes of the body were sent, or are about to be.
    pub sent_bytes: u64,
}

impl Request {
    /// The value of a header, if it was there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

#[derive(Debug)]
struct State {
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    stopped: AtomicBool,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    files: HashMap<String, Body>,
    folders: Vec<(String, PathBuf)>,
    once: HashMap<String, VecDeque<Vec<Fault>>>,
    always: HashMap<String, Vec<Fault>>,
    requests: Vec<Request>,
}

/// The content of a path.
#[derive(Clone, Debug)]
enum Body {
    Bytes(Arc<[u8]>),
    File(PathBuf),
}

impl State {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Site {
    /// A server that speaks TLS, with a certificate that only [`authority`](Self::authority) vouches for.
    pub fn https() -> Self {
        Self::start(Some(certificate::make(false)))
    }

    /// The same with a certificate that ended long ago.
    pub fn expired() -> Self {
        Self::start(Some(certificate::make(true)))
    }

    /// A server without TLS.
    pub fn http() -> Self {
        Self::start(None)
    }

    fn start(certificate: Option<certificate::Certificate>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let tls = certificate.map(|certificate| {
            std::fs::write(folder.path().join("authority.pem"), certificate.authority_pem).unwrap();
            certificate.config
        });
        let state = Arc::new(State {
            address: listener.local_addr().unwrap(),
            tls,
            stopped: AtomicBool::new(false),
            content: Mutex::default(),
        });
        let accepting = std::thread::spawn({
            let state = Arc::clone(&state);
            move || serve::accept(&listener, &state)
        });
        Self { state, folder, accepting: Some(accepting) }
    }

    /// The address of `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.state.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.state.address)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.state.address.port()
    }

    /// The file with the certificate, as PEM, of the authority that vouches for the server.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// From now on, `path` has these bytes.
    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) -> &Self {
        let body = Body::Bytes(bytes.into().into());
        self.state.content().files.insert(path.to_owned(), body);
        self
    }

    /// From now on, `path` does not exist.
    pub fn remove(&self, path: &str) -> &Self {
        self.state.content().files.remove(path);
        self
    }

    /// From now on, the files of `folder` are below `prefix`, which ends with a slash.
    pub fn put_folder(&self, prefix: &str, folder: impl AsRef<Path>) -> &Self {
        self.state.content().folders.push((prefix.to_owned(), folder.as_ref().to_owned()));
        self
    }

    /// The next answer for `path` that has no fault yet has this one. Of several, each is for one answer.
    pub fn once(&self, path: &str, fault: Fault) -> &Self {
        self.once_all(path, [fault])
    }

    /// Like [`once`](Self::once), with several faults in one answer.
    pub fn once_all(&self, path: &str, faults: impl IntoIterator<Item = Fault>) -> &Self {
        self.state.content().once.entry(path.to_owned()).or_default().push_back(faults.into_iter().collect());
        self
    }

    /// All answers for `path` have this fault, besides those that are for one answer.
    pub fn always(&self, path: &str, fault: Fault) -> &Self {
        self.state.content().always.entry(path.to_owned()).or_default().push(fault);
        self
    }

    /// No faults any more.
    pub fn heal(&self, path: &str) -> &Self {
        let mut content = self.state.content();
        content.once.remove(path);
        content.always.remove(path);
        drop(content);
        self
    }

    /// The requests so far, in the order of the answers' beginnings.
    pub fn requests(&self) -> Vec<Request> {
        self.state.content().requests.clone()
    }

    /// The requests for `path` so far.
    pub fn requests_of(&self, path: &str) -> Vec<Request> {
        self.state.content().requests.iter().filter(|request| request.path == path).cloned().collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // Whoever accepts has to look up from that.
        let _ = TcpStream::connect(self.state.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}
