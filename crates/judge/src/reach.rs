//! Reaching the guest over its network: ports that answer, and logins by SSH.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::agent::Silence;
use crate::examine::{Guest, MAX_LINES, QUESTION, Seen, check, quoted, text_lines};
use crate::program::{Ran, run};
use crate::verdict::Check;

/// How long a connection is held to see whether it is closed again.
const HOLD: Duration = Duration::from_millis(1500);
/// How often a port is tried on which no program listens yet.
const INTERVAL: Duration = Duration::from_secs(2);
/// The part of the guest's time limit in which a server may start after everything else.
const SERVER_PATIENCE: u32 = 8;
/// The output of a successful login.
const WORD: &str = "imgraft-is-in";

/// A port of this host's loopback that leads to a TCP port of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The port of the host.
    pub host_port: u16,
    /// The port of the guest.
    pub guest_port: u16,
}

/// A login to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshLogin {
    /// The user.
    pub user: String,
    /// The file with the private key; without one, a key is made and added to those of the user.
    pub identity: Option<PathBuf>,
}

/// What the guest's kernel reports about a TCP port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sockets {
    listens: bool,
    listens_on_loopback_only: bool,
    is_connected: bool,
}

/// Checks whether `port` answers.
pub(crate) fn port<G: Guest + ?Sized>(guest: &mut G, port: u16, ways: &[Way]) -> Check {
    check(guest, format!("port {port} answers"), |guest| {
        let way = ways.iter().find(|way| way.guest_port == port);
        let way = way.ok_or_else(|| Silence::Refused("no port of this host leads there".to_owned()))?;
        answers(guest, *way)
    })
}

fn answers<G: Guest + ?Sized>(guest: &mut G, way: Way) -> Result<Seen, Silence> {
    let deadline = guest.now() + guest.patience() / SERVER_PATIENCE;
    loop {
        let sockets = sockets(guest, way.guest_port)?;
        if sockets.listens && !sockets.listens_on_loopback_only {
            break;
        }
        if guest.now() > deadline {
            let problem = if sockets.listens {
                "a program listens there, but only on the guest's loopback address"
            } else {
                "no program listens there"
            };
            return Ok(Seen::wrong(problem));
        }
        guest.wait(INTERVAL);
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, way.host_port));
    let connected = TcpStream::connect_timeout(&address, Duration::from_secs(5))
        .and_then(|stream| stream.set_nonblocking(true).map(|()| stream));
    let mut stream = match connected {
        Ok(stream) => stream,
        Err(error) => return Ok(Seen::wrong(format!("no connection: {error}"))),
    };
    guest.wait(HOLD);
    let mut said = [0; 256];
    match stream.read(&mut said) {
        Ok(1..) => return Ok(Seen::good()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Ok(0) | Err(_) => return Ok(Seen::wrong("the connection was closed immediately")),
    }
    match sockets(guest, way.guest_port)?.is_connected {
        true => Ok(Seen::good()),
        false => Ok(Seen::wrong("a program listens there, but no connection arrives: a firewall may block it")),
    }
}

fn sockets<G: Guest + ?Sized>(guest: &mut G, port: u16) -> Result<Sockets, Silence> {
    let said = guest.run("cat /proc/net/tcp /proc/net/tcp6 2>/dev/null", None, QUESTION)?;
    Ok(sockets_of(&String::from_utf8_lossy(&said.stdout), port))
}

/// What `/proc/net/tcp` and `/proc/net/tcp6` report about `port`.
fn sockets_of(text: &str, port: u16) -> Sockets {
    const LISTEN: &str = "0A";
    const ESTABLISHED: &str = "01";
    let mut found = Sockets { listens_on_loopback_only: true, ..Sockets::default() };
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (Some(local), Some(_), Some(state)) = (words.next(), words.next(), words.next()) else { continue };
        let Some((address, local_port)) = local.rsplit_once(':') else { continue };
        if u16::from_str_radix(local_port, 16) != Ok(port) {
            continue;
        }
        // Words of 32 bits, each in the order of the guest's processor, which is little-endian.
        let is_loopback = match address.len() {
            8 => address.ends_with("7F"),
            _ => {
                address == "00000000000000000000000001000000"
                    || address.starts_with("0000000000000000FFFF0000") && address.ends_with("7F")
            }
        };
        if state == LISTEN {
            found.listens = true;
            found.listens_on_loopback_only &= is_loopback;
        }
        found.is_connected |= state == ESTABLISHED;
    }
    found.listens_on_loopback_only &= found.listens;
    found
}

