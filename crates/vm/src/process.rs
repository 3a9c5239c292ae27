//! QEMU as a process: starting it, reading its output, ending it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::compose::{channel_socket, monitor_socket};
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::{CommandLine, Console, Machine};

/// How long QEMU may take to open its monitor.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long QEMU may take to end when it is asked to; it has little to write then.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How long QEMU may take to end after a sign that it is ending.
const ENDING_TIME: Duration = Duration::from_secs(2);
/// How often a process is checked while waiting for it.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How much of QEMU's standard error is kept.
const MAX_STDERR_BYTES: usize = 64 << 10;
/// The most memory for pieces of the console that have not been fetched; if it is used up, the guest waits.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// What a piece of the console takes besides its bytes, roughly: a guest may write single bytes.
const PIECE_BYTES: usize = 128;

/// Something that a machine did.
#[derive(Clone, Debug, PartialEq)]
pub struct Occurrence {
    /// When it was noticed, from the start of QEMU on.
    pub since_start: Duration,
    /// What it is.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// It wrote these bytes to its first serial port. Only with [`Console::Piped`].
    Console(Vec<u8>),
    /// The monitor reports an event.
    Event {
        /// QMP's name of it: `RESET`, `SHUTDOWN`, `GUEST_PANICKED`, `WATCHDOG`, `BLOCK_IO_ERROR`, …
        name: String,
        /// Its data.
        data: Value,
    },
    /// The monitor was closed: QEMU has ended, or is about to.
    MonitorClosed,
    /// The console was closed: QEMU has ended, or is about to. Only with [`Console::Piped`].
    ConsoleClosed,
}

/// A running machine. It ends when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    line: CommandLine,
    sockets: PathBuf,
    channels: Vec<String>,
    start: Instant,
    monitor: Monitor,
    stdin: Option<ChildStdin>,
    occurrences: Receiver<Occurrence>,
    waiting_bytes: Arc<AtomicUsize>,
    stderr: Stderr,
}

/// Starts `machine`. Its sockets are created in the folder `sockets`, which must exist, must be private, and
/// must have a path of at most about 90 bytes.
///
/// Returns when QEMU's monitor answers; the guest has begun by then.
///
/// With [`Console::Piped`], QEMU is in a process group of its own: signals from the terminal do not
/// reach it.
///
/// # Errors
///
/// [`Error::NotInstalled`], [`Error::Start`], [`Error::Ended`] with what QEMU had to say, [`Error::Io`] and
/// [`Error::Monitor`] if it cannot be talked to.
pub fn start(machine: &Machine, sockets: &Path) -> Result<Running> {
    let line = machine.command_line(Some(sockets));
    let start = Instant::now();
    let mut child = spawn(machine, &line)?;
    let mut stderr = Stderr::default();
    let (sender, occurrences) = channel();
    let waiting_bytes = Arc::new(AtomicUsize::new(0));
    let stdin = child.stdin.take();
    let begun = (|| {
        if let Some(pipe) = child.stderr.take() {
            stderr.keep(pipe)?;
        }
        if let Some(stdin) = &stdin {
            // Writing must not wait for a guest that reads nothing.
            let flags = rustix::fs::fcntl_getfl(stdin)
                .and_then(|flags| rustix::fs::fcntl_setfl(stdin, flags | rustix::fs::OFlags::NONBLOCK));
            flags.map_err(|error| Error::io("the way to the guest's console", error.into()))?;
        }
        if let Some(stdout) = child.stdout.take() {
            let (sender, waiting) = (sender.clone(), Arc::clone(&waiting_bytes));
            thread("console", move || read_console(stdout, start, &sender, &waiting))?;
        }
        let stream = connect(&mut child, &monitor_socket(sockets), &mut stderr)?;
        let closed = WhenDropped { start, sender };
        Monitor::connect(stream, move |name, data| closed.send(What::Event { name, data }))
    })();
    match begun {
        Ok(monitor) => {
            let channels = machine.channels.iter().map(|channel| channel.name.clone()).collect();
            let sockets = sockets.to_owned();
            Ok(Running { child, line, sockets, channels, start, monitor, stdin, occurrences, waiting_bytes, stderr })
        }
        // It listens before it opens disks and kernels, so it may end during the greeting.
        Err(error) => Err(match (end(&mut child, ENDING_TIME), error) {
            (Some(status), Error::Monitor { .. }) => Error::Ended { status, stderr: stderr.all() },
            (_, error) => error,
        }),
    }
}

fn spawn(machine: &Machine, line: &CommandLine) -> Result<Child> {
    #[expect(clippy::disallowed_methods, reason = "this crate runs QEMU")]
    let mut command = std::process::Command::new(&line.program);
    // Its messages are shown to the user and searched.
    command.args(line.arguments()).env("LC_ALL", "C").stderr(Stdio::piped());
    if machine.console == Console::Piped {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    }
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NotInstalled { architecture: machine.architecture },
        _ => Error::Start { program: line.program.clone(), error },
    })
}

