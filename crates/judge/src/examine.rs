//! The checks that every guest gets after its boot.

use std::time::Duration;

use recipe::Boot;
use serde_json::Value;

use crate::agent::{Found, Output, Silence};
use crate::stage::Stage;
use crate::verdict::{Check, Log, Outcome};

/// How long a request to the guest may take, unless it waits for something.
pub(crate) const QUESTION: Duration = Duration::from_secs(120);
/// The most lines that a check shows.
pub(crate) const MAX_LINES: usize = 40;
/// The most characters of such a line.
const MAX_LINE_LENGTH: usize = 300;
/// The most characters of a problem: a part of it may come from the guest.
const MAX_PROBLEM_LENGTH: usize = 1000;

/// A guest with an agent.
pub(crate) trait Guest {
    /// Runs a shell command.
    fn run(&mut self, command: &str, user: Option<&str>, timeout: Duration) -> Result<Output, Silence>;
    /// The metadata of a path.
    fn look(&mut self, path: &str, sha256: bool) -> Result<Option<Found>, Silence>;
    /// A file's content, or the end of it.
    fn read(&mut self, path: &str, from_end: bool) -> Result<Vec<u8>, Silence>;
    /// The time since the machine's start.
    fn now(&self) -> Duration;
    /// Waits.
    fn wait(&mut self, time: Duration);
    /// How long the guest may need for work that takes others no time.
    fn patience(&self) -> Duration;
}

/// The result of a check.
pub(crate) struct Seen {
    pub(crate) outcome: Outcome,
    pub(crate) stage: Option<Stage>,
    pub(crate) lines: Vec<String>,
}

impl Seen {
    pub(crate) fn good() -> Self {
        Self { outcome: Outcome::Good, stage: None, lines: Vec::new() }
    }

    pub(crate) fn wrong(problem: impl Into<String>) -> Self {
        Self { outcome: Outcome::Wrong { problem: of_length(&problem.into(), MAX_PROBLEM_LENGTH) }, ..Self::good() }
    }

    pub(crate) fn lines(self, lines: Vec<String>) -> Self {
        Self { lines, ..self }
    }

    pub(crate) fn stage(self, stage: Stage) -> Self {
        Self { stage: Some(stage), ..self }
    }
}

/// Runs one check and measures its time.
pub(crate) fn check<G: Guest + ?Sized>(
    guest: &mut G,
    name: impl Into<String>,
    look: impl FnOnce(&mut G) -> Result<Seen, Silence>,
) -> Check {
    let at = guest.now();
    let seen = look(guest);
    let took = guest.now().saturating_sub(at);
    let seen = seen.unwrap_or_else(|silence| Seen {
        outcome: Outcome::NotLookedAt { reason: of_length(&silence.to_string(), MAX_PROBLEM_LENGTH) },
        ..Seen::good()
    });
    Check { name: name.into(), stage: seen.stage, outcome: seen.outcome, lines: seen.lines, at, took }
}

/// The checks of each boot, whatever else is expected.
pub(crate) fn always<G: Guest + ?Sized>(guest: &mut G, expected: &Boot) -> Vec<Check> {
    let complaints = |guest: &mut G| {
        let seen = cloud_init_warnings(guest)?;
        Ok(if expected.allow_complaints { Seen::good().lines(seen.lines) } else { seen })
    };
    let complaints_name = match expected.allow_complaints {
        false => "cloud-init reports no problem",
        true => "cloud-init may report problems",
    };
    vec![
        check(guest, "cloud-init has finished", |guest| cloud_init_status(guest)),
        check(guest, complaints_name, complaints),
        check(guest, "no systemd unit has failed", |guest| failed_units(guest)),
        check(guest, "the kernel reports no file system error", |guest| file_system_errors(guest)),
    ]
}

/// cloud-init's own verdict.
fn cloud_init_status<G: Guest + ?Sized>(guest: &mut G) -> Result<Seen, Silence> {
    let patience = guest.patience();
    let said = guest.run("cloud-init status --wait --long --format json", None, patience)?;
    let json = serde_json::from_slice::<Value>(&said.stdout).ok();
    let (status, detail) = match json.as_ref().and_then(|json| json["status"].as_str()) {
        Some(status) => {
            let detail = json.as_ref().and_then(|json| json["detail"].as_str()).unwrap_or_default();
            (status.to_owned(), detail.to_owned())
        }
        None => {
            let said = guest.run("cloud-init status --wait --long", None, patience)?;
            if said.status == 127 {
                return Ok(Seen::wrong("there is no cloud-init in the guest").stage(Stage::DsIdentify));
            }
            status_of_text(&String::from_utf8_lossy(&said.stdout))
        }
    };
    let errors = stage_errors(guest)?;
    let lines = errors.iter().take(MAX_LINES).map(|(stage, error)| format!("{}: {error}", stage.name())).collect();
    if status == "done" && errors.is_empty() {
        let is_none = json.as_ref().is_some_and(|json| json["datasource"] == "none");
        if is_none || detail.contains("DataSourceNone") {
            let seen = Seen::wrong("it found no seed: its data source is DataSourceNone");
            return Ok(seen.stage(Stage::DsIdentify));
        }
        return Ok(Seen::good());
    }
    let stage = errors.iter().map(|(stage, _)| *stage).min().unwrap_or(Stage::Final);
    // The detail is the data source in newer versions, and the errors in older ones.
    let detail = errors.first().map_or(detail.as_str(), |(_, error)| error).trim();
    let detail = if detail.is_empty() { String::new() } else { format!(": {}", shortened(detail)) };
    Ok(Seen::wrong(format!("its status is `{status}`{detail}")).stage(stage).lines(lines))
}

