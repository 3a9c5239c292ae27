//! `run`: runs a command with the guest's own programs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use recipe::SyntaxError;

use super::{Apply, Flag, StepForm, Verb, utf8};
use crate::carry_out::Work;
use crate::command::{Need, step_name};
use crate::error::Error;
use crate::report::Report;
use crate::runner::Program;

/// Runs a command in the guest, by its `/bin/sh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The command, as a shell reads it.
    pub command: String,
}

impl Run {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "run",
            value: Some("COMMAND"),
            help: "Run a command in the guest, by its /bin/sh and as its root; services do not start",
            parse: |text, _| Run::parse(text).map(Into::into),
        }],
        step: StepForm { name: "run", value: "COMMAND", keys: &[], read: |step| step.said(Run::parse).map(Into::into) },
    }];

    /// Reads `COMMAND`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the text is blank, not UTF-8 or has a byte that no argument can have.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let command = utf8(text.as_bytes())?;
        match command.trim().is_empty() || command.contains('\0') {
            true => Err(SyntaxError::form("COMMAND", "systemctl enable app")),
            false => Ok(Self { command: command.to_owned() }),
        }
    }

    fn name(&self) -> String {
        step_name("run", &self.command)
    }
}

impl Apply for Run {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let outcome = work.run(self.name(), Program::Shell(self.command.clone()))?;
        let what = format!("ran `{}`", step_name("", &self.command).trim_start());
        Ok(Report::executed("run", &what, outcome, None))
    }

    fn need(&self) -> Need {
        Need::Runner(self.name())
    }
}
