//! What every runner does: a view of the guest, a command in it, and what the command changed as edits of the guest.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use customize::{Change, Ended, FileChange, MemoryLimit, Outcome, Program, RunError, Task, TimeLimit};
use guest::{Guest, GuestPath, LastLink, Printable, Time};
use sandbox::{Limits, Spec};
use scratch::{ChangeKind, Spill, Times, View};

use crate::leftover;
use crate::log::Log;

/// What every command has of an environment.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("USER", "root"),
    ("LOGNAME", "root"),
    ("SHELL", "/bin/sh"),
    ("LANG", "C.UTF-8"),
    ("TERM", "dumb"),
];

/// Directories that the sandbox mounts something on.
pub(crate) const MOUNT_POINTS: [&str; 5] = ["/dev", "/proc", "/sys", "/run", "/tmp"];

/// Where a script is while it runs.
pub(crate) const SCRIPT: &str = "/run/imgraft/script";

/// Says that no service may be started (101: the action is forbidden by policy).
const POLICY_RC_D: (&str, &[u8]) = ("/usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n");

/// Where the guest has the addresses of its name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The largest name of a host that is read, in bytes.
const HOSTNAME_LIMIT_BYTES: u64 = 256;

/// Makes an unnamed file for what does not fit memory.
pub type SpillFile = Box<dyn Fn() -> io::Result<File> + Send + Sync>;

/// What runners have of the machine.
pub struct Machine {
    /// Makes the file in which changed contents are kept.
    pub spill: SpillFile,
    /// What a command that has the network gets of the host's. It is asked for if there is such a command.
    pub network: Box<dyn Fn() -> Network + Send + Sync>,
    /// The folder of the host for the logs of commands.
    pub log_folder: PathBuf,
    /// What a command and all that it starts may use.
    pub limits: Limits,
}

/// What a command that has the network gets of the host's.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Its `/etc/resolv.conf`.
    pub resolv_conf: Vec<u8>,
    /// Variables such as `https_proxy`.
    pub environment: Vec<(OsString, OsString)>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Runs a command on the trees of a view, for a guest with this name, and says how it ended and when it began: what has
/// a time from then on was written by it.
pub(crate) type RunIn<'a> =
    dyn FnMut(&View, &str, &mut dyn FnMut(&[u8])) -> Result<(sandbox::Ended, Time), RunError> + 'a;

impl Machine {
    /// Has `run_in` run a task on a view of `guest`. What it changed there becomes edits of `guest` if it succeeded.
    pub(crate) fn run_in_view(
        &self,
        guest: &mut Guest,
        task: &Task,
        said: &mut dyn FnMut(&[u8]),
        runner: &'static str,
        run_in: &mut RunIn<'_>,
    ) -> Result<Outcome, RunError> {
        check_programs(guest)?;
        let spill = (self.spill)().map_err(host("the file that keeps what a command writes cannot be made"))?;
        let hostname = guest_hostname(guest);
        let view = View::new(guest, Spill::new(spill)).map_err(|error| refused(&error))?;
        let mut log = Log::new(&self.log_folder, &task.name);
        let ended = run_in(&view, &hostname, &mut |bytes| {
            log.write(bytes);
            said(bytes);
        });
        let began = match ended {
            Ok((sandbox::Ended::Exited(0), began)) => began,
            Ok((status, _)) => {
                view.discard(guest);
                let (name, last_lines, log) = (task.name.clone(), Vec::new(), log.keep());
                return Err(RunError::Failed { name, status: ended_as(status, &self.limits), last_lines, log });
            }
            Err(error) => {
                view.discard(guest);
                return Err(error);
            }
        };
        if let Some(fault) = view.fault() {
            view.discard(guest);
            let problem = format!("the guest could not be read while `{}` ran: {fault}", task.name);
            return Err(RunError::Refused { problem, hint: Some("`imgraft check` says what is damaged".to_owned()) });
        }
        // Programs such as apt give files the time of the clock in whole seconds.
        let began = Time { nanoseconds: 0, ..began };
        if let Err(error) = leftover::settle_times(&view, began, task.modified) {
            view.discard(guest);
            return Err(refused(&error));
        }
        let times = Times { began, modified: task.modified, latest: task.clamp };
        let difference = view.finish(guest, &times, &leftover::is_leftover).map_err(|error| refused(&error))?;
        let changes = difference.changes.iter().map(file_change).collect();
        difference.graft(guest)?;
        Ok(Outcome { changes, runner, ..Outcome::default() })
    }

    /// Has what a command needs in the guest's tree, and what it may do in `spec`.
    pub(crate) fn furnish(&self, spec: &mut Spec, view: &View, task: &Task) -> Result<(), RunError> {
        let network = if task.network { (self.network)() } else { Network::default() };
        prepare(view, task, &network).map_err(|error| refused(&error))?;
        spec.environment = environment(task, network);
        spec.network = task.network;
        spec.limits = self.limits;
        Ok(())
    }
}

