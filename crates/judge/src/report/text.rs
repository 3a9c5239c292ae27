//! A report for people at a terminal.

use std::fmt::Write;

use crate::stage::Stage;
use crate::verdict::{Boot, Check, Outcome, Report, Verdict};

/// The most lines of what is behind a check.
const MAX_LINES: usize = 12;

/// The report: what was looked at, boot by boot, and the word in the last line.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    for boot in &report.boots {
        push_boot(&mut text, boot);
    }
    for reason in &report.not_looked_at {
        let _ = writeln!(text, "not looked at: {reason}");
    }
    let _ = writeln!(text, "{}", last_line(report));
    text
}

/// The word, in one line.
fn last_line(report: &Report) -> String {
    let image = report.image.display();
    let checks = report.boots.iter().map(|boot| boot.checks.len()).sum::<usize>();
    let took_s = report.took_s;
    match report.verdict {
        Verdict::Good => format!("good: `{image}` is as it should be ({checks} checks, {took_s:.1} s)"),
        Verdict::NotLookedAt => format!("not known: not all of `{image}` could be looked at ({took_s:.1} s)"),
        Verdict::Wrong => {
            let boot = report.boots.iter().find(|boot| boot.is_wrong());
            let place = boot.map(|boot| match boot.failed_stage() {
                Some(stage) => format!("{}, {stage}", boot.name),
                None => boot.name.clone(),
            });
            let problem = boot.and_then(first_problem).unwrap_or_default();
            format!("wrong: `{image}`: {}: {problem} ({took_s:.1} s)", place.unwrap_or_default())
        }
    }
}

/// What is wrong first.
fn first_problem(boot: &Boot) -> Option<String> {
    if let Some(failure) = &boot.failure {
        return Some(failure.problem.clone());
    }
    let first = boot.first_wrong()?;
    let Outcome::Wrong { problem } = &first.outcome else { return None };
    Some(format!("{}: {problem}", first.name))
}

fn push_boot(text: &mut String, boot: &Boot) {
    let seconds = |at_s: f64| at_s - boot.at_s;
    match &boot.failure {
        None => {
            let finished = boot.stages.iter().find(|stage| stage.stage == Stage::Finished);
            let up = finished.map(|stage| format!(": up in {:.1} s", seconds(stage.at.as_secs_f64())));
            let _ = writeln!(text, "{}{}", boot.name, up.unwrap_or_default());
        }
        Some(failure) => {
            let (name, stage, problem) = (&boot.name, failure.stage, &failure.problem);
            let _ = writeln!(text, "{name}: failed in {stage} after {:.1} s: {problem}", seconds(boot.end_s));
            push_lines(text, &failure.lines, 4);
        }
    }
    for check in &boot.checks {
        push_check(text, check);
    }
    // A boot that came to its end has told these in its checks.
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
        Outcome::Good => writeln!(text, "  good     {name}"),
        Outcome::Wrong { problem } => writeln!(text, "  wrong    {name}: {problem}"),
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
        assert!(last.starts_with("wrong: `my & "), "{last}");
        assert!(
            last.contains("first boot, cloud-init: network: cloud-init has nothing to complain about: 1 complaint")
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "first boot: up in 77.3 s");
        assert_eq!(lines[1], "  good     cloud-init has done its work");
        assert!(lines.contains(
            &"after a restart: failed in cloud-init: network after 365.0 s: nothing went on for 300 s: a hang"
        ));
        assert!(lines.contains(&"  unknown  port 80 answers: no port leads there"));
        assert!(text.contains("not looked at: another first boot"));
    }

    #[test]
    fn what_is_good_is_said_in_few_lines() {
        let text = text(&sample::good_report());
        assert_eq!(
            text,
            "first boot: up in 77.3 s\n  good     cloud-init has done its work\n  \
             good     `app --version` succeeds and prints a match of `^app`\n\
             good: `my.img` is as it should be (2 checks, 460.5 s)\n"
        );
    }
}
