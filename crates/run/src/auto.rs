//! The runner that this machine has.

use std::sync::OnceLock;

use customize::{Outcome, RunError, Runner, Task};
use guest::Guest;

use crate::{Namespaces, Unpacked};

/// Runs commands in namespaces, or in an unpacked folder where namespaces cannot be had and root runs it.
#[derive(Debug)]
pub struct Auto {
    namespaces: Namespaces,
    unpacked: Unpacked,
    /// Why commands are not run in namespaces, when that is known.
    no_namespaces: OnceLock<String>,
}

impl Auto {
    /// The first of the two that works.
    pub fn new(namespaces: Namespaces, unpacked: Unpacked) -> Self {
        Self { namespaces, unpacked, no_namespaces: OnceLock::new() }
    }
}

impl Runner for Auto {
    fn run(&self, guest: &mut Guest, task: &Task, said: &mut dyn FnMut(&[u8])) -> Result<Outcome, RunError> {
        if self.no_namespaces.get().is_none() {
            // Whether they work is known for nothing if they do. Only if not, the machine is looked at.
            let outcome = self.namespaces.run(guest, task, said);
            if !matches!(outcome, Err(RunError::Unavailable { .. })) {
                return outcome;
            }
            let survey = sandbox::survey();
            // It was something else, or there is no other way: the error says what to do about it.
            if survey.namespaces.works || !survey.unpack.works {
                return outcome;
            }
            self.no_namespaces.get_or_init(|| survey.namespaces.found);
        }
        let mut outcome = self.unpacked.run(guest, task, said)?;
        outcome.runner_because = self.no_namespaces.get().cloned();
        Ok(outcome)
    }
}
