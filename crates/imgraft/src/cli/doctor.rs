//! `imgraft doctor`.

use clap::Args;

pub(super) const EXAMPLES: &str = "\
Examples:
  imgraft doctor                                    what works here, and what to do about the rest
  imgraft doctor --json

The first line is the runner that commands in a guest would have. A sandbox is made and thrown away for
it; nothing of the machine is changed.

Exit codes:
  0  commands can be run in guests
  1  they cannot";

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
