//! The helper process as its caller sees it: started, given its ids, asked for its mounts.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::group::Group;
use crate::ids::Mapping;
use crate::message::{Order, Plan, PlannedFile, PlannedRoot, Report, receive, send};
use crate::watch::Stopper;
use crate::{Confinement, Enforced, Error, File, Ids, Limits, Root, Spec};

/// The name by which the helper knows that it is one.
pub(crate) const HELPER: &str = "imgraft-sandbox";

/// How long the helper may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked at meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// A sandbox whose command has not been started yet. It ends when this is dropped.
#[derive(Debug)]
pub struct Started {
    pub(crate) helper: Helper,
    pub(crate) limits: Limits,
    pub(crate) group: Option<Group>,
    pub(crate) output: OwnedFd,
}

/// The helper process. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Helper {
    pub(crate) child: Child,
    /// The way to it; shut down when it is to end.
    pub(crate) socket: Option<OwnedFd>,
}

impl Helper {
    pub(crate) fn socket(&self) -> Result<&OwnedFd, Error> {
        self.socket.as_ref().ok_or_else(|| Error::HelperEnded { status: "closed".to_owned() })
    }

    /// The next report; that it cannot go on is an error.
    pub(crate) fn hear(&mut self) -> Result<(Report, Option<OwnedFd>), Error> {
        let heard = receive(self.socket()?).map_err(|error| Error::host("the sandbox's helper", error))?;
        match heard {
            Some((Report::Failed(fault), _)) => Err(Error::of(fault)),
            Some(heard) => Ok(heard),
            None => Err(self.ended()),
        }
    }

    pub(crate) fn tell(&mut self, order: &Order) -> Result<(), Error> {
        match send(self.socket()?, order, None) {
            Ok(()) => Ok(()),
            // It may have said why before it ended.
            Err(_) => match self.hear() {
                Err(error) => Err(error),
                Ok(_) => Err(self.ended()),
            },
        }
    }

    fn ended(&mut self) -> Error {
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        Error::HelperEnded { status }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It ends all that it started when the socket is closed. A stopper may still have the socket.
        if let Some(socket) = self.socket.take() {
            let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
        }
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begin.elapsed() > END_TIMEOUT {
                // It waits for a file system that nobody serves any more. The kernel ends the rest.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Makes a sandbox: namespaces, ids and mounts. For each FUSE file system, `serve` is given the index of its mount point
/// and the descriptor of its connection, on which the caller answers from then on, in threads of its own: the next
/// mount point is looked for through it.
///
/// # Errors
///
/// The machine does not allow it; [`Error::remedies`] says what to do about it.
pub fn start(spec: &Spec, serve: &mut dyn FnMut(usize, OwnedFd) -> io::Result<()>) -> Result<Started, Error> {
    possible(spec)?;
    let is_chroot = spec.confinement == Confinement::Chroot;
    let mapping = if is_chroot { None } else { Some(Mapping::choose(spec.ids, &spec.root)?) };
    let group = Group::make(spec.limits);
    let plan = Plan {
        arguments: spec.arguments.clone(),
        environment: spec.environment.clone(),
        directory: spec.directory.clone().into_os_string(),
        root: match &spec.root {
            Root::Fuse { mount_points } => {
                PlannedRoot::Fuse(mount_points.iter().map(|path| path.clone().into_os_string()).collect())
            }
            Root::Folder(folder) => {
                let absolute = std::path::absolute(folder).map_err(|error| Error::host("the folder's path", error))?;
                PlannedRoot::Folder(absolute.into_os_string())
            }
        },
        is_chroot,
        files: spec.files.iter().map(planned).collect(),
        network: spec.network,
        hostname: spec.hostname.clone(),
        memory_bytes: spec.limits.memory_bytes,
        processes: spec.limits.processes,
        has_cgroup: group.is_some(),
        is_single: mapping == Some(Mapping::Single),
    };
    let (mut helper, output) = spawn()?;
    helper.tell(&Order::Plan(Box::new(plan)))?;
    loop {
        match helper.hear()? {
            (Report::Unshared, _) => {
                if let Some(mapping) = mapping {
                    mapping.apply(helper.child.id())?;
                }
                helper.tell(&Order::Mapped)?;
            }
            (Report::Fuse(index), Some(connection)) => serve(index, connection).map_err(Error::Serve)?,
            (Report::Ready, _) => return Ok(Started { helper, limits: spec.limits, group, output }),
            (other, _) => return Err(unexpected(&other)),
        }
    }
}

impl Started {
    /// How the limits are kept on this machine.
    pub fn enforced(&self) -> Enforced {
        if self.group.is_some() { Enforced::Cgroup } else { Enforced::Watched }
    }

    /// What ends the command early, from another thread.
    ///
    /// # Errors
    ///
    /// The host has no descriptor left.
    pub fn stopper(&self) -> Result<Stopper, Error> {
        let socket = self.helper.socket()?.as_fd().try_clone_to_owned();
        socket.map(Stopper::new).map_err(|error| Error::host("the sandbox's helper", error))
    }

    /// The number of the helper process. When it ends, everything in the sandbox does.
    pub fn helper_process(&self) -> u32 {
        self.helper.child.id()
    }
}

pub(crate) fn unexpected(report: &Report) -> Error {
    Error::host(format!("the sandbox's helper said {report:?} out of turn"), io::ErrorKind::InvalidData)
}

fn planned(file: &File) -> PlannedFile {
    PlannedFile {
        path: file.path.clone().into_os_string(),
        content: file.content.clone(),
        is_executable: file.is_executable,
    }
}

/// What no machine can do.
fn possible(spec: &Spec) -> Result<(), Error> {
    let unsupported = |problem: &str, remedy: &str| {
        Err(Error::Unsupported { problem: problem.to_owned(), remedy: remedy.to_owned() })
    };
    if spec.arguments.is_empty() {
        return unsupported("there is no command to run", "name a program");
    }
    if let Root::Fuse { mount_points } = &spec.root
        && mount_points.first().is_none_or(|first| first != Path::new("/"))
    {
        return unsupported("the first file system is not `/`", "begin with the one of the root");
    }
    if spec.confinement == Confinement::Chroot {
        if !rustix::process::geteuid().is_root() {
            return unsupported("only root can run a command by chroot", "run imgraft as root");
        }
        if !matches!(spec.root, Root::Folder(_)) || !spec.files.is_empty() {
            return unsupported("chroot needs a folder, and takes no files beside it", "put the files into the folder");
        }
    }
    if spec.ids == Ids::Single && matches!(spec.root, Root::Folder(_)) {
        return unsupported(
            "a folder cannot keep owners for a user with a single id",
            "serve the guest's files through FUSE",
        );
    }
    Ok(())
}

/// Starts this program again as the helper. It has nothing of this process's environment, and a pipe for what the
/// command says.
#[expect(
    clippy::disallowed_methods,
    reason = "the program that is started is this one, and nothing of it is inherited"
)]
fn spawn() -> Result<(Helper, OwnedFd), Error> {
    let host = |error: rustix::io::Errno| Error::host("the sandbox's helper", error);
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).map_err(host)?;
    let (output, said) = pipe_with(PipeFlags::CLOEXEC).map_err(host)?;
    let also_said = said.try_clone().map_err(|error| Error::host("the sandbox's helper", error))?;
    let child = std::process::Command::new("/proc/self/exe")
        .arg0(HELPER)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::from(said))
        .stderr(Stdio::from(also_said))
        .spawn()
        .map_err(|error| Error::host("the sandbox's helper cannot be started", error))?;
    Ok((Helper { child, socket: Some(ours) }, output))
}
