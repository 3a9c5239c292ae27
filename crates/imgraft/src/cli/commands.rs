//! What commands in the guest may do.

use clap::Args;
use graft::Job;
use recipe::{CommandLimits, MemoryLimit, TimeLimit};

use crate::runner::Kind;

/// What commands in the guest may do.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Commands {
    /// Let commands in the guest use this machine's network, which `--install` and `--update` need
    #[arg(long, help_heading = "Commands in the guest", overrides_with = "no_network")]
    network: bool,

    /// Let no command in the guest use the network, whatever the recipe says
    #[arg(long, help_heading = "Commands in the guest", overrides_with = "network")]
    no_network: bool,

    /// Have each step's commands ended after that time, and the build with them: seconds, or a number and s, m or h
    /// [default: no limit]
    #[arg(long, help_heading = "Commands in the guest", value_name = "TIME")]
    timeout: Option<TimeLimit>,

    /// How much memory each step's commands may use together: a number and M or G [default: no limit]
    #[arg(long, help_heading = "Commands in the guest", value_name = "SIZE")]
    memory: Option<MemoryLimit>,

    /// How commands in the guest are run
    #[arg(long, help_heading = "Commands in the guest", value_name = "RUNNER", value_enum, default_value_t)]
    runner: Kind,
}

impl Commands {
    /// Has the commands of `job` run in this way, where the recipe lets them use the network or not, and has these
    /// limits.
    pub(crate) fn apply(self, job: &mut Job, recipe_network: bool, recipe_limits: CommandLimits) {
        let limits =
            CommandLimits { time: self.timeout.or(recipe_limits.time), memory: self.memory.or(recipe_limits.memory) };
        job.options.runner = Some(crate::runner::runner(self.runner, limits));
        job.options.network = self.network || (recipe_network && !self.no_network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, FromArgMatches};

    #[test]
    fn the_last_flag_counts_and_then_the_recipe() {
        let network = |arguments: &[&str], recipe: bool| {
            let command = Commands::augment_args(Command::new("x").no_binary_name(true));
            let commands = Commands::from_arg_matches(&command.get_matches_from(arguments)).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let base = folder.path().join("base.img");
            std::fs::write(&base, [0; 512]).unwrap();
            let mut job = Job::new_image(&base, &folder.path().join("new.img")).unwrap();
            commands.apply(&mut job, recipe, CommandLimits::default());
            job.options.network
        };
        assert!(!network(&[], false) && network(&[], true));
        assert!(network(&["--network"], false) && !network(&["--no-network"], true));
        assert!(network(&["--no-network", "--network"], false) && !network(&["--network", "--no-network"], true));
    }
}
