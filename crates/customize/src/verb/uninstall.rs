//! `uninstall`: removes packages by the guest's package manager.

use std::ffi::OsStr;

use recipe::SyntaxError;

use super::{Apply, Flag, StepForm, Verb};
use crate::carry_out::Work;
use crate::command::{Need, step_name};
use crate::error::Error;
use crate::package_manager::{self, Action, Request};
use crate::report::Report;

/// Removes packages, with those that depend on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uninstall {
    /// The packages.
    pub packages: Vec<String>,
}

impl Uninstall {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "uninstall",
            value: Some("PACKAGE[,PACKAGE]"),
            help: "Remove packages by the guest's package manager, with those that depend on them",
            parse: |text, _| Uninstall::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "uninstall",
            value: "[PACKAGE, …]",
            keys: &[],
            read: |step| {
                let packages: Vec<String> = step.table.strings("uninstall").into_iter().map(str::to_owned).collect();
                step.table.checked("uninstall", package_manager::check_names(&packages))?;
                Some(Uninstall { packages }.into())
            },
        },
    }];

    /// Reads `PACKAGE[,PACKAGE]`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if a name is not one that a package can have.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        Ok(Self { packages: package_manager::parse_names(text)? })
    }

    fn name(&self) -> String {
        step_name("uninstall", &self.packages.join(" "))
    }
}

impl Apply for Uninstall {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        work.manage_packages("uninstall", self.name(), &Request::new(Action::Uninstall, &self.packages))
    }

    fn need(&self) -> Need {
        Need::Runner(self.name())
    }
}
