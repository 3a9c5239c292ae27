//! A small program in the guest that answers the judge, over a port of virtio-serial: no network is needed.
//!
//! It is a part of the seed's vendor-data that cloud-init runs early in each boot. It is written to `/run` only
//! and needs `python3`, as cloud-init does. If the user-data switches vendor-data off, there is no agent.
//!
//! Both sides send lines of JSON, with bytes in base64. The guest is not trusted: lines, outputs and waits are
//! bounded.

mod protocol;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use protocol::{Message, Reply, Request};

pub use protocol::{Found, Hello, Output};

/// The name of the port: `/dev/virtio-ports/org.imgraft.judge`.
pub const PORT: &str = "org.imgraft.judge";

/// The program, for python3.
pub const PROGRAM: &str = include_str!("agent.py");

/// The longest line from the guest, in bytes: both outputs of a command in base64, and room for the rest. A longer one
/// is skipped.
const MAX_LINE_BYTES: usize = 4 << 20;
/// The most messages in the queue, each no larger than its line; if it is full, the guest waits.
const MAX_WAITING: usize = 4;
/// The most messages that are read at once, so that a guest that never stops sending does not delay other work.
const MAX_AT_ONCE: usize = 64;
/// How much longer than a command an answer may take: an emulated guest is slow.
const ANSWER_GRACE: Duration = Duration::from_secs(60);
/// How long to wait between looks at the console.
const SLICE: Duration = Duration::from_millis(50);
/// The most bytes of an output or of a content that are fetched.
pub const MAX_CONTENT_BYTES: usize = 1 << 20;

/// The part of vendor-data that starts the agent in each boot: a boothook, which is a shell script.
pub fn boothook() -> String {
    include_str!("boothook.sh").replace("@AGENT@\n", PROGRAM)
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// No agent has said hello.
    #[error("no agent answers in the guest")]
    NoAgent,
    /// It did not answer in time.
    #[error("the agent in the guest did not answer in time")]
    TimedOut,
    /// The channel was closed: the machine has ended.
    #[error("the channel to the agent was closed")]
    Closed,
    /// The agent could not do what was asked.
    #[error("{0}")]
    Refused(String),
}

/// The agent, seen from the host.
#[derive(Debug)]
pub struct Agent {
    stream: UnixStream,
    messages: Receiver<Message>,
    hello: Option<Hello>,
    /// Every hello so far: one for each boot.
    hellos: u32,
    last_id: u64,
    beats: u64,
    stage: Option<String>,
    is_finished: bool,
    /// The reply to the last request, while it has not been fetched: one, whatever else the guest says.
    reply: Option<Box<Reply>>,
    /// Whether a reply is expected: other replies are dropped.
    is_asked: bool,
}

impl Agent {
    /// The agent at the other end of `stream`, which need not have started yet.
    ///
    /// # Errors
    ///
    /// If the host has no thread or no second handle for it.
    pub fn new(stream: UnixStream) -> std::io::Result<Self> {
        let reader = stream.try_clone()?;
        stream.set_write_timeout(Some(ANSWER_GRACE))?;
        let (sender, messages) = sync_channel(MAX_WAITING);
        std::thread::Builder::new().name("agent".to_owned()).spawn(move || listen(reader, &sender))?;
        Ok(Self {
            stream,
            messages,
            hello: None,
            hellos: 0,
            last_id: 0,
            beats: 0,
            stage: None,
            is_finished: false,
            reply: None,
            is_asked: false,
        })
    }

    /// Reads the messages that have arrived.
    pub fn listen(&mut self) {
        for _ in 0..MAX_AT_ONCE {
            let Ok(message) = self.messages.try_recv() else { return };
            self.take(message);
        }
    }

    /// The hello of the current boot's agent.
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// How many agents have said hello: one each boot.
    pub fn hellos(&self) -> u32 {
        self.hellos
    }

    /// The guest restarts, so another agent will answer.
    pub fn forget(&mut self) {
        self.listen();
        (self.hello, self.stage, self.is_finished) = (None, None, false);
        (self.reply, self.is_asked) = (None, false);
    }

    /// The work of the guest's processors so far, in hundredths of a second, according to the guest.
    pub fn work_done(&self) -> u64 {
        self.beats
    }

    /// cloud-init's stage, by cloud-init's own name, and whether it has finished.
    pub fn cloud_init(&self) -> (Option<&str>, bool) {
        (self.stage.as_deref(), self.is_finished)
    }

