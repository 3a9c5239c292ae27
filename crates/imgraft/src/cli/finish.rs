//! What is done and looked at when all changes were made.

use clap::Args;
use customize::Clean;
use graft::Job;

/// What is done and looked at when all changes were made.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Finish {
    /// After all other changes, remove what belongs to one machine, to its user or to the build:
    /// machine-id, SSH host keys, random seeds, histories, cloud-init's state, logs, package caches
    #[arg(long, help_heading = "Changes")]
    pub(crate) clean: bool,

    /// Leave new files without labels for SELinux; otherwise a guest that uses it has them labelled by its own policy
    #[arg(long)]
    no_label: bool,

    /// Refuse programs, libraries and scripts that do not fit the guest, and write nothing
    #[arg(long)]
    strict: bool,
}

impl Finish {
    /// Has `job` end in this way, where the recipe asks for a clean guest or not.
    pub(crate) fn apply(self, job: &mut Job, recipe_clean: bool) {
        if self.clean || recipe_clean {
            job.operations.push(Clean.into());
        }
        job.strict = self.strict;
        job.options.without_labels = self.no_label;
    }
}
