//! Has a command run in the guest.

use std::ffi::OsString;

use storage::Printable;

use crate::carry_out::{Options, Work};
use crate::error::Error;
use crate::output::Lines;
use crate::runner::{Outcome, Program, RunError, Task};

/// How many characters of a command messages have.
const SHOWN_CHARACTERS: usize = 60;
/// How many lines of a failed command's output are told.
const LAST_LINES: usize = 15;

/// What an operation needs of whoever carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing.
    Nothing,
    /// A runner, for the step of this name.
    Runner(String),
    /// A runner whose commands may use the network.
    Network(String),
}

impl Need {
    /// Refuses an operation whose need is not met, before anything is done.
    pub(crate) fn check(&self, options: &Options) -> Result<(), Error> {
        let step = match self {
            Self::Nothing => return Ok(()),
            Self::Runner(step) => step,
            Self::Network(step) if !options.network => return Err(Error::NoNetwork { step: step.clone() }),
            Self::Network(step) => step,
        };
        match options.runner {
            Some(_) => Ok(()),
            None => Err(unavailable(step).into()),
        }
    }
}

fn unavailable(step: &str) -> RunError {
    RunError::Unavailable {
        problem: format!("`{step}` needs the guest's own programs, and nothing here can run them"),
        hint: Some("the guest can do it itself when it first boots: `first-boot-command`, `first-boot-install`".into()),
    }
}

/// The name of a step that runs `text`: `run make install`.
pub(crate) fn step_name(verb: &str, text: &str) -> String {
    let text = text.trim();
    let line = text.lines().next().unwrap_or_default();
    let shown: String = line.chars().take(SHOWN_CHARACTERS).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    format!("{verb} {}{dots}", Printable(shown.as_bytes()))
}

impl Work<'_> {
    /// Runs `program` as the step `name`.
    pub(crate) fn run(&mut self, name: String, program: Program) -> Result<Outcome, Error> {
        let Some(runner) = &self.options.runner else { return Err(unavailable(&name).into()) };
        let task = Task {
            name,
            program,
            // Nobody is there to answer a package's questions, whoever installs it.
            environment: vec![
                (OsString::from("DEBIAN_FRONTEND"), OsString::from("noninteractive")),
                // Programs that write dates into files, such as `useradd`, take this one.
                (OsString::from("SOURCE_DATE_EPOCH"), self.now.seconds.max(0).to_string().into()),
            ],
            network: self.options.network,
            no_services: true,
            modified: self.now,
            clamp: self.options.modified,
        };
        let mut lines = Lines::default();
        let mut last: Vec<String> = Vec::new();
        let progress = &self.progress;
        let mut said = |bytes: &[u8]| {
            lines.take(bytes, &mut |line| {
                if last.len() == LAST_LINES {
                    last.remove(0);
                }
                last.push(line.to_owned());
            });
            progress.says(&task.name, bytes);
        };
        said(b"");
        runner.run(self.guest, &task, &mut said).map_err(|error| match error {
            RunError::Failed { name, status, last_lines, log } if last_lines.is_empty() => {
                last.extend(lines.rest());
                RunError::Failed { name, status, last_lines: last, log }.into()
            }
            other => other.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_called_by_the_begin_of_its_command() {
        assert_eq!(step_name("run", " make install\n"), "run make install");
        assert_eq!(step_name("run", "make\nmake install"), "run make…");
        assert_eq!(step_name("run", &"x".repeat(100)), format!("run {}…", "x".repeat(60)));
        assert_eq!(step_name("run", "printf \x1b"), "run printf \\x1b");
    }
}
