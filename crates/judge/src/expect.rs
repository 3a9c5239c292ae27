//! The expectations of an image, checked in the running guest.

use std::fmt::Write;
use std::time::Duration;

use recipe::{Boot, ExpectedCommand, ExpectedFile, Principal};

use crate::agent::{Found, Silence};
use crate::examine::{Guest, MAX_LINES, QUESTION, Seen, check, quoted, text_lines};
use crate::verdict::Check;

/// How often a service is checked that has not started yet.
const SERVICE_INTERVAL: Duration = Duration::from_secs(2);
/// The part of the guest's time limit in which a service may start after all others.
const SERVICE_PATIENCE: u32 = 8;

/// Checks everything for which the agent is enough.
pub(crate) fn expectations<G: Guest + ?Sized>(guest: &mut G, expected: &Boot, report: &mut dyn FnMut(Check)) {
    for name in &expected.services {
        report(check(guest, format!("service `{name}` is active"), |guest| service(guest, name)));
    }
    for name in &expected.packages {
        report(check(guest, format!("package `{name}` is installed"), |guest| package(guest, name)));
    }
    for command in &expected.commands {
        report(check(guest, command_name(command), |guest| run(guest, command)));
    }
    for file in &expected.files {
        report(check(guest, file_name(file), |guest| look(guest, file)));
    }
}

fn service<G: Guest + ?Sized>(guest: &mut G, name: &str) -> Result<Seen, Silence> {
    let deadline = guest.now() + guest.patience() / SERVICE_PATIENCE;
    loop {
        let show = format!("systemctl show --property=LoadState,ActiveState,TriggeredBy -- {}", quoted(name));
        let said = guest.run(&show, None, QUESTION)?;
        let unit = Unit::of(&String::from_utf8_lossy(&said.stdout));
        if unit.active_state == "active" {
            return Ok(Seen::good());
        }
        if unit.load_state == "not-found" {
            return Ok(Seen::wrong("there is no such service"));
        }
        for trigger in &unit.triggered_by {
            let said = guest.run(&format!("systemctl is-active -- {}", quoted(trigger)), None, QUESTION)?;
            if said.stdout.trim_ascii() == b"active" {
                return Ok(Seen::good().lines(vec![format!("it starts on demand: {trigger} is active")]));
            }
        }
        let is_settled =
            !matches!(unit.active_state.as_str(), "activating" | "reloading" | "deactivating" | "inactive");
        if is_settled || guest.now() > deadline {
            let status = format!("systemctl status --no-pager --full --lines=10 -- {}", quoted(name));
            let status = guest.run(&status, None, QUESTION)?;
            let mut lines = text_lines(&status.stdout);
            lines.extend(text_lines(&status.stderr));
            lines.truncate(MAX_LINES);
            return Ok(Seen::wrong(format!("it is {}", unit.active_state)).lines(lines));
        }
        guest.wait(SERVICE_INTERVAL);
    }
}

/// A unit, from `systemctl show`.
#[derive(Debug, PartialEq, Eq)]
struct Unit {
    load_state: String,
    active_state: String,
    /// The sockets, timers and paths that start it.
    triggered_by: Vec<String>,
}

impl Unit {
    fn of(shown: &str) -> Self {
        let value = |name: &str| {
            let of = |line: &str| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
            shown.lines().find_map(of).unwrap_or_else(|| "unknown".to_owned())
        };
        let triggers = value("TriggeredBy");
        let triggers = triggers.split_ascii_whitespace().filter(|name| *name != "unknown");
        Self {
            load_state: value("LoadState"),
            active_state: value("ActiveState"),
            triggered_by: triggers.map(str::to_owned).collect(),
        }
    }
}

fn package<G: Guest + ?Sized>(guest: &mut G, name: &str) -> Result<Seen, Silence> {
    let name = quoted(name);
    let command = format!(
        "if command -v dpkg-query >/dev/null; then dpkg-query -W -f '${{db:Status-Status}}\\n' -- {name} | grep -qx installed; \
         elif command -v rpm >/dev/null; then rpm -q -- {name}; \
         elif command -v apk >/dev/null; then apk info -e -- {name}; \
         else exit 99; fi"
    );
    let said = guest.run(&command, None, QUESTION)?;
    match said.status {
        0 => Ok(Seen::good()),
        99 => Err(Silence::Refused("the guest has neither dpkg nor rpm nor apk".to_owned())),
        _ => Ok(Seen::wrong("it is not").lines(text_lines(&said.stderr))),
    }
}

