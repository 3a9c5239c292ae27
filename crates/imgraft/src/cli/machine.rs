//! The machine that an image is started in: flags that several commands have.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use vm::{Accelerator, Architecture, FirmwareKind, Forward};

use crate::machine::{parse_forward, parse_memory_mib};

const HEADING: &str = "Machine";

/// The machine.
#[derive(Debug, Args)]
pub(crate) struct MachineFlags {
    /// How the guest's instructions run: kvm, hvf or tcg (emulation) [default: the host's processor if possible]
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    pub(crate) accel: Option<Accelerator>,

    /// bios or uefi [default: what the image is made for, a BIOS first]
    #[arg(long, value_name = "NAME", value_enum, help_heading = HEADING)]
    pub(crate) firmware: Option<FirmwareName>,

    /// A UEFI firmware that starts only what is signed
    #[arg(long, help_heading = HEADING, conflicts_with = "direct_kernel")]
    pub(crate) secure_boot: bool,

    /// x86_64 or aarch64 [default: what the guest's programs are]
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    pub(crate) arch: Option<Architecture>,

    /// How many processors it has [default: as the host, at most 4]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=255), help_heading = HEADING)]
    pub(crate) cpus: Option<u32>,

    /// Its memory: a number of MiB, or a number and M or G
    #[arg(long, value_name = "SIZE", default_value = "2G", value_parser = parse_memory_mib, help_heading = HEADING)]
    pub(crate) memory: u32,

    /// Its network: user (a way out), restricted (DHCP and no way out) or none
    #[arg(long, value_name = "KIND", value_enum, default_value = "user", help_heading = HEADING)]
    pub(crate) network: NetworkKind,

    /// Forward a port of this host to the guest
    #[arg(
        long = "forward",
        value_name = "[ADDRESS:]HOST:GUEST[/udp]",
        value_parser = parse_forward,
        help_heading = HEADING
    )]
    pub(crate) forwards: Vec<Forward>,

    /// Start the image's kernel without its boot loader
    #[arg(long, help_heading = HEADING)]
    pub(crate) direct_kernel: bool,

    /// Words for the kernel's command line, after the image's own
    #[arg(long, value_name = "WORDS", requires = "direct_kernel", help_heading = HEADING)]
    pub(crate) append: Vec<String>,
}

/// A seed that is not made of flags.
#[derive(Debug, Args)]
pub(crate) struct SeedSource {
    /// A seed on a disk, such as one made by `imgraft seed`
    #[arg(long, value_name = "FILE", help_heading = "First boot")]
    pub(crate) seed: Option<PathBuf>,

    /// The address of a seed, such as one of `imgraft seed serve`; this host is 10.0.2.2 to the guest
    #[arg(long, value_name = "URL", conflicts_with = "seed", help_heading = "First boot")]
    pub(crate) seed_url: Option<String>,
}

/// [`FirmwareKind`] by the names that it has on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FirmwareName {
    /// The PC's first firmware
    Bios,
    /// UEFI
    Uefi,
}

impl From<FirmwareName> for FirmwareKind {
    fn from(name: FirmwareName) -> Self {
        match name {
            FirmwareName::Bios => Self::Bios,
            FirmwareName::Uefi => Self::Uefi,
        }
    }
}

/// What a machine is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkKind {
    /// A network of its own, with a way out
    User,
    /// A network of its own, without one
    Restricted,
    /// Nothing
    None,
}
