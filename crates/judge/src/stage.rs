//! The stages of a boot.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The stages of a boot, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// SeaBIOS or UEFI, which looks for a boot loader.
    Firmware,
    /// GRUB or another one, which looks for a kernel.
    BootLoader,
    /// The kernel, which looks for a root or has an initramfs do so.
    Kernel,
    /// The initramfs, which looks for the root.
    Initramfs,
    /// The init system, until cloud-init begins.
    Systemd,
    /// cloud-init's first step: is there a seed, and should cloud-init run at all.
    DsIdentify,
    /// `cloud-init init --local`: before there is a network.
    Local,
    /// `cloud-init init`: user-data is read; `bootcmd`, disks, users, keys.
    Network,
    /// `cloud-init modules --mode=config`.
    Config,
    /// `cloud-init modules --mode=final`: packages, scripts and `runcmd`.
    Final,
    /// cloud-init has ended.
    Finished,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 11] = [
        Self::Firmware,
        Self::BootLoader,
        Self::Kernel,
        Self::Initramfs,
        Self::Systemd,
        Self::DsIdentify,
        Self::Local,
        Self::Network,
        Self::Config,
        Self::Final,
        Self::Finished,
    ];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::BootLoader => "boot loader",
            Self::Kernel => "kernel",
            Self::Initramfs => "initramfs",
            Self::Systemd => "systemd",
            Self::DsIdentify => "ds-identify",
            Self::Local => "cloud-init: local",
            Self::Network => "cloud-init: network",
            Self::Config => "cloud-init: config",
            Self::Final => "cloud-init: final",
            Self::Finished => "cloud-init: finished",
        }
    }

    /// The stage with this name in cloud-init's `status.json`: `init-local`, `init`, `modules-config`, `modules-final`.
    pub fn of_cloud_init(name: &str) -> Option<Self> {
        match name {
            "init-local" => Some(Self::Local),
            "init" => Some(Self::Network),
            "modules-config" | "modules:config" => Some(Self::Config),
            "modules-final" | "modules:final" => Some(Self::Final),
            _ => None,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