fn command_name(command: &ExpectedCommand) -> String {
    let mut name = format!("`{}`", command.run);
    if let Some(user) = &command.user {
        let _ = write!(name, " as {user}");
    }
    match command.status {
        0 => name.push_str(" succeeds"),
        status => {
            let _ = write!(name, " ends with {status}");
        }
    }
    if let Some(output) = &command.output {
        let _ = write!(name, " and prints {output}");
    }
    name
}

fn run<G: Guest + ?Sized>(guest: &mut G, command: &ExpectedCommand) -> Result<Seen, Silence> {
    let patience = guest.patience();
    let said = guest.run(&command.run, command.user.as_deref(), patience)?;
    let mut lines = text_lines(&said.stdout);
    lines.extend(text_lines(&said.stderr));
    lines.truncate(MAX_LINES);
    if said.timed_out {
        return Ok(Seen::wrong(format!("it did not end within {} s", patience.as_secs())).lines(lines));
    }
    if said.status != i32::from(command.status) {
        let problem = match said.status {
            signal @ ..0 => format!("signal {} ended it", -signal),
            status => format!("it ended with {status}"),
        };
        return Ok(Seen::wrong(problem).lines(lines));
    }
    match &command.output {
        Some(output) if !output.accepts(&said.stdout) => Ok(Seen::wrong("its output is different").lines(lines)),
        _ => Ok(Seen::good().lines(lines)),
    }
}

fn file_name(file: &ExpectedFile) -> String {
    let path = &file.path;
    if file.is_absent {
        return format!("there is no `{path}`");
    }
    let mut parts = Vec::new();
    if let Some(mode) = file.mode {
        parts.push(format!("has mode {mode}"));
    }
    if let Some(owner) = &file.owner {
        parts.push(format!("belongs to {owner}"));
    }
    if file.sha256.is_some() {
        parts.push("has the expected SHA-256".to_owned());
    }
    if let Some(text) = &file.text {
        parts.push(format!("says {text}"));
    }
    match parts.is_empty() {
        true => format!("there is `{path}`"),
        false => format!("`{path}` {}", parts.join(", ")),
    }
}

fn look<G: Guest + ?Sized>(guest: &mut G, file: &ExpectedFile) -> Result<Seen, Silence> {
    let path = file.path.to_string();
    let found = guest.look(&path, file.sha256.is_some())?;
    let found = match (found, file.is_absent) {
        (None, true) => return Ok(Seen::good()),
        (None, false) => return Ok(Seen::wrong("it is not there")),
        (Some(found), true) => return Ok(Seen::wrong(format!("there is one, a {}", found.kind))),
        (Some(found), false) => found,
    };
    let mut problems = differences(file, &found);
    let mut lines = Vec::new();
    if let Some(text) = &file.text {
        let content = guest.read(&path, false)?;
        if !text.accepts(&content) {
            problems.push("its content is different".to_owned());
            lines = text_lines(&content);
            lines.truncate(MAX_LINES);
        }
    }
    match problems.is_empty() {
        true => Ok(Seen::good()),
        false => Ok(Seen::wrong(problems.join(", ")).lines(lines)),
    }
}

