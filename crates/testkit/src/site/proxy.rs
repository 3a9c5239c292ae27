//! A proxy on loopback.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// How a proxy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP's `CONNECT` (RFC 9110, 9.3.6).
    Connect,
    /// SOCKS 5 (RFC 1928), without authentication.
    Socks5,
}

/// A proxy; it runs until the process ends.
#[derive(Debug)]
pub struct Proxy {
    kind: ProxyKind,
    address: SocketAddr,
    targets: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A proxy that connects wherever it is asked to.
    pub fn start(kind: ProxyKind) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let targets = Arc::new(Mutex::default());
        thread::spawn({
            let targets = Arc::clone(&targets);
            move || {
                for client in listener.incoming().flatten() {
                    let targets = Arc::clone(&targets);
                    thread::spawn(move || drop(connect(kind, client, &targets)));
                }
            }
        });
        Self { kind, address, targets }
    }

    /// Its address, as `https_proxy` or `ALL_PROXY` have it.
    pub fn url(&self) -> String {
        let scheme = if self.kind == ProxyKind::Connect { "http" } else { "socks5" };
        format!("{scheme}://{}", self.address)
    }

    /// The connections that it was asked for: `127.0.0.1:443`.
    pub fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }
}

fn connect(kind: ProxyKind, client: TcpStream, targets: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let (target, yes) = match kind {
        ProxyKind::Connect => asked_by_connect(&mut client)?,
        ProxyKind::Socks5 => asked_by_socks(&mut client)?,
    };
    targets.lock().unwrap().push(target.clone());
    let server = TcpStream::connect(&target)?;
    client.get_mut().write_all(&yes)?;
    let (mut to_server, mut from_server) = (server.try_clone()?, server);
    let mut to_client = client.get_ref().try_clone()?;
    thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(std::net::Shutdown::Both);
    });
    io::copy(&mut client, &mut to_server)?;
    to_server.shutdown(std::net::Shutdown::Both)
}

fn asked_by_connect(client: &mut impl BufRead) -> io::Result<(String, Vec<u8>)> {
    let mut line = String::new();
    client.read_line(&mut line)?;
    let target = line.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let target = target.ok_or_else(|| io::Error::other(format!("no CONNECT: {line:?}")))?.to_owned();
    while !line.trim_end().is_empty() {
        line.clear();
        client.read_line(&mut line)?;
    }
    Ok((target, b"HTTP/1.1 200 Connected\r\n\r\n".to_vec()))
}

fn asked_by_socks(client: &mut BufReader<TcpStream>) -> io::Result<(String, Vec<u8>)> {
    let [_, count] = bytes(client)?;
    client.read_exact(&mut vec![0; usize::from(count)])?;
    client.get_mut().write_all(&[5, 0])?;
    let [_, _, _, kind] = bytes(client)?;
    let host = match kind {
        1 => bytes::<4>(client)?.map(|byte| byte.to_string()).join("."),
        3 => {
            let [length] = bytes(client)?;
            let mut name = vec![0; usize::from(length)];
            client.read_exact(&mut name)?;
            String::from_utf8(name).map_err(io::Error::other)?
        }
        _ => return Err(io::Error::other(format!("kind of address: {kind}"))),
    };
    let port = u16::from_be_bytes(bytes(client)?);
    Ok((format!("{host}:{port}"), vec![5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
}

fn bytes<const COUNT: usize>(client: &mut impl Read) -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}