/// `status: done` and what follows `detail:`.
fn status_of_text(text: &str) -> (String, String) {
    let mut status = "unknown".to_owned();
    let mut detail = Vec::new();
    let mut is_detail = false;
    for line in text.lines() {
        // While it waits it prints dots.
        let line = line.trim_start_matches('.');
        if let Some(word) = line.strip_prefix("status: ") {
            word.trim().clone_into(&mut status);
        } else if let Some(rest) = line.strip_prefix("detail:") {
            is_detail = true;
            detail.extend(Some(rest.trim()).filter(|rest| !rest.is_empty()));
        } else if is_detail {
            detail.push(line.trim());
        }
    }
    (status, detail.join(" "))
}

/// The errors that `status.json` has, by stage.
fn stage_errors<G: Guest + ?Sized>(guest: &mut G) -> Result<Vec<(Stage, String)>, Silence> {
    let text = guest.read("/run/cloud-init/status.json", false)?;
    let json: Value = serde_json::from_slice(&text).unwrap_or_default();
    let mut errors = Vec::new();
    for (name, stage) in json["v1"].as_object().into_iter().flatten() {
        let Some(which) = Stage::of_cloud_init(name) else { continue };
        for error in stage["errors"].as_array().into_iter().flatten() {
            errors.push((which, shortened(error.as_str().unwrap_or_default())));
        }
    }
    errors.sort();
    Ok(errors)
}

/// The warnings and errors in cloud-init's log of this boot.
fn cloud_init_warnings<G: Guest + ?Sized>(guest: &mut G) -> Result<Seen, Silence> {
    let log = guest.read("/var/log/cloud-init.log", true)?;
    let log = String::from_utf8_lossy(&log);
    let complaints = complaints(&log);
    let Some(stage) = complaints.iter().map(|(stage, _)| *stage).min() else { return Ok(Seen::good()) };
    let count = complaints.iter().filter(|(_, line)| is_complaint(line)).count();
    let lines = complaints.into_iter().map(|(_, line)| line).take(MAX_LINES).collect();
    let complaints = if count == 1 { "complaint" } else { "complaints" };
    Ok(Seen::wrong(format!("{count} {complaints} in its log")).stage(stage).lines(lines))
}

/// Warnings and errors of the last boot in a log, with the lines that belong to them.
fn complaints(log: &str) -> Vec<(Stage, String)> {
    let lines: Vec<&str> = log.lines().collect();
    let begin = lines.iter().rposition(|line| line.contains("running 'init-local'")).unwrap_or_default();
    let (mut stage, mut is_inside, mut complaints) = (Stage::Local, false, Vec::new());
    for line in &lines[begin..] {
        if let Some((_, rest)) = line.split_once(" running '")
            && let Some(begun) = rest.split('\'').next().and_then(Stage::of_cloud_init)
        {
            stage = begun;
        }
        // A line without a time continues the line before.
        let is_begin = line.starts_with(|first: char| first.is_ascii_digit()) && line.contains(" - ");
        if is_begin {
            is_inside = is_complaint(line);
        }
        if is_inside {
            complaints.push((stage, shortened(line)));
        }
    }
    complaints
}

fn is_complaint(line: &str) -> bool {
    ["[WARNING]: ", "[ERROR]: ", "[CRITICAL]: "].iter().any(|level| line.contains(level))
}

