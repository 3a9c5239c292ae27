//! A command while it runs: what it says, and what it uses.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::message::{Order, Report, number_of, send};
use crate::owners::Owners;
use crate::start::{Started, unexpected};
use crate::usage::Usage;
use crate::{Ended, Error};

/// How often memory and processes are counted where no cgroup does.
const COUNT_INTERVAL: Duration = Duration::from_millis(100);
/// How much of the output is read at once.
const READ_BYTES: usize = 64 << 10;
/// Programs get an error from fork(2) at the limit of processes; a user who goes around that, by changing ids, gets no
/// further than this many.
const PROCESSES_BEYOND: u64 = 64;

/// How the limits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforced {
    /// The kernel counts all memory and processes of the sandbox (cgroup v2). At the limit of memory it ends the whole
    /// sandbox, at that of processes fork(2) fails.
    Cgroup,
    /// No cgroup could be made. No process can have more private memory than the limit (RLIMIT_DATA), no id more
    /// processes (RLIMIT_NPROC), `/tmp`, `/run` and `/dev/shm` hold at most half, a quarter and a quarter of the memory;
    /// and ten times a second all processes are counted together, and killed if they are over a limit. A command that
    /// is fast can be over it that long.
    Watched,
}

/// Ends a command from another thread.
#[derive(Clone, Debug)]
pub struct Stopper {
    socket: Arc<OwnedFd>,
}

impl Stopper {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket: Arc::new(socket) }
    }

    /// Kills the command and all that it started. [`Started::run`] returns [`Ended::Interrupted`], unless the command
    /// ended before.
    pub fn stop(&self) {
        // An error says that the helper is gone, and with it all others.
        let _ = send(&*self.socket, &Order::Stop, None);
    }
}

/// What was heard of the command so far.
#[derive(Debug, Default)]
struct Heard {
    first: Option<rustix::process::Pid>,
    ended: Option<Ended>,
    is_gone: bool,
    is_quiet: bool,
}

impl Started {
    /// Runs the command. `said` gets what it and its children write to standard output and standard error, as it
    /// comes. `owners` is asked only if the sandbox has a [single id](crate::Ids::Single); elsewhere it may be `&()`.
    ///
    /// When this returns, no process of the sandbox is left.
    ///
    /// # Errors
    ///
    /// The program cannot be started, or the host refused something.
    pub fn run(mut self, owners: &dyn Owners, said: &mut dyn FnMut(&[u8])) -> Result<Ended, Error> {
        let deadline = self.limits.time.map(|time| Instant::now() + time);
        let mut buffer = vec![0; READ_BYTES];
        let mut heard = Heard::default();
        let mut killed = None;
        let mut next_count = Instant::now();
        self.helper.tell(&Order::Fork)?;
        while !(heard.is_gone && heard.is_quiet) {
            let (has_output, has_report) = self.wait(&heard, deadline, killed.is_some())?;
            if has_output {
                self.hear_output(&mut buffer, &mut heard, said)?;
            }
            if has_report {
                self.hear_report(&mut heard, owners)?;
            }
            if killed.is_some() || heard.is_gone {
                continue;
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                killed = Some(Ended::TimedOut);
            } else if next_count <= Instant::now() {
                killed = self.over(&heard);
                next_count = Instant::now() + COUNT_INTERVAL;
            }
            if killed.is_some() {
                // An error says that it is gone, which its last report says as well.
                let _ = send(self.helper.socket()?, &Order::Stop, None);
            }
        }
        if self.group.as_ref().is_some_and(crate::group::Group::was_out_of_memory) {
            return Ok(Ended::OutOfMemory);
        }
        // A command that ended in the moment in which it was to be killed has ended by itself.
        Ok(heard.ended.or(killed).unwrap_or(Ended::Interrupted))
    }

    /// Waits until something is to be done: output, a report, a count or the deadline.
    fn wait(&self, heard: &Heard, deadline: Option<Instant>, is_killed: bool) -> Result<(bool, bool), Error> {
        let counts = self.is_counted() && !is_killed && !heard.is_gone;
        let left = deadline.filter(|_| !is_killed && !heard.is_gone);
        let left = left.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.into_iter().chain(counts.then_some(COUNT_INTERVAL)).min();
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let socket = self.helper.socket()?;
        let mut waited = Vec::with_capacity(2);
        if !heard.is_quiet {
            waited.push(PollFd::new(&self.output, PollFlags::IN));
        }
        if !heard.is_gone {
            waited.push(PollFd::new(socket, PollFlags::IN));
        }
        match poll(&mut waited, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::host("the sandbox's output", error)),
        }
        let mut events = waited.iter().map(|each| !each.revents().is_empty());
        let has_output = !heard.is_quiet && events.next() == Some(true);
        Ok((has_output, !heard.is_gone && events.next() == Some(true)))
    }

    fn hear_output(&self, buffer: &mut [u8], heard: &mut Heard, said: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        match rustix::io::read(&self.output, &mut *buffer) {
            Ok(0) => heard.is_quiet = true,
            Ok(read) => said(&buffer[..read]),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::host("the sandbox's output", error)),
        }
        Ok(())
    }

    fn hear_report(&mut self, heard: &mut Heard, owners: &dyn Owners) -> Result<(), Error> {
        match self.helper.hear()?.0 {
            Report::Started(number) => {
                if let Some(group) = &self.group {
                    group.add(number).map_err(|error| Error::host("the cgroup of the sandbox", error))?;
                }
                heard.first = rustix::process::Pid::from_raw(number);
                self.helper.tell(&Order::Go)?;
            }
            Report::Exited(status) => heard.ended = Some(Ended::Exited(status)),
            Report::Signalled(signal) => heard.ended = Some(Ended::Signal(signal)),
            Report::Gone => heard.is_gone = true,
            Report::Owner(wish) => {
                let answer = wish.ask(owners).map_err(|error: io::Error| number_of(&error));
                // The helper may be gone, with the program that asked: its last report says so.
                let _ = send(self.helper.socket()?, &Order::Recorded(answer), None);
            }
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }

    fn is_counted(&self) -> bool {
        self.group.is_none() && (self.limits.memory_bytes.is_some() || self.limits.processes.is_some())
    }

    /// Why the command has to be killed now, by what its processes use.
    fn over(&self, heard: &Heard) -> Option<Ended> {
        let first = heard.first.filter(|_| self.is_counted())?;
        let usage = Usage::of(first.as_raw_nonzero().get());
        if self.limits.memory_bytes.is_some_and(|limit| usage.memory_bytes > limit) {
            return Some(Ended::OutOfMemory);
        }
        let limit = self.limits.processes.map(|limit| limit.saturating_add(PROCESSES_BEYOND));
        limit.is_some_and(|limit| usage.threads > limit).then_some(Ended::TooManyProcesses)
    }
}