/// Checks whether `login` works. If a key must be made, it is stored in `folder`.
pub(crate) fn ssh<G: Guest + ?Sized>(guest: &mut G, login: &SshLogin, ways: &[Way], folder: &Path) -> Check {
    let made = if login.identity.is_some() { "" } else { ", with a key made for it" };
    check(guest, format!("{} can log in by SSH{made}", login.user), |guest| {
        let way = ways.iter().find(|way| way.guest_port == 22);
        let way =
            way.ok_or_else(|| Silence::Refused("no port of this host leads to the guest's port 22".to_owned()))?;
        let identity = match &login.identity {
            Some(identity) => identity.clone(),
            None => match give_key(guest, &login.user, folder)? {
                Ok(identity) => identity,
                Err(seen) => return Ok(seen),
            },
        };
        log_in(guest, &login.user, &identity, *way)
    })
}

/// Makes a key and adds it for `user`.
fn give_key<G: Guest + ?Sized>(guest: &mut G, user: &str, folder: &Path) -> Result<Result<PathBuf, Seen>, Silence> {
    let identity = folder.join("ssh-key");
    if !identity.exists() {
        let refused = |error: &dyn std::fmt::Display| Silence::Refused(format!("`ssh-keygen` failed: {error}"));
        let mut command = program("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", "imgraft-test", "-f"]).arg(&identity);
        let output = command.stdin(Stdio::null()).output().map_err(|error| refused(&error))?;
        if !output.status.success() {
            return Err(refused(&String::from_utf8_lossy(&output.stderr).trim()));
        }
    }
    let public = std::fs::read_to_string(identity.with_extension("pub"));
    let public = public.map_err(|error| Silence::Refused(format!("the key that was made cannot be read: {error}")))?;
    let (user_word, key) = (quoted(user), quoted(public.trim()));
    let script = format!(
        "u={user_word}; k={key}; home=$(getent passwd -- \"$u\" | cut -d: -f6); [ -n \"$home\" ] || exit 66; \
         g=$(id -gn -- \"$u\") && f=\"$home/.ssh/authorized_keys\"; grep -qxF -- \"$k\" \"$f\" 2>/dev/null && exit 0; \
         install -d -m 0700 -o \"$u\" -g \"$g\" -- \"$home/.ssh\" && printf '%s\\n' \"$k\" >>\"$f\" && \
         chown -- \"$u:$g\" \"$f\" && chmod 0600 -- \"$f\""
    );
    let said = guest.run(&script, None, QUESTION)?;
    Ok(match said.status {
        0 => Ok(identity),
        66 => Err(Seen::wrong("there is no such user in the guest")),
        _ => Err(Seen::wrong("the key cannot be added for this user").lines(text_lines(&said.stderr))),
    })
}

