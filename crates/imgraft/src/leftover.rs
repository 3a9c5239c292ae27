//! What has to go when the user gives up: files that could not be without a name, and programs that were started.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use signal_hook::consts::{SIGHUP, TERM_SIGNALS};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::terminal::TerminalModes;

/// How long a program may take to end when it is told to.
const END_TIMEOUT: Duration = Duration::from_secs(3);
/// How often it is looked at meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

static LEFT: Mutex<Vec<Left>> = Mutex::new(Vec::new());
static WATCH: Once = Once::new();

/// Something that is left when this program ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Left {
    Path(PathBuf),
    Process(Pid),
    /// The terminal's modes, which a guest may have changed.
    Terminal(Box<TerminalModes>),
}

/// A file or a folder that is removed when this is dropped, and when the user stops the program.
#[derive(Debug)]
pub(crate) struct Leftover {
    path: PathBuf,
}

impl Leftover {
    /// Makes a file or a folder with `make`, and takes charge of it: there is no moment in which it
    /// is there and would stay.
    ///
    /// # Errors
    ///
    /// What `make` says.
    pub(crate) fn make<T>(make: impl FnOnce() -> io::Result<(T, PathBuf)>) -> io::Result<(T, Self)> {
        let path_of = |made: &(T, PathBuf)| Some(Left::Path(made.1.clone()));
        let (made, path) = watched(make, path_of)?;
        Ok((made, Self { path }))
    }

    /// The file stays: it has another name now.
    pub(crate) fn keep(self) {
        forget(&Left::Path(self.path.clone()));
        std::mem::forget(self);
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        remove(&self.path);
        forget(&Left::Path(self.path.clone()));
    }
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
}

impl Drop for LeftoverProcess {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            forget(&Left::Process(pid));
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
        forget(&Left::Terminal(self.modes.clone()));
    }
}

/// Makes something while nobody is told to end.
fn watched<T, E>(make: impl FnOnce() -> Result<T, E>, left: impl FnOnce(&T) -> Option<Left>) -> Result<T, E> {
    // Without it, a signal leaves something behind, and nothing else is wrong.
    WATCH.call_once(|| drop(watch()));
    let mut all = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    let made = make()?;
    all.extend(left(&made));
    Ok(made)
}

fn forget(left: &Left) {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != left);
}

/// Waits for the signals that end a program, removes what is left, and ends it.
fn watch() -> io::Result<()> {
    // A terminal that is closed ends a program as well, unless nohup keeps it from that.
    let hang_up = (!is_ignored(SIGHUP)).then_some(&SIGHUP);
    let mut signals = Signals::new(TERM_SIGNALS.iter().chain(hang_up))?;
    std::thread::Builder::new().name("leftovers".to_owned()).spawn(move || {
        for signal in signals.forever() {
            // Not given back: nothing is to be made any more.
            let all = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
            clear(&all);
            let _ = emulate_default_handler(signal);
        }
    })?;
    // Where a panic is the end of the program, nothing is dropped.
    if cfg!(panic = "abort") {
        let say = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            say(panic);
            match LEFT.try_lock() {
                Ok(all) => clear(&all),
                Err(TryLockError::Poisoned(all)) => clear(&all.into_inner()),
                // The panic is in what is being made, which is not there yet.
                Err(TryLockError::WouldBlock) => {}
            }
        }));
    }
    Ok(())
}

/// Whether whoever started this program had it ignore a signal.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let bits = ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    bits >> (signal - 1) & 1 != 0
}

/// Ends programs first: they may use the files.
fn clear(all: &[Left]) {
    for left in all {
        if let Left::Process(pid) = left {
            end(*pid);
        }
    }
    for left in all {
        match left {
            Left::Path(path) => remove(path),
            Left::Terminal(modes) => modes.restore(),
            Left::Process(_) => {}
        }
    }
}

/// Ends a process of ours: it is asked to, so that it leaves the terminal as it was, and made to.
fn end(pid: Pid) {
    let _ = kill_process(pid, Signal::TERM);
    let deadline = Instant::now() + END_TIMEOUT;
    while Instant::now() < deadline {
        // An error says that somebody else has waited for it, and so that it is gone.
        if !matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None)) {
            return;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    let _ = kill_process(pid, Signal::KILL);
}

/// Nothing can be done about what does not go.
fn remove(path: &Path) {
    let is_folder = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let _ = if is_folder { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_goes() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = folder.path().join(name);
            Leftover::make(|| Ok((std::fs::create_dir(&path)?, path.clone()))).unwrap().1
        };
        let (one, other) = (make("one"), make("other"));
        std::fs::write(folder.path().join("other/inside"), "x").unwrap();
        one.keep();
        drop(other);
        assert!(folder.path().join("one").exists() && !folder.path().join("other").exists());
    }

    #[test]
    fn only_what_is_ignored_is() {
        // Rust's own start has it so, that a write to a closed pipe is an error.
        assert!(is_ignored(signal_hook::consts::SIGPIPE));
        assert!(!is_ignored(signal_hook::consts::SIGTERM));
    }

    #[test]
    fn a_process_is_ended_and_its_files_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "x").unwrap();
        #[expect(clippy::disallowed_methods, reason = "a program to end")]
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        clear(&[Left::Path(path.clone()), Left::Process(pid)]);
        assert!(!path.exists());
        // It has been waited for.
        assert!(child.try_wait().is_err());
    }
}