/// Connects to the socket at `path` as soon as QEMU listens there.
fn connect(child: &mut Child, path: &Path, stderr: &mut Stderr) -> Result<UnixStream> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let error = match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        let status = child.try_wait().map_err(|error| Error::io("QEMU cannot be waited for", error))?;
        if let Some(status) = status {
            return Err(Error::Ended { status, stderr: stderr.all() });
        }
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            return Err(Error::io(format!("QEMU's monitor at `{}`", path.display()), error));
        }
        if Instant::now() > deadline {
            let timeout_s = START_TIMEOUT.as_secs();
            return Err(Error::monitor(format!(
                "it did not appear within {timeout_s} s; QEMU says: {}",
                stderr.so_far()
            )));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

impl Running {
    /// What the machine does next, if anything within `timeout`. It returns `None` at once when QEMU has
    /// ended and everything was reported, including [`What::MonitorClosed`].
    pub fn next(&self, timeout: Duration) -> Option<Occurrence> {
        let occurrence = self.occurrences.recv_timeout(timeout).ok()?;
        if let What::Console(bytes) = &occurrence.what {
            self.waiting_bytes.fetch_sub(bytes.len() + PIECE_BYTES, Ordering::Relaxed);
        }
        Some(occurrence)
    }

    /// Types `bytes` on the console. Only with [`Console::Piped`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the guest has not read for long, if QEMU has ended, or without such a console.
    pub fn write_console(&mut self, bytes: &[u8]) -> Result<()> {
        let problem = || "the guest's console cannot be written to";
        let Some(stdin) = &mut self.stdin else {
            return Err(Error::io(problem(), io::ErrorKind::NotConnected.into()));
        };
        stdin.write_all(bytes).and_then(|()| stdin.flush()).map_err(|error| Error::io(problem(), error))
    }

    /// Connects to the channel `name`; the guest need not have opened it yet. It serves one connection at a time.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the machine has no such channel or QEMU has ended.
    pub fn channel(&self, name: &str) -> Result<UnixStream> {
        let what = || format!("the channel `{name}` of the machine");
        let index = self.channels.iter().position(|channel| channel == name);
        let index = index.ok_or_else(|| Error::io(what(), io::ErrorKind::NotFound.into()))?;
        UnixStream::connect(channel_socket(&self.sockets, index)).map_err(|error| Error::io(what(), error))
    }

    /// QEMU's monitor.
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// The command line that QEMU was started with.
    pub fn command_line(&self) -> &CommandLine {
        &self.line
    }

    /// The number of QEMU's process, and with [`Console::Piped`] of its process group.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// The time since QEMU was started.
    pub fn since_start(&self) -> Duration {
        self.start.elapsed()
    }

    /// QEMU's own output on standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.so_far()
    }

    /// How QEMU ended, if it has.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the host does not say.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(|error| Error::io("QEMU cannot be waited for", error))
    }

    /// Waits until QEMU ends.
    ///
    /// # Errors
    ///
    /// Like [`try_wait`](Self::try_wait).
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().map_err(|error| Error::io("QEMU cannot be waited for", error))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The thread that reads the console must not wait for us.
        self.waiting_bytes.store(0, Ordering::Relaxed);
        end(&mut self.child, Duration::ZERO);
    }
}

/// Ends QEMU: first asks it, so that persistent disks are complete, then kills it. Returns how it ended if it did so by
/// itself within `patience`.
fn end(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    if let Some(status) = ended_within(child, patience) {
        return Some(status);
    }
    if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
        // It is our child and has not been waited for, so its number cannot be another process's.
        let _ = kill_process(pid, Signal::TERM);
    }
    if ended_within(child, END_TIMEOUT).is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    None
}

/// How a process ended, if it ends within `time`.
fn ended_within(child: &mut Child, time: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + time;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(POLL_INTERVAL),
            _ => return None,
        }
    }
}

/// Reports that the monitor was closed.
struct WhenDropped {
    start: Instant,
    sender: Sender<Occurrence>,
}

impl WhenDropped {
    fn send(&self, what: What) {
        // The receiver may be gone.
        let _ = self.sender.send(Occurrence { since_start: self.start.elapsed(), what });
    }
}

impl Drop for WhenDropped {
    fn drop(&mut self) {
        self.send(What::MonitorClosed);
    }
}

/// Reads the console to its end.
fn read_console(mut console: impl Read, start: Instant, sender: &Sender<Occurrence>, waiting: &AtomicUsize) {
    let send = |what| sender.send(Occurrence { since_start: start.elapsed(), what }).is_ok();
    let mut buffer = [0; 16 << 10];
    loop {
        match console.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                waiting.fetch_add(length + PIECE_BYTES, Ordering::Relaxed);
                if !send(What::Console(buffer[..length].to_vec())) {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        while waiting.load(Ordering::Relaxed) > MAX_WAITING_BYTES {
            std::thread::sleep(POLL_INTERVAL);
        }
    }
    send(What::ConsoleClosed);
}

/// QEMU's standard error.
#[derive(Debug, Default)]
struct Stderr {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stderr {
    /// Keeps the output of `pipe`.
    fn keep(&mut self, mut pipe: ChildStderr) -> Result<()> {
        let text = Arc::clone(&self.text);
        let reader = thread("stderr", move || {
            let mut buffer = [0; 4 << 10];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
                let room = MAX_STDERR_BYTES - text.len();
                text.extend(&buffer[..length.min(room)]);
            }
        })?;
        self.reader = Some(reader);
        Ok(())
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap_or_else(PoisonError::into_inner)).trim_end().to_owned()
    }

    /// All of it, after QEMU has ended.
    fn all(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            // The thread cannot panic.
            let _ = reader.join();
        }
        self.so_far()
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|error| Error::io(format!("a thread for QEMU's {name}"), error))
}
