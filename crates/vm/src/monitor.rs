//! QEMU's monitor for programs: QMP over a socket.
//!
//! The "QEMU Machine Protocol Specification" defines the protocol, the "QEMU QMP Reference Manual" the commands.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// How long an answer may take: QEMU's main loop waits for the guest's processors under emulation.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The most bytes of one message.
const MAX_MESSAGE_BYTES: u64 = 16 << 20;

/// A handle for QEMU's monitor. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Monitor {
    connection: Arc<Mutex<Connection>>,
}

#[derive(Debug)]
struct Connection {
    writer: UnixStream,
    /// The answers to commands; the channel closes when QEMU ends.
    answers: Receiver<Value>,
    last_id: u64,
}

/// The state of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether its processors run.
    pub is_running: bool,
    /// QEMU's word for it: `running`, `paused`, `shutdown`, `guest-panicked`, `io-error`, …
    pub state: String,
}

/// The work of a machine's disks so far, a sign of progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were read from all disks.
    pub read_bytes: u64,
    /// Bytes that were written to all disks.
    pub written_bytes: u64,
    /// Requests of any kind.
    pub requests: u64,
}

impl Monitor {
    /// Greets QEMU at the other end of `stream`. Events go to `on_event` with their name and their
    /// data; at the end of the stream that is dropped.
    pub(crate) fn connect(stream: UnixStream, on_event: impl FnMut(String, Value) + Send + 'static) -> Result<Self> {
        let reader = stream.try_clone().map_err(|error| Error::io("QEMU's monitor", error))?;
        let (answer, answers) = channel();
        std::thread::Builder::new()
            .name("monitor".to_owned())
            .spawn(move || listen(reader, &answer, on_event))
            .map_err(|error| Error::io("a thread for QEMU's monitor", error))?;
        let connection = Connection { writer: stream, answers, last_id: 0 };
        let monitor = Self { connection: Arc::new(Mutex::new(connection)) };
        monitor.execute("qmp_capabilities", None)?;
        Ok(monitor)
    }

    /// Makes QEMU execute `command` with `arguments` and returns its answer.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with what QEMU says; [`Error::Monitor`] if it has gone or does not answer.
    pub fn execute(&self, command: &str, arguments: Option<Value>) -> Result<Value> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.last_id += 1;
        let id = connection.last_id;
        let mut message = json!({ "execute": command, "id": id });
        if let Some(arguments) = arguments {
            message["arguments"] = arguments;
        }
        let gone = || Error::monitor(format!("there is no answer to `{command}`: QEMU has ended"));
        connection.writer.write_all(format!("{message}\n").as_bytes()).map_err(|_| gone())?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut answer = connection.answers.recv_timeout(left).map_err(|error| match error {
                std::sync::mpsc::RecvTimeoutError::Timeout => {
                    Error::monitor(format!("there is no answer to `{command}` after {} s", ANSWER_TIMEOUT.as_secs()))
                }
                std::sync::mpsc::RecvTimeoutError::Disconnected => gone(),
            })?;
            // An answer to an earlier command is too late.
            if answer["id"] != id {
                continue;
            }
            if let Some(description) = answer["error"]["desc"].as_str() {
                return Err(Error::Refused { command: command.to_owned(), description: description.to_owned() });
            }
            return Ok(answer["return"].take());
        }
    }

    /// The state of the machine.
    ///
    /// # Errors
    ///
    /// Like [`execute`](Self::execute).
    pub fn status(&self) -> Result<Status> {
        let answer = self.execute("query-status", None)?;
        match (answer["running"].as_bool(), answer["status"].as_str()) {
            (Some(is_running), Some(state)) => Ok(Status { is_running, state: state.to_owned() }),
            _ => Err(Error::monitor(format!("`query-status` returned {answer}"))),
        }
    }

    /// The work of the disks so far.
    ///
    /// # Errors
    ///
    /// Like [`execute`](Self::execute).
    pub fn progress(&self) -> Result<Progress> {
        let answer = self.execute("query-blockstats", None)?;
        let devices =
            answer.as_array().ok_or_else(|| Error::monitor(format!("`query-blockstats` returned {answer}")))?;
        let sum = |names: &[&str]| {
            let of = |device: &Value| -> u64 {
                names.iter().filter_map(|name| device["stats"][*name].as_u64()).fold(0, u64::saturating_add)
            };
            devices.iter().map(of).fold(0, u64::saturating_add)
        };
        Ok(Progress {
            read_bytes: sum(&["rd_bytes"]),
            written_bytes: sum(&["wr_bytes"]),
            requests: sum(&["rd_operations", "wr_operations", "flush_operations", "unmap_operations"]),
        })
    }

    /// Presses the reset button.
    ///
    /// # Errors
    ///
    /// Like [`execute`](Self::execute).
    pub fn reset(&self) -> Result<()> {
        self.execute("system_reset", None).map(drop)
    }

    /// Presses the power button: the guest is asked to shut down.
    ///
    /// # Errors
    ///
    /// Like [`execute`](Self::execute).
    pub fn power_down(&self) -> Result<()> {
        self.execute("system_powerdown", None).map(drop)
    }

    /// Continues stopped processors.
    ///
    /// # Errors
    ///
    /// Like [`execute`](Self::execute).
    pub fn resume(&self) -> Result<()> {
        self.execute("cont", None).map(drop)
    }

    /// Ends QEMU, whatever the guest does.
    ///
    /// # Errors
    ///
    /// Like [`execute`](Self::execute).
    pub fn quit(&self) -> Result<()> {
        self.execute("quit", None).map(drop)
    }
}

/// Reads messages to the end of the stream.
fn listen(stream: UnixStream, answers: &Sender<Value>, mut on_event: impl FnMut(String, Value)) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let read = reader.by_ref().take(MAX_MESSAGE_BYTES).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) {
            return;
        }
        // The greeting is neither, and an unreadable message has no answer.
        let Ok(mut message) = serde_json::from_slice::<Value>(&line) else { continue };
        if let Some(name) = message["event"].as_str() {
            on_event(name.to_owned(), message["data"].take());
        } else if message.get("QMP").is_none() && answers.send(message).is_err() {
            return;
        }
    }
}
