//! Ways into the guest for what is tried over its network.

use judge::{SshLogin, Way};
use recipe::{Boot, Login};
use vm::{Forward, Network, Protocol};

use crate::cli::test::Test;
use crate::machine::{HeldPort, Plan, Subject};

/// Where sshd listens.
const SSH_PORT: u16 = 22;

/// Leads a port of this host to each of the guest's that is expected to answer; a machine without a network has none.
pub(super) fn open(plan: &mut Plan, expected: &Boot) -> Vec<Way> {
    let Network::User { forwards, .. } = &mut plan.machine.network else { return Vec::new() };
    let wanted = expected.ports.iter().copied().chain(expected.ssh.as_ref().map(|_| SSH_PORT));
    for guest_port in wanted {
        let is_there = forwards.iter().any(|forward| is_tcp_of_loopback(forward) && forward.guest_port == guest_port);
        if !is_there && let Some(free) = HeldPort::free() {
            forwards.push(Forward::tcp(free.port(), guest_port));
            plan.ports.push(free);
        }
    }
    let ways = forwards.iter().filter(|forward| is_tcp_of_loopback(forward));
    ways.map(|forward| Way { host_port: forward.host_port, guest_port: forward.guest_port }).collect()
}

fn is_tcp_of_loopback(forward: &Forward) -> bool {
    let address = forward.host_address;
    forward.protocol == Protocol::Tcp && (address.is_loopback() || address.is_unspecified())
}

/// Who logs in, with what.
pub(super) fn login(login: &Login, arguments: &Test, subject: &Subject) -> Result<SshLogin, String> {
    let identity = arguments.expected.identity.clone();
    let user = match login {
        Login::User(user) => Some(user.clone()),
        Login::Default => arguments.content.users.first().cloned().or_else(|| subject.user()),
    };
    match user {
        Some(user) => Ok(SshLogin { user, identity }),
        None => Err("nothing in the image tells its own user: name one".to_owned()),
    }
}
