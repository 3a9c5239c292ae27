//! What has to be put right when the user stops the program: files that are left, programs that were started, and the
//! terminal.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use sandbox::Stopper;
use signal_hook::consts::{SIGHUP, TERM_SIGNALS};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::show::terminal::TerminalModes;

/// How long a program may take to end when it is told to.
const END_TIMEOUT: Duration = Duration::from_secs(3);
/// How often it is looked at meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

static LEFT: Mutex<Vec<Left>> = Mutex::new(Vec::new());

/// Something that is left when this program ends early.
#[derive(Clone, Debug)]
enum Left {
    Process(Pid),
    /// A command in a sandbox, which is stopped, and the process that ends when all that it started is gone.
    Command(Stopper, Pid),
    /// The terminal's modes, which a guest may have changed.
    Terminal(Box<TerminalModes>),
}

/// A program that was started, and is ended when the user stops this one. Whoever has it ends it otherwise.
#[derive(Debug)]
pub(crate) struct LeftoverProcess {
    pid: Option<Pid>,
}

impl LeftoverProcess {
    /// Starts a program with `start`, and takes charge of it: there is no moment in which it is there and would
    /// stay. The second part of what `start` returns is the number of the process.
    ///
    /// # Errors
    ///
    /// What `start` says.
    pub(crate) fn start<T, E>(start: impl FnOnce() -> Result<(T, u32), E>) -> Result<(T, Self), E> {
        let pid_of = |number: u32| Pid::from_raw(number.cast_signed());
        let (started, number) = watched(start, |started| pid_of(started.1).map(Left::Process))?;
        Ok((started, Self { pid: pid_of(number) }))
    }

    /// Takes charge of a command in a sandbox, and of the process that is gone after it.
    pub(crate) fn command(stopper: Stopper, number: u32) -> Self {
        let pid = Pid::from_raw(number.cast_signed());
        let left = pid.map(|pid| Left::Command(stopper, pid));
        let Ok(()) = watched(|| Ok::<_, std::convert::Infallible>(()), |()| left);
        Self { pid }
    }
}

impl Drop for LeftoverProcess {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            forget(|left| matches!(left, Left::Process(other) | Left::Command(_, other) if *other == pid));
        }
    }
}

/// The terminal as it was, which it is again when this is dropped, and when the user stops the program.
#[derive(Debug)]
pub(crate) struct LeftoverTerminal {
    modes: Box<TerminalModes>,
}

impl LeftoverTerminal {
    /// The terminal as it is now; nothing where standard output is none.
    pub(crate) fn keep() -> Option<Self> {
        let modes = Box::new(TerminalModes::of_stdout()?);
        let made: Result<_, std::convert::Infallible> =
            watched(|| Ok(modes), |modes| Some(Left::Terminal(modes.clone())));
        made.ok().map(|modes| Self { modes })
    }
}

impl Drop for LeftoverTerminal {
    fn drop(&mut self) {
        self.modes.restore();
        forget(|left| matches!(left, Left::Terminal(other) if *other == self.modes));
    }
}

/// Makes something while no signal ends the program.
fn watched<T, E>(make: impl FnOnce() -> Result<T, E>, left: impl FnOnce(&T) -> Option<Left>) -> Result<T, E> {
    watch();
    let mut all = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    let made = make()?;
    all.extend(left(&made));
    Ok(made)
}

fn forget(is_it: impl Fn(&Left) -> bool) {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).retain(|left| !is_it(left));
}

/// Has a signal that ends this program, and a panic, leave nothing behind. Programs that leave nothing are not slowed by
/// it.
pub(crate) fn prepare() {
    graft::before_leftovers(watch);
}

/// Waits for signals from now on. If that is impossible, the program works all the same.
fn watch() {
    static WATCH: Once = Once::new();
    WATCH.call_once(watch_now);
}

fn watch_now() {
    let _ = watch_signals();
    // Where a panic is the end of the program, nothing is dropped.
    if cfg!(panic = "abort") {
        let say = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            say(panic);
            if let Ok(all) = LEFT.try_lock() {
                end_all(&all);
                restore_all(&all);
            }
            graft::remove_all_in_panic();
        }));
    }
}

fn watch_signals() -> io::Result<()> {
    // A terminal that is closed ends a program as well, unless nohup keeps it from that.
    let hang_up = (!is_ignored(SIGHUP)).then_some(&SIGHUP);
    let mut signals = Signals::new(TERM_SIGNALS.iter().chain(hang_up))?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            // Not given back: nothing is to be started any more.
            let all = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
            // Programs first: they may use the files.
            end_all(&all);
            graft::remove_all();
            restore_all(&all);
            let _ = emulate_default_handler(signal);
        }
    })?;
    Ok(())
}

/// Does `work`. Meanwhile a signal that would end the program has `end` called instead, which has to make `work` end.
/// Afterwards signals end the program as always.
///
/// # Errors
///
/// Those of `work`, and of the host.
pub(crate) fn until_signal(end: impl Fn() + Send + 'static, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let is_over = Arc::new(AtomicBool::new(false));
    let mut signals = Signals::new(TERM_SIGNALS.iter().chain([&SIGHUP]))?;
    let over = Arc::clone(&is_over);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if over.load(Ordering::SeqCst) {
                let _ = emulate_default_handler(signal);
            }
            end();
        }
    })?;
    let done = work();
    is_over.store(true, Ordering::SeqCst);
    done
}

/// Whether whoever started this program had it ignore a signal.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let bits = ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    bits >> (signal - 1) & 1 != 0
}

fn end_all(all: &[Left]) {
    for left in all {
        match left {
            Left::Process(pid) => end(*pid),
            Left::Command(stopper, pid) => {
                stopper.stop();
                if !ends(*pid) {
                    let _ = kill_process(*pid, Signal::KILL);
                }
            }
            Left::Terminal(_) => {}
        }
    }
}

fn restore_all(all: &[Left]) {
    for left in all {
        if let Left::Terminal(modes) = left {
            modes.restore();
        }
    }
}

/// Ends a process of ours: it is asked to, so that it leaves the terminal as it was, and made to.
fn end(pid: Pid) {
    let _ = kill_process(pid, Signal::TERM);
    if !ends(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Waits for a process of ours to end, though not for ever; no if it does not.
fn ends(pid: Pid) -> bool {
    let deadline = Instant::now() + END_TIMEOUT;
    while Instant::now() < deadline {
        // An error says that somebody else has waited for it, and so that it is gone.
        if !matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None)) {
            return true;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ignored_is() {
        // Rust's own start has it so, that a write to a closed pipe is an error.
        assert!(is_ignored(signal_hook::consts::SIGPIPE));
        assert!(!is_ignored(signal_hook::consts::SIGTERM));
    }

    #[test]
    fn a_process_is_ended() {
        #[expect(clippy::disallowed_methods, reason = "a program to end")]
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        end_all(&[Left::Process(pid)]);
        // It has been waited for.
        assert!(child.try_wait().is_err());
    }
}
