//! When a guest did what: cloud-init's modules and systemd's units, in seconds since the machine's start.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::examine::{Guest, QUESTION};
use crate::session::Session;
use crate::transcript::Line;
use crate::verdict::{Boot, Span};

/// The most spans of a kind.
const MAX_SPANS: usize = 200;
/// Units that took less are left out, in seconds.
const SHORTEST_UNIT_S: f64 = 0.02;

/// Asks the guest when it did what. Unknown times stay empty.
pub(crate) fn fetch(session: &mut Session<'_>, boot: &mut Boot) {
    let Some(hello) = session.agent.hello().cloned() else { return };
    let Some(kernel_s) = kernel_begin(session.view.follower.lines().iter()) else { return };
    // The guest's clock when its kernel began.
    let epoch_s = hello.time_s - hello.uptime_s;
    if let Ok(dump) = session.run("cloud-init analyze dump", None, QUESTION) {
        boot.modules = modules(&dump.stdout, epoch_s - kernel_s);
    }
    let show = "systemctl show --all --property=Id,InactiveExitTimestampMonotonic,ActiveEnterTimestampMonotonic,\
                InactiveEnterTimestampMonotonic,Result '*.service' '*.mount' '*.socket' '*.target' '*.swap'";
    if let Ok(shown) = Guest::run(session, show, None, QUESTION) {
        boot.units = units(&String::from_utf8_lossy(&shown.stdout), kernel_s);
    }
}

/// When the guest's uptime was 0, in seconds since the machine's start: a line of the kernel has both times.
fn kernel_begin<'a>(lines: impl Iterator<Item = &'a Line> + Clone) -> Option<f64> {
    let first = lines.clone().find(|line| line.text.contains("Linux version "))?;
    // The kernel prints it only when its console works, with the time at which it happened.
    let stamped = lines.filter(|line| line.at > first.at).find_map(|line| {
        let stamp = line.text.strip_prefix('[')?.split_once(']')?.0.trim().parse::<f64>().ok()?;
        (stamp > 3.0).then_some(line.at.as_secs_f64() - stamp)
    });
    Some(stamped.unwrap_or(first.at.as_secs_f64()))
}

/// The modules in the output of `cloud-init analyze dump`. Its times count from 1970; the machine started at `offset_s`.
fn modules(dump: &[u8], offset_s: f64) -> Vec<Span> {
    let events: Vec<Value> = serde_json::from_slice(dump).unwrap_or_default();
    // More than one boot may be in the log.
    let begin = events
        .iter()
        .rposition(|event| event["name"] == "init-local" && event["event_type"] == "start")
        .unwrap_or_default();
    let mut open: BTreeMap<&str, f64> = BTreeMap::new();
    let mut spans = Vec::new();
    for event in events[begin..].iter().take(10 * MAX_SPANS) {
        let (Some(name), Some(time_s)) = (event["name"].as_str(), event["timestamp"].as_f64()) else { continue };
        match event["event_type"].as_str() {
            Some("start") => {
                open.insert(name, time_s);
            }
            Some("finish") => {
                let Some(start_s) = open.remove(name) else { continue };
                spans.push(Span {
                    name: name.to_owned(),
                    at_s: start_s - offset_s,
                    took_s: (time_s - start_s).max(0.0),
                    is_failed: event["result"].as_str().is_some_and(|result| result == "FAIL" || result == "WARN"),
                });
            }
            _ => {}
        }
    }
    spans.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
    spans.truncate(MAX_SPANS);
    spans
}

/// The units in the output of `systemctl show`; `kernel_s` is when the kernel began.
fn units(text: &str, kernel_s: f64) -> Vec<Span> {
    let mut spans: Vec<Span> = text.split("\n\n").filter_map(|block| unit(block, kernel_s)).collect();
    // A unit with several names counts once.
    spans.sort_by(|one, other| {
        (&one.name, one.at_s).partial_cmp(&(&other.name, other.at_s)).unwrap_or(std::cmp::Ordering::Equal)
    });
    spans.dedup_by(|one, other| one.name == other.name);
    spans.sort_by(|one, other| other.took_s.total_cmp(&one.took_s));
    spans.truncate(MAX_SPANS);
    spans.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
    spans
}

