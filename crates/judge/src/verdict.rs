//! The result, for people and programs.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::follow::{Trouble, duration_of_seconds, few_seconds, seconds};
use crate::stage::Stage;

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All checks passed.
    Good,
    /// A check found something wrong.
    Wrong,
    /// Nothing is known to be wrong, but something could not be checked.
    NotLookedAt,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Outcome {
    /// As expected.
    Good,
    /// Not as expected.
    Wrong {
        /// What was found.
        problem: String,
    },
    /// It could not be checked.
    NotLookedAt {
        /// Why not.
        reason: String,
    },
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is expected, in a few words.
    pub name: String,
    /// The stage that caused a problem, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// The result.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// More details: the end of a log, an output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// When it began, from the machine's start on.
    #[serde(rename = "at_s", serialize_with = "seconds", deserialize_with = "duration_of_seconds")]
    pub at: Duration,
    /// How long it took.
    #[serde(rename = "took_s", serialize_with = "seconds", deserialize_with = "duration_of_seconds")]
    pub took: Duration,
}

/// A stage and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTime {
    /// The stage.
    pub stage: Stage,
    /// When it began, from the machine's start on.
    #[serde(rename = "at_s", serialize_with = "seconds", deserialize_with = "duration_of_seconds")]
    pub at: Duration,
}

/// Something that a guest did for some time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// What it was.
    pub name: String,
    /// When it began, from the machine's start on, in seconds.
    pub at_s: f64,
    /// How long it took, in seconds.
    pub took_s: f64,
    /// Whether it failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_failed: bool,
}

/// Why a boot did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stage that failed.
    pub stage: Stage,
    /// What happened.
    pub problem: String,
    /// The lines that show it.
    pub lines: Vec<String>,
    /// Whether the host caused it, so that it tells nothing about the image.
    #[serde(skip)]
    pub is_hosts: bool,
}

/// One boot of a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Boot {
    /// Which one it is: `first boot`, `after a restart`, `another first boot`.
    pub name: String,
    /// When it began, from its machine's start on, in seconds.
    #[serde(deserialize_with = "few_seconds")]
    pub at_s: f64,
    /// When it ended, in seconds.
    #[serde(deserialize_with = "few_seconds")]
    pub end_s: f64,
    /// The stages, in order.
    pub stages: Vec<StageTime>,
    /// Why it did not come to its end, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Problems on the console.
    pub troubles: Vec<Trouble>,
    /// The checks.
    pub checks: Vec<Check>,
    /// cloud-init's modules.
    pub modules: Vec<Span>,
    /// The units of systemd that took longest.
    pub units: Vec<Span>,
    /// Files of the guest with more details.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<Log>,
    /// The console's text.
    #[serde(skip)]
    pub console: String,
}

/// A file of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Its path.
    pub path: String,
    /// Its lines, or the last of them.
    pub lines: Vec<String>,
}

/// The whole result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// The image.
    pub image: PathBuf,
    /// The accelerator: `kvm`, `tcg`, …
    pub accelerator: String,
    /// How long all of it took, in seconds.
    pub took_s: f64,
    /// Why something could not be checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_looked_at: Vec<String>,
    /// The boots, in order.
    pub boots: Vec<Boot>,
}

impl Boot {
    /// Whether something is wrong with it.
    pub fn is_wrong(&self) -> bool {
        self.failure.is_some() || self.checks.iter().any(|check| matches!(check.outcome, Outcome::Wrong { .. }))
    }

    /// How long it took until cloud-init had finished, in seconds, if the boot came to its end.
    pub fn up_s(&self) -> Option<f64> {
        let finished = self.stages.iter().find(|stage| stage.stage == Stage::Finished);
        finished.filter(|_| self.failure.is_none()).map(|stage| stage.at.as_secs_f64() - self.at_s)
    }

    /// The checks that found something wrong.
    pub fn wrong(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| matches!(check.outcome, Outcome::Wrong { .. }))
    }

    /// The checks: first those that found something wrong, then the impossible ones, then the others.
    pub fn checks_worst_first(&self) -> Vec<&Check> {
        let mut checks: Vec<&Check> = self.checks.iter().collect();
        checks.sort_by_key(|check| match check.outcome {
            Outcome::Wrong { .. } => 0,
            Outcome::NotLookedAt { .. } => 1,
            Outcome::Good => 2,
        });
        checks
    }

    /// The first problem: cloud-init's own verdict comes before what follows from it.
    pub fn first_wrong(&self) -> Option<&Check> {
        self.checks.iter().find(|check| matches!(check.outcome, Outcome::Wrong { .. }))
    }

    /// The stage that caused the first problem, if known.
    pub fn failed_stage(&self) -> Option<Stage> {
        match &self.failure {
            Some(failure) => Some(failure.stage),
            None => self.first_wrong()?.stage,
        }
    }
}

impl Verdict {
    /// The verdict on these boots.
    pub fn of(boots: &[Boot], not_looked_at: &[String]) -> Self {
        if boots.iter().any(Boot::is_wrong) {
            return Self::Wrong;
        }
        let mut checks = boots.iter().flat_map(|boot| &boot.checks);
        let is_unseen = checks.any(|check| matches!(check.outcome, Outcome::NotLookedAt { .. }));
        if is_unseen || !not_looked_at.is_empty() { Self::NotLookedAt } else { Self::Good }
    }
}
