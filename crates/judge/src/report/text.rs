//! A report for people at a terminal.

use std::fmt::Write;

use crate::verdict::{Boot, Check, Outcome, Report, Verdict};

/// The most lines of a check.
const MAX_LINES: usize = 12;

/// The report: the checks of each boot, problems first, and the verdict in the last line.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let (wrong, others): (Vec<&Boot>, Vec<&Boot>) = report.boots.iter().partition(|boot| boot.is_wrong());
    for boot in wrong.into_iter().chain(others) {
        push_boot(&mut text, boot);
    }
    for reason in &report.not_looked_at {
        let _ = writeln!(text, "not looked at: {reason}");
    }
    let _ = writeln!(text, "{}", last_line(report));
    text
}

/// The verdict in one line, with all problems.
fn last_line(report: &Report) -> String {
    let image = report.image.display();
    let checks = report.boots.iter().map(|boot| boot.checks.len()).sum::<usize>();
    let took_s = report.took_s;
    match report.verdict {
        Verdict::Good => format!("ok: `{image}` passed all checks ({checks} checks, {took_s:.1} s)"),
        Verdict::NotLookedAt => format!("unknown: not everything in `{image}` could be checked ({took_s:.1} s)"),
        Verdict::Wrong => {
            let failed: usize = report.boots.iter().map(|boot| boot.wrong().count()).sum();
            let count = (failed > 0).then(|| format!("{failed} of {checks} checks failed: "));
            let problems: Vec<String> = report.boots.iter().flat_map(problems).collect();
            format!("FAILED: `{image}`: {}{} ({took_s:.1} s)", count.unwrap_or_default(), problems.join("; "))
        }
    }
}

/// The problems of a boot, each with its place.
pub(super) fn problems(boot: &Boot) -> Vec<String> {
    let name = &boot.name;
    let failure = boot.failure.as_ref().map(|failure| format!("{name}, {}: {}", failure.stage, failure.problem));
    let of = |check: &Check| {
        let Outcome::Wrong { problem } = &check.outcome else { return None };
        let stage = check.stage.map(|stage| format!(", {stage}")).unwrap_or_default();
        Some(format!("{name}{stage}: {}: {problem}", check.name))
    };
    failure.into_iter().chain(boot.wrong().filter_map(of)).collect()
}

fn push_boot(text: &mut String, boot: &Boot) {
    let seconds = |at_s: f64| at_s - boot.at_s;
    match &boot.failure {
        None => {
            let up = boot.up_s().map(|up_s| format!(": up in {up_s:.1} s"));
            let _ = writeln!(text, "{}{}", boot.name, up.unwrap_or_default());
        }
        Some(failure) => {
            let (name, stage, problem) = (&boot.name, failure.stage, &failure.problem);
            let _ = writeln!(text, "{name}: failed in {stage} after {:.1} s: {problem}", seconds(boot.end_s));
            push_lines(text, &failure.lines, 4);
        }
    }
    for check in boot.checks_worst_first() {
        push_check(text, check);
    }
    // If the boot came to its end, its checks report these.
    if boot.failure.is_some() {
        for trouble in boot.troubles.iter().take(MAX_LINES) {
            let _ = writeln!(text, "  {:6.1} s  {}", seconds(trouble.at.as_secs_f64()), trouble.line);
        }
    }
    for log in &boot.logs {
        let _ = writeln!(text, "  {}:", log.path);
        push_lines(text, &log.lines[log.lines.len().saturating_sub(2 * MAX_LINES)..], 4);
    }
}

fn push_check(text: &mut String, check: &Check) {
    let name = &check.name;
    let _ = match &check.outcome {
        Outcome::Good => writeln!(text, "  ok       {name}"),
        Outcome::Wrong { problem } => writeln!(text, "  FAILED   {name}: {problem}"),
        Outcome::NotLookedAt { reason } => writeln!(text, "  unknown  {name}: {reason}"),
    };
    if !matches!(check.outcome, Outcome::Good) {
        let lines = &check.lines[..check.lines.len().min(MAX_LINES)];
        push_lines(text, lines, 11);
        if lines.len() < check.lines.len() {
            let _ = writeln!(text, "           ({} more lines)", check.lines.len() - lines.len());
        }
    }
}

fn push_lines(text: &mut String, lines: &[String], indentation: usize) {
    for line in lines {
        let _ = writeln!(text, "{:indentation$}{line}", "");
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_last_line_is_the_word_and_names_the_stage() {
        let report = sample::report();
        let text = text(&report);
        let last = text.lines().last().unwrap();
        assert!(last.starts_with("FAILED: `my & "), "{last}");
        for part in [
            ": 2 of 5 checks failed: ",
            "first boot, cloud-init: network: cloud-init reports no problem: 1 complaint in its log; ",
            " is active: it is inactive; ",
            "after a restart, cloud-init: network: no progress for 300 s: the guest hangs (460.5 s)",
        ] {
            assert!(last.contains(part), "{part}: {last}");
        }
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "first boot: up in 77.3 s");
        // What is wrong comes before what is not known, and that before what is as it should be.
        let begins: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("  ")?.split("  ").next()).collect();
        let begins: Vec<&str> = begins.into_iter().filter(|word| ["FAILED", "unknown", "ok"].contains(word)).collect();
        assert_eq!(begins, ["FAILED", "FAILED", "unknown", "ok", "ok"]);
        assert!(lines.contains(
            &"after a restart: failed in cloud-init: network after 365.0 s: no progress for 300 s: the guest hangs"
        ));
        assert!(lines.contains(&"  unknown  port 80 answers: no port leads there"));
        assert!(text.contains("not looked at: another first boot"));
    }

    #[test]
    fn what_is_good_is_said_in_few_lines() {
        let text = text(&sample::good_report());
        assert_eq!(
            text,
            "first boot: up in 77.3 s\n  ok       cloud-init has finished\n  \
             ok       `app --version` succeeds and prints a match of `^app`\n\
             ok: `my.img` passed all checks (2 checks, 460.5 s)\n"
        );
    }
}
