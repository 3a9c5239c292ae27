//! `imgraft update`.

use std::path::PathBuf;

use clap::Args;

use super::base::BaseSource;

pub(super) const EXAMPLES: &str = "\
Examples:
  imgraft update                                    the recipe is ./imgraft.toml
  imgraft update recipes/autonoe.toml --dry-run     say what would change

imgraft.lock, beside the recipe, says which bytes the base is; `imgraft build` takes those and no
others. This looks for the newest build and has the lock say that one. Nothing is downloaded before
the next build.";

#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The recipe
    #[arg(default_value = "imgraft.toml")]
    pub(crate) recipe: PathBuf,

    /// Print what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) source: BaseSource,
}
