//! What a server did, for people, for programs, and for who waits for guests.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use graft::in_one_line;
use guest::Time;
use seed::server::{Exchange, PhoneHome, Watch};
use serde::Serialize;

use crate::environment;
use crate::failure::Failure;
use crate::show::Messages;
use crate::show::rfc3339;

/// The most instances that are remembered.
const MAX_INSTANCES: usize = 10_000;
/// The longest name of a record, in characters.
const MAX_NAME_CHARACTERS: usize = 100;

/// The log.
pub(super) struct Journal {
    messages: Messages,
    lines: Option<Mutex<File>>,
    records: Option<PathBuf>,
    /// The instances that phoned home.
    called: Mutex<BTreeSet<String>>,
    calls: Condvar,
}

/// A line of the log.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Exchange {
        time: String,
        peer: &'a str,
        method: &'a str,
        target: &'a str,
        user_agent: &'a str,
        status: u16,
        body_bytes: u64,
    },
    PhoneHome {
        time: String,
        phone_home: &'a std::collections::BTreeMap<String, String>,
    },
}

impl Journal {
    /// A log on standard error, in a file, and with records of guests in a folder.
    pub(super) fn open(log: Option<&Path>, records: Option<&Path>, messages: Messages) -> Result<Self, Failure> {
        let unwritable = |path: &Path| {
            let name = path.display().to_string();
            move |error| Failure::because(format!("`{name}` cannot be written"), &error)
        };
        let append = |path: &Path| {
            OpenOptions::new().append(true).create(true).open(path).map(Mutex::new).map_err(unwritable(path))
        };
        if let Some(records) = records {
            fs::create_dir_all(records).map_err(unwritable(records))?;
        }
        Ok(Self {
            messages,
            lines: log.map(append).transpose()?,
            records: records.map(Path::to_owned),
            called: Mutex::default(),
            calls: Condvar::new(),
        })
    }

    /// Waits until so many instances have phoned home.
    pub(super) fn wait_for_calls(&self, count: usize) {
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        while called.len() < count {
            called = self.calls.wait(called).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write(&self, line: &Line<'_>) -> io::Result<()> {
        let Some(lines) = &self.lines else { return Ok(()) };
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        // Whole lines: other processes may append to the file, too.
        lines.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text)
    }

    /// Keeps what an instance said under its id; what it says later takes the place of that.
    fn record(&self, call: &PhoneHome) -> io::Result<()> {
        let Some(records) = &self.records else { return Ok(()) };
        let name = record_name(call.field("instance_id"));
        let mut text = serde_json::to_vec_pretty(&call.fields)?;
        text.push(b'\n');
        let whole = records.join(format!(".{name}.{:?}.new", std::thread::current().id()));
        fs::write(&whole, text)?;
        fs::rename(whole, records.join(format!("{name}.json")))
    }
}

impl Watch for Journal {
    fn answered(&self, exchange: &Exchange<'_>) {
        let Exchange { peer, method, target, user_agent, status, body_bytes } = *exchange;
        let method_or_none = if method.is_empty() { "-" } else { method };
        // A client chooses these: nothing in them is to move a terminal's cursor.
        let (shown, agent) = (target.escape_debug(), user_agent.escape_debug());
        self.messages.note(format_args!("{peer} {method_or_none} {shown} {status} {body_bytes} {agent}"));
        let time = now();
        if let Err(error) = self.write(&Line::Exchange { time, peer, method, target, user_agent, status, body_bytes }) {
            self.trouble("the log cannot be written", &error);
        }
    }

    fn phoned_home(&self, call: &PhoneHome) -> io::Result<()> {
        let id = call.field("instance_id").to_owned();
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        if called.len() == MAX_INSTANCES && !called.contains(&id) {
            return Err(io::Error::other("more instances than are remembered have phoned home"));
        }
        self.record(call)?;
        self.write(&Line::PhoneHome { time: now(), phone_home: &call.fields })?;
        let (id_shown, hostname) = (id.escape_debug(), call.field("hostname").escape_debug());
        self.messages.note(format_args!("phoned home: instance `{id_shown}`, `{hostname}`"));
        called.insert(id);
        self.calls.notify_all();
        Ok(())
    }

    fn trouble(&self, what: &str, error: &io::Error) {
        self.messages.warning(format_args!("{}: {}", what.escape_debug(), in_one_line(error)));
    }
}

fn now() -> String {
    let seconds = i64::try_from(environment::seconds_now()).unwrap_or(i64::MAX);
    rfc3339(Time { seconds, nanoseconds: 0 })
}

/// A file's name that leads nowhere else, whatever the guest says that its instance-id is.
fn record_name(id: &str) -> String {
    let is_safe = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let name: String =
        id.chars().take(MAX_NAME_CHARACTERS).map(|letter| if is_safe(letter) { letter } else { '_' }).collect();
    match name.trim_start_matches('.') {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_stays_in_its_folder() {
        for (id, name) in [
            ("i-1", "i-1"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("..", "unknown"),
            ("", "unknown"),
            ("a/b\0ö", "a_b__"),
        ] {
            assert_eq!(record_name(id), name);
        }
        assert_eq!(record_name(&"x".repeat(999)).len(), 100);
    }
}
