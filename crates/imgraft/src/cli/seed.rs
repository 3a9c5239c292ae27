//! `imgraft seed …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(super) const EXAMPLES: &str = "\
Examples:
  imgraft seed iso --user-data user-data.yaml -o seed.iso
  imgraft seed vfat --user-data user-data.yaml --hostname web --network-config net.yaml -o seed.img
  qemu-system-x86_64 … -drive file=seed.iso,format=raw,if=virtio

cloud-init finds the disk by its label, `cidata`. Times are SOURCE_DATE_EPOCH where that is set, else
1980-01-01: the same content gives the same bytes.";

/// What is done about a seed.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a disk with an ISO 9660
    Iso(Files),
    /// Make a disk with a FAT, as large as it has to be
    Vfat(Files),
    /// Make a tar archive
    Tar(Files),
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// What the guest's user wants: cloud-config, a script, …; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) user_data: PathBuf,

    /// The whole of meta-data. Without it, that has an instance-id made of the seed's content, so that
    /// another content is another first boot
    #[arg(long, value_name = "FILE", conflicts_with = "hostname")]
    pub(crate) meta_data: Option<PathBuf>,

    /// The guest's network, as cloud-init or netplan has it
    #[arg(long, value_name = "FILE")]
    pub(crate) network_config: Option<PathBuf>,

    /// What the platform wants
    #[arg(long, value_name = "FILE")]
    pub(crate) vendor_data: Option<PathBuf>,

    /// The guest's name
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,

    /// The file to make; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}
