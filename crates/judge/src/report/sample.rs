//! Reports to draw in tests, with texts that would do harm as markup.

use std::path::PathBuf;
use std::time::Duration;

use crate::follow::Trouble;
use crate::stage::Stage;
use crate::verdict::{Boot, Check, Failure, Log, Outcome, Report, Span, StageTime, Verdict};

/// What a guest may say that a page must not do.
pub(super) const EVIL: &str =
    "</pre><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">";

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn check(name: &str, outcome: Outcome, at_s: f64, took_s: f64, lines: &[&str]) -> Check {
    let lines = lines.iter().map(|&line| line.to_owned()).collect();
    Check { name: name.to_owned(), stage: None, outcome, lines, at: seconds(at_s), took: seconds(took_s) }
}

fn wrong(problem: &str) -> Outcome {
    Outcome::Wrong { problem: problem.to_owned() }
}

/// A first boot that came to its end with something wrong, and a restart that hangs.
pub(super) fn report() -> Report {
    let stages = [0.0, 0.3, 4.3, 7.4, 10.3, 17.0, 44.7, 60.1, 75.4, 77.3];
    let order = Stage::ALL.into_iter().filter(|stage| *stage != Stage::DsIdentify);
    let stages: Vec<StageTime> =
        order.zip(stages).map(|(stage, at_s)| StageTime { stage, at: seconds(at_s) }).collect();
    let span = |name: &str, at_s, took_s, is_failed| Span { name: name.to_owned(), at_s, took_s, is_failed };
    let first = Boot {
        name: "first boot".to_owned(),
        end_s: 92.5,
        stages: stages.clone(),
        troubles: vec![Trouble {
            stage: Stage::Network,
            meaning: String::new(),
            line: format!("cloud-init[367]: util.py[WARNING]: Failed loading yaml blob {EVIL}"),
            at: seconds(50.25),
        }],
        checks: vec![
            check("cloud-init has finished", Outcome::Good, 77.5, 2.25, &[]),
            Check {
                stage: Some(Stage::Network),
                ..check("cloud-init reports no problem", wrong("1 complaint in its log"), 80.0, 1.0, &[EVIL])
            },
            check(
                "`app --version` succeeds and prints a match of `^app`",
                Outcome::Good,
                84.0,
                3.5,
                &["app 1.2", EVIL],
            ),
            check(&format!("service `{EVIL}` is active"), wrong("it is inactive"), 88.0, 0.5, &["a & b"]),
            check("port 80 answers", Outcome::NotLookedAt { reason: "no port leads there".to_owned() }, 90.0, 0.1, &[]),
        ],
        modules: vec![
            span("init-local", 18.0, 8.5, false),
            span("init-local/search-NoCloud", 19.0, 1.8, false),
            span("init-network/config-ssh", 46.0, 11.2, false),
            span(&format!("modules-final/config-{EVIL}"), 75.5, 1.5, true),
        ],
        units: vec![span("ssh.service", 60.0, 2.5, false), span("app.service", 70.0, 0.2, true)],
        logs: vec![Log {
            path: "/run/cloud-init/result.json".to_owned(),
            lines: vec!["{".to_owned(), EVIL.to_owned()],
        }],
        console: format!("    0.30  SeaBIOS\n   50.25  {EVIL}\n"),
        ..Boot::default()
    };
    let shift = |stage: &StageTime| StageTime { at: stage.at + seconds(95.0), ..stage.clone() };
    let second = Boot {
        name: "after a restart".to_owned(),
        at_s: 95.0,
        end_s: 460.0,
        stages: stages[..7].iter().map(shift).collect(),
        failure: Some(Failure {
            stage: Stage::Network,
            problem: "no progress for 300 s: the guest hangs".to_owned(),
            lines: vec!["[ ***  ] A start job is running for cloud-init".to_owned(), EVIL.to_owned()],
            is_hosts: false,
        }),
        ..Boot::default()
    };
    Report {
        verdict: Verdict::Wrong,
        image: PathBuf::from(format!("my & {EVIL}.img")),
        accelerator: "tcg".to_owned(),
        took_s: 460.5,
        not_looked_at: vec!["another first boot: the machine-id of the first one is unknown".to_owned()],
        boots: vec![first, second],
    }
}

/// A report without anything wrong.
pub(super) fn good_report() -> Report {
    let mut report = report();
    report.boots.truncate(1);
    report.not_looked_at.clear();
    let boot = &mut report.boots[0];
    boot.troubles.clear();
    boot.logs.clear();
    boot.checks.retain(|check| check.outcome == Outcome::Good);
    (report.verdict, report.image) = (Verdict::Good, PathBuf::from("my.img"));
    report
}
