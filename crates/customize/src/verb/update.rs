//! `update`: brings the guest's packages up to date.

use super::install::Snapshot;
use super::{Apply, Flag, StepForm, Verb};
use crate::carry_out::Work;
use crate::command::Need;
use crate::error::Error;
use crate::package_manager::{Action, Request};
use crate::report::Report;

/// Installs the newest version of each package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// The day of the archive that is the newest; its present state where this is `None`.
    pub snapshot: Option<Snapshot>,
    /// Whether what was downloaded is removed afterwards.
    pub clean: bool,
}

impl Update {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "update",
            value: None,
            help: "Bring the guest's packages up to date by its package manager, with `--network`",
            parse: |_, _| Ok(Update::default().into()),
        }],
        step: StepForm {
            name: "update",
            value: "true",
            keys: &["snapshot", "clean"],
            read: |step| {
                if !step.table.boolean("update")? {
                    step.problem("this step does nothing".to_owned(), Some("leave it out"));
                }
                let snapshot = step.table.parsed("snapshot");
                let clean = step.table.boolean("clean").unwrap_or_default();
                Some(Update { snapshot, clean }.into())
            },
        },
    }];
}

impl Apply for Update {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let request = Request {
            snapshot: self.snapshot.as_ref().map(Snapshot::as_str),
            clean: self.clean,
            ..Request::new(Action::Update, &[])
        };
        work.manage_packages("update", "update".to_owned(), &request)
    }

    fn need(&self) -> Need {
        Need::Network("update".to_owned())
    }
}