/// Has what a command needs in the guest's tree.
fn prepare(view: &View, task: &Task, network: &Network) -> Result<(), scratch::Error> {
    for point in MOUNT_POINTS {
        view.in_folder(&known(point), |tree, folder, name| tree.phantom_directory(folder, name).map(drop))?;
    }
    let file = |path: &str, content: &[u8], permissions| {
        view.in_folder(&known(path), |tree, folder, name| tree.put_phantom(folder, name, content, permissions))
    };
    if task.network {
        file(RESOLV_CONF, &network.resolv_conf, 0o644)?;
    }
    if task.no_services {
        file(POLICY_RC_D.0, POLICY_RC_D.1, 0o755)?;
    }
    Ok(())
}

fn environment(task: &Task, network: Network) -> Vec<(OsString, OsString)> {
    let fixed = ENVIRONMENT.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    fixed.chain(network.environment).chain(task.environment.iter().cloned()).collect()
}

pub(crate) fn arguments(program: &Program) -> Vec<OsString> {
    match program {
        Program::Shell(text) => vec!["/bin/sh".into(), "-c".into(), text.into()],
        Program::Script(_) => vec![SCRIPT.into()],
    }
}

/// Refuses a guest whose programs this machine cannot run.
fn check_programs(guest: &Guest) -> Result<(), RunError> {
    const SHELL: &str = "/bin/sh";
    const HEADER_BYTES: usize = 128;
    let mut header = vec![0; HEADER_BYTES];
    let found = guest.find(&known(SHELL), LastLink::Follow);
    let read = found.and_then(|found| guest.read_at(&found.path, 0, &mut header));
    let refuse = |problem: String, hint: Option<String>| Err(RunError::Unavailable { problem, hint });
    match read {
        Ok(length) => match sandbox::runs(&header[..length]) {
            Ok(_) => Ok(()),
            Err(error) => refuse(error.to_string(), error.remedy().map(ToOwned::to_owned)),
        },
        Err(error) if error.is_absence() => {
            refuse(format!("the guest has no `{SHELL}`"), Some("commands need a shell in the guest".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// The name that the guest has; a command sees no other.
fn guest_hostname(guest: &Guest) -> String {
    let path = known("/etc/hostname");
    let is_file = guest.find(&path, LastLink::Follow).is_ok();
    let name = if is_file { guest.read(&path, HOSTNAME_LIMIT_BYTES).unwrap_or_default() } else { Vec::new() };
    let name = String::from_utf8_lossy(&name).trim().to_owned();
    let is_valid = !name.is_empty() && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_valid { name } else { "localhost".to_owned() }
}

/// A path of this crate's own.
pub(crate) fn known(path: &str) -> GuestPath {
    path.parse().unwrap_or_else(|_| GuestPath::root())
}

pub(crate) fn host_path(path: &GuestPath) -> PathBuf {
    OsString::from_vec(path.as_bytes().to_vec()).into()
}

fn ended_as(ended: sandbox::Ended, limits: &Limits) -> Ended {
    let memory = || limits.memory_bytes.map(|bytes| MemoryLimit { bytes });
    match ended {
        sandbox::Ended::Exited(status) => Ended::Exited(status),
        sandbox::Ended::Signal(signal) => Ended::Signal(signal),
        sandbox::Ended::TimedOut => Ended::TimedOut(TimeLimit(limits.time.unwrap_or_default())),
        sandbox::Ended::OutOfMemory | sandbox::Ended::TooManyProcesses => Ended::OutOfMemory(memory()),
        sandbox::Ended::Interrupted => Ended::Interrupted,
    }
}

fn file_change(change: &scratch::FileChange) -> FileChange {
    FileChange {
        change: match change.change {
            ChangeKind::Made => Change::Made,
            ChangeKind::Changed => Change::Changed,
            ChangeKind::Removed => Change::Removed,
        },
        path: Printable(change.path.as_bytes()).to_string(),
        size_bytes: change.size_bytes,
    }
}

/// What the sandbox says of a machine that cannot do it.
pub(crate) fn unavailable(error: &sandbox::Error) -> RunError {
    let remedies = error.remedies();
    let hint = (!remedies.is_empty()).then(|| remedies.join("; or "));
    RunError::Unavailable { problem: with_causes(error), hint }
}

/// What a command left and the guest cannot have.
pub(crate) fn refused(error: &scratch::Error) -> RunError {
    RunError::Refused { problem: with_causes(error), hint: None }
}

pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

pub(crate) fn host(what: &'static str) -> impl Fn(io::Error) -> RunError {
    move |error| RunError::Host { what: what.to_owned(), error }
}

#[expect(clippy::disallowed_methods, reason = "to tell what a command wrote from what it unpacked")]
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Time { seconds: since.as_secs().cast_signed(), nanoseconds: since.subsec_nanos() }
}