    /// Runs a shell command in the guest, as root or as `user`. While it waits it calls `wait`
    /// repeatedly, with the time that the call may take.
    ///
    /// # Errors
    ///
    /// Every [`Silence`].
    pub fn run(
        &mut self,
        command: &str,
        user: Option<&str>,
        timeout: Duration,
        wait: &mut dyn FnMut(Duration),
    ) -> Result<Output, Silence> {
        let request = Request::run(command, user, timeout);
        self.ask(request, timeout, wait)?.output()
    }

    /// The metadata of `path` in the guest; symlinks are followed.
    ///
    /// # Errors
    ///
    /// Every [`Silence`].
    pub fn look(&mut self, path: &str, sha256: bool, wait: &mut dyn FnMut(Duration)) -> Result<Option<Found>, Silence> {
        self.ask(Request::stat(path, sha256), ANSWER_GRACE, wait)?.found()
    }

    /// The content of a file, or the end of it: at most 1 MiB, and whether there is more.
    ///
    /// # Errors
    ///
    /// Every [`Silence`].
    pub fn read(
        &mut self,
        path: &str,
        from_end: bool,
        wait: &mut dyn FnMut(Duration),
    ) -> Result<(Vec<u8>, bool), Silence> {
        self.ask(Request::read(path, from_end), ANSWER_GRACE, wait)?.content()
    }

    fn ask(
        &mut self,
        mut request: Request,
        timeout: Duration,
        wait: &mut dyn FnMut(Duration),
    ) -> Result<Reply, Silence> {
        self.listen();
        if self.hello.is_none() {
            return Err(Silence::NoAgent);
        }
        self.last_id += 1;
        let (id, hellos) = (self.last_id, self.hellos);
        request.id = id;
        let line = request.line().map_err(|error| Silence::Refused(error.to_string()))?;
        (self.reply, self.is_asked) = (None, true);
        self.stream.write_all(&line).and_then(|()| self.stream.flush()).map_err(|_| Silence::Closed)?;
        let deadline = Instant::now() + timeout + ANSWER_GRACE;
        let answer = loop {
            for _ in 0..MAX_AT_ONCE {
                match self.messages.try_recv() {
                    Ok(message) => self.take(message),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Err(Silence::Closed),
                }
                if self.reply.is_some() {
                    break;
                }
            }
            if let Some(reply) = self.reply.take() {
                break Ok(*reply);
            }
            if self.hellos != hellos {
                break Err(Silence::Refused("the guest has restarted".to_owned()));
            }
            if Instant::now() > deadline {
                break Err(Silence::TimedOut);
            }
            wait(SLICE);
        };
        self.is_asked = false;
        answer
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Hello(hello) => {
                self.hello = Some(hello);
                self.hellos = self.hellos.saturating_add(1);
            }
            Message::Beat(beat) => {
                self.beats = beat.beat;
                if let Some(stage) = beat.cloud_init.stage {
                    self.stage = Some(stage);
                }
                self.is_finished = beat.cloud_init.finished;
            }
            // A reply that comes too late, twice or unasked is dropped.
            Message::Reply(reply) if self.is_asked && self.reply.is_none() && reply.id == Some(self.last_id) => {
                self.reply = Some(reply);
            }
            Message::Reply(_) => {}
        }
    }
}

