//! Commands run with a guest's own programs, and what they changed grafted onto the guest.
//!
//! 1. The guest's files become [trees](scratch::View), in which what a command changes is kept apart.
//! 2. A [sandbox] mounts them through FUSE in namespaces of its own. For the time of the command there are a few files
//!    more: a `resolv.conf` if it has the network, a `policy-rc.d` that has no service started.
//! 3. When the command has succeeded, what differs becomes edits of the guest; all of it, or nothing if it failed.
//!
//! Some things are left out: `/run`, `/tmp`, logs of package managers, caches with dates in them (`leftover.rs` has the
//! list). What a command wrote gets the build's time in place of the clock's.

mod leftover;
mod log;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use customize::{Change, Ended, FileChange, Outcome, Program, RunError, Runner, Task};
use guest::{Guest, GuestPath, LastLink, Printable, Time};
use mount::{Owners, Served};
use sandbox::{Ids, Limits, Root, Spec};
use scratch::{ChangeKind, Spill, Times, View};

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
const MOUNT_POINTS: [&str; 5] = ["/dev", "/proc", "/sys", "/run", "/tmp"];

/// Where a script is while it runs.
const SCRIPT: &str = "/run/imgraft/script";

/// Says that no service may be started (101: the action is forbidden by policy).
const POLICY_RC_D: (&str, &[u8]) = ("/usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n");

/// Where the guest has the addresses of its name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The largest name of a host that is read, in bytes.
const HOSTNAME_LIMIT_BYTES: u64 = 256;

/// Makes an unnamed file for what does not fit memory.
pub type SpillFile = Box<dyn Fn() -> io::Result<File> + Send + Sync>;

/// Runs commands in namespaces of their own, on the guest's files served through FUSE.
pub struct Namespaces {
    /// Makes the file in which changed contents are kept.
    pub spill: SpillFile,
    /// What a command that has the network gets of the host's. It is asked for if there is such a command.
    pub network: Box<dyn Fn() -> Network + Send + Sync>,
    /// The folder of the host for the logs of commands.
    pub log_folder: PathBuf,
    /// What a command and all that it starts may use.
    pub limits: Limits,
    /// Which ids of the host stand for the guest's.
    pub ids: Ids,
}

/// What a command that has the network gets of the host's.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Its `/etc/resolv.conf`.
    pub resolv_conf: Vec<u8>,
    /// Variables such as `https_proxy`.
    pub environment: Vec<(OsString, OsString)>,
}

impl std::fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespaces").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Runner for Namespaces {
    fn run(&self, guest: &mut Guest, task: &Task, said: &mut dyn FnMut(&[u8])) -> Result<Outcome, RunError> {
        check_programs(guest)?;
        let spill = (self.spill)().map_err(host("the file that keeps what a command writes cannot be made"))?;
        let hostname = guest_hostname(guest);
        let view = View::new(guest, Spill::new(spill)).map_err(|error| refused(&error))?;
        let mut log = Log::new(&self.log_folder, &task.name);
        let began = now();
        let ended = self.run_in(&view, task, hostname, &mut |bytes| {
            log.write(bytes);
            said(bytes);
        });
        match ended {
            Ok(sandbox::Ended::Exited(0)) => {}
            Ok(status) => {
                view.discard(guest);
                let (name, last_lines, log) = (task.name.clone(), Vec::new(), log.keep());
                return Err(RunError::Failed { name, status: ended_as(status), last_lines, log });
            }
            Err(error) => {
                view.discard(guest);
                return Err(error);
            }
        }
        if let Some(fault) = view.fault() {
            view.discard(guest);
            let problem = format!("the guest could not be read while `{}` ran: {fault}", task.name);
            return Err(RunError::Refused { problem, hint: Some("`imgraft check` says what is damaged".to_owned()) });
        }
        if let Err(error) = leftover::settle_times(&view, began, task.modified) {
            view.discard(guest);
            return Err(refused(&error));
        }
        let times = Times { began, modified: task.modified, latest: task.clamp };
        let difference = view.finish(guest, &times, &leftover::is_leftover).map_err(|error| refused(&error))?;
        let changes = difference.changes.iter().map(file_change).collect();
        difference.graft(guest)?;
        Ok(Outcome { changes, log: None, runner: "namespaces" })
    }
}

impl Namespaces {
    /// Runs a task on the trees of `view`.
    fn run_in(
        &self,
        view: &View,
        task: &Task,
        hostname: String,
        said: &mut dyn FnMut(&[u8]),
    ) -> Result<sandbox::Ended, RunError> {
        let network = if task.network { (self.network)() } else { Network::default() };
        prepare(view, task, &network).map_err(|error| refused(&error))?;
        let mount_points = view.trees.iter().map(|(point, _)| host_path(point)).collect();
        let mut spec = Spec::new(Root::Fuse { mount_points }, arguments(&task.program));
        spec.environment = environment(task, network);
        spec.network = task.network;
        spec.hostname = hostname;
        spec.limits = self.limits;
        spec.ids = self.ids;
        if let Program::Script(content) = &task.program {
            spec.files.push(sandbox::File { path: SCRIPT.into(), content: content.clone(), is_executable: true });
        }
        let mut served: Vec<Served> = Vec::new();
        let mut started = start(&spec, view, &mut served);
        if let (Err(sandbox::Error::NoSubordinateIds { .. }), Ids::Auto) = (&started, self.ids) {
            // With one id, the trees record whose files they are.
            spec.ids = Ids::Single;
            started = start(&spec, view, &mut served);
        }
        let ended = started
            .and_then(|started| started.run(&Recorder { view, served: &served }, said))
            .map_err(|error| unavailable(&error));
        // The sandbox is gone, and with it the mounts.
        for served in served {
            let waited = served.wait();
            if ended.is_ok() {
                waited.map_err(host("the guest's files could not be served"))?;
            }
        }
        ended
    }
}

