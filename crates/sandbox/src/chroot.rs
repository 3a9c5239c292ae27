//! The way to run for root in a container that may make no namespaces: chroot(2), and an eye on all descendants.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustix::process::{Pid, Signal, WaitOptions};

use crate::message::Fault;
use crate::usage::descendants;

/// How often processes are stopped and killed until none is left. Each round is one look at all processes; one that
/// forks meanwhile is met by the next.
const ROUNDS: usize = 10_000;

/// Has processes whose parents end come to this one.
pub(crate) fn prepare() -> Result<(), Fault> {
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).map_err(|error| Fault::host("the sandbox's processes", error))
}

/// Makes `folder` the root of this process.
pub(crate) fn enter(folder: &OsStr) -> Result<(), Fault> {
    let entered = rustix::process::chroot(folder.as_bytes()).and_then(|()| rustix::process::chdir("/"));
    entered.map_err(|error| Fault::Folder { folder: folder.to_owned(), number: error.raw_os_error() })
}

/// Kills all descendants of this process, and waits for them. They are stopped first, so that none makes new ones.
pub(crate) fn end_all() {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    for round in 0..ROUNDS {
        let all = descendants(own);
        if all.is_empty() {
            return;
        }
        let signals: &[Signal] = if round == 0 { &[Signal::STOP] } else { &[Signal::STOP, Signal::KILL] };
        for &signal in signals {
            for &process in &all {
                if let Some(process) = Pid::from_raw(process) {
                    let _ = rustix::process::kill_process(process, signal);
                }
            }
        }
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
    }
}