fn log_in<G: Guest + ?Sized>(guest: &mut G, user: &str, identity: &Path, way: Way) -> Result<Seen, Silence> {
    let server_deadline = guest.now() + guest.patience() / SERVER_PATIENCE;
    loop {
        let tried = try_ssh(guest, user, identity, way)?;
        if tried.status.is_some_and(|status| status.success()) && tried.stdout.contains(WORD) {
            return Ok(Seen::good());
        }
        // A port on which no program listens looks like this from the host.
        let is_closed = ["Connection closed", "Connection reset", "Connection refused"]
            .iter()
            .any(|part| tried.stderr.contains(part));
        if is_closed && guest.now() < server_deadline {
            guest.wait(INTERVAL);
            continue;
        }
        let last = tried.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
        let problem = match (tried.status, last.is_empty()) {
            (None, _) => "`ssh` did not finish in time".to_owned(),
            (Some(_), false) => last.to_owned(),
            (Some(status), true) => format!("`ssh` ended with {status}"),
        };
        let mut lines = text_lines(tried.stderr.as_bytes());
        lines.extend(text_lines(tried.stdout.as_bytes()));
        if is_closed {
            let sockets = sockets(guest, way.guest_port)?;
            if !sockets.listens {
                lines.push("no program listens on port 22 in the guest".to_owned());
            }
        }
        lines.truncate(MAX_LINES);
        return Ok(Seen::wrong(problem).lines(lines));
    }
}

fn try_ssh<G: Guest + ?Sized>(guest: &mut G, user: &str, identity: &Path, way: Way) -> Result<Ran, Silence> {
    let mut command = program("ssh");
    // Without the user's own configuration, keys and agents: only the guest is judged.
    let options = [
        "BatchMode=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/dev/null",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "PreferredAuthentications=publickey",
        "LogLevel=ERROR",
        "ConnectTimeout=60",
    ];
    command.args(["-F", "none", "-T", "-p", &way.host_port.to_string(), "-l", user, "-i"]).arg(identity);
    for option in options {
        command.args(["-o", option]);
    }
    command.args(["--", "127.0.0.1", "echo", WORD]);
    let deadline = guest.now() + guest.patience() / 2;
    let goes_on = |slice| {
        guest.wait(slice);
        guest.now() < deadline
    };
    run(&mut command, goes_on).map_err(|error| Silence::Refused(format!("`ssh` cannot be started: {error}")))
}

fn program(name: &str) -> std::process::Command {
    #[expect(clippy::disallowed_methods, reason = "a login by SSH is tried by the program that people have for it")]
    let mut command = std::process::Command::new(name);
    command.env("LC_ALL", "C");
    command
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::local::Local;
    use crate::verdict::Outcome;

    #[test]
    fn the_kernels_tables_are_read() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue\n\
                       0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
                       1: 00000000:0016 00000000:0000 0A 00000000:00000000\n\
                       2: 0F02000A:0016 0202000A:8C4E 01 00000000:00000000\n\
                       0: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A\n\
                       1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A\n";
        let sockets = |port| sockets_of(text, port);
        assert_eq!(sockets(8080), Sockets { listens: true, listens_on_loopback_only: true, is_connected: false });
        assert_eq!(sockets(22), Sockets { listens: true, listens_on_loopback_only: false, is_connected: true });
        assert_eq!(sockets(631), Sockets { listens: true, listens_on_loopback_only: true, is_connected: false });
        assert_eq!(sockets(80), Sockets { listens: true, listens_on_loopback_only: false, is_connected: false });
        assert_eq!(sockets(81), Sockets::default());
    }

    #[test]
    fn a_port_that_answers_is_told_from_one_that_does_not() {
        let mut local = Local::start();
        let problem = |check: Check| match check.outcome {
            Outcome::Wrong { problem } => problem,
            other => format!("{other:?}"),
        };
        let open = TcpListener::bind("0.0.0.0:0").unwrap();
        let open_port = open.local_addr().unwrap().port();
        let way = |guest_port| [Way { host_port: guest_port, guest_port }];
        assert_eq!(port(&mut local, open_port, &way(open_port)).outcome, Outcome::Good);
        let inner = TcpListener::bind("127.0.0.1:0").unwrap();
        let inner_port = inner.local_addr().unwrap().port();
        assert!(
            problem(port(&mut local, inner_port, &way(inner_port))).contains("only on the guest's loopback address")
        );
        drop(open);
        assert_eq!(problem(port(&mut local, open_port, &way(open_port))), "no program listens there");
        let unled = port(&mut local, 1, &way(2));
        assert!(matches!(unled.outcome, Outcome::NotLookedAt { .. }));
    }
}
