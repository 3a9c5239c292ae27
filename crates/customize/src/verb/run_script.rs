//! `run-script`: runs a file of the host in the guest.

use std::ffi::OsStr;
use std::path::PathBuf;

use recipe::SyntaxError;
use storage::Printable;

use super::{Apply, Flag, StepForm, Verb};
use crate::carry_out::{EDIT_LIMIT_BYTES, Work};
use crate::command::Need;
use crate::error::Error;
use crate::report::Report;
use crate::runner::Program;
use crate::source::read_small;

/// Runs a script in the guest. It is not in the image afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunScript {
    /// The file of the host.
    pub script: PathBuf,
}

impl RunScript {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "run-script",
            value: Some("FILE"),
            help: "Run a script of yours in the guest, by the interpreter that its `#!` names, or by /bin/sh",
            parse: |text, _| RunScript::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "run-script",
            value: "INPUT",
            keys: &[],
            read: |step| Some(RunScript { script: step.input("run-script")? }.into()),
        },
    }];

    /// Reads `FILE`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the text is empty.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        match text.is_empty() {
            true => Err(SyntaxError::form("FILE", "setup.sh")),
            false => Ok(Self { script: PathBuf::from(text) }),
        }
    }

    fn name(&self) -> String {
        format!("run-script {}", Printable(self.script.as_os_str().as_encoded_bytes()))
    }
}

impl Apply for RunScript {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let script = read_small(&self.script, EDIT_LIMIT_BYTES)?;
        work.note_read(&self.script, &script);
        if script.is_empty() {
            return Err(Error::refused(format!("the script `{}` is empty", self.script.display())));
        }
        let program = match script.starts_with(b"#!") {
            true => script,
            false => [&b"#!/bin/sh\n"[..], &script].concat(),
        };
        let outcome = work.run(self.name(), Program::Script(program))?;
        Ok(Report::executed("run-script", &format!("ran {}", self.script.display()), outcome, None))
    }

    fn need(&self) -> Need {
        Need::Runner(self.name())
    }

    fn source_mut(&mut self) -> Option<&mut PathBuf> {
        Some(&mut self.script)
    }
}