/// How a file's metadata differ from what is expected.
fn differences(file: &ExpectedFile, found: &Found) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(mode) = file.mode
        && u32::from(mode.bits()) != found.mode
    {
        problems.push(format!("its mode is {:04o}", found.mode));
    }
    if let Some(owner) = &file.owner {
        let is = |expected: &Principal, number: u32, name: &Option<String>| match expected {
            Principal::Number(expected) => *expected == number,
            Principal::Name(expected) => Some(expected) == name.as_ref(),
        };
        if !is(&owner.user, found.uid, &found.user) || !is(&owner.group, found.gid, &found.group) {
            let named = |number: u32, name: &Option<String>| name.clone().unwrap_or_else(|| number.to_string());
            problems.push(format!("its owner is {}:{}", named(found.uid, &found.user), named(found.gid, &found.group)));
        }
    }
    if let Some(sha256) = &file.sha256
        && found.sha256.as_deref() != Some(sha256.digits())
    {
        problems.push(match &found.sha256 {
            Some(digits) => format!("its SHA-256 is {digits}"),
            None => format!("it is a {}", found.kind),
        });
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::Local;
    use crate::verdict::Outcome;

    /// What comes out of expectations on this machine: the problem of each, or `None` if it is good.
    fn problems(recipe: &str) -> Vec<(String, Option<String>)> {
        let expected = recipe::Recipe::<()>::parse(recipe).unwrap().boot;
        let mut found = Vec::new();
        expectations(&mut Local::start(), &expected, &mut |check| {
            let problem = match check.outcome {
                Outcome::Good => None,
                Outcome::Wrong { problem } => Some(problem),
                Outcome::NotLookedAt { reason } => panic!("{reason}"),
            };
            found.push((check.name, problem));
        });
        found
    }

    #[test]
    fn a_unit_is_read_with_what_starts_it() {
        // As it is of `ssh` in Ubuntu 24.04, before anybody has logged in.
        let unit = Unit::of("TriggeredBy=ssh.socket\nLoadState=loaded\nActiveState=inactive\n");
        assert_eq!((unit.active_state.as_str(), &unit.triggered_by[..]), ("inactive", &["ssh.socket".to_owned()][..]));
        let unit = Unit::of("LoadState=not-found\nActiveState=inactive\n");
        assert_eq!((unit.load_state.as_str(), unit.triggered_by.len()), ("not-found", 0));
        assert_eq!(Unit::of("").active_state, "unknown");
    }

    #[test]
    fn commands_are_held_to_their_status_and_their_output() {
        let found = problems(
            "[[boot.command]]\nrun = 'echo a'\noutput = 'a'\n[[boot.command]]\nrun = 'echo a'\noutput = 'b'\n\
             [[boot.command]]\nrun = 'echo a b'\nmatches = 'b$'\n[[boot.command]]\nrun = 'exit 3'\nstatus = 3\n\
             [[boot.command]]\nrun = 'exit 3'\n[[boot.command]]\nrun = 'kill -9 $$'\n",
        );
        let expected = [
            ("`echo a` succeeds and prints `a`", None),
            ("`echo a` succeeds and prints `b`", Some("its output is different")),
            ("`echo a b` succeeds and prints a match of `b$`", None),
            ("`exit 3` ends with 3", None),
            ("`exit 3` succeeds", Some("it ended with 3")),
            ("`kill -9 $$` succeeds", Some("signal 9 ended it")),
        ];
        assert_eq!(found, expected.map(|(name, problem)| (name.to_owned(), problem.map(str::to_owned))));
    }

    #[test]
    fn files_are_held_to_all_that_is_said_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let digest = testkit::judge::judge("sha256sum").arg(&path).succeed().stdout;
        let digest = digest.split(' ').next().unwrap();
        let file = |more: &str| format!("[[boot.file]]\npath = '{}'\n{more}\n", path.display());
        let zeros = "0".repeat(64);
        let recipe = [
            file(&format!("sha256 = '{digest}'")),
            file(&format!("sha256 = '{zeros}'")),
            file("matches = 'two$'"),
            file("text = 'two'"),
            file("mode = '0000'"),
            file("owner = '4294967294:daemon'"),
            file("absent = true"),
            "[[boot.file]]\npath = '/nothing/here'\nabsent = true\n[[boot.file]]\npath = '/nothing/here'\n".to_owned(),
        ];
        let found: Vec<Option<String>> = problems(&recipe.concat()).into_iter().map(|(_, problem)| problem).collect();
        let has = |index: usize, part: &str| found[index].as_ref().is_some_and(|problem| problem.contains(part));
        assert!(found[0].is_none() && found[2].is_none() && found[7].is_none(), "{found:?}");
        assert!(has(1, digest) && has(3, "its content is different") && has(4, "its mode is 06"), "{found:?}");
        assert!(has(5, "its owner is ") && has(6, "there is one, a file") && has(8, "it is not there"), "{found:?}");
    }
}
