//! One request and its answer, including redirects.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Request};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy, SendBody, Timeout};

use super::address::Address;
use super::retry::retry_after_seconds;
use super::{Error, Options};

/// The most redirects that are followed, one after the other.
const MAX_REDIRECTS: usize = 10;

/// The most bytes that an answer's headers may have.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// An error, and whether another attempt may succeed.
#[derive(Debug)]
pub struct Failed {
    /// What happened.
    pub error: Error,
    /// Whether another attempt may succeed.
    pub again: Again,
}

/// Whether another attempt may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// No.
    Never,
    /// Yes, at once: the cause has been removed.
    AtOnce,
    /// Hardly: the server could not be reached at all.
    Hardly,
    /// Yes, after a pause.
    Later,
}

impl Failed {
    /// The failure that is `error`.
    pub fn new(error: Error, again: Again) -> Self {
        Self { error, again }
    }

    /// The server's answer does not match the request.
    pub fn answer(url: &Address, problem: impl Into<String>, again: Again) -> Self {
        Self::new(Error::Answer { url: url.as_str().to_owned(), problem: problem.into() }, again)
    }
}

impl<E: Into<Error>> From<E> for Failed {
    /// A local error, which would happen again.
    fn from(error: E) -> Self {
        Self::new(error.into(), Again::Never)
    }
}

/// A server's answer.
#[derive(Debug)]
pub struct Answer {
    /// The address, after redirects.
    pub url: Address,
    /// The status.
    pub status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

impl Answer {
    /// The value of a header, if it occurs once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    /// The stated length of the body.
    pub(super) fn length_bytes(&self) -> Result<Option<u64>, Failed> {
        if self.headers.contains_key("transfer-encoding") || !self.headers.contains_key("content-length") {
            return Ok(None);
        }
        let length = self.header("content-length").and_then(|text| text.trim().parse().ok());
        length.map(Some).ok_or_else(|| Failed::answer(&self.url, "its Content-Length is not a number", Again::Later))
    }

    /// Refuses a body that is not the file itself.
    pub(super) fn is_not_encoded(&self) -> Result<(), Failed> {
        match self.header("content-encoding") {
            None if !self.headers.contains_key("content-encoding") => Ok(()),
            Some("identity") => Ok(()),
            encoding => {
                let encoding = encoding.unwrap_or("several times");
                Err(Failed::answer(
                    &self.url,
                    format!("its answer is encoded (`{encoding}`), which imgraft did not ask for"),
                    Again::Never,
                ))
            }
        }
    }

    /// That there is no file in it.
    pub fn refusal(&self) -> Failed {
        let retry_after = self.header("retry-after");
        let retry_after_seconds = retry_after.and_then(|value| retry_after_seconds(value, self.header("date")));
        let error = Error::Status { url: self.url.as_str().to_owned(), status: self.status, retry_after_seconds };
        let again = match self.status {
            408 | 425 | 429 | 500 | 502 | 503 | 504 => Again::Later,
            _ => Again::Never,
        };
        Failed::new(error, again)
    }
}

/// What is sent with a request: a reader, and how many bytes it has.
pub type Content<'a> = (&'a mut dyn Read, u64);

/// Sends requests.
pub struct Web {
    options: Options,
    /// The `Authorization` of each server that has one.
    authorizations: Mutex<HashMap<String, String>>,
    roots: OnceLock<Result<Arc<Vec<Certificate<'static>>>, String>>,
    agents: Mutex<HashMap<(Option<String>, bool), Agent>>,
}

impl Web {
    /// It uses neither certificates nor the network before the first request.
    pub fn new(options: Options) -> Self {
        Self { options, authorizations: Mutex::default(), roots: OnceLock::new(), agents: Mutex::default() }
    }

    /// How the network is used.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// From now on, requests to the server of `address` have this `Authorization`, or none. No other server gets it,
    /// not even by a redirect.
    pub fn authorize(&self, address: &Address, authorization: Option<String>) {
        let mut authorizations = self.authorizations.lock().unwrap_or_else(PoisonError::into_inner);
        match authorization {
            Some(value) => authorizations.insert(address.origin(), value),
            None => authorizations.remove(&address.origin()),
        };
    }

    /// Requests `address`. Without TLS that is only allowed with `http_is_enough`: the digest is known,
    /// or nobody can be in between.
    ///
    /// # Errors
    ///
    /// If there is no answer, and for a redirect that is not followed.
    pub fn get(&self, address: &Address, headers: &[(&str, String)], http_is_enough: bool) -> Result<Answer, Failed> {
        let mut address = address.clone();
        let mut had_tls = false;
        for _ in 0..=MAX_REDIRECTS {
            self.may_be_asked(&address, http_is_enough, had_tls)?;
            had_tls |= address.is_https();
            let answer = self.ask("GET", &address, headers, None)?;
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let Some(location) = answer.header("location") else {
                return Err(Failed::answer(&address, "it is a redirect without an address", Again::Never));
            };
            address = address.join(location).map_err(|_| {
                let problem = format!("it is a redirect to `{location}`, which is not a supported address");
                Failed::answer(&address, problem, Again::Never)
            })?;
        }
        Err(Failed::answer(&address, format!("there are more than {MAX_REDIRECTS} redirects"), Again::Never))
    }