/// Forwards the guest's messages until the end. A line that is too long or makes no sense is skipped.
fn listen(stream: UnixStream, sender: &SyncSender<Message>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if line.len() == MAX_LINE_BYTES && line.last() != Some(&b'\n') {
            // The rest of a long line is not a message, whatever it looks like.
            if reader.skip_until(b'\n').is_err() {
                return;
            }
            continue;
        }
        if let Some(message) = Message::of(&line)
            && sender.send(message).is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::examine::Guest;
    use crate::local::Local;

    #[test]
    fn it_says_hello_and_runs_commands() {
        let mut local = Local::start();
        let hello = local.agent.hello().unwrap().clone();
        assert_eq!(hello.version, 1);
        assert_eq!(hello.boot_id, std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim());
        let output = local.run("printf 'a\\000b'; echo e >&2; exit 3", None, Duration::from_secs(30)).unwrap();
        assert_eq!((output.status, &output.stdout[..], &output.stderr[..]), (3, &b"a\0b"[..], &b"e\n"[..]));
        assert!(!output.timed_out && !output.is_truncated);
    }

    #[test]
    fn a_command_that_hangs_or_says_too_much_is_bounded() {
        let mut local = Local::start();
        let output = local.run("echo begun; sleep 1000 & sleep 1000", None, Duration::from_millis(500)).unwrap();
        assert_eq!((output.timed_out, output.status, &output.stdout[..]), (true, -9, &b"begun\n"[..]));
        let output = local.run("yes | head -c 3000000", None, Duration::from_secs(60)).unwrap();
        assert_eq!((output.is_truncated, output.stdout.len()), (true, MAX_CONTENT_BYTES));
        // What is left running does not keep the answer.
        let output = local.run("sleep 1000 & echo $!", None, Duration::from_secs(60)).unwrap();
        assert_eq!((output.status, output.timed_out), (0, false));
        let pid = String::from_utf8(output.stdout).unwrap();
        assert_eq!(local.run(&format!("kill {pid}"), None, Duration::from_secs(30)).unwrap().status, 0);
    }

    #[test]
    fn files_are_looked_at_and_read() {
        let mut local = Local::start();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a file");
        std::fs::write(&path, "abc").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let path = path.to_str().unwrap();
        let found = local.look(path, true).unwrap().unwrap();
        assert_eq!((found.kind.as_str(), found.mode, found.size_bytes), ("file", 0o640, 3));
        // What `printf abc | sha256sum` prints.
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(found.sha256.as_deref(), Some(digest));
        assert_eq!(local.look("/", false).unwrap().unwrap().user.as_deref(), Some("root"));
        assert_eq!(local.look("/nothing/here", false), Ok(None));
        assert_eq!(local.read(path, false), Ok(b"abc".to_vec()));
        std::fs::write(path, [&vec![b'x'; MAX_CONTENT_BYTES][..], b"end"].concat()).unwrap();
        assert!(local.read(path, true).unwrap().ends_with(b"end"));
        assert_eq!(local.read(path, true).unwrap().len(), MAX_CONTENT_BYTES);
        let silence = local.read("/nothing/here", false).unwrap_err();
        assert!(matches!(&silence, Silence::Refused(text) if text.contains("FileNotFoundError")), "{silence}");
    }

    #[test]
    fn senseless_and_endless_lines_are_left_out() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut agent = Agent::new(ours).unwrap();
        let hello = r#"{"hello": 1, "boot_id": "b", "machine_id": "m", "uptime_s": 1, "time_s": 2, "python": "3"}"#;
        let writer = std::thread::spawn(move || {
            theirs.write_all(b"garbage\n{\"id\": {}}\n{\"beat\": -1}\n").unwrap();
            theirs.write_all(&vec![b'x'; 3 * MAX_LINE_BYTES]).unwrap();
            theirs.write_all(format!("\n{{\"id\": 7, \"status\": 0}}\n{hello}\n").as_bytes()).unwrap();
            theirs
        });
        while agent.hello().is_none() {
            std::thread::sleep(Duration::from_millis(5));
            agent.listen();
        }
        assert_eq!(agent.hello().unwrap().machine_id, "m");
        drop(writer.join().unwrap());
        let silence = agent.run("true", None, Duration::from_secs(1), &mut std::thread::sleep).unwrap_err();
        assert_eq!(silence, Silence::Closed);
    }

    #[test]
    fn nobody_is_asked_before_somebody_said_hello() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut agent = Agent::new(ours).unwrap();
        let asked = agent.run("true", None, Duration::from_secs(1), &mut std::thread::sleep);
        assert_eq!(asked, Err(Silence::NoAgent));
    }

    #[test]
    fn the_boothook_is_a_shells_and_carries_the_program() {
        let hook = boothook();
        assert!(hook.starts_with("#cloud-boothook\n#!/bin/sh\n"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hook");
        std::fs::write(&path, &hook).unwrap();
        testkit::judge::judge("sh").arg("-n").arg(&path).succeed();
        // What the shell makes of it is the program.
        let begin = hook.find("cat >").unwrap();
        let end = hook.find("\nEND_OF_AGENT\n").unwrap() + "\nEND_OF_AGENT\n".len();
        let written = folder.path().join("judge.py");
        let script = hook[begin..end].replace("/run/imgraft/judge.py", written.to_str().unwrap());
        testkit::judge::judge("sh").args(["-c", &script]).succeed();
        assert_eq!(std::fs::read_to_string(written).unwrap(), PROGRAM);
    }
}
