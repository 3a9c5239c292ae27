//! What is said while a boot is judged.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use judge::follow::Trouble;
use judge::verdict::{Check, Outcome};
use judge::{Stage, Watcher};
use vm::{Machine, Running};

use crate::failure::Failure;
use crate::interrupt::LeftoverProcess;
use crate::show::Messages;
use crate::show::Spinner;

/// Tells stages on standard error, and keeps the console.
pub(super) struct Live {
    messages: Messages,
    console: Option<(PathBuf, File)>,
    console_error: Option<std::io::Error>,
    /// QEMU, which has to end when the user stops this program.
    process: Option<LeftoverProcess>,
    /// The stage that is waited for to end.
    spinner: Spinner,
}

impl Live {
    pub(super) fn new(messages: Messages, console: Option<&Path>) -> Result<Self, Failure> {
        let unwritable =
            |path: &Path, error| Failure::because(format!("`{}` cannot be written", path.display()), &error);
        let console = console
            .map(|path| File::create(path).map(|file| (path.to_owned(), file)).map_err(|error| unwritable(path, error)))
            .transpose()?;
        let spinner = Spinner::new(&messages, "QEMU starts");
        Ok(Self { messages, console, console_error: None, process: None, spinner })
    }

    /// Says what could not be kept.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        match (self.console_error.take(), &self.console) {
            (Some(error), Some((path, _))) => {
                Err(Failure::because(format!("`{}` cannot be written", path.display()), &error))
            }
            _ => Ok(()),
        }
    }
}

impl Watcher for Live {
    fn start(&mut self, machine: &Machine, folder: &Path) -> Result<Running, vm::Error> {
        // The machine before has ended.
        self.process = None;
        let start = || {
            vm::start(machine, folder).map(|running| {
                let process = running.process_id();
                (running, process)
            })
        };
        let (running, process) = LeftoverProcess::start(start)?;
        self.process = Some(process);
        Ok(running)
    }

    fn boot(&mut self, name: &str) {
        self.spinner.aside(|| self.messages.note(name));
        self.spinner.set(Stage::Firmware.name());
    }

    fn stage(&mut self, at: Duration, stage: Stage) {
        self.spinner.aside(|| self.messages.note(format_args!("  {:6.1} s  {stage}", at.as_secs_f64())));
        self.spinner.set(match stage {
            Stage::Finished => "what is expected is looked at in the guest",
            stage => stage.name(),
        });
    }

    fn trouble(&mut self, trouble: &Trouble) {
        let at_s = trouble.at.as_secs_f64();
        self.spinner.aside(|| self.messages.detail(format_args!("  {at_s:6.1} s  ! {}", trouble.line)));
    }

    fn check(&mut self, check: &Check) {
        let word = match check.outcome {
            Outcome::Good => "ok",
            Outcome::Wrong { .. } => "FAILED",
            Outcome::NotLookedAt { .. } => "unknown",
        };
        let at_s = (check.at + check.took).as_secs_f64();
        self.spinner.aside(|| self.messages.detail(format_args!("  {at_s:6.1} s  {word}: {}", check.name)));
    }

    fn console(&mut self, bytes: &[u8]) {
        if let (Some((_, file)), None) = (&mut self.console, &self.console_error) {
            self.console_error = file.write_all(bytes).err();
        }
    }
}
