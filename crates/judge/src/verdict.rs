//! What was found, for people and programs.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::follow::{Trouble, seconds};
use crate::stage::Stage;

/// The judge's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything is as it should be.
    Good,
    /// Something was looked at and is wrong.
    Wrong,
    /// Nothing is known to be wrong, and something could not be looked at.
    NotLookedAt,
}

/// How one check came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Outcome {
    /// As expected.
    Good,
    /// Not as expected.
    Wrong {
        /// What was found.
        problem: String,
    },
    /// Nobody could look.
    NotLookedAt {
        /// Why not.
        reason: String,
    },
}

/// One thing that was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is expected, in a few words.
    pub name: String,
    /// Which stage is to blame where it is wrong, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// How it came out.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What there is to see besides: the end of a log, an output.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// When it began, from the machine's start on.
    #[serde(rename = "at_s", serialize_with = "seconds")]
    pub at: Duration,
    /// How long it took.
    #[serde(rename = "took_s", serialize_with = "seconds")]
    pub took: Duration,
}

/// A stage, and when it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageTime {
    /// The stage.
    pub stage: Stage,
    /// When it began, from the machine's start on.
    #[serde(rename = "at_s", serialize_with = "seconds")]
    pub at: Duration,
}

/// Something that a guest did for some time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Span {
    /// What it was.
    pub name: String,
    /// When it began, from the machine's start on, in seconds.
    pub at_s: f64,
    /// How long it took, in seconds.
    pub took_s: f64,
    /// Whether it failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_failed: bool,
}

/// Why a boot did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The stage that failed.
    pub stage: Stage,
    /// What happened.
    pub problem: String,
    /// The lines that tell it.
    pub lines: Vec<String>,
    /// Whether it is a fault of the host's, and tells nothing of the image.
    #[serde(skip)]
    pub is_hosts: bool,
}

/// One boot of a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Boot {
    /// Which one it is: `first boot`, `after a restart`, `another first boot`.
    pub name: String,
    /// When it began, from its machine's start on, in seconds.
    pub at_s: f64,
    /// When the last that is told here was, in seconds.
    pub end_s: f64,
    /// The stages, in order.
    pub stages: Vec<StageTime>,
    /// Why it did not come to its end, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What went wrong on the way.
    pub troubles: Vec<Trouble>,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// cloud-init's modules.
    pub modules: Vec<Span>,
    /// The units of systemd that took longest.
    pub units: Vec<Span>,
    /// Files of the guest that tell more, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<Log>,
    /// The console's text.
    #[serde(skip)]
    pub console: String,
}

/// A file of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// Its path.
    pub path: String,
    /// Its lines, or the last of them.
    pub lines: Vec<String>,
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The word.
    pub verdict: Verdict,
    /// The image.
    pub image: PathBuf,
    /// What carried out the guest's instructions: `kvm`, `tcg`, …
    pub accelerator: String,
    /// How long all of it took, in seconds.
    pub took_s: f64,
    /// Why it could not be looked at all of it, if so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
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

    /// The checks: those that found something wrong, those that could not look, and the others.
    pub fn checks_worst_first(&self) -> Vec<&Check> {
        let mut checks: Vec<&Check> = self.checks.iter().collect();
        checks.sort_by_key(|check| match check.outcome {
            Outcome::Wrong { .. } => 0,
            Outcome::NotLookedAt { .. } => 1,
            Outcome::Good => 2,
        });
        checks
    }

    /// What is wrong first: cloud-init's own word comes before what follows from it.
    pub fn first_wrong(&self) -> Option<&Check> {
        self.checks.iter().find(|check| matches!(check.outcome, Outcome::Wrong { .. }))
    }

    /// The stage that what is wrong first is due to, if it is due to one.
    pub fn failed_stage(&self) -> Option<Stage> {
        match &self.failure {
            Some(failure) => Some(failure.stage),
            None => self.first_wrong()?.stage,
        }
    }
}

impl Verdict {
    /// The word on these boots.
    pub fn of(boots: &[Boot], not_looked_at: &[String]) -> Self {
        if boots.iter().any(Boot::is_wrong) {
            return Self::Wrong;
        }
        let mut checks = boots.iter().flat_map(|boot| &boot.checks);
        let is_unseen = checks.any(|check| matches!(check.outcome, Outcome::NotLookedAt { .. }));
        if is_unseen || !not_looked_at.is_empty() { Self::NotLookedAt } else { Self::Good }
    }
}
