//! The helper process: outside of the sandbox's pid namespace, inside all its other ones.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::sched::CloneFlags;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use crate::first::Ways;
use crate::message::{Fault, Order, Plan, PlannedRoot, Report, receive, send};
use crate::mounts::Tree;
use crate::owners::Wish;
use crate::start::HELPER;
use crate::supervisor::Supervisor;
use crate::{chroot, first};

/// Becomes the helper process if this program was started as one, and does not return then. Every program that uses
/// this crate calls it first in `main`, before there are other threads.
pub fn enter_if_asked() {
    if std::env::args_os().next().as_deref() != Some(OsStr::new(HELPER)) {
        return;
    }
    let code = match Helper::new() {
        Ok(mut helper) => match helper.serve() {
            Ok(()) => 0,
            Err(fault) => {
                helper.fail(fault);
                1
            }
        },
        Err(_) => 2,
    };
    std::process::exit(code);
}

struct Helper {
    socket: OwnedFd,
}

impl Helper {
    fn new() -> io::Result<Self> {
        sandbox_sys::close_all_on_exec()?;
        let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)?;
        // The keys of the user's terminal are for the program that started this one. That ends it, and this one then
        // sees the end of the socket.
        let _ = rustix::process::setsid();
        Ok(Self { socket })
    }

    fn fail(&mut self, fault: Fault) {
        let _ = send(&self.socket, &Report::Failed(fault), None);
    }

    fn report(&self, report: &Report) -> Result<(), Fault> {
        send(&self.socket, report, None).map_err(|error| Fault::host("a report of the helper", error))
    }

    /// The next order. The end of the socket is the end of this process: nothing was started yet.
    fn order(&self) -> Result<Order, Fault> {
        match receive(&self.socket) {
            Ok(Some((order, _))) => Ok(order),
            Ok(None) => std::process::exit(0),
            Err(error) => Err(Fault::host("an order to the helper", error)),
        }
    }

    fn serve(&mut self) -> Result<(), Fault> {
        let Order::Plan(plan) = self.order()? else { return Err(out_of_turn()) };
        let tree = if plan.is_chroot {
            chroot::prepare()?;
            None
        } else {
            let folder = self.unshare(&plan)?;
            Some(self.mount(&plan, folder)?)
        };
        self.report(&Report::Ready)?;
        let Order::Fork = self.order()? else { return Err(out_of_turn()) };
        self.start(plan, tree)
    }

    /// Makes the namespaces, and opens the folder that is to be the root.
    fn unshare(&self, plan: &Plan) -> Result<Option<OwnedFd>, Fault> {
        let mut flags = CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWCGROUP;
        flags.set(CloneFlags::CLONE_NEWNET, !plan.network);
        nix::sched::unshare(flags).map_err(|error| Fault::Namespaces(error as i32))?;
        // Opened in the new namespace of mounts, to be mounted there, and still as the user who may see it.
        let folder = match &plan.root {
            PlannedRoot::Folder(folder) => Some(open_folder(folder)?),
            PlannedRoot::Fuse(_) => None,
        };
        self.report(&Report::Unshared)?;
        let Order::Mapped = self.order()? else { return Err(out_of_turn()) };
        become_root(plan.is_single).map_err(|error| Fault::host("the guest's root", error))?;
        rustix::system::sethostname(plan.hostname.as_bytes()).map_err(|error| Fault::host("the host name", error))?;
        if !plan.network {
            crate::loopback::bring_up().map_err(|error| Fault::host("the loopback device", error))?;
        }
        Ok(folder)
    }

    fn mount(&self, plan: &Plan, folder: Option<OwnedFd>) -> Result<Tree, Fault> {
        let mut tree = Tree::new()?;
        match (&plan.root, folder) {
            (PlannedRoot::Fuse(points), _) => {
                for (index, point) in points.iter().enumerate() {
                    // The caller answers on this one before the next mount point is looked for.
                    tree.mount_fuse(point, |connection| {
                        send(&self.socket, &Report::Fuse(index), Some(connection.as_fd()))
                    })?;
                }
            }
            (PlannedRoot::Folder(name), Some(folder)) => tree.bind_root(&folder, name)?,
            (PlannedRoot::Folder(_), None) => return Err(out_of_turn()),
        }
        tree.furnish(plan)?;
        Ok(tree)
    }

    /// Starts the sandbox's first process, and stays until it and all others are gone.
    fn start(&mut self, plan: Box<Plan>, tree: Option<Tree>) -> Result<(), Fault> {
        let host = |error: io::Error| Fault::host("the sandbox's first process", error);
        let (gate, opener) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| host(e.into()))?;
        let supervision = match &tree {
            Some(tree) if plan.is_single => Some(Supervision::new(tree).map_err(host)?),
            _ => None,
        };
        let child = match sandbox_sys::fork().map_err(host)? {
            sandbox_sys::Forked::Child => {
                drop(opener);
                let listeners = supervision.as_ref().map(|supervision| &supervision.theirs);
                let code = first::live(&Ways { socket: &self.socket, gate: &gate, listeners }, *plan, tree);
                std::process::exit(code);
            }
            sandbox_sys::Forked::Parent(child) => child,
        };
        // What the command says goes to the caller until the last process that has the pipe is gone: not this one.
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let null = null.map_err(|error| host(error.into()))?;
        rustix::stdio::dup2_stdout(&null)
            .and_then(|()| rustix::stdio::dup2_stderr(&null))
            .map_err(|e| host(e.into()))?;
        drop((gate, tree));
        let is_chroot = plan.is_chroot;
        drop(plan);
        let Some(child) = Pid::from_raw(child) else { return Err(out_of_turn()) };
        let process = rustix::process::pidfd_open(child, PidfdFlags::empty()).map_err(|error| host(error.into()))?;
        self.report(&Report::Started(child.as_raw_nonzero().get()))?;
        let is_heard = self.attend(&process, opener, supervision.map(Supervision::listen));
        let _ = rustix::process::pidfd_send_signal(&process, Signal::KILL);
        while let Err(rustix::io::Errno::INTR) = rustix::process::waitpid(Some(child), WaitOptions::empty()) {}
        if is_chroot {
            chroot::end_all();
        }
        if is_heard { self.report(&Report::Gone) } else { Ok(()) }
    }

    /// Has the caller record something, and waits for its answer.
    fn ask(&self, process: &OwnedFd, wish: Wish) -> Result<(), i32> {
        let gone = rustix::io::Errno::IO.raw_os_error();
        send(&self.socket, &Report::Owner(wish), None).map_err(|_| gone)?;
        loop {
            match receive(&self.socket) {
                Ok(Some((Order::Recorded(None), _))) => return Ok(()),
                Ok(Some((Order::Recorded(Some(number)), _))) => return Err(number),
                Ok(Some((Order::Stop, _))) => {
                    let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
                }
                Ok(Some(_)) => {}
                // The end of the socket is seen again by whoever waits for orders.
                Ok(None) | Err(_) => return Err(gone),
            }
        }
    }

    /// Passes orders on, and answers programs, until the first process ends; no if the caller is gone.
    fn attend(&self, process: &OwnedFd, opener: OwnedFd, mut listening: Option<Listening>) -> bool {
        let mut opener = Some(opener);
        loop {
            let mut waited = vec![PollFd::new(&self.socket, PollFlags::IN), PollFd::new(process, PollFlags::IN)];
            waited.extend(listening.as_ref().map(|listening| PollFd::new(listening.descriptor(), PollFlags::IN)));
            match poll(&mut waited, None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return false,
            }
            let events: Vec<_> = waited.iter().map(PollFd::revents).collect();
            let [has_order, has_ended, has_call] = [0, 1, 2].map(|at| events.get(at).is_some_and(|of| !of.is_empty()));
            if has_ended {
                return true;
            }
            if has_call {
                // All programs that could ask are gone when nothing more than a hang-up is there.
                let is_over = events.get(2).is_some_and(|of| !of.contains(PollFlags::IN));
                listening = listening.filter(|_| !is_over).map(|one| one.attend(&mut |wish| self.ask(process, wish)));
            }
            if has_order {
                match receive(&self.socket) {
                    Ok(Some((Order::Go, _))) => {
                        if let Some(opener) = opener.take() {
                            let _ = rustix::io::write(&opener, &[1]);
                        }
                    }
                    Ok(Some((Order::Stop, _))) => {
                        let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return false,
                }
            }
        }
    }
}

