//! `imgraft seed check`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use seed::check::{Renderer, Role};

pub(super) const EXAMPLES: &str = "\
Examples:
  imgraft seed check user-data.yaml
  imgraft seed check user-data.yaml network.yaml --strict
  imgraft seed check seed.iso
  imgraft seed check user-data.yaml --sarif seeds.sarif
  imgraft seed check --as network-config - < net.yaml

A file is user-data, vendor-data, network-config or meta-data by its name, and where that says nothing by its
content. Files that are given together are one seed, as are those in a folder or on a medium.

Exit codes: 0 nothing is wrong; 1 there are errors, with --strict also for warnings; 2 a file could not be
looked at.";

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Files of a seed, folders with `user-data` and `meta-data` in them, or media: ISO, vfat or tar; `-` is
    /// standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// What the files are
    #[arg(long = "as", value_name = "ROLE")]
    pub(crate) role: Option<RoleName>,

    /// What sets up the guest's network, where that is known
    #[arg(long, value_name = "NAME")]
    pub(crate) renderer: Option<RendererName>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Also write what is found as SARIF 2.1.0, as code scanning services and editors read it
    #[arg(long, value_name = "FILE")]
    pub(crate) sarif: Option<PathBuf>,

    /// Exit with 1 for warnings, too
    #[arg(long)]
    pub(crate) strict: bool,
}

/// [`Role`] by the names that it has on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleName {
    /// What the guest's user wants
    UserData,
    /// What the platform wants
    VendorData,
    /// The guest's network
    NetworkConfig,
    /// The guest's name and instance-id
    MetaData,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::UserData => Self::UserData,
            RoleName::VendorData => Self::VendorData,
            RoleName::NetworkConfig => Self::NetworkConfig,
            RoleName::MetaData => Self::MetaData,
        }
    }
}

/// [`Renderer`] by cloud-init's names.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RendererName {
    /// netplan, as in Ubuntu: it reads network-config of version 2 itself
    Netplan,
    /// systemd-networkd, by files of cloud-init
    Networkd,
    /// NetworkManager, by files of cloud-init
    NetworkManager,
    /// ifupdown, by files of cloud-init
    Eni,
    /// The network scripts of Red Hat and SUSE, by files of cloud-init
    Sysconfig,
}

impl From<RendererName> for Renderer {
    fn from(name: RendererName) -> Self {
        match name {
            RendererName::Netplan => Self::Netplan,
            RendererName::Networkd | RendererName::NetworkManager | RendererName::Eni | RendererName::Sysconfig => {
                Self::CloudInit
            }
        }
    }
}