fn failed_units<G: Guest + ?Sized>(guest: &mut G) -> Result<Seen, Silence> {
    let patience = guest.patience();
    // Units that start after cloud-init's last one are waited for.
    let state = guest.run("systemctl is-system-running --wait", None, patience)?;
    if state.status == 127 {
        return Ok(Seen::good());
    }
    if state.timed_out {
        let listed = guest.run(LIST_JOBS, None, QUESTION)?;
        return Ok(Seen::wrong("systemd is still starting units").stage(Stage::Systemd).lines(jobs(&listed.stdout)));
    }
    let listed =
        guest.run("systemctl list-units --state=failed --all --no-legend --no-pager --plain", None, QUESTION)?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let units: Vec<&str> = text.lines().filter_map(|line| line.split_ascii_whitespace().next()).collect();
    if units.is_empty() {
        return Ok(Seen::good());
    }
    let mut lines = Vec::new();
    for unit in units.iter().take(3) {
        let status =
            guest.run(&format!("systemctl status --no-pager --full --lines=8 -- {}", quoted(unit)), None, QUESTION)?;
        lines.extend(text_lines(&status.stdout));
    }
    lines.truncate(MAX_LINES);
    let stage = units.iter().map(|unit| stage_of_unit(unit)).min().unwrap_or(Stage::Systemd);
    Ok(Seen::wrong(units.join(", ")).stage(stage).lines(lines))
}

const LIST_JOBS: &str = "systemctl list-jobs --no-pager --no-legend --plain";

/// The jobs of `systemctl list-jobs`, which lists them in a random order: first the running ones, which
/// the others wait for, then the others in the order in which they were requested.
fn jobs(listed: &[u8]) -> Vec<String> {
    let mut lines = text_lines(listed);
    // Number, unit, type of job, and whether it runs or waits.
    lines.sort_by_key(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        (words.last() != Some(&"running"), words.first().and_then(|number| number.parse::<u64>().ok()))
    });
    let left_out = lines.len().saturating_sub(MAX_LINES);
    lines.truncate(MAX_LINES);
    if left_out > 0 {
        lines.push(format!("and {left_out} more"));
    }
    lines
}

/// The stage of a unit: cloud-init's units have their own.
fn stage_of_unit(unit: &str) -> Stage {
    match unit {
        "cloud-init-local.service" => Stage::Local,
        "cloud-init.service" | "cloud-init-network.service" => Stage::Network,
        "cloud-config.service" => Stage::Config,
        "cloud-final.service" => Stage::Final,
        _ => Stage::Systemd,
    }
}

fn file_system_errors<G: Guest + ?Sized>(guest: &mut G) -> Result<Seen, Silence> {
    let said = guest.run("dmesg", None, QUESTION)?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let parts = [
        "EXT4-fs error",
        "EXT4-fs warning",
        "XFS (",
        "Corruption",
        "BTRFS error",
        "Buffer I/O error",
        "I/O error, dev",
    ];
    let is_error = |line: &&str| {
        parts.iter().any(|part| line.contains(part))
            && (!line.contains("XFS (") || line.to_lowercase().contains("corrupt"))
    };
    let lines: Vec<String> = text.lines().filter(is_error).take(MAX_LINES).map(shortened).collect();
    match lines.first() {
        None => Ok(Seen::good()),
        Some(first) => Ok(Seen::wrong(first.clone()).stage(Stage::Kernel).lines(lines)),
    }
}

/// Files that show why a boot failed in `stage`.
pub(crate) fn logs<G: Guest + ?Sized>(guest: &mut G, stage: Stage) -> Vec<Log> {
    let mut files = vec![("/run/cloud-init/result.json", 20)];
    if stage <= Stage::Local {
        files.push(("/run/cloud-init/ds-identify.log", 60));
    }
    if stage >= Stage::Local {
        files.push(("/var/log/cloud-init-output.log", 20));
    }
    let mut logs = Vec::new();
    for (path, count) in files {
        if let Ok(content) = guest.read(path, true) {
            let mut lines = text_lines(&content);
            lines.retain(|line| !is_key_art(line));
            let lines = lines.split_off(lines.len().saturating_sub(count));
            logs.push(Log { path: path.to_owned(), lines });
        }
    }
    logs
}

/// Long lines without information: ssh-keygen's pictures of keys, tables of addresses.
fn is_key_art(line: &str) -> bool {
    let parts = ["Your identification has been saved", "Your public key has been saved", "The key", "SHA256:"];
    line.contains("ci-info: ")
        || (line.starts_with('|') && line.ends_with('|'))
        || line.starts_with("+--")
        || parts.iter().any(|part| line.starts_with(part))
}

/// What a hanging guest is doing.
pub(crate) fn occupation<G: Guest + ?Sized>(guest: &mut G) -> Vec<Log> {
    type Lines = fn(&[u8]) -> Vec<String>;
    let commands: [(&str, &str, Lines); 3] = [
        ("systemctl list-jobs", LIST_JOBS, jobs),
        ("ps", "ps -eo pid,ppid,etimes,args --sort=-etimes | grep -v ' \\[' | tail -n 25", text_lines),
        ("tail cloud-init.log", "tail -n 8 /var/log/cloud-init.log", text_lines),
    ];
    let mut logs = Vec::new();
    for (name, command, lines) in commands {
        if let Ok(output) = guest.run(command, None, Duration::from_secs(30)) {
            let lines = lines(&output.stdout);
            if !lines.is_empty() {
                logs.push(Log { path: name.to_owned(), lines });
            }
        }
    }
    logs
}