    fn may_be_asked(&self, address: &Address, http_is_enough: bool, had_tls: bool) -> Result<(), Failed> {
        let refuse = |problem: &str| {
            Err(Failed::from(Error::Address { url: address.as_str().to_owned(), problem: problem.to_owned() }))
        };
        if address.is_https() {
            Ok(())
        } else if had_tls {
            refuse("has no TLS, but an `https` address redirects there")
        } else if !(http_is_enough || self.options.allow_http || address.is_loopback()) {
            refuse("is refused: without TLS anybody could answer; use `https`")
        } else {
            Ok(())
        }
    }

    /// One request, with `content` if there is any; a redirect is an answer like any other.
    ///
    /// # Errors
    ///
    /// If there is no answer.
    pub fn once(
        &self,
        method: &str,
        address: &Address,
        headers: &[(&str, String)],
        content: Option<Content<'_>>,
    ) -> Result<Answer, Failed> {
        self.may_be_asked(address, false, false)?;
        self.ask(method, address, headers, content)
    }

    fn ask(
        &self,
        method: &str,
        address: &Address,
        headers: &[(&str, String)],
        content: Option<Content<'_>>,
    ) -> Result<Answer, Failed> {
        let proxy = self.options.proxies.of(address);
        let agent = self.agent(address, proxy)?;
        let mut request = Request::builder().method(method).uri(address.uri());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            let authorizations = self.authorizations.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(value) = authorizations.get(&address.origin()) {
                request = request.header("authorization", value);
            }
        }
        let invalid = |_| Failed::answer(address, "the request for it would break HTTP's rules", Again::Never);
        let response = match content {
            Some((reader, length_bytes)) => {
                let request = request.header("content-length", length_bytes);
                agent.run(request.body(SendBody::from_reader(reader)).map_err(invalid)?)
            }
            None => agent.run(request.body(()).map_err(invalid)?),
        };
        let (parts, body) = response.map_err(|error| self.failed(address, error))?.into_parts();
        Ok(Answer { url: address.clone(), status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// The whole body of a document.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] past `limit_bytes`, and a body that ends too early, is encoded or takes too long.
    pub fn document(&self, answer: Answer, limit_bytes: u64) -> Result<Vec<u8>, Failed> {
        answer.is_not_encoded()?;
        let length_bytes = answer.length_bytes()?;
        let url = answer.url.as_str().to_owned();
        let too_large = || Failed::from(Error::TooLarge { url: url.clone(), limit_bytes });
        if length_bytes.is_some_and(|length| length > limit_bytes) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let mut reader = answer.body.into_reader().take(limit_bytes.saturating_add(1));
        let begin = Instant::now();
        let timeout = self.options.document_timeout;
        let mut buffer = [0; 8 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(&answer.url, ureq::Error::from(error))),
            }
            if begin.elapsed() > timeout {
                let problem = format!("the download took more than {} s", timeout.as_secs_f64());
                return Err(Failed::answer(&answer.url, problem, Again::Never));
            }
        }
        if bytes.len() as u64 > limit_bytes {
            return Err(too_large());
        }
        match length_bytes {
            Some(length) if length != bytes.len() as u64 => {
                let problem = format!("it ended after {} of {length} bytes", bytes.len());
                Err(Failed::answer(&answer.url, problem, Again::Later))
            }
            _ => Ok(bytes),
        }
    }

    fn agent(&self, address: &Address, proxy: Option<&str>) -> Result<Agent, Failed> {
        let needs_tls = address.is_https() || proxy.is_some_and(|proxy| proxy.starts_with("https:"));
        let key = (proxy.map(str::to_owned), needs_tls);
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let connection = |problem: String| {
            let url = address.as_str().to_owned();
            Failed::from(Error::Connection { url, problem, was_reached: true, proxy: None, source: None })
        };
        let roots = match needs_tls {
            true => self.roots.get_or_init(|| self.options.roots.load().map(Arc::new)).clone().map_err(connection)?,
            false => Arc::default(),
        };
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let proxy = proxy.map(|text| {
            Proxy::new(text).map_err(|_| connection("its proxy's address is not `http://HOST:PORT`".to_owned()))
        });
        let timeout = Some(self.options.connect_timeout);
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(proxy.transpose()?)
            .http_status_as_error(false)
            // They are followed above, by stricter rules.
            .max_redirects(0)
            .user_agent(self.options.user_agent.clone())
            .accept_encoding("identity")
            .max_response_header_size(MAX_HEADER_BYTES)
            .timeout_resolve(timeout)
            .timeout_connect(timeout)
            .timeout_send_request(timeout)
            .timeout_recv_response(Some(self.options.answer_timeout))
            .timeout_per_read(Some(self.options.stall_timeout))
            .timeout_per_write(Some(self.options.stall_timeout))
            .build();
        let agent = config.new_agent();
        agents.insert(key, agent.clone());
        Ok(agent)
    }

