//! `imgraft boot`.

use std::path::PathBuf;

use clap::Args;

use super::Backing;
use super::machine::{MachineFlags, SeedSource};
use crate::cli::seed_content::SeedContent;

pub(super) const EXAMPLES: &str = "\
Examples:
  imgraft boot my.img --user ada --ssh-key ~/.ssh/id_ed25519.pub
  imgraft boot my.img --user-data user-data.yaml --forward 8080:80
  imgraft boot my.img --seed seed.iso --persist
  imgraft boot my.img --user ada --keep files --print-command > start.sh

The console is here: Ctrl-A x ends the machine, Ctrl-A c changes to QEMU's monitor and back. Unless
you say --persist, the guest writes to a file that is gone when the machine ends, and the image stays as it is.

Exit codes:
  0  the machine ran and ended
  2  it could not be started, or QEMU failed; wrong usage";

#[derive(Debug, Args)]
pub(crate) struct Boot {
    /// The image
    pub(crate) image: PathBuf,

    #[command(flatten)]
    pub(crate) content: SeedContent,

    #[command(flatten)]
    pub(crate) seed: SeedSource,

    #[command(flatten)]
    pub(crate) machine: MachineFlags,

    /// Let the guest change the image
    #[arg(long)]
    pub(crate) persist: bool,

    /// Print QEMU's command line, to paste into a shell, and start nothing
    #[arg(long)]
    pub(crate) print_command: bool,

    /// Make the files that QEMU needs besides the image in this folder, and leave them there: the seed, the
    /// kernel
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keep: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) backing: Backing,
}
