//! Running a program of the host: its output is read while it runs, and only the end is kept.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The most bytes that are kept of each output: the last ones.
pub(crate) const MAX_KEPT_BYTES: usize = 64 << 10;
/// How often the program is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long to wait for the end of an output after the program's end: another program may have it open, too.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// The result of a program.
pub(crate) struct Ran {
    /// How it ended; `None` if it was ended because it took too long.
    pub(crate) status: Option<ExitStatus>,
    /// The end of what it wrote to standard output.
    pub(crate) stdout: String,
    /// The end of what it wrote to standard error.
    pub(crate) stderr: String,
}

/// Runs `command` as long as `goes_on` returns true; that is called repeatedly and waits for the time that it is given.
///
/// # Errors
///
/// If the host cannot start it.
pub(crate) fn run(command: &mut Command, mut goes_on: impl FnMut(Duration) -> bool) -> std::io::Result<Ran> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let outputs = [Output::read(child.stdout.take()), Output::read(child.stderr.take())];
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if goes_on(POLL_INTERVAL) => {}
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
        }
    };
    let deadline = Instant::now() + OUTPUT_GRACE;
    let [stdout, stderr] = outputs.map(|output| output.text(deadline));
    Ok(Ran { status, stdout, stderr })
}

/// The end of a pipe's output.
struct Output {
    kept: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn read(pipe: Option<impl Read + Send + 'static>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&kept);
        let start = |pipe| std::thread::Builder::new().spawn(move || drain(pipe, &into)).ok();
        Self { kept, reader: pipe.and_then(start) }
    }

    /// What was kept, at the pipe's end or at `deadline`.
    fn text(self, deadline: Instant) -> String {
        while self.reader.as_ref().is_some_and(|reader| !reader.is_finished()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept[kept.len().saturating_sub(MAX_KEPT_BYTES)..]).into_owned()
    }
}

fn drain(mut pipe: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 8 << 10];
    while let Ok(length @ 1..) = pipe.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&buffer[..length]);
        // Not for each piece, because this moves the rest.
        if kept.len() > 2 * MAX_KEPT_BYTES {
            let surplus = kept.len() - MAX_KEPT_BYTES;
            kept.drain(..surplus);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "programs to run")]
mod tests {
    use super::*;

    fn shell(script: &str) -> Ran {
        let begin = Instant::now();
        run(Command::new("sh").args(["-c", script]), |slice| {
            std::thread::sleep(slice);
            begin.elapsed() < Duration::from_secs(60)
        })
        .unwrap()
    }

    #[test]
    fn a_program_that_says_much_ends_and_its_last_words_are_kept() {
        let ran =
            shell("head -c 3000000 /dev/zero | tr '\\0' e >&2; head -c 3000000 /dev/zero | tr '\\0' o; echo word");
        assert!(ran.status.is_some_and(|status| status.success()));
        assert!(ran.stdout.ends_with("oword\n") && ran.stdout.len() == MAX_KEPT_BYTES, "{}", ran.stdout.len());
        assert!(ran.stderr.ends_with("ee") && ran.stderr.len() == MAX_KEPT_BYTES, "{}", ran.stderr.len());
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended_and_one_left_behind_is_not_waited_for() {
        let mut looks = 0;
        let ran = run(Command::new("sh").args(["-c", "echo begun; exec sleep 1000"]), |slice| {
            std::thread::sleep(slice);
            looks += 1;
            looks < 10
        });
        let ran = ran.unwrap();
        assert!(ran.status.is_none() && ran.stdout == "begun\n", "{}", ran.stdout);
        let ran = shell("sleep 30 & echo done");
        assert!(ran.status.is_some() && ran.stdout == "done\n", "{}", ran.stdout);
    }
}