/// Lines of bounded length, and not too many.
pub(crate) fn text_lines(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    text.lines().filter(|line| !line.trim().is_empty()).take(2000).map(shortened).collect()
}

/// A line, cut if it is very long, and without control characters.
pub(crate) fn shortened(line: &str) -> String {
    of_length(line, MAX_LINE_LENGTH)
}

fn of_length(text: &str, length: usize) -> String {
    let mut letters = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut text: String = letters.by_ref().take(length).collect();
    if letters.next().is_some() {
        text.push('…');
    }
    text
}

/// The text as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_in_words_is_read() {
        // What 22.4.2 says without `--format`, with the dots of a wait.
        let text = "....\nstatus: error\ntime: Wed, 25 Nov 2026 22:09:27 +0000\ndetail:\n('scripts-user', RuntimeError('x'))\n";
        assert_eq!(status_of_text(text), ("error".to_owned(), "('scripts-user', RuntimeError('x'))".to_owned()));
        assert_eq!(status_of_text(".status: done\n").0, "done");
        assert_eq!(status_of_text("usage: cloud-init"), ("unknown".to_owned(), String::new()));
    }

    #[test]
    fn complaints_are_those_of_the_last_boot_with_all_their_lines() {
        let log = "\
2026-11-25 21:00:00,000 - util.py[DEBUG]: Cloud-init v. 22.4.2 running 'init-local' at x. Up 1 seconds.
2026-11-25 21:00:01,000 - util.py[WARNING]: of the boot before
2026-11-25 22:00:00,000 - util.py[DEBUG]: Cloud-init v. 22.4.2 running 'init-local' at x. Up 1 seconds.
2026-11-25 22:00:01,000 - util.py[DEBUG]: Cloud-init v. 22.4.2 running 'init' at x. Up 2 seconds.
2026-11-25 22:00:02,000 - util.py[WARNING]: Failed loading yaml blob. Invalid format: \"while
  in \"<unicode string>\", line 4, column 5\"
2026-11-25 22:00:03,000 - util.py[DEBUG]: fine
 and more of it
2026-11-25 22:00:04,000 - util.py[DEBUG]: Cloud-init v. 22.4.2 running 'modules:final' at x. Up 9 seconds.
2026-11-25 22:00:05,000 - util.py[ERROR]: Traceback
2026-11-25 22:00:06,000 - util.py[DEPRECATED]: old, and no complaint
";
        let found = complaints(log);
        let stages: Vec<Stage> = found.iter().map(|(stage, _)| *stage).collect();
        assert_eq!(stages, [Stage::Network, Stage::Network, Stage::Final]);
        assert!(found[1].1.contains("line 4, column 5"), "{found:?}");
        assert!(found[2].1.contains("[ERROR]: Traceback"), "{found:?}");
    }

    #[test]
    fn the_jobs_that_the_others_wait_for_come_first() {
        // Lines of a guest of systemd 252, in which cloud-init's service hung.
        let waiting = "\
104 serial-getty@ttyS0.service           start waiting
4   sysinit.target                       start waiting
111 getty-static.service                 start waiting
";
        let running = "86  cloud-init.service                   start running\n";
        let found = jobs([waiting, running].concat().as_bytes());
        let units: Vec<&str> = found.iter().filter_map(|line| line.split_ascii_whitespace().nth(1)).collect();
        assert_eq!(
            units,
            ["cloud-init.service", "sysinit.target", "serial-getty@ttyS0.service", "getty-static.service"]
        );
        let many: String = (0..100).map(|n| format!("{n} unit-{n}.service start waiting\n")).collect();
        let found = jobs([many.as_str(), running].concat().as_bytes());
        assert!(found[0].contains("cloud-init.service"), "{found:?}");
        assert_eq!(
            (found.len(), found[MAX_LINES].as_str()),
            (MAX_LINES + 1, &*format!("and {} more", 101 - MAX_LINES))
        );
    }

    #[test]
    fn a_word_of_a_shell_is_one_whatever_is_in_it() {
        for text in ["a", "a b", "it's", "$(touch /tmp/x)`id`", "", "\\", "'"] {
            let said = testkit::judge::judge("sh").args(["-c", &format!("printf %s {}", quoted(text))]).succeed();
            assert_eq!(said.stdout, text);
        }
    }

    #[test]
    fn a_line_is_bounded_and_has_no_control_characters() {
        assert_eq!(shortened("a\x1b[0mb"), "a [0mb");
        assert_eq!(shortened(&"ä".repeat(1000)).chars().count(), MAX_LINE_LENGTH + 1);
    }
}
