//! The messages between the host and the agent.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{MAX_CONTENT_BYTES, Silence};

/// A request of the host.
#[derive(Debug, Serialize)]
pub(super) struct Request {
    pub(super) id: u64,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Serialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum What {
    Run {
        command: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        timeout_s: f64,
        limit: usize,
    },
    Stat {
        path: String,
        sha256: bool,
    },
    Read {
        path: String,
        from_end: bool,
        limit: usize,
    },
}

impl Request {
    pub(super) fn run(command: &str, user: Option<&str>, timeout: Duration) -> Self {
        let (command, user) = (command.to_owned(), user.map(str::to_owned));
        Self { id: 0, what: What::Run { command, user, timeout_s: timeout.as_secs_f64(), limit: MAX_CONTENT_BYTES } }
    }

    pub(super) fn stat(path: &str, sha256: bool) -> Self {
        Self { id: 0, what: What::Stat { path: path.to_owned(), sha256 } }
    }

    pub(super) fn read(path: &str, from_end: bool) -> Self {
        Self { id: 0, what: What::Read { path: path.to_owned(), from_end, limit: MAX_CONTENT_BYTES } }
    }

    pub(super) fn line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// A message of the agent.
#[derive(Debug)]
pub(super) enum Message {
    Hello(Hello),
    Beat(Beat),
    Reply(Box<Reply>),
}

impl Message {
    /// The message in a line, if it makes sense.
    ///
    /// It takes no more memory than the line has bytes: single fields are read, and everything else
    /// is skipped without being stored.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Kind {
            hello: Option<IgnoredAny>,
            beat: Option<IgnoredAny>,
        }
        let kind: Kind = serde_json::from_slice(line).ok()?;
        match (kind.hello, kind.beat) {
            (Some(_), _) => serde_json::from_slice(line).ok().map(Self::Hello),
            (None, Some(_)) => serde_json::from_slice(line).ok().map(Self::Beat),
            (None, None) => serde_json::from_slice(line).ok().map(Self::Reply),
        }
    }
}

/// The first message of an agent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Hello {
    /// The version of the protocol.
    #[serde(rename = "hello")]
    pub version: u32,
    /// A different one in each boot.
    pub boot_id: String,
    /// The guest's `/etc/machine-id`.
    pub machine_id: String,
    /// For how long the guest's kernel has run, in seconds.
    pub uptime_s: f64,
    /// The guest's clock, in seconds since 1970.
    pub time_s: f64,
    /// The version of its python3.
    pub python: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Beat {
    pub(super) beat: u64,
    pub(super) cloud_init: CloudInit,
}

#[derive(Debug, Deserialize)]
pub(super) struct CloudInit {
    pub(super) stage: Option<String>,
    pub(super) finished: bool,
}

/// An answer, whose fields depend on the request.
#[derive(Debug, Deserialize)]
pub(super) struct Reply {
    pub(super) id: Option<u64>,
    error: Option<String>,
    status: Option<i32>,
    #[serde(default)]
    timed_out: bool,
    #[serde(default)]
    truncated: bool,
    stdout: Option<String>,
    stderr: Option<String>,
    content: Option<String>,
    exists: Option<bool>,
    kind: Option<String>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    user: Option<String>,
    group: Option<String>,
    size_bytes: Option<u64>,
    sha256: Option<String>,
}

/// The result of a command in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; negative is the signal that ended it.
    pub status: i32,
    /// Whether it was ended because it took too long.
    pub timed_out: bool,
    /// Whether its output was longer than what is kept here.
    pub is_truncated: bool,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
}

/// What a path in the guest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `file`, `directory`, …
    pub kind: String,
    /// Permissions, set-id and sticky bits.
    pub mode: u32,
    /// The number of its user.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// The name of its user, if it has one.
    pub user: Option<String>,
    /// The name of its group, if it has one.
    pub group: Option<String>,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its SHA-256 in hexadecimal digits, if requested.
    pub sha256: Option<String>,
}

impl Reply {
    pub(super) fn output(self) -> Result<Output, Silence> {
        let reply = self.checked()?;
        match (reply.status, reply.stdout, reply.stderr) {
            (Some(status), Some(stdout), Some(stderr)) => Ok(Output {
                status,
                timed_out: reply.timed_out,
                is_truncated: reply.truncated,
                stdout: decoded(&stdout)?,
                stderr: decoded(&stderr)?,
            }),
            _ => Err(senseless()),
        }
    }

    pub(super) fn found(self) -> Result<Option<Found>, Silence> {
        let reply = self.checked()?;
        if reply.exists == Some(false) {
            return Ok(None);
        }
        match (reply.exists, reply.kind, reply.mode, reply.uid, reply.gid, reply.size_bytes) {
            (Some(true), Some(kind), Some(mode), Some(uid), Some(gid), Some(size_bytes)) => {
                let (user, group, sha256) = (reply.user, reply.group, reply.sha256);
                Ok(Some(Found { kind, mode, uid, gid, user, group, size_bytes, sha256 }))
            }
            _ => Err(senseless()),
        }
    }

    pub(super) fn content(self) -> Result<(Vec<u8>, bool), Silence> {
        let reply = self.checked()?;
        let content = reply.content.ok_or_else(senseless)?;
        Ok((decoded(&content)?, reply.truncated))
    }

    fn checked(self) -> Result<Self, Silence> {
        match self.error {
            Some(error) => Err(Silence::Refused(error)),
            None => Ok(self),
        }
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, Silence> {
    STANDARD.decode(text).map_err(|_| senseless())
}

fn senseless() -> Silence {
    Silence::Refused("an answer that makes no sense".to_owned())
}