/// The way on which the listener of a sandbox with a single id comes.
struct Supervision {
    ours: OwnedFd,
    theirs: OwnedFd,
    devices: Vec<u64>,
    proc: OwnedFd,
}

impl Supervision {
    fn new(tree: &Tree) -> io::Result<Self> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = rustix::fs::open("/proc", flags, Mode::empty())?;
        Ok(Self { ours, theirs, devices: tree.devices().to_vec(), proc })
    }

    fn listen(self) -> Listening {
        Listening::Waiting { way: self.ours, devices: self.devices, proc: self.proc }
    }
}

/// A supervisor, or the way on which its listener will come.
enum Listening {
    Waiting { way: OwnedFd, devices: Vec<u64>, proc: OwnedFd },
    There(Supervisor),
}

impl Listening {
    fn descriptor(&self) -> &OwnedFd {
        match self {
            Self::Waiting { way, .. } => way,
            Self::There(supervisor) => &supervisor.listener,
        }
    }

    fn attend(self, ask: &mut dyn FnMut(Wish) -> Result<(), i32>) -> Self {
        match self {
            Self::Waiting { way, devices, proc } => match receive::<()>(&way) {
                Ok(Some(((), Some(listener)))) => Self::There(Supervisor { listener, proc, devices }),
                _ => Self::Waiting { way, devices, proc },
            },
            Self::There(supervisor) => {
                supervisor.attend(ask);
                Self::There(supervisor)
            }
        }
    }
}

fn out_of_turn() -> Fault {
    Fault::host("an order to the helper came out of turn", io::Error::from(io::ErrorKind::InvalidData))
}

fn open_folder(folder: &OsStr) -> Result<OwnedFd, Fault> {
    rustix::fs::open(folder.as_bytes(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Fault::Folder { folder: folder.to_owned(), number: error.raw_os_error() })
}

/// Takes the ids of the guest's root. This is the process's only thread.
fn become_root(is_single: bool) -> io::Result<()> {
    let (user, group) = (rustix::fs::Uid::ROOT, rustix::fs::Gid::ROOT);
    if !is_single {
        rustix::thread::set_thread_groups(&[])?;
    }
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)?;
    Ok(())
}
