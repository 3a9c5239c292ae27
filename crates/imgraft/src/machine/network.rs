//! The network of a machine: ports of the host that lead into the guest.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};
use vm::{Forward, Network, Protocol};

use crate::cli::machine::{MachineFlags, NetworkKind};
use crate::failure::Failure;

/// The port that leads to the guest's sshd, if it is free.
const SSH_PORT: u16 = 2222;
/// Where sshd listens.
const GUEST_SSH_PORT: u16 = 22;

/// The way to a guest's sshd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ssh {
    pub(crate) port: u16,
}

impl Ssh {
    /// What to type to get in as `user`. The guest has new host keys at each first boot.
    pub(crate) fn command(self, user: &str) -> String {
        let Self { port } = self;
        format!("ssh -p {port} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null {user}@localhost")
    }
}

/// A port of this host that is ours for as long as this is there: it is bound, and nobody else can bind it but QEMU.
#[derive(Debug)]
pub(crate) struct HeldPort {
    /// Bound without SO_REUSEADDR, so that it fails where anybody has the port, and so that one of two that want it
    /// fails. It gets SO_REUSEADDR then: Linux lets QEMU, which sets that, too, listen at a port that is bound so and
    /// not listened at. Other systems do not, and have the port given back before QEMU starts.
    _socket: Option<OwnedFd>,
    port: u16,
}

impl HeldPort {
    /// Binds the port, or any that is free where that is 0.
    fn bind(protocol: Protocol, address: Ipv4Addr, port: u16) -> io::Result<Self> {
        let kind = match protocol {
            Protocol::Tcp => SocketType::STREAM,
            Protocol::Udp => SocketType::DGRAM,
        };
        let socket = socket(AddressFamily::INET, kind, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        bind(&socket, &SocketAddrV4::new(address, port))?;
        let port = SocketAddrV4::try_from(getsockname(&socket)?)?.port();
        sockopt::set_socket_reuseaddr(&socket, true)?;
        Ok(Self { _socket: cfg!(target_os = "linux").then_some(socket), port })
    }

    /// A free port of loopback: the usual one for sshd, or another one.
    pub(crate) fn free() -> Option<Self> {
        let bind = |port| Self::bind(Protocol::Tcp, Ipv4Addr::LOCALHOST, port);
        bind(SSH_PORT).or_else(|_| bind(0)).ok()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// The network that `flags` ask for; a free port leads to sshd unless one does already. The ports are held until QEMU
/// has ended.
pub(crate) fn network(flags: &MachineFlags) -> Result<(Network, Option<Ssh>, Vec<HeldPort>), Failure> {
    let mut asked = flags.forwards.clone();
    let mut held = asked.iter().map(hold).collect::<Result<Vec<HeldPort>, Failure>>()?;
    let is_restricted = match flags.network {
        NetworkKind::None if asked.is_empty() => return Ok((Network::None, None, held)),
        NetworkKind::None => {
            return Err(Failure::new("without a network, no port leads into the guest")
                .hint("`--network restricted` has a way in and none out"));
        }
        NetworkKind::User => false,
        NetworkKind::Restricted => true,
    };
    let leads_to_ssh = |forward: &&Forward| forward.protocol == Protocol::Tcp && forward.guest_port == GUEST_SSH_PORT;
    let ssh = match asked.iter().find(leads_to_ssh) {
        Some(forward) => Some(Ssh { port: forward.host_port }),
        None => HeldPort::free().map(|free| {
            let port = free.port();
            asked.push(Forward::tcp(port, GUEST_SSH_PORT));
            held.push(free);
            Ssh { port }
        }),
    };
    let mut network = Network::user();
    if let Network::User { is_restricted: restricted, forwards, .. } = &mut network {
        *restricted = is_restricted;
        *forwards = asked;
    }
    Ok((network, ssh, held))
}

/// QEMU says of a port that it cannot have no more than its rule.
fn hold(forward: &Forward) -> Result<HeldPort, Failure> {
    HeldPort::bind(forward.protocol, forward.host_address, forward.host_port).map_err(|error| {
        Failure::because(format!("port {} of this host cannot be led into the guest", forward.host_port), &error)
            .hint(format!("take another one: `--forward 2{:04}:{}`", forward.guest_port % 10_000, forward.guest_port))
    })
}

/// `8080:80`, `0.0.0.0:8080:80`, `5353:53/udp`.
pub(crate) fn parse_forward(text: &str) -> Result<Forward, String> {
    let wrong = || format!("`{text}` is not `[ADDRESS:]HOST:GUEST[/udp]`, such as `8080:80`");
    let (ports, protocol) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.split('/').next().unwrap_or_default(), Protocol::Tcp),
        Some((ports, "udp")) => (ports, Protocol::Udp),
        Some(_) => return Err(wrong()),
    };
    let parts: Vec<&str> = ports.split(':').collect();
    let (address, host, guest) = match parts[..] {
        [host, guest] => (Ipv4Addr::LOCALHOST, host, guest),
        [address, host, guest] => (address.parse().map_err(|_| wrong())?, host, guest),
        _ => return Err(wrong()),
    };
    let port =
        |text: &str| text.parse().ok().filter(|&port: &u16| port > 0 && !text.starts_with('+')).ok_or_else(wrong);
    Ok(Forward { protocol, host_address: address, host_port: port(host)?, guest_port: port(guest)? })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn forwards_are_read() {
        assert_eq!(parse_forward("8080:80"), Ok(Forward::tcp(8080, 80)));
        assert_eq!(parse_forward("8080:80/tcp"), Ok(Forward::tcp(8080, 80)));
        let everywhere = Forward { host_address: Ipv4Addr::UNSPECIFIED, ..Forward::tcp(1, 65535) };
        assert_eq!(parse_forward("0.0.0.0:1:65535"), Ok(everywhere));
        assert_eq!(parse_forward("53:53/udp"), Ok(Forward { protocol: Protocol::Udp, ..Forward::tcp(53, 53) }));
        for text in
            ["", "80", "80:", ":80", "0:80", "80:65536", "+1:2", "a:1:2", "::1:1:2", "1:2/sctp", "1:2:3:4", "1:2/tcp/"]
        {
            assert!(parse_forward(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_that_is_used_is_refused() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let failure = hold(&Forward::tcp(port, 22)).unwrap_err();
        assert!(failure.message.contains(&port.to_string()), "{}", failure.message);
        drop(listener);
        assert!(hold(&Forward::tcp(port, 22)).is_ok());
    }

    #[test]
    fn a_held_port_is_nobody_elses_and_qemu_can_listen_at_it() {
        let threads: Vec<_> = (0..32).map(|_| std::thread::spawn(|| HeldPort::free().unwrap())).collect();
        let held: Vec<HeldPort> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let ports: std::collections::BTreeSet<u16> = held.iter().map(HeldPort::port).collect();
        assert_eq!(ports.len(), held.len(), "two have the same port");
        for one in &held {
            let again = HeldPort::bind(Protocol::Tcp, Ipv4Addr::LOCALHOST, one.port());
            assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
            // As QEMU does, with SO_REUSEADDR, while the port is held.
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, one.port())).unwrap();
            std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        }
    }
}
