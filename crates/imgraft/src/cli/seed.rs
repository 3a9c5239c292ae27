//! `imgraft seed …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::seed_content::SeedContent;

pub(super) const EXAMPLES: &str = "\
Examples:
  imgraft seed iso --user ada --ssh-key ~/.ssh/id_ed25519.pub --package git,curl -o seed.iso
  imgraft seed iso --user-data user-data.yaml -o seed.iso
  imgraft seed vfat --user-data base.yaml --user-data setup.sh --run 'systemctl start app' -o seed.img
  qemu-system-x86_64 … -drive file=seed.iso,format=raw,if=virtio";

const MEDIUM_EXAMPLES: &str = "\
Examples:
  imgraft seed iso --user ada --ssh-key ~/.ssh/id_ed25519.pub --package git,curl -o seed.iso
  imgraft seed vfat --user-data user-data.yaml --hostname web --network-config net.yaml -o seed.img
  imgraft seed iso --user-data base.yaml --user-data setup.sh --run 'systemctl start app' -o seed.iso

cloud-init finds the disk by its label, `cidata`. Times are SOURCE_DATE_EPOCH where that is set, else
1980-01-01: the same content gives the same bytes.";

/// What is done about a seed.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a disk with an ISO 9660
    #[command(after_help = MEDIUM_EXAMPLES)]
    Iso(Files),
    /// Make a disk with a FAT, as large as it has to be
    #[command(after_help = MEDIUM_EXAMPLES)]
    Vfat(Files),
    /// Make a tar archive
    #[command(after_help = MEDIUM_EXAMPLES)]
    Tar(Files),
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    #[command(flatten)]
    pub(crate) content: SeedContent,

    /// The file to make; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}