fn unit(block: &str, kernel_s: f64) -> Option<Span> {
    let fields: BTreeMap<&str, &str> = block.lines().filter_map(|line| line.split_once('=')).collect();
    let time_s = |name: &str| fields.get(name)?.parse::<u64>().ok().filter(|&us| us != 0).map(|us| us as f64 / 1e6);
    let begin_s = time_s("InactiveExitTimestampMonotonic")?;
    // A unit that ended without having been active ran until its end.
    let end_s = time_s("ActiveEnterTimestampMonotonic").or_else(|| time_s("InactiveEnterTimestampMonotonic"))?;
    let took_s = end_s - begin_s;
    let result = fields.get("Result").copied().unwrap_or("success");
    let is_failed = !matches!(result, "success" | "");
    let span =
        Span { name: (*fields.get("Id")?).to_owned(), at_s: kernel_s + begin_s, took_s: took_s.max(0.0), is_failed };
    (span.took_s >= SHORTEST_UNIT_S || is_failed).then_some(span)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn modules_of_the_last_boot_are_on_the_machines_clock() {
        let event = |name: &str, kind: &str, time: f64| {
            format!(
                "{{\"name\": \"{name}\", \"event_type\": \"{kind}\", \"timestamp\": {time}, \"result\": \"SUCCESS\"}}"
            )
        };
        let dump = [
            event("init-local", "start", 1000.0),
            event("init-local", "finish", 1001.0),
            event("init-local", "start", 2010.0),
            event("init-local/search-NoCloud", "start", 2010.5),
            event("init-local/search-NoCloud", "finish", 2011.0),
            event("init-local", "finish", 2012.0),
        ];
        let spans = modules(format!("[{}]", dump.join(",")).as_bytes(), 2000.0);
        let spans: Vec<_> = spans.iter().map(|span| (span.name.as_str(), span.at_s, span.took_s)).collect();
        assert_eq!(spans, [("init-local", 10.0, 2.0), ("init-local/search-NoCloud", 10.5, 0.5)]);
        assert_eq!(modules(b"usage: cloud-init", 0.0), []);
    }

    #[test]
    fn units_are_told_once_and_short_ones_not_at_all() {
        let text = "Id=ssh.service\nInactiveExitTimestampMonotonic=2000000\nActiveEnterTimestampMonotonic=3500000\nResult=success\n\n\
                    Id=ssh.service\nInactiveExitTimestampMonotonic=2000000\nActiveEnterTimestampMonotonic=3500000\nResult=success\n\n\
                    Id=a.target\nInactiveExitTimestampMonotonic=2000000\nActiveEnterTimestampMonotonic=2000001\n\n\
                    Id=b.service\nInactiveExitTimestampMonotonic=1000000\nActiveEnterTimestampMonotonic=0\n\
                    InactiveEnterTimestampMonotonic=1500000\nResult=exit-code\n\n\
                    Id=never.service\nInactiveExitTimestampMonotonic=0\n";
        let spans = units(text, 10.0);
        let spans: Vec<_> = spans.iter().map(|s| (s.name.as_str(), s.at_s, s.took_s, s.is_failed)).collect();
        assert_eq!(spans, [("b.service", 11.0, 0.5, true), ("ssh.service", 12.0, 1.5, false)]);
    }

    #[test]
    fn a_kernels_clock_begins_before_its_console_is_there() {
        let line = |at: u64, text: &str| Line { at: Duration::from_secs(at), text: text.to_owned() };
        let lines = [line(9, "[    0.000000] Linux version 6.1.0"), line(10, "[    3.500000] Run /init")];
        assert_eq!(kernel_begin(lines.iter()), Some(6.5));
        assert_eq!(kernel_begin(lines[..1].iter()), Some(9.0));
        assert_eq!(kernel_begin([].iter()), None);
    }
}