/// Makes a sandbox on the trees of `view`.
fn start(spec: &Spec, view: &View, served: &mut Vec<Served>) -> Result<sandbox::Started, sandbox::Error> {
    let owners = if spec.ids == Ids::Single { Owners::AllRoot } else { Owners::AsTheyAre };
    sandbox::start(spec, &mut |index, connection| {
        served.push(mount::serve(&view.trees[index].1, owners, connection)?);
        Ok(())
    })
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

/// Records in the trees what a user with one id cannot have the kernel do.
struct Recorder<'a> {
    view: &'a View,
    /// In the order of the trees.
    served: &'a [Served],
}

impl Recorder<'_> {
    fn in_tree<T>(&self, mount: usize, record: impl FnOnce(&mut scratch::Tree) -> scratch::Result<T>) -> io::Result<T> {
        let (_, tree) = self.view.trees.get(mount).ok_or(io::ErrorKind::NotFound)?;
        Ok(record(&mut tree.lock().unwrap_or_else(PoisonError::into_inner))?)
    }
}

impl sandbox::Owners for Recorder<'_> {
    fn chown(&self, mount: usize, inode: u64, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        let settings = scratch::Settings { uid, gid, ..scratch::Settings::default() };
        self.in_tree(mount, |tree| tree.set(inode, &settings, now()))?;
        // The bits that have a program run as its owner may be gone.
        self.served.get(mount).iter().for_each(|served| served.forget_attributes(inode));
        Ok(())
    }

    fn owner(&self, mount: usize, inode: u64) -> io::Result<[u32; 2]> {
        let metadata = self.in_tree(mount, |tree| tree.facts(inode))?.metadata;
        Ok([metadata.uid, metadata.gid])
    }

    fn make_node(&self, mount: usize, directory: u64, name: &OsStr, mode: u32, device: u64) -> io::Result<()> {
        let kind = match mode & 0o170_000 {
            0o020_000 => guest::FileKind::CharacterDevice,
            0o060_000 => guest::FileKind::BlockDevice,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let numbers = (rustix::fs::major(device), rustix::fs::minor(device));
        let owner = scratch::Owner { uid: 0, gid: 0 };
        self.in_tree(mount, |tree| {
            let new = scratch::New::Special(kind, Some(numbers));
            tree.create(directory, name.as_bytes(), new, ((mode & 0o7777) as u16, 0), owner, now()).map(drop)
        })?;
        self.served.get(mount).iter().for_each(|served| served.forget_name(directory, name));
        Ok(())
    }

    fn set_xattr(&self, mount: usize, inode: u64, name: &OsStr, value: &[u8]) -> io::Result<()> {
        self.in_tree(mount, |tree| tree.set_xattr(inode, name.as_bytes(), value, now()))
    }
}

fn arguments(program: &Program) -> Vec<OsString> {
    match program {
        Program::Shell(text) => vec!["/bin/sh".into(), "-c".into(), text.into()],
        Program::Script(_) => vec![SCRIPT.into()],
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
fn known(path: &str) -> GuestPath {
    path.parse().unwrap_or_else(|_| GuestPath::root())
}

fn host_path(path: &GuestPath) -> PathBuf {
    OsString::from_vec(path.as_bytes().to_vec()).into()
}

fn ended_as(ended: sandbox::Ended) -> Ended {
    match ended {
        sandbox::Ended::Exited(status) => Ended::Exited(status),
        sandbox::Ended::Signal(signal) => Ended::Signal(signal),
        sandbox::Ended::TimedOut => Ended::TimedOut,
        sandbox::Ended::OutOfMemory | sandbox::Ended::TooManyProcesses => Ended::OutOfMemory,
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
fn unavailable(error: &sandbox::Error) -> RunError {
    let remedies = error.remedies();
    let hint = (!remedies.is_empty()).then(|| remedies.join("; or "));
    RunError::Unavailable { problem: with_causes(error), hint }
}

/// What a command left and the guest cannot have.
fn refused(error: &scratch::Error) -> RunError {
    RunError::Refused { problem: with_causes(error), hint: None }
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn host(what: &'static str) -> impl Fn(io::Error) -> RunError {
    move |error| RunError::Host { what: what.to_owned(), error }
}

#[expect(clippy::disallowed_methods, reason = "to tell what a command wrote from what it unpacked")]
fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Time { seconds: since.as_secs().cast_signed(), nanoseconds: since.subsec_nanos() }
}