    /// The meaning of a connection error.
    pub(super) fn failed(&self, address: &Address, error: ureq::Error) -> Failed {
        let seconds = |duration: Duration| duration.as_secs_f64();
        let options = &self.options;
        let through = options.proxies.of(address).map(host_and_port);
        let mut source = None;
        let is_refused = matches!(error, ureq::Error::ConnectProxyFailed(_));
        if let Some(problem) = certificate_problem(&error) {
            return Failed::new(Error::Untrusted { url: address.as_str().to_owned(), problem }, Again::Never);
        }
        let (mut problem, again) = match error {
            ureq::Error::Timeout(Timeout::PerRead) => {
                (format!("no data arrived for {} s", seconds(options.stall_timeout)), Again::Later)
            }
            ureq::Error::Timeout(Timeout::PerWrite) => {
                (format!("it took no data for {} s", seconds(options.stall_timeout)), Again::Later)
            }
            ureq::Error::Timeout(Timeout::RecvResponse) => {
                (format!("the answer was not complete within {} s", seconds(options.answer_timeout)), Again::Later)
            }
            ureq::Error::Timeout(_) => {
                (format!("there was no connection within {} s", seconds(options.connect_timeout)), Again::Hardly)
            }
            ureq::Error::HostNotFound => ("the host name is unknown".to_owned(), Again::Hardly),
            ureq::Error::LargeResponseHeader(..) => {
                (format!("its headers have more than {MAX_HEADER_BYTES} bytes"), Again::Never)
            }
            ureq::Error::Protocol(error) => (format!("its answer breaks HTTP's rules ({error})"), Again::Later),
            ureq::Error::ConnectProxyFailed(problem) => {
                let proxy = through.as_deref().unwrap_or_default();
                (format!("the proxy `{proxy}` does not connect to it ({problem})"), Again::Hardly)
            }
            ureq::Error::InvalidProxyUrl => ("its proxy's address is invalid".to_owned(), Again::Never),
            ureq::Error::Rustls(error) => of_tls(&error),
            ureq::Error::Io(error) => match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
                Some(error) => of_tls(error),
                None => {
                    let of_io = of_io(&error);
                    source = Some(error);
                    of_io
                }
            },
            error => (format!("the connection broke ({error})"), Again::Later),
        };
        let (url, was_reached) = (address.as_str().to_owned(), again != Again::Hardly);
        // The proxy could not be reached then, not the publisher.
        let proxy = through.filter(|_| !was_reached && !is_refused);
        if let Some(proxy) = &proxy {
            problem = format!("the proxy `{proxy}`: {problem}");
        }
        Failed::new(Error::Connection { url, problem, was_reached, proxy, source }, again)
    }
}

fn of_io(error: &io::Error) -> (String, Again) {
    use io::ErrorKind::*;

    match error.kind() {
        ConnectionRefused | HostUnreachable | NetworkUnreachable | NetworkDown | AddrNotAvailable => {
            ("no connection could be made".to_owned(), Again::Hardly)
        }
        // The standard library has no kind for that.
        _ if error.to_string().starts_with("failed to lookup address information") => {
            ("the host name is unknown".to_owned(), Again::Hardly)
        }
        UnexpectedEof => ("the connection ended too early".to_owned(), Again::Later),
        _ => ("the connection broke".to_owned(), Again::Later),
    }
}

fn of_tls(error: &rustls::Error) -> (String, Again) {
    (format!("TLS failed ({error})"), Again::Later)
}

/// What is wrong with the server's certificate, if that is the error.
fn certificate_problem(error: &ureq::Error) -> Option<String> {
    let error = match error {
        ureq::Error::Rustls(error) => error,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>()?,
        _ => return None,
    };
    match error {
        rustls::Error::InvalidCertificate(problem) => Some(format!("{problem:?}")),
        _ => None,
    }
}

/// A proxy's `HOST:PORT`, without the user and the password that may be before it.
fn host_and_port(proxy: &str) -> String {
    let rest = proxy.split_once("://").map_or(proxy, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_owned()
}
